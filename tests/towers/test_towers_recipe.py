from pathlib import Path

import pytest

from faults import InvalidInput, NotFound
from towers.recipe import Recipe, load_recipe, recipe_names


def recipe_file(folder: Path, text: str) -> str:
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    return str(folder / "mine.toml")


def test_every_recipe_that_comes_with_vitrine_loads_under_its_name() -> None:
    assert {"sample", "catalogue"} <= set(recipe_names())
    for name in recipe_names():
        assert load_recipe(name).name == name


def test_a_file_of_ones_own_is_read_and_the_rest_keeps_its_defaults(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(tmp_path, 'name = "mine"\ndim = 24\n[training]\nsteps = 7\n'))
    assert (recipe.name, recipe.dim, recipe.training.steps) == ("mine", 24, 7)
    assert recipe.text == Recipe(name="any").text


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("dim = 4", "recipe.dim", 4),
        ("colour = 1", "recipe.colour", 1),
        ("[text]\nlayers = 0", "recipe.text.layers", 0),
        ('[text]\ninitialise = "bert"', "recipe.text.initialise", "bert"),
        ("[text]\nwidth = 100\nheads = 3", "recipe.text.heads", 3),
        ('[image]\nsize = "large"', "recipe.image.size", "large"),
        ("[image]\nchannels = []", "recipe.image.channels", []),
        ("[image]\nchannels = [8, 0]", "recipe.image.channels.1", 0),
        ("[training]\nmodality_dropout = 0.5", "recipe.training.modality_dropout", 0.5),
        ("[training]\nlearning_rate = -1.0", "recipe.training.learning_rate", -1.0),
        ("[training]\nstep = 5", "recipe.training.step", 5),
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
