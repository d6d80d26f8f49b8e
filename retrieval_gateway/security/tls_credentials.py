"""TLS for the gRPC server, from files that may be exchanged while it runs.

gRPC asks at every handshake which certificate to show. A changed file is read and tried then; if
it is not good, the certificate that served so far goes on serving and the log says why.
Connections that are open keep what they were made with.
"""

from __future__ import annotations

import threading
from pathlib import Path

import grpc
import structlog

from faults import InvalidInput
from retrieval_gateway.security.certificates import Identity, TlsFiles, read_identity

log = structlog.get_logger(__name__)

_Stamp = tuple[tuple[int, int, int] | None, ...]


class FollowedCertificate:
    """Owner of the certificate that is shown; asked from gRPC's own threads.

    Args:
        files: where it lies.

    Raises:
        InvalidInput: the files are not good; names the setting.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._turn = threading.Lock()
        self._stamp = self._look()
        self._identity = read_identity(files)

    @property
    def expires_at(self) -> float:
        """When the certificate that is shown expires, seconds since 1970."""
        return self._identity.expires_at

    def credentials(self) -> grpc.ServerCredentials:
        """Returns credentials that follow the files, and ask clients for theirs where authorities are set."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._identity),
            self._changed,  # type: ignore[arg-type]  # the stubs do not know that None means: as before
            require_client_authentication=self._files.client_ca is not None,
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Returns the certificate if there is a new one, else None."""
        with self._turn:
            stamp = self._look()
            if stamp == self._stamp:
                return None
            self._stamp = stamp
            try:
                self._identity = read_identity(self._files)
            except InvalidInput as error:
                log.error("the new certificate is not used", error=str(error))
                return None
            log.info("the certificate was exchanged", expires_at=self._identity.expires_at)
            return _configuration(self._identity)

    def _look(self) -> _Stamp:
        files = (self._files.certificate, self._files.key, self._files.client_ca)
        return tuple(_stamp_of(path) for path in files if path is not None)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(identity.key, identity.certificate)], root_certificates=identity.client_ca
    )
