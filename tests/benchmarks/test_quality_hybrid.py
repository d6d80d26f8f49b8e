"""The comparison of channels: its runs are the channels', its intervals those of the same queries."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.tiny_shop import tiny_checkpoint, write_tiny_shop

from benchmarks.quality.hybrid import Embedded, compared, main, simulated
from catalog.catalogue import Catalogue
from catalog.schema import EvaluationQuery, Judgement, Product
from indexing.tuning_queries import TuningQueries
from retrieval_gateway.channels.merging import MergePlan
from towers.checkpoint import save_checkpoint

PLAN = MergePlan("weighted_scores", 1.0, 0.6)
TITLES = ["red mug", "blue mug", "green mug", "lamp", "desk lamp", "chair", "oak chair", "vase"]


def corpus(seed: int = 0) -> Embedded:
    """Eight products; of three queries one is answered by words, one by vectors, one by neither."""
    dice = np.random.default_rng(seed)
    products = dice.standard_normal((len(TITLES), 16)).astype(np.float32)
    products /= np.linalg.norm(products, axis=1, keepdims=True)
    queries = np.stack([-products[0], products[5], -products[7]])
    asked = [
        EvaluationQuery("words", "red mug", "words"),
        EvaluationQuery("vector", "something to sit on", "meaning"),
        EvaluationQuery("neither", "zzz", "meaning"),
        EvaluationQuery("nothing is right", "mug", "unjudged"),
    ]
    judgements = [
        Judgement("words", "p0", 2),
        Judgement("words", "p1", 1),
        Judgement("vector", "p5", 2),
        Judgement("neither", "p7", 2),
        Judgement("words", "elsewhere", 2),
    ]
    catalogue = Catalogue([Product(f"p{row}", title) for row, title in enumerate(TITLES)])
    return Embedded(catalogue, products, asked, np.vstack([queries, queries[:1]]), judgements)


def test_each_way_of_answering_is_measured_on_the_same_queries() -> None:
    result = compared(corpus(), PLAN)
    assert {result[name]["queries"] for name in ("dense", "lexical", "hybrid", "equal ranks")} == {3}
    assert result["lexical"]["by_kind"]["words"]["ndcg_at_10"] == 1.0
    assert result["dense"]["by_kind"]["words"]["ndcg_at_10"] < 1.0
    assert result["dense"]["by_kind"]["meaning"]["rr_at_10"] == pytest.approx((1 + 1 / 8) / 2)
    assert result["lexical"]["by_kind"]["meaning"]["ndcg_at_10"] == 0.0
    assert (
        result["hybrid"]["by_kind"]["words"]["ndcg_at_10"]
        >= result["dense"]["by_kind"]["words"]["ndcg_at_10"]
    )


def test_differences_are_those_of_the_means() -> None:
    result = compared(corpus(), PLAN)
    assert set(result["hybrid - dense"]) == {"all", "words", "meaning"}
    for channel in ("dense", "lexical"):
        for kind, (estimate, low, high) in result[f"hybrid - {channel}"].items():
            means = [
                (result[name] if kind == "all" else result[name]["by_kind"][kind])["ndcg_at_10"]
                for name in ("hybrid", channel)
            ]
            assert estimate == pytest.approx(means[0] - means[1], abs=1e-9)
            assert low <= estimate <= high


def test_a_part_keeps_its_products_vectors() -> None:
    whole = corpus()
    part = whole.of(whole.catalogue.subset(["p5", "p7", "p0"]))
    assert part.catalogue.ids == ("p0", "p5", "p7")
    np.testing.assert_array_equal(part.products, whole.products[[0, 5, 7]])
    assert compared(part, PLAN)["dense"]["by_kind"]["meaning"]["rr_at_10"] == pytest.approx((1 + 1 / 3) / 2)


def test_simulated_queries_are_judged_by_their_clicks_and_told_apart_by_what_they_name() -> None:
    whole = corpus()
    rows = np.array([0, 3, 4, 6])
    texts, relevant = ("desk lamp", "seat"), (frozenset({3, 4}), frozenset({0, 6}))
    asked = simulated(whole, TuningQueries(texts, relevant, rows, whole.products[[4, 6]]))
    assert asked.catalogue.ids == ("p0", "p3", "p4", "p6")
    np.testing.assert_array_equal(asked.products, whole.products[rows])
    result = compared(asked, PLAN)
    assert set(result["dense"]["by_kind"]) == {"names a product", "other"}
    assert result["lexical"]["by_kind"]["names a product"]["ndcg_at_10"] == 1.0
    assert result["dense"]["recall_at_100"] == 1.0


def test_the_command_prints_a_table_and_json_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_shop(tmp_path / "shop")
    save_checkpoint(tiny_checkpoint(), tmp_path / "checkpoint")
    main([str(tmp_path / "checkpoint"), "--catalog", str(folder)])
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads(lines[-1])
    assert figures["plan"]["chosen_by"].startswith("default: ")
    assert figures["whole"]["dense"]["queries"] == 2
    assert lines[0].startswith("| whole | queries | dense | lexical | hybrid |")
    assert lines[2].startswith("| all | 2 | ")
