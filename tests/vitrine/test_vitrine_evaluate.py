import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from support.fake_gateway import FakeGateway, reply_of

from catalog.catalogue import Catalogue
from catalog.held_out import is_held_out
from catalog.readers import read_catalogue
from catalog.schema import Product
from catalog.writers import write_catalogue
from faults import CatalogueError, Mismatch, Unavailable
from retrieval_gateway.client import Channel, ChannelOptions, Degradation
from vitrine import evaluate
from vitrine.catalogues import Split, open_catalogue
from vitrine.evaluate import indexed_products, report_table, run_evaluation


@pytest.mark.parametrize("split", list(Split))
def test_the_part_that_was_indexed_is_recognised(split_shop: Path, split: Split) -> None:
    indexed = open_catalogue(split_shop, split)
    found = indexed_products(FakeGateway(indexed=indexed), split_shop)  # type: ignore[arg-type]
    assert found.ids == indexed.ids


@pytest.fixture
def another(tmp_path: Path) -> Catalogue:
    """As many products as the split shop has, but other ones."""
    folder = tmp_path / "another"
    write_catalogue(folder, [Product(f"x{number}", title="x") for number in range(10)], [])
    return read_catalogue(folder)


def test_another_catalogue_than_the_indexed_one_is_refused_with_both(
    split_shop: Path, another: Catalogue
) -> None:
    with pytest.raises(Mismatch) as caught:
        indexed_products(FakeGateway(indexed=another), split_shop)  # type: ignore[arg-type]
    assert caught.value.expected == f"{another.fingerprint()[:12]}, 10 products"
    assert [text.partition(", ")[2] for text in caught.value.found.values()] == [
        f"{count} products" for count in (10, 7, 3)
    ]
    assert "20261120T101500Z-3f9a1c" in str(caught.value)


def test_a_catalogue_without_held_out_products_is_refused_the_same_way(
    tmp_path: Path, another: Catalogue
) -> None:
    style = next(name for name in (f"s{number}" for number in range(99)) if not is_held_out(name))
    write_catalogue(tmp_path, [Product("p", title="mug", style_group=style)], [])
    with pytest.raises(Mismatch) as caught:
        indexed_products(FakeGateway(indexed=another), tmp_path)  # type: ignore[arg-type]
    assert caught.value.found["held-out"].endswith(", 0 products")


def test_a_gateway_without_a_release_is_not_ready_to_be_measured(split_shop: Path) -> None:
    with pytest.raises(Unavailable, match="serves no release"):
        indexed_products(FakeGateway(), split_shop)  # type: ignore[arg-type]


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, shop: Path) -> FakeGateway:
    hits = {
        "red mug": [("mug-blue", 0.9), ("mug-red", 0.8), ("lamp-red", 0.7)],
        "lamp": [("lamp-red", 0.9), ("lamp-green", 0.8), ("lamp-blue", 0.7), ("lamp-white", 0.6)],
    }
    gateway = FakeGateway(hits, read_catalogue(shop))
    monkeypatch.setattr(evaluate, "RetrievalClient", gateway)
    return gateway


def test_every_query_is_asked_once_for_a_hundred_products_past_the_cache(
    shop: Path, gateway: FakeGateway
) -> None:
    run_evaluation("gateway.test:1", shop)
    assert gateway.address == "gateway.test:1"
    assert sorted(asked["text"] for asked in gateway.asked) == ["lamp", "red mug"]
    assert {(asked["k"], asked["bypass_cache"]) for asked in gateway.asked} == {(100, True)}


@pytest.mark.usefixtures("gateway")
def test_the_last_line_is_the_report_as_json(vitrine, shop: Path) -> None:
    done = vitrine("evaluate", "--catalog", shop, "--address", "gateway.test:1")
    assert done.code == 0
    report = json.loads(done.out.splitlines()[-1])
    assert report["queries"] == 2
    assert report["rr_at_10"] == 1.0
    assert report["recall_at_100"] == 1.0
    # Gains 1 and 3 at places 1 and 2, the other way round would be best: (1 + 3/log2(3)) / (3 + 1/log2(3)).
    assert report["by_kind"]["colour"]["ndcg_at_10"] == pytest.approx(
        (1 + 3 / 1.58496) / (3 + 1 / 1.58496), abs=1e-4
    )
    assert report["by_kind"]["category"]["ndcg_at_10"] == 1.0
    assert report["by_kind"]["category"]["queries"] == 1
    table = done.err.split()
    assert {"all", "colour", "category"} <= set(table)


def test_only_the_indexed_part_is_the_corpus(split_shop: Path, gateway: FakeGateway) -> None:
    held_out = open_catalogue(split_shop, Split.HELD_OUT)
    gateway.indexed = held_out
    gateway.hits = {"mug": [(held_out.ids[0], 0.9)]}
    report = run_evaluation("gateway.test:1", split_shop)
    assert report.overall.recall_at_100 == 1.0  # the trained product of the judgements cannot be found here


def test_queries_of_ones_own_are_taken(shop: Path, gateway: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("query_id,kind,query\n7,[/]mine,lamp\n")
    (tmp_path / "r.csv").write_text("query_id,product_id,grade\n7,lamp-red,2\n")
    report = run_evaluation("gateway.test:1", shop, tmp_path / "q.csv", tmp_path / "r.csv")
    assert [asked["text"] for asked in gateway.asked] == ["lamp"]
    assert list(report.by_kind) == ["[/]mine"]
    assert report_table(report).row_count == 2
    out = io.StringIO()
    Console(file=out, width=100).print(report_table(report))
    assert "[/]mine" in out.getvalue()


def test_a_catalogue_without_judgements_is_refused_before_anything_is_asked(
    split_shop: Path, gateway: FakeGateway
) -> None:
    (split_shop / "qrels.csv").unlink()
    with pytest.raises(CatalogueError, match=r"qrels\.csv"):
        run_evaluation("gateway.test:1", split_shop)
    assert gateway.asked == []


@pytest.mark.parametrize(
    ("listed", "channels"),
    [
        ("dense", (Channel.DENSE,)),
        ("lexical", (Channel.LEXICAL,)),
        ("dense,lexical", (Channel.DENSE, Channel.LEXICAL)),
    ],
)
def test_the_channels_that_are_named_are_asked(
    vitrine, shop: Path, gateway: FakeGateway, listed: str, channels: tuple[Channel, ...]
) -> None:
    done = vitrine("evaluate", "--catalog", shop, "--channels", listed, "--address", "gateway.test:1")
    assert done.code == 0
    assert {asked["channels"] for asked in gateway.asked} == {ChannelOptions(channels)}
    assert json.loads(done.out.splitlines()[-1])["queries"] == 2


def test_without_channels_the_gateway_chooses(shop: Path, gateway: FakeGateway) -> None:
    run_evaluation("gateway.test:1", shop)
    assert {asked["channels"] for asked in gateway.asked} == {None}


def test_a_channel_that_there_is_not_is_refused_before_anything_is_asked(
    vitrine, shop: Path, gateway: FakeGateway
) -> None:
    done = vitrine("evaluate", "--catalog", shop, "--channels", "dense,sparse")
    assert done.code != 0
    assert "sparse" in done.err
    assert gateway.asked == []


@pytest.mark.parametrize("name", ["DENSE_CHANNEL_FAILED", "LEXICAL_CHANNEL_FAILED"])
def test_answers_without_a_channel_are_not_measured(shop: Path, gateway: FakeGateway, name: str) -> None:
    gateway.reply = reply_of([("mug-red", 0.9)], degradations=[Degradation[name].value])
    with pytest.raises(Unavailable, match="without a channel") as caught:
        run_evaluation("gateway.test:1", shop)
    assert caught.value.value == name


def test_other_degradations_are_measured(shop: Path, gateway: FakeGateway) -> None:
    gateway.reply = reply_of([("mug-red", 0.9)], degradations=[Degradation.FEWER_THAN_K.value])
    assert run_evaluation("gateway.test:1", shop).overall.queries == 2
