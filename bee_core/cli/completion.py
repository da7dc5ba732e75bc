"""What a shell completes: services from the configuration, methods as a service says itself.

Whatever goes wrong here is silent: a person who presses Tab reads no errors.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ..terms.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE = 1.0
"""Seconds for a service to say which methods it has. A person waits for the Tab key."""
_WIDEST = 100
_NAME = re.compile(r"[\w.]+")
SHELLS = ("bash", "zsh", "fish")
_BEFORE = {"zsh": "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i; }\n"}
"""What must stand before click's script. A zsh whose owner has not turned completion on has no
``compdef``. With ``-i`` it asks no question about the owners of folders."""


def complete_service(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The services under ``bee.rpc.client``."""
    return _silently(lambda: _services(ctx, incomplete))


def complete_method(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The methods of the service that stands in front, with the first lines of their docs."""
    service = str(ctx.params.get("service") or "")
    return _silently(lambda: _methods(ctx, service, incomplete))


def complete_target(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Services, and behind the name of one and a dot its methods."""

    def find() -> list[CompletionItem]:
        found = _services(ctx, incomplete)
        service, dot, rest = incomplete.partition(".")
        if dot:
            found += _methods(ctx, service, rest, f"{service}.")
        return found

    return _silently(find)


def _services(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    from ..config import load_config

    names = load_config(_config_of(ctx)).clients
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _methods(
    ctx: click.Context, service: str, incomplete: str, prefix: str = ""
) -> list[CompletionItem]:
    from .described import ask, open_service

    with open_service(_config_of(ctx), service) as client:
        found = ask(client, service, brief=True, patience=_PATIENCE)
    return [
        CompletionItem(prefix + method.name, help=printable(method.signature, _WIDEST))
        for method in found.methods
        # What a server says ends up in a shell: nothing but names.
        if method.name.startswith(incomplete) and _NAME.fullmatch(method.name)
    ]


def _config_of(ctx: click.Context) -> str:
    """The configuration that the words so far name."""
    return str(ctx.params.get("config_path") or os.environ.get("BEE_CONFIG") or "bee.yml")


def _silently(find: Callable[[], list[CompletionItem]]) -> list[CompletionItem]:
    folder = os.getcwd()  # noqa: PTH109  # a text is wanted
    if folder not in sys.path:
        sys.path.append(folder)
    with _silence():
        try:
            return find()
        except Exception:  # whatever it is, it is no completion
            return []


@contextmanager
def _silence() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands, services and methods.

    \b
        bash: echo 'eval "$(bee completion bash)"' >> ~/.bashrc
        zsh:  echo 'eval "$(bee completion zsh)"' >> ~/.zshrc
        fish: echo 'bee completion fish | source' >> ~/.config/fish/config.fish

    Methods are those that the service itself says; one that does not answer within a second
    completes nothing.
    """  # noqa: D301  # \b is click's mark for a paragraph that keeps its lines
    from click.shell_completion import get_completion_class

    from .command_group import bee

    made = get_completion_class(shell)
    assert made is not None  # noqa: S101  # click has those three
    # Not source(): of bash it starts one to ask for its version.
    maker = made(bee, {}, "bee", "_BEE_COMPLETE")
    # A signature has commas, and click's script for fish ends it at the first one.
    script = maker.source_template.replace('string split ","', 'string split -m 1 ","')
    click.echo(_BEFORE.get(shell, "") + script % maker.source_vars())
