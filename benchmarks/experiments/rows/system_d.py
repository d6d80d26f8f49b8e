"""Rows D1 to D9 of papers.md, section 6.5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.claims import Claim, Criterion, Row, Samples
from benchmarks.experiments.evidence import Evidence
from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.measures.same_style import VIEWS
from benchmarks.experiments.rows.comparing import Pick, apart, compare, one_arm, pick, steps
from benchmarks.experiments.rows.criteria import NO_LOSS, above, within

__all__ = ["ROWS"]

_ARM = "same_style"
_SINGLE_CELLS = ((0, 0), (1, 1), (0, 2), (1, 2))
_IMAGE, _TEXT = 0, 1


def _cell(name: str, decider: int | None = None, table: str = "first") -> Pick:
    """R@1 of a cell such as ``i-m``: picture against both; of one kind of articles, or of all."""
    asking, offered = (VIEWS.index(view) for view in name.split("-"))

    def take(findings: Findings) -> npt.NDArray[Any]:
        values = findings[table][asking, offered]
        return values if decider is None else np.where(findings["decides"] == decider, values, np.nan)

    return take


def _cells(better: str, worse: str, decider: int | None = None, criterion: Criterion | None = None) -> Claim:
    where = {None: "", _IMAGE: "visual articles, ", _TEXT: "textual articles, "}[decider]
    wanted = above() if criterion is None else criterion
    sign = ">" if criterion is None else "equals" if criterion is not NO_LOSS else "not below"
    return one_arm(
        f"{where}R@1: {better} {sign} {worse}",
        "cells",
        _ARM,
        _cell(better, decider),
        _cell(worse, decider),
        (better, worse),
        wanted,
    )


def _above_chance() -> Claim:
    """The weakest of the nine cells, against drawing by lot."""

    def samples(evidence: Evidence) -> Samples:
        found = evidence.of(_ARM, "cells")
        table = np.mean([one["first"].mean(axis=2) for one in found], axis=0)
        shown = {
            f"{one}-{other}": float(table[row, column])
            for row, one in enumerate(VIEWS)
            for column, other in enumerate(VIEWS)
        }
        shown["chance"] = float(np.mean([one["chance"].mean() for one in found]))
        seeds = [np.concatenate([one["first"].reshape(9, -1), one["chance"][None]]).T for one in found]
        return Samples(seeds, _weakest_over_chance, shown)

    return Claim("R@1 of the weakest of nine cells > 5 times chance", ((_ARM, "cells"),), samples, above(5.0))


def _weakest_over_chance(rows: npt.NDArray[Any]) -> float:
    means = rows.mean(axis=0)
    return float(means[:-1].min() / means[-1])


def _single(findings: Findings) -> npt.NDArray[Any]:
    """R@1 in the mean of the cells i-i, t-t, i-m and t-m."""
    mean: npt.NDArray[Any] = np.mean([findings["first"][cell] for cell in _SINGLE_CELLS], axis=0)
    return mean


def _fall_most(other: str) -> Claim:
    arms = (other, "no_single_views")
    return compare(
        f"R@1 of cells with a single view: {other} > no_single_views", "cells", _single, *arms, above()
    )


def _precision(view: str) -> Pick:
    return lambda findings: np.atleast_1d(findings["precision"][VIEWS.index(view)])


def _pairs(better: str, worse: str) -> Claim:
    """Not paired: the two arms keep different pairs."""
    arms = (better, worse)

    def samples(evidence: Evidence) -> Samples:
        seeds = []
        for one, other in zip(*(evidence.of(arm, "pairs") for arm in arms), strict=True):
            sides = (one["right"], other["right"])
            blank = [np.full(len(side), np.nan) for side in sides]
            seeds.append((np.concatenate([sides[0], blank[1]]), np.concatenate([blank[0], sides[1]])))
        return apart(seeds, arms)

    return Claim(
        f"share of true pairs: {better} > {worse}", tuple((arm, "pairs") for arm in arms), samples, above()
    )


def _lost_pairs() -> Claim:
    arms = ("pairs_relevance", "pairs_strict")

    def samples(evidence: Evidence) -> Samples:
        found = [[np.atleast_1d(one["kept_true"]) for one in evidence.of(arm, "pairs")] for arm in arms]
        seeds = [one - other for one, other in zip(*found, strict=True)]
        shown = {arm: float(np.mean(parts)) for arm, parts in zip(arms, found, strict=True)}
        return Samples(seeds, shown=shown)

    says = "share of the true pairs that are kept: pairs_relevance > pairs_strict"
    return Claim(says, tuple((arm, "pairs") for arm in arms), samples, above())


def _composed(says: str, better: str, worse: str) -> Claim:
    return one_arm(says, "compose", _ARM, pick(better), pick(worse), (better, worse), above())


def _before_and_after(says: str, name: str, criterion: Criterion) -> Claim:
    after: Callable[[Findings], npt.NDArray[Any]] = lambda one: one[name][1]  # noqa: E731
    return one_arm(
        says, "transfer", _ARM, after, lambda one: one[name][0], ("swapped", "own words"), criterion
    )


ROWS = (
    Row(
        "D1",
        "Does a product find the same product of other suppliers?",
        (_cells("m-m", "i-i"), _cells("m-m", "t-t")),
        note="The vectors are the stored ones: no encoder is called. A query's own supplier is left out.",
    ),
    Row(
        "D2",
        "Are double listings of one supplier told by a threshold?",
        (
            one_arm(
                "precision at a recall of .8: m > i",
                "duplicates",
                _ARM,
                _precision("m"),
                _precision("i"),
                ("m", "i"),
                above(),
            ),
        ),
        note="The interval is over seeds alone: a seed has one curve.",
    ),
    Row(
        "D3",
        "Does a calibrated threshold split a list into same and similar?",
        (
            one_arm(
                "share of the same product: tab 'same' > tab 'similar'",
                "tabs",
                _ARM,
                pick("same"),
                pick("similar"),
                ("same", "similar"),
                above(),
            ),
        ),
        note="Calibrated on half of the styles for a precision of .8 of their pairs, measured on the others.",
    ),
    Row(
        "D4",
        "Does one encoder with masks serve all nine combinations of views?",
        (
            _above_chance(),
            _cells("m-m", "i-i"),
            _cells("i-i", "i-m"),
            _cells("t-t", "i-i", _TEXT),
        ),
    ),
    Row(
        "D5",
        "Does a picture with words find the picture's article in the words' colour?",
        (
            _composed("R@10: joint > picture alone", "joint", "image"),
            _composed("R@10: joint > words alone", "joint", "words"),
            _composed("R@10: arithmetic > picture alone", "arithmetic", "image"),
            _composed("R@10: arithmetic > words alone", "arithmetic", "words"),
            steps(
                "share of the words' colour falls with each of 5 shares of the picture",
                "compose",
                _ARM,
                "coloured",
                -1,
                above(),
            ),
        ),
    ),
    Row(
        "D6",
        "What does each part of the loss do?",
        (
            _fall_most("no_distinctiveness"),
            _fall_most("no_locality"),
            compare(
                "share of the ten nearest that a single view finds too: same_style > no_locality",
                "cells",
                lambda one: one["overlap"].mean(axis=0),
                _ARM,
                "no_locality",
                above(),
            ),
        ),
    ),
    Row(
        "D7",
        "Do constraints on pairs of a noisy log pay, up to a point?",
        (
            _pairs("pairs_category", "pairs_raw"),
            _pairs("pairs_relevance", "pairs_category"),
            *(
                compare(f"R@1 m-m: {better} > {worse}", "cells", _cell("m-m"), better, worse, above())
                for better, worse in (("pairs_category", "pairs_raw"), ("pairs_relevance", "pairs_category"))
            ),
            _lost_pairs(),
            compare(
                "R@1 m-m: pairs_relevance > pairs_strict",
                "cells",
                _cell("m-m"),
                "pairs_relevance",
                "pairs_strict",
                above(),
            ),
        ),
        note="Planted: for every five true co-clicks three of unrelated products, about half of them within "
        "the article, with the counts of true ones.",
    ),
    Row(
        "D8",
        "Does the view that says nothing fail, and do both views together hold?",
        (
            _cells("t-t", "i-i", _TEXT),
            _cells("m-m", "t-t", _TEXT, within(0.05)),
            _cells("m-m", "i-i", _IMAGE, NO_LOSS),
        ),
    ),
    Row(
        "D9",
        "Does an exchanged word move the neighbours, and leave the article?",
        (
            _before_and_after(
                "share of the new colour among the ten nearest: swapped > own words", "coloured", above()
            ),
            _before_and_after("share of the same article: no change", "article", within(0.05)),
        ),
        note="Products whose title names their colour; the picture keeps the old one.",
    ),
)
