"""The cache through the whole system: who answered is in the reply and in the metrics."""

import statistics
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import redis
from support.processes import eventually

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client import SearchReply

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]


def without_trailer(reply: SearchReply) -> pb.SearchResponse:
    body = pb.SearchResponse.FromString(reply.raw.SerializeToString())
    body.ClearField("cache_source")
    body.ClearField("timings")
    return body


def answers(gateway, source: str) -> float:
    return gateway.metric("vitrine_cache_answers_total", source=source)


def test_the_second_of_two_identical_searches_is_a_hit(gateway, client):
    before = answers(gateway, "memory")
    first = client.search("stoneware plate", k=20, fields=["title"])
    second = client.search("  Stoneware PLATE ", k=20, fields=["title"])
    assert first.cache_source == pb.CACHE_SOURCE_COMPUTED
    assert second.cache_source == pb.CACHE_SOURCE_MEMORY
    assert without_trailer(first) == without_trailer(second)
    assert answers(gateway, "memory") == before + 1
    assert gateway.metric("vitrine_cache_events_total", kind="memory_hit") >= 1


def test_a_hit_is_at_least_three_times_faster(client, observed):
    """Medians of the gateway's own time, so that neither a busy moment nor a lucky one decides."""
    texts = [f"umbrella number {number}" for number in range(20)]
    computed, hit = (
        statistics.median(client.search(text, k=20).timings.total_us for text in texts) for _ in range(2)
    )
    observed(f"computed {computed} us, hit {hit} us")
    assert hit * 3 <= computed


def test_with_the_memory_tier_off_the_hit_comes_from_redis(stack):
    with stack.gateway(VITRINE_CACHE_MEMORY_BYTES="0") as lean:
        first = lean.client.search("redis plate", k=7)
        assert first.cache_source == pb.CACHE_SOURCE_COMPUTED
        second = eventually(lambda: from_redis(lean.client.search("redis plate", k=7)))
        assert second, "nothing was stored in redis"
        assert without_trailer(second) == without_trailer(first)
        assert answers(lean, "redis") >= 1
        assert gateway_hits(lean) >= 1


def from_redis(reply: SearchReply) -> SearchReply | None:
    return reply if reply.cache_source == pb.CACHE_SOURCE_REDIS else None


def gateway_hits(gateway) -> float:
    return gateway.metric("vitrine_cache_events_total", kind="redis_hit")


def test_gateways_share_what_one_of_them_computed(stack, gateway):
    first = gateway.client.search("shared plate", k=6)
    assert first.cache_source == pb.CACHE_SOURCE_COMPUTED
    with stack.gateway() as other:
        second = other.client.search("shared plate", k=6)
        assert second.cache_source == pb.CACHE_SOURCE_REDIS
        assert without_trailer(second) == without_trailer(first)


def test_two_gateways_asked_at_once_compute_one_answer(stack):
    """One of them holds the lease, the other waits for its answer; a busy machine may let a wait run out."""
    texts = [f"plate at once {number}" for number in range(20)]
    with (
        stack.gateway(VITRINE_CACHE_MEMORY_BYTES="0") as one,
        stack.gateway(VITRINE_CACHE_MEMORY_BYTES="0") as other,
        ThreadPoolExecutor(2) as pool,
    ):
        for text in texts:
            first, second = pool.map(partial(asked, text), (one, other))
            assert without_trailer(first) == without_trailer(second)
        computed = answers(one, "computed") + answers(other, "computed")
        shared = answers(one, "redis") + answers(other, "redis")
    assert computed + shared == 2 * len(texts)
    assert computed < 1.5 * len(texts)


def asked(text: str, gateway) -> SearchReply:
    return gateway.client.search(text, k=5)


def test_other_peoples_bytes_in_redis_are_a_miss(stack):
    with (
        stack.gateway(VITRINE_CACHE_MEMORY_BYTES="0") as lean,
        redis.Redis.from_url(stack.valkey.url) as server,
    ):
        first = lean.client.search("poisoned plate")
        assert eventually(lambda: from_redis(lean.client.search("poisoned plate"))), "it was not stored"
        for key in server.scan_iter(f"vitrine:{stack.first.release_id}:*"):
            server.set(key, b"not an answer of ours")
        again = lean.client.search("poisoned plate")
        assert again.cache_source == pb.CACHE_SOURCE_COMPUTED
        assert without_trailer(again) == without_trailer(first)
        assert lean.metric("vitrine_cache_events_total", kind="redis_poisoned") >= 1


def test_a_wrong_redis_address_costs_nothing_but_the_hits(stack):
    with stack.gateway(VITRINE_REDIS_URL="redis://127.0.0.1:1/0", VITRINE_CACHE_MEMORY_BYTES="0") as lone:
        for _ in range(3):
            assert lone.client.search("lonely plate").cache_source == pb.CACHE_SOURCE_COMPUTED
        assert lone.metric("vitrine_cache_events_total", kind="redis_connection") >= 1
