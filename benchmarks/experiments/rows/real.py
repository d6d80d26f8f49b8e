"""Rows that a real catalogue can answer: A1, C1 and C2, its own queries, styles held out of training."""

from __future__ import annotations

from benchmarks.experiments.claims import Row
from benchmarks.experiments.rows.comparing import compare, pick, textual, visual
from benchmarks.experiments.rows.criteria import NO_LOSS, above

__all__ = ["ROWS"]

_NOTE = (
    "Held-out styles, about 30 % of the catalogue; clicks are simulated from the other products' fields, "
    "from which the judgements come as well. One seed: the interval is over queries alone."
)

ROWS = (
    Row(
        "A1-real",
        "Does the picture find the colour that the words do not tell?",
        (
            compare(
                "nDCG@10 of colour queries: real_gate > real_text_only",
                "retrieval",
                pick("ndcg10", visual),
                "real_gate",
                "real_text_only",
                above(),
            ),
            compare(
                "nDCG@10 of tag queries: real_gate not below real_text_only",
                "retrieval",
                pick("ndcg10", textual),
                "real_gate",
                "real_text_only",
                NO_LOSS,
            ),
        ),
        note=_NOTE,
    ),
    Row(
        "C1-real",
        "Does a fusion network beat concatenation, and that the words alone?",
        tuple(
            compare(f"{name}: {better} > {worse}", "retrieval", pick(measure), better, worse, above())
            for measure, name in (("r100", "R@100"), ("ndcg10", "nDCG@10"))
            for better, worse in (("real_concat", "real_text_only"), ("real_fusion_token", "real_concat"))
        ),
        note=_NOTE,
    ),
    Row(
        "C2-real",
        "Does a picture encoder trained on the shop beat one that never was?",
        (
            compare(
                "nDCG@10: real_gate > real_frozen",
                "retrieval",
                pick("ndcg10"),
                "real_gate",
                "real_frozen",
                above(),
            ),
        ),
        note=_NOTE,
    ),
)
