"""etcd in the forms that tests need beside the plain one.

With users, with TLS, three members; and its own command line.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import trustme

from support.patience import scaled
from support.ports import fixed_port
from support.registry_processes import Etcd


def etcdctl(server, *arguments):
    """Run etcdctl on a server; returns what it prints."""
    (found,) = Etcd.find()
    command = [str(Path(found).with_name("etcdctl")), f"--endpoints={server.address}", *arguments]
    return subprocess.run(
        command,
        env={**os.environ, "ETCDCTL_API": "3"},
        capture_output=True,
        text=True,
        check=True,
        timeout=scaled(30.0),
    ).stdout


def put(server, key, value, *arguments):
    etcdctl(server, *arguments, "put", key, value)


def put_many(server, values):
    """Put keys in few transactions, by the gateway: etcdctl's own are for people."""
    operations = [
        {
            "request_put": {
                "key": b64encode(key.encode()).decode(),
                "value": b64encode(value.encode()).decode(),
            }
        }
        for key, value in values.items()
    ]
    for start in range(0, len(operations), 100):  # etcd takes 128
        body = json.dumps({"success": operations[start : start + 100]}).encode()
        with urllib.request.urlopen(
            f"http://{server.address}/v3/kv/txn", body, timeout=30
        ) as answer:
            assert json.load(answer)["succeeded"]


def enable_users(server, *, user="bee", password="honey", prefix="/bee/rpc/"):
    """Authentication, with a user who may read and write what is under a prefix.

    The password of root is ``secret``.
    """
    for line in (
        "user add root:secret",
        "user grant-role root root",
        f"user add {user}:{password}",
        "role add bee",
        f"role grant-permission bee readwrite --prefix=true {prefix}",
        f"user grant-role {user} bee",
        "auth enable",
    ):
        etcdctl(server, *line.split())


class TlsEtcd(Etcd):
    """etcd with a port for TLS beside the plain one, through which the test looks after it.

    Attributes:
        url: ``https://127.0.0.1:…``.
        authority: Has signed its certificate.
        asks: Whether it wants certificates of clients.
    """

    asks = False
    names = ("127.0.0.1", "localhost")

    def command(self, found):
        self.authority = trustme.CA()
        self.url = f"https://127.0.0.1:{fixed_port()}"
        ca, cert, key = self.folder / "ca.pem", self.folder / "cert.pem", self.folder / "key.pem"
        self.authority.cert_pem.write_to_path(ca)
        issued = self.authority.issue_cert(*self.names)
        issued.cert_chain_pems[0].write_to_path(cert)
        issued.private_key_pem.write_to_path(key)
        tls = [f"--cert-file={cert}", f"--key-file={key}"]
        if self.asks:
            tls += ["--client-cert-auth", f"--trusted-ca-file={ca}"]
        return [
            *super().command(found),
            f"--listen-client-urls=http://{self.address},{self.url}",
            *tls,
        ]

    @property
    def ca(self):
        return str(self.folder / "ca.pem")

    def client_files(self):
        """A certificate of a client and its key."""
        cert, key = self.folder / "client.pem", self.folder / "client-key.pem"
        issued = self.authority.issue_cert("bee")
        issued.cert_chain_pems[0].write_to_path(cert)
        issued.private_key_pem.write_to_path(key)
        return str(cert), str(key)


class AskingTlsEtcd(TlsEtcd):
    asks = True


class MisnamedTlsEtcd(TlsEtcd):
    names = ("etcd.test",)


class Member(Etcd):
    """One of several."""

    name = ""
    peers: dict[str, str]

    def command(self, found):
        own = self.peers[self.name]
        cluster = ",".join(f"{name}={url}" for name, url in self.peers.items())
        return [
            *super().command(found),
            f"--name={self.name}",
            f"--listen-peer-urls={own}",
            f"--initial-advertise-peer-urls={own}",
            f"--initial-cluster={cluster}",
        ]


def start_members(make, count=3):
    """Start a cluster: they wait for each other.

    ``make`` makes a member that is not yet started.
    """
    members = [make(Member) for _ in range(count)]
    peers = {f"m{index}": f"http://127.0.0.1:{fixed_port()}" for index in range(count)}
    for name, member in zip(peers, members, strict=True):
        member.name, member.peers = name, peers
    with ThreadPoolExecutor(count) as threads:
        list(threads.map(lambda member: member.start(), members))
    return members


def leader(members):
    """The member that leads at present."""
    for member in members:
        (told,) = json.loads(etcdctl(member, "endpoint", "status", "-w", "json"))
        if told["Status"]["header"]["member_id"] == told["Status"]["leader"]:
            return member
    raise AssertionError("nobody leads")
