import pytest
import torch
from support.tiny_shop import tiny_recipe

from faults import InvalidInput
from towers import build
from towers.build import build_towers
from towers.encoders.text_encoder import TextEncoder, TextEncoderConfig

TEXTS = ["red mug", "blue lamp", "green chair"]
SMALL = TextEncoderConfig(vocabulary=300, width=32, layers=3, heads=2, feedforward=64, positions=16)


@pytest.fixture
def pretrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pretrained checkpoint of three layers, without the package that carries one."""
    tokenizer = build_towers(tiny_recipe(), TEXTS).tokenizer
    monkeypatch.setattr(build, "minilm_folder", lambda: None)
    monkeypatch.setattr(build, "load_text_encoder", lambda _: TextEncoder(SMALL))
    monkeypatch.setattr(build, "load_tokenizer", lambda _: tokenizer)


def test_towers_from_scratch_have_the_recipes_sizes() -> None:
    towers = build_towers(tiny_recipe(text={"layers": 2}), TEXTS)
    config = towers.query.encoder.config
    assert (config.layers, config.width, config.positions) == (2, 32, 16)
    assert config.vocabulary == towers.tokenizer.vocabulary_size
    ids = torch.tensor(towers.tokenizer.encode(["red mug"], 12))
    assert towers.query(ids, torch.ones_like(ids)).shape == (1, 16)


def test_the_two_towers_share_no_weight() -> None:
    towers = build_towers(tiny_recipe(), TEXTS)
    of_query = {parameter.data_ptr() for parameter in towers.query.parameters()}
    assert not of_query & {parameter.data_ptr() for parameter in towers.product.parameters()}


@pytest.mark.usefixtures("pretrained")
@pytest.mark.parametrize(("trainable", "free"), [(1, {"2"}), (2, {"1", "2"}), (3, {"0", "1", "2"})])
def test_only_the_layers_asked_for_are_tuned(trainable: int, free: set[str]) -> None:
    towers = build_towers(tiny_recipe(text={"initialise": "minilm", "trainable_layers": trainable}), TEXTS)
    for tower in (towers.query, towers.product):
        tuned = [name for name, parameter in tower.encoder.named_parameters() if parameter.requires_grad]
        assert {name.split(".")[1] for name in tuned} == free


@pytest.mark.usefixtures("pretrained")
def test_more_trainable_layers_than_there_are_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        build_towers(tiny_recipe(text={"initialise": "minilm", "trainable_layers": 4}), TEXTS)
    assert caught.value.field == "recipe.text.trainable_layers"
    assert caught.value.value == 4
    assert "3" in caught.value.fix


@pytest.mark.usefixtures("pretrained")
def test_texts_longer_than_the_encoder_has_places_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        build_towers(tiny_recipe(text={"initialise": "minilm"}, max_product_tokens=17), TEXTS)
    assert caught.value.value == 17
    assert "16" in caught.value.fix
