"""What the first parts leave for the later ones: findings, and files in the work folder."""

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.gpu_check.parts import Recorder
from benchmarks.gpu_check.result import Result
from benchmarks.gpu_check.scale import TINY, Scale

SMALLEST: Scale = replace(TINY, recipes=("tiny",), lengths=(8, 16, 24), vectors=2000, queries=16)
"""The tiny towers hold 16 positions: the last length is beyond them."""


@dataclass(frozen=True)
class Rehearsal:
    """The first parts' findings, and where their files lie."""

    work: Path
    checkpoint: Path
    so_far: Result

    def recorder(self, path: Path, **parts: Result) -> Recorder:
        every = {**self.so_far["parts"], **{name: {"result": found} for name, found in parts.items()}}
        return Recorder(path / "part.json", 120.0, {"parts": every})
