"""A whole gateway in this process, with nothing behind it: it starts, says what is missing, and stops."""

import contextlib
import socket
from urllib.request import urlopen

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from faults import Occupied
from retrieval_gateway.api.generated import release_service_pb2 as release_pb
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.generated.release_service_pb2_grpc import ReleaseServiceStub
from retrieval_gateway.api.generated.retrieval_service_pb2_grpc import RetrievalServiceStub
from retrieval_gateway.server import Running, running
from retrieval_gateway.settings import GatewaySettings
from runtime.ports import free_port

States = health_pb2.HealthCheckResponse
SERVICES = ("vitrine.retrieval.v1.RetrievalService", "vitrine.retrieval.v1.ReleaseService")


def settings_of(tmp_path, **changes) -> GatewaySettings:
    fields = {
        "port": 0,
        "metrics_port": 0,
        "triton_url": f"127.0.0.1:{free_port()}",
        "release_store": tmp_path / "releases",
        "drain_s": 0.5,
    }
    return GatewaySettings(**{**fields, **changes})


@contextlib.asynccontextmanager
async def gateway(tmp_path, **changes):
    async with running(settings_of(tmp_path, **changes)) as listening:
        yield listening


@contextlib.asynccontextmanager
async def channel_to(listening: Running):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{listening.port}") as channel:
        yield channel


async def test_without_a_release_it_runs_and_says_so(tmp_path):
    async with gateway(tmp_path) as listening, channel_to(listening) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await RetrievalServiceStub(channel).Search(
                pb.SearchRequest(query=pb.Query(text="mug")), timeout=5
            )
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "no release is active" in failed.value.details()
        listed = await ReleaseServiceStub(channel).ListReleases(release_pb.ListReleasesRequest(), timeout=5)
        assert not listed.releases


async def test_a_bad_request_is_refused_even_without_a_release(tmp_path):
    async with gateway(tmp_path) as listening, channel_to(listening) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await RetrievalServiceStub(channel).Search(pb.SearchRequest(), timeout=5)
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_health_is_not_serving_for_what_needs_a_release(tmp_path):
    async with gateway(tmp_path) as listening, channel_to(listening) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name, searches in (("", True), (SERVICES[0], True), (SERVICES[1], False), ("liveness", False)):
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
            assert reply.status == (States.NOT_SERVING if searches else States.SERVING), name
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stub.Check(health_pb2.HealthCheckRequest(service="vitrine.Unknown"), timeout=5)
        assert failed.value.code() is grpc.StatusCode.NOT_FOUND


async def ask_reflection(channel, **request):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**request)]), timeout=5)
    return [reply async for reply in call][0]  # noqa: RUF015


async def test_reflection_tells_services_and_their_messages(tmp_path):
    async with gateway(tmp_path) as listening, channel_to(listening) as channel:
        reply = await ask_reflection(channel, list_services="")
        names = {service.name for service in reply.list_services_response.service}
        assert {*SERVICES, "grpc.health.v1.Health"} <= names
        reply = await ask_reflection(channel, file_containing_symbol=SERVICES[0])
        pool = descriptor_pool.DescriptorPool()
        for file in reply.file_descriptor_response.file_descriptor_proto:
            pool.Add(FileDescriptorProto.FromString(file))
        assert (
            pool.FindServiceByName(SERVICES[0]).methods_by_name["Search"].input_type.name == "SearchRequest"
        )


async def test_reflection_can_be_switched_off(tmp_path):
    async with gateway(tmp_path, reflection=False) as listening, channel_to(listening) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await ask_reflection(channel, list_services="")
        assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("method", "request_of"),
    [
        ("ActivateRelease", release_pb.ActivateReleaseRequest(release_id="20260101T000000Z-abcdef")),
        ("RollbackRelease", release_pb.RollbackReleaseRequest()),
    ],
)
async def test_switching_is_for_those_who_may(tmp_path, method, request_of):
    async with gateway(tmp_path) as listening, channel_to(listening) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await getattr(ReleaseServiceStub(channel), method)(request_of, timeout=5)
        assert failed.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "VITRINE_RELEASE_ADMIN" in failed.value.details()
    async with gateway(tmp_path, release_admin=True) as listening, channel_to(listening) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await getattr(ReleaseServiceStub(channel), method)(request_of, timeout=5)
        assert failed.value.code() is grpc.StatusCode.NOT_FOUND


async def test_metrics_are_served_beside(tmp_path):
    async with gateway(tmp_path) as listening, channel_to(listening) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await RetrievalServiceStub(channel).Search(pb.SearchRequest(), timeout=5)
        with urlopen(f"http://127.0.0.1:{listening.metrics_port}/metrics", timeout=5) as page:
            text = page.read().decode()
    assert 'vitrine_requests_total{code="INVALID_ARGUMENT",rpc="Search"} 1.0' in text
    assert "vitrine_build_info{version=" in text


@pytest.mark.parametrize(
    ("setting", "variable"), [("port", "VITRINE_PORT"), ("metrics_port", "VITRINE_METRICS_PORT")]
)
async def test_a_port_in_use_is_named(tmp_path, setting, variable):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        with pytest.raises(Occupied, match=rf"{variable}: 127\.0\.0\.1:{taken} is held by process \d+"):
            async with gateway(tmp_path, **{setting: taken}):
                pass


async def test_it_can_be_started_again_on_its_port(tmp_path):
    port = free_port()
    for _ in range(2):
        async with gateway(tmp_path, port=port) as listening, channel_to(listening) as channel:
            await ReleaseServiceStub(channel).ListReleases(release_pb.ListReleasesRequest(), timeout=5)
