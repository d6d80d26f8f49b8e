"""Where a gateway listens: addresses, TLS, and what gRPC itself bounds."""

from __future__ import annotations

import grpc
import structlog

from faults import InvalidInput, Occupied
from retrieval_gateway.security.certificates import CERTIFICATE, KEY, TlsFiles
from retrieval_gateway.security.exposure import is_loopback, require_protection
from retrieval_gateway.security.tls_credentials import FollowedCertificate
from retrieval_gateway.settings import GatewaySettings
from runtime.ports import require_free

log = structlog.get_logger(__name__)

_STREAMS_A_PLACE = 4


def check_exposure(settings: GatewaySettings) -> None:
    """Checks, before anything starts, that ports are free and that nobody listens unguarded.

    Raises:
        Occupied: a port is in use.
        InvalidInput: the address needs keys or client certificates, or TLS is set by halves.
    """
    require_protection(
        settings.host,
        keys=settings.key_file is not None,
        client_certificates=settings.tls_client_ca is not None,
        insecure=settings.insecure,
    )
    if settings.key_file and not tls_files(settings) and not is_loopback(settings.host):
        log.warning("keys travel in clear text on this network unless something in front encrypts")
    for host, port, name in (
        (settings.host, settings.port, "VITRINE_PORT"),
        (settings.metrics_host, settings.metrics_port, "VITRINE_METRICS_PORT"),
    ):
        if port:
            require_free(host, port, name)


def make_server(settings: GatewaySettings) -> grpc.aio.Server:
    """Returns a gRPC server that takes no larger message and no more streams than it should."""
    return grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            # Of one connection: messages are received before admission sees them.
            ("grpc.max_concurrent_streams", _STREAMS_A_PLACE * settings.max_concurrent_requests),
            # Two gateways on one port would share its requests without anybody having asked for it.
            ("grpc.so_reuseport", 0),
        ]
    )


def listen(server: grpc.aio.Server, settings: GatewaySettings) -> int:
    """Opens the port, encrypted where there is a certificate, and returns its number.

    Raises:
        Occupied: the port is in use.
        InvalidInput: a certificate is not good; names its setting.
    """
    address, files = f"{settings.host}:{settings.port}", tls_files(settings)
    try:
        if files is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, FollowedCertificate(files).credentials()))
    except RuntimeError as error:
        raise Occupied(
            "cannot listen", field="VITRINE_PORT", value=settings.port, fix="Choose another port."
        ) from error


def tls_files(settings: GatewaySettings) -> TlsFiles | None:
    """Returns the files of the certificate, or None where there is to be no TLS.

    Raises:
        InvalidInput: one of them is set without another that it needs.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is not None and key is not None:
        return TlsFiles(certificate, key, settings.tls_client_ca)
    if certificate is None and key is None and settings.tls_client_ca is None:
        return None
    missing = CERTIFICATE if certificate is None else KEY
    raise InvalidInput(
        "is missing", field=missing, fix=f"TLS needs {CERTIFICATE} and {KEY}, and VITRINE_TLS_CLIENT_CA both."
    )
