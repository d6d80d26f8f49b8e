"""Rows B1 to B7 of papers.md, section 6.3."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.arm_list import BANKS
from benchmarks.experiments.claims import Claim, Row, Samples
from benchmarks.experiments.evidence import Evidence
from benchmarks.experiments.rows.comparing import Pick, compare, number, one_arm, pick, visual
from benchmarks.experiments.rows.criteria import NO_LOSS, above, below, within
from benchmarks.experiments.rows.fusing import exclusive, fused, hits

__all__ = ["ROWS"]

_VISUAL = pick("r10", visual)
_SMALL, _MIDDLE, _LARGE = (f"bank_{size}" for size in BANKS)


def _patches(arm: str) -> Claim:
    def samples(evidence: Evidence) -> Samples:
        found = evidence.of(arm, "patches")
        shown = {name: float(np.mean([one[name] for one in found])) for name in ("accuracy", "chance")}
        return Samples([np.atleast_1d(one["accuracy"] / one["chance"]) for one in found], shown=shown)

    return Claim(
        f"hidden patches recognised: {arm} > 3 times chance", ((arm, "patches"),), samples, above(3.0)
    )


def _widening() -> Claim:
    """B4: the gap between training with many and with few negatives, large corpus less small corpus."""
    arms = (_LARGE, "batch_half")

    def samples(evidence: Evidence) -> Samples:
        pairs = list(zip(*(evidence.of(arm, "growth") for arm in arms), strict=True))
        gaps = [one["r10"] - other["r10"] for one, other in pairs]
        shown = {
            f"gap at {size:,}": float(np.mean([np.nanmean(gap[place]) for gap in gaps]))
            for place, size in enumerate(pairs[0][0]["corpus"].tolist())
        }
        changes = [gap[-1] - gap[0] for gap in gaps]
        return Samples([change[np.isfinite(change)] for change in changes], shown=shown)

    says = f"R@10, {arms[0]} less {arms[1]}: the gap is larger in the largest corpus than in the smallest"
    return Claim(says, tuple((arm, "growth") for arm in arms), samples, above())


def _lists(evidence: Evidence) -> list[tuple[npt.NDArray[Any], ...]]:
    """For each seed: which products fit, and the lists of words, of the text tower and of the fused one."""
    parts = (
        evidence.of("base", "channels"),
        evidence.of("text_only", "retrieval"),
        evidence.of("base", "retrieval"),
    )
    return [
        (lexical["fits"], lexical["lexical"], text["top"], both["top"])
        for lexical, text, both in zip(*parts, strict=True)
    ]


_CHANNELS = (("base", "channels"), ("text_only", "retrieval"), ("base", "retrieval"))


def _union(says: str, without: slice) -> Claim:
    """Claims that the union of all channels at 100 holds more than that of some."""

    def samples(evidence: Evidence) -> Samples:
        seeds, shown = [], []
        for fits, *lists in _lists(evidence):
            asked = fits.any(axis=1)
            more, fewer = hits(fits, lists)[asked], hits(fits, lists[without])[asked]
            seeds.append(more - fewer)
            shown.append((more.mean(), fewer.mean()))
        means = np.mean(shown, axis=0).tolist()
        return Samples(seeds, shown=dict(zip(("all three", "without"), means, strict=True)))

    return Claim(says, _CHANNELS, samples, above())


def _rrf() -> Claim:
    def samples(evidence: Evidence) -> Samples:
        seeds, shown = [], []
        for fits, *lists in _lists(evidence):
            asked = fits.any(axis=1)
            three, two = (hits(fits, [fused(part)[:, :100]])[asked] for part in (lists, lists[:2]))
            seeds.append(three - two)
            shown.append((three.mean(), two.mean()))
        means = np.mean(shown, axis=0).tolist()
        return Samples(seeds, shown=dict(zip(("three channels", "two"), means, strict=True)))

    says = "R@100 of the fused list (RRF): lexical + text + multimodal > lexical + text"
    return Claim(says, _CHANNELS, samples, above())


def _exclusive() -> Claim:
    def samples(evidence: Evidence) -> Samples:
        seeds = []
        for fits, lexical, text, both in _lists(evidence):
            asked = fits.any(axis=1)
            seeds.append(exclusive(fits, both[:, :10], [lexical[:, :10], text[:, :10]])[asked])
        return Samples(seeds, shown={"a query": float(np.mean([part.mean() for part in seeds]))})

    says = "fitting products that only the multimodal channel has among its first ten, a query: > 0"
    return Claim(says, _CHANNELS, samples, above())


def _filter(says: str, first: Pick, second: Pick, names: tuple[str, str], criterion: Any) -> Claim:
    return one_arm(says, "filtered", "base", first, second, names, criterion)


ROWS = (
    Row(
        "B1",
        "Does contrastive masked patch modelling beat regression, at the same budget?",
        (
            compare(
                "R@10 of visual queries: contrastive > regression",
                "retrieval",
                _VISUAL,
                "patches_contrastive",
                "patches_regression",
                above(),
            ),
            compare(
                "R@10 of visual queries: regression not below none",
                "retrieval",
                _VISUAL,
                "patches_regression",
                "base",
                NO_LOSS,
            ),
            _patches("patches_contrastive"),
        ),
        note="The same budget is the same number of retrieval steps; the task runs beside them.",
    ),
    Row(
        "B2",
        "Do negatives gathered from all devices give what one device with all of them gives?",
        (
            number(
                "largest difference of loss and gradient, world 2 with gather against world 1: < 1e-5",
                "gathered",
                "base",
                "difference",
                below(1e-5),
            ),
            compare(
                "R@10: all negatives (base) > those of one of two devices (local_negatives)",
                "retrieval",
                pick("r10"),
                "base",
                "local_negatives",
                above(),
            ),
        ),
    ),
    Row(
        "B3",
        "Does a memory bank help, up to a size, and how old may it be?",
        (
            compare(f"R@10: bank of {BANKS[1]:,} > none", "retrieval", pick("r10"), _MIDDLE, "base", above()),
            compare(
                f"R@10 saturates: bank of {BANKS[2]:,} and of {BANKS[1]:,} are equal",
                "retrieval",
                pick("r10"),
                _LARGE,
                _MIDDLE,
                within(0.03),
            ),
            compare(
                "R@10: a fresh bank > one whose youngest vector is 65 steps old",
                "retrieval",
                pick("r10"),
                _MIDDLE,
                "bank_1024_old",
                above(),
            ),
            compare(
                f"R@10: bank of {BANKS[0]} not below a batch twice as large",
                "retrieval",
                pick("r10"),
                _SMALL,
                "batch_double",
                NO_LOSS,
            ),
        ),
        note="Sizes are to the shop's: 1,000 products of which a step has 96. The batch-only control has "
        "twice the products a step and half the steps, which is about the same work and memory.",
    ),
    Row(
        "B4",
        "Do more negatives in training matter more as the corpus grows?",
        (_widening(),),
        note="From 2,000 to 11,000 products, not to 100,000: embedding those takes a small tower on one "
        "core several minutes an arm and seed. Distractors that happen to fit count as wrong.",
    ),
    Row(
        "B5",
        "Do several pictures of a product help, in any order?",
        (
            compare(
                "R@10 of visual queries: mean of three pictures > one",
                "retrieval",
                _VISUAL,
                "views_mean",
                "one_view",
                above(),
            ),
            compare(
                "R@10 of visual queries: Deep Sets of three pictures > one",
                "retrieval",
                _VISUAL,
                "views_deep_sets",
                "one_view",
                above(),
            ),
            *(
                number(
                    f"smallest cosine between two orders of the pictures > .9999: {arm}",
                    "order_of_views",
                    arm,
                    "cosine",
                    above(0.9999),
                )
                for arm in ("views_mean", "views_deep_sets")
            ),
        ),
        note="Three pictures, not five. A grey square covers 45 % of each: a clean drawing shows all there "
        "is to see, and a second one would add nothing.",
    ),
    Row(
        "B6",
        "What does the multimodal channel add to a lexical one and a text tower?",
        (
            _union("found among the first 100 of any channel: three channels > lexical + text", slice(0, 2)),
            _rrf(),
            _exclusive(),
        ),
        note="BM25, text_only and base on the same shop; the union holds up to 300 products.",
    ),
    Row(
        "B7",
        "Does a category filter raise precision, and does over-fetching restore the page?",
        (
            _filter(
                "share of the right article among the first ten: filtered > unfiltered",
                pick("precision_filtered"),
                pick("precision"),
                ("filtered", "unfiltered"),
                above(),
            ),
            _filter(
                "fitting products found among the first 100: the filter adds none",
                pick("found"),
                pick("found_filtered"),
                ("unfiltered", "filtered"),
                NO_LOSS,
            ),
            _filter(
                "of a page of ten, left after the filter: over-fetched > not",
                pick("kept_overfetched"),
                pick("kept"),
                ("over-fetched", "not"),
                above(),
            ),
        ),
        note="The article is what the query names, by its words. The share to be dropped is measured on "
        "every other query, and k / (1 - share) products are fetched for the rest.",
    ),
)
