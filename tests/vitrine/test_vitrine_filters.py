import pytest

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from vitrine.filters import parse_filter


def values(*given: str) -> pb.Values:
    return pb.Values(values=given)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("color=Red", pb.Filter(field="color", any_of=values("Red"))),
        ("color=Red|Blue", pb.Filter(field="color", any_of=values("Red", "Blue"))),
        ("brand!=Luma", pb.Filter(field="brand", none_of=values("Luma"))),
        ("brand != Luma|Vela", pb.Filter(field="brand", none_of=values("Luma", "Vela"))),
        ("subcategory=Men > Tops", pb.Filter(field="subcategory", any_of=values("Men > Tops"))),
        ("style_group=a=b", pb.Filter(field="style_group", any_of=values("a=b"))),
        ("color=in_stock", pb.Filter(field="color", any_of=values("in_stock"))),
        ("unheard_of=1", pb.Filter(field="unheard_of", any_of=values("1"))),  # the gateway refuses it
        ("price=10..50", pb.Filter(field="price", range=pb.Range(minimum=10, maximum=50))),
        ("price=10.5..", pb.Filter(field="price", range=pb.Range(minimum=10.5))),
        ("price=..50", pb.Filter(field="price", range=pb.Range(maximum=50))),
        ("price=20", pb.Filter(field="price", range=pb.Range(minimum=20, maximum=20))),
    ],
)
def test_each_form_means_one_condition(text: str, expected: pb.Filter) -> None:
    assert parse_filter(text) == expected


def test_a_range_without_an_end_is_open_there() -> None:
    low, high = (parse_filter(text).range for text in ("price=0..", "price=..0"))
    assert (low.HasField("minimum"), low.HasField("maximum")) == (True, False)
    assert (high.HasField("minimum"), high.HasField("maximum")) == (False, True)


@pytest.mark.parametrize(("text", "flag"), [("true", True), ("Yes", True), ("FALSE", False), ("no", False)])
def test_in_stock_is_a_truth_value_even_where_it_is_false(text: str, flag: bool) -> None:
    found = parse_filter(f"in_stock={text}")
    assert found.WhichOneof("condition") == "is"
    assert getattr(found, "is") is flag


@pytest.mark.parametrize(
    "text",
    ["", "color", "=Red", "!=Red", "color=", "color!=", " = ", "price=cheap", "price=1..x", "in_stock=maybe"],
)
def test_anything_else_is_refused_with_examples_of_what_is_right(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_filter(text)
    assert caught.value.field == "--filter"
    assert caught.value.value == text
    assert "price=10..50" in caught.value.fix
