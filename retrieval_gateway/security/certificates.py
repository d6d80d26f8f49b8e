"""Certificate files, read and tried before gRPC gets them.

gRPC takes any bytes and lets every connection fail later, with words about OpenSSL. Here a pair is
tried in a handshake with itself, in memory: that shows whether it parses, belongs together, is
valid today and may serve, with the standard library alone.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from faults import InvalidInput

CERTIFICATE, KEY, CLIENT_CA = "VITRINE_TLS_CERTIFICATE", "VITRINE_TLS_KEY", "VITRINE_TLS_CLIENT_CA"

_NEW_PAIR = "Give a certificate chain and its private key, both in PEM."
_EXPIRED, _NOT_YET_VALID, _WRONG_PURPOSE = 10, 9, 26
"""X509_V_ERR_* of OpenSSL."""
_REFUSALS = {
    _EXPIRED: ("has expired", "Renew it."),
    _NOT_YET_VALID: ("is not valid yet", "Correct this machine's clock, or the certificate."),
    _WRONG_PURPOSE: ("may not be used by a server", "Ask its authority for one with the use serverAuth."),
}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the certificates lie.

    Args:
        certificate: the server's, with the chain that clients need.
        key: its private key, without a passphrase.
        client_ca: authorities whose clients are let in; None lets in every client.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """What the files hold, in PEM.

    Args:
        certificate: chain of the server.
        key: its private key.
        client_ca: authorities of clients.
        expires_at: when the server's certificate expires, seconds since 1970.
    """

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    expires_at: float


def read_identity(files: TlsFiles) -> Identity:
    """Reads and tries the files.

    Raises:
        InvalidInput: one is missing, unreadable, no PEM, expired, or does not belong to the other; names the
            setting.
    """
    before = _contents(files)
    certificate, key, client_ca = before
    expires_at = _try_pair(files)
    if files.client_ca is not None:
        _try_authority(files.client_ca)
    if _contents(files) != before:  # what was tried must be what is served
        raise InvalidInput("changed while it was read", field=CERTIFICATE, value=str(files.certificate))
    return Identity(certificate, key, client_ca, expires_at)


def _contents(files: TlsFiles) -> tuple[bytes, bytes, bytes | None]:
    client_ca = None if files.client_ca is None else _read(files.client_ca, CLIENT_CA)
    return _read(files.certificate, CERTIFICATE), _read(files.key, KEY), client_ca


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"cannot be read: {error.strerror}",
            field=setting,
            value=str(path),
            fix="Name a file that this user may read.",
        ) from error


def _try_pair(files: TlsFiles) -> float:
    """Returns when the certificate expires."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it vouches for itself: whose it is, clients check
    _load_authorities(client, files.certificate, CERTIFICATE, "is no certificate in PEM")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A passphrase would be asked for at the terminal; nobody is there.
        server.load_cert_chain(files.certificate, files.key, password="")
    except (ssl.SSLError, ValueError) as error:
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            raise InvalidInput(
                f"is not the key of {files.certificate}", field=KEY, value=str(files.key), fix=_NEW_PAIR
            ) from error
        raise InvalidInput(
            "is no private key in PEM without a passphrase", field=KEY, value=str(files.key), fix=_NEW_PAIR
        ) from error
    return _try_handshake(server, client, files.certificate)


def _try_handshake(server: ssl.SSLContext, client: ssl.SSLContext, path: Path) -> float:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    served = server.wrap_bio(to_server, to_client, server_side=True)
    asked = client.wrap_bio(to_client, to_server)
    try:
        for end in (asked, served, asked):
            _step(end)
    except ssl.SSLCertVerificationError as error:
        said = f"is not accepted: {error.verify_message}"
        problem, fix = _REFUSALS.get(error.verify_code, (said, _NEW_PAIR))
        raise InvalidInput(problem, field=CERTIFICATE, value=str(path), fix=fix) from error
    except ssl.SSLError as error:
        raise InvalidInput(
            f"does not work in a handshake: {error.reason}", field=CERTIFICATE, value=str(path), fix=_NEW_PAIR
        ) from error
    certificate = asked.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(certificate["notAfter"])))


def _step(end: ssl.SSLObject) -> None:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return  # it is the other end's turn


def _try_authority(path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load_authorities(context, path, CLIENT_CA, "is no certificate in PEM")
    ends = [ssl.cert_time_to_seconds(str(found["notAfter"])) for found in context.get_ca_certs()]
    if not ends:
        raise InvalidInput(
            "has no certificate of an authority",
            field=CLIENT_CA,
            value=str(path),
            fix="Give the certificate that signed those of the clients.",
        )
    if max(ends) <= time.time():
        raise InvalidInput("has expired", field=CLIENT_CA, value=str(path), fix="Renew it.")


def _load_authorities(context: ssl.SSLContext, path: Path, setting: str, problem: str) -> None:
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise InvalidInput(problem, field=setting, value=str(path), fix="Give a file in PEM.") from error
