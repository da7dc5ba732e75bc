"""The gateway with real servers: users, TLS, several addresses, servers that are not etcd."""

from __future__ import annotations

import asyncio

import pytest
import trustme

from bee_core.errors import RegistryError
from bee_plugins.registries.etcd3.gateway import Gateway
from bee_plugins.registries.etcd3.http import EtcdError
from bee_plugins.registries.etcd3.messages import PERMISSION_DENIED
from bee_plugins.registries.etcd3.registry import EtcdOptions, member_addresses
from bee_plugins.registries.shared.servers import https_context
from support.etcd_servers import AskingTlsEtcd, MisnamedTlsEtcd, TlsEtcd, enable_users, etcdctl
from support.patience import scaled
from support.ports import fixed_port
from support.registry_processes import Etcd
from support.tcp_relay import TcpRelay

KEY = b"/bee/rpc/calc/providers/a"
PREFIX = b"/bee/rpc/calc/providers/"


def ask(scenario, *addresses, timeout=10.0, options=None):
    """Run a scenario with a client."""

    async def whole():
        user = (
            None
            if options is None or options.username is None
            else (options.username, options.password)
        )
        gateway = Gateway(
            addresses,
            timeout,
            tls=https_context(options or EtcdOptions(), member_addresses(addresses)),
            user=user,
        )
        try:
            return await scenario(gateway)
        finally:
            await gateway.close()

    return asyncio.run(whole())


def url(server):
    return f"http://{server.address}"


async def get(gateway, key=KEY):
    """The key, or None."""
    kvs = (await gateway.page(key, key + b"\0", 1, 0)).kvs
    return kvs[0] if kvs else None


# Users.


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    from support.registry_processes import made

    server = made(Etcd, tmp_path_factory.mktemp("etcd-users"), "--auth-token-ttl=1")
    server.start()
    enable_users(server)
    yield server
    server.stop()


def user(name="bee", password="honey"):
    return EtcdOptions(username=name, password=password)


def test_a_user_reads_writes_and_watches_under_the_prefix(guarded):
    async def scenario(gateway):
        assert await gateway.grant(71, 30) == 30
        assert await gateway.put_if(KEY, b"x", 71, 0) is None
        stream = await gateway.watch(PREFIX, 1, 10.0)
        try:
            assert (await stream.next(10.0)).events[0].kv.lease == 71
        finally:
            await stream.close()
        await gateway.revoke(71)
        return await get(gateway)

    assert ask(scenario, url(guarded), options=user()) is None


@pytest.mark.parametrize(
    "wrong", [user(password="vinegar"), user(name="nobody")], ids=["password", "name"]
)
def test_wrong_credentials_are_an_error_that_says_so_without_the_password(guarded, wrong):
    with pytest.raises(
        RegistryError,
        match=r"refuses the user '(bee|nobody)' and its password.*"
        r"correct bee.rpc.registry.options.username and password",
    ) as caught:
        ask(get, url(guarded), options=wrong)
    assert "honey" not in str(caught.value)
    assert "vinegar" not in str(caught.value)


def test_a_user_that_is_missing_is_asked_for(guarded):
    with pytest.raises(
        RegistryError,
        match=r"user name is empty; it wants a user: "
        r"set bee.rpc.registry.options.username and password",
    ):
        ask(get, url(guarded))

    async def watch(gateway):
        await (await gateway.watch(PREFIX, 1, 10.0)).close()

    with pytest.raises(EtcdError, match="permission denied"):
        ask(watch, url(guarded))


def test_what_the_user_may_not_do_is_explained(guarded):
    async def elsewhere(gateway):
        await get(gateway, b"/other")

    with pytest.raises(EtcdError, match=r"permission denied; give the user 'bee' a role") as caught:
        ask(elsewhere, url(guarded), options=user())
    assert caught.value.code == PERMISSION_DENIED


@pytest.mark.parametrize("act", ["get", "watch"])
def test_a_token_that_is_not_known_any_more_is_replaced(guarded, act):
    async def scenario(gateway):
        await get(gateway)
        gateway.members.token = stale = "forgotten.1"  # what a restart of etcd makes of a token
        if act == "get":
            await asyncio.gather(*(get(gateway) for _ in range(5)))
        else:
            await (await gateway.watch(PREFIX, 1, 10.0)).close()
        return gateway.members.token != stale

    assert ask(scenario, url(guarded), options=user())


def test_a_user_may_be_configured_before_etcd_asks_for_one(start_registry):
    server = start_registry(Etcd)

    async def scenario(gateway):
        assert await get(gateway) is None
        await asyncio.to_thread(enable_users, server)
        assert await get(gateway) is None

    ask(scenario, url(server), options=user())


def test_tokens_outlive_a_restart_of_etcd(start_registry):
    server = start_registry(Etcd)
    enable_users(server)

    async def scenario(gateway):
        await get(gateway)
        await asyncio.to_thread(server.restart)
        assert await get(gateway) is None

    ask(scenario, url(server), options=user())


# TLS.


def test_tls_with_a_certificate_of_ones_own_authority(start_registry):
    server = start_registry(TlsEtcd)
    options = EtcdOptions(ca=server.ca)

    async def scenario(gateway):
        assert await get(gateway) is None
        stream = await gateway.watch(PREFIX, 0, 10.0)
        await gateway.grant(5, 30)
        await gateway.put_if(KEY, b"x", 5, 0)
        assert (await stream.next(10.0)).events[0].kv.key == KEY
        await stream.close()
        return True

    assert ask(scenario, server.url, options=options)
    assert ask(get, server.url.replace("127.0.0.1", "localhost"), options=options) is not None


def test_a_certificate_that_is_not_trusted_or_for_another_name_is_refused(start_registry, tmp_path):
    server = start_registry(TlsEtcd)
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    for options in (EtcdOptions(), EtcdOptions(ca=str(tmp_path / "other.pem"))):
        with pytest.raises(RegistryError, match=r"certificate is not trusted.*options.ca"):
            ask(get, server.url, options=options)


def test_a_certificate_for_another_name_is_refused(start_registry):
    server = start_registry(MisnamedTlsEtcd)
    with pytest.raises(RegistryError, match=r"is not trusted \(IP address mismatch"):
        ask(get, server.url, options=EtcdOptions(ca=server.ca))


def test_a_client_without_a_certificate_is_told_so_and_one_with_it_gets_in(start_registry):
    server = start_registry(AskingTlsEtcd)
    with pytest.raises(
        RegistryError, match=r"does not take this client's certificate.*options.cert and key"
    ):
        ask(get, server.url, options=EtcdOptions(ca=server.ca))
    cert, key = server.client_files()
    assert ask(get, server.url, options=EtcdOptions(ca=server.ca, cert=cert, key=key)) is None


def test_plain_and_tls_mixed_up_are_said_so(start_registry):
    server = start_registry(TlsEtcd)
    with pytest.raises(ConnectionError, match=r"is http:// meant"):
        ask(get, f"https://{server.address}", options=EtcdOptions(ca=server.ca))
    with pytest.raises(ConnectionError, match=r"if etcd wants TLS, write https://"):
        ask(get, server.url.replace("https", "http"))


# Addresses.


def test_the_next_address_is_asked_when_one_is_dead_and_then_kept(etcd):
    dead = f"http://127.0.0.1:{fixed_port()}"

    async def scenario(gateway):
        await get(gateway)
        return gateway.members.current

    assert ask(scenario, dead, url(etcd)) == url(etcd)


def timed_get(*addresses, **settings):
    """Seconds that reading takes the first and the second time."""

    async def scenario(gateway):
        loop = asyncio.get_running_loop()
        start = loop.time()
        await get(gateway)
        first = loop.time() - start
        await get(gateway)
        return first, loop.time() - start - first

    return ask(scenario, *addresses, **settings)


def test_a_silent_address_costs_a_quarter_of_a_second_and_only_once(start_registry, etcd):
    frozen = start_registry(Etcd)
    frozen.freeze()
    first, second = timed_get(url(frozen), url(etcd), timeout=20.0)
    frozen.thaw()
    assert 0.25 <= first < scaled(1.5)
    assert second < min(0.25, first)


def test_a_member_that_is_silent_while_it_makes_a_token_holds_nobody_up(start_registry, guarded):
    frozen = start_registry(Etcd)
    frozen.freeze()
    first, _ = timed_get(url(frozen), url(guarded), timeout=20.0, options=user())
    frozen.thaw()
    assert 0.25 <= first < scaled(1.5)


def test_a_watch_is_begun_at_the_next_address_when_one_is_silent(start_registry, etcd):
    frozen = start_registry(Etcd)
    frozen.freeze()

    async def scenario(gateway):
        stream = await gateway.watch(PREFIX, 0, 20.0)
        await stream.close()
        return stream.address

    assert ask(scenario, url(frozen), url(etcd)) == url(etcd)
    frozen.thaw()


def test_whoever_loses_patience_asks_the_next_address_next_time(start_registry, etcd):
    frozen = start_registry(Etcd)
    frozen.freeze()

    async def scenario(gateway):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(get(gateway), 0.2)
        await asyncio.wait_for(get(gateway), 10.0)

    ask(scenario, url(frozen), url(etcd), timeout=30.0)
    frozen.thaw()


def test_no_address_of_use_is_an_oserror_that_names_them_all():
    dead = [f"http://127.0.0.1:{fixed_port()}" for _ in range(2)]
    with pytest.raises(
        ConnectionError, match=f"{dead[0]}: connection refused; {dead[1]}: connection refused"
    ):
        ask(get, *dead)


def test_a_name_that_does_not_resolve_is_said_so():
    with pytest.raises(ConnectionError, match=r"http://etcd.invalid:2379: (?!the connection)"):
        ask(get, "http://etcd.invalid:2379")


def test_silence_is_a_timeout(start_registry):
    frozen = start_registry(Etcd)
    frozen.freeze()
    with pytest.raises(TimeoutError, match=r"did not answer within 0\.[23]"):
        ask(get, url(frozen), timeout=0.3)

    async def watch(gateway):
        await gateway.watch(PREFIX, 1, 0.3)

    with pytest.raises(TimeoutError, match=r"did not answer within 0\.[23]"):
        ask(watch, url(frozen))
    frozen.thaw()


# Others than etcd.


def json_answer(status, body):
    head = f"HTTP/1.1 {status} Says\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"{head}{body}".encode()


def answered(*answers, act=get):
    """What a client makes of a server that answers so, on each connection."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for answer in answers:
            writer.write(answer)
            await writer.drain()
        writer.close()

    async def scenario():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            gateway = Gateway([f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"], 5.0)
            try:
                await act(gateway)
            finally:
                await gateway.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        json_answer(503, '{"error":"etcdserver: no leader","code":14}'),
        json_answer(504, '{"error":"etcdserver: request timed out","code":14}'),
        json_answer(404, "no such page"),
        json_answer(200, "{}"),
    ],
    ids=["no leader", "no quorum", "a proxy's page", "nothing"],
)
def test_a_member_that_is_partitioned_or_no_etcd_is_left_at_once_for_a_healthy_one(answer, etcd):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def scenario():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            bad = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            gateway = Gateway([bad, url(etcd)], 5.0)
            try:
                assert await get(gateway) is None
                assert gateway.members.current == url(etcd)
                gateway.members.current = bad
                stream = await gateway.watch(PREFIX, 0, 5.0)
                await stream.close()
                assert stream.address == url(etcd)
                gateway.members.current = bad
                assert await gateway.keep_alive(12345) == 0, "etcd knows, the other does not"
            finally:
                await gateway.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n",
            OSError,
            "404 'no', and not as the JSON gateway of etcd.*correct bee.rpc.registry.address",
        ),
        (json_answer(404, '{"error":"no such page","code":404}'), OSError, "no such page"),
        (json_answer(403, '{"message":"forbidden"}'), OSError, "forbidden"),
        (json_answer(301, ""), OSError, "answers 301"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", OSError, "502 '<html>'"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            OSError,
            "answers what cannot be read",
        ),
        (json_answer(200, "{}"), OSError, "answers '{}', and not as the JSON gateway"),
        (json_answer(200, '{"header":{},"kvs":[]}'), OSError, "not as the JSON gateway"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{}", OSError, "peer closed connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", OSError, "SSH"),
        (b"", OSError, "Server disconnected"),
    ],
)
def test_what_is_no_etcd_is_said_so(answer, kind, said):
    with pytest.raises(kind, match=said):
        answered(answer)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "{}"),
        (200, '{"result":{}}'),
        (404, '{"code":5,"message":"Not Found","details":[]}'),
    ],
)
def test_a_proxy_s_answer_is_not_taken_for_the_end_of_a_lease(status, body):
    async def keep_alive(gateway):
        raise AssertionError(await gateway.keep_alive(91))

    with pytest.raises(OSError, match="not as the JSON gateway"):
        answered(json_answer(status, body), act=keep_alive)


def test_an_answer_without_end_is_cut_off():
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with pytest.raises(RegistryError, match="larger than 16777216 bytes"):
        answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[chunk] * 20)


# Operations.


def test_a_lease_is_made_renewed_and_ended(etcd):
    async def scenario(gateway):
        assert await gateway.grant(91, 1) == 2, "etcd's shortest with its usual election timeout"
        assert await gateway.grant(91, 1) == 2, (
            "the same request again, as after an answer that was lost"
        )
        assert await gateway.keep_alive(91) == 2
        await gateway.revoke(91)
        await gateway.revoke(91)
        return await gateway.keep_alive(91)

    assert ask(scenario, url(etcd)) == 0


def test_a_key_is_put_only_where_it_is_as_it_was_found(etcd):
    key = b"/test/put-if"

    async def scenario(gateway):
        for lease in (101, 102, 103):
            await gateway.grant(lease, 60)
        assert await gateway.put_if(key, b"1", 101, 0) is None
        found = await gateway.put_if(key, b"2", 102, 0)
        assert (found.lease, found.value) == (101, b"1")
        assert (await gateway.put_if(key, b"2", 102, found.mod_revision - 1)).value == b"1"
        assert await gateway.put_if(key, b"2", 102, found.mod_revision) is None
        await gateway.revoke(101)
        assert (await get(gateway, key)).lease == 102, (
            "a lease does not take keys with it that have passed to another"
        )
        await gateway.revoke(102)
        assert (await gateway.put_if(key, b"3", 103, found.mod_revision)).key == b""
        await gateway.revoke(103)
        with pytest.raises(EtcdError, match="lease not found") as caught:
            await gateway.put_if(key, b"3", 103, 0)
        assert caught.value.says_no_lease

    ask(scenario, url(etcd))


def test_a_key_is_compared_with_the_record_and_the_lease_that_it_should_have(etcd):
    key = b"/test/differs"

    async def scenario(gateway):
        await gateway.grant(201, 60)
        assert (await gateway.differs(key, b"1", 201)).key == b""
        await gateway.put_if(key, b"1", 201, 0)
        assert await gateway.differs(key, b"1", 201) is None
        for value, lease in ((b"2", 201), (b"1", 202)):
            found = await gateway.differs(key, value, lease)
            assert (found.key, found.value, found.lease) == (key, b"1", 201)
        await gateway.revoke(201)

    ask(scenario, url(etcd))


def test_a_watch_of_compacted_revisions_says_so(start_registry):
    server = start_registry(Etcd)
    for _ in range(3):
        etcdctl(server, "put", "/x", "1")
    etcdctl(server, "compaction", "4")

    async def scenario(gateway):
        stream = await gateway.watch(b"/x", 2, 10.0)
        try:
            await stream.next(10.0)
        finally:
            await stream.close()

    with pytest.raises(EtcdError, match="compacted"):
        ask(scenario, url(server))


def test_requests_share_connections(etcd):
    async def scenario():
        async with TcpRelay(etcd.port) as relay:
            gateway = Gateway([f"http://{relay.address}"], 10.0)
            for _ in range(5):
                await get(gateway)
            connections = len(relay.pairs)
            await gateway.close()
            return connections, len(relay.requests)

    assert asyncio.run(scenario()) == (1, 5)


def test_after_closing_nothing_is_asked(etcd):
    async def scenario(gateway):
        await get(gateway)
        await gateway.close()
        await gateway.close()
        await get(gateway)

    with pytest.raises(RegistryError, match="closed"):
        ask(scenario, url(etcd))
