"""The zero-shot measurement: a source has no part in the training that it is measured with."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.tiny_shop import tiny_recipe, write_tiny_shop

from benchmarks.quality import other_shop
from benchmarks.quality.other_shop import Shops, read_shops, results
from catalog.catalogue import Catalogue
from catalog.schema import EvaluationQuery
from faults import InvalidInput

SOURCES = ("mugs", "lamps", "chairs")


@pytest.fixture
def shops(tmp_path: Path) -> Shops:
    """The tiny shop, each thing from a source of its own."""
    folder = write_tiny_shop(tmp_path / "shop")
    table = pq.read_table(folder / "products.parquet")
    sources = [name.split("-")[0] + "s" for name in table.column("product_id").to_pylist()]
    pq.write_table(table.append_column("source", pa.array(sources)), folder / "products.parquet")
    return read_shops(folder)


@pytest.fixture
def untuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for MiniLM, whose package may be absent: every product alike."""

    def vectors(asked: list[EvaluationQuery], corpus: Catalogue) -> tuple[np.ndarray, np.ndarray]:
        return np.ones((len(asked), 1), np.float32), np.ones((len(corpus), 1), np.float32)

    monkeypatch.setattr(other_shop, "untuned_vectors", vectors)


def test_a_source_and_the_rest_make_the_whole(shops: Shops) -> None:
    mugs, rest = shops.of("mugs"), shops.without("mugs")
    assert len(mugs) == 4
    assert len(rest) == 8
    assert not set(mugs.ids) & set(rest.ids)
    assert {click.product_id for click in shops.clicks(rest, 0)} <= set(rest.ids)


def test_an_unknown_source_is_named_with_those_that_are_known(shops: Shops) -> None:
    with pytest.raises(InvalidInput, match="no such source") as raised:
        shops.of("spoons")
    assert "lamps" in str(raised.value)


@pytest.mark.usefixtures("untuned")
def test_training_sees_nothing_of_the_source(
    shops: Shops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    real = other_shop.train

    def watched(recipe: Any, catalogue: Catalogue, clicks: Any, *rest: Any, **more: Any) -> Any:
        seen.update(catalogue=catalogue.ids, clicked={click.product_id for click in clicks}, **more)
        return real(recipe, catalogue, clicks, *rest, **more)

    stream = io.BytesIO()
    Image.new("RGB", (20, 20), (9, 9, 9)).save(stream, "PNG")
    columns = {"group_id": ["mug-red", "lamp-red"], "jpeg": [stream.getvalue()] * 2}
    pq.write_table(pa.table(columns), tmp_path / "images.parquet")
    shops = read_shops(shops.folder, tmp_path)
    monkeypatch.setattr(other_shop, "train", watched)
    (result,) = results(shops, ["mugs"], tiny_recipe(), tmp_path / "out")
    assert not [name for name in (*seen["catalogue"], *seen["clicked"]) if name.startswith("mug")]
    assert seen["photographs"].groups == ("lamp-red",)
    assert (result["products"], result["trained_on"]) == (4, 8)
    assert result["towers"]["queries"] == result["untuned"]["queries"] == 1  # lamp's has nothing in there


@pytest.mark.usefixtures("untuned")
def test_what_was_measured_is_not_measured_again(
    shops: Shops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = results(shops, ["mugs", "lamps"], tiny_recipe(), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "tiny-lamps.json",
        "tiny-mugs.json",
    ]

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(other_shop, "train", never)
    assert results(shops, ["mugs", "lamps"], tiny_recipe(), tmp_path / "out") == json.loads(json.dumps(first))
    with pytest.raises(AssertionError, match="trained again"):
        results(shops, ["mugs"], tiny_recipe(seed=1), tmp_path / "out")
