"""Claims about an arm's modality weights, and about what its pictures find: rows A1 to A3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.claims import Claim, Samples
from benchmarks.experiments.evidence import Evidence
from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.rows.comparing import apart, compare, one_arm, pick, steps, textual, visual
from benchmarks.experiments.rows.criteria import NO_LOSS, above, below
from evaluation.association import auc, spearman

__all__ = ["found_by_picture", "reacts", "weights_of"]

_HIDDEN = pick("r10_hidden", visual)


def _association(arm: str, says: str, bound: float, statistic: Callable[[npt.NDArray[Any]], float]) -> Claim:
    """Claims something about image weight (column 0) and the share of clicks it decided (column 1)."""

    def samples(evidence: Evidence) -> Samples:
        seeds = []
        for one in evidence.of(arm, "weights"):
            rows = np.stack([one["image_weight"], one["image_share"]], axis=1)
            seeds.append(rows[np.isfinite(rows).all(axis=1)])
        return Samples(seeds, statistic)

    return Claim(f"{arm}: {says}", ((arm, "weights"),), samples, above(bound))


def _weight_by_decider(arm: str) -> Claim:
    def weight(findings: Findings, decider: int) -> npt.NDArray[Any]:
        return np.where(findings["decides"] == decider, findings["image_weight"], np.nan)

    def samples(evidence: Evidence) -> Samples:
        seeds = [(weight(one, 0), weight(one, 1)) for one in evidence.of(arm, "weights")]
        return apart(seeds, ("visual articles", "textual articles"))

    says = f"{arm}: mean image weight of visual articles > of textual articles"
    return Claim(says, ((arm, "weights"),), samples, above())


def weights_of(arm: str) -> tuple[Claim, ...]:
    """A2: the weight says what decides a product's clicks."""
    return (
        _weight_by_decider(arm),
        _association(
            arm,
            "Spearman(image weight, share of clicks that the picture decided) > .6",
            0.6,
            lambda rows: spearman(rows[:, 0], rows[:, 1]),
        ),
        _association(
            arm,
            "AUC of the image weight for 'mostly decided by the picture' > .8",
            0.8,
            lambda rows: auc(rows[:, 0], rows[:, 1] > 0.5),
        ),
    )


def found_by_picture(arm: str) -> tuple[Claim, ...]:
    """A1: what only the picture tells is found, and what the words tell is not lost."""
    return (
        compare(
            f"R@10 of visual queries, attribute in no word: {arm} > text_only",
            "retrieval",
            _HIDDEN,
            arm,
            "text_only",
            above(),
        ),
        compare(
            f"R@10 of textual queries: {arm} not below text_only",
            "retrieval",
            pick("r10", textual),
            arm,
            "text_only",
            NO_LOSS,
        ),
    )


def reacts(arm: str) -> tuple[Claim, ...]:
    """A3: the weight follows the quality of either modality."""
    return (
        steps(
            f"{arm}: image weight falls with each of 5 noise levels", "damaged", arm, "by_noise", -1, above()
        ),
        steps(
            f"{arm}: image weight rises with each of 5 cuts of the words",
            "damaged",
            arm,
            "by_cut",
            1,
            above(),
        ),
        one_arm(
            f"{arm}: image weight of a grey picture < of the own picture",
            "damaged",
            arm,
            pick("grey"),
            lambda one: one["by_noise"][0],
            ("grey", "own"),
            below(),
        ),
    )
