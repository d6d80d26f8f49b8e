from pathlib import Path

import pytest
from support.exported_pairs import make_record, tiny_tokenizer, write_pair, write_plan

from faults import InvalidInput, Mismatch
from indexing.engine_facts import cpu_flags, engine_part, plans_of
from indexing.release_builder import newest_towers

TOWERS = ("query_tower", "product_tower")
PROFILES = [{"batch": (1, 16, 64), "length": (8, 8, 16)}]
X86 = "processor : 0\nmodel name : Some CPU\nflags\t\t: fpu sse2 avx512f avx2 amx_tile avx2\nflags : sve\n"
ARM = "processor : 0\nFeatures\t: fp asimd evtstrm sve\n"


@pytest.mark.parametrize(
    ("text", "flags"),
    [(X86, ("amx_tile", "avx2", "avx512f")), (ARM, ("asimd", "sve")), ("processor : 0\n", ()), ("", ())],
    ids=["x86", "arm", "silent", "empty"],
)
def test_the_simd_levels_that_matter_are_named(tmp_path: Path, text: str, flags: tuple[str, ...]) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_flags(tmp_path / "cpuinfo") == flags


def test_a_machine_that_does_not_say_has_none(tmp_path: Path) -> None:
    assert cpu_flags(tmp_path / "absent") == ()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A pair of the target tensorrt, without plans yet."""
    write_pair(tmp_path, of_both={"target": "tensorrt", "profiles": PROFILES})
    return tmp_path


def test_a_release_names_every_gpu_and_tensorrt_that_its_plans_are_for(repository: Path) -> None:
    for tower in TOWERS:
        write_plan(repository / tower / "1", "9.0", tensorrt_version="10.13.3.9")
        write_plan(repository / tower / "1", "8.9", tensorrt_version="10.14.1.48")
    towers = newest_towers(repository)
    assert towers.spec.target == "tensorrt"
    part = engine_part(towers.query, towers.plans)
    assert part.target == "tensorrt"
    assert part.compute_capability == "8.9, 9.0"
    assert part.tensorrt_version == "10.14.1.48, 10.13.3.9"
    assert part.cpu_flags == cpu_flags()


def test_one_kind_of_gpu_is_named_once(repository: Path) -> None:
    for tower in TOWERS:
        write_plan(repository / tower / "1", "9.0")
    towers = newest_towers(repository)
    part = engine_part(towers.query, towers.plans)
    assert (part.compute_capability, part.tensorrt_version) == ("9.0", "10.13.3.9")


def test_other_targets_have_neither(tmp_path: Path) -> None:
    write_pair(tmp_path)
    towers = newest_towers(tmp_path)
    assert towers.plans == ()
    part = engine_part(towers.query, towers.plans)
    assert (part.compute_capability, part.tensorrt_version) == (None, None)
    assert (part.target, part.runtime) == ("cpu", "onnxruntime 1.0.0")


def test_a_tensorrt_pair_without_any_plan_makes_no_release(repository: Path) -> None:
    with pytest.raises(Mismatch, match="compute capabilities"):
        newest_towers(repository)


def test_towers_with_plans_for_different_gpus_make_no_release(repository: Path) -> None:
    write_plan(repository / "query_tower" / "1", "9.0")
    write_plan(repository / "product_tower" / "1", "8.9")
    with pytest.raises(Mismatch) as caught:
        newest_towers(repository)
    assert (caught.value.expected, caught.value.found) == (["9.0"], ["8.9"])
    assert "--target tensorrt" in caught.value.fix


def test_a_plan_of_another_network_makes_no_release(repository: Path) -> None:
    write_plan(repository / "query_tower" / "1", "9.0")
    write_plan(repository / "product_tower" / "1", "9.0", onnx_sha256="f" * 64)
    with pytest.raises(Mismatch, match="onnx_sha256 of product_tower's plan") as caught:
        newest_towers(repository)
    assert caught.value.found == "f" * 64


def test_a_damaged_manifest_is_named(repository: Path) -> None:
    write_plan(repository / "query_tower" / "1", "9.0")
    (repository / "query_tower" / "1" / "engine.cc90.json").write_text("{")
    query, product = (make_record(tower, tiny_tokenizer(), target="tensorrt") for tower in TOWERS)
    with pytest.raises(InvalidInput, match="engine manifest"):
        plans_of(repository, query, product)
