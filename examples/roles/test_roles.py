"""bee's contract for interceptors, and what this one lets through."""

from __future__ import annotations

import pytest

import bee_core
from bee_core.errors import RemoteError
from bee_core.testing import InterceptorContract
from roles import Roles, RolesOptions

OPTIONS = {
    "identities": {"billing": ["reader", "writer"], "reports": ["reader"]},
    "methods": {"abs": "reader", "max": "writer"},
}


class TestRoles(InterceptorContract):
    """Everything that bee asks of an interceptor."""

    sides = ("server",)

    def make_interceptor(self) -> Roles:
        """The plugin under test."""
        return Roles(RolesOptions({"billing": ("reader",)}, {"*": "reader"}))


@pytest.mark.parametrize(
    ("token", "method", "says"),
    [
        ("for billing", "max", ""),
        ("for reports", "abs", ""),
        ("for reports", "max", "reports may not call max"),
        ("for billing", "min", "billing may not call min"),
        ("for anybody", "abs", "a caller without an identity may not call abs"),
    ],
)
def test_a_method_is_called_by_those_who_have_its_role(token: str, method: str, says: str) -> None:
    server = bee_core.build_server(
        {
            "bee": {
                "rpc": {
                    "server": {
                        "name": "numbers",
                        "address": "memory://roles",
                        "tokens": [
                            {"token": "for billing", "identity": "billing"},
                            {"token": "for reports", "identity": "reports"},
                            "for anybody",
                        ],
                        "interceptors": [{"name": "roles", "options": OPTIONS}],
                    }
                }
            }
        }
    )
    for name in ("abs", "max", "min"):
        server.add(abs, name=name)  # what they do is of no interest here
    client = {"numbers": {"address": "memory://roles", "token": token}}
    with (
        server.in_thread(),
        bee_core.build_client({"bee": {"rpc": {"client": client}}}) as numbers,
    ):
        if not says:
            assert numbers.service("numbers").call(method, 1) == 1
            return
        with pytest.raises(RemoteError, match=says) as caught:
            numbers.service("numbers").call(method, 1)
    assert (caught.value.code, caught.value.executed) == ("PERMISSION_DENIED", "no")
