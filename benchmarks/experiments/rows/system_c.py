"""Rows C1 to C6 of papers.md, section 6.4."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.claims import Claim, Row, Samples
from benchmarks.experiments.evidence import Evidence
from benchmarks.experiments.rows.comparing import (
    apart,
    compare,
    compare_gains,
    number,
    pick,
    textual,
    visual,
)
from benchmarks.experiments.rows.criteria import above, exactly, within

__all__ = ["ROWS"]

_FULL = "fusion_token"


def _better(measure: str, better: str, worse: str) -> Claim:
    name = {"r100": "R@100", "ndcg10": "nDCG@10", "r10": "R@10"}[measure]
    return compare(f"{name}: {better} > {worse}", "retrieval", pick(measure), better, worse, above())


def _more_than_size() -> Claim:
    """Tuning gains more than making the frozen encoder bigger."""
    arms = (_FULL, "frozen_images_bigger", "frozen_images")

    def samples(evidence: Evidence) -> Samples:
        found = [[one["ndcg10"] for one in evidence.of(arm, "retrieval")] for arm in arms]
        seeds = [tuned - bigger for tuned, bigger, _ in zip(*found, strict=True)]
        shown = {
            arm: float(np.mean([np.nanmean(part) for part in parts]))
            for arm, parts in zip(arms, found, strict=True)
        }
        return Samples([part[np.isfinite(part)] for part in seeds], shown=shown)

    says = "nDCG@10: the gain by tuning > the gain by a frozen encoder twice as wide"
    return Claim(says, tuple((arm, "retrieval") for arm in arms), samples, above())


_PAIRS = ((_FULL, "by_product"), ("text_only", "by_product"))


def _sparse_titles() -> Claim:
    """Query and fitting product, one by one: found among the first ten, by the length of its words."""

    def samples(evidence: Evidence) -> Samples:
        seeds = []
        for both, text in zip(*(evidence.of(*need) for need in _PAIRS), strict=True):
            gain = both["found"].astype(np.float64) - text["found"]
            short, long = np.quantile(both["length"], (1 / 3, 2 / 3))
            seeds.append(
                (
                    np.where(both["length"] <= short, gain, np.nan),
                    np.where(both["length"] > long, gain, np.nan),
                )
            )
        return apart(seeds, ("shortest third", "longest third"))

    says = "gain in products found among the first ten: shortest third of words > longest third"
    return Claim(says, _PAIRS, samples, above())


def _exclusive(evidence: Evidence) -> list[npt.NDArray[np.bool_]]:
    """For each seed and (query, fitting product): found by the fused tower and not by the text alone."""
    return [
        both["found"] & ~text["found"]
        for both, text in zip(*(evidence.of(*need) for need in _PAIRS), strict=True)
    ]


def _some_exclusive() -> Claim:
    def samples(evidence: Evidence) -> Samples:
        found = [one.astype(np.float64) for one in _exclusive(evidence)]
        return Samples(found, shown={"share": float(np.mean([one.mean() for one in found]))})

    says = f"share of fitting products found by {_FULL} and not by text_only: > 0"
    return Claim(says, _PAIRS, samples, above())


def _exclusive_weight() -> Claim:
    def samples(evidence: Evidence) -> Samples:
        seeds: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []
        for only, both in zip(_exclusive(evidence), evidence.of(*_PAIRS[0]), strict=True):
            weight = both["image_weight"].astype(np.float64)
            seeds.append((np.where(only, weight, np.nan), np.where(only, np.nan, weight)))
        return apart(seeds, ("exclusive", "others"))

    return Claim("image weight: exclusive matches > other fitting products", _PAIRS, samples, above())


ROWS = (
    Row(
        "C1",
        "Does a fusion network beat concatenation, and that the words alone?",
        tuple(
            _better(measure, *arms)
            for measure in ("r100", "ndcg10")
            for arms in (("concat", "text_only"), (_FULL, "concat"))
        ),
    ),
    Row(
        "C2",
        "Does tuning the picture encoder on the shop beat frozen features, also bigger ones?",
        (_better("ndcg10", _FULL, "frozen_images"), _more_than_size()),
        note="The generic features are a convolution's from scratch, never trained: of a pretrained vision "
        "encoder there is none here, and a better one would narrow the gap.",
    ),
    Row(
        "C3",
        "Do two stages, alignment before fusion, beat one?",
        (
            _better("ndcg10", "staged", _FULL),
            _better("ndcg10", "staged", "end_to_end"),
        ),
        note="The same number of steps in all: 140 + 80 against 220. fusion_token trains alignment and "
        "fusion together, end_to_end the fused loss alone.",
    ),
    Row(
        "C4",
        "Where does the picture help?",
        (
            compare_gains(
                f"gain in R@10, {_FULL} over text_only: visual queries > textual queries",
                "retrieval",
                _FULL,
                "text_only",
                pick("r10", visual),
                pick("r10", textual),
                ("visual", "textual"),
                above(),
            ),
            _sparse_titles(),
            compare(
                "gain in R@10 of textual queries: near 0",
                "retrieval",
                pick("r10", textual),
                _FULL,
                "text_only",
                within(0.05),
            ),
        ),
        note="Queries for a specification, a brand or a style stand for the textual ones: the shop's "
        "shoppers ask for no material.",
    ),
    Row(
        "C5",
        "Are there fitting products that only the fused tower finds, and does the picture find them?",
        (_some_exclusive(), _exclusive_weight()),
    ),
    Row(
        "C6",
        "Do pictures cost a query nothing?",
        (
            number(
                f"logarithm of the query path's time, {_FULL} over text_only: within 5 %",
                "latency",
                _FULL,
                "log_ratio",
                within(0.05),
            ),
            number(
                "weights of the query tower that text_only's has not: none",
                "latency",
                _FULL,
                "more_weights",
                exactly(0),
            ),
        ),
        note="Query tower and exact search over the shop, in turns in one process, by processor time. "
        "Through the gateway it is a matter of the load tests.",
    ),
)
