"""What the cache reports arrives in Prometheus, and every report has a name of its own."""

from __future__ import annotations

import inspect

from retrieval_gateway.cache import CacheCounters, TallyCounters, cache_key
from retrieval_gateway.cache.counters import ErrorReason, Tier, Waited
from retrieval_gateway.metered_cache import MeteredCounters, open_cache
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.settings import GatewaySettings


def report_everything(counters: CacheCounters) -> int:
    """Calls every method with every value; returns how many reports that were."""
    reports = [
        *((counters.hit, tier) for tier in Tier.__args__),
        *((counters.miss, tier) for tier in Tier.__args__),
        *((counters.waited, outcome) for outcome in Waited.__args__),
    ]
    for report, value in reports:
        report(value)
    for reason in ErrorReason.__args__:
        counters.error("redis", reason)
    counters.shared()
    counters.not_admitted()
    return len(reports) + len(ErrorReason.__args__) + 2


def test_every_report_is_one_series_and_the_tally_agrees() -> None:
    metrics, tally = Metrics(), TallyCounters()
    metered = MeteredCounters(metrics)
    for _ in range(2):
        reports = report_everything(metered)
        report_everything(tally)
    (family,) = metrics.cache_events.collect()
    counted = {
        sample.labels["kind"]: sample.value for sample in family.samples if sample.name.endswith("_total")
    }
    assert len(counted) == reports == len(tally.counts)
    assert set(counted.values()) == set(tally.counts.values()) == {2}
    assert {"memory_hit", "redis_poisoned", "shared_flight", "lease_in_vain", "memory_not_admitted"} <= set(
        counted
    )


def test_all_methods_of_the_protocol_were_reported() -> None:
    methods = {name for name, _ in inspect.getmembers(CacheCounters, inspect.isfunction) if name[0] != "_"}
    assert methods == {"hit", "miss", "error", "shared", "waited", "not_admitted"}


async def test_the_cache_that_is_opened_knows_its_hottest_and_counts() -> None:
    metrics = Metrics()
    cache = open_cache(GatewaySettings(redis_url=None), metrics)

    async def compute() -> bytes:
        return b"x"

    for _ in range(3):
        await cache.get_or_compute(cache_key("r1", {"q": "mug"}), "r1", compute, replay="mug")
    assert [one.replay for one in cache.hottest(5)] == ["mug"]
    hits = metrics.registry.get_sample_value("vitrine_cache_events_total", {"kind": "memory_hit"})
    assert hits == 2
    await cache.close()
