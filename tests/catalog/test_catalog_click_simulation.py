import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.catalogue import Catalogue
from catalog.click_simulation import simulate_clicks
from catalog.facets import facets_of, free_text_keys
from catalog.phrasings import Intent, phrasings_of, plural, singular
from catalog.schema import Product
from faults import InvalidInput

COLOURS = ("Red", "Blue", "Green", "Black", "White", "Yellow")
LEAVES = ("Men > Tops > Jackets", "Women > Tops > Jackets", "Women > Bottoms > Shorts", "Men > Tops > Tees")


def shop(count: int = 240) -> Catalogue:
    source = random.Random(0)
    return Catalogue(
        [
            Product(
                f"p{n}",
                f"{source.choice(['Montana', 'Atlas', 'Juno'])} Wind Piece {n}",
                "Some prose.",
                "Apparel",
                source.choice(LEAVES),
                "Luma",
                source.choice(COLOURS),
                attributes={
                    "material": source.choice(["Wool, Nylon", "Cotton", "Linen, Hemp"]),
                    "climate": ["Warm"] if n % 3 else ["Windy", "Cool"],
                    "sale": "Yes",
                    "weight": "14.13",
                    "everywhere": "Machine washable",
                    "care": "Wash it by hand in cold water and lay it flat to dry, away from direct sun.",
                },
            )
            for n in range(count)
        ]
    )


def test_the_same_seed_gives_the_same_clicks() -> None:
    assert simulate_clicks(shop(60), 7) == simulate_clicks(shop(60), 7)
    assert simulate_clicks(shop(60), 7) != simulate_clicks(shop(60), 8)


def test_every_product_gets_about_the_wanted_number_of_queries() -> None:
    clicks = simulate_clicks(shop(), 0)
    per_product = Counter(click.product_id for click in clicks)
    assert len(per_product) == 240
    assert 15 <= len(clicks) / 240 <= 22
    assert len({(click.query, click.product_id) for click in clicks}) == len(clicks)
    few = simulate_clicks(shop(), 0, per_product=3)
    assert 2.5 <= len(few) / 240 <= 3.5


def test_clicks_are_counts_within_impressions_and_unequal() -> None:
    clicks = simulate_clicks(shop(), 0)
    assert all(1 <= click.clicks <= click.impressions for click in clicks)
    counts = sorted(click.clicks for click in clicks)
    assert counts[-1] > 20 * counts[len(counts) // 2]
    assert all(click.deciding_modality == "" for click in clicks)


def test_most_clicks_fit_and_a_few_stray() -> None:
    catalogue = shop()
    wrong = asked = 0
    for click in simulate_clicks(catalogue, 0):
        words = set(click.query.split())
        for colour in COLOURS:
            if colour.lower() in words:
                asked += 1
                wrong += catalogue.get(click.product_id).color != colour
    assert asked > 400
    assert 0.005 < wrong / asked < 0.06


def test_combinations_are_common_and_uninformative_values_are_not_asked() -> None:
    queries = [click.query for click in simulate_clicks(shop(), 0)]
    combined = [
        q for q in queries if any(c.lower() in q.split() for c in COLOURS) and ("jacket" in q or "men" in q)
    ]
    assert len(combined) > 0.15 * len(queries)
    for useless in ("yes", "14.13", "machine washable", "cold water"):
        assert not any(useless in query for query in queries)
    assert any("windy" in query for query in queries)
    assert any(query == "wool" for query in queries)


def test_one_intent_is_said_in_several_ways() -> None:
    queries = {click.query for click in simulate_clicks(shop(), 0)}
    wordings = set(phrasings_of(Intent(noun="jackets", audience="men", colour="red")))
    assert len(queries & wordings) >= 3


def test_poor_catalogues_do_not_break_it() -> None:
    assert simulate_clicks(Catalogue([Product("a")]), 0) == []
    alone = simulate_clicks(Catalogue([Product("a", "Red Mug")]), 0)
    assert {click.query for click in alone} == {"red mug"}
    same = Catalogue([Product(f"p{n}", category="Mugs") for n in range(5)])
    assert simulate_clicks(same, 0) == []  # one category for all says nothing


def test_asking_for_no_queries_is_refused() -> None:
    with pytest.raises(InvalidInput, match="per_product"):
        simulate_clicks(shop(5), 0, per_product=0)


def test_facets() -> None:
    product = Product(
        "a", "Road-150 Red, 48", "", "Bikes", "Bikes > Men > Road Bikes (fast)", "Acme", "Silver/Black",
        attributes={"model": "Road-150", "size": "48", "tags": ["SMD", "8x8"], "color": "Silver", "q": "No"},
    )  # fmt: skip
    facets = facets_of(product)
    assert facets.noun == "road bikes"
    assert facets.groups == ("bikes",)
    assert facets.audience == "men"
    assert facets.colours == ("silver", "black")
    assert facets.brand == "acme"
    assert facets.values == ("fast", "road-150", "smd", "8x8")
    assert "road-150" in facets.titles


def test_an_article_for_everybody_is_for_nobody_in_particular() -> None:
    assert facets_of(Product("a", attributes={"gender": "Men, Women, Unisex"})).audience == ""
    assert facets_of(Product("a", attributes={"gender": "Women"})).audience == "women"


def test_prose_is_recognised_by_its_length() -> None:
    products = [
        Product(f"{n}", attributes={"care": "x" * 80, "short_description": "x", "k": "v"}) for n in range(3)
    ]
    assert free_text_keys(products) == {"care", "short_description"}


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("jacket", "jackets"), ("battery", "batteries"), ("watch", "watches"), ("dress", "dresses"),
        ("box", "boxes"), ("toy", "toys"), ("shelf", "shelves"), ("t-shirt", "t-shirts"),
        ("road bike", "road bikes"),
        ("knife", "knives"), ("potato", "potatoes"),
    ],
)  # fmt: skip
def test_numbers(one: str, many: str) -> None:
    assert plural(one) == many
    assert singular(many) == one
    assert plural(many) == many
    assert singular(one) == one


@pytest.mark.parametrize(
    "noun", ["pants", "men's shorts", "wireless", "apparel", "glasses", "8x8", "electronics", ""]
)
def test_words_without_another_number_stay(noun: str) -> None:
    assert singular(noun) == noun


@given(st.text(max_size=30))
def test_any_noun_survives(noun: str) -> None:
    assert isinstance(plural(noun), str)
    assert isinstance(singular(noun), str)


def test_phrasings() -> None:
    found = phrasings_of(Intent(noun="jackets", audience="men", colour="red"))
    assert {"red jackets for men", "mens red jacket", "men's red jackets", "jacket red men"} <= set(found)
    assert {"hoodies", "sweatshirt", "hoodies and sweatshirts"} <= set(
        phrasings_of(Intent(noun="hoodies & sweatshirts"))
    )
    assert phrasings_of(Intent(words="montana wind jacket")) == ("montana wind jacket",)
    assert phrasings_of(Intent(value="led_bar-graph")) == ("led_bar-graph", "led bar graph")
    assert not any("with" in query for query in phrasings_of(Intent(noun="switches", value="smd-2")))
