"""The way of one blocking call through the files of bee: short, so that it can be read."""

from __future__ import annotations

import sys

import bee_core

MOST = 17
"""Between files, on both paths: the pure one asks `blocking_socket.py`, the native one has a file
of its own."""


def add(a, b):
    return a + b


def ours(code):
    path = code.co_filename.replace("\\", "/")
    return next(
        (path[path.index(name) :] for name in ("bee_core/", "bee_plugins/") if name in path), None
    )


def test_a_call_passes_at_most_so_often_from_file_to_file():
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": "tcp://127.0.0.1:0"}}}}
    )
    server.add(add)
    passages, shortest = [], []

    def seen(frame, event, _):
        if event == "call" and frame.f_back is not None:
            here, before = ours(frame.f_code), ours(frame.f_back.f_code)
            if here and before and here != before:
                passages.append((before, here, frame.f_code.co_name))

    with server.in_thread():
        transport = {"name": "tcp", "options": {"busy_poll": 0}}
        calc = {"address": server.address, "transport": transport}
        # Off, since a first call is among the slowest, which go a longer way.
        application = {"recorder": False}
        config = {"bee": {"application": application, "rpc": {"client": {"calc": calc}}}}
        with bee_core.build_client(config) as client:
            proxy = client.service("calc")
            assert proxy.add(1, 2) == 3  # the connection is made, the plan is ready
            profiler = sys.getprofile()
            for _ in range(20):  # where the machine is busy, an answer that is late goes further
                passages.clear()
                sys.setprofile(seen)
                try:
                    result = proxy.add(1, 2)
                finally:
                    sys.setprofile(profiler)
                assert result == 3
                assert any(here.endswith("calls/flow.py") for _, here, _ in passages)
                shortest = min(shortest or passages[:], passages[:], key=len)
    assert len(shortest) <= MOST, "\n".join(" → ".join(passage) for passage in shortest)
