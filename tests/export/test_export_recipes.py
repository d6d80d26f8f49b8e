"""Every recipe's towers through the whole export, in small: other fusion networks are other graphs."""

from pathlib import Path

import pytest
import torch
from support.tiny_shop import SIZE, tiny_catalogue

from catalog.keyword_table import KeywordTable
from export.pipeline import export_checkpoint
from export.workshop import ExportJob
from releases.export_record import KEYWORDS_FILE, version_folder
from towers.build import build_towers
from towers.checkpoint import Checkpoint, Provenance
from towers.recipe import Recipe, load_recipe, recipe_names

FROM_SCRATCH = [name for name in recipe_names() if load_recipe(name).text.initialise == "scratch"]
TEXT = {"layers": 1, "width": 32, "heads": 2, "vocabulary": 300}
PICTURES = {
    "convnet": {"size": SIZE, "channels": (8, 8)},
    "vit": {"size": SIZE, "patch": 4, "layers": 1, "width": 16, "heads": 2, "encoder": "vit"},
}


def small(recipe: Recipe, pictures: str) -> Recipe:
    """The recipe's kinds of parts at the smallest sizes."""
    query = None if recipe.query is None else {"layers": 1, "width": 16, "heads": 2}
    changes = {
        "dim": 16,
        "max_query_tokens": 12,
        "max_product_tokens": 16,
        "text": {**recipe.text.model_dump(), **TEXT},
        "query": query,
        "image": {**recipe.image.model_dump(), **PICTURES[pictures]},
    }
    return Recipe.model_validate({**recipe.model_dump(), **changes})


def untrained(recipe: Recipe) -> Checkpoint:
    """Towers whose every weight was moved: begun at zero, a gate or a residual path would hide a fault."""
    torch.manual_seed(0)
    towers = build_towers(recipe, [product.title for product in tiny_catalogue().products])
    with torch.no_grad():
        for module in towers.modules():
            for value in module.state_dict().values():
                if value.is_floating_point():
                    value += 0.2 * torch.rand_like(value)
    towers.train(False)
    keywords = KeywordTable({"lamp": ("reading",)}) if recipe.reads_keywords else None
    return Checkpoint(towers, recipe, Provenance("tests", "0" * 64, "tiny-shop", 12, 24), keywords)


@pytest.mark.parametrize(
    ("name", "pictures"), [*((name, "convnet") for name in FROM_SCRATCH), ("sample", "vit")]
)
def test_its_towers_pass_both_gates(name: str, pictures: str, shop: Path, tmp_path: Path) -> None:
    checkpoint = untrained(small(load_recipe(name), pictures))
    query, product = export_checkpoint(ExportJob(checkpoint, tmp_path / "repository", shop))
    assert all(gate.passed for gate in (*query.gates, *product.gates))
    words = version_folder(tmp_path / "repository", query) / KEYWORDS_FILE
    assert words.is_file() == (checkpoint.keywords is not None)
    assert not (version_folder(tmp_path / "repository", product) / KEYWORDS_FILE).exists()
