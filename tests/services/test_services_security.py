"""The real processes: what each of them listens on, and how far searchers get."""

import grpc
import pytest
from support.listening import listens_on, ports_of
from support.pictures import plain_png
from support.processes import eventually
from tritonclient.grpc import service_pb2, service_pb2_grpc

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.generated.retrieval_service_pb2_grpc import RetrievalServiceStub
from retrieval_gateway.security.api_keys import make_key
from retrieval_gateway.security.key_file import add_key

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]


def test_every_process_of_the_stack_listens_on_loopback_only(stack, gateway):
    settings, serving = stack.settings, gateway.settings
    ports = (
        settings.triton_grpc_port,
        settings.triton_metrics_port,
        settings.valkey_port,
        serving.port,
        serving.metrics_port,
    )
    for port in ports:
        assert all(address.is_loopback for address in listens_on(port)), port


def test_triton_opens_no_port_but_its_two(stack):
    """Its HTTP endpoint could load models as well: it is off, and nothing else may have come to be open."""
    assert ports_of(stack.triton.pid) == {
        stack.settings.triton_grpc_port,
        stack.settings.triton_metrics_port,
    }


@pytest.mark.parametrize(
    "method", ["RepositoryModelLoad", "RepositoryModelUnload", "ModelInfer", "LogSettings"]
)
def test_the_gateway_passes_nothing_of_tritons_api_on(gateway, method):
    """Loading a model runs code that is pushed with it: no searcher may get near it through the gateway."""
    request = getattr(service_pb2, f"{method}Request")()
    with grpc.insecure_channel(gateway.address) as channel:
        call = getattr(service_pb2_grpc.GRPCInferenceServiceStub(channel), method)
        with pytest.raises(grpc.RpcError) as failed:
            call(request, timeout=10)
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_gateway_with_keys_serves_those_who_have_one(stack, tmp_path):
    path = tmp_path / "keys.json"
    record, key = make_key("shop", admin=False, rate=None)
    add_key(path, record)
    request = pb.SearchRequest(query=pb.Query(text="glass plate"))
    with (
        stack.gateway(VITRINE_KEY_FILE=str(path)) as guarded,
        grpc.insecure_channel(guarded.address) as channel,
    ):
        search = RetrievalServiceStub(channel).Search
        assert search(request, timeout=10, metadata=[("authorization", f"Bearer {key}")]).product_ids
        with pytest.raises(grpc.RpcError) as failed:
            search(request, timeout=10)
        assert failed.value.code() is grpc.StatusCode.UNAUTHENTICATED
        refused = eventually(lambda: [line for line in guarded.log() if line["event"] == "request"])
        assert [(line["code"], len(line["trace_id"])) for line in refused] == [("UNAUTHENTICATED", 32)]


def test_a_search_ends_with_its_callers_deadline(gateway):
    """Wherever it is then: here with the decoder, which takes about a second for this picture."""
    with grpc.insecure_channel(gateway.address) as channel:
        search = RetrievalServiceStub(channel).Search
        slow = pb.SearchRequest(query=pb.Query(picture=plain_png(6000, 6001)), bypass_cache=True)
        with pytest.raises(grpc.RpcError) as failed:
            search(slow, timeout=0.15)
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert eventually(lambda: gateway.metric("vitrine_requests_in_flight") == 0)
        assert search(pb.SearchRequest(query=pb.Query(text="plate")), timeout=10).product_ids
