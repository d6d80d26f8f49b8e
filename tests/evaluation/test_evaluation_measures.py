"""The measures against values worked out by hand."""

from __future__ import annotations

import builtins
import math
from typing import Any

import pytest

import faults
from evaluation import evaluate_run

QUERIES = [("red", "colour"), ("hat", "category"), ("lost", "category")]
JUDGEMENTS = [("red", "a", 2), ("red", "b", 1), ("red", "c", 0), ("hat", "d", 1), ("lost", "outside", 2)]
CORPUS = {"a", "b", "c", "d", "e"}


def test_gain_is_two_to_the_grade_less_one() -> None:
    report = evaluate_run({"red": [("b", 0.9), ("a", 0.8)]}, QUERIES, JUDGEMENTS, CORPUS)
    gained = 1 / math.log2(2) + 3 / math.log2(3)
    ideal = 3 / math.log2(2) + 1 / math.log2(3)
    assert report.by_kind["colour"].ndcg_at_10 == pytest.approx(gained / ideal)


def test_grades_above_two_keep_the_exponential_gain() -> None:
    judged = [("red", "a", 4), ("red", "b", 1)]
    report = evaluate_run({"red": [("b", 2.0), ("a", 1.0)]}, QUERIES, judged, CORPUS)
    expected = (1 + 15 / math.log2(3)) / (15 + 1 / math.log2(3))
    assert report.overall.ndcg_at_10 == pytest.approx(expected)


def test_a_query_without_hits_counts_zero_and_one_without_relevant_products_is_left_out() -> None:
    report = evaluate_run({"red": [("a", 0.9), ("b", 0.8)]}, QUERIES, JUDGEMENTS, CORPUS)
    assert report.overall.queries == 2  # "lost" has its only relevant product outside the corpus
    assert report.overall.ndcg_at_10 == pytest.approx(0.5)
    assert report.overall.rr_at_10 == pytest.approx(0.5)
    assert report.by_kind["category"].to_json() == {
        "ndcg_at_10": 0.0,
        "recall_at_100": 0.0,
        "rr_at_10": 0.0,
        "queries": 1,
    }


def test_judgements_outside_the_corpus_do_not_lower_the_ideal() -> None:
    judged = [("red", "a", 1), ("red", "outside", 2)]
    report = evaluate_run({"red": [("a", 1.0)]}, QUERIES, judged, CORPUS)
    assert report.overall.ndcg_at_10 == pytest.approx(1.0)
    assert report.overall.recall_at_100 == pytest.approx(1.0)


def test_ties_keep_the_order_of_the_answer_and_scores_decide_otherwise() -> None:
    judged = [("red", "a", 1)]
    tied = evaluate_run({"red": [("e", 0.5), ("a", 0.5)]}, QUERIES, judged, CORPUS)
    other = evaluate_run({"red": [("a", 0.5), ("e", 0.5)]}, QUERIES, judged, CORPUS)
    unsorted = evaluate_run({"red": [("e", 0.1), ("a", 0.5)]}, QUERIES, judged, CORPUS)
    assert [r.overall.rr_at_10 for r in (tied, other, unsorted)] == [0.5, 1.0, 1.0]


def test_recall_is_divided_by_what_a_hundred_hits_can_reach() -> None:
    products = {f"p{i}" for i in range(250)}
    judged = [("red", product, 1) for product in products]
    hits = [(product, 1.0) for product in sorted(products)[:50]]
    report = evaluate_run({"red": hits}, QUERIES, judged, products)
    assert report.overall.recall_at_100 == pytest.approx(0.5)


def test_reciprocal_rank_is_cut_at_ten() -> None:
    hits = [(f"x{i}", 1.0 - i / 100) for i in range(10)] + [("a", 0.1)]
    report = evaluate_run({"red": hits}, QUERIES, [("red", "a", 1)], CORPUS)
    assert report.overall.rr_at_10 == 0.0
    assert report.overall.recall_at_100 == 1.0


def test_the_json_has_the_contract_keys() -> None:
    json = evaluate_run({"red": [("a", 1.0)]}, QUERIES, JUDGEMENTS, CORPUS).to_json()
    assert list(json) == ["ndcg_at_10", "recall_at_100", "rr_at_10", "queries", "by_kind"]
    assert list(json["by_kind"]) == ["category", "colour"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"queries": [*QUERIES, ("red", "colour")]}, "queries"),
        ({"judgements": [*JUDGEMENTS, ("red", "a", 1)]}, "judgements"),
        ({"judgements": [("red", "a", -1)]}, "judgements"),
        ({"judgements": [("red", "a", 0)]}, "judgements"),
        ({"corpus": set()}, "judgements"),
        ({"run": {"red": [("a", math.nan)]}}, "run"),
        ({"run": {"red": [("a", 1.0), ("a", 0.5)]}}, "run"),
    ],
)
def test_bad_input_is_named(changed: dict[str, Any], field: str) -> None:
    arguments: dict[str, Any] = {"run": {}, "queries": QUERIES, "judgements": JUDGEMENTS, "corpus": CORPUS}
    with pytest.raises(faults.InvalidInput) as caught:
        evaluate_run(**{**arguments, **changed})
    assert caught.value.field == field


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "ir_measures":
            raise ModuleNotFoundError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(faults.NotFound, match=r"pip install 'vitrine\[train\]'"):
        evaluate_run({}, QUERIES, JUDGEMENTS, CORPUS)
