"""Connections that a server ends are said once, and then counted."""

from __future__ import annotations

import logging

import pytest

import bee_core
from bee_core.errors import Unauthenticated
from bee_core.streams.server.connection_lines import ConnectionLines
from faults.services import Calculator, serving
from faults.users import client_config


def test_a_client_with_a_wrong_token_fills_no_log(caplog):
    caplog.set_level(logging.INFO, "bee.server")
    with serving(Calculator(), tokens=["s" * 20]) as server:
        for _ in range(5):
            with (
                bee_core.build_client(client_config(server.address, token="x" * 20)) as client,
                pytest.raises(Unauthenticated),
            ):
                client.service("calc").add(1, 2)
    lines = [line for line in caplog.messages if line.startswith("refused ")]
    assert len(lines) == 2
    assert lines[0].startswith("refused 127.0.0.1:")
    assert "token" in lines[0]
    assert lines[1] == "refused 4 more connections of 127.0.0.1"


def test_each_host_and_each_kind_is_said(caplog):
    caplog.set_level(logging.INFO, "bee.server")
    lines = ConnectionLines(lambda *_: None)
    for host in ("10.0.0.1", "10.0.0.1", "10.0.0.2", None):
        lines.cut_off(f"{host}:1", host, "memory is full")
    lines.refused("10.0.0.1:1", "10.0.0.1", "wrong")
    lines.close()
    assert caplog.messages == [
        "10.0.0.1:1 leaves its replies unread and is cut off: memory is full",
        "10.0.0.2:1 leaves its replies unread and is cut off: memory is full",
        "None:1 leaves its replies unread and is cut off: memory is full",
        "refused 10.0.0.1:1: wrong",
        "cut off 1 more connections of 10.0.0.1",
    ]
