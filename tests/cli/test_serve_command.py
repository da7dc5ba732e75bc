from __future__ import annotations

import json
import signal
import socket
import threading
import time

import pytest

from bee_core.errors import CallError

# ── running ───────────────────────────────────────────────────────────────────────────────────────


def test_the_ready_line_says_where_and_as_what_it_serves(start):
    line = start("serve", "app:Calculator").wait_for("listening on")
    words = line.split()[1:]
    assert words.pop(0) == "INFO"
    assert words.pop(0) == "bee.server:"
    assert words[:2] == ["listening", "on"]
    assert words[2].startswith("tcp://127.0.0.1:")
    assert not words[2].endswith(":0")
    assert words[3:] == ["as", "calc", "1.2.3"]


def test_a_class_a_file_and_a_function_are_served_together_under_their_names(start, connect):
    calc = connect(
        start("serve", "app:Calculator", "Stats=app.py:Stats", "welcome=app:greet").address()
    )
    assert calc.add(1, 2) == 3
    assert calc.Stats.mean([1, 2]) == 1.5
    assert calc.welcome("Ada") == "hello Ada"


def test_a_file_in_another_folder_imports_its_neighbours(start, connect, write):
    write("elsewhere/numbers_of_ours.py", "ANSWER = 42\n")
    write(
        "elsewhere/service.py",
        "from numbers_of_ours import ANSWER\ndef answer() -> int:\n    return ANSWER\n",
    )
    assert connect(start("serve", "elsewhere/service.py:answer").address()).answer() == 42


def test_a_ready_made_server_is_run_with_its_own_configuration(start, connect):
    process = start("serve", "app:SERVER")
    line = process.wait_for("listening on")
    assert line.endswith("as ready-made 3.1.4")


def test_address_on_the_command_line_wins_over_the_file(start, folder, write):
    write("bee.yml", 'bee: {rpc: {server: {name: calc, address: "192.0.2.1:1"}}}')
    assert (
        start("serve", "app:greet", "--address", "127.0.0.1:0")
        .address()
        .startswith("tcp://127.0.0.1:")
    )


def test_the_configuration_is_taken_from_the_environment(start, folder, monkeypatch, write):
    write("other.yml", "bee: {rpc: {server: {name: from-the-environment}}}")
    monkeypatch.setenv("BEE_CONFIG", "other.yml")
    assert "as from-the-environment" in start("serve", "app:greet").wait_for("listening on")


# ── leaving ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_leaves_with_0(start, number):
    process = start("serve", "app:Calculator")
    process.address()
    process.signal(number)
    assert process.exit_code() == 0
    assert [line.partition(" ")[2] for line in process.lines[1:]] == [
        "INFO bee.server: draining: 0 requests in flight",
        "INFO bee.server: gone",
    ]


def test_ctrl_c_under_load_fails_no_call_that_was_accepted(start, connect):
    process = start("serve", "app:Calculator")
    address = process.address()
    answered, errors, enough = [], [], threading.Event()

    def work():
        calc = connect(address, fail="failfast")
        try:
            while True:
                answered.append(calc.pause(0.02))
                if len(answered) >= 20:
                    enough.set()
        except CallError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert enough.wait(15)
    process.signal(signal.SIGINT)
    for thread in threads:
        thread.join()
    assert process.exit_code() == 0
    # Each caller's last call came too late and was turned away; none was begun and lost.
    assert [error.executed for error in errors] == ["no"] * 6, errors


def test_a_second_signal_leaves_at_once_though_a_handler_hangs(start, connect):
    process = start("serve", "app:Calculator")
    calc = connect(process.address())

    def hang():
        with pytest.raises(CallError, match="connection lost"):
            calc.hang()

    caller = threading.Thread(target=hang)
    caller.start()
    process.wait_for("hanging")
    process.signal(signal.SIGTERM)
    process.wait_for("draining: 1 requests in flight")
    process.signal(signal.SIGTERM)
    assert process.exit_code(5.0) == 128 + signal.SIGTERM  # drain_timeout is 30 s
    caller.join()


# ── what cannot be served ─────────────────────────────────────────────────────────────────────────


def test_a_port_in_use_is_one_line_and_exit_code_1(run, folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "app:greet", "--address", f"127.0.0.1:{port}")
    assert result.code == 1
    assert result.err.startswith(
        f"error: cannot listen on tcp://127.0.0.1:{port}: the port is in use"
    )
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("app", "'app' is not a TARGET; write module:attribute or file.py:attribute"),
        (":greet", "is not a TARGET"),
        ("nowhere:greet", "there is no module 'nowhere'"),
        ("app.deeper:greet", "there is no module 'app.deeper'"),
        ("no/such/app:greet", "is not the name of a module"),
        ("nowhere.py:greet", "there is no file nowhere.py"),
        ("app:gret", "app has no attribute 'gret'; did you mean 'greet'?"),
        ("app:Calculator.nothing", "app has no attribute 'Calculator.nothing'"),
        (
            "app:NeedsArguments",
            (
                "app:NeedsArguments cannot be made without arguments (missing a required "
                "argument: 'url')"
            ),
        ),
        ("app:Empty", "app:Empty: nothing to expose: Empty defines no public method"),
        ("sys=app:sys", "sys=app:sys: nothing to expose"),
    ],
)
def test_a_target_that_cannot_be_found_or_used_is_a_usage_error(run, folder, target, message):
    result = run("serve", target)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_two_objects_with_the_same_method_need_a_name(run, folder):
    result = run("serve", "app:Calculator", "app.py:Calculator")
    assert result.code == 2
    assert "name=module:attribute" in result.err


def test_an_exception_of_the_application_is_named_and_is_no_usage_error(run, folder, write):
    write("fails.py", "1 / 0\n")
    for target, message in (
        ("fails:x", "importing fails failed: ZeroDivisionError: division by zero"),
        ("fails.py:x", "importing fails.py failed: ZeroDivisionError: division by zero"),
        ("app:Broken", "app:Broken() failed: OSError: no database"),
    ):
        result = run("serve", target)
        assert (result.code, message in result.err) == (1, True), result.err
        assert "Traceback" not in result.err


def test_a_module_that_imports_what_is_not_there_is_not_said_to_be_missing_itself(
    run, folder, write
):
    write("imports.py", "import not_installed_anywhere\n")
    result = run("serve", "imports:x")
    assert result.code == 1
    assert (
        "importing imports failed: ModuleNotFoundError: No module named 'not_installed_anywhere'"
        in result.err
    )


def test_debug_adds_the_traceback_before_the_line(run, folder, write):
    write("fails.py", "1 / 0\n")
    for args in (("serve", "fails:x", "--debug"), ("--debug", "serve", "fails:x")):
        result = run(*args)
        assert "fails.py" in result.err
        assert "Traceback (most recent call last)" in result.err
        assert result.err.splitlines()[-1].startswith("error: importing fails failed")


def test_a_ready_made_server_takes_neither_a_configuration_nor_company(run, folder):
    assert "leave --config away" in run("serve", "app:SERVER", "--config", "bee.yml").err
    assert "leave --address away" in run("serve", "app:SERVER", "--address", "127.0.0.1:0").err
    result = run("serve", "app:SERVER", "app:greet")
    assert "must be the only TARGET" in result.err
    assert result.code == 2


def test_a_wrong_configuration_is_one_line_that_tells_how_to_see_the_rest(run, folder, write):
    write(
        "bee.yml",
        (
            "bee:\n  rpc:\n    server:\n      name: calc\n      bakclog: 1\n"
            "      max_conn_size: many\n"
        ),
    )
    result = run("serve", "app:greet")
    assert result.code == 2
    assert result.err.startswith("error: bee.yml:5: bee.rpc.server.bakclog:")
    assert result.err.endswith("(and 1 more: bee check bee.yml)\n")
    assert result.err.count("\n") == 1


def test_an_unknown_plugin_lists_what_is_installed(run, folder, write):
    write("bee.yml", "bee: {rpc: {server: {name: calc, macher: jsno}}}")
    result = run("serve", "app:greet")
    assert result.code == 2
    assert "unknown codec 'jsno'; installed: json" in result.err


def test_a_missing_configuration_says_where_it_was_looked_for_or_how_to_name_one(run, folder):
    assert "no.yml: there is no such file" in run("serve", "app:greet", "--config", "no.yml").err
    (folder / "bee.yml").unlink()
    result = run("serve", "app:greet")
    assert result.code == 2
    assert result.err == (
        "error: there is no bee.yml in this folder; name the configuration with --config "
        "FILE or $BEE_CONFIG\n"
    )


def test_an_address_that_is_none_is_a_usage_error(run, folder):
    result = run("serve", "app:greet", "--address", "somewhere nice")
    assert result.code == 2
    assert result.err.startswith("error: --address: address 'somewhere nice' has a space")


def test_a_configuration_without_a_server_says_what_is_missing(run, folder, write):
    write("bee.yml", "bee: {rpc: {}}")
    result = run("serve", "app:greet")
    assert result.code == 2
    assert "no server section" in result.err


# ── the log ───────────────────────────────────────────────────────────────────────────────────────

LOGGING_APP = """
import logging
log = logging.getLogger("shop.orders")
log.info("imported too early to be seen")

class Shop:
    def buy(self, what: str) -> None:
        log.debug("looking for %s", what)
        log.info("bought %s", what)
        logging.getLogger("httpx").info("a request")
"""


@pytest.mark.parametrize(
    ("level", "levels"),
    [
        ((), ["INFO"]),
        (("--log-level", "debug"), ["DEBUG", "INFO"]),
        (("--log-level", "warning"), []),
    ],
)
def test_the_applications_own_loggers_are_shown_from_the_level_on(
    start, connect, folder, level, levels
):
    (folder / "shop.py").write_text(LOGGING_APP)
    (folder / "bee.yml").write_text('bee: {rpc: {server: {name: calc, address: "127.0.0.1:0"}}}')
    path = folder / "calc.sock"
    process = start("serve", "shop:Shop", "--address", f"unix://{path}", *level)
    while not path.exists():
        assert process.process.poll() is None
        time.sleep(0.01)
    connect(f"unix://{path}").buy("tea\n2026 INFO forged\x1b[2J")
    process.signal(signal.SIGTERM)
    assert process.exit_code() == 0
    own = [line.split()[1:] for line in process.lines if " shop.orders: " in line]
    assert [words[0] for words in own] == levels
    assert all(words[1] == "shop.orders:" for words in own)
    assert not any("httpx" in line or "\x1b" in line for line in process.lines)
    assert not any(line.startswith("2026 INFO forged") for line in process.lines)


def test_json_lines_take_the_level_too(start, folder):
    process = start("serve", "app:Calculator", "--json-logs", "--log-level", "INFO")
    line = json.loads(process.wait_for("listening"))
    assert (line["level"], line["logger"]) == ("info", "bee.server")
    assert start_error(start) == 2


def start_error(start):
    return start("serve", "app:Calculator", "--log-level", "loud").exit_code()
