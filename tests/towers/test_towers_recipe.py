from pathlib import Path

import pytest

from faults import InvalidInput, NotFound
from towers.recipe import TextRecipe, load_recipe, recipe_names

STAGE = '[[stages]]\nkind = "retrieval"\nsteps = 7\n'


def recipe_file(folder: Path, text: str) -> str:
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    return str(folder / "mine.toml")


def test_every_recipe_that_comes_with_vitrine_loads_under_its_name() -> None:
    assert {"sample", "catalogue"} <= set(recipe_names())
    for name in recipe_names():
        assert load_recipe(name).name == name


def test_a_file_of_ones_own_is_read_and_the_rest_keeps_its_defaults(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(tmp_path, f'name = "mine"\ndim = 24\n{STAGE}'))
    assert (recipe.name, recipe.dim, recipe.stages[0].steps) == ("mine", 24, 7)
    assert recipe.text == TextRecipe()


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("dim = 4", "recipe.dim", 4),
        ("colour = 1", "recipe.colour", 1),
        ("[text]\nlayers = 0", "recipe.text.layers", 0),
        ('[text]\ninitialise = ""', "recipe.text.initialise", ""),
        ("[text]\nwidth = 100\nheads = 3", "recipe.text.heads", 3),
        ('[image]\nsize = "large"', "recipe.image.size", "large"),
        ("[image]\nchannels = []", "recipe.image.channels", []),
        ("[image]\nchannels = [8, 0]", "recipe.image.channels.1", 0),
        (f"{STAGE}modality_dropout = 0.5", "recipe.stages.0.retrieval.modality_dropout", 0.5),
        (f"{STAGE}learning_rate = -1.0", "recipe.stages.0.retrieval.learning_rate", -1.0),
        (f"{STAGE}step = 5", "recipe.stages.0.retrieval.step", 5),
    ],
)
def test_a_wrong_field_is_named_with_its_value(tmp_path: Path, line: str, field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_recipe(recipe_file(tmp_path, f'name = "mine"\n{line}\n'))
    assert caught.value.field == field
    assert caught.value.value == value


def test_a_recipe_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_recipe(recipe_file(tmp_path, "dim = 16"))
    assert caught.value.field == "recipe.name"


@pytest.mark.parametrize("content", [b"name = mine", b'name = "caf\xe9"'], ids=["no TOML", "no UTF-8"])
def test_what_is_no_toml_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        load_recipe(str(path))
    assert caught.value.value == str(path)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(NotFound) as caught:
        load_recipe("no-such-recipe")
    assert caught.value.value == "no-such-recipe"
    assert all(name in caught.value.fix for name in recipe_names())
