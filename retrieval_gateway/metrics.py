"""Every metric of the gateway: names, labels and buckets in one place.

Labels are bounded: never query text, product ids or addresses.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from retrieval_gateway.degraded import Degraded

LATENCY_BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
"""Seconds. A cached hit takes tenths of a millisecond, a deadline seconds: both ends are covered."""

ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The gateway's metrics, in a registry of their own so that tests can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vitrine_requests",
            "Requests by RPC and gRPC status code.",
            ("rpc", "code"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "vitrine_request_seconds",
            "Wall time of a request in the gateway.",
            ("rpc",),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "vitrine_stage_seconds",
            "Wall time of a stage of a search.",
            ("stage",),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge("vitrine_requests_in_flight", "Requests in work.", registry=self.registry)
        self.admission_limit = Gauge(
            "vitrine_admission_limit", "Searches that may be computed at once now.", registry=self.registry
        )
        self.answers = Counter(
            "vitrine_cache_answers",
            "Searches by where the answer came from: memory, redis, flight (shared) or computed.",
            ("source",),
            registry=self.registry,
        )
        self.cache_events = Counter(
            "vitrine_cache_events", "What happened in the cache, by kind.", ("kind",), registry=self.registry
        )
        self.channel_failures = Counter(
            "vitrine_channel_failures",
            "Times a channel did not answer a search: dense or lexical.",
            ("channel",),
            registry=self.registry,
        )
        self.relevance_removals = Counter(
            "vitrine_relevance_removals",
            "Products that relevance control left out, by reason: category or keywords.",
            ("reason",),
            registry=self.registry,
        )
        self.gathered_rows = Histogram(
            "vitrine_gathered_rows",
            "Rows in one call of a tower.",
            ("tower",),
            buckets=ROW_BUCKETS,
            registry=self.registry,
        )
        self.triton_repairs = Counter(
            "vitrine_triton_repairs",
            "Times a Triton model was loaded or reloaded.",
            ("model",),
            registry=self.registry,
        )
        self.triton_up = Gauge(
            "vitrine_triton_up", "1 if the last real inference succeeded.", registry=self.registry
        )
        self.degraded = Degraded(
            Gauge(
                "vitrine_degraded",
                "1 while the gateway answers without something, by what: triton, cache, dense_channel, "
                "lexical_channel or gpu_index.",
                ("reason",),
                registry=self.registry,
            )
        )
        self.release_loads = Counter(
            "vitrine_release_loads", "Releases loaded, by outcome.", ("outcome",), registry=self.registry
        )
        self.release = Gauge(
            "vitrine_release_info", "1 for the release that serves.", ("release_id",), registry=self.registry
        )
        self.build = Gauge(
            "vitrine_build_info", "1; the version is the label.", ("version",), registry=self.registry
        )
