"""Installed distributions with plugins, made by a test."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from textwrap import dedent

import pytest

CODEC = """
    from bee_core.hookspecs import hookimpl

    @hookimpl
    def bee_register_codecs(registry):
        registry.add("{name}", lambda: "{name} of {module}")
"""


class Site:
    """A folder of installed distributions, with modules and metadata as pip leaves them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def module(self, module: str, source: str = "", /, **values: str) -> None:
        text = dedent(source or CODEC).replace("{module}", module)
        for key, value in values.items():
            text = text.replace("{" + key + "}", value)
        (self.root / f"{module}.py").write_text(text)
        importlib.invalidate_caches()

    def distribution(
        self, name: str, entry_points: dict[str, dict[str, str]], version: str = "1.0"
    ) -> None:
        folder = self.root / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        lines = [
            line
            for group, entries in entry_points.items()
            for line in (f"[bee.{group}]", *(f"{key} = {value}" for key, value in entries.items()))
        ]
        (folder / "entry_points.txt").write_text("\n".join(lines))
        importlib.invalidate_caches()

    def codec(self, module: str, name: str, distribution: str | None = None) -> None:
        self.module(module, name=name)
        self.distribution(distribution or f"dist-{module}", {"codec": {name: module}})


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("BEE_DISABLE_PLUGINS", raising=False)
    before = set(sys.modules)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]
