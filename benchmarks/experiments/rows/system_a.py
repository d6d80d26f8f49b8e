"""Rows A1 to A9 of papers.md, section 6.2, and S12: typing errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.arm_list import DUPLICATES
from benchmarks.experiments.claims import Claim, Criterion, Row, Samples
from benchmarks.experiments.evidence import Evidence
from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.rows.comparing import (
    compare,
    compare_gains,
    number,
    one_arm,
    paired,
    pick,
)
from benchmarks.experiments.rows.criteria import NO_LOSS, above, exactly, within
from benchmarks.experiments.rows.weights import found_by_picture, reacts, weights_of

__all__ = ["ROWS"]

_BOTH = ("base", "modal_adaptation")
_MOST = round(100 * DUPLICATES[-1])


def _keywords(
    says: str,
    where: Callable[[Findings], npt.NDArray[np.bool_]],
    criterion: Criterion,
    other: str = "base",
) -> Claim:
    """Towers with keywords against others, on the queries that ``where`` takes by what the former know."""
    arms = ("keywords", other)

    def samples(evidence: Evidence) -> Samples:
        seeds = []
        for one, two in zip(*(evidence.of(arm, "at_home") for arm in arms), strict=True):
            kept = where(one)
            seeds.append([np.where(kept, side["r10"], np.nan) for side in (one, two)])
        return paired(list(zip(*seeds, strict=True)), arms)

    return Claim(says, tuple((arm, "at_home") for arm in arms), samples, criterion)


def _flatter() -> Claim:
    """What the duplicates cost without the mask, less what they cost with it."""
    arms = ("duplicates_0", f"duplicates_{_MOST}", "duplicates_0_masked", f"duplicates_{_MOST}_masked")

    def samples(evidence: Evidence) -> Samples:
        found = [[one["r10"] for one in evidence.of(arm, "retrieval")] for arm in arms]
        seeds = [(a - b) - (c - d) for a, b, c, d in zip(*found, strict=True)]
        shown = {
            arm: float(np.mean([np.nanmean(part) for part in parts]))
            for arm, parts in zip(arms, found, strict=True)
        }
        return Samples([part[np.isfinite(part)] for part in seeds], shown=shown)

    says = f"R@10 lost to {_MOST} % duplicate intents: without the mask > with it"
    # The arms between are there for the curve.
    between = tuple(f"duplicates_{round(100 * share)}" for share in DUPLICATES[1:-1])
    needed = (*arms, *between, *(f"{arm}_masked" for arm in between))
    return Claim(says, tuple((arm, "retrieval") for arm in needed), samples, above())


def _short(findings: Findings) -> npt.NDArray[np.bool_]:
    return np.less_equal(findings["words"], 2)


def _long(findings: Findings) -> npt.NDArray[np.bool_]:
    return np.greater(findings["words"], 2)


ROWS = (
    Row(
        "A1",
        "Does a text query find products whose deciding attribute is in the picture only?",
        tuple(claim for arm in (*_BOTH, "spoiling") for claim in found_by_picture(arm)),
    ),
    Row(
        "A2",
        "Does the weight of a product's picture say what decides its clicks?",
        tuple(claim for arm in (*_BOTH, "spoiling") for claim in weights_of(arm)),
    ),
    Row(
        "A3",
        "Does the weight react to a bad picture, and to words that are cut?",
        tuple(claim for arm in (*_BOTH, "spoiling") for claim in reacts(arm)),
        note="Levels: 0, 25, 50, 75 and 100 % noise; 100, 50, 25 and 10 % of the words, then one word. "
        "The interval is of the smallest step between two levels.",
        tried="After the first seed, in which noise weighed more than a photograph: bad pictures and cut "
        "texts among the training products (arm and recipe field `spoiling`).",
    ),
    Row(
        "A4",
        "Is a product without a picture, or without words, still found?",
        (
            one_arm(
                "R@10 of what lost a modality: declared > filled with zeros",
                "missing",
                "base",
                pick("masked"),
                pick("filled"),
                ("declared", "zeros"),
                above(),
            ),
            number(
                "missing modalities with a weight other than 0: none",
                "missing",
                "base",
                "wrong_weights",
                exactly(0),
            ),
        ),
        note="Every third product loses its picture, every third its words.",
    ),
    Row(
        "A5",
        "Does a query encoder of its own pay, at equal weights?",
        (
            compare(
                "R@10: base (separate) > shared_encoder",
                "retrieval",
                pick("r10"),
                "base",
                "shared_encoder",
                above(),
            ),
            compare_gains(
                "that gain is larger for queries of 1-2 words than for longer ones",
                "retrieval",
                "base",
                "shared_encoder",
                pick("r10", _short),
                pick("r10", _long),
                ("1-2 words", "longer"),
                above(),
            ),
        ),
        note="The shared encoder is wider (96 for 64), so that the weights are about equal.",
    ),
    Row(
        "A6",
        "Do keywords from the click log help short queries, and harm no others?",
        (
            _keywords(
                "R@10 of queries of 1-2 words with keywords: keywords > base",
                lambda one: _short(one) & one["has_keywords"],
                above(),
            ),
            _keywords(
                "R@10 of longer queries with keywords: no change",
                lambda one: _long(one) & one["has_keywords"],
                within(0.03),
            ),
            _keywords(
                "R@10 of queries without keywords: keywords not below base",
                lambda one: ~one["has_keywords"],
                NO_LOSS,
            ),
            _keywords(
                "that is thanks to dropout: keywords > keywords_always",
                lambda one: ~one["has_keywords"],
                above(),
                "keywords_always",
            ),
        ),
        note="Measured on the shop that was trained on: keywords belong to the log they were mined from.",
    ),
    Row(
        "A7",
        "Does masking false negatives by keyword overlap keep recall, as duplicate intents grow?",
        (
            compare(
                f"R@10 without the mask: no duplicates > {_MOST} % duplicates",
                "retrieval",
                pick("r10"),
                "duplicates_0",
                f"duplicates_{_MOST}",
                above(),
            ),
            _flatter(),
        ),
        note="A query's twin is the query with 'please' behind it and half of its clicks.",
    ),
    Row(
        "A8",
        "Does relevance hold while recall rises?",
        (
            compare("R@10: base > text_only", "retrieval", pick("r10"), "base", "text_only", above()),
            compare(
                "mean grade of the first ten: base not below text_only",
                "retrieval",
                pick("rel10"),
                "base",
                "text_only",
                NO_LOSS,
            ),
        ),
    ),
    Row(
        "A9",
        "Does padding leave vectors alone, in torch and in ONNX?",
        tuple(
            number(
                f"smallest cosine at 8, 16, 32 and 64 tokens > .9999: {where} {tower}",
                "padding",
                "base",
                f"{where}_{tower}",
                above(0.9999),
            )
            for where in ("torch", "onnx")
            for tower in ("query", "product")
        ),
    ),
    Row(
        "S12",
        "Do typing errors cost less after typo-aware training?",
        (
            *(
                compare(
                    f"R@10 of queries with {edits} typing error{'s' * (edits > 1)}: typos > base",
                    "typos",
                    pick(f"r10_{edits}", lambda one: ~one["unchanged"]),
                    "typos",
                    "base",
                    above(),
                )
                for edits in (1, 2)
            ),
            compare(
                "R@10 of queries without errors: typos not below base",
                "typos",
                pick("r10_0"),
                "typos",
                "base",
                NO_LOSS,
            ),
        ),
    ),
)
