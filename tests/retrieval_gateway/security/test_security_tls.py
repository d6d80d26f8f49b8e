"""TLS and mTLS over real connections on loopback, and certificates exchanged while the server runs."""

import asyncio
import contextlib
import socket
import ssl
import warnings

import grpc
import pytest
from structlog.testing import capture_logs
from support.certificates import CLIENT, Authority, Pair

from faults import InvalidInput
from retrieval_gateway.listener import listen, make_server, tls_files
from retrieval_gateway.security.certificates import TlsFiles
from retrieval_gateway.security.tls_credentials import FollowedCertificate
from retrieval_gateway.settings import GatewaySettings

AUTHORITY, STRANGER = Authority.make(), Authority.make("stranger")
FIRST, SECOND = AUTHORITY.sign("first"), AUTHORITY.sign("second")
ALICE, MALLORY = AUTHORITY.sign("alice", use=CLIENT), STRANGER.sign("mallory", use=CLIENT)


async def echo(raw: bytes, _: object) -> bytes:
    return raw


class Bench:
    """A gRPC server that listens as the gateway does, with certificates in a folder."""

    def __init__(self, folder, *, mutual: bool) -> None:
        certificate, key = FIRST.write(folder)
        authority = folder / "clients.crt"
        authority.write_bytes(AUTHORITY.certificate_pem)
        self.folder = folder
        self.settings = GatewaySettings(
            port=0,
            tls_certificate=certificate,
            tls_key=key,
            tls_client_ca=authority if mutual else None,
        )
        self.port = 0

    @contextlib.asynccontextmanager
    async def serving(self):
        server = make_server(self.settings)
        method = grpc.unary_unary_rpc_method_handler(echo)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", {"C": method}),))
        self.port = listen(server, self.settings)
        await server.start()
        try:
            yield self
        finally:
            await server.stop(0)

    @contextlib.asynccontextmanager
    async def channel(self, client: Pair | None = None, authority: Authority = AUTHORITY):
        own = (client.key_pem, client.certificate_pem) if client else ()
        credentials = grpc.ssl_channel_credentials(authority.certificate_pem, *own)
        async with grpc.aio.secure_channel(f"localhost:{self.port}", credentials) as channel:
            yield channel

    async def call(self, **options) -> bytes:
        async with self.channel(**options) as channel:
            return await channel.unary_unary("/a.B/C")(b"hello", timeout=10)

    async def refused(self, **options) -> grpc.StatusCode:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.call(**options)
        return failed.value.code()

    async def shown(self) -> str:
        """Whose certificate the server shows to a new connection."""
        return await asyncio.to_thread(self._shown)

    def _shown(self) -> str:
        context = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        with plain, context.wrap_socket(plain, server_hostname="localhost") as secure:
            return dict(part[0] for part in secure.getpeercert()["subject"])["commonName"]


@pytest.fixture
async def bench(tmp_path):
    async with Bench(tmp_path, mutual=False).serving() as bench:
        yield bench


@pytest.fixture
async def mutual(tmp_path):
    async with Bench(tmp_path, mutual=True).serving() as bench:
        yield bench


async def test_a_client_that_knows_the_authority_is_served(bench):
    assert await bench.call() == b"hello"


async def test_a_client_that_does_not_know_it_and_one_without_tls_are_not(bench):
    assert await bench.refused(authority=STRANGER) is grpc.StatusCode.UNAVAILABLE
    async with grpc.aio.insecure_channel(f"localhost:{bench.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await channel.unary_unary("/a.B/C")(b"hello", timeout=10)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_versions_of_tls_that_are_broken_are_refused(bench):
    def attempt(version: ssl.TLSVersion) -> str | None:
        context = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
        context.set_ciphers("ALL:@SECLEVEL=0")  # this client would take anything
        context.set_alpn_protocols(["h2"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection(("127.0.0.1", bench.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            return secure.version()

    assert await asyncio.to_thread(attempt, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.to_thread(attempt, ssl.TLSVersion.TLSv1_1)


async def test_with_an_authority_for_clients_only_theirs_are_let_in(mutual):
    assert await mutual.call(client=ALICE) == b"hello"
    assert await mutual.refused() is grpc.StatusCode.UNAVAILABLE
    assert await mutual.refused(client=MALLORY) is grpc.StatusCode.UNAVAILABLE


async def test_an_exchanged_certificate_is_shown_to_the_next_connection_and_open_ones_stay(bench):
    async with bench.channel() as channel:
        call = channel.unary_unary("/a.B/C")
        assert await call(b"1", timeout=10) == b"1"
        assert await bench.shown() == "first"
        SECOND.write(bench.folder)
        assert await bench.shown() == "second"
        assert await call(b"2", timeout=10) == b"2"
    assert await bench.call() == b"hello"


async def test_a_bad_exchange_is_not_taken_over_until_it_is_whole(bench):
    (bench.folder / "server.crt").write_bytes(SECOND.certificate_pem)  # the key is still the first one's
    with capture_logs() as lines:
        assert await bench.shown() == "first"
        assert await bench.shown() == "first"
    said = [line["error"] for line in lines if line["log_level"] == "error"]
    assert len(said) == 1, "once, not at every connection"
    assert "VITRINE_TLS_KEY: is not the key of" in said[0]
    (bench.folder / "server.key").write_bytes(SECOND.key_pem)
    assert await bench.shown() == "second"
    (bench.folder / "server.key").unlink()
    assert await bench.shown() == "second"


async def test_another_authority_for_clients_counts_for_the_next_connection(mutual):
    (mutual.folder / "clients.crt").write_bytes(STRANGER.certificate_pem)
    assert await mutual.refused(client=ALICE) is grpc.StatusCode.UNAVAILABLE
    assert await mutual.call(client=MALLORY) == b"hello"


def test_a_gateway_with_a_bad_certificate_does_not_start(tmp_path):
    certificate, key = FIRST.write(tmp_path)
    key.write_bytes(SECOND.key_pem)
    with pytest.raises(InvalidInput, match="VITRINE_TLS_KEY: is not the key of"):
        FollowedCertificate(TlsFiles(certificate, key))


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"tls_certificate": "a"}, "VITRINE_TLS_KEY"),
        ({"tls_key": "a"}, "VITRINE_TLS_CERTIFICATE"),
        ({"tls_client_ca": "a"}, "VITRINE_TLS_CERTIFICATE"),
        ({"tls_certificate": "a", "tls_client_ca": "a"}, "VITRINE_TLS_KEY"),
    ],
)
def test_tls_by_halves_is_refused_with_what_is_missing(given, missing):
    with pytest.raises(InvalidInput, match="is missing") as refused:
        tls_files(GatewaySettings(**given))
    assert refused.value.field == missing


def test_without_certificates_there_is_no_tls():
    assert tls_files(GatewaySettings()) is None
