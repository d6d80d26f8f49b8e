"""Whatever happens to a real cache server under traffic: every request is answered, the counters tell, and
the tier comes back by itself. Memory is off here, so that nothing hides the shared tier."""

import asyncio
import contextlib
import os
import signal
from collections import Counter

import pytest
from redis.asyncio import Redis

from retrieval_gateway.cache import (
    MemoryTier,
    RedisTier,
    ResponseCache,
    TallyCounters,
    cache_key,
    open_envelope,
    seal_envelope,
)
from runtime.ports import free_port
from runtime.valkey import ValkeyServer, ValkeySettings

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

RELEASE = "r1"
QUERIES = 20
TIMEOUT_S, PAUSE_S = 0.5, 0.1
WITHIN_S = 30.0


def key_of(number: int) -> str:
    return cache_key(RELEASE, {"query": number})


class Traffic:
    """Shoppers who ask the same few queries again and again, and notice every wrong or missing answer."""

    def __init__(self, url: str) -> None:
        self.counters = TallyCounters()
        tier = RedisTier(url, self.counters, timeout_s=TIMEOUT_S, pause_s=PAUSE_S)
        self.cache = ResponseCache(MemoryTier(0), tier, self.counters)
        self.sources: Counter[str] = Counter()

    async def ask(self, number: int) -> str:
        async def compute() -> bytes:
            await asyncio.sleep(0.001)
            return b"answer %d" % number + bytes(3000)

        answer = await self.cache.get_or_compute(key_of(number), RELEASE, compute)
        assert answer.payload == b"answer %d" % number + bytes(3000)
        self.sources[answer.source] += 1
        return answer.source

    async def shopper(self, first: int) -> None:
        number = first
        while True:
            await self.ask(number % QUERIES)
            number += 1
            await asyncio.sleep(0.005)

    async def until(self, condition) -> None:
        """Waits until ``condition()`` holds; the shoppers go on meanwhile."""
        async with asyncio.timeout(WITHIN_S):
            while not condition():
                await asyncio.sleep(0.01)

    async def comes_back(self) -> None:
        """Waits until the shared tier answers again."""
        hits = self.sources["redis"]
        await self.until(lambda: self.sources["redis"] >= hits + 2 * QUERIES)

    async def goes_on_without(self) -> None:
        """Waits for many more answers, of which none can come from the shared tier."""
        computed, hits = self.sources["computed"], self.sources["redis"]
        await self.until(lambda: self.sources["computed"] >= computed + 2 * QUERIES)
        assert self.sources["redis"] <= hits + 4, "four were on their way"

    def errors(self, reason: str) -> int:
        return self.counters.counts[f"error:redis:{reason}"]


@contextlib.asynccontextmanager
async def traffic_on(url: str):
    """Four shoppers while the block runs; each of them must come through it unharmed."""
    traffic = Traffic(url)
    shoppers = [asyncio.create_task(traffic.shopper(first)) for first in range(0, QUERIES, 5)]
    try:
        await traffic.comes_back()
        yield traffic
    finally:
        ended = [shopper for shopper in shoppers if shopper.done()]
        for shopper in shoppers:
            shopper.cancel()
        await asyncio.wait(shoppers)
        await traffic.cache.close()
    assert [shopper.exception() for shopper in ended] == []


@contextlib.contextmanager
def valkey(folder):
    server = ValkeyServer(ValkeySettings(port=free_port(), folder=folder))
    server.start()
    try:
        yield server
    finally:
        server.stop(5.0)


@pytest.fixture
def server(tmp_path):
    with valkey(tmp_path / "one") as server:
        yield server


@pytest.fixture
def other_server(tmp_path):
    with valkey(tmp_path / "other") as server:
        yield server


def port_of(server: ValkeyServer) -> int:
    return int(server.url.removesuffix("/0").rpartition(":")[2])


class Line:
    """A line to a server on which every answer takes ``delay_s`` longer, and which may lead to another."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.delay_s = 0.0

    async def __aenter__(self) -> "Line":
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        self._calls: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.lead_to(0)
        await self._server.wait_closed()

    async def lead_to(self, port: int) -> None:
        """Hangs up on everyone; who calls again reaches the server on ``port``."""
        self._port = port
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        ends = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._port)
            ends.append(back)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, back, slow=False))
                group.create_task(self._copy(there, writer, slow=True))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in ends:
                end.close()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, slow: bool) -> None:
        while chunk := await source.read(65536):
            if slow and self.delay_s:
                await asyncio.sleep(self.delay_s)
            sink.write(chunk)
            await sink.drain()
        raise ConnectionResetError


async def test_full(server):
    """A server that evicts nothing and takes nothing more still gives what it has."""
    async with Redis.from_url(server.url) as admin, traffic_on(server.url) as traffic:
        await admin.config_set("maxmemory-policy", "noeviction")
        await admin.config_set("maxmemory", 1)
        assert await traffic.ask(0) == "redis"
        assert traffic.counters.counts["error:redis:refused"] == 0
        await admin.delete(*(key_of(number) for number in range(QUERIES)))
        await traffic.goes_on_without()
        assert traffic.errors("refused") > 0
        assert traffic.errors("timeout") == traffic.errors("connection") == 0
        await admin.config_set("maxmemory", 64 * 2**20)
        await traffic.comes_back()


async def test_full_and_evicting(server):
    """As a cache server should be set: it drops what is asked least, and nobody notices."""
    async with Redis.from_url(server.url) as admin, traffic_on(server.url) as traffic:
        used = (await admin.info("memory"))["used_memory"]
        await admin.config_set("maxmemory-policy", "allkeys-lfu")
        await admin.config_set("maxmemory", used + 2**20)
        for number in range(1000):
            await admin.set(f"somebody:{number}", bytes(3000))
        evicted = (await admin.info("stats"))["evicted_keys"]
        assert evicted > 0
        await traffic.comes_back()
        assert traffic.errors("refused") == 0


async def test_flushed(server):
    async with Redis.from_url(server.url) as admin, traffic_on(server.url) as traffic:
        computed = traffic.sources["computed"]
        await admin.flushall()
        await admin.script_flush()
        await traffic.comes_back()
        assert traffic.sources["computed"] >= computed + QUERIES
        assert not [kind for kind in traffic.counters.counts if kind.startswith("error")]


async def test_frozen(server):
    async with traffic_on(server.url) as traffic:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await traffic.goes_on_without()
            assert traffic.errors("timeout") > 0
            assert traffic.errors("connection") == 0
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await traffic.comes_back()


async def test_dead_and_back(server):
    async with traffic_on(server.url) as traffic:
        os.kill(server.pid, signal.SIGKILL)
        await traffic.goes_on_without()
        assert traffic.errors("connection") > 0
        await asyncio.to_thread(server.stop, 5.0)
        await asyncio.to_thread(server.start)
        await traffic.comes_back()


async def test_replaced_by_a_server_with_other_peoples_values(server, other_server):
    """Under our keys lie values of another key, release, version and type, and torn ones."""
    sealed = seal_envelope(b"not this", key=key_of(0), release_id=RELEASE)
    foreign = [
        seal_envelope(b"another key's", key="vitrine:r1:other", release_id=RELEASE),
        seal_envelope(b"another release's", key=key_of(1), release_id="r2"),
        sealed[:4] + b"\x02" + sealed[5:],
        seal_envelope(b"torn" * 500, key=key_of(3), release_id=RELEASE)[:700],
        b"",
        b"VTRL and no lease",
    ]
    async with (
        Redis.from_url(other_server.url) as admin,
        Line(port_of(server)) as line,
        traffic_on(line.url) as traffic,
    ):
        for number, value in enumerate(foreign):
            await admin.set(key_of(number), value)
        await admin.rpush(key_of(len(foreign)), "a list")
        await line.lead_to(port_of(other_server))
        await traffic.comes_back()
        async with asyncio.timeout(WITHIN_S):
            while not await all_ours(admin):
                await asyncio.sleep(0.01)
        assert traffic.errors("poisoned") > 0
        assert traffic.errors("connection") > 0


async def all_ours(admin: Redis) -> bool:
    for number in range(QUERIES):
        key = key_of(number)
        value = await admin.get(key) if await admin.type(key) == b"string" else None
        if value is None or open_envelope(value, key=key, release_id=RELEASE) is None:
            return False
    return True


async def test_slow(server):
    """Slower than before, but within the limit: hits. Slower than the limit: as if it were not there."""
    async with Line(port_of(server)) as line, traffic_on(line.url) as traffic:
        line.delay_s = TIMEOUT_S / 10
        await traffic.comes_back()
        assert traffic.errors("timeout") == 0
        line.delay_s = 2 * TIMEOUT_S
        await traffic.goes_on_without()
        assert traffic.errors("timeout") > 0
        line.delay_s = 0.0
        await traffic.comes_back()
