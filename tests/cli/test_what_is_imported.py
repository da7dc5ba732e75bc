"""What ``import bee_core`` and the quick commands do not wait for.

Times differ from machine to machine; what is imported does not. Each entry costs at least as much
as the rest of what it is kept out of. What a future version of a dependency imports by itself, bee
cannot help; so only what bee decides on stands here.
"""

from __future__ import annotations

import os
import sys

import pytest

from support import processes

OF_EVERYTHING = {
    *("yaml", "attrs", "cattrs", "msgspec", "pluggy", "semver", "rich", "uvloop"),
    *("asyncio", "ssl", "socket", "logging", "importlib.metadata", "concurrent.futures"),
    *("bee_core.config", "bee_core.plugins", "bee_core.interfaces", "bee_core.hookspecs"),
    *("bee_core.client", "bee_core.server", "bee_core.streams", "bee_core.control"),
}
OF_WORDS = OF_EVERYTHING | {"traceback"}
OF_A_CHECK = {"rich", "uvloop", "bee_core.client", "bee_core.server"}

CLIENT = "bee: {rpc: {client: {calc: {address: 'tcp://127.0.0.1:9'}}}}"


def modules_after(program, folder):
    code = f"import sys; {program}; print(*sys.modules, file=sys.stderr)"
    environment = {name: text for name, text in os.environ.items() if name != "BEE_CONFIG"}
    command = [sys.executable, "-c", code]
    result = processes.run(command, cwd=folder, check=True, env=environment)
    return result.stdout, set(result.stderr.split())


def test_the_package_imports_nothing_that_a_first_use_may_need(tmp_path):
    _, loaded = modules_after("import bee_core", tmp_path)
    assert "bee_core.errors" in loaded
    assert not loaded & (OF_EVERYTHING | {"click", "inspect", "traceback", "threading"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--help"], "serve       Serve objects and functions"),
        (["xyzzy"], ""),  # its error goes elsewhere
    ],
)
def test_words_about_the_command_line_load_no_command(tmp_path, words, said):
    out, loaded = modules_after(f"from bee_core.cli import main; main({words})", tmp_path)
    assert said in out
    assert "bee_core.cli.command_group" in loaded
    assert not loaded & OF_WORDS


def test_a_check_of_a_client_loads_neither_a_client_nor_a_server(tmp_path):
    (tmp_path / "bee.yml").write_text(CLIENT)
    out, loaded = modules_after("from bee_core.cli import main; main(['check'])", tmp_path)
    assert out == "bee.yml can be used\n"
    assert not loaded & OF_A_CHECK


def test_data_for_programs_needs_nothing_that_draws(tmp_path):
    (tmp_path / "bee.yml").write_text(CLIENT)
    out, loaded = modules_after(
        "from bee_core.cli import main; main(['services', '--json'])", tmp_path
    )
    assert '"service": "calc"' in out
    assert "rich" not in loaded


def test_a_probe_of_an_address_needs_no_client(tmp_path):
    (tmp_path / "bee.yml").write_text(CLIENT)
    for asked in ("calc", "127.0.0.1:9"):
        out, loaded = modules_after(
            f"from bee_core.cli import main; main(['health', '{asked}'])", tmp_path
        )
        assert out.startswith("tcp://127.0.0.1:9: unreachable")
        assert not loaded & {*OF_A_CHECK, "asyncio", "concurrent.futures", "bee_plugins.codecs"}
