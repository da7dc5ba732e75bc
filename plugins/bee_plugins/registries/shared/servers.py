"""The servers that a registry talks to: their addresses, TLS, and which of them is asked."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bee_core.interfaces import Address, parse
from bee_core.options import OptionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

S = TypeVar("S")
T = TypeVar("T")

PATIENCE = 0.25
"""Seconds of silence after which the next server is asked as well (RFC 8305's usual delay)."""
_ENDING = 1.0
"""Seconds that a request may take to end after it was cancelled."""
_FIRST = asyncio.FIRST_COMPLETED


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
    """A server that answers is kept. One that is silent or fails is left. For one event loop.

    Args:
        servers: At least one.

    Attributes:
        servers: The same.
        current: The server to ask first.
    """

    def __init__(self, servers: Iterable[S]) -> None:
        self.servers = tuple(servers)
        self.current = self.servers[0]
        self._ending: set[asyncio.Task[None]] = set()

    def leave(self, server: S) -> None:
        """This server does not answer: begin with the next one."""
        if self.current == server:
            self.current = self.servers[(self.servers.index(server) + 1) % len(self.servers)]

    def in_turn(self, first: S | None = None) -> tuple[S, ...]:
        """All servers in the order in which they are asked, from ``first`` or the current one."""
        at = self.servers.index(self.current if first is None else first)
        return (*self.servers[at:], *self.servers[:at])

    async def race(
        self,
        ask: Callable[[S], Awaitable[T]],
        *,
        first: S | None = None,
        discard: Callable[[T], Awaitable[None]] | None = None,
    ) -> T:
        """The first answer. The server that gave it is the current one from now on.

        A server that fails is left for the next at once. One that is silent gets company after
        :data:`PATIENCE` (the idea of "happy eyeballs", RFC 8305). The others are cancelled when an
        answer is there.

        Args:
            ask: Asks one server. It bounds its time itself, and leaves nothing open when it fails
                or is cancelled. It may run at several servers at once, so what it does must bear
                being done twice.
            first: The server to begin with, instead of the current one.
            discard: Ends an answer that came too late, such as a stream. Bounded, never raises.

        Raises:
            OSError: No server answered. It has the type of the servers' errors if they agree
                (TimeoutError if all were silent), else it is a ConnectionError. Its cause is the
                last server's error.
            Exception: Any other error of ``ask`` is an answer, and ends the race.
        """
        answers: list[tuple[S, T]] = []

        async def attempt(server: S) -> None:
            answers.append((server, await ask(server)))

        waiting = deque(self.in_turn(first))
        asked: dict[asyncio.Task[None], S] = {}
        problems: dict[S, OSError] = {}
        kept = 0
        try:
            while not answers:
                if waiting:
                    server = waiting.popleft()
                    asked[asyncio.ensure_future(attempt(server))] = server
                done, _ = await asyncio.wait(
                    asked, timeout=PATIENCE if waiting else None, return_when=_FIRST
                )
                for task in done:
                    server = asked.pop(task)
                    error = task.exception()
                    if isinstance(error, OSError):
                        problems[server] = error
                    elif error is not None and not answers:
                        raise error
                if not asked and not waiting and not answers:
                    raise _together([problems[server] for server in self.in_turn(first)])
            self.current = answers[0][0]
            kept = 1
        except asyncio.CancelledError:
            for server in asked.values():
                self.leave(server)  # the caller may have lost patience with this server
            raise
        finally:
            if asked or len(answers) > kept:
                # Nobody waits for this: the answer would come later, and be lost with its caller.
                ending = asyncio.ensure_future(self._end(tuple(asked), answers, kept, discard))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
        return answers[0][1]

    async def settle(self) -> None:
        """Wait until the requests that have lost a race have ended. Bounded, never raises."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=_ENDING)

    async def _end(
        self,
        tasks: Sequence[asyncio.Task[None]],
        answers: Sequence[tuple[S, T]],
        kept: int,
        discard: Callable[[T], Awaitable[None]] | None,
    ) -> None:
        """End the requests that have lost, and the answers that nobody takes."""
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_ENDING)
        for task in tasks:
            if task.done() and not task.cancelled():
                task.exception()  # marks it as seen; nobody needs it
        for _, answer in answers[kept:]:
            if discard is not None:
                await discard(answer)


def _together(problems: Sequence[OSError]) -> OSError:
    """One error for those of all servers."""
    if len(problems) == 1:
        return problems[0]
    kinds = {type(problem) for problem in problems}
    kind = kinds.pop() if len(kinds) == 1 else ConnectionError
    error = kind("; ".join(map(str, problems)))
    error.__cause__ = problems[-1]
    return error
