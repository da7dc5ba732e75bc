from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

import bee_core
from bee_core.cli.command_group import bee, exit_code, one_line
from bee_core.errors import BeeError, ConfigError, PluginError, RemoteError
from bee_core.streams.client.native import PATH
from bee_plugins.codecs.plain_values import is_plain
from support import processes


def test_help_names_every_command(run):
    result = run("--help")
    assert result.code == 0
    named = [
        line.split()[0]
        for line in result.out.partition("Commands:")[2].splitlines()
        if line.strip()
    ]
    wanted = (
        "bench breaking call check completion demo describe diff explain health methods nodes"
        " plugins recent schema serve services simulate stub"
    )
    assert named == wanted.split()


def test_each_command_that_is_listed_can_be_loaded():
    context = click.Context(bee)
    for name in bee.list_commands(context):
        assert bee.get_command(context, name).name == name


def test_version_is_that_of_the_package_and_says_which_path_blocking_calls_take(run):
    plain = "pure" if is_plain is None else "native"
    parts = f"blocking calls: {PATH}, plain JSON: {plain}"
    assert run("--version").out == f"bee, version {bee_core.__version__} ({parts})\n"


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["xyzzy"], "error: No such command 'xyzzy' (see bee --help)"),
        (["serve"], "error: Missing argument 'TARGET...' (see bee serve --help)"),
        (["--xyzzy"], "error: No such option"),
        (["demo", "--seconds", "soon"], "(see bee demo --help)"),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_code_2(run, args, line):
    result = run(*args)
    assert (result.code, result.out) == (2, "")
    assert line in result.err
    assert result.err.count("\n") == 1


def test_a_reader_that_has_gone_is_no_matter_for_words():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        result = processes.run(
            [sys.executable, "-m", "bee_core", "plugins", "--json"],
            stdout=gone,
            stderr=subprocess.PIPE,
        )
    assert result.stderr == ""
    assert result.returncode == 1


def test_click_s_own_test_runner_sees_the_same_exit_codes():
    assert CliRunner().invoke(bee, ["--help"]).exit_code == 0
    assert CliRunner().invoke(bee, ["xyzzy"]).exit_code == 2


def test_exit_codes_tell_a_wrong_configuration_from_a_failure():
    assert [
        exit_code(error)
        for error in (
            ConfigError("x"),
            PluginError("x"),
            BeeError("x"),
            OSError("x"),
            KeyError("x"),
        )
    ] == [2, 2, 1, 1, 1]


def test_each_error_is_one_line():
    remote = RemoteError("no such order", service="shop", method="buy", executed="yes")
    remote.type = "KeyError"
    assert (
        one_line(remote) == "shop.buy: the handler raised KeyError: no such order (executed: yes)"
    )
    assert (
        one_line(FileNotFoundError(2, "No such file or directory", "x.yml"))
        == "x.yml: No such file or directory"
    )
    assert (
        one_line(ZeroDivisionError("division\nby zero"))
        == "ZeroDivisionError: division by zero (--debug shows where)"
    )
    two = (
        ConfigError("one", path="a", source="f.yml"),
        ConfigError("two", path="b", source="f.yml"),
    )
    assert (
        one_line(ConfigError("one", problems=two)) == "f.yml: a: one (and 1 more: bee check f.yml)"
    )


def test_errors_in_an_included_file_name_the_file_that_the_command_was_given(run, folder):
    (folder / "more.yml").write_text("bee: {rpc: {client: {calc: {retires: 1, timeout: x}}}}")
    (folder / "bee.yml").write_text("bee: {application: {include: more.yml}}")
    (folder / "conf").mkdir()
    (folder / "conf" / "other.yml").write_text("bee: {application: {include: ../more.yml}}")
    said = run("services").err
    assert "more.yml:1: bee.rpc.client.calc." in said
    assert said.endswith("(and 1 more: bee check bee.yml)\n")
    other = run("services", "--config", "conf/other.yml").err
    assert other.endswith("(and 1 more: bee check conf/other.yml)\n")
