"""Generates ``docs/configuration.md`` from the classes.

``python -m bee_core.config.reference [FILE]``; without a file it prints the page.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs

from ..options import (
    BYTES,
    COMMAS,
    DIAL,
    LISTEN,
    OPTIONS,
    RANGE,
    SECONDS,
    SEVERAL,
    VERSION,
    Kind,
)
from .client_model import CALL_FIELDS, AddressConfig, ClientConfig
from .deduplication_model import DeduplicationConfig
from .fault_model import FaultConfig, ServerFaultConfig
from .fields import NOT_WRITTEN, PluginRef, remarks, written_at
from .model import ApplicationConfig
from .registry_model import RegistryConfig
from .retry_budget_model import RetryBudgetConfig
from .secret import Secret
from .server_model import ServerConfig, ServerMethodConfig

_HEAD = """# Configuration

This page is generated from the classes in `bee_core/config/`. Change those, not this, and then run
`python -m bee_core.config.reference docs/configuration.md`.

One YAML file, or a dict of the same shape, says what a program serves and how it calls others.

```yaml
bee:
  application:
    name: shop                      # the program
  rpc:
    registry: {…}                   # who knows the nodes
    server: {…}                     # what this program serves
    client:
      default: {…}                  # holds for every service below
      calc: {…}                     # how the service calc is called
```

## How values are written

- **Types.** A value is text until the type of its key is known. So `version: 1.10` is not 1.1, and
  `name: 007` keeps its zeros. `2.7` is not a whole number, and `1` is not true.
- **Times** are seconds: `10`, `0.5`; or `500ms`, `2s`, `1m`, `1h`.
- **Sizes** are bytes: `100`; or `64k`, `2 m`, `2MiB`, `1g`, all powers of 1024.
- **Yes and no** are `true`, `false`, `yes`, `no`, `on`, `off` in any case.
- **Plugins** are `key: name` or `key: {name: …, options: {…}}`. The plugin checks its options.
  `none` means no plugin, where that is possible.
- **Environment.** `${NAME}` is replaced by the variable, also inside of longer text.
  `${NAME:-text}` stands for `text` when the variable is missing or empty. Inside of `[ ]` and
  `{ }` put quotes around it, `["${NAME}"]`: YAML has its own use for braces there. `$${` is the two
  characters `${`. What a variable holds is never read as YAML. Error messages show `${NAME}` and
  not what it holds.
- **Files of secrets.** `${file:/run/secrets/name}` is replaced by the text of that file, without
  the line end at its end, at most 64 KiB. A relative path begins at the folder of the file that it
  stands in. `${file:/path:-text}` stands for `text` when the file is missing or empty. It works
  wherever `${NAME}` does.
- **Several files.** Files under `bee.application.include` are merged under this one. With
  `BEE_ENV=production` the file `bee.production.yml` beside `bee.yml` is merged over it, if it is
  there. Sections are merged key by key; everything else is replaced, a list as a whole. A plugin
  of another name takes no options over
  ([edit the configuration](how-to/edit-the-configuration.md)).
- **Anchors and merge keys** (`&name`, `*name`, `<<`) work. Keys `x-…` at the root are a place for
  anchors. A key that stands twice is an error.
- **Inheritance.** A method takes what it does not state from its service, a service from `default`,
  `default` from the defaults below. `metadata` and `baggage` are joined key by key.

Whatever is unknown, of the wrong type or impossible is an error that names the key and the line.
All errors of a file are reported at once. Values that are possible one by one and do not go
together are warnings of `bee check`.
"""

_SECTIONS: tuple[tuple[str, type, str], ...] = (
    ("`bee.application`", ApplicationConfig, "The program as a whole. May be left out."),
    (
        "`bee.rpc.registry`",
        RegistryConfig,
        "Who knows which nodes a service has. Without it the addresses in this file are the nodes.",
    ),
    (
        "`bee.rpc.server`",
        ServerConfig,
        (
            "What this program serves. Left out for a program that only calls others. A server\n"
            "that runs takes changes of the keys marked with ↻ over; the others need a restart\n"
            "([reload](how-to/reload.md))."
        ),
    ),
    (
        "`bee.rpc.server.methods.<method>`",
        ServerMethodConfig,
        "What holds for the requests for one method.",
    ),
    (
        "`bee.rpc.server.deduplicate`",
        DeduplicationConfig,
        "What a server remembers of its answers ([the how-to](how-to/deduplicate.md)).",
    ),
    (
        "`bee.rpc.server.faults`",
        ServerFaultConfig,
        "A fault that some requests meet, for trials ([how](how-to/configure-calls.md)).",
    ),
    (
        "`bee.rpc.client.<service>`",
        ClientConfig,
        "How a service is called. Methods can have the keys marked with \\* too, for themselves.",
    ),
    (
        "`bee.rpc.client.<service>.address`",
        AddressConfig,
        "A node that is known without a registry. A bare url is short for `{url: …}`.",
    ),
    (
        "`bee.rpc.client.<service>.retry_budget`",
        RetryBudgetConfig,
        "What bounds the retries of a service; [why](decisions/retry-budget.md).",
    ),
    (
        "`bee.rpc.client.<service>.faults`",
        FaultConfig,
        "A fault that some attempts meet, for trials.",
    ),
)

_KINDS = {
    SECONDS: "seconds",
    BYTES: "size",
    VERSION: "version",
    RANGE: "range",
    DIAL: "url",
    LISTEN: "url",
    OPTIONS: "mapping",
}
_NAMES = {
    str: "text",
    bool: "yes or no",
    int: "whole number",
    float: "number",
    PluginRef: "plugin",
    AddressConfig: "address",
    FaultConfig: "fault",
    ServerFaultConfig: "fault",
    Secret: "secret",
}


def page() -> str:
    """The text of the page."""
    parts = [_HEAD]
    for title, cls, text in _SECTIONS:
        attrs.resolve_types(cls)
        rows = [
            _row(attribute, cls)
            for attribute in attrs.fields(cls)
            if written_at(attribute) != NOT_WRITTEN
        ]
        parts.append(
            "\n".join(
                [
                    f"## {title}",
                    "",
                    text,
                    "",
                    "| key | value | default | what it does | why this default |",
                    "| --- | --- | --- | --- | --- |",
                    *rows,
                    "",
                ]
            )
        )
    return "\n".join(parts)


def _row(attribute: attrs.Attribute[Any], cls: type) -> str:
    about = remarks(attribute)
    key = f"`{written_at(attribute)}`"
    if about.aliases:
        key += " or " + ", ".join(f"`{name}`" for name in about.aliases)
    if cls is ClientConfig and attribute.name in CALL_FIELDS:
        key += " \\*"
    if cls is ServerConfig and about.live:
        key += " ↻"
    cells = (
        key,
        _type(attribute.type),
        _default(attribute),
        about.doc,
        about.why or "There is none: it must be stated.",
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _type(type_: Any) -> str:
    kind = next(
        (mark for mark in getattr(type_, "__metadata__", ()) if isinstance(mark, Kind)), None
    )
    if kind is SEVERAL or kind is COMMAS:
        element = _type(get_args(get_args(type_)[0])[0])
        return f"{element}, or a list"
    if kind is not None:
        return _KINDS[kind]
    if type_ in _NAMES:
        return _NAMES[type_]
    arguments = get_args(type_)
    if type(None) in arguments:
        return _type(arguments[0])
    if get_origin(type_) is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if bool in arguments:
        return "no, or a mapping"
    return "mapping"


def _default(attribute: attrs.Attribute[Any]) -> str:
    value = attribute.default
    if value is attrs.NOTHING:
        return "required"
    # attrs.Factory is a class at run time and a function to type checkers.
    if isinstance(value, attrs.Factory):  # type: ignore[arg-type]
        return "—"
    return _shown(value, remarks(attribute).unit)


def _shown(value: Any, unit: str) -> str:
    if isinstance(value, (tuple, frozenset)):
        return ", ".join(_shown(item, "") for item in value) or "—"
    if value is None or value == "":
        return "—"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, PluginRef):
        return f"`{value.name}`"
    if unit == "bytes" and value % (1 << 20) == 0:
        return f"`{value >> 20}MiB`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def main(arguments: list[str]) -> None:
    """Write the page to the file that is named, or print it."""
    if arguments:
        Path(arguments[0]).write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main(sys.argv[1:])
