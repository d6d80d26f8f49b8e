from pathlib import Path

import pytest
from support.fake_gateway import FakeGateway

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client import SupplierScope, View
from vitrine import similar as similar_module
from vitrine.filters import parse_filter


def section(*ids: str) -> pb.Section:
    title = pb.Column(field="title", texts=[f"Title of {one}" for one in ids])
    return pb.Section(product_ids=ids, scores=[0.5] * len(ids), columns=[title])


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> FakeGateway:
    gateway = FakeGateway()
    gateway.similar_reply = pb.SearchSimilarResponse(
        same_style=section("mug-red"),
        similar=section("cup", "jug"),
        same_style_threshold=0.75,
        release_id="r1",
    )
    monkeypatch.setattr(similar_module, "RetrievalClient", gateway)
    return gateway


def test_both_sections_are_shown_with_what_parts_them(vitrine, gateway: FakeGateway) -> None:
    done = vitrine("similar", "mug-blue")
    assert done.code == 0
    places = [
        done.out.index(part) for part in ("the same style", "Title of mug-red", "similar\n", "Title of jug")
    ]
    assert places == sorted(places)
    assert "1 of the same style, 2 similar (parted at 0.750) from release r1" in done.out
    (asked,) = gateway.similar_asked
    assert (asked.product_id, asked.k, asked.view) == ("mug-blue", 10, View.UNSPECIFIED)


def test_a_release_that_was_not_calibrated_says_so(vitrine, gateway: FakeGateway) -> None:
    gateway.similar_reply = pb.SearchSimilarResponse(similar=section("cup"))
    out = vitrine("similar", "mug-blue").out
    assert "not calibrated" in out
    assert "the same style\n" not in out


def test_options_reach_the_gateway(vitrine, gateway: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "mug.png").write_bytes(b"a picture")
    given = ("--title", "red mug", "--image", tmp_path / "mug.png", "--by", "image", "-k", 3)
    assert vitrine("similar", *given, "--filter", "color=Red").code == 0
    assert vitrine("similar", "mug-blue", "--suppliers", "others", "--by", "text").code == 0
    shown, product = gateway.similar_asked
    assert (shown.product_id, shown.text, shown.picture) == ("", "red mug", b"a picture")
    assert (shown.view, shown.k, shown.filters) == (View.IMAGE, 3, [parse_filter("color=Red")])
    assert (product.suppliers, product.view) == (SupplierScope.OTHERS, View.TEXT)


@pytest.mark.usefixtures("gateway")
def test_json_is_the_reply_for_programs(vitrine) -> None:
    assert '"same_style_threshold": 0.75' in vitrine("similar", "mug-blue", "--json").out


@pytest.mark.parametrize("arguments", [("m\udcffug",), ("x", "-k", -1), ("x", "--by", "smell")])
def test_what_cannot_be_asked_is_refused(
    vitrine, gateway: FakeGateway, arguments: tuple[object, ...]
) -> None:
    assert vitrine("similar", *arguments).code == 2
    assert gateway.similar_asked == []
