"""What the fields of the configuration classes say about themselves, and the types they share.

The metadata of a field has what it does, why its default is what it is, how its key is spelled and
which kind of plugin it names. The reference page, ``bee explain``, ``bee check`` and the reader of
the file take these facts from here, so each of them stands in one place.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  cattrs reads the annotations
from typing import Annotated, Any, TypeVar

import attrs

from ..options import OPTIONS, MisfitError, Validator, between, some_text, validator
from ..terms.addresses import parse
from ..terms.versions import Range, parse_version

T = TypeVar("T")

NOT_WRITTEN = "-"
_METADATA_KEY = "bee"


@attrs.frozen
class About:
    """Remarks on a field.

    Attributes:
        doc: What it does.
        why: Why its default is what it is, with the precedent. Empty for a field that has none.
        unit: ``seconds``, ``bytes`` or empty.
        key: Where it is written, from the section that holds it. Empty for the field's own name,
            ``-`` for a field that is not written at all.
        aliases: Other spellings of the key.
        plugin: The kind of the plugins that the value names, or empty.
        live: Whether a server that runs takes a change over when it reloads. A client takes over
            every change of a service.
    """

    doc: str
    why: str = ""
    unit: str = attrs.field(default="", kw_only=True)
    key: str = attrs.field(default="", kw_only=True)
    aliases: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    plugin: str = attrs.field(default="", kw_only=True)
    live: bool = attrs.field(default=False, kw_only=True)


def about(doc: str, why: str = "", **more: Any) -> dict[str, About]:
    """Remarks as the ``metadata`` of an attrs field; the arguments are those of :class:`About`."""
    return {_METADATA_KEY: About(doc, why, **more)}


def setting(
    default: T,
    doc: str,
    why: str = "",
    *,
    check: Validator | None = None,
    repr: bool = True,  # noqa: A002  as attrs names it
    **more: Any,
) -> T:
    """An attrs field with a default, and with remarks on both.

    Args:
        default: Its default.
        doc: What it does, see :class:`About`.
        why: Why its default is what it is.
        check: Its validator.
        repr: Whether ``repr`` shows it.
        **more: Further arguments of :class:`About`.
    """
    return attrs.field(
        default=default, validator=check, repr=repr, metadata=about(doc, why, **more)
    )


def remarks(attribute: attrs.Attribute[Any]) -> About:
    """The remarks on a field; empty ones for a field of a plugin's options."""
    found: About = attribute.metadata.get(_METADATA_KEY) or About("")
    return found


def written_at(attribute: attrs.Attribute[Any]) -> str:
    """The key under which a field is written, dotted from its section."""
    return remarks(attribute).key or attribute.name


def spellings(attribute: attrs.Attribute[Any]) -> tuple[str, ...]:
    """All keys that a field may have in its section; none for one that is written elsewhere."""
    key = written_at(attribute)
    if not attribute.init or key == NOT_WRITTEN or "." in key:
        return ()
    return (key, *remarks(attribute).aliases)


def keys_of(cls: type) -> tuple[str, ...]:
    """All keys that a section may have, with their other spellings."""
    return tuple(key for attribute in attrs.fields(cls) for key in spellings(attribute))


def plugin_kinds(cls: type) -> dict[str, Any]:
    """The fields of a section that name plugins, with the kind (``hookspecs.Kind``) of each."""
    return {
        attribute.name: remarks(attribute).plugin
        for attribute in attrs.fields(cls)
        if remarks(attribute).plugin
    }


# ── types ────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class PluginRef:
    """A plugin as the configuration names it: ``key: name`` or ``key: {name: …, options: {…}}``.

    Attributes:
        name: The plugin's name, as it is written; aliases are the plugin hub's business.
        options: As they are written, for the plugin's own class to check. Not shown by ``repr``:
            they may hold secrets.
        path: The dotted key that names the plugin; empty for a default.
    """

    name: str = attrs.field(validator=some_text, metadata=about("The plugin's name."))
    options: Annotated[Mapping[str, Any], OPTIONS] = attrs.field(
        factory=dict, repr=False, metadata=about("The plugin's options; it checks them itself.")
    )
    path: str = attrs.field(default="", eq=False)


@attrs.frozen
class OptionRef(PluginRef):
    """A plugin that is the value of an option of another plugin.

    Attributes:
        kind: The kind (``hookspecs.Kind``) that the option wants.
    """

    kind: Any = ""


# ── fields that clients and servers have ─────────────────────────────────────────────────────────

# A frame's length has 32 bits. A body of more than 1 GiB belongs into a stream or a store.
_BODY = between(1 << 10, 1 << 30, "a size from 1k to 1g")


def max_size(codec_key: str) -> int:
    """The bound of bodies, written among the options of the codec under ``codec_key``."""
    return setting(
        2 << 20,
        "A body above this is compressed; one that is still above is refused before anything is "
        "sent.",
        "Half of gRPC's 4 MiB: a larger message holds up the others behind it on its connection.",
        check=_BODY,
        unit="bytes",
        live=True,
        key=f"{codec_key}.options.max_size",
    )


def max_inflated(codec_key: str) -> int:
    """The bound of bodies once they are inflated, written where ``max_size`` is."""
    return setting(
        64 << 20,
        "What a compressed body may become; more is refused while it is inflated.",
        "32 times `max_size`: JSON shrinks to about a tenth, a gzip bomb to a thousandth.",
        check=_BODY,
        unit="bytes",
        live=True,
        key=f"{codec_key}.options.max_inflated",
    )


def observers(what: str) -> tuple[PluginRef, ...]:
    """The observers of a section; ``what`` says of what they are told."""
    return setting(
        (),
        f"{what}: a name, `{{name, options}}`, or a list; `none` for none.",
        "Nobody: an observer costs time in each call.",
        plugin="observer",
        live=True,
    )


def interceptors(what: str) -> tuple[PluginRef, ...]:
    """The interceptors of a section; ``what`` says before and after what they stand."""
    return setting(
        (),
        f"Who stands before and after {what}, in this order: a name, `{{name, options}}`, or a "
        "list; `none` for none.",
        "Nobody: an interceptor costs time in each call, and may refuse it.",
        plugin="interceptor",
        live=True,
    )


def limiters(what: str, why: str) -> tuple[PluginRef, ...]:
    """The limiters of a section; ``what`` says what they bound, ``why`` why there is none."""
    return setting(
        (),
        f"{what}: a name, `{{name, options}}`, or a list, of which all must admit; `none` for "
        "none.",
        why,
        plugin="limiter",
        live=True,
    )


# ── validators of addresses, versions and names ──────────────────────────────────────────────────


@validator
def version(value: str) -> str:
    """A version, such as ``1.10``."""
    parse_version(value)
    return ""


@validator
def version_range(value: str) -> str:
    """A range of versions, such as ``>=1.0, <2``."""
    Range.parse(value)
    return ""


@validator
def dialled(value: str) -> str:
    """The url of a server that listens: its port is not 0."""
    reachable = parse(value).port != 0
    return "" if reachable else "the port that the server listens on; 0 is for servers alone"


@validator
def http_address(value: str) -> str:
    """A host and a port to listen on, without a scheme."""
    parse(f"tcp://{value}")
    return "" if "://" not in value else "host:port without a scheme, such as 127.0.0.1:9464"


@validator
def not_wildcard(value: str) -> str:
    """The url of one host, and not of every interface."""
    if not parse(value).is_wildcard:
        return ""
    return "an address that clients can reach; this one means every interface of the server"


def names_not_empty(_: Any, __: attrs.Attribute[Any], value: Any) -> None:
    """Every key and, in a set, every entry has at least one character."""
    if any(not name.strip() for name in value):
        raise MisfitError(
            "one of the names is empty", value=list(value), expected="names that are not empty"
        )


def canonical_url(text: str) -> str:
    """The canonical form of a url; raises ValueError for what is none."""
    return parse(text).url


def canonical_urls(texts: Any) -> tuple[str, ...]:
    """The canonical form of urls."""
    return tuple(parse(text).url for text in texts)
