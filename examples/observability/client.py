"""Places twenty orders, and two that are refused. Then it shows its own metrics."""

from __future__ import annotations

from contextlib import suppress
from urllib.request import urlopen

import bee_core
from bee_core.errors import CallError
from traces import record

record("customer")
BASKET = ["tea"] * 20 + ["cup", "coffee"]

with bee_core.build_client("client.yml") as client:
    orders = client.service("orders")
    placed = 0
    for article in BASKET:
        with suppress(CallError):
            orders.place(article, 1)
            placed += 1
    print(f"{placed} orders placed, {len(BASKET) - placed} refused")
    with urlopen(f"{client.metrics_address}/metrics") as metrics:  # noqa: S310  a url of ours
        for line in metrics.read().decode().splitlines():
            if line.startswith("rpc_client_call_duration_seconds_count"):
                print(line)
