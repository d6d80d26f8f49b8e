"""Figures query by query agree with the means that ``evaluation`` gives."""

import numpy as np
import pytest

from benchmarks.experiments.measures.channels import bm25, named_article
from benchmarks.experiments.measures.composed import compose  # noqa: F401 (its shares are used by plots)
from benchmarks.experiments.measures.ranking import best, graded_gain, mean_grade, recall
from benchmarks.experiments.measures.same_style import first_right
from benchmarks.experiments.rows.fusing import exclusive, fused, hits
from evaluation import evaluate_run
from evaluation.same_style import found_by_score

RANDOM = np.random.default_rng(0)
QUERIES = RANDOM.normal(size=(6, 4)).astype(np.float32)
PRODUCTS = RANDOM.normal(size=(130, 4)).astype(np.float32)
GRADES = RANDOM.choice([0, 0, 0, 1, 2], size=(6, 130))


def test_gain_and_recall_agree_with_evaluate_run() -> None:
    top = best(QUERIES, PRODUCTS, 100)
    scores = QUERIES @ PRODUCTS.T
    report = evaluate_run(
        {str(q): [(str(p), float(scores[q, p])) for p in top[q]] for q in range(6)},
        [(str(q), "any") for q in range(6)],
        [(str(q), str(p), int(GRADES[q, p])) for q in range(6) for p in range(130)],
        {str(p) for p in range(130)},
    )
    assert graded_gain(top, GRADES).mean() == pytest.approx(report.overall.ndcg_at_10)
    assert recall(top, GRADES > 0, 100).mean() == pytest.approx(report.overall.recall_at_100)


def test_recall_divides_by_what_a_list_can_hold() -> None:
    ranked = np.array([[0, 1], [2, 3], [0, 1]])
    relevant = np.array([[True, True, True, False], [True, False, True, False], [False] * 4])
    assert recall(ranked, relevant, 2).tolist()[:2] == [1.0, 0.5]
    assert np.isnan(recall(ranked, relevant, 2)[2])


def test_queries_without_a_graded_product_have_no_gain() -> None:
    assert np.isnan(graded_gain(np.array([[0, 1]]), np.zeros((1, 2), dtype=np.int64))).all()


def test_the_mean_grade_is_a_share_of_the_best() -> None:
    assert mean_grade(np.array([[0, 1, 2, 3]]), np.array([[2, 2, 0, 0]]), 4).tolist() == [0.5]


def test_equal_scores_stand_in_the_order_of_the_catalogue() -> None:
    assert best(np.ones((1, 2), np.float32), np.ones((5, 2), np.float32), 3).tolist() == [[0, 1, 2]]


def test_ranks_of_the_first_right_one_agree_with_the_measure_of_evaluation() -> None:
    scores = np.round(RANDOM.normal(size=(8, 30)), 1).astype(np.float32)  # ties
    right = RANDOM.random((8, 30)) < 0.2
    hidden = RANDOM.random((8, 30)) < 0.2
    asked = (right & ~hidden).any(axis=1)
    ranks = first_right(scores[asked], right[asked], hidden[asked])
    found = found_by_score(scores, right, hidden, k=10)
    assert found.first == pytest.approx((ranks == 1).mean())
    assert found.within_k == pytest.approx((ranks <= 10).mean())
    assert found.reciprocal_rank == pytest.approx((1 / ranks).mean())


def test_bm25_of_a_worked_example() -> None:
    scores = bm25(["red mug", "blue mug mug", "green lamp"], ["red", "mug", "sofa", "Red mug"])
    assert scores[0].argmax() == 0
    assert scores[0][1:].tolist() == [0, 0]
    assert scores[1][1] > scores[1][0] > scores[1][2] == 0
    assert not scores[2].any()
    assert scores[3] == pytest.approx(scores[0] + scores[1])
    # One of three texts has "red": idf = ln(1 + 2.5 / 1.5); its length is 2 of 7 / 3 on average.
    room = 1.2 * (1 - 0.75 + 0.75 * 2 / (7 / 3))
    assert scores[0][0] == pytest.approx(np.log(1 + 2.5 / 1.5) * 2.2 / (1 + room))


@pytest.mark.parametrize(
    ("query", "article"),
    [
        ("red striped mugs", "mug"),
        ("light bulb E27", "light bulb"),
        ("table lamp", "lamp"),
        ("Memory Card 64GB", "memory card"),
        ("smuggler", None),
        ("m6x30", None),
    ],
)
def test_the_article_that_a_query_names(query: str, article: str | None) -> None:
    assert named_article(query) == article


FITS = np.array([[True, True, False, True, False]])
LISTS = [np.array([[0, 2, -1]]), np.array([[4, 1, 0]])]


def test_a_union_holds_what_any_list_names() -> None:
    assert hits(FITS, LISTS).tolist() == [pytest.approx(2 / 3)]
    assert hits(FITS, LISTS[:1]).tolist() == [pytest.approx(1 / 3)]


def test_fusion_prefers_what_several_lists_name() -> None:
    assert fused(LISTS)[0].tolist() == [0, 4, 1, 2, -1] or fused(LISTS)[0].tolist()[:1] == [0]
    assert fused(LISTS)[0, -1] == -1  # product 3 is in no list


def test_what_only_one_list_names() -> None:
    assert exclusive(FITS, LISTS[1], LISTS[:1]).tolist() == [1]
    assert exclusive(FITS, LISTS[0], LISTS[1:]).tolist() == [0]
