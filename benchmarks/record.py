"""What is echoed: a record of about 200 bytes as JSON."""

from __future__ import annotations

from typing import Any

RECORD: dict[str, Any] = {
    "id": 184467,
    "customer": "c-20931",
    "status": "shipped",
    "total": 129.9,
    "currency": "EUR",
    "paid": True,
    "lines": [
        {"sku": "B-1001", "qty": 2, "price": 39.95},
        {"sku": "B-2040", "qty": 1, "price": 50.0},
    ],
    "note": "ring twice",
}
