"""What the docstrings of option classes say, for editors."""

from __future__ import annotations

import inspect
import re


def first_paragraph(cls: type) -> str:
    """What the docstring of a class begins with, as one line."""
    text = " ".join(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].split())
    return text.replace("``", "`")


_ENTRY = re.compile(r"^    (\w+(?:, \w+)*): (.*)$")


def documented(cls: type) -> dict[str, str]:
    """What the docstrings of a class say of its attributes, by name."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        _, begun, section = inspect.cleandoc(one.__dict__.get("__doc__") or "").partition(
            "Attributes:\n"
        )
        names: list[str] = []
        for line in section.splitlines() if begun else ():
            if not line.strip() or not line.startswith("    "):
                break
            entry = _ENTRY.match(line)
            if entry is not None:
                names = entry[1].split(", ")
                found.update(dict.fromkeys(names, entry[2].replace("``", "`")))
            else:
                for name in names:
                    found[name] += f" {line.strip().replace('``', '`')}"
    return found
