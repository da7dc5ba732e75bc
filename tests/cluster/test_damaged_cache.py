"""The client's list on disk, damaged in every way.

Calls do not care while the registry answers, and the configured address stands in while it does
not.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

import bee_core
from bee_core.control.snapshot_cache import FORMAT
from cluster.servers import client_config, local, when
from support.patience import PATIENCE


def corrupt(path):
    text = path.read_text()
    path.write_text(text.replace("127.0.0.1", "127.0.0.9"))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def from_a_newer_version(path):
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "format": FORMAT + 1, "more": True}))


def unwritable(path):
    """Also to root, who may write anything: a file stands where the folder should be."""
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("")


def empty(path):
    path.write_bytes(b"")


DAMAGES = [corrupt, truncate, empty, from_a_newer_version, unwritable]


@pytest.fixture
def kept(start, folder, own_cache_folder):
    """The server, and the file in which a client has kept its list of it."""
    (server,) = start(1)
    with bee_core.build_client(client_config(local(folder))) as client:
        assert client.service("calc").echo(1) == 1
        when(lambda: list(own_cache_folder.glob("*.json")), "no list was kept")
    (path,) = Path(own_cache_folder).glob("*.json")
    return server, path


@pytest.mark.parametrize("damage", DAMAGES)
def test_with_its_registry_a_client_does_not_need_the_damaged_list_and_replaces_it(
    kept, folder, record, caplog, damage
):
    server, path = kept
    damage(path)
    with (
        caplog.at_level(logging.WARNING, "bee.client"),
        bee_core.build_client(client_config(local(folder))) as client,
    ):
        assert client.service("calc").echo(2) == 2
        assert client.nodes("calc").source == "registry"
        if damage is unwritable:
            when(lambda: "BEE_CACHE_DIR" in caplog.text, "nobody says that the list cannot be kept")
        else:
            when(lambda: is_sound(path, server.url), "the damaged list was not replaced")
            assert "is replaced when the registry answers" in caplog.text
    record(f"cache {damage.__name__}, registry there", calls=1, failed=0)


def is_sound(path, url):
    try:
        document = json.loads(path.read_text())
    except ValueError:
        return False
    listed = [node["url"] for node in document["content"]["nodes"]]
    return document["format"] == FORMAT and listed == [url]


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_its_registry_a_client_calls_the_configured_address_and_never_what_a_damaged_list_says(
    kept, folder, record, damage
):
    server, path = kept
    damage(path)
    folder.chmod(
        0o777
    )  # others could write there, so nobody believes what it says: the registry is out of reach
    with bee_core.build_client(client_config(local(folder), address=server.url)) as client:
        reply = bee_core.detailed(client.service("calc").echo, 3)
        assert (reply.value, client.nodes("calc").source) == (3, "address")
    assert reply.seconds < PATIENCE / 2
    record(
        f"cache {damage.__name__}, registry out of reach",
        calls=1,
        failed=0,
        recover=reply.seconds,
        note="first call, at the configured address",
    )


def test_without_its_registry_a_client_starts_from_its_sound_list(kept, folder, record):
    folder.chmod(0o777)
    with bee_core.build_client(client_config(local(folder))) as client:
        reply = bee_core.detailed(client.service("calc").echo, 3)
        assert (reply.value, client.nodes("calc").source) == (3, "cache")
    record(
        "registry out of reach at start, sound cache",
        calls=1,
        failed=0,
        recover=reply.seconds,
        note="first call",
    )
