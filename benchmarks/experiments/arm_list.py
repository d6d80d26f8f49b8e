"""All arms. Names are what rows ask for; two arms that come to the same recipe are trained once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.experiments.arms import Arm
from benchmarks.experiments.variants import Variant

__all__ = ["ARMS", "BANKS", "DUPLICATES", "arms_named"]

BANKS = (256, 1024, 4096)
"""Product vectors in the memory banks of row B3; a step has 96, and a training 21,120."""
DUPLICATES = (0.0, 0.25, 0.5)
"""Shares of duplicate-intent queries planted in row A7."""
_NOISE = 0.6
"""Co-clicks planted in row D7, as a share of the true ones."""
_VIEWS = 3
_FROZEN = 1e-9
"""A learning rate that moves no weight."""
_COVERED = 0.45


def _stage(**fields: Any) -> dict[str, Any]:
    """Changes of the last stage."""
    return {"stages": {-1: fields}}


def _keywords(dropout: float, **stage: Any) -> dict[str, Any]:
    return {"keywords": {"per_query": 4, "dropout": dropout}, **_stage(**stage)}


def _arms() -> list[Arm]:
    return [*_system_a(), *_system_b(), *_system_c(), *_system_d(), *_real()]


def _system_a() -> list[Arm]:
    return [
        Arm("base", "two encoders and a gate; all others differ from it"),
        Arm("text_only", "the product's words alone", changes={"fusion": {"kind": "text_only"}}),
        Arm(
            "modal_adaptation",
            "cross-attention, then a gate",
            changes={"fusion": {"kind": "modal_adaptation"}},
        ),
        Arm(
            "spoiling",
            "base, with bad pictures and cut texts among its training products",
            changes={"stages": {0: {"spoiling": 0.15}}},
        ),
        Arm(
            "shared_encoder",
            "one text encoder for queries and products, as many weights as two",
            changes={"text": {"shared": True, "width": 96}},
        ),
        Arm("keywords", "keywords as query input, dropped half of the time", changes=_keywords(0.5)),
        Arm("keywords_always", "keywords as query input, never dropped", changes=_keywords(0.0)),
        *(
            Arm(
                f"duplicates_{round(100 * share)}{'_masked' if mask else ''}",
                f"{round(100 * share)} % of the queries have a twin; {'keyword mask' if mask else 'no mask'}",
                changes=_keywords(1.0, **({"keyword_mask": 0.6} if mask else {})),
                data=Variant(duplicates=share),
            )
            for share in DUPLICATES
            for mask in (False, True)
        ),
        Arm("typos", "one query in three is misspelt in training", changes=_stage(typos=0.33)),
    ]


def _system_b() -> list[Arm]:
    patches = [
        Arm(
            f"patches_{kind}",
            f"masked patches beside retrieval, {kind}",
            changes=_stage(masked_patches={"kind": kind, "weight": 0.5}),
        )
        for kind in ("contrastive", "regression")
    ]
    banks = [
        Arm(
            f"bank_{size}",
            f"a memory bank of {size} products",
            changes=_stage(memory={"size": size, "warmup_steps": 40}),
        )
        for size in BANKS
    ]
    several = {"image": {"views": _VIEWS}}
    data = Variant(views=_VIEWS, covered=_COVERED)
    return [
        *patches,
        *banks,
        Arm(
            "bank_1024_old",
            "a bank of 1,056 vectors whose youngest is 65 steps old",
            changes=_stage(memory={"size": 7200, "warmup_steps": 40, "delay": 64}),
        ),
        Arm("local_negatives", "two devices, each with its own half of the negatives", devices=2),
        Arm("batch_half", "half as many products a step, the same steps", changes=_stage(batch=48)),
        Arm(
            "batch_double",
            "twice as many products a step, half the steps",
            changes=_stage(batch=192, steps=110),
        ),
        Arm("one_view", "one picture of each product, partly covered", data=data),
        Arm("views_mean", "three pictures, partly covered, their mean", changes=several, data=data),
        Arm(
            "views_deep_sets",
            "three pictures, partly covered, Deep Sets",
            changes={"image": {"views": _VIEWS, "pooling": "deep_sets"}},
            data=data,
        ),
    ]


def _system_c() -> list[Arm]:
    return [
        Arm("concat", "both vectors side by side into a network", changes={"fusion": {"kind": "concat"}}),
        Arm("fusion_token", "a fusion token attends over both", changes={"fusion": {"kind": "fusion_token"}}),
        Arm(
            "frozen_images",
            "picture encoder from scratch, never trained",
            changes={"fusion": {"kind": "fusion_token"}, **_stage(image_learning_rate=_FROZEN)},
        ),
        Arm(
            "frozen_images_bigger",
            "the same, twice as wide",
            changes={
                "fusion": {"kind": "fusion_token"},
                "image": {"channels": [32, 64, 128]},
                **_stage(image_learning_rate=_FROZEN),
            },
        ),
        Arm("staged", "alignment of both modalities first, then the fusion network", base="staged"),
        Arm(
            "end_to_end",
            "the fused loss alone from the first step on",
            changes={"fusion": {"kind": "fusion_token"}, **_stage(modality_weight=0.0)},
        ),
    ]


def _system_d() -> list[Arm]:
    noisy = Variant(noise=_NOISE)
    ablations = {
        "no_distinctiveness": ("without the self-distinctiveness loss (PDC)", {"distinct_weight": 0.0}),
        "no_locality": ("without locality consistency (LC)", {"consistency_weight": 0.0}),
        "no_single_views": (
            "without the hinges of the single views",
            {"text_weight": 0.0, "image_weight": 0.0},
        ),
    }
    samplings = {
        "pairs_raw": ("all co-clicked pairs", {"category": "none", "relevance": 0.0}),
        "pairs_category": ("of one category", {"relevance": 0.0}),
        "pairs_relevance": ("of one category, with alike titles", {"relevance": 0.3}),
        "pairs_strict": (
            "of one category, with almost equal titles and many clicks",
            {"relevance": 0.8, "clicks": 60},
        ),
    }
    return [
        Arm("same_style", "one encoder, three views by masks, all losses", base="same_style"),
        *(
            Arm(name, says, base="same_style", changes=_stage(**fields))
            for name, (says, fields) in ablations.items()
        ),
        *(
            Arm(name, f"noisy log: {says}", base="same_style", changes=_stage(pairs=fields), data=noisy)
            for name, (says, fields) in samplings.items()
        ),
    ]


def _real() -> list[Arm]:
    """For a real catalogue: text encoders from MiniLM, the picture encoder from scratch."""
    kinds = {"gate": "a gate", "concat": "concatenation", "fusion_token": "a fusion token"}
    frozen = _stage(image_learning_rate=_FROZEN)
    return [
        Arm(
            "real_text_only",
            "MiniLM on the words alone",
            base="real_words",
            changes={"fusion": {"kind": "text_only"}},
        ),
        *(
            Arm(
                f"real_{kind}",
                f"MiniLM and pictures, {says}",
                base="real",
                changes={"fusion": {"kind": kind}},
            )
            for kind, says in kinds.items()
        ),
        Arm(
            "real_frozen",
            "MiniLM and a picture encoder that is never trained, a gate",
            base="real_words",
            changes=frozen,
        ),
    ]


ARMS: Mapping[str, Arm] = {arm.name: arm for arm in _arms()}
"""By name, in the order in which they are trained."""


def arms_named(names: set[str]) -> list[Arm]:
    """Returns the named arms in the order of training."""
    return [arm for arm in ARMS.values() if arm.name in names]
