from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

import bee_core
from bee_core.cli.command_group import COMMANDS
from support.patience import PATIENCE


def found(shell):
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell}")
    return path


@pytest.fixture
def program(folder):
    """``bee`` in a folder of its own."""
    program = folder / "bin" / "bee"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bee_core "$@"\n')
    program.chmod(0o755)
    return program


def largest(a: int, b: int) -> int:
    return max(a, b)


@pytest.fixture
def calc(folder):
    """A service with two methods, in the configuration of the folder."""
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": "127.0.0.1:0"}}}}
    )
    server.add(largest)
    server.add(lambda: 2, name="least")
    with server.in_thread():
        dead = "dead: {address: '127.0.0.1:1'}"
        (folder / "bee.yml").write_text(
            f"bee: {{rpc: {{client: {{calc: {{address: '{server.address}'}}, {dead}}}}}}}"
        )
        yield


def line_of_the_page(shell):
    """The command that the page says for a shell."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
    (line,) = re.findall(rf"^\| {shell}[^|]*\| `(.+)` \|$", page.read_text("utf-8"), re.MULTILINE)
    return line.replace("\\|", "|")


@pytest.fixture
def bash(folder, program):
    """Press Tab in a real bash behind some words: what is offered."""
    shell = found("bash")
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


def test_commands_services_and_methods_are_completed(bash, calc):
    assert bash("bee", "de") == ["demo", "describe"]
    assert bash("bee", "call", "c") == ["calc"]
    assert bash("bee", "call", "calc", "la") == ["largest"]
    assert bash("bee", "describe", "calc.le") == ["calc.least"]
    assert bash("bee", "call", "dead", "l") == [], "silent"


def test_a_fish_that_was_set_up_as_the_page_says_completes(folder, program, calc):
    fish = found("fish")
    (folder / ".config" / "fish").mkdir(parents=True)
    env = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / ".config")}
    env["PATH"] = f"{program.parent}:{env['PATH']}"

    def typed(shell, words):
        done = subprocess.run(
            [shell, "-c", words],
            capture_output=True,
            text=True,
            check=True,
            cwd=folder,
            env=env,
            timeout=PATIENCE,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    typed("bash", line_of_the_page("fish"))
    assert typed(fish, "complete -C 'bee call c'") == ["calc"]
    signature = "largest(a: int, b: int) -> int"
    assert typed(fish, "complete -C 'bee call calc la'") == [f"largest\t{signature}"]


@pytest.mark.timeout(120)
def test_a_zsh_that_was_set_up_as_the_page_says_completes(folder, program, calc):
    zsh = found("zsh")
    env = {**os.environ, "HOME": str(folder), "ZDOTDIR": str(folder), "TERM": "dumb"}
    env["PATH"] = f"{program.parent}:{env['PATH']}"
    subprocess.run(["bash", "-c", line_of_the_page("zsh")], check=True, cwd=folder, env=env)
    terminal, inside = os.openpty()
    process = subprocess.Popen(
        [zsh, "-d", "-i"],
        cwd=folder,
        env=env,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )
    os.close(inside)
    said = ""

    def wait_for(text):
        nonlocal said
        deadline = time.monotonic() + PATIENCE
        while text not in said:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([terminal], [], [], max(left, 0.0))
            assert ready, f"{text!r} is not in {said!r}"
            said += os.read(terminal, 1 << 16).decode(errors="replace")
        said = said.partition(text)[2]

    try:
        # Not typed until the files of the shell have been read.
        os.write(terminal, b"PS1=ready-$((20 + 3))'> '\n")
        wait_for("ready-23> ")
        os.write(terminal, b"bee call calc la\t")
        wait_for("largest")
        os.write(terminal, b"\x15bee methods c\t")  # Ctrl-U takes the line away
        wait_for("calc")
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(terminal)


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
