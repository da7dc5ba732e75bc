"""The servers that a registry talks to: their addresses, TLS, and which of them is asked."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bee_core.interfaces import Address, parse
from bee_core.options import OptionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

S = TypeVar("S")
T = TypeVar("T")


def read_addresses(
    written: Iterable[str], ports: Mapping[str, int], owner: str, forms: str
) -> tuple[Address, ...]:
    """The servers, each once, with their ports; without any address this machine's server.

    Args:
        written: ``host``, ``host:port`` or ``scheme://host:port``; several may stand in one text,
            separated by commas.
        ports: The usual port of each scheme. The first scheme is the default.
        owner: Whose addresses they are, for messages.
        forms: What to write, for messages.

    Raises:
        ValueError: An address is malformed. The message says what to write, and shows no secret.
    """
    usual = next(iter(ports))
    texts = [text.strip() for several in written for text in several.split(",")]
    found: dict[Address, None] = {}
    for text in texts or ["127.0.0.1"]:
        stated, _, rest = text.rpartition("://")
        scheme = stated.lower() or usual
        # What stands before an @ is a secret.
        shown = "address" if "@" in text else f"address {text!r}"
        try:
            address = parse(f"{usual}://{rest}")
        except ValueError as error:
            raise ValueError(f"{shown}: {error}") from None
        if scheme not in ports or not address.host or address.path.strip("/"):
            raise ValueError(f"{shown} is not one of {owner}; write {forms}")
        if address.port == 0:
            raise ValueError(f"{shown}: nobody listens on port 0; write {forms}")
        found[Address(scheme, address.host, address.port or ports[scheme])] = None
    return tuple(found)


def https_context(
    options: Any, addresses: Iterable[Address], *, verify: bool = True
) -> ssl.SSLContext | None:
    """As :func:`tls_context`, for servers whose addresses say ``https://``."""
    wanted = any(address.scheme == "https" for address in addresses)
    how = "is for https, and no address begins with https://; write https://host:port"
    return tls_context(options, wanted=wanted, how=how, verify=verify)


def tls_context(
    options: Any, *, wanted: bool, how: str, verify: bool = True
) -> ssl.SSLContext | None:
    """How servers are verified and what they are shown; None without TLS. Reads the options.

    Args:
        options: Of the registry. They name files (PEM): ``ca`` has the certificates that sign the
            servers' (None: those of the system), ``cert`` the client's certificate, ``key`` its
            key (None: it stands in ``cert``).
        wanted: Whether TLS is used.
        how: What to say of an option that is useless without TLS. It follows the option's name.
        verify: Whether a server's certificate and host name are checked.

    Raises:
        OptionError: A file cannot be used, a key is encrypted, or options contradict each other.
    """
    stated = [name for name in ("ca", "cert", "key") if getattr(options, name)]
    if options.key and not options.cert:
        raise OptionError("key", "key is the key of a certificate: state cert as well")
    if not wanted:
        for name in (*stated, *(() if verify else ("verify",))):
            raise OptionError(name, f"{name} {how}")
        return None
    try:
        if options.ca and Path(options.ca).is_dir():
            context = ssl.create_default_context(capath=options.ca)
        else:
            context = ssl.create_default_context(cafile=options.ca)
    except (OSError, ValueError) as error:
        raise OptionError(
            "ca", f"ca is {options.ca!r}, which cannot be used: {_reason(error)}"
        ) from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.cert:
        try:
            # With an empty password OpenSSL does not ask for one at the terminal.
            context.load_cert_chain(options.cert, options.key, password="")
        except (OSError, ValueError) as error:
            raise OptionError(
                "cert",
                f"cert is {options.cert!r} and key {options.key or options.cert!r}, "
                f"which cannot be used: {_reason(error)}",
            ) from error
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no certificate or key in the form PEM that fits ({error.reason or error})"
    return str(getattr(error, "strerror", None) or error).lower()


class Rotation(Generic[S]):
    """A server that answers is kept. One that fails is left for the next. For one event loop.

    Args:
        servers: At least one.

    Attributes:
        servers: The same.
        current: The server to ask first.
    """

    def __init__(self, servers: Iterable[S]) -> None:
        self.servers = tuple(servers)
        self.current = self.servers[0]

    def leave(self, server: S) -> None:
        """This server does not answer: begin with the next one."""
        if self.current == server:
            self.current = self.servers[(self.servers.index(server) + 1) % len(self.servers)]

    async def ask_in_turn(self, ask: Callable[[S, int], Awaitable[T]], only: S | None = None) -> T:
        """The first answer.

        Args:
            ask: Asks one server. It also gets the number of servers that are left, this one
                included, so that it can share out the time.
            only: Ask this server alone.

        Raises:
            OSError: No server answered. TimeoutError if all were silent. Its cause is the last
                server's error.
        """
        first = self.servers.index(self.current)
        servers = (*self.servers[first:], *self.servers[:first]) if only is None else (only,)
        problems: list[OSError] = []
        for index, server in enumerate(servers):
            try:
                return await ask(server, len(servers) - index)
            except OSError as error:  # noqa: PERF203  a round trip costs more
                problems.append(error)
                self.leave(server)
            except asyncio.CancelledError:
                self.leave(server)  # the caller may have lost patience with this server
                raise
        if len(problems) == 1:
            raise problems[0]
        silent = all(isinstance(problem, TimeoutError) for problem in problems)
        kind = TimeoutError if silent else ConnectionError
        raise kind("; ".join(map(str, problems))) from problems[-1]
