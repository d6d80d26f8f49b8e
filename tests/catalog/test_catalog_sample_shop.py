import hashlib
import io
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catalog.catalogue import Catalogue
from catalog.pictures import decode_catalogue
from catalog.readers import read_catalogue, read_clicks, read_coclicks, read_judgements, read_queries
from catalog.sample_shop import make_sample_shop
from catalog.sample_shop.articles import ARTICLES, Article, Decides
from catalog.sample_shop.drawing import draw_article
from catalog.sample_shop.intents import HELD_OUT_WORDINGS, WORDINGS
from catalog.sample_shop.shapes import SHAPES
from catalog.sample_shop.styles import OMITTED_SHARE, make_offers
from catalog.sample_shop.vocabulary import COLOURS, PATTERNS
from catalog.schema import Product
from faults import InvalidInput

COUNT = 600
DECIDES = {article.path: article.decides for article in ARTICLES}
SEEN_WORDS = {word for _, words in COLOURS.values() for word in words} | {
    word for pattern, words in PATTERNS.items() if pattern != "plain" for word in words
}
SHAPE_WORDS = {shape for article in ARTICLES for shape in article.shapes if shape}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample_shop(tmp_path_factory.mktemp("shop") / "new", COUNT, 3)


@pytest.fixture(scope="module")
def shop(folder: Path) -> Catalogue:
    return read_catalogue(folder)


def says(product: Product, words: set[str]) -> bool:
    text = product.indexed_text().lower()
    return any(re.search(rf"\b{re.escape(word)}\b", text) for word in words)


def test_it_has_exactly_as_many_products_as_asked_for(shop: Catalogue) -> None:
    assert len(shop) == COUNT
    leaves = Counter(product.subcategory for product in shop.products)
    assert set(leaves) == set(DECIDES)
    assert max(leaves.values()) < 5 * min(leaves.values())


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    def digests(where: Path) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(where.iterdir())}

    assert digests(make_sample_shop(tmp_path / "again", COUNT, 3)) == digests(folder)
    one, two = (digests(make_sample_shop(tmp_path / str(seed), 50, seed)) for seed in (1, 2))
    assert all(one[name] != two[name] for name in one)


def test_pictures_alone_decide_where_they_should(shop: Catalogue) -> None:
    visual = [p for p in shop.products if DECIDES[p.subcategory] is not Decides.TEXT]
    told = [says(product, SEEN_WORDS) for product in visual]
    assert np.mean(told) == pytest.approx(1 - OMITTED_SHARE, abs=0.06)
    quiet = [product for product, said in zip(visual, told, strict=True) if not said]
    shaped = [p for p in quiet if DECIDES[p.subcategory] is Decides.IMAGE]
    assert not any(says(product, SHAPE_WORDS) for product in shaped)
    assert all(product.color in COLOURS for product in visual)


def test_titles_alone_decide_where_they_should(shop: Catalogue) -> None:
    for product in shop.products:
        decides = DECIDES[product.subcategory]
        measure = next(article.measure for article in ARTICLES if article.path == product.subcategory)
        if decides is Decides.IMAGE:
            assert measure == ""
            continue
        value = str(product.attributes[measure])
        assert value.lower().replace(" ", "") in product.title.lower().replace(" ", "")
        assert value.lower() not in product.description.lower()
        if decides is Decides.TEXT:
            assert product.color == ""
            assert not says(product, SEEN_WORDS)


def test_pictures_of_textual_articles_carry_nothing_of_the_product(shop: Catalogue) -> None:
    offers = {offer.product_id: offer for offer in make_offers(COUNT, 3)}
    for product_id, offer in offers.items():
        if offer.style.article.decides is Decides.TEXT:
            drawn_from = (offer.style.shape, offer.color, offer.style.pattern)
            assert drawn_from == ("", "", "")
            assert shop.get(product_id).color == ""


def test_two_photographs_of_one_article_differ() -> None:
    one = draw_article("mug", "", "red", "dotted", random.Random(1))
    assert one != draw_article("mug", "", "red", "dotted", random.Random(2))


@pytest.mark.parametrize("color", list(COLOURS))
def test_colours_are_seen(color: str) -> None:
    data = draw_article("cushion", "round", color, "plain", random.Random(5))
    pixels = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    near = np.abs(pixels - np.array(COLOURS[color][0])).max(axis=2) < 40
    assert near.mean() > 0.2


def test_patterns_are_seen() -> None:
    def variation(pattern: str) -> float:
        data = draw_article("rug", "rectangular", "blue", pattern, random.Random(5))
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("L")).astype(float)
        height, width = pixels.shape
        return float(pixels[height // 3 : 2 * height // 3, width // 4 : 3 * width // 4].std())

    plain = variation("plain")
    assert all(variation(pattern) > 4 * plain for pattern in PATTERNS if pattern != "plain")


@pytest.mark.parametrize("article", ARTICLES, ids=lambda article: article.name)
def test_every_article_can_be_drawn(article: Article) -> None:
    for shape in article.shapes:
        drawn = Image.open(io.BytesIO(draw_article(article.name, shape, "red", "plain", random.Random(1))))
        assert 64 <= max(drawn.size) <= 96
        assert np.asarray(drawn).std() > 10


def test_shape_variants_differ() -> None:
    for article in ARTICLES:
        outlines = {str(SHAPES[article.name](shape)) for shape in article.shapes}
        assert len(outlines) == len(article.shapes)


def test_every_picture_decodes_and_only_textual_articles_lack_one(shop: Catalogue) -> None:
    decoded = decode_catalogue(shop, size=32, views=2)
    for product, has in zip(shop.products, decoded.has_image, strict=True):
        assert has[0] or DECIDES[product.subcategory] is Decides.TEXT
    assert 0.05 < decoded.has_image[:, 1].mean() < 0.16


def test_styles_come_in_versions_from_several_suppliers(shop: Catalogue) -> None:
    groups: dict[str, list[Product]] = {}
    for product in shop.products:
        groups.setdefault(product.style_group, []).append(product)
    sizes = [len(group) for group in groups.values()]
    assert 3 < np.mean(sizes) < 7
    for group in groups.values():
        assert len({(p.brand, p.subcategory, str(p.attributes.get("pattern"))) for p in group}) == 1
    assert np.mean([len({p.supplier for p in group}) > 1 for group in groups.values()]) > 0.5
    titles = [{p.title for p in group if p.color == group[0].color} for group in groups.values()]
    assert any(len(same) > 1 for same in titles)


def test_optional_values_are_sometimes_missing(shop: Catalogue) -> None:
    assert any(product.price is None for product in shop.products)
    assert {product.in_stock for product in shop.products} == {True, False, None}
    assert all(product.price is None or product.price > 0 for product in shop.products)


def test_the_deciding_modality_of_every_click_is_known(folder: Path, shop: Catalogue) -> None:
    clicks = read_clicks(folder)
    assert clicks is not None
    shares = Counter(click.deciding_modality for click in clicks)
    assert set(shares) == {"image", "text", "both"}
    assert min(shares.values()) > 0.15 * len(clicks)
    assert 7 < len(clicks) / COUNT < 12
    for click in clicks:
        product = shop.get(click.product_id)
        decides = DECIDES[product.subcategory]
        if click.deciding_modality == "image":
            assert decides is not Decides.TEXT
        if decides is Decides.IMAGE and click.deciding_modality == "text":
            assert product.brand.lower() in click.query  # nothing else in its title decides
        if click.deciding_modality == "image" and product.color in click.query.split():
            plain = {"plain", "solid"} & set(click.query.split())
            assert plain or not says(product, {product.color})


def test_the_log_is_skewed_and_nearly_clean(folder: Path, shop: Catalogue) -> None:
    clicks = read_clicks(folder) or []
    counts = sorted(click.clicks for click in clicks)
    assert counts[-1] > 30 * counts[len(counts) // 2]
    asked = [(c, color) for c in clicks for color in COLOURS if color in c.query.split()]
    wrong = np.mean([shop.get(click.product_id).color != color for click, color in asked])
    assert 0.002 < wrong < 0.06


def test_coclicks_stay_within_a_style_and_go_both_ways(folder: Path, shop: Catalogue) -> None:
    rows = read_coclicks(folder) or []
    pairs = {(row.trigger_id, row.clicked_id) for row in rows}
    assert len(pairs) == len(rows) > COUNT // 2
    for one, other in pairs:
        assert one != other
        assert (other, one) in pairs
        assert shop.get(one).style_group == shop.get(other).style_group


def test_judgements_follow_the_attributes(folder: Path, shop: Catalogue) -> None:
    queries = read_queries(folder / "queries.csv")
    judged = read_judgements(
        folder / "qrels.csv", product_ids=shop, query_ids={query.query_id for query in queries}
    )
    assert {query.kind for query in queries} == set(WORDINGS) == set(HELD_OUT_WORDINGS)
    assert len({query.query for query in queries}) == len(queries)
    grades: dict[str, dict[str, int]] = {}
    for one in judged:
        grades.setdefault(one.query_id, {})[one.product_id] = one.grade
    for query in queries:
        mine = grades[query.query_id]
        assert 2 in mine.values()
        leaves = {shop.get(product_id).subcategory for product_id in mine}
        assert len(leaves) == 1
        assert len(mine) == sum(product.subcategory in leaves for product in shop.products)
        if query.kind == "colour+category":
            colors = {shop.get(product_id).color for product_id, grade in mine.items() if grade == 2}
            assert len(colors) == 1
            assert set(COLOURS[colors.pop()][1]) & set(query.query.split())


def test_an_evaluation_also_asks_in_words_that_the_log_never_uses(folder: Path) -> None:
    logged = {click.query for click in read_clicks(folder) or []}
    new = [query.query not in logged for query in read_queries(folder / "queries.csv")]
    assert np.mean(new) > 0.4


def test_held_out_wordings_are_not_in_the_log() -> None:
    for kind, wordings in WORDINGS.items():
        assert not set(wordings) & set(HELD_OUT_WORDINGS[kind])


def test_too_few_products_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="products"):
        make_sample_shop(tmp_path, 49)
    assert list(tmp_path.iterdir()) == []


def test_the_smallest_shop_works_and_reports_progress(tmp_path: Path) -> None:
    seen: list[int] = []
    make_sample_shop(tmp_path, 50, 0, seen.append)
    assert seen[-1] == 50
    assert len(read_catalogue(tmp_path)) == 50
    assert read_queries(tmp_path / "queries.csv")


def test_offers_of_a_smaller_shop_begin_those_of_a_larger_one() -> None:
    assert make_offers(80, 5) == make_offers(200, 5)[:80]
