"""Several gateways on one real cache server: each answer is computed once, and a dead holder stops nobody."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from retrieval_gateway.cache import MemoryTier, RedisTier, ResponseCache, TallyCounters, cache_key
from runtime.ports import free_port
from runtime.valkey import ValkeyServer, ValkeySettings

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

GENEROUS_S = 10.0
QUERIES = 30

GATEWAY = """
import asyncio, sys
from retrieval_gateway.cache import MemoryTier, RedisTier, ResponseCache, TallyCounters, cache_key

async def main(url, lease_s, seconds, queries):
    computed = 0
    counters = TallyCounters()
    tier = RedisTier(url, counters, timeout_s=10.0)
    cache = ResponseCache(MemoryTier(10**6), tier, counters, lease_s=lease_s)

    async def ask(number):
        async def compute():
            nonlocal computed
            computed += 1
            print("computing", flush=True)
            await asyncio.sleep(seconds)
            return b"answer %d" % number

        answer = await cache.get_or_compute(cache_key("r1", {"n": number}), "r1", compute)
        assert answer.payload == b"answer %d" % number

    sys.stdin.readline()
    await asyncio.gather(*(ask(number) for number in range(queries)))
    await cache.close()
    print(computed, flush=True)

asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
"""


@pytest.fixture
def server(tmp_path):
    server = ValkeyServer(ValkeySettings(port=free_port(), folder=tmp_path))
    server.start()
    yield server
    server.stop(5.0)


def gateway(url: str, *, lease_s: float, seconds: float, queries: int) -> subprocess.Popen[str]:
    """A process with a cache that waits for a line before it asks all its queries at once."""
    command = [sys.executable, "-c", GATEWAY, url, str(lease_s), str(seconds), str(queries)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_of_three_gateways_at_once_one_computes_each_answer(server):
    gateways = [gateway(server.url, lease_s=GENEROUS_S, seconds=0.05, queries=QUERIES) for _ in range(3)]
    try:
        for one in gateways:
            one.stdin.write("go\n")
            one.stdin.flush()
        computed = [int(one.communicate(timeout=60)[0].split()[-1]) for one in gateways]
    finally:
        for one in gateways:
            one.kill()
            one.wait()
    assert sum(computed) == QUERIES


@pytest.mark.parametrize(
    "lease_s", [0.3, GENEROUS_S], ids=["waits for its own bound", "until the lease ends"]
)
async def test_a_holder_that_is_killed_stops_nobody(server, lease_s):
    """The killed gateway's lease lasts a second; this one waits for ``lease_s`` at most."""
    holder = gateway(server.url, lease_s=1.0, seconds=3600.0, queries=1)
    counters = TallyCounters()
    tier = RedisTier(server.url, counters, timeout_s=GENEROUS_S)
    cache = ResponseCache(MemoryTier(0), tier, counters, lease_s=lease_s)
    computed = 0

    async def compute() -> bytes:
        nonlocal computed
        computed += 1
        return b"answer 0"

    try:
        holder.stdin.write("go\n")
        holder.stdin.flush()
        assert await asyncio.to_thread(holder.stdout.readline) == "computing\n"
        os.kill(holder.pid, signal.SIGKILL)
        async with asyncio.timeout(GENEROUS_S + lease_s):
            answer = await cache.get_or_compute(cache_key("r1", {"n": 0}), "r1", compute)
    finally:
        holder.kill()
        holder.communicate()
        await cache.close()
    assert (answer.payload, answer.source, computed) == (b"answer 0", "computed", 1)
    assert counters.counts["waited:in_vain"] + counters.counts["waited:taken_over"] == 1
