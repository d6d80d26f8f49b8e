"""Channels through the gateway: what `vitrine evaluate --channels` measures is what each channel answers."""

import pytest

from catalog.readers import read_judgements, read_queries
from evaluation.measures import evaluate_run
from indexing.tuning_queries import LEAST_QUERIES
from retrieval_gateway.channels.lexical import LexicalIndex
from retrieval_gateway.client import Channel, ChannelOptions
from vitrine.evaluate import run_evaluation

pytestmark = pytest.mark.services

EACH = {
    "dense": ChannelOptions((Channel.DENSE,)),
    "lexical": ChannelOptions((Channel.LEXICAL,)),
    "both": ChannelOptions((Channel.DENSE, Channel.LEXICAL)),
}


@pytest.fixture(scope="module")
def reports(stack, gateway):
    return {
        name: run_evaluation(gateway.address, stack.folder / "shop", channels=channels)
        for name, channels in EACH.items()
    }


def test_full_text_through_the_gateway_is_full_text(stack, reports):
    manifest = stack.first
    index = LexicalIndex.open(stack.store.path(manifest.release_id) / manifest.lexical.folder)
    shop = stack.folder / "shop"
    asked = read_queries(shop / "queries.csv")
    run = {}
    for query in asked:
        found = index.search(query.query, 100)
        ids = [stack.catalogue.ids[row] for row in found.rows]
        run[query.query_id] = list(zip(ids, found.scores.tolist(), strict=True))
    offline = evaluate_run(
        run,
        [(query.query_id, query.kind) for query in asked],
        [(one.query_id, one.product_id, one.grade) for one in read_judgements(shop / "qrels.csv")],
        frozenset(stack.catalogue.ids),
    )
    assert reports["lexical"].to_json() == offline.to_json()


def test_all_that_a_query_allows_is_both_channels(stack, gateway, reports):
    assert run_evaluation(gateway.address, stack.folder / "shop").to_json() == reports["both"].to_json()


def test_channels_differ_and_both_find_what_either_finds(reports):
    figures = {name: report.overall.ndcg_at_10 for name, report in reports.items()}
    assert len(set(figures.values())) == 3
    found = {name: report.overall.recall_at_100 for name, report in reports.items()}
    assert found["both"] >= found["lexical"]


def test_the_release_says_how_it_merges_and_why(stack):
    plan = stack.first.merge
    if plan.chosen_by.startswith("default: "):
        assert plan.figures == {}
    else:
        assert plan.figures["queries"] >= LEAST_QUERIES
        assert plan.figures["ndcg_at_10_merged"] <= plan.figures["ndcg_at_10_best"]
