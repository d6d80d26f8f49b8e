"""Arms: what changes do to a recipe, and which trainings are the same one."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.experiments.arm_list import ARMS
from benchmarks.experiments.arms import Arm, merged, recipe_of, training_key
from benchmarks.experiments.measures.registry import AFTER_TRAINING, MEASURES
from benchmarks.experiments.rows import REAL_ROWS, ROWS
from benchmarks.experiments.scale import FULL, QUICK, Scale
from benchmarks.experiments.variants import Variant
from faults import InvalidInput

BASE = ARMS["base"]


def key(arm: Arm, scale: Scale = FULL, seed: int = 0) -> str:
    return training_key(arm, recipe_of(arm, scale, seed), scale)


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=lambda scale: scale.name)
@pytest.mark.parametrize("name", ARMS)
def test_every_arm_is_a_recipe_of_the_towers(name: str, scale: Scale) -> None:
    recipe = recipe_of(ARMS[name], scale, seed=3)
    assert (recipe.name, recipe.seed) == (name, 3)
    assert all(stage.steps <= scale.steps and stage.batch <= scale.batch for stage in recipe.stages)


def test_every_claim_names_arms_and_measures_that_exist() -> None:
    rows = (*ROWS.values(), *REAL_ROWS.values())
    needs = [need for row in rows for claim in row.claims for need in claim.needs]
    assert {arm for arm, _ in needs} <= set(ARMS)
    assert {measure for _, measure in needs} <= {*MEASURES, AFTER_TRAINING}
    # S12 and C6 are of other sections; all of A1-A9, B1-B7, C1-C5 and D1-D9 are there.
    wanted = {
        f"{system}{place}"
        for system, last in zip("ABCD", (9, 7, 5, 9), strict=True)
        for place in range(1, last + 1)
    }
    assert wanted <= set(ROWS)
    assert all(row.claims for row in ROWS.values())


def test_no_arm_is_trained_for_nothing() -> None:
    rows = (*ROWS.values(), *REAL_ROWS.values())
    needed = {arm for row in rows for claim in row.claims for arm, _ in claim.needs}
    assert set(ARMS) == needed


@pytest.mark.parametrize(
    ("base", "changes", "expected"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": 1}, {"b": {"c": 1}}, {"a": 1, "b": {"c": 1}}),
        (
            {"stages": [{"x": 1}, {"x": 2}]},
            {"stages": {-1: {"y": 3}}},
            {"stages": [{"x": 1}, {"x": 2, "y": 3}]},
        ),
        ({"stages": [{"x": 1}]}, {"stages": [{"z": 1}]}, {"stages": [{"z": 1}]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
    ],
)
def test_changes_are_laid_over_a_recipe(base: Any, changes: Any, expected: Any) -> None:
    before = repr(base)
    assert merged(base, changes) == expected
    assert repr(base) == before


def test_what_does_not_validate_is_refused_by_arm_and_field() -> None:
    arm = Arm("wishful", "", changes={"fusion": {"kind": "telepathy"}})
    with pytest.raises(InvalidInput, match=r"fusion.kind: .*wishful") as caught:
        recipe_of(arm, FULL, 0)
    assert caught.value.value == "telepathy"


def test_arms_of_one_recipe_are_one_training() -> None:
    assert key(BASE) == key(replace(BASE, name="other", says="the same"))


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, changes={"dim": 32}),
        replace(BASE, data=Variant(noise=0.1)),
        replace(BASE, devices=2),
    ],
)
def test_another_recipe_log_or_number_of_devices_is_another_training(other: Arm) -> None:
    assert key(other) != key(BASE)


def test_another_seed_or_scale_is_another_training() -> None:
    assert len({key(BASE), key(BASE, seed=1), key(BASE, QUICK)}) == 3


def test_the_shared_encoder_has_about_the_weights_of_two() -> None:
    separate, shared = (recipe_of(ARMS[name], FULL, 0).text for name in ("base", "shared_encoder"))

    def weights(width: int, layers: int) -> int:
        return separate.vocabulary * width + layers * 12 * width * width

    ratio = weights(shared.width, shared.layers) / (2 * weights(separate.width, separate.layers))
    assert 0.8 < ratio < 1.25
