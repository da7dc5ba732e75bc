"""What went wrong with TLS, in words that say what to do."""

from __future__ import annotations

import ssl

from bee_core.interfaces import HandshakeError

_NOT_TLS = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "UNKNOWN_PROTOCOL",
        "HTTP_REQUEST",
        "RECORD_LAYER_FAILURE",
        "PACKET_LENGTH_TOO_LONG",
        "BAD_RECORD_TYPE",
    }
)
_EXPIRED, _NOT_YET_VALID, _HOSTNAME, _IP_ADDRESS = 10, 9, 62, 64
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
_OF_OUR_CERTIFICATE = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR")


def explained(error: Exception) -> Exception:
    """An error of the ssl module as a :class:`~bee_core.terms.failures.HandshakeError` where it tells that the handshake failed for good; any other error as it is."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return HandshakeError(_of_verification(error))
    if not isinstance(error, ssl.SSLError) or isinstance(
        error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)
    ):
        return error
    reason = error.reason or ""
    if "ALERT" in reason:
        return _of_alert(reason)
    if reason in _NOT_TLS:
        return HandshakeError(
            "the server does not speak TLS there; write tcp:// in the address, or let the server listen on tls://"
        )
    return HandshakeError(f"the TLS handshake failed: {_words(reason) or error}")


def turned_away(error: Exception) -> Exception:
    """An error of a connection whose handshake was done on this side: a HandshakeError only where the server says that it does not want this client's certificate.

    Whatever else breaks a connection then, such as a damaged record, may come when a request has been run.
    """
    found = explained(error)
    return found if isinstance(found, HandshakeError) and found.rejected else error


def _of_alert(reason: str) -> HandshakeError:
    """The peer has said why it does not want us. One that asks for a certificate and gets none says ``handshake failure`` in TLS 1.2, and ``certificate required`` in 1.3."""
    words = _words(reason.partition("ALERT_")[2])
    if any(part in reason for part in _OF_OUR_CERTIFICATE):
        advice = "it must come from an authority that the server knows, and be valid; state cert and key in the options of the transport tls"
        return HandshakeError(
            f"the server does not accept this client's certificate ({words}): {advice}",
            rejected=True,
        )
    if "HANDSHAKE_FAILURE" in reason:
        return HandshakeError(
            "the server refused the TLS handshake; where it asks for a certificate, state cert and key in the options of the transport tls",
            rejected=True,
        )
    if "PROTOCOL_VERSION" in reason:
        return HandshakeError(
            "the server speaks no version of TLS that this client takes; compare min_version on both sides"
        )
    return HandshakeError(f"the server ended the TLS handshake: {words}")


def _of_verification(error: ssl.SSLCertVerificationError) -> str:
    said = error.verify_message.rstrip(".")
    if error.verify_code == _EXPIRED:
        return "the server's certificate has expired; renew it, and let the server's cert and key be the new files"
    if error.verify_code == _NOT_YET_VALID:
        return "the server's certificate is not valid yet; compare the clocks of both machines"
    if error.verify_code in {_HOSTNAME, _IP_ADDRESS}:
        return f"{said[:1].lower()}{said[1:]}; dial a name that it is for, or state that name as server_hostname in the options of the transport tls"
    if error.verify_code in _UNKNOWN_ISSUER:
        return f"the server's certificate comes from an authority that this client does not know ({said}); state it as ca in the options of the transport tls"
    return f"the server's certificate is not accepted: {said}"


def _words(reason: str) -> str:
    return reason.lower().replace("_", " ")
