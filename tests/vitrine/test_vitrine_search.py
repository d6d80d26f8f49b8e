import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from support.fake_gateway import FakeGateway, reply_of

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client import Channel, ChannelOptions, Mixing
from vitrine import search as search_module
from vitrine.filters import parse_filter
from vitrine.reply_tables import facet_lines, hits_table, summary, timings

HITS = [("mug-red", 0.91234), ("mug-blue", 0.5)]
TITLE = pb.Column(field="title", texts=["Red mug", "Blue mug"])
PRICE = pb.Column(field="price", numbers=[12.5, 0.0], present=[True, False])
STOCK = pb.Column(field="in_stock", flags=[False, True])


def rendered(reply: pb.SearchResponse, explain: bool = False) -> list[list[str]]:
    """The table's lines as cells; two spaces or more part them."""
    out = io.StringIO()
    Console(file=out, width=150).print(hits_table(reply, explain))
    return [line.split() for line in out.getvalue().splitlines()]


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> FakeGateway:
    gateway = FakeGateway({"mug": HITS})
    monkeypatch.setattr(search_module, "RetrievalClient", gateway)
    return gateway


def test_the_hits_stand_best_first_with_the_fields_of_the_reply() -> None:
    assert rendered(reply_of(HITS, columns=[TITLE, PRICE, STOCK])) == [
        ["score", "product", "title", "price", "in_stock"],
        ["0.912", "mug-red", "Red", "mug", "12.5", "False"],
        ["0.500", "mug-blue", "Blue", "mug", "True"],  # its price is unknown, not 0
    ]


def test_explaining_adds_the_modality_weights() -> None:
    reply = reply_of(HITS, text_weights=[0.25, 1.0], image_weights=[0.75, 0.0])
    assert rendered(reply, explain=True) == [
        ["score", "product", "text", "image"],
        ["0.912", "mug-red", "0.25", "0.75"],
        ["0.500", "mug-blue", "1.00", "0.00"],
    ]
    assert rendered(reply)[0] == ["score", "product"]


def test_explaining_tells_each_channels_rank_and_the_words_in_the_text() -> None:
    explanations = [
        pb.Explanation(dense_rank=1, lexical_rank=7, matched_words=["red", "mug"]),
        pb.Explanation(dense_rank=2),
    ]
    lines = rendered(reply_of(HITS, explanations=explanations), explain=True)
    assert lines[0][-3:] == ["dense", "lexical", "words"]
    assert lines[1][-4:] == ["#1", "#7", "red", "mug"]
    assert lines[2][-1] == "#2"


def test_facets_are_a_line_each_with_what_was_counted() -> None:
    brand = pb.Facet(field="brand", values=["Oak", "Luma"], counts=[7, 2], missing=3, of=12)
    color = pb.Facet(field="color", values=list("abcdefghijk"), counts=[1] * 11, of=11)
    assert list(facet_lines(reply_of(HITS, facets=[brand, color]))) == [
        "brand of 12: Oak 7, Luma 2, none 3",
        "color of 11: a 1, b 1, c 1, d 1, e 1, f 1, g 1, h 1, …",
    ]


def test_the_summary_says_what_was_left_out() -> None:
    reply = reply_of(
        HITS, removals=[pb.Removal(reason="category", products=3), pb.Removal(reason="keywords")]
    )
    assert summary(reply).endswith(", 3 left out by category")


@pytest.mark.parametrize("title", ["Resistor [SMD] 10k", "mug [/] sale", "[red]alert[/red]", "a\\[b"])
def test_a_title_is_shown_as_it_is(title: str) -> None:
    """Brackets are markup to rich: unescaped they vanish, or end the program."""
    line = rendered(reply_of(HITS[:1], columns=[pb.Column(field="title", texts=[title])]))[1]
    assert " ".join(line[2:]) == title


def test_no_hit_is_a_table_without_rows() -> None:
    assert rendered(reply_of([], columns=[pb.Column(field="title")])) == [["score", "product", "title"]]


def test_the_summary_says_from_where_and_how_fast() -> None:
    reply = reply_of(HITS, timings=pb.StageTimings(total_us=1234))
    assert summary(reply) == "2 products from release 20261120T101500Z-3f9a1c, computed, 1.23 ms"
    reply = reply_of(
        HITS,
        cache_source=pb.CACHE_SOURCE_SHARED_FLIGHT,
        degradations=[pb.DEGRADATION_QUERY_TRUNCATED, pb.DEGRADATION_FEWER_THAN_K],
    )
    assert summary(reply).endswith(", shared flight, 0.00 ms, query_truncated, fewer_than_k")


def test_the_timings_name_the_stages_that_ran() -> None:
    reply = reply_of([], timings=pb.StageTimings(cache_us=10, encode_us=2500, total_us=3000))
    assert timings(reply) == "cache 0.01 ms  encode 2.50 ms  total 3.00 ms"


def test_words_and_options_reach_the_gateway(vitrine, gateway: FakeGateway) -> None:
    done = vitrine(
        "search",
        "mug",
        "-k",
        3,
        "--filter",
        "color=Red",
        "--filter",
        "price=..20",
        "--address",
        "shop.test:1",
    )
    assert done.code == 0
    assert gateway.address == "shop.test:1"
    assert gateway.closed
    (asked,) = gateway.asked
    assert (asked["text"], asked["k"], asked["picture"], asked["product_id"]) == ("mug", 3, b"", "")
    assert asked["filters"] == [parse_filter("color=Red"), parse_filter("price=..20")]
    assert "title" in asked["fields"]
    assert "mug-red" in done.out
    assert "2 products from release" in done.out


def test_a_picture_and_a_product_reach_the_gateway(vitrine, gateway: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "mug.png").write_bytes(b"a picture")
    assert vitrine("search", "--image", tmp_path / "mug.png").code == 0
    assert vitrine("search", "--like", "mug-red").code == 0
    assert [(asked["picture"], asked["product_id"]) for asked in gateway.asked] == [
        (b"a picture", ""),
        (b"", "mug-red"),
    ]


def test_every_option_reaches_the_gateway(vitrine, gateway: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "mug.png").write_bytes(b"a picture")
    options = ("--picture-weight", 0.25, "--without", "blue", "--without-weight", 1.5, "--min-score", 0.2)
    more = ("--collapse", 2, "--channels", "lexical, dense", "--facets", "brand,color", "--page-token", "abc")
    assert vitrine("search", "mug", "--image", tmp_path / "mug.png", *options, *more, "--explain").code == 0
    assert vitrine("search", "mug", "--image", tmp_path / "mug.png", "--joint").code == 0
    first, second = gateway.asked
    assert (first["picture_weight"], first["without"], first["without_weight"]) == (0.25, "blue", 1.5)
    assert (first["minimum_score"], first["per_style_group"], first["page_token"]) == (0.2, 2, "abc")
    assert first["channels"] == ChannelOptions((Channel.LEXICAL, Channel.DENSE))
    assert (list(first["facets"]), first["explain"]) == (["brand", "color"], True)
    assert (first["mixing"], second["mixing"]) == (Mixing.UNSPECIFIED, Mixing.JOINT)
    assert (second["channels"], list(second["facets"]), second["minimum_score"]) == (None, [], None)


def test_the_next_page_is_named_as_one_asks_for_it(vitrine, gateway: FakeGateway) -> None:
    token = "x" * 300
    gateway.reply = reply_of(HITS, next_page_token=token)
    assert f"--page-token {token}\n" in vitrine("search", "mug").out
    gateway.reply = None
    assert "--page-token" not in vitrine("search", "mug").out


def test_keywords_are_shown_to_who_wants_an_explanation(vitrine, gateway: FakeGateway) -> None:
    gateway.reply = reply_of(HITS, keywords=["stoneware", "[red]"])
    assert "read beside the words: stoneware, [red]" in vitrine("search", "mug", "--explain").out
    assert "stoneware" not in vitrine("search", "mug").out


def test_an_unknown_channel_is_refused_before_anything_is_asked(vitrine, gateway: FakeGateway) -> None:
    done = vitrine("search", "mug", "--channels", "dense,sparse")
    assert done.code == 2
    assert "--channels" in done.err
    assert "sparse" in done.err
    assert gateway.asked == []


def test_the_gateways_place_comes_from_the_settings(
    vitrine, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_HOST", "10.0.0.7")
    monkeypatch.setenv("VITRINE_PORT", "6000")
    assert vitrine("search", "mug").code == 0
    assert gateway.address == "10.0.0.7:6000"


@pytest.mark.usefixtures("gateway")
def test_json_is_the_reply_for_programs(vitrine) -> None:
    done = vitrine("search", "mug", "--json")
    reply = json.loads(done.out)
    assert reply["product_ids"] == ["mug-red", "mug-blue"]
    assert reply["scores"] == pytest.approx([0.91234, 0.5])


def test_explain_shows_the_stages(vitrine, gateway: FakeGateway) -> None:
    gateway.reply = reply_of(HITS, timings=pb.StageTimings(search_us=700, total_us=900))
    assert "search 0.70 ms" in vitrine("search", "mug", "--explain").out
    assert "search 0.70 ms" not in vitrine("search", "mug").out


@pytest.mark.parametrize("k", [-1, 2**32])
def test_a_k_that_no_request_can_carry_is_refused(vitrine, gateway: FakeGateway, k: int) -> None:
    done = vitrine("search", "mug", "-k", k)
    assert done.code == 2
    assert "-k" in done.err
    assert str(k) in done.err
    assert gateway.asked == []


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("m\udcffug",), "words"),
        (("--like", "m\udcffug"), "--like"),
        (("mug", "--filter", "color=\udcff"), "--filter"),
        (("mug", "--without", "\udcff"), "--without"),
        (("mug", "--page-token", "\udcff"), "--page-token"),
    ],
)
def test_words_that_are_no_utf8_are_refused(
    vitrine, gateway: FakeGateway, arguments: tuple[str, ...], field: str
) -> None:
    """So Python hands over bytes of the command line that are not UTF-8."""
    done = vitrine("search", *arguments)
    assert done.code == 2
    assert field in done.err
    assert gateway.asked == []


def test_a_wrong_filter_is_refused_before_anything_is_asked(vitrine, gateway: FakeGateway) -> None:
    done = vitrine("search", "mug", "--filter", "price=cheap")
    assert done.code == 2
    assert "--filter" in done.err
    assert gateway.asked == []


@pytest.mark.parametrize("content", [None, b""], ids=["absent", "empty"])
def test_a_picture_that_cannot_be_read_is_named(
    vitrine, gateway: FakeGateway, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "mug.png").write_bytes(content)
    done = vitrine("search", "--image", tmp_path / "mug.png")
    assert done.code == 2
    assert "mug.png" in done.err
    assert gateway.asked == []
