"""What every RPC shares: a caller, a deadline, a place, a count, a trace, and a status for every failure."""

import asyncio
import contextlib
import json
import time

import grpc
import pytest
from google.rpc import error_details_pb2
from structlog.testing import capture_logs

import faults
from retrieval_gateway import deadline, trace_context
from retrieval_gateway.admission import Admission
from retrieval_gateway.api.handlers import Handlers
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.request_log import RequestLog
from retrieval_gateway.security.access import Caller, OpenAccess

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Aborted(Exception):
    """What the fake context raises, as the real one does."""


class FakeContext:
    def __init__(self, left_s: float | None = None, **metadata: str) -> None:
        self._left_s = left_s
        self._metadata = tuple(metadata.items())
        self.status: grpc.Status | None = None

    def invocation_metadata(self):
        return self._metadata

    def time_remaining(self) -> float | None:
        return self._left_s

    async def abort_with_status(self, status: grpc.Status) -> None:
        self.status = status
        raise Aborted

    @property
    def packed(self) -> bytes:
        return dict(self.status.trailing_metadata)["grpc-status-details-bin"]


class Guarded:
    """Knows one caller, who may ask twice."""

    def __init__(self) -> None:
        self.left = 2

    def admit(self, metadata, *, admin):
        if dict(metadata).get("authorization") != "Bearer good":
            raise faults.Unauthenticated("no API key")
        if admin:
            raise faults.NotPermitted("not you")
        if not self.left:
            raise faults.Overloaded("too often", retry_after_s=0.25)
        self.left -= 1
        return Caller("good", admin=False)


class Bench:
    def __init__(self, limit: int = 2, default_timeout_s: float = 30.0, access=None) -> None:
        self.metrics = Metrics()
        self.admission = Admission(limit, self.metrics)
        self.handlers = Handlers(
            self.admission, access or OpenAccess(False), self.metrics, RequestLog("all"), default_timeout_s
        )

    async def call(self, handle, context: FakeContext | None = None, **rights) -> bytes:
        return await self.handlers.unary("Search", handle, **rights).unary_unary(
            b"raw", context or FakeContext()
        )

    async def refused(self, handle, context: FakeContext, **rights) -> grpc.StatusCode:
        with pytest.raises(Aborted):
            await self.call(handle, context, **rights)
        return context.status.code

    def counted(self, code: str, rpc: str = "Search") -> float:
        labels = {"rpc": rpc, "code": code}
        return self.metrics.registry.get_sample_value("vitrine_requests_total", labels) or 0

    @property
    def in_flight(self) -> float:
        return self.metrics.registry.get_sample_value("vitrine_requests_in_flight")


async def echo(raw: bytes) -> bytes:
    return raw


async def for_ever(_: bytes) -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


async def test_bytes_go_through_untouched_and_are_counted():
    bench = Bench()
    assert await bench.call(echo) == b"raw"
    assert bench.counted("OK") == 1
    assert bench.in_flight == 0


async def test_an_error_becomes_its_status():
    async def refuse(_: bytes) -> bytes:
        raise faults.NotFound("no such product", field="query.product_id", value="x")

    bench, context = Bench(), FakeContext()
    assert await bench.refused(refuse, context) is grpc.StatusCode.NOT_FOUND
    assert context.status.details.startswith("query.product_id: no such product")
    assert context.packed
    assert bench.counted("NOT_FOUND") == 1
    assert bench.in_flight == 0


async def test_a_bug_is_kept_from_the_caller_who_gets_the_id_by_which_the_log_has_it():
    async def bug(_: bytes) -> bytes:
        raise KeyError("secret")

    bench, context = Bench(), FakeContext(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    with capture_logs() as lines:
        assert await bench.refused(bug, context) is grpc.StatusCode.INTERNAL
    assert "secret" not in str(context.status)
    assert TRACE.encode() in context.packed
    assert [(line["log_level"], line["code"]) for line in lines] == [("warning", "INTERNAL")]
    assert isinstance(lines[0]["exc_info"], KeyError)
    assert bench.counted("INTERNAL") == 1


@pytest.mark.parametrize("left_s", [0.01, 0.0, -1.0])
async def test_a_callers_deadline_is_kept(left_s):
    bench, context = Bench(), FakeContext(left_s)
    assert await bench.refused(for_ever, context) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert bench.counted("DEADLINE_EXCEEDED") == 1
    assert bench.in_flight == 0


async def test_a_request_without_a_deadline_gets_the_default_one():
    code = await Bench(default_timeout_s=0.01).refused(for_ever, FakeContext(None))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(("left_s", "expected"), [(12.0, 11.995), (None, 30.0)])
async def test_whoever_works_on_it_knows_the_deadline(left_s, expected):
    async def ask(_: bytes) -> bytes:
        return json.dumps([time.monotonic(), deadline.current()]).encode()

    now, due = json.loads(await Bench().call(ask, FakeContext(left_s)))
    assert due - now == pytest.approx(expected, abs=1.0)
    assert deadline.current() is None


async def test_the_callers_trace_is_taken_up_and_one_is_begun_otherwise():
    async def ask(_: bytes) -> bytes:
        return trace_context.current.get().trace_id.encode()

    context = FakeContext(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    assert await Bench().call(ask, context) == TRACE.encode()
    first, second = [await Bench().call(ask, FakeContext()) for _ in range(2)]
    assert len(first) == len(second) == 32
    assert first != second


async def test_a_full_house_refuses_with_a_time_to_come_back():
    bench, context = Bench(limit=1), FakeContext()
    guests = [asyncio.create_task(bench.call(for_ever)) for _ in range(4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert bench.in_flight == 4
    assert await bench.refused(echo, context) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_details_pb2.RetryInfo.DESCRIPTOR.full_name.encode() in context.packed
    guests[0].cancel()
    await asyncio.wait([guests[0]])
    assert bench.counted("CANCELLED") == 1
    assert await bench.call(echo) == b"raw"
    for guest in guests:
        guest.cancel()
    await asyncio.wait(guests)
    assert bench.in_flight == 0


async def test_who_asks_is_looked_at_before_anything_is_done():
    bench = Bench(access=Guarded())
    known = {"authorization": "Bearer good"}
    assert await bench.refused(for_ever, FakeContext()) is grpc.StatusCode.UNAUTHENTICATED
    denied = await bench.refused(for_ever, FakeContext(**known), admin=True)
    assert denied is grpc.StatusCode.PERMISSION_DENIED
    with capture_logs() as lines:
        assert await bench.call(echo, FakeContext(**known)) == b"raw"
    assert lines[0]["caller"] == "good"
    await bench.call(echo, FakeContext(**known))
    context = FakeContext(**known)
    assert await bench.refused(echo, context) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_details_pb2.RetryInfo.DESCRIPTOR.full_name.encode() in context.packed
    assert [bench.counted(code) for code in ("UNAUTHENTICATED", "PERMISSION_DENIED")] == [1, 1]


class Wire:
    """A real gRPC server on loopback with one stream, whose requests are seconds to wait, or a failure."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.in_work = self.most_in_work = 0

    async def handle(self, raw: bytes) -> bytes:
        if raw == b"bug":
            raise KeyError("secret")
        self.in_work += 1
        self.most_in_work = max(self.most_in_work, self.in_work)
        try:
            await asyncio.sleep(float(raw))
        finally:
            self.in_work -= 1
        return raw

    def failed(self, raw: bytes, error: Exception) -> bytes:
        return f"{raw.decode()} {type(error).__name__}".encode()

    @contextlib.asynccontextmanager
    async def serving(self):
        server = grpc.aio.server()
        stream = self.bench.handlers.stream("BatchSearch", self.handle, self.failed)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", {"C": stream}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel.stream_stream("/a.B/C")
        await server.stop(0)


async def sent(*messages: bytes):
    for message in messages:
        yield message


async def test_a_stream_answers_as_it_goes_and_one_failure_stays_alone():
    wire = Wire(Bench(limit=100))
    async with wire.serving() as call:
        answers = [raw async for raw in call(sent(b"0.5", b"0", b"bug"), timeout=20)]
    assert answers[-1] == b"0.5", "the slow one came first and is answered last"
    assert set(answers[:-1]) == {b"0", b"bug KeyError"}
    assert wire.bench.counted("OK", "BatchSearch") == 2
    assert wire.bench.counted("INTERNAL", "BatchSearch") == 1


async def test_a_stream_has_a_bound_of_its_own():
    wire = Wire(Bench(limit=1000))
    async with wire.serving() as call:
        answers = [raw async for raw in call(sent(*[b"0.02"] * 200), timeout=20)]
    assert len(answers) == 200
    assert 16 <= wire.most_in_work <= 33


async def test_a_caller_gains_nothing_by_streaming():
    wire = Wire(Bench(limit=100, access=Guarded()))
    async with wire.serving() as call:
        answers = call(sent(*[b"0"] * 3), timeout=20, metadata=[("authorization", "Bearer good")])
        assert sorted([raw async for raw in answers]) == [b"0", b"0", b"0 Overloaded"]
        assert [raw async for raw in call(sent(b"0"), timeout=20)] == [b"0 Unauthenticated"]


async def test_a_stream_whose_caller_is_gone_is_no_longer_worked_on():
    wire = Wire(Bench(limit=100))
    async with wire.serving() as call:
        talking = call(sent(b"60", b"60"))
        async with asyncio.timeout(10):
            while wire.in_work < 2:
                await asyncio.sleep(0.01)
            talking.cancel()
            while wire.in_work:
                await asyncio.sleep(0.01)
    assert wire.bench.in_flight == 0
    assert wire.bench.counted("CANCELLED", "BatchSearch") == 2
