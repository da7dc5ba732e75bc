from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import shutil
import stat
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest

from bee_core.errors import IdTaken, LeaseLost, RegistryError
from bee_core.interfaces import Instance, RegistrySettings
from bee_core.plugins.hub import PluginHub
from bee_core.terms.node import Node
from bee_core.testing import RegistryContract
from bee_core.testing.registry_contract import Watching
from bee_plugins.registries.local.folder import choose_root
from bee_plugins.registries.local.registry import LocalRegistry
from bee_plugins.registries.shared.node_record import safe_name
from support import processes

CALC = Node("a", "tcp://127.0.0.1:9000", "1.2.0")
AT_ONCE = 0.2
"""Seconds within which a watcher is promised to learn of a change."""
SLACK = 0.3
"""Seconds that a busy machine may add to a promise."""


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def root(tmp_path):
    return tmp_path / "bee"


def registry_at(root, heartbeat=10.0):
    return LocalRegistry(RegistrySettings((str(root),), heartbeat))


@asynccontextmanager
async def watching(root, service="calc"):
    watcher = Watching(registry_at(root), service)
    try:
        yield watcher
    finally:
        await watcher.close()


def record_of(root, node=CALC, service="calc"):
    return root / safe_name(service) / f"{safe_name(node.id)}.json"


async def count_snapshots(watcher, seconds):
    """What it sees within a span in which it looks several times."""
    before = len(watcher.seen)
    await asyncio.sleep(seconds)
    return len(watcher.seen) - before


class TestLocalRegistryContract(RegistryContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.root = tmp_path / "bee"

    def make_registry(self):
        return registry_at(self.root, heartbeat=0.2)

    async def spoil(self, service, node, how):
        if how == "removed":
            record_of(self.root, node, service).unlink()
        else:
            record_of(self.root, node, service).write_text("garbage")


def test_the_plugin_is_found_by_its_name(root):
    class Ref:
        name, options, path = "local", {}, "bee.rpc.registry"

    registry = PluginHub().create(Ref(), "registry", RegistrySettings((str(root),)))
    assert registry.known("calc", (CALC,)) is None


# Watching.


def test_changes_are_seen_at_once(root):
    async def scenario():
        server = registry_at(root)
        async with watching(root) as watcher:
            await watcher.until_ids([])
            slowest = 0.0
            for _ in range(3):
                start = time.monotonic()
                lease = await server.register(Instance("calc", CALC))
                await watcher.until_ids(["a"])
                seen = time.monotonic()
                await lease.revoke()
                await watcher.until_ids([])
                slowest = max(slowest, seen - start, time.monotonic() - seen)
        assert slowest < AT_ONCE + SLACK

    asyncio.run(scenario())


def test_watching_fifty_nodes_takes_less_than_a_hundredth_of_a_core(root):
    async def scenario():
        server = registry_at(root)
        for number in range(50):
            await server.register(
                Instance("calc", Node(f"n{number}", f"tcp://127.0.0.1:{9000 + number}"))
            )
        async with watching(root) as watcher:
            await watcher.until(lambda snapshot: len(snapshot.nodes) == 50)
            start, cpu = time.monotonic(), time.process_time()
            assert await count_snapshots(watcher, 2.0) == 0
            assert time.process_time() - cpu < 0.01 * (time.monotonic() - start)

    asyncio.run(scenario())


def test_renewals_wake_nobody_and_leave_no_files(root):
    async def scenario():
        lease = await registry_at(root).register(Instance("calc", CALC))
        before = record_of(root).parent.stat().st_mtime_ns, json.loads(record_of(root).read_text())
        await lease.renew()
        after = record_of(root).parent.stat().st_mtime_ns, json.loads(record_of(root).read_text())
        assert after[0] == before[0]
        assert after[1].pop("renewed") > before[1].pop("renewed")
        assert after[1] == before[1]
        assert files(record_of(root).parent) == ["a.json"]

    asyncio.run(scenario())


def test_two_hundred_registrations_are_quick_and_each_is_seen(root):
    async def scenario():
        start = time.monotonic()
        servers = [registry_at(root) for _ in range(200)]
        for number, server in enumerate(servers):
            await server.register(
                Instance("calc", Node(f"n{number}", f"tcp://127.0.0.1:{9000 + number}"))
            )
        assert time.monotonic() - start < 2.0
        async with watching(root) as watcher:
            await watcher.until_ids([f"n{number}" for number in range(200)])
            for server in servers[::2]:
                await server.close()
            await watcher.until_ids([f"n{number}" for number in range(1, 200, 2)])

    asyncio.run(scenario())


# The folder.


def test_the_folder_and_the_records_are_for_their_owner_alone(root):
    asyncio.run(registry_at(root).register(Instance("calc", CALC)))
    assert [
        stat.S_IMODE(path.stat().st_mode) for path in (root, root / "calc", record_of(root))
    ] == [0o700, 0o700, 0o600]


def test_a_record_says_address_and_version_in_json(root):
    asyncio.run(registry_at(root).register(Instance("calc", CALC)))
    record = json.loads(record_of(root).read_text())
    assert (record["address"], record["version"], record["pid"], record["ttl"]) == (
        "tcp://127.0.0.1:9000",
        "1.2.0",
        os.getpid(),
        30.0,
    )


@pytest.mark.parametrize("act", ["register", "watch"])
@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(root, mode, act):
    root.mkdir()
    root.chmod(mode)
    with pytest.raises(RegistryError, match="chmod go-w"):
        asyncio.run(begin(root, act))


async def begin(root, act):
    registry = registry_at(root)
    await (
        registry.register(Instance("calc", CALC))
        if act == "register"
        else anext(registry.watch("calc"))
    )


@pytest.mark.parametrize("act", ["register", "watch"])
def test_a_folder_of_somebody_else_is_refused(root, act):
    if os.geteuid() == 0:
        root.mkdir(0o700)
        os.chown(root, 54321, -1)
    else:
        root = Path("/usr")
    with pytest.raises(RegistryError, match=r"belongs to user .* name a folder of your own"):
        asyncio.run(begin(root, act))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make somebody else's link")
def test_somebody_elses_link_is_not_followed(root, tmp_path):
    (tmp_path / "real").mkdir(0o700)
    root.symlink_to(tmp_path / "real")
    os.chown(root, 54321, -1, follow_symlinks=False)
    with pytest.raises(RegistryError, match="is not a folder"):
        asyncio.run(begin(root, "register"))


@pytest.mark.parametrize("act", ["register", "watch"])
def test_a_file_in_the_folders_place_is_named(root, act):
    root.write_text("")
    with pytest.raises(RegistryError, match="is not a folder; remove it"):
        asyncio.run(begin(root, act))


def test_a_missing_parent_is_a_mistake_to_report_when_registering(tmp_path):
    with pytest.raises(RegistryError, match="gone does not exist; create it"):
        asyncio.run(begin(tmp_path / "gone" / "bee", "register"))


def test_a_full_disk_is_an_error_that_says_so_and_leaves_nothing(root):
    program = """
import asyncio, resource, sys
from bee_core.errors import IdTaken, LeaseLost, RegistryError
from bee_core.interfaces import Instance, RegistrySettings
from bee_core.terms.node import Node
from bee_plugins.registries.local.registry import LocalRegistry
resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))
try:
    instance = Instance("calc", Node("a", "tcp://127.0.0.1:9000"))
    asyncio.run(LocalRegistry(RegistrySettings((sys.argv[1],))).register(instance))
except RegistryError as error:
    print(error)
"""
    said = processes.run(
        [sys.executable, "-c", program, str(root)],
        timeout=20,
        check=True,
    ).stdout
    assert "cannot be registered in" in said
    assert "make room" in said
    assert files(root / "calc") == []


def test_a_watch_of_a_missing_folder_warns_once_and_waits_for_a_server(root, caplog):
    async def scenario():
        async with watching(root) as watcher:
            await watcher.until_ids([])
            await count_snapshots(watcher, 1.2)
            lease = await registry_at(root).register(Instance("calc", CALC))
            await watcher.until_ids(["a"])
            await lease.revoke()

    asyncio.run(scenario())
    assert [
        record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING
    ] == [
        (
            f"the registry's folder {root} does not exist; "
            "waiting for a server of calc to register there"
        )
    ]


@pytest.mark.parametrize("whole", [True, False], ids=["root", "service"])
def test_a_folder_that_is_removed_is_made_again_by_the_next_renewal(root, whole):
    async def scenario():
        server = registry_at(root)
        lease = await server.register(Instance("calc", CALC))
        async with watching(root) as watcher:
            await watcher.until_ids(["a"])
            shutil.rmtree(root if whole else root / "calc")
            await watcher.until_ids([])
            await lease.renew()
            await watcher.until_ids(["a"])
            assert lease.repairs == 1
            await lease.renew()
            assert lease.repairs == 1

    asyncio.run(scenario())


def test_the_folder_is_chosen_from_address_then_environment_then_the_users_own(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environ = {"BEE_LOCAL_DIR": "/one", "XDG_RUNTIME_DIR": str(tmp_path)}
    assert choose_root(("/two",), environ) == "/two"
    assert choose_root((), environ) == "/one"
    del environ["BEE_LOCAL_DIR"]
    assert choose_root((), environ) == f"{tmp_path}/bee"
    assert choose_root((), {}) == f"{tmp_path}/bee-{os.geteuid()}"
    assert (
        choose_root((), {"XDG_RUNTIME_DIR": f"{tmp_path}/gone"}) == f"{tmp_path}/bee-{os.geteuid()}"
    )


@pytest.mark.parametrize("addresses", [("localhost:2379",), ("bee",), ("/a", "/b")])
def test_an_address_that_is_no_absolute_folder_is_refused(addresses):
    with pytest.raises(ValueError, match=r"absolute path|has one folder"):
        choose_root(addresses, {})


def test_names_become_files_of_their_own_and_never_leave_the_folder():
    names = [
        "",
        ".",
        "..",
        ".a",
        "a/b",
        "a%2Fb",
        "/",
        "%",
        "ü",
        "\udcff",
        "x" * 400,
        "x" * 401,
        "ü" * 300,
        "a\x00b",
        "a b",
    ]
    files = [safe_name(name) for name in names]
    assert len(set(files)) == len(names)
    assert all(
        0 < len(file) <= 180 and "/" not in file and "\x00" not in file and not file.startswith(".")
        for file in files
    )


# Files that are no records.


def test_hostile_files_are_skipped_with_one_warning_each(root, caplog):
    def plant(name, **changes):
        (folder / name).write_text(
            json.dumps(template | {"id": name.removesuffix(".json")} | changes)
        )

    async def scenario():
        nonlocal folder, template
        lease = await registry_at(root).register(Instance("calc", CALC))
        folder = record_of(root).parent
        template = json.loads(record_of(root).read_text())
        (folder / "link.json").symlink_to(record_of(root))
        os.mkfifo(folder / "fifo.json")
        (folder / "folder.json").mkdir()
        os.mknod(folder / "socket.json", stat.S_IFSOCK | 0o600)  # to bind one takes a short path
        (folder / "huge.json").write_bytes(b" " * (64 * 1024 + 1))
        (folder / "half.json").write_bytes(record_of(root).read_bytes()[:100])
        (folder / "empty.json").write_bytes(b"")
        (folder / "binary.json").write_bytes(b"\xff\xfe\x00")
        (folder / "deep.json").write_bytes(b"[" * 50_000)
        (folder / "deep-inside.json").write_bytes(b'{"x":' + b"[" * 50_000)
        (folder / "list.json").write_text("[1]")
        (folder / "notes.txt").write_text("hello")
        plant("types.json", weight="2")
        plant("url.json", address="tcp://")
        plant("scheme.json", address="1x://y")
        plant("nowhere.json", address="tcp://0.0.0.0:9000")
        plant("weight.json", weight=-1)
        plant("workers.json", workers=0)
        plant("else.json", id="calc-1")
        plant("service.json", service="other")
        async with watching(root) as watcher:
            assert (await watcher.until(lambda _: True)).nodes == (CALC,)
            assert await count_snapshots(watcher, 1.2) == 0
        async with watching(root) as watcher:
            await watcher.until_ids(["a"])
        await lease.revoke()
        return files(folder)

    folder, template = None, None
    left = asyncio.run(scenario())
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(left) == 20, "bee removes nothing that it has not made"
    for name in left:
        # Two registries have looked: each warns once.
        assert (
            len([line for line in warned if f"/{name} " in line and line.endswith("it is skipped")])
            == 2
        ), name
    assert len(warned) == 2 * len(left)


def test_what_is_not_a_file_under_a_servers_id_is_named_and_left(root):
    asyncio.run(registry_at(root).close())
    record_of(root).parent.mkdir(parents=True)
    root.chmod(0o700)
    record_of(root).parent.chmod(0o700)
    record_of(root).symlink_to("/etc/passwd")
    with pytest.raises(RegistryError, match="is not a regular file; remove it"):
        asyncio.run(begin(root, "register"))


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (attrs.evolve(CALC, tags=frozenset({"x" * 70_000})), "and a record may have 65536"),
        (attrs.evolve(CALC, url="tcp://0.0.0.0:9000"), "nobody can call"),
    ],
    ids=["huge", "wildcard"],
)
def test_a_record_that_others_would_skip_cannot_be_registered(root, node, says):
    with pytest.raises(RegistryError, match=says):
        asyncio.run(registry_at(root).register(Instance("calc", node)))


@pytest.mark.parametrize(
    "changes",
    [{"boot": "another"}, {"renewed": time.monotonic() + 1e6}, {"renewed": 0.0, "ttl": 0.1}],
    ids=["boot", "ahead", "out"],
)
def test_a_record_of_another_boot_or_out_of_its_time_is_not_alive_although_its_lock_is_held(
    root, changes, caplog
):
    async def scenario():
        server = registry_at(root)
        await server.register(Instance("calc", CALC))
        record = json.loads(record_of(root).read_text())
        with (record_of(root).parent / "b.json").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(record | {"id": "b"} | changes))
            file.flush()
            async with watching(root) as watcher:
                await watcher.until_ids(["a"])
            file.seek(0)
            file.truncate()
            file.write(json.dumps(record | {"id": "b"}))
            file.flush()
            async with watching(root) as watcher:
                await watcher.until_ids(["a", "b"])

    asyncio.run(scenario())
    assert not caplog.records


# Ids.


def test_an_id_that_lives_is_refused_to_another_server_and_the_first_stays(root):
    async def scenario():
        first, second = registry_at(root), registry_at(root)
        lease = await first.register(Instance("calc", CALC))
        with pytest.raises(
            IdTaken,
            match=f"process {os.getpid()} at {CALC.url} has registered the id 'a' and lives",
        ):
            await second.register(Instance("calc", attrs.evolve(CALC, url="tcp://127.0.0.1:9001")))
        assert files(record_of(root).parent) == ["a.json"]
        await lease.renew()
        await first.close()
        await second.register(Instance("calc", CALC))

    asyncio.run(scenario())


def test_a_registry_that_registers_an_id_again_replaces_its_own(root):
    async def scenario():
        server = registry_at(root)
        old = await server.register(Instance("calc", CALC))
        new = await server.register(Instance("calc", attrs.evolve(CALC, weight=3.0)))
        await new.renew()
        with pytest.raises(LeaseLost, match="registered again"):
            await old.renew()
        async with watching(root) as watcher:
            assert [node.weight for node in (await watcher.until_ids(["a"])).nodes] == [3.0]

    asyncio.run(scenario())


# Records that somebody else wrote to.


def in_place(record):
    record.write_text(json.dumps({"address": "tcp://127.0.0.1:1"}))


def longer(record):
    with record.open("a") as file:
        file.write("{}")


def by_another_file(record):
    other = record.with_name("other")
    other.write_text(record.read_text().replace("9000", "9999"))
    other.rename(record)


@pytest.mark.parametrize("spoil", [in_place, longer, by_another_file, Path.unlink])
def test_a_renewal_writes_the_record_again(root, spoil):
    async def scenario():
        lease = await registry_at(root).register(Instance("calc", CALC))
        for repairs in (1, 2):
            spoil(record_of(root))
            await lease.renew()
            assert lease.repairs == repairs
            assert json.loads(record_of(root).read_text())["address"] == CALC.url
            await lease.renew()
            assert lease.repairs == repairs
        async with watching(root) as watcher:
            assert (await watcher.until_ids(["a"])).nodes == (CALC,)
        assert files(record_of(root).parent) == ["a.json"]
        await lease.revoke()
        assert files(record_of(root).parent) == []

    asyncio.run(scenario())


def test_a_renewal_leaves_the_record_of_another_process_that_lives(root):
    async def scenario():
        first, second = registry_at(root), registry_at(root)
        lease = await first.register(Instance("calc", CALC))
        record_of(root).unlink()
        other = attrs.evolve(CALC, url="tcp://127.0.0.1:9001")
        await second.register(Instance("calc", other))
        with pytest.raises(IdTaken, match=other.url):
            await lease.renew()
        await lease.revoke()
        async with watching(root) as watcher:
            assert (await watcher.until_ids(["a"])).nodes == (other,)

    asyncio.run(scenario())


def test_a_renewal_that_cannot_write_keeps_the_lease_and_the_next_one_repairs(root):
    async def scenario():
        lease = await registry_at(root).register(Instance("calc", CALC))
        shutil.rmtree(root)
        root.write_text("in the way")
        with pytest.raises(RegistryError, match="is not a folder; remove it") as raised:
            await lease.renew()
        assert not isinstance(raised.value, LeaseLost)
        root.unlink()
        await lease.renew()
        assert files(root / "calc") == ["a.json"]

    asyncio.run(scenario())


# What tells silence from quiet.


def test_the_namespace_is_the_folder(root):
    assert registry_at(root).namespace == f"folder={root}"


def test_the_namespace_is_the_folder_also_where_no_address_names_it(root, monkeypatch):
    monkeypatch.setenv("BEE_LOCAL_DIR", str(root))
    assert LocalRegistry(RegistrySettings()).namespace == f"folder={root}"


def test_a_folder_that_cannot_be_trusted_any_more_is_not_confirmed(root):
    async def scenario():
        watcher = Watching(registry_at(root, heartbeat=0.1), "calc")
        await watcher.until(lambda _: watcher.confirmed >= 1)
        root.mkdir()
        root.chmod(0o777)
        with pytest.raises(RegistryError, match="chmod go-w"):
            await watcher.until_ids(["a"])

    asyncio.run(scenario())
