"""Same-style pairs: what the constraints drop, what is drawn, and pairs that a click log implies."""

import numpy as np
import pytest

from catalog.catalogue import Catalogue
from catalog.schema import Click, CoClick, Product
from faults import CatalogueError
from towers.data.derived_coclicks import coclicks_of
from towers.data.pairs import pairs_of
from towers.stage_recipes import PairConstraints

LOOSE = PairConstraints(category="none", relevance=0, clicks=1)
CATALOGUE = Catalogue(
    [
        Product("a", title="Casa Alma mug", category="Home", subcategory="Home > Mugs"),
        Product("b", title="Mug ALMA by Casa", category="Home", subcategory="Home > Mugs"),
        Product("c", title="Nordic Fjord mug", category="Home", subcategory="Home > Mugs"),
        Product("d", title="Casa Alma plate", category="Home", subcategory="Home > Plates"),
        Product("e", title="Casa Alma screw", category="Hardware"),
        Product("f", title="Casa Alma mug"),
    ]
)
LOG = [
    CoClick("a", "b", 3),
    CoClick("b", "a", 2),
    CoClick("a", "c", 9),
    CoClick("d", "a", 9),
    CoClick("a", "e", 9),
    CoClick("f", "b", 9),
    CoClick("a", "a", 50),
    CoClick("c", "d", 0),
]


def kept(**constraints) -> list[tuple[str, str]]:
    pairs = pairs_of(LOG, CATALOGUE, PairConstraints(**{**LOOSE.model_dump(), **constraints}))
    assert pairs.counts.kept == len(pairs.pairs)
    return [(CATALOGUE.ids[one], CATALOGUE.ids[other]) for one, other in pairs.pairs]


def test_clicks_both_ways_are_one_pair_and_a_product_is_no_pair_with_itself() -> None:
    pairs = pairs_of(LOG, CATALOGUE, LOOSE)
    assert kept() == [("a", "b"), ("a", "c"), ("a", "d"), ("a", "e"), ("b", "f")]
    rows, chances = pairs.partners[0]
    assert rows.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(chances, np.sqrt([5, 9, 9, 9]) / np.sqrt([5, 9, 9, 9]).sum())
    swapped = [CoClick(row.clicked_id, row.trigger_id, row.clicks) for row in reversed(LOG)]
    again = pairs_of(swapped, CATALOGUE, LOOSE)
    np.testing.assert_array_equal(again.pairs, pairs.pairs)
    np.testing.assert_array_equal(again.partners[0][1], chances)


def test_categories_must_agree_and_a_missing_one_agrees_with_none() -> None:
    assert kept(category="category") == [("a", "b"), ("a", "c"), ("a", "d")]
    assert kept(category="subcategory") == [("a", "b"), ("a", "c")]


def test_titles_must_share_words_or_their_vectors_a_direction() -> None:
    assert kept(relevance=0.5) == [("a", "b"), ("a", "d"), ("a", "e"), ("b", "f")]
    vectors = np.eye(6, 3, dtype=np.float32)
    vectors[1], vectors[4] = vectors[0], vectors[0]
    by_vectors = pairs_of(LOG, CATALOGUE, PairConstraints(category="none", relevance=0.5, clicks=1), vectors)
    assert by_vectors.pairs.tolist() == [[0, 1], [0, 4]]


def test_every_pair_is_counted_once_at_what_dropped_it() -> None:
    counts = pairs_of(LOG, CATALOGUE, PairConstraints(category="category", relevance=0.5, clicks=6)).counts
    assert (counts.logged, counts.other_category, counts.irrelevant) == (5, 2, 1)
    assert (counts.too_few_clicks, counts.kept) == (1, 1)


def test_noise_is_dropped_constraint_by_constraint() -> None:
    """Planted noise: precision rises with category and again with relevance, and good pairs get fewer."""
    random = np.random.default_rng(0)
    names = [" ".join(random.choice(list("pqrstuvwxyz"), 5, replace=False)) for _ in range(40)]
    products, log = [], []
    for style, name in enumerate(names):
        for place in range(2):
            words = " ".join(random.permutation(name.split())[:4])
            products.append(Product(f"{style}-{place}", title=words, category=f"c{style % 4}"))
        log.append(CoClick(f"{style}-0", f"{style}-1", 5))
    for _ in range(60):
        one, other = random.choice(len(products), 2, replace=False)
        log.append(CoClick(products[one].product_id, products[other].product_id, 5))
    catalogue = Catalogue(products)
    found = {}
    for category, relevance in (("none", 0.0), ("category", 0.0), ("category", 0.6), ("category", 0.99)):
        pairs = pairs_of(log, catalogue, PairConstraints(category=category, relevance=relevance)).pairs
        good = [one // 2 == other // 2 for one, other in pairs.tolist()]
        found[category, relevance] = (np.mean(good), sum(good))
    precisions = [precision for precision, _ in found.values()]
    assert precisions == sorted(precisions)
    assert precisions[0] < precisions[1] < precisions[2]
    assert found["category", 0.99][1] < found["category", 0.6][1]


def test_unknown_products_are_counted_with_examples() -> None:
    log = [CoClick("a", "x1", 1), CoClick("x2", "x1", 0)]
    with pytest.raises(CatalogueError, match=r"2 co-clicked products .*x1.*x2"):
        pairs_of(log, CATALOGUE, LOOSE)


def test_what_is_alike_is_no_negative() -> None:
    catalogue = Catalogue(
        [Product(name, title=name, style_group=group) for name, group in zip("abcd", "ss  ", strict=True)]
    )
    log = [CoClick("c", "d", 1), CoClick("b", "c", 5)]
    pairs = pairs_of(log, catalogue, PairConstraints(category="none", relevance=0, clicks=2))
    everyone = np.arange(4)
    expected = np.eye(4, dtype=bool)
    for one, other in ((0, 1), (1, 2), (2, 3)):  # the style group, a partner, a pair of too few clicks
        expected[one, other] = expected[other, one] = True
    np.testing.assert_array_equal(pairs.known(everyone, everyone), expected)
    apart = PairConstraints(category="none", relevance=0, clicks=2, style_groups=False)
    expected[0, 1] = expected[1, 0] = False
    np.testing.assert_array_equal(pairs_of(log, catalogue, apart).known(everyone, everyone), expected)
    assert sorted(pairs.partners) == [1, 2]


def draws(size: int = 3, steps: int = 4, seed: int = 0, skip: int = 0) -> list[tuple[list[int], list[int]]]:
    pairs = pairs_of(LOG, CATALOGUE, LOOSE)
    return [(one.tolist(), other.tolist()) for one, other in pairs.draws(size, steps, [seed], skip)]


def test_a_seed_draws_the_same_pairs_of_distinct_triggers() -> None:
    assert draws() == draws()
    assert draws() != draws(seed=1)
    assert draws(skip=3) == draws()[3:]
    pairs = pairs_of(LOG, CATALOGUE, LOOSE)
    for left, right in draws(steps=30):
        assert len(set(left)) == 3
        assert all(other in pairs.partners[one][0] for one, other in zip(left, right, strict=True))
    assert {one for left, _ in draws(steps=30) for one in left} == {0, 1, 2, 3, 4, 5}
    assert len(draws(size=100, steps=1)[0][0]) == 6


def test_without_a_pair_the_constraints_are_blamed() -> None:
    strict = pairs_of(LOG, CATALOGUE, PairConstraints(clicks=1000))
    with pytest.raises(CatalogueError, match="none of 5 co-clicked pairs is left") as refused:
        next(strict.draws(3, 1, [0]))
    assert "Loosen" in str(refused.value)


def test_a_specific_query_says_more_than_a_broad_one() -> None:
    clicks = [
        Click("alma mug", "a", 8, 9),
        Click(" Alma  MUG", "b", 6, 9),
        *(Click("mug", product, 4, 9) for product in "abcde"),
        Click("alma plate", "d", 9, 9),
        Click("mug?", "b", 0, 9),
        Click("mug?", "c", 5, 9),
    ]
    found = {(row.trigger_id, row.clicked_id): row.clicks for row in coclicks_of(clicks)}
    assert found["a", "b"] == found["b", "a"] == 7  # 6 for the two alone, 4 / 4 among five
    assert found["a", "c"] == 1
    assert len(found) == 20
    assert set(coclicks_of(clicks, most_products=4)) == {CoClick("a", "b", 6), CoClick("b", "a", 6)}
    assert coclicks_of(list(reversed(clicks))) == coclicks_of(clicks)


def test_less_than_half_a_click_is_none() -> None:
    clicks = [Click("mug", product, 1, 1) for product in "abcd"]
    assert coclicks_of(clicks) == []
    assert len(coclicks_of(clicks[:3])) == 6
