"""Addresses of servers, as urls.

Schemes: ``tcp://host:port``, ``tls://host:port``, ``unix:///path``, ``memory://name``, or one of
a plugin.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

import attrs

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
# Letters of any script: names are handed to the resolver, which knows IDNA. The underscore is
# common in container networks.
_HOST = re.compile(r"\w(?:[\w.-]{0,251}[\w.])?")
_NUMERIC = re.compile(r"(?:[0-9.]|(?<![^.])0[xX][0-9a-fA-F]*(?=\.|$))+")
"""What a resolver reads as IPv4 numbers, also in hexadecimal: ``0xa9fea9fe`` is 169.254.169.254."""
_PORT = re.compile(r"[0-9]{1,9}", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")

_HOST_AND_PORT = frozenset({"tcp", "tls"})
MAX_LENGTH = 1024
"""Characters of an address. A host name has at most 253, a path of a unix socket about 100."""


@attrs.frozen
class Address:
    """Where a server listens, or where a client dials.

    Attributes:
        scheme: Names the transport; lower case.
        host: A host name or an IP address without brackets, lower case; for ``memory`` any name.
            Empty for ``unix``.
        port: From 0 to 65535, or None where the scheme needs none. 0 is for servers: any free port.
        path: An absolute path (``unix``), or what follows the host for a scheme of a plugin.
    """

    scheme: str
    host: str = ""
    port: int | None = None
    path: str = ""

    @property
    def url(self) -> str:
        """The canonical text: ``parse(address.url) == address``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    @property
    def is_wildcard(self) -> bool:
        """Whether a server listens on every interface here; other machines cannot dial it."""
        return self.host in {"0.0.0.0", "::"}  # noqa: S104  compared, not bound

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of the same machine can dial it."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    def __str__(self) -> str:
        """The url."""
        return self.url


@lru_cache(maxsize=16384)  # a node's is read when it is listed and when it is first called
def parse(text: str) -> Address:
    """Read a url; one without a scheme is ``tcp``.

    Args:
        text: ``127.0.0.1:9000``, ``[::1]:9000``, ``tls://calc.example:9443``,
            ``unix:///run/calc.sock``, ``memory://calc``.

    Returns:
        The address, in canonical form.

    Raises:
        ValueError: It is not an address; the message is a sentence that says what to write.
    """
    if not text:
        raise ValueError("the address is empty; write host:port, or unix:///path")
    if len(text) > MAX_LENGTH:
        raise ValueError(
            f"the address {text[:40]!r}… has {len(text)} characters, at most {MAX_LENGTH} are"
            " allowed"
        )
    if _UNPRINTABLE.search(text):
        raise ValueError(f"address {text!r} has a space or a control character in it")
    match = _SCHEME.fullmatch(text)
    scheme, rest = (match[1].lower(), match[2]) if match else ("tcp", text)
    if match is None and "://" in text:
        raise ValueError(
            f"{text!r} does not begin with a scheme such as tcp:// (a letter, then letters, "
            "digits, +, . or -)"
        )
    if scheme == "unix":
        return _unix(text, rest)
    if match is None and text.startswith(("unix:", "/")):
        raise ValueError(
            f"{text!r} is not an address; for a unix socket write unix:///absolute/path"
        )
    authority, slash, tail = rest.partition("/")
    host, port = _split(text, authority)
    if scheme in _HOST_AND_PORT:
        if slash:
            raise ValueError(f"{text!r} has a path; {scheme}:// wants host:port and nothing more")
        if not host:
            raise ValueError(
                f"{text!r} has no host; write host:port, with 127.0.0.1 for this machine only "
                "or 0.0.0.0 for every interface"
            )
        if port is None:
            raise ValueError(f"{text!r} has no port; write {rest}:9000, say")
    elif not host and not tail:
        raise ValueError(f"{text!r} names no host and no path; write {scheme}://name")
    return Address(scheme, host, port, slash + tail)


def _unix(text: str, path: str) -> Address:
    if not path.startswith("/") or path == "/":
        raise ValueError(
            "unix:// wants an absolute path, with three slashes: unix:///run/calc.sock and not "
            f"{text!r}"
        )
    return Address("unix", path=path)


def _split(text: str, authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        # Not repeated in the message: the text before the @ may be a secret.
        raise ValueError(
            "an address holds no user and no password; credentials go into the plugin's options"
        )
    if authority.startswith("["):
        inside, bracket, after = authority[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise ValueError(f"{text!r} is not an address; write an IPv6 address as [::1]:9000")
        return _ipv6(inside), _port(text, after[1:]) if after else None
    if authority.count(":") > 1:
        raise ValueError(
            f"{text!r} has several colons; put an IPv6 address in brackets: [::1]:9000"
        )
    host, colon, port = authority.partition(":")
    return _host(host), _port(text, port) if colon else None


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError(f"[{text}] is not an IPv6 address") from None


def _host(text: str) -> str:
    if not text:
        return ""
    if _NUMERIC.fullmatch(text):
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            raise ValueError(f"{text!r} is not an IPv4 address") from None
    if not _HOST.fullmatch(text) or ".." in text:
        raise ValueError(f"{text!r} is not a host name")
    return text.lower()


def _port(text: str, port: str) -> int | None:
    if not port:
        raise ValueError(f"{text!r} has no port after the colon")
    if not _PORT.fullmatch(port):
        raise ValueError(f"port {port!r} is not a number between 0 and 65535")
    number = int(port)
    if number > 0xFFFF:
        raise ValueError(f"port {number} is not between 0 and 65535")
    return number
