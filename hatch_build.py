"""Compiles bee's native parts into the wheel, or into the sources of an editable install.

There are two, each of one file: the exchange of blocking calls, and the codecs' look at plain
values. A wheel has both or none. Without a compiler it is one of pure Python. It does the same, and
is slower where many threads call. ``BEE_NATIVE=0`` in the environment leaves the native parts out,
``BEE_NATIVE=1`` makes it an error that one cannot be compiled. ``CC``, ``CFLAGS`` and ``LDFLAGS``
are heard.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = (
    Path("bee_core", "streams", "client", "_exchange.c"),
    Path("plugins", "bee_plugins", "codecs", "_plain.c"),
)
SECONDS = 120.0
"""A compiler that takes longer is stuck."""


class NativeHook(BuildHookInterface):  # type: ignore[type-arg]
    """See :class:`hatchling.builders.hooks.plugin.interface.BuildHookInterface`."""

    _folder: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and put what comes out where this build looks for it.

        Args:
            version: ``editable`` or ``standard``.
            build_data: What goes into the wheel, and its tag.

        Raises:
            RuntimeError: It cannot be compiled, and ``BEE_NATIVE`` is 1.
        """
        if self.target_name != "wheel":
            return
        root, wanted = Path(self.root), os.environ.get("BEE_NATIVE", "")
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        places = {source: source.with_name(f"{source.stem}{suffix}") for source in SOURCES}
        if version == "editable":
            # Not one of older sources. A Python that runs keeps the file that it has loaded.
            for place in places.values():
                (root / place).unlink(missing_ok=True)
        if wanted == "0":
            return
        self._folder = tempfile.TemporaryDirectory()
        built = {place: Path(self._folder.name, place.name) for place in places.values()}
        for source, place in places.items():
            if problem := compiled(root / source, built[place]):
                if wanted == "1":
                    raise RuntimeError(f"BEE_NATIVE=1, and {source.name} {problem}")
                self.app.display_warning(
                    f"bee-rpc is built without its native parts, because {source.name} {problem};"
                    " calls of many threads are slower without them"
                )
                return
        for place, file in built.items():
            if version == "editable":
                shutil.copy(file, root / place)
            else:
                # The wheel's top level has no folder of plugins.
                inside = place.relative_to("plugins") if place.parts[0] == "plugins" else place
                build_data["force_include"][str(file)] = inside.as_posix()
                build_data["pure_python"] = False
                build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled: it is in the wheel by now."""
        if self._folder is not None:
            self._folder.cleanup()


def compiled(source: Path, target: Path) -> str:
    """Compile a source into an extension module. Returns the problem, empty where there is none."""
    if sys.platform == "win32":
        return "is for POSIX systems"
    try:
        subprocess.run(  # noqa: S603  what the user's own environment names
            command(source, target), check=True, capture_output=True, text=True, timeout=SECONDS
        )
    except FileNotFoundError as error:
        return f"needs a C compiler: there is no {error.filename}"
    except subprocess.CalledProcessError as error:
        said = next((line for line in error.stderr.splitlines() if "error" in line), error.stderr)
        return f"cannot be compiled: {said.strip() or error}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cannot be compiled: {error}"
    return ""


def command(source: Path, target: Path) -> list[str]:
    """How this Python compiles and links an extension module of one file."""

    def words(name: str) -> list[str]:
        return shlex.split(sysconfig.get_config_var(name) or "")

    compiler, linker = words("CC") or ["cc"], words("LDSHARED") or ["cc", "-shared"]
    if own := shlex.split(os.environ.get("CC", "")):
        # The linker's first words are the compiler; what follows says what to make.
        linker = own + (linker[len(compiler) :] if linker[0] == compiler[0] else ["-shared"])
    return [
        *linker,
        *words("CFLAGS"),
        *words("CCSHARED"),
        *shlex.split(os.environ.get("CFLAGS", "")),
        f"-I{sysconfig.get_path('include')}",
        f"-I{sysconfig.get_path('platinclude')}",
        str(source),
        "-o",
        str(target),
        *shlex.split(os.environ.get("LDFLAGS", "")),
    ]
