"""The folder of the registry ``local`` is removed while servers and clients use it."""

from __future__ import annotations

import shutil
import time

from cluster.load import Load
from cluster.servers import HEARTBEAT, listed, urls, when


def test_servers_write_their_records_again_and_no_call_fails_when_the_folder_is_removed(
    start, connect, folder, record
):
    servers = start(3)
    client = connect(idempotent=False)
    with Load(client, "write") as load:
        assert listed(client) == urls(servers)
        removed = time.monotonic()
        shutil.rmtree(folder)
        for server in servers:
            server.expect("wrote the record of")
        again = time.monotonic()
        when(lambda: listed(client) == urls(servers), "the list is not right again")
        # A client of its own has nothing but the folder to go by.
        newcomer = connect()
        right = when(lambda: listed(newcomer) == urls(servers), "a new client does not find all")
        load.await_more(200)
    assert load.failed == []
    assert again - removed < 2 * HEARTBEAT + 1
    record(
        "folder of local removed",
        load,
        detect=again - removed,
        recover=right - removed,
        note="detect: all servers have written their records again",
    )
