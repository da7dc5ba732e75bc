"""Options of the transport ``tls``, and the TLS contexts made of them.

When the files change, the contexts are made again.
"""

from __future__ import annotations

import ssl
from pathlib import Path  # noqa: TC003  the options are structured by their annotations
from typing import TYPE_CHECKING, Any, Literal

import attrs

from bee_core.interfaces import logger
from bee_core.options import OptionError

from .certificate_files import other_form, unusual_curve
from .tls_client import TlsSocket, words

if TYPE_CHECKING:
    from collections.abc import Callable

log = logger("bee.tls")

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@attrs.frozen
class TlsOptions:
    """Options of the transport ``tls``, the same on both sides.

    Files are PEM. Their paths are relative to the working folder of the program.

    Attributes:
        cert: This side's certificate, and after it those between it and the authority. A server
            must have one. A client has one if the server asks for it.
        key: The private key of ``cert``. Leave it out if the file of ``cert`` has it.
        key_password: The password of an encrypted key: ``${NAME}``.
        ca: The authorities of which the other side's certificate must come. In a client the default
            is the system's. In a server it means that clients must show a certificate (mutual TLS);
            without it they need none.
        verify: Whether a client checks the server's certificate and name. Without the check anybody
            in between can read and change everything; a warning is logged.
        server_hostname: The name that the server's certificate must be for, if that is not the host
            of the address.
        min_version: The oldest version of TLS. The default is 1.2, as in Mozilla's intermediate
            recommendation: both sides speak 1.3 if they can.
    """

    cert: Path | None = None
    key: Path | None = None
    key_password: str | None = attrs.field(default=None, repr=False)
    ca: Path | None = None
    verify: bool = True
    server_hostname: str | None = None
    min_version: Literal["1.2", "1.3"] = "1.2"


class ReloadedContext:
    """A context that follows its files: each new connection asks for the current one.

    For any thread. It takes no lock: two threads that reload at the same time only do it twice.

    A changed file may be impossible to use: half written, or a key that does not belong to the
    certificate. Then the last good context stays, and one warning is logged for that state of the
    files.

    Args:
        options: Names the files.
        make: Makes a context of them.
    """

    def __init__(self, options: TlsOptions, make: Callable[[TlsOptions], ssl.SSLContext]) -> None:
        self._options = options
        self._make = make
        self._files = [path for path in (options.cert, options.key, options.ca) if path is not None]
        self._context: ssl.SSLContext | None = None
        self._stamps: list[tuple[int, int, int] | None] = []

    def current(self) -> ssl.SSLContext:
        """The context for a new connection.

        Raises:
            ValueError: There has not been a good one yet, and the files cannot be used.
        """
        # Looked at before the files are read, so the next call sees a change during the reading.
        stamps = [_stamp(path) for path in self._files]
        if self._context is None:
            self._context = self._make(self._options)
        elif stamps != self._stamps:
            try:
                self._context = self._make(self._options)
            except ValueError as error:
                log.warning(
                    "the certificate files have changed and cannot be used, so those read before"
                    " stay in use: %s",
                    error,
                )
            else:
                log.info("the certificate files have changed: new connections use the new ones")
        self._stamps = stamps
        return self._context


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def check_files(options: TlsOptions) -> None:
    """Read the files without using them.

    Raises:
        OptionError: They cannot be used, or options do not go together.
    """
    for name in ("key", "key_password"):
        if getattr(options, name) is not None and options.cert is None:
            raise OptionError(
                name,
                f"{name} is stated without cert; state the certificate that it belongs to, or"
                " remove it",
            )
    for name in ("cert", "key", "ca"):
        path = getattr(options, name)
        try:
            if path is not None:
                path.open("rb").close()
        except OSError as error:
            raise OptionError(name, f"the file {path} cannot be read: {_words(error)}") from None
    _configure(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), options)


def client_context(options: TlsOptions) -> ssl.SSLContext:
    """What a client connects with.

    Raises:
        ValueError: The files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif options.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    context.sslsocket_class = TlsSocket
    _configure(context, options)
    return context


def server_context(options: TlsOptions) -> ssl.SSLContext:
    """What a server accepts connections with.

    Raises:
        ValueError: The files cannot be used, or there is no certificate.
    """
    if options.cert is None:
        raise OptionError(
            "cert",
            "a server on tls:// needs a certificate; state transport:"
            " {name: tls, options: {cert: …, key: …}} under bee.rpc.server",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if options.ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    # No resumption: bee's connections live long. A resumed one would use the certificates and the
    # authorities from before a reload. See also connection_context().
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    _configure(context, options)
    return context


def _configure(context: ssl.SSLContext, options: TlsOptions) -> None:
    context.minimum_version = _VERSIONS[options.min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    if options.cert is not None:
        _load_certificate(context, options.cert, options)
    if options.ca is not None:
        try:
            context.load_verify_locations(options.ca)
        except OSError as error:
            raise OptionError(
                "ca", f"{options.ca} has no certificates in PEM form: {_words(error)}"
            ) from None


def _load_certificate(context: ssl.SSLContext, cert: Path, options: TlsOptions) -> None:
    key = options.key or cert

    def password() -> str:
        # Called only for an encrypted key. Without it OpenSSL would ask at the terminal.
        if options.key_password is None:
            raise OptionError(
                "key_password",
                f"{key} is encrypted; state its password, such as ${{BEE_TLS_KEY_PASSWORD}}",
            )
        return options.key_password

    try:
        context.load_cert_chain(cert, options.key, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise OptionError(
                "key", f"{key} does not belong to the certificate in {cert}"
            ) from None
        if options.key_password is not None and error.reason in {
            "BAD_DECRYPT",
            "BAD_PASSWORD_READ",
            None,
        }:
            raise OptionError("key_password", f"it does not open {key}") from None
        raise OptionError(
            "cert",
            other_form(cert)
            or other_form(key)
            or f"{cert} and {key} are not a certificate and its private key in PEM form:"
            f" {_words(error)}",
        ) from None
    except OSError as error:
        raise OptionError("cert", f"{cert} or {key} cannot be read: {_words(error)}") from None
    curve = unusual_curve(cert)
    if curve:
        raise OptionError("cert", curve)


def _words(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return words(str(reason)) if reason else (error.strerror or str(error)).lower()


def connection_context(shared: ssl.SSLContext, failed: Callable[[bytes], None]) -> ssl.SSLContext:
    """The context of one connection of a server, with the certificates of a shared one.

    OpenSSL keeps the sessions of a context, and TLS 1.2 resumes them by their id: a client would
    get in past the end of its certificate, or with one that was withdrawn. Python cannot switch
    that off. A context that serves one connection has nothing to resume. It costs a quarter of a
    millisecond, where reading the certificates again would cost ten times that.

    Args:
        shared: Has the certificates and the authorities.
        failed: Called in the handshake when it fails, with the alert for the peer. It is empty if
            the peer does not speak TLS at all.
    """
    context = _ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.failed = failed
    context.minimum_version = shared.minimum_version
    context.options = shared.options
    context.verify_mode = shared.verify_mode
    context.num_tickets = 0

    def take_certificates(made: ssl.SSLObject, *_: object) -> None:
        made.context = shared

    context.sni_callback = take_certificates  # called for clients that send no name as well
    return context


class _ServerObject(ssl.SSLObject):
    """Hands on the alert that tells a peer why its handshake failed.

    The event loops drop it. The peer would then see a connection that ends without a reason.
    """

    outgoing: ssl.MemoryBIO
    failed: Callable[[bytes], None]

    def do_handshake(self) -> None:
        """Continue the handshake."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            self.failed(self.outgoing.read())
            raise


class _ServerContext(ssl.SSLContext):
    sslobject_class = _ServerObject
    failed: Callable[[bytes], None]

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *arguments: Any, **keywords: Any
    ) -> ssl.SSLObject:
        """As the base class does, for :class:`_ServerObject`."""
        made: Any = super().wrap_bio(incoming, outgoing, *arguments, **keywords)
        made.outgoing = outgoing
        made.failed = self.failed
        return made  # type: ignore[no-any-return]
