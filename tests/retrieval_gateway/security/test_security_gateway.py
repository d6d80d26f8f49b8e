"""A whole gateway in this process, guarded: who gets in over the real wire, and what is refused by whom."""

import asyncio
import contextlib

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from structlog.testing import capture_logs
from support.certificates import CLIENT, Authority
from support.listening import listens_on

from faults import InvalidInput
from retrieval_gateway.api.generated import release_service_pb2 as release_pb
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.generated.release_service_pb2_grpc import ReleaseServiceStub
from retrieval_gateway.api.generated.retrieval_service_pb2_grpc import RetrievalServiceStub
from retrieval_gateway.security.api_keys import make_key
from retrieval_gateway.security.key_file import add_key, revoke_key
from retrieval_gateway.server import running
from retrieval_gateway.settings import GatewaySettings
from runtime.ports import free_port

Code = grpc.StatusCode
ACTIVATE = release_pb.ActivateReleaseRequest(release_id="20260101T000000Z-abcdef")
MUG = pb.SearchRequest(query=pb.Query(text="mug"))
MIB = 2**20


@contextlib.asynccontextmanager
async def gateway(tmp_path, **changes):
    """A gateway without a release and without a Triton: whoever is let in is told so (UNAVAILABLE)."""
    fields = {
        "port": 0,
        "metrics_port": 0,
        "triton_url": f"127.0.0.1:{free_port()}",
        "release_store": tmp_path / "releases",
        "drain_s": 0.5,
        "lame_duck_s": 0.0,
    }
    async with running(GatewaySettings(**{**fields, **changes})) as listening:
        yield listening


@contextlib.asynccontextmanager
async def channel_to(listening, credentials=None):
    options = [("grpc.max_send_message_length", -1)]
    address = f"localhost:{listening.port}"
    if credentials is None:
        channel = grpc.aio.insecure_channel(address, options=options)
    else:
        channel = grpc.aio.secure_channel(address, credentials, options=options)
    async with channel:
        yield channel


def bearer(key: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key}")]


async def failure(call) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value


async def code(call) -> grpc.StatusCode:
    return (await failure(call)).code()


def details(error: grpc.aio.AioRpcError) -> dict:
    found = {}
    for packed in rpc_status.from_call(error).details:
        kind = getattr(error_details_pb2, packed.type_url.rpartition(".")[2])
        found[kind.__name__] = kind.FromString(packed.value)
    return found


@pytest.fixture
def keys(tmp_path):
    """A file with three keys; their texts by name."""
    path, texts = tmp_path / "keys.json", {}
    for name, rights in {"shop": {}, "root": {"admin": True}, "slow": {"rate": 0.5}}.items():
        record, texts[name] = make_key(name, **{"admin": False, "rate": None, **rights})
        add_key(path, record)
    return path, texts


async def test_every_rpc_needs_a_key_and_switching_releases_one_with_the_right(tmp_path, keys):
    path, texts = keys
    async with gateway(tmp_path, key_file=path) as listening, channel_to(listening) as channel:
        search, releases = RetrievalServiceStub(channel).Search, ReleaseServiceStub(channel)
        error = await failure(search(MUG, timeout=5))
        assert error.code() is Code.UNAUTHENTICATED
        assert details(error)["ErrorInfo"].reason == "UNAUTHENTICATED"
        assert await code(search(MUG, timeout=5, metadata=bearer("vtr_wrong"))) is Code.UNAUTHENTICATED
        shop, root = bearer(texts["shop"]), bearer(texts["root"])
        assert await code(search(MUG, timeout=5, metadata=shop)) is Code.UNAVAILABLE
        listed = await releases.ListReleases(release_pb.ListReleasesRequest(), timeout=5, metadata=shop)
        assert not listed.releases
        for call, request in (
            (releases.ActivateRelease, ACTIVATE),
            (releases.RollbackRelease, release_pb.RollbackReleaseRequest()),
        ):
            assert await code(call(request, timeout=5)) is Code.UNAUTHENTICATED
            assert await code(call(request, timeout=5, metadata=shop)) is Code.PERMISSION_DENIED
            assert await code(call(request, timeout=5, metadata=root)) is Code.NOT_FOUND


async def test_the_setting_for_everybody_gives_no_right_to_a_searchers_key(tmp_path, keys):
    path, texts = keys
    async with (
        gateway(tmp_path, key_file=path, release_admin=True) as listening,
        channel_to(listening) as channel,
    ):
        call = ReleaseServiceStub(channel).ActivateRelease(
            ACTIVATE, timeout=5, metadata=bearer(texts["shop"])
        )
        assert await code(call) is Code.PERMISSION_DENIED


async def test_a_stream_needs_a_key_for_each_request(tmp_path, keys):
    path, texts = keys
    async with gateway(tmp_path, key_file=path) as listening, channel_to(listening) as channel:
        stub = RetrievalServiceStub(channel)
        for metadata, reason in (([], "UNAUTHENTICATED"), (bearer(texts["shop"]), "UNAVAILABLE")):
            requests = iter([pb.BatchSearchRequest(request_id=7, search=MUG)])
            answers = [one async for one in stub.BatchSearch(requests, timeout=5, metadata=metadata)]
            assert [(one.request_id, one.error.reason) for one in answers] == [(7, reason)]


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(tmp_path, keys):
    path, texts = keys
    async with gateway(tmp_path, key_file=path) as listening, channel_to(listening) as channel:
        search, slow = RetrievalServiceStub(channel).Search, bearer(texts["slow"])
        assert await code(search(MUG, timeout=5, metadata=slow)) is Code.UNAVAILABLE
        error = await failure(search(MUG, timeout=5, metadata=slow))
        assert error.code() is Code.RESOURCE_EXHAUSTED
        assert 0 < details(error)["RetryInfo"].retry_delay.ToMilliseconds() <= 2000
        assert await code(search(MUG, timeout=5, metadata=bearer(texts["shop"]))) is Code.UNAVAILABLE


async def test_a_revoked_key_stops_working_while_the_gateway_runs(tmp_path, keys):
    path, texts = keys
    async with gateway(tmp_path, key_file=path) as listening, channel_to(listening) as channel:
        search, shop = RetrievalServiceStub(channel).Search, bearer(texts["shop"])
        assert await code(search(MUG, timeout=5, metadata=shop)) is Code.UNAVAILABLE
        revoke_key(path, "shop")
        async with asyncio.timeout(20):
            while await code(search(MUG, timeout=5, metadata=shop)) is not Code.UNAUTHENTICATED:
                await asyncio.sleep(0.05)


async def test_health_and_reflection_ask_nobody_for_a_key(tmp_path, keys):
    async with gateway(tmp_path, key_file=keys[0]) as listening, channel_to(listening) as channel:
        reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert reply.status == health_pb2.HealthCheckResponse.NOT_SERVING
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([ask]), timeout=5)
        assert [one async for one in call]


async def test_tls_client_certificates_and_keys_together(tmp_path, keys):
    path, texts = keys
    authority = Authority.make()
    certificate, key = authority.sign("gateway").write(tmp_path)
    clients = tmp_path / "clients.crt"
    clients.write_bytes(authority.certificate_pem)
    alice = authority.sign("alice", use=CLIENT)
    credentials = grpc.ssl_channel_credentials(
        authority.certificate_pem, alice.key_pem, alice.certificate_pem
    )
    # The way gRPC has for keys, which it sends over encrypted channels only.
    both = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(texts["shop"]))
    nobody = grpc.ssl_channel_credentials(authority.certificate_pem)
    tls = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": clients}
    async with gateway(tmp_path, key_file=path, **tls) as listening:
        async with channel_to(listening, both) as channel:
            error = await failure(RetrievalServiceStub(channel).Search(MUG, timeout=10))
            assert "no release" in error.details()
        async with channel_to(listening, credentials) as channel:
            assert await code(RetrievalServiceStub(channel).Search(MUG, timeout=10)) is Code.UNAUTHENTICATED
        for stranger in (nobody, None):
            async with channel_to(listening, stranger) as channel:
                error = await failure(RetrievalServiceStub(channel).Search(MUG, timeout=5))
                assert error.code() is Code.UNAVAILABLE
                assert rpc_status.from_call(error) is None, "the handshake failed, the gateway said nothing"


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "0.0.0.0"},
        {"host": "0.0.0.0", "key_file": "absent.json"},
        {"key_file": "absent.json"},
        {"tls_certificate": "absent.crt", "tls_key": "absent.key"},
        {"tls_key": "absent.key"},
    ],
    ids=lambda changes: "+".join(changes),
)
async def test_a_gateway_that_would_not_be_guarded_as_told_does_not_start(tmp_path, changes):
    with pytest.raises(InvalidInput) as refused:
        async with gateway(tmp_path, **changes):
            pass
    assert refused.value.field.startswith("VITRINE_")
    assert refused.value.fix


@pytest.mark.parametrize("guard", ["insecure", "key_file"])
async def test_guarded_or_told_to_it_listens_to_the_network(tmp_path, keys, guard):
    given = {"insecure": True} if guard == "insecure" else {"key_file": keys[0]}
    with capture_logs() as lines:
        async with gateway(tmp_path, host="0.0.0.0", **given) as listening:
            assert not any(address.is_loopback for address in listens_on(listening.port))
            assert all(address.is_loopback for address in listens_on(listening.metrics_port))
    warned = [line for line in lines if line["log_level"] == "warning" and "clear text" in line["event"]]
    assert bool(warned) == (guard == "key_file"), "keys without encryption are pointed out"


async def test_unless_told_everything_is_on_loopback(tmp_path):
    async with gateway(tmp_path) as listening:
        for port in (listening.port, listening.metrics_port):
            assert all(address.is_loopback for address in listens_on(port))


@pytest.mark.parametrize("size", [8 * MIB + 1, 9 * MIB, 16 * MIB])
async def test_a_picture_above_the_limit_is_refused_by_us_with_its_field(tmp_path, size):
    async with gateway(tmp_path) as listening, channel_to(listening) as channel:
        stub = RetrievalServiceStub(channel)
        for error in (
            await failure(stub.Search(pb.SearchRequest(query=pb.Query(picture=bytes(size))), timeout=20)),
            await failure(
                stub.Search(pb.SearchRequest(query=pb.Query(text="mug", picture=bytes(size))), timeout=20)
            ),
        ):
            assert error.code() is Code.INVALID_ARGUMENT
            (violation,) = details(error)["BadRequest"].field_violations
            assert violation.field == "query.picture"
            assert str(8 * MIB) in error.details().replace(",", "")


async def test_one_of_a_stream_that_is_too_large_fails_alone(tmp_path):
    async with gateway(tmp_path) as listening, channel_to(listening) as channel:
        large = pb.BatchSearchRequest(
            request_id=1, search=pb.SearchRequest(query=pb.Query(picture=bytes(9 * MIB)))
        )
        small = pb.BatchSearchRequest(request_id=2, search=MUG)
        call = RetrievalServiceStub(channel).BatchSearch(iter([large, small]), timeout=20)
        answers = {one.request_id: one.error async for one in call}
    assert answers[1].reason == "INVALID_INPUT"
    assert answers[1].field.endswith("query.picture")
    assert answers[2].reason == "UNAVAILABLE"


async def test_beyond_twice_that_the_transport_refuses_message_by_message(tmp_path):
    async with gateway(tmp_path) as listening, channel_to(listening) as channel:
        stub = RetrievalServiceStub(channel)
        huge = pb.SearchRequest(query=pb.Query(picture=bytes(17 * MIB)))
        error = await failure(stub.Search(huge, timeout=20))
        assert error.code() is Code.RESOURCE_EXHAUSTED
        requests = iter([pb.BatchSearchRequest(search=huge)])
        call = stub.BatchSearch(requests, timeout=20)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            _ = [one async for one in call]
        assert failed.value.code() is Code.RESOURCE_EXHAUSTED
        assert await code(stub.Search(MUG, timeout=5)) is Code.UNAVAILABLE, "the gateway goes on"


async def test_what_is_typed_does_not_reach_the_log(tmp_path):
    typed = "a present for my sister"
    with capture_logs() as lines:
        async with gateway(tmp_path, log_requests="all") as listening, channel_to(listening) as channel:
            call = RetrievalServiceStub(channel).Search
            for query in (pb.Query(text=typed), pb.Query(text=typed * 200), pb.Query(product_id=typed)):
                await failure(call(pb.SearchRequest(query=query), timeout=5))
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["code"] for line in requests] == ["UNAVAILABLE", "INVALID_ARGUMENT", "UNAVAILABLE"]
    assert typed not in str(lines)
    with capture_logs() as lines:
        told = {"log_requests": "all", "log_queries": True}
        async with gateway(tmp_path, **told) as listening, channel_to(listening) as channel:
            await failure(RetrievalServiceStub(channel).Search(pb.SearchRequest(query=pb.Query(text=typed))))
    assert [line["words"] for line in lines if line["event"] == "request"] == [[typed]]
