"""TLS to a registry's servers, from files that the options ``ca``, ``cert`` and ``key`` name."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bee_core.hookspecs import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bee_core.addresses import Address


class TlsFiles(Protocol):
    """Options that name files (PEM).

    Attributes:
        ca: Certificates that sign the servers' certificates; None for those of the system.
        cert: The client's certificate, or None.
        key: Its key. None if the key stands in ``cert``.
    """

    @property
    def ca(self) -> str | None: ...  # noqa: D102  see the class
    @property
    def cert(self) -> str | None: ...  # noqa: D102
    @property
    def key(self) -> str | None: ...  # noqa: D102


def https_context(
    files: TlsFiles, addresses: Iterable[Address], *, verify: bool = True
) -> ssl.SSLContext | None:
    """As :func:`tls_context`, for servers whose addresses say ``https://``."""
    wanted = any(address.scheme == "https" for address in addresses)
    how = "is for https, and no address begins with https://; write https://host:port"
    return tls_context(files, wanted=wanted, how=how, verify=verify)


def tls_context(
    files: TlsFiles, *, wanted: bool, how: str, verify: bool = True
) -> ssl.SSLContext | None:
    """How servers are verified and what they are shown; None without TLS. Reads the files.

    Args:
        files: Their names.
        wanted: Whether TLS is used.
        how: What to say of an option that is useless without TLS. It follows the option's name.
        verify: Whether a server's certificate and host name are checked.

    Raises:
        OptionError: A file cannot be used, a key is encrypted, or options contradict each other.
    """
    stated = [name for name in ("ca", "cert", "key") if getattr(files, name)]
    if files.key and not files.cert:
        raise OptionError("key", "key is the key of a certificate: state cert as well")
    if not wanted:
        for name in (*stated, *(() if verify else ("verify",))):
            raise OptionError(name, f"{name} {how}")
        return None
    try:
        if files.ca and Path(files.ca).is_dir():
            context = ssl.create_default_context(capath=files.ca)
        else:
            context = ssl.create_default_context(cafile=files.ca)
    except (OSError, ValueError) as error:
        raise OptionError(
            "ca", f"ca is {files.ca!r}, which cannot be used: {_reason(error)}"
        ) from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if files.cert:
        try:
            # With an empty password OpenSSL does not ask for one at the terminal.
            context.load_cert_chain(files.cert, files.key, password="")
        except (OSError, ValueError) as error:
            raise OptionError(
                "cert",
                f"cert is {files.cert!r} and key {files.key or files.cert!r}, "
                f"which cannot be used: {_reason(error)}",
            ) from error
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no certificate or key in the form PEM that fits ({error.reason or error})"
    return str(getattr(error, "strerror", None) or error).lower()
