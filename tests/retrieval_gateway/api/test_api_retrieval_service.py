"""From bytes to a checked query and back: every method of the service, and requests of a stream."""

import pytest

import faults
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.retrieval_service import SERVICE, retrieval_service
from retrieval_gateway.query import LikeProduct, Words
from retrieval_gateway.settings import GatewaySettings


class Handlers:
    """Hands out the functions that the service is made of, instead of gRPC handlers."""

    def unary(self, _name, handle):
        return handle

    def stream(self, _name, handle, failed):
        return handle, failed


class Searcher:
    """Says what it was asked."""

    async def search(self, query):
        if query.subject == Words("nothing"):
            raise faults.Overloaded("busy", retry_after_s=0.1)
        return pb.SearchResponse(release_id=repr(query.subject)).SerializeToString()

    async def similar(self, query):
        return pb.SearchSimilarResponse(release_id=repr(query.subject)).SerializeToString()


@pytest.fixture
def methods(monkeypatch):
    module = "retrieval_gateway.api.retrieval_service.grpc.method_handlers_generic_handler"
    monkeypatch.setattr(module, lambda name, handlers: (name, handlers))
    name, methods = retrieval_service(Searcher(), GatewaySettings(), Handlers())
    assert name == SERVICE
    assert set(methods) == {
        method.name for method in pb.DESCRIPTOR.services_by_name["RetrievalService"].methods
    }
    return methods


MUG = pb.SearchRequest(query=pb.Query(text="mug"))
LIKE = pb.SearchSimilarRequest(product_id="p1")


async def test_unary_calls_are_parsed_checked_and_answered(methods):
    reply = await methods["Search"](MUG.SerializeToString())
    assert pb.SearchResponse.FromString(reply).release_id == repr(Words("mug"))
    reply = await methods["SearchSimilar"](LIKE.SerializeToString())
    assert pb.SearchSimilarResponse.FromString(reply).release_id == repr(LikeProduct("p1"))
    with pytest.raises(faults.InvalidInput, match="empty query"):
        await methods["Search"](b"")
    with pytest.raises(faults.InvalidInput, match="either a product"):
        await methods["SearchSimilar"](b"")


async def ask(methods, raw: bytes) -> pb.BatchSearchResponse:
    handle, failed = methods["BatchSearch"]
    try:
        return pb.BatchSearchResponse.FromString(await handle(raw))
    except Exception as error:
        return pb.BatchSearchResponse.FromString(failed(raw, error))


async def test_each_request_of_a_stream_is_answered_under_its_number(methods):
    one = await ask(methods, pb.BatchSearchRequest(request_id=5, search=MUG).SerializeToString())
    assert (one.request_id, one.search.release_id) == (5, repr(Words("mug")))
    two = await ask(methods, pb.BatchSearchRequest(request_id=6, search_similar=LIKE).SerializeToString())
    assert (two.request_id, two.search_similar.release_id) == (6, repr(LikeProduct("p1")))


async def test_a_bad_one_is_an_error_under_its_number(methods):
    empty = await ask(methods, pb.BatchSearchRequest(request_id=7).SerializeToString())
    assert (empty.request_id, empty.error.field, empty.error.reason) == (7, "request", "INVALID_INPUT")
    bad_k = pb.BatchSearchRequest(request_id=8, search=pb.SearchRequest(query=MUG.query, k=0))
    refused = await ask(methods, bad_k.SerializeToString())
    assert (refused.request_id, refused.error.field) == (8, "k")
    busy = pb.SearchRequest(query=pb.Query(text="nothing"))
    late = await ask(methods, pb.BatchSearchRequest(request_id=9, search=busy).SerializeToString())
    assert (late.request_id, late.error.retry_after_ms, late.error.reason) == (9, 100, "OVERLOADED")


async def test_bad_text_does_not_hide_the_number(methods):
    raw = pb.BatchSearchRequest(request_id=10, search=pb.SearchRequest(query=pb.Query(text="AAAA")))
    reply = await ask(methods, raw.SerializeToString().replace(b"AAAA", b"\xff\xfe\xfd\xfc"))
    assert (reply.request_id, reply.error.field) == (10, "search.query.text")


async def test_bytes_that_are_no_request_are_answered_without_a_number(methods):
    reply = await ask(methods, b"\xff\xff\xff")
    assert (reply.request_id, reply.error.field) == (0, "request")
