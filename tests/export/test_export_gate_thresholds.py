import pytest

from export.gate.thresholds import GateSettings
from export.gate.verdict import missed, verdict
from export.targets import PRECISIONS
from faults import GateFailed, InvalidInput


def test_every_precision_has_limits_and_fewer_bits_are_asked_for_less() -> None:
    settings = GateSettings()
    asked = [settings.of(precision) for precision in PRECISIONS]
    assert asked[0].mean_cosine >= asked[1].mean_cosine >= asked[2].mean_cosine >= asked[3].mean_cosine
    for limits in asked:
        assert limits.mean_cosine >= limits.p1_cosine >= limits.minimum_cosine
        assert limits.minimum_cosine_in_company >= 0.99


def test_a_target_may_have_limits_of_its_own() -> None:
    settings = GateSettings()
    on_gpu = settings.of("int8", "tensorrt")
    assert on_gpu.minimum_cosine_in_company < settings.of("int8", "cpu").minimum_cosine_in_company
    assert on_gpu.mean_cosine == settings.int8.mean_cosine
    assert settings.of("fp16", "tensorrt") == settings.fp16


def test_a_set_limit_holds_on_every_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_GATE_INT8__MINIMUM_COSINE", "0.5")
    assert GateSettings().of("int8", "tensorrt").minimum_cosine == 0.5


def test_a_limit_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_GATE_INT8__MINIMUM_COSINE", "0.5")
    assert GateSettings().int8.minimum_cosine == 0.5
    assert GateSettings().int8.mean_cosine > 0.9


@pytest.mark.parametrize(
    ("name", "value"), [("INT8__MINIMUM_COSINE", "2"), ("FP32__MEAN_COSINE", "good"), ("BF16__COSINE", "1")]
)
def test_a_bad_limit_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"VITRINE_GATE_{name}", value)
    with pytest.raises(InvalidInput) as caught:
        GateSettings()
    assert caught.value.field == f"VITRINE_GATE_{name}"


@pytest.mark.parametrize(
    ("measured", "failed"),
    [
        ({"cosine": 0.9, "largest_loss": 0.1}, []),
        ({"cosine": 0.89, "largest_loss": 0.1}, ["cosine"]),
        ({"cosine": 0.9, "largest_loss": 0.11}, ["largest_loss"]),
        ({"cosine": float("nan"), "largest_loss": float("nan")}, ["cosine", "largest_loss"]),
        ({"cosine": 1.0, "largest_loss": -1.0, "unasked": float("nan")}, []),
    ],
)
def test_bounds_are_lower_ones_unless_they_say_largest(measured: dict[str, float], failed: list[str]) -> None:
    assert missed(measured, {"cosine": 0.9, "largest_loss": 0.1}) == failed


def test_a_refusal_names_what_was_missed_and_the_worst_inputs_once() -> None:
    with pytest.raises(GateFailed) as caught:
        verdict("numbers", {"cosine": 0.5}, {"cosine": 0.9}, ["a", "a", "b", "c", "d", "e", "f"])
    assert "cosine 0.5 (asked 0.9)" in caught.value.problem
    assert caught.value.value == ["a", "b", "c", "d", "e"]
    assert caught.value.field == "numbers"
