"""Requests to agents that want a token or a certificate, and to what is no agent at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import ssl
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import trustme

from bee_core.errors import RegistryError
from bee_core.interfaces import Instance
from bee_core.testing.registry_contract import FULL
from support.consul_parts import BOUND, ask, following, registry_at
from support.ports import fixed_port
from support.registry_processes import Consul

MASTER = "7d6c1bd7-2f9a-4f0a-8d6e-6a1a1a1a1a1a"
POLICY = 'service_prefix "calc" { policy = "%s" } node_prefix "" { policy = "read" }'


class GuardedConsul(Consul):
    """Nothing without a token."""

    def command(self, found):
        tokens = f'tokens = {{ master = "{MASTER}", agent = "{MASTER}" }}'
        acl = f'acl = {{ enabled = true, default_policy = "deny", {tokens} }}'
        return [*super().command(found), f"-hcl={acl}"]

    def ready(self):
        try:
            return len(ask(self, "/v1/catalog/nodes", token=MASTER)) > 0
        except (OSError, ValueError, TypeError):
            return False

    def token(self, policy):
        rules = {"Name": os.urandom(4).hex(), "Rules": POLICY % policy}
        ask(self, "/v1/acl/policy", rules, token=MASTER)
        return ask(self, "/v1/acl/token", {"Policies": [{"Name": rules["Name"]}]}, token=MASTER)[
            "SecretID"
        ]


class SecureConsul(Consul):
    """Only https, and only for clients with a certificate.

    Its third argument from the end is the folder of certificates.
    """

    def __init__(self, folder, *arguments, **settings):
        super().__init__(folder, *arguments, **settings)
        folder.mkdir(parents=True)
        self.authority = trustme.CA()
        self.certificates = folder.parent
        self.authority.cert_pem.write_to_path(str(self.certificates / "ca.pem"))
        for name, identity in (("server", "127.0.0.1"), ("client", "client.example")):
            issued = self.authority.issue_cert(identity)
            issued.private_key_and_cert_chain_pem.write_to_path(
                str(self.certificates / f"{name}.pem")
            )

    def command(self, found):
        path = self.certificates
        return [
            *(word for word in super().command(found) if not word.startswith("-http-port")),
            "-http-port=-1",
            (
                f'-hcl=ports {{ https = {self.port} }} ca_file = "{path}/ca.pem" '
                f'cert_file = "{path}/server.pem" key_file = "{path}/server.pem" '
                "verify_incoming_https = true"
            ),
        ]

    def ready(self):
        context = ssl.create_default_context(cafile=str(self.certificates / "ca.pem"))
        context.load_cert_chain(str(self.certificates / "client.pem"))
        try:
            with urllib.request.urlopen(
                f"https://{self.address}/v1/catalog/nodes", timeout=1, context=context
            ) as answer:
                return len(json.loads(answer.read())) > 0
        except (OSError, ValueError):
            return False


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario, BOUND))


@contextlib.asynccontextmanager
async def closing(registry):
    try:
        yield registry
    finally:
        await registry.close()


async def first_snapshot(registry, service="calc"):
    watch = registry.watch(service)
    try:
        return await watch.__anext__()
    finally:
        await watch.aclose()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    from support.registry_processes import made

    server = made(GuardedConsul, tmp_path_factory.mktemp("guarded"))
    server.start()
    yield server
    server.stop()


def test_with_the_right_tokens_servers_register_and_clients_watch(guarded):
    async def scenario():
        async with closing(registry_at(guarded.address, token=guarded.token("write"))) as server:
            lease = await server.register(Instance("calc-1", FULL))
            await lease.renew()
            async with following(
                registry_at(guarded.address, token=guarded.token("read")), "calc-1"
            ) as follower:
                await follower.until_ids(FULL.id)
                await lease.revoke()
                await follower.until_ids()
                assert follower.errors == []

    run(scenario())


def test_an_unknown_token_is_refused_with_words_that_say_so_and_do_not_show_it(guarded):
    async def scenario():
        async with closing(registry_at(guarded.address, token="wrong-word")) as registry:
            for request in (registry.register(Instance("calc", FULL)), first_snapshot(registry)):
                with pytest.raises(
                    RegistryError,
                    match=r"refuses the credentials: ACL not found; "
                    r"set bee.rpc.registry.options.token",
                ) as caught:
                    await request
                assert "wrong-word" not in str(caught.value)

    run(scenario())


def test_a_token_that_may_only_read_cannot_register(guarded):
    async def scenario():
        async with closing(registry_at(guarded.address, token=guarded.token("read"))) as registry:
            with pytest.raises(RegistryError, match="refuses the credentials: Permission denied"):
                await registry.register(Instance("calc", FULL))

    run(scenario())


def test_who_may_not_see_a_service_gets_an_error_and_no_empty_list(guarded):
    async def scenario():
        async with closing(registry_at(guarded.address)) as registry:
            with pytest.raises(RegistryError, match="shows nothing of calc for lack of rights"):
                await first_snapshot(registry)

    run(scenario())


def test_rights_that_are_taken_away_do_not_empty_the_list(guarded):
    async def scenario():
        token = guarded.token("read")
        async with closing(registry_at(guarded.address, token=MASTER)) as server:
            await server.register(Instance("calc-2", FULL))
            async with following(registry_at(guarded.address, token=token), "calc-2") as follower:
                await follower.until_ids(FULL.id)
                accessor = ask(guarded, "/v1/acl/token/self", token=token)["AccessorID"]
                ask(guarded, f"/v1/acl/token/{accessor}", method="DELETE", token=MASTER)
                error = await follower.until_error()
                assert isinstance(error, RegistryError)
                assert all(snapshot.nodes for snapshot in follower.seen)

    run(scenario())


def test_the_token_of_the_environment_counts_less_than_the_configuration(guarded, monkeypatch):
    async def scenario():
        monkeypatch.setenv("CONSUL_HTTP_TOKEN", MASTER)
        async with closing(registry_at(guarded.address)) as registry:
            assert (await first_snapshot(registry)).nodes == ()
        async with closing(registry_at(guarded.address, token="wrong-word")) as registry:
            with pytest.raises(RegistryError, match="ACL not found"):
                await first_snapshot(registry)

    run(scenario())


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    from support.registry_processes import made

    server = made(SecureConsul, tmp_path_factory.mktemp("secure") / "consul")
    server.start()
    yield server
    server.stop()


def test_https_with_certificates_of_both_sides(secure):
    async def scenario():
        options = {
            "ca": str(secure.certificates / "ca.pem"),
            "cert": str(secure.certificates / "client.pem"),
        }
        async with closing(registry_at(f"https://{secure.address}", **options)) as server:
            lease = await server.register(Instance("calc", FULL))
            async with following(registry_at(f"https://{secure.address}", **options)) as follower:
                await follower.until_ids(FULL.id)
                await lease.renew()
                await lease.revoke()
                await follower.until_ids()
                assert follower.errors == []

    run(scenario())


def test_without_verification_an_unknown_authority_will_do(secure):
    async def scenario():
        async with closing(
            registry_at(
                f"https://{secure.address}",
                verify=False,
                cert=str(secure.certificates / "client.pem"),
            )
        ) as registry:
            assert (await first_snapshot(registry)).source == "registry"

    run(scenario())


@pytest.mark.parametrize("options", [{}, {"ca": "ca.pem"}])
def test_an_unknown_authority_or_a_missing_certificate_is_out_of_reach_and_says_why(
    secure, options
):
    async def scenario():
        files = {name: str(secure.certificates / value) for name, value in options.items()}
        async with closing(registry_at(f"https://{secure.address}", **files)) as registry:
            with pytest.raises(ConnectionError, match=r"(?i)is out of reach: .*certificate"):
                await first_snapshot(registry)

    run(scenario())


def test_http_to_an_https_port_says_so(secure):
    async def scenario():
        async with closing(registry_at(secure.address)) as registry:
            with pytest.raises(RegistryError, match="HTTP request to an HTTPS server"):
                await first_snapshot(registry)

    run(scenario())


# What is no agent.


@contextlib.contextmanager
def web_server(code, body, **headers):
    """A server on this address that is not Consul."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(code)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("code", "body", "headers", "error", "complaint"),
    [
        (
            200,
            b"<html>",
            {"X_Consul_Index": "1"},
            ConnectionError,
            "does not answer as Consul does",
        ),
        (
            200,
            b'{"a": 1}',
            {"X_Consul_Index": "1"},
            ConnectionError,
            "does not answer as Consul does",
        ),
        (200, b"[]", {}, ConnectionError, "states no index"),
        (404, b"nothing here", {}, ConnectionError, "does not answer as Consul does"),
        (
            301,
            b"",
            {"Location": "http://127.0.0.1:1/"},
            ConnectionError,
            "does not answer as Consul does: 301",
        ),
        (400, b"Bad request", {}, RegistryError, r"refuses the request \(400\): Bad request"),
        (429, b"slowly", {}, ConnectionError, "answers 429: slowly"),
        (500, b"No cluster leader", {}, ConnectionError, "answers 500: No cluster leader"),
        (503, b"", {}, ConnectionError, "answers 503"),
    ],
)
def test_what_does_not_answer_as_consul_does_is_an_error_and_no_empty_list(
    code, body, headers, error, complaint
):
    async def scenario(address):
        async with closing(registry_at(address)) as registry:
            with pytest.raises(error, match=complaint):
                await first_snapshot(registry)

    with web_server(code, body, **headers) as address:
        run(scenario(address))


def test_nobody_at_the_address():
    async def scenario(address):
        async with closing(registry_at(address)) as registry:
            for request in (first_snapshot(registry), registry.register(Instance("calc", FULL))):
                with pytest.raises(
                    ConnectionError, match=re.escape(f"Consul at http://{address} is out of reach")
                ):
                    await request

    run(scenario(f"127.0.0.1:{fixed_port()}"))


def test_one_who_takes_connections_and_says_nothing_is_given_up_in_time():
    async def scenario(address):
        async with closing(registry_at(address)) as registry:
            for request in (first_snapshot(registry), registry.register(Instance("calc", FULL))):
                with pytest.raises(
                    TimeoutError,
                    match=re.escape(f"Consul at http://{address} has said nothing for 4.5 s"),
                ):
                    await request

    with socket.create_server(("127.0.0.1", 0)) as listening:
        run(scenario(f"127.0.0.1:{listening.getsockname()[1]}"))
