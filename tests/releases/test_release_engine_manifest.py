from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from faults import InvalidInput
from releases.engine_manifest import (
    EngineManifest,
    engine_manifests,
    manifest_name,
    plan_name,
    plans_in,
    read_engine_manifest,
)
from releases.export_record import OptimisationProfile
from releases.token_lengths import token_step


def make_manifest(compute_capability: str = "9.0", **changes: Any) -> EngineManifest:
    fields: dict[str, Any] = {
        "model": "query_tower",
        "precision": "fp16",
        "compute_capability": compute_capability,
        "gpu": "a GPU",
        "tensorrt_version": "10.13.3.9",
        "onnx_sha256": "0" * 64,
        "plan_sha256": "1" * 64,
        "profiles": [{"batch": (1, 8, 64), "length": (8, 16, 32)}],
        "flags": {"builder_optimization_level": 3},
        "command": "vitrine export --target tensorrt",
    }
    return EngineManifest.model_validate({**fields, **changes})


def write(folder: Path, capability: str) -> EngineManifest:
    manifest = make_manifest(capability)
    (folder / plan_name(capability)).write_bytes(b"a plan")
    (folder / manifest_name(capability)).write_text(manifest.model_dump_json())
    return manifest


def test_files_are_named_after_the_compute_capability() -> None:
    assert (plan_name("9.0"), manifest_name("9.0")) == ("model.cc90.plan", "engine.cc90.json")
    assert (plan_name("12.1"), manifest_name("12.1")) == ("model.cc121.plan", "engine.cc121.json")


def test_a_folders_manifests_come_by_compute_capability(tmp_path: Path) -> None:
    written = [write(tmp_path, capability) for capability in ("12.0", "8.9", "9.0")]
    assert plans_in(tmp_path) == {"8.9", "9.0", "12.0"}
    assert engine_manifests(tmp_path) == (written[1], written[2], written[0])
    assert read_engine_manifest(tmp_path / "engine.cc120.json") == written[0]


def test_only_plans_with_their_manifests_count(tmp_path: Path) -> None:
    write(tmp_path, "9.0")
    (tmp_path / plan_name("8.9")).write_bytes(b"a plan whose manifest was never written")
    (tmp_path / manifest_name("8.6")).write_text(make_manifest("8.6").model_dump_json())
    for stray in ("", "9x"):
        (tmp_path / f"model.cc{stray}.plan").write_bytes(b"")
        (tmp_path / f"engine.cc{stray}.json").write_bytes(b"")
    assert plans_in(tmp_path) == {"9.0"}
    assert [manifest.compute_capability for manifest in engine_manifests(tmp_path)] == ["9.0"]


def test_a_damaged_manifest_says_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "engine.cc90.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"engine\.cc90\.json") as caught:
        read_engine_manifest(tmp_path / "engine.cc90.json")
    assert caught.value.value == str(tmp_path)
    with pytest.raises(InvalidInput):
        read_engine_manifest(tmp_path / "engine.cc89.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("compute_capability", "90"),
        ("compute_capability", "sm_90"),
        ("profiles", []),
        ("onnx_sha256", "abc"),
        ("model", "some_tower"),
        ("strange", 1),
    ],
)
def test_a_manifest_that_would_be_misread_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        make_manifest(**{field: value})


@pytest.mark.parametrize("bounds", [(2, 1, 3), (1, 3, 2), (0, 1, 2)])
def test_a_profiles_bounds_are_in_order(bounds: tuple[int, int, int]) -> None:
    for field in ("batch", "length"):
        with pytest.raises(ValidationError):
            OptimisationProfile.model_validate({"batch": (1, 1, 1), "length": (1, 1, 1), field: bounds})


def test_a_profile_is_short_in_messages() -> None:
    profile = OptimisationProfile(batch=(1, 8, 64), length=(8, 16, 32))
    assert repr((profile,)) == "(1/8/64 x 8/16/32,)"


def test_only_the_cpu_target_pads_nothing() -> None:
    assert [token_step(target) for target in ("cpu", "onnxruntime", "tensorrt")] == [1, 8, 8]
