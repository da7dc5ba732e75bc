"""What the installed distributions offer, read without importing any of it.

An offer is an entry point in one of the groups ``bee.codec``, ``bee.balancer`` and so on.
"""

from __future__ import annotations

import importlib.metadata
import sys
import time
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from ..contracts.plugin_origin import in_brackets
from ..errors import PluginError
from ..hookspecs import REGISTER_HOOKS, Kind
from ..terms.printable import brief
from ..terms.tracebacks import raised_at

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


@attrs.frozen
class Origin:
    """Where a plugin comes from, for messages and listings.

    Attributes:
        distribution: The distribution's name; ``(object)`` for a plugin that was handed over as an
            object.
        version: The distribution's version, or the empty string.
        label: What to call it in a message: ``bee-rpc 0.1.0 (bee_plugins.codecs.json_codec)``.
        extras: The extras of the distribution that the plugin needs.
    """

    distribution: str
    version: str
    label: str
    extras: tuple[str, ...] = ()


@attrs.frozen
class Offer:
    """One entry point: a name of a kind, and the module or object behind it."""

    kind: Kind
    name: str
    target: str
    origin: Origin
    entry_point: importlib.metadata.EntryPoint = attrs.field(eq=False, repr=False)

    @property
    def title(self) -> str:
        """``codec 'json'``, as messages say it."""
        return f"{self.kind} {self.name!r}"

    def load(self) -> object:
        """Import the plugin.

        Raises:
            PluginError: It cannot be imported. The message says what to install, where that is
                known.
        """
        try:
            return self.entry_point.load()
        except ImportError as error:
            raise PluginError(
                f"{self.title} cannot be loaded: {missing_import(error, self.origin, self.target)}"
            ) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a module does, as sys.exit()
            raise PluginError(
                f"{self.title} cannot be loaded: {self.origin.label} fails with "
                f"{brief(error)}{in_brackets(raised_at(error))}"
            ) from error


FREEZING = (
    "build it with: pyinstaller --copy-metadata bee-rpc --collect-submodules bee_plugins"
    " (and the same two options for other plugins)"
)
"""What PyInstaller must be told, because plugins are found by the metadata of distributions."""


def is_frozen() -> bool:
    """Whether the program was made into one application, as PyInstaller does."""
    return bool(getattr(sys, "frozen", False))


def missing_import(error: ImportError, origin: Origin, target: str = "") -> str:
    """Say what to install after an ImportError in a plugin."""
    if origin.extras:
        return (
            f"it needs packages that are not installed ({error}); "
            f"run: pip install '{origin.distribution}[{','.join(origin.extras)}]'"
        )
    if error.name and f"{target}.".startswith(f"{error.name}."):
        if is_frozen():
            return f"{origin.label} names a module that is not in this application; {FREEZING}"
        return (
            f"{origin.label} names a module that is not there ({error}); "
            f"reinstall {origin.distribution}"
        )
    return f"{origin.label} fails to import ({error}); install what is missing"


def read_offers(
    entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
) -> dict[tuple[Kind, str], list[Offer]]:
    """List all offers, by kind and name.

    Args:
        entry_points: What to read instead of the environment's entry points.

    Returns:
        For each kind and name the offers, more than one where distributions collide.
    """
    if entry_points is not None:
        return _by_name(entry_points)
    environment = _environment()
    if environment is None:
        return _by_name(_scan())
    return {name: [*same_name] for name, same_name in _offers_in(environment).items()}


_SETTLED = 2.0
"""Seconds. A folder that changed so short ago may change again without a newer time."""


def _environment() -> tuple[object, ...] | None:
    """What a scan depends on, or None where it changes just now.

    Whoever installs or removes a distribution changes the time of its folder on ``sys.path``.
    """
    places: list[object] = []
    settled = time.time() - _SETTLED
    for place in sys.path:
        try:
            status = Path(place or ".").stat()
        except OSError:
            places.append(place)
            continue
        if status.st_mtime > settled:
            return None
        places += place, status.st_dev, status.st_ino, status.st_mtime_ns
    # Tests and import hooks put functions and finders of their own there.
    return importlib.metadata.entry_points, *map(_Same, sys.meta_path), *places


class _Same:
    """Equal for the same object only. It keeps it, so no other object gets its ``id`` meanwhile."""

    __slots__ = ("_thing",)

    def __init__(self, thing: object) -> None:
        self._thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._thing is other._thing

    def __hash__(self) -> int:
        return id(self._thing)


@lru_cache(maxsize=1)
def _offers_in(_environment: tuple[object, ...]) -> dict[tuple[Kind, str], list[Offer]]:
    """The offers of an environment.

    A scan opens a file of each distribution. That takes longer than all else that it takes to build
    a client.
    """
    return _by_name(_scan())


def _scan() -> list[importlib.metadata.EntryPoint]:
    """The entry points of all kinds in the environment."""
    # One scan for all groups: each call of entry_points() reads the metadata of every distribution
    # again.
    try:
        found = importlib.metadata.entry_points()
        return [entry_point for group in _GROUPS for entry_point in found.select(group=group)]
    except Exception:  # one distribution whose metadata is broken must not stop all programs
        return _readable(_GROUPS)


def _by_name(
    entry_points: Iterable[importlib.metadata.EntryPoint],
) -> dict[tuple[Kind, str], list[Offer]]:
    offers: dict[tuple[Kind, str], list[Offer]] = {}
    for entry_point in entry_points:
        kind = _GROUPS.get(entry_point.group)
        if kind is not None:
            offer = _offer(kind, entry_point)
            same_name = offers.setdefault((kind, offer.name), [])
            if offer not in same_name:
                same_name.append(offer)
    return offers


_GROUPS: dict[str, Kind] = {f"bee.{kind}": kind for kind in REGISTER_HOOKS}


def _readable(groups: Collection[str]) -> list[importlib.metadata.EntryPoint]:
    """The entry points of the distributions that can be read, one by one."""
    found: list[importlib.metadata.EntryPoint] = []
    for distribution in importlib.metadata.distributions():
        try:
            found += [one for one in distribution.entry_points if one.group in groups]
        except Exception as error:  # noqa: PERF203  each for itself
            warnings.warn(
                f"plugins of {getattr(distribution, '_path', 'a distribution')} are not seen: its "
                f"entry_points.txt cannot be read ({brief(error)})",
                stacklevel=2,
            )
    return found


def _named(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """Name and version.

    Each look at either parses the whole metadata, readme included. So it is done once for a
    distribution and version on disk.
    """
    path = str(getattr(distribution, "_path", ""))
    known = _names.get(path)
    if known is None:
        # A distribution that was removed by half may have no metadata.
        metadata: Mapping[str, Any] = distribution.metadata or {}  # type: ignore[assignment]
        name = metadata.get("Name") or Path(path).stem or "an unknown distribution"
        known = str(name), str(metadata.get("Version") or "")
        if path:
            _names[path] = known
    return known


_names: dict[str, tuple[str, str]] = {}


def _offer(kind: Kind, entry_point: importlib.metadata.EntryPoint) -> Offer:
    # EntryPoint.extras is a list of match objects on Python 3.10, so the value is read here.
    target, _, rest = map(str.strip, entry_point.value.partition("["))
    extras = tuple(name.strip() for name in rest.rstrip("]").split(",") if name.strip())
    distribution, version = (
        _named(entry_point.dist) if entry_point.dist else ("an unknown distribution", "")
    )
    label = f"{distribution} {version} ({target})" if version else f"{distribution} ({target})"
    return Offer(
        kind, entry_point.name, target, Origin(distribution, version, label, extras), entry_point
    )
