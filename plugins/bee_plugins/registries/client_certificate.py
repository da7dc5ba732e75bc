"""The certificate that a client of a registry shows, from the files that its options name."""

from __future__ import annotations

import ssl

from bee_core.options import OptionError


def load_client_certificate(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    """Let a context show a certificate.

    Args:
        context: Takes it.
        cert: The file (PEM).
        key: The file of its key, or None where that stands in the same file.

    Raises:
        OptionError: A file cannot be used, or the key is encrypted.
    """
    try:
        context.load_cert_chain(
            cert, key, password=""
        )  # an empty password: OpenSSL would ask for one at the terminal
    except (OSError, ValueError) as error:
        raise OptionError(
            "cert",
            f"cert is {cert!r} and key {key or cert!r}, which cannot be used: {reason_of(error)}",
        ) from error


def reason_of(error: Exception) -> str:
    """Why a file of certificates cannot be used, in words."""
    if isinstance(error, ssl.SSLError):
        return f"no certificate or key in the form PEM that fits ({error.reason or error})"
    return str(getattr(error, "strerror", None) or error).lower()
