from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

import bee_core
from bee_core.cli.command_group import COMMANDS
from support.patience import PATIENCE


@pytest.fixture
def bash(folder):
    """Press Tab in a real bash behind some words: what is offered."""
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("there is no bash")
    program = folder / "bin" / "bee"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bee_core "$@"\n')
    program.chmod(0o755)
    said = subprocess.run(
        [program, "completion", "bash"], capture_output=True, text=True, check=True, cwd=folder
    )
    (folder / "completion.sh").write_text(said.stdout)

    def press_tab(*words):
        quoted = " ".join(f"'{word}'" for word in words)
        script = (
            f"export PATH={program.parent}:$PATH; . ./completion.sh; COMP_WORDS=({quoted});"
            f" COMP_CWORD={len(words) - 1}; _bee_completion bee; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
        result = subprocess.run(
            [shell, "--norc", "-c", script],
            capture_output=True,
            text=True,
            check=True,
            cwd=folder,
            timeout=PATIENCE,
        )
        assert result.stderr == ""
        return result.stdout.split()

    return press_tab


def test_commands_services_and_methods_are_completed(bash, folder):
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": "127.0.0.1:0"}}}}
    )
    server.add(lambda: 1, name="largest")
    server.add(lambda: 2, name="least")
    with server.in_thread():
        dead = "dead: {address: '127.0.0.1:1'}"
        (folder / "bee.yml").write_text(
            f"bee: {{rpc: {{client: {{calc: {{address: '{server.address}'}}, {dead}}}}}}}"
        )
        assert bash("bee", "de") == ["demo", "describe"]
        assert bash("bee", "call", "c") == ["calc"]
        assert bash("bee", "call", "calc", "la") == ["largest"]
        assert bash("bee", "describe", "calc.le") == ["calc.least"]
        assert bash("bee", "call", "dead", "l") == [], "silent"


def test_without_a_configuration_nothing_is_completed_and_nothing_said(bash, folder):
    (folder / "bee.yml").write_text("bee: [")
    assert bash("bee", "methods", "c") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_asks_bee(run, shell):
    result = run("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert f"_BEE_COMPLETE={shell}_complete" in result.out


def test_another_shell_is_refused(run):
    result = run("completion", "csh")
    assert (result.code, "'bash', 'zsh', 'fish'" in result.err) == (2, True)


def test_every_command_is_offered():
    import click

    from bee_core.cli.command_group import bee

    offered = {item.value for item in bee.shell_complete(click.Context(bee), "")}
    assert set(COMMANDS) <= offered
