from pathlib import Path

import pytest

from indexing.engine_facts import cpu_flags

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
