"""The registry ``zookeeper`` over TLS: certificates of both sides, names, and a silent member."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time

import pytest

from bee_core.terms.node import Node
from cluster.servers import when
from support.patience import scaled
from support.ports import fixed_port
from support.registry_processes import ZooKeeper
from support.zookeeper_rig import BOUND, error_of, instance, run


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    home = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        subprocess.run(
            ["openssl", *arguments], cwd=home, check=True, capture_output=True, timeout=30
        )

    new = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
    for ca in ("ca", "other"):
        openssl(
            "req",
            "-x509",
            *new,
            "-keyout",
            f"{ca}.key",
            "-out",
            f"{ca}.pem",
            "-subj",
            f"/CN={ca}",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        )
    for name, alternative in (
        ("server", "DNS:localhost,IP:127.0.0.1"),
        ("elsewhere", "DNS:elsewhere.example"),
        ("client", "DNS:client"),
    ):
        (home / f"{name}.ext").write_text(
            f"subjectAltName={alternative}\nauthorityKeyIdentifier=keyid\n"
        )  # Python 3.13 is strict
        openssl(
            "req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        openssl(
            *(
                "x509",
                "-req",
                "-in",
                f"{name}.csr",
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
            ),
            *("-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt"),
        )
        (home / f"{name}.pem").write_text(
            (home / f"{name}.key").read_text() + (home / f"{name}.crt").read_text()
        )
    return home


def tls_server(start_registry, home, name, *arguments):
    port = fixed_port()
    start_registry(
        ZooKeeper,
        *(f"secureClientPort={port}", "secureClientPortAddress=127.0.0.1"),
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
        *(
            f"ssl.keyStore.location={home / name}.pem",
            "ssl.keyStore.password=",
            f"ssl.trustStore.location={home / 'ca.pem'}",
            "ssl.trustStore.password=",
        ),
        *arguments,
    )

    def accepts():
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    when(
        accepts, "ZooKeeper's door for TLS is not open"
    )  # it opens after the other one, which was waited for
    return f"127.0.0.1:{port}"


def test_tls_with_certificates_on_both_sides(start_registry, certificates):
    # Long ticks, so that leases outlive the test: nobody renews them.
    address = tls_server(start_registry, certificates, "server", "tickTime=2000")
    client = {
        "tls": True,
        "ca": str(certificates / "ca.pem"),
        "cert": str(certificates / "client.crt"),
        "key": str(certificates / "client.key"),
    }

    async def scenario(rig):
        nodes = [Node(f"n{number}", f"tcp://10.0.0.1:{9000 + number}") for number in range(300)]
        server = rig.registry(address, heartbeat=10, **client)
        await asyncio.gather(*(server.register(instance(rig.service, node)) for node in nodes))
        # Several answers may lie in one TLS record: none may wait for the next ping.
        await rig.watch(rig.registry(address, heartbeat=10, **client)).until_ids(
            (node.id for node in nodes), scaled(5.0)
        )
        with socket.create_server(("127.0.0.1", 0)) as silent:
            mute = f"127.0.0.1:{silent.getsockname()[1]}"
            for _ in range(3):  # their order is random
                begun = time.monotonic()
                watch = rig.registry(mute, address, heartbeat=10, **client).watch(rig.service)
                await asyncio.wait_for(watch.__anext__(), BOUND)
                assert time.monotonic() - begun < scaled(1.5)
                await watch.aclose()
        for options in (
            {"tls": True, "ca": str(certificates / "ca.pem")},
            {**client, "ca": str(certificates / "other.pem")},
            {},
        ):
            assert isinstance(
                await error_of(rig.registry(address, **options).watch(rig.service).__anext__()),
                (OSError, TimeoutError),
            )

    run(scenario)


def test_a_certificate_of_another_name_is_refused(start_registry, certificates):
    address = tls_server(start_registry, certificates, "elsewhere", "ssl.clientAuth=none")

    async def scenario(rig):
        return await error_of(
            rig.registry(address, tls=True, ca=str(certificates / "ca.pem"))
            .watch(rig.service)
            .__anext__()
        )

    assert "certificate" in str(run(scenario))
