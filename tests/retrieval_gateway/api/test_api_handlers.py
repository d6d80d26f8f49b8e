"""What every RPC shares: a deadline, a place, a count, and a status for every failure."""

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2

import faults
from retrieval_gateway.admission import Admission
from retrieval_gateway.api.handlers import Handlers
from retrieval_gateway.metrics import Metrics


class Aborted(Exception):
    """What the fake context raises, as the real one does."""


class FakeContext:
    def __init__(self, left_s: float | None = None) -> None:
        self._left_s = left_s
        self.status: grpc.Status | None = None

    def time_remaining(self) -> float | None:
        return self._left_s

    async def abort_with_status(self, status: grpc.Status) -> None:
        self.status = status
        raise Aborted


class Bench:
    def __init__(self, limit: int = 2, default_timeout_s: float = 30.0) -> None:
        self.metrics = Metrics()
        self.admission = Admission(limit, self.metrics)
        self._handlers = Handlers(self.admission, self.metrics, default_timeout_s)

    async def call(self, handle, context: FakeContext | None = None) -> bytes:
        return await self._handlers.unary("Search", handle).unary_unary(b"raw", context or FakeContext())

    def counted(self, code: str) -> float:
        return (
            self.metrics.registry.get_sample_value("vitrine_requests_total", {"rpc": "Search", "code": code})
            or 0
        )

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
    with pytest.raises(Aborted):
        await bench.call(refuse, context)
    assert context.status.code is grpc.StatusCode.NOT_FOUND
    assert context.status.details.startswith("query.product_id: no such product")
    assert "grpc-status-details-bin" in dict(context.status.trailing_metadata)
    assert bench.counted("NOT_FOUND") == 1
    assert bench.in_flight == 0


async def test_a_bug_is_logged_and_kept_from_the_caller(capsys):
    async def bug(_: bytes) -> bytes:
        raise KeyError("secret")

    bench, context = Bench(), FakeContext()
    with pytest.raises(Aborted):
        await bench.call(bug, context)
    assert context.status.code is grpc.StatusCode.INTERNAL
    assert "secret" not in str(context.status)
    assert "secret" in "".join(capsys.readouterr())
    assert bench.counted("INTERNAL") == 1


@pytest.mark.parametrize("left_s", [0.01, 0.0, -1.0])
async def test_a_callers_deadline_is_kept(left_s):
    bench, context = Bench(), FakeContext(left_s)
    with pytest.raises(Aborted):
        await bench.call(for_ever, context)
    assert context.status.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert bench.counted("DEADLINE_EXCEEDED") == 1
    assert bench.in_flight == 0


async def test_a_request_without_a_deadline_gets_the_default_one():
    context = FakeContext(None)
    with pytest.raises(Aborted):
        await Bench(default_timeout_s=0.01).call(for_ever, context)
    assert context.status.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_full_house_refuses_with_a_time_to_come_back():
    bench, context = Bench(limit=2), FakeContext()
    guests = [asyncio.create_task(bench.call(for_ever)) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert bench.in_flight == 2
    with pytest.raises(Aborted):
        await bench.call(echo, context)
    assert context.status.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (
        error_details_pb2.RetryInfo.DESCRIPTOR.full_name.encode()
        in dict(context.status.trailing_metadata)["grpc-status-details-bin"]
    )
    guests[0].cancel()
    await asyncio.wait([guests[0]])
    assert bench.counted("CANCELLED") == 1
    assert await bench.call(echo) == b"raw"
    guests[1].cancel()
    await asyncio.wait([guests[1]])
    assert bench.in_flight == 0
