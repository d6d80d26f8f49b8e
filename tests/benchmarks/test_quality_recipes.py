"""The table of recipes: trained on what is not held out, measured on all and on the rest, kept."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.tiny_shop import tiny_recipe, write_tiny_shop

from benchmarks.quality import recipes
from catalog.held_out import is_held_out_product
from catalog.readers import read_catalogue


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_tiny_shop(tmp_path / "shop")


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The catalogues that were trained on."""
    seen: list[Any] = []
    real = recipes.train

    def watched(recipe: Any, catalogue: Any, *rest: Any, **more: Any) -> Any:
        seen.append(catalogue)
        return real(recipe, catalogue, *rest, **more)

    monkeypatch.setattr(recipes, "train", watched)
    monkeypatch.setattr(recipes, "load_recipe", lambda _: tiny_recipe())
    return seen


def run(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    recipes.main(["--catalog", str(shop), "--recipes", "sample", "--out", str(out)])
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_a_recipe_is_trained_without_the_held_out_products_and_kept(
    shop: Path, trainings: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(shop, tmp_path / "out", capsys)
    (result,) = found["recipes"]
    whole = read_catalogue(shop)
    assert len(trainings) == 1
    assert not [product for product in trainings[0].products if is_held_out_product(product)]
    assert result["products"] == len(whole) > result["trained_on"] == len(trainings[0])
    assert result["whole"]["queries"] >= result["held_out"]["queries"]
    assert run(shop, tmp_path / "out", capsys) == found
    assert len(trainings) == 1, "an earlier result is not computed again"
