"""What happens to a ranking on its way to the reply: bounds, styles, facets, control, explanations."""

import numpy as np
import pytest
from support.made_releases import MadeEncoder, Searching, made_release

from faults import Unavailable
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.query import ChannelChoice, LikeProduct, RelevanceControl, Words

COUNT = 400
DENSE = ChannelChoice(("dense",))


def falling(count: int = COUNT) -> np.ndarray:
    """Unit vectors whose cosine with (1, 0) falls with the row."""
    angles = np.linspace(0, np.pi / 2, count)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def titles() -> list[str]:
    """Every row is a thing; every tenth a mug, and every fortieth an enamel mug."""
    names = ["thing"] * COUNT
    names[::10] = ["thing mug"] * (COUNT // 10)
    names[::40] = ["thing enamel mug"] * (COUNT // 40)
    return names


COLUMNS = {
    "title": titles(),
    "category": ["kitchen" if row % 2 == 0 else "shoes" if row % 4 == 1 else "" for row in range(COUNT)],
    "style_group": [f"s{row // 4}" if row % 4 != 3 else "" for row in range(COUNT)],
    "in_stock": [(True, False, None)[row % 3] for row in range(COUNT)],
}


@pytest.fixture
def searching(tmp_path):
    east = np.array([1, 0], np.float32)
    encoder = MadeEncoder(dict.fromkeys(("enamel mug", "thing", "thing mug"), east))
    with Searching(made_release(tmp_path, falling(), COLUMNS, encoder)) as searching:
        yield searching


def rows(reply: pb.SearchResponse) -> list[int]:
    return [int(product_id[1:]) for product_id in reply.product_ids]


async def test_a_minimum_score_leaves_out_what_is_below(searching):
    bound = float(falling()[7, 0])
    reply = await searching.search(Words("thing"), k=20, minimum_score=bound, channels=DENSE)
    assert rows(reply) == list(range(8))
    assert list(reply.degradations) == [pb.DEGRADATION_FEWER_THAN_K]
    assert not reply.next_page_token
    assert searching.release.index.depths == [21], "deeper there is nothing that scores higher"


async def test_a_minimum_score_is_on_the_scale_of_the_scores(searching):
    """Reciprocal ranks are small numbers, so nothing reaches a cosine's bound."""
    reply = await searching.search(Words("thing"), k=5, minimum_score=0.5)
    assert rows(reply) == []
    assert len(rows(await searching.search(Words("thing"), k=5, minimum_score=0.01))) == 5


@pytest.mark.parametrize("most", [1, 2])
async def test_collapsing_fetches_until_there_are_k(searching, most):
    reply = await searching.search(Words("thing"), k=150, per_style_group=most, channels=DENSE)
    groups = [COLUMNS["style_group"][row] for row in rows(reply)]
    assert len(groups) == 150
    assert max(groups.count(group) for group in set(groups) if group) == most
    expected = [row for row in range(COUNT) if row % 4 in (*range(most), 3)]
    assert rows(reply) == expected[:150], "the best of each style, and what has none"
    assert not reply.degradations


async def test_collapsing_ends_with_the_corpus_and_says_so(searching):
    reply = await searching.search(Words("thing"), k=300, per_style_group=1, channels=DENSE)
    assert len(rows(reply)) == 200
    assert list(reply.degradations) == [pb.DEGRADATION_FEWER_THAN_K]


async def test_facets_count_what_was_ranked(searching):
    reply = await searching.search(LikeProduct("p0"), k=10, facets=("category", "in_stock"))
    category, in_stock = reply.facets
    assert category.of == in_stock.of == 128
    ranked = range(1, 129)
    values = [COLUMNS["category"][row] for row in ranked]
    assert dict(zip(category.values, category.counts, strict=True)) == {
        "kitchen": values.count("kitchen"),
        "shoes": values.count("shoes"),
    }
    assert category.missing == values.count("")
    assert list(in_stock.values) == ["false", "true"]
    assert in_stock.missing == sum(COLUMNS["in_stock"][row] is None for row in ranked)


async def test_facets_of_a_deep_page_count_at_least_the_page(searching):
    (facet,) = (await searching.search(LikeProduct("p0"), k=300, facets=("category",))).facets
    assert facet.of == 399


CATEGORY = RelevanceControl(category=True)
KEYWORDS = RelevanceControl(keywords=True)


async def test_other_categories_are_left_out_and_k_is_restored(tmp_path):
    columns = {"category": ["kitchen"] * 9 + ["shoes"] * 300 + [""] + ["kitchen"] * 90}
    with Searching(made_release(tmp_path, falling(), columns)) as searching:
        reply = await searching.search(LikeProduct("p0"), k=50, relevance=CATEGORY)
        assert rows(reply) == [*range(1, 9), *range(309, 351)], "what has no category is kept"
        (removal,) = reply.removals
        assert (removal.reason, removal.products) == ("category", 300)
        assert searching.counted("vitrine_relevance_removals_total", reason="category") == 300
        assert not reply.degradations
        assert searching.release.index.depths == [129, 513], "one rung more than without control"


async def test_a_query_about_everything_loses_nothing(searching):
    reply = await searching.search(Words("thing"), k=50, relevance=CATEGORY, channels=DENSE)
    plain = await searching.search(Words("thing"), k=50, channels=DENSE)
    assert rows(reply) == rows(plain), "among the best ten are five of the kitchen, and three shoes"
    assert [removal.products for removal in reply.removals] == [0]


async def test_products_without_a_decisive_word_are_left_out(searching):
    """enamel is rare (10 of 400), mug is not (40 of 400)."""
    reply = await searching.search(Words("enamel mug"), k=10, relevance=KEYWORDS)
    assert rows(reply) == list(range(0, COUNT, 40))
    assert [removal.reason for removal in reply.removals] == ["keywords"]
    assert not reply.degradations


async def test_keywords_of_the_table_are_decisive_as_well(searching):
    searching.release.encoder.keywords = ("mug",)
    reply = await searching.search(Words("enamel mug"), k=40, relevance=KEYWORDS)
    assert sorted(rows(reply)) == list(range(0, COUNT, 10))


async def test_without_a_decisive_word_nothing_is_left_out(searching):
    reply = await searching.search(Words("thing mug"), k=10, relevance=KEYWORDS)
    assert rows(reply) == rows(await searching.search(Words("thing mug"), k=10))


async def test_both_controls_count_by_reason(searching):
    both = RelevanceControl(category=True, keywords=True)
    reply = await searching.search(Words("enamel mug"), k=10, relevance=both, channels=DENSE)
    assert rows(reply) == list(range(0, COUNT, 40))
    counts = {removal.reason: removal.products for removal in reply.removals}
    assert counts["keywords"] > 0
    assert sum(counts.values()) == COUNT - 10


async def test_control_that_cannot_look_words_up_lets_everything_pass_and_says_so(searching):
    searching.release.lexical.broken = Unavailable("away")
    reply = await searching.search(Words("enamel mug"), k=10, relevance=KEYWORDS, channels=DENSE)
    assert rows(reply) == list(range(10))
    assert list(reply.degradations) == [pb.DEGRADATION_LEXICAL_CHANNEL_FAILED]
    assert len(searching.memory) == 0


async def test_an_explanation_of_each_hit(searching):
    searching.release.encoder.keywords = ("thing",)
    reply = await searching.search(Words("enamel mug"), k=3, explain=True)
    assert len(reply.explanations) == 3
    for row, explanation in zip(rows(reply), reply.explanations, strict=True):
        assert explanation.dense_rank == row + 1
        assert explanation.dense_score == pytest.approx(falling()[row, 0])
        title = COLUMNS["title"][row].split()
        assert list(explanation.matched_words) == [one for one in ("enamel", "mug", "thing") if one in title]
        assert (explanation.lexical_rank > 0) == ("mug" in title)
        assert explanation.lexical_score == len({"enamel", "mug"} & set(title))


async def test_explaining_without_words_tells_ranks_and_scores(searching):
    (first, _) = (await searching.search(LikeProduct("p5"), k=2, explain=True)).explanations
    assert (first.dense_rank, first.lexical_rank, list(first.matched_words)) == (1, 0, [])


async def test_nobody_is_explained_to_who_did_not_ask(searching):
    assert not (await searching.search(Words("thing"), k=3)).explanations
