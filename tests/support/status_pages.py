"""Requests to a server's metrics and probes, as plain as they come."""

from __future__ import annotations

import http.client
import socket
from urllib.parse import urlsplit

from support.patience import PATIENCE


def get(url, path, method="GET", **headers):
    """The status and the body, as text; and the headers as a message."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def raw(url, *parts, half_close=False):
    """Send bytes, and read all until the server closes."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=PATIENCE) as sock:
        for part in parts:
            sock.sendall(part)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        found = b""
        while chunk := sock.recv(65536):
            found += chunk
        return found


def samples(url):
    """All samples at /metrics, read by Prometheus' own parser: name and labels to value."""
    from prometheus_client.parser import text_string_to_metric_families

    status, text, headers = get(url, "/metrics", Accept="text/plain;version=0.0.4")
    assert status == 200, text
    assert headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found, name, **labels):
    """One sample of those."""
    return found.get((name, *sorted(labels.items())))
