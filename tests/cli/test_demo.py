from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from bee_core.cli.demo.registry_server import SERVERS
from bee_core.cli.demo.scenario import Tally
from bee_core.cli.demo.screen import LivePicture, PlainLines, Rates, Row, bar_of, picture, wrapped
from bee_core.client.proxies import Reply
from bee_core.errors import Unavailable
from bee_core.terms.node import Node
from support import processes
from support.patience import PATIENCE, scaled
from support.registry_processes import require


def start_demo(*args, tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    return processes.start(
        [sys.executable, "-m", "bee_core", "demo", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def test_no_call_fails_while_a_server_is_killed_and_comes_back(tmp_path):
    demo = start_demo("--json", "--seconds", "4", tmp_path=tmp_path)
    out, err = demo.communicate(timeout=scaled(50.0))
    assert err == ""
    report = json.loads(out)
    assert report["failures"] == 0, report
    assert demo.returncode == 0
    assert report["calls"] == sum(node["calls"] for node in report["nodes"]) > 20
    assert [node["version"] for node in report["nodes"]] == ["1.0.0", "1.1.0", "2.0.0"]
    assert [node["calls"] > 0 for node in report["nodes"]] == [True, True, False]
    assert [node["reason"] for node in report["nodes"]] == [
        "",
        "",
        "version 2.0.0 is not in >=1.0, <2",
    ]
    assert report["killed"] in {node["address"] for node in report["nodes"]}
    assert report["moved_on"] > 0 or report["seconds_to_detect"] == report["seconds_to_delist"], (
        "the registry can be faster than the first call"
    )
    assert 0 < report["seconds_to_detect"] <= report["seconds_to_delist"] < scaled(5)
    assert 0 < report["seconds_to_recover"] < scaled(20)
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_it_tells_in_plain_lines_what_happens(tmp_path):
    demo = start_demo("--seconds", "2", "--keep", tmp_path=tmp_path)
    out, err = demo.communicate(timeout=scaled(50.0))
    assert (demo.returncode, err) == (0, "")
    assert "\x1b" not in out
    for text in (
        "Three servers",
        "starting 3 servers",
        "gets none: version 2.0.0 is not in >=1.0, <2",
        "killed tcp://",
        "noticed",
        "off the client's list",
        "started it again",
        "it answers again",
        "recovered",
        "is back: it answers",
        "0 failed",
    ):
        assert text in out
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "cache",
        "client.yml",
        "node-1.yml",
        "node-2.yml",
        "node-3.yml",
        "registry",
    ]
    check = processes.run(
        [sys.executable, "-m", "bee_core", "check", str(folder / "client.yml")],
    )
    assert check.stdout == f"{folder / 'client.yml'} can be used\n"


@pytest.mark.slow
@pytest.mark.parametrize("registry", ["etcd3", "consul", "zookeeper", "zk"])
def test_it_starts_the_server_of_another_registry_and_ends_it(tmp_path, registry):
    require(SERVERS[registry])
    demo = start_demo("--seconds", "2", "--registry", registry, "--keep", tmp_path=tmp_path)
    out, err = demo.communicate(timeout=55)
    assert (demo.returncode, err) == (0, "")
    assert f"started a server of {registry} at 127.0.0.1:" in out
    assert "0 failed" in out
    (folder,) = tmp_path.iterdir()
    assert f"protocol: {registry}\n" in (folder / "client.yml").read_text()
    address = re.search(r"started a server of .* at 127.0.0.1:(\d+)", out)[1]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(address))) != 0, "it is still there"


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)


def gone(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"  # ended, and whoever adopted it has not looked yet


@pytest.mark.skipif(sys.platform != "linux", reason="finds the children in /proc")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_the_servers_end_with_the_demo_however_it_ends(tmp_path, number, code):
    demo = start_demo("--seconds", "60", tmp_path=tmp_path)
    for line in demo.stdout:
        if "3 servers are up" in line:
            break
    servers = children(demo.pid)
    assert len(servers) == 3
    demo.send_signal(number)
    assert demo.wait(PATIENCE) == code
    assert demo.stderr.read() == ""
    demo.stdout.close()
    demo.stderr.close()
    wait_until(lambda: all(gone(pid) for pid in servers))
    if number != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []


# ── the tally ─────────────────────────────────────────────────────────────────────────────────────

A, B = Node("a", "tcp://a:1"), Node("b", "tcp://b:1")


def reply(node, attempts=1):
    return Reply(1, node, attempts, False, 0.001)


def test_detection_is_the_first_call_after_the_kill_that_needed_a_second_attempt():
    tally = Tally([A.url, B.url])
    tally.replied(reply(B, attempts=2), 9.0)
    tally.killed(A.url, 10.0)
    tally.replied(reply(B), 10.5)
    assert tally.seconds_to_detect is None
    tally.replied(reply(B, attempts=2), 11.0)
    tally.replied(reply(B, attempts=2), 12.0)
    assert tally.seconds_to_detect == 1.0
    assert A.url in tally.news


def test_recovery_is_the_first_answer_of_the_killed_node_after_its_restart():
    tally = Tally([A.url, B.url])
    tally.killed(A.url, 10.0)
    tally.replied(reply(A), 10.1)  # an answer that was under way
    assert tally.seconds_to_recover is None
    tally.restarted(13.0)
    tally.replied(reply(B), 13.1)
    assert tally.seconds_to_recover is None
    tally.replied(reply(A), 13.5)
    tally.replied(reply(A), 14.0)
    assert tally.seconds_to_recover == 0.5


def test_a_registry_that_is_faster_than_the_first_call_detects_the_death():
    tally = Tally([A.url, B.url])
    tally.listed([B.url], 9.0)
    tally.killed(A.url, 10.0)
    tally.listed([A.url, B.url], 10.1)
    assert tally.seconds_to_delist is None
    tally.listed([B.url], 10.5)
    tally.replied(reply(B, attempts=2), 11.0)
    assert (tally.seconds_to_delist, tally.seconds_to_detect) == (0.5, 0.5)


def test_a_failed_call_is_counted_and_shown_at_its_node():
    tally = Tally([A.url, B.url])
    tally.failed(Unavailable("nobody there", service="calc", method="add", node=B, attempts=3))
    assert (tally.calls, tally.failures) == (1, 1)
    assert "nobody there" in tally.news[B.url]


def test_the_note_of_a_node_that_came_back_says_so_and_nothing_of_its_death():
    tally = Tally([A.url, B.url])
    tally.killed(A.url, 10.0)
    tally.replied(reply(B, attempts=2), 11.0)
    assert "could not be reached" in tally.news[A.url]
    tally.restarted(13.0)
    tally.replied(reply(A), 13.5)
    assert tally.news[A.url] == "is back: it answers, 0.500 s after its start"


# ── the picture ───────────────────────────────────────────────────────────────────────────────────

ROWS = [
    Row("tcp://127.0.0.1:41000", "1.0.0", "serving", 380, "", ""),
    Row("tcp://127.0.0.1:42000", "1.1.0", "recovered", 120, "", "is back: it answers"),
    Row("tcp://127.0.0.1:43000", "2.0.0", "serving", 0, "version 2.0.0 is not in >=1.0, <2", ""),
]
RATES = {ROWS[0].address: 60.0, ROWS[1].address: 40.0, ROWS[2].address: 0.0}


def lines(width, **options):
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as shown:
        console.print(picture(ROWS, RATES, 100.0, width, **options))
    return [line.rstrip() for line in shown.get().splitlines() if line.strip()]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_picture_fits_its_terminal_and_breaks_no_word(width):
    shown = lines(width)
    assert max(map(len, shown)) <= width
    words = {word for line in shown for word in line.split()}
    for row in ROWS:
        name = row.address if width >= 72 else row.address.removeprefix("tcp://")
        assert name in words
        assert {row.state, str(row.calls), row.version} <= words
        assert set(row.note.split()) <= words
    assert "…" not in "".join(shown)


def test_notes_stand_below_the_nodes_and_name_them():
    titles, *rest = lines(80)
    assert titles.split() == ["node", "version", "state", "calls", "answers/s"]
    assert [line.split()[0] for line in rest[:3]] == [row.address for row in ROWS]
    assert rest[3] == f"{ROWS[1].address} is back: it answers"
    assert rest[4].startswith(f"{ROWS[2].address} gets no calls: version 2.0.0 is not in")


def test_each_node_has_a_bar_of_its_share():
    first, second, third = lines(100)[1:4]
    assert first.count("█") > second.count("█") > third.count("█") == 0
    assert first.endswith(" 60/s")
    assert "/s" not in third
    assert (bar_of(0.5, 4), bar_of(1.0, 4), bar_of(0.0, 4)) == ("██  ", "████", "    ")
    assert (bar_of(0.125, 4), bar_of(9.0, 2), bar_of(-1.0, 2)) == ("▌   ", "██", "  ")


def test_a_terminal_without_such_signs_gets_plain_ones():
    assert bar_of(0.5, 4, ascii_only=True) == "##  "
    assert all(line.isascii() for line in lines(80, ascii_only=True))


def test_rates_are_those_of_the_last_second():
    rates = Rates()
    row = ROWS[0]
    for tenth in range(40):
        calls = 100 * tenth // 10 if tenth <= 20 else 200  # it dies after two seconds
        now = rates.after([Row(row.address, "1", "serving", calls, "", "")], tenth / 10)
    assert now[row.address] == 0.0
    assert rates.most == pytest.approx(100.0, rel=0.15)


@pytest.mark.parametrize("width", [60, 80])
def test_text_is_wrapped_between_words(width):
    text = "killed tcp://127.0.0.1:41000 with SIGKILL; half-open --keep " * 6
    shown = wrapped(text, width, "    ").split("\n")
    assert max(map(len, shown)) <= width
    assert " ".join(shown).split() == text.split()
    assert all(line.startswith("    ") for line in shown[1:])
    assert wrapped("x" * 100, 60) == "x" * 100


def test_a_spinner_turns_while_there_is_nothing_to_show():
    console = Console(width=80, force_terminal=True, color_system=None, highlight=False)
    with console.capture() as shown, LivePicture(console) as screen:
        screen.waiting("starting 3 servers")
    assert "starting 3 servers …" in shown.get()


def test_events_of_a_picture_are_wrapped_below_their_time():
    console = Console(width=60, force_terminal=True, color_system=None, highlight=False)
    with console.capture() as shown, LivePicture(console) as screen:
        screen.event("noticed 0.020 s after the kill: " + "the call was answered " * 3)
    event = [line for line in shown.get().splitlines() if "noticed" in line or "answered" in line]
    assert len(event) > 1
    assert all(line.startswith(" " * 9) and len(line) <= 60 for line in event[1:])


def test_plain_lines_end_with_the_nodes(capsys):
    with PlainLines() as screen:
        screen.refresh(ROWS)
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == [
        "tcp://127.0.0.1:42000",
        "1.1.0",
        "recovered",
        "120",
        "calls",
        "is",
        "back:",
        "it",
        "answers",
    ]
