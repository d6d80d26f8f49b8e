"""One recipe's system on another recipe's encoders."""

import pytest

from faults import InvalidInput
from towers.borrowed_encoders import on_encoders_of
from towers.recipe import Recipe, load_recipe
from towers.stage_recipes import RetrievalStageRecipe

SYSTEMS = ("make", "delving", "beyond_text", "same_style")


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_system_stays_and_the_encoders_come_from_the_other(name: str) -> None:
    base, own = load_recipe("catalogue"), load_recipe(name)
    found = on_encoders_of(base, own)
    assert (found.name, found.fusion, found.keywords) == (own.name, own.fusion, own.keywords)
    assert found.text == base.text.model_copy(update={"shared": own.text.shared})
    assert (found.image.channels, found.image.size) == (base.image.channels, base.image.size)
    assert (found.image.views, found.image.pooling) == (own.image.views, own.image.pooling)
    assert found.query is None
    assert Recipe.model_validate(found.model_dump()) == found


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_picture_encoder_learns_first_and_all_stages_follow_at_the_encoders_rates(name: str) -> None:
    base, own = load_recipe("catalogue"), load_recipe(name)
    found = on_encoders_of(base, own)
    ahead = len(found.stages) - len(own.stages)
    assert found.stages[:ahead] == base.stages[:ahead]
    assert ahead >= 1
    usual = next(stage for stage in base.stages if isinstance(stage, RetrievalStageRecipe))
    for stage, before in zip(found.stages[ahead:], own.stages, strict=True):
        assert (stage.kind, stage.steps) == (before.kind, before.steps)
        assert stage.learning_rate == usual.learning_rate
        assert getattr(stage, "text_learning_rate", None) == usual.text_learning_rate


def test_what_cannot_be_is_refused_with_field_value_and_fix() -> None:
    catalogue, distilled = load_recipe("catalogue"), load_recipe("distilled")
    for base, recipe in ((distilled, catalogue), (catalogue, distilled)):
        with pytest.raises(InvalidInput) as caught:
            on_encoders_of(base, recipe)
        assert (caught.value.field, caught.value.value) == ("--encoders", base.name)
        assert caught.value.fix
