"""Whatever bytes come in, the service answers or refuses: no bug, no hang, no word about our inside.

The real handlers, parsers, searcher, index and cache on a release of eight products, in this process; only
Triton is a fake. How many examples: see ``fuzz_profile``.
"""

import asyncio
import contextlib
import re
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from fuzz_profile import fuzzed
from fuzz_requests import RIGHT, nearly_right
from fuzz_strategies import MARK, edited, messages
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.small_releases import SmallShop

from retrieval_gateway.admission import Admission
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.handlers import Handlers
from retrieval_gateway.api.retrieval_service import SERVICE, retrieval_service
from retrieval_gateway.cache import FakeSharedTier, MemoryTier, ResponseCache, TallyCounters
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.request_log import RequestLog
from retrieval_gateway.searcher import Searcher
from retrieval_gateway.security.access import OpenAccess
from retrieval_gateway.settings import GatewaySettings

METHODS = {
    "Search": (pb.SearchRequest, pb.SearchResponse),
    "SearchSimilar": (pb.SearchSimilarRequest, pb.SearchSimilarResponse),
    "BatchSearch": (pb.BatchSearchRequest, pb.BatchSearchResponse),
}
REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}
"""All that a caller may do wrong here. INTERNAL is a bug, UNAVAILABLE and DEADLINE_EXCEEDED would be too."""
INSIDE = re.compile(rb"Traceback|site-packages|\.py\b|fake:8001|File \"|0x[0-9a-f]{6,}")


class Aborted(Exception):
    """What the fake context raises, as the real one does."""


class OneRelease:
    """Follows nothing: serves the release that it is given."""

    def __init__(self, release) -> None:
        self.release = release

    @contextlib.contextmanager
    def current(self):
        yield self.release


class FakeContext:
    def __init__(self) -> None:
        self.status = status_pb2.Status()
        self.code = grpc.StatusCode.OK
        self.written: list[bytes] = []

    def invocation_metadata(self):
        return ()

    def time_remaining(self):
        return None

    async def abort_with_status(self, status: grpc.Status) -> None:
        self.code = status.code
        packed = dict(status.trailing_metadata)["grpc-status-details-bin"]
        self.status = status_pb2.Status.FromString(packed)
        raise Aborted

    async def write(self, reply: bytes) -> None:
        self.written.append(reply)


class Service:
    """The service and the loop that it lives on."""

    def __init__(self, folder) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = folder
        self.executor = ThreadPoolExecutor(2)
        self.loop.run_until_complete(self._open(folder))

    async def _open(self, folder) -> None:
        shop = SmallShop(folder)
        manifest = await shop.publish(1)
        shop.triton.load_everything()
        metrics, settings = Metrics(), GatewaySettings(max_picture_pixels=500_000)
        admission = Admission(64, metrics)
        self.cache = ResponseCache(MemoryTier(10**6), FakeSharedTier(), TallyCounters())
        follower = OneRelease(shop.load(manifest.release_id))
        searcher = Searcher(follower, self.cache, self.executor, metrics, admission.compute)
        handlers = Handlers(admission, OpenAccess(False), metrics, RequestLog("all"), 60.0)
        self._service = retrieval_service(searcher, settings, handlers)

    def close(self) -> None:
        self.loop.run_until_complete(self.cache.close())
        self.executor.shutdown()
        self.loop.close()

    def ask(self, method: str, raw: bytes) -> tuple[FakeContext, bytes]:
        """Sends one request; returns what became of it, and the reply if there is one."""
        handler, context = self._service.service(Details(f"/{SERVICE}/{method}")), FakeContext()

        async def requests():
            yield raw

        async def call() -> bytes:
            if handler.unary_unary is not None:
                return await handler.unary_unary(raw, context)
            await handler.stream_stream(requests(), context)
            (reply,) = context.written
            return reply

        try:
            return context, self.loop.run_until_complete(call())
        except Aborted:
            return context, b""


class Details(grpc.HandlerCallDetails):
    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("fuzz"))
    yield service
    service.close()


def check(service: Service, method: str, raw: bytes) -> None:
    with capture_logs() as lines:
        context, reply = service.ask(method, raw)
    assert MARK not in str(lines), "what was typed stands in the log"
    if context.code is not grpc.StatusCode.OK:
        assert context.code in REFUSALS, context.status
        said = context.status.SerializeToString()
        assert len(said) < 8000, "it must fit into a header"
    else:
        answer = METHODS[method][1].FromString(reply)
        said = b""
        if method == "BatchSearch" and answer.WhichOneof("result") == "error":
            assert answer.error.code in {code.value[0] for code in REFUSALS}, answer.error
            said = answer.error.SerializeToString()
    assert not INSIDE.search(said), said
    assert str(service.folder).encode() not in said


@pytest.mark.parametrize("method", METHODS)
@fuzzed
@given(data=st.data())
def test_messages_of_any_content_are_answered_or_refused(service, method, data):
    request = data.draw(messages(METHODS[method][0].DESCRIPTOR))
    check(service, method, request.SerializeToString())


@pytest.mark.parametrize("method", METHODS)
@fuzzed
@given(data=st.data())
def test_requests_that_are_nearly_right_are_too(service, method, data):
    check(service, method, data.draw(nearly_right(method)).SerializeToString())


@pytest.mark.parametrize(("method", "request_"), [(name, one) for name in RIGHT for one in RIGHT[name]])
def test_the_requests_that_they_are_made_of_are_right(service, method, request_):
    context, reply = service.ask(method, request_.SerializeToString())
    assert context.code is grpc.StatusCode.OK, context.status.message
    answer = METHODS[method][1].FromString(reply)
    assert method != "BatchSearch" or answer.WhichOneof("result") != "error", answer


@pytest.mark.parametrize("method", METHODS)
@fuzzed
@given(data=st.data())
def test_bytes_that_were_a_message_and_bytes_that_never_were_too(service, method, data):
    serialised = nearly_right(method).map(lambda message: message.SerializeToString())
    check(service, method, data.draw(st.one_of(edited(serialised), st.binary(max_size=300))))


@pytest.mark.parametrize("depth", [10, 48, 95, 100, 5000])
def test_filters_within_filters_within_filters(service, depth):
    raw = pb.Filter(field="price", range=pb.Range(minimum=1)).SerializeToString()
    for _ in range(depth):
        raw = field_of(pb.Filter, "not", raw)
    query = pb.SearchRequest(query=pb.Query(text="mug")).SerializeToString()
    check(service, "Search", query + field_of(pb.SearchRequest, "filters", raw))


def field_of(kind, name: str, raw: bytes) -> bytes:
    """One length-delimited field, as the wire has it: protobuf's own encoder does not go as deep."""
    length, varint = len(raw), bytearray()
    while length >= 0x80:
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    varint.append(length)
    return bytes([kind.DESCRIPTOR.fields_by_name[name].number << 3 | 2]) + bytes(varint) + raw
