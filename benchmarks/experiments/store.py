"""Where the results of experiments lie, so that a run that was stopped goes on.

<folder>/shops/...               the drawn shops
<folder>/arms/<key>/trained.json what was trained, how long it took, with which code
<folder>/arms/<key>/checkpoint   the towers
<folder>/arms/<key>/progress     of a training under way
<folder>/arms/<key>/<measure>-<hash>.npz
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.experiments.arms import Arm, recipe_of, training_key
from benchmarks.experiments.measures.findings import Findings, read_findings, write_findings
from benchmarks.experiments.measures.registry import file_name
from benchmarks.experiments.scale import Scale
from catalog.atomic import make_folder, write_atomically
from faults import VitrineError
from towers.checkpoint import Checkpoint, load_checkpoint
from towers.recipe import Recipe

__all__ = ["CPU_S", "Store", "Training"]

CPU_S = "cpu_s"
"""Among the findings: what it took to measure them."""


@dataclass(frozen=True)
class Training:
    """How a training went.

    Attributes:
        cpu_s: processor seconds, of all its sittings.
        parameters: weights of both towers, each once.
        losses: the mean loss of each tenth of the last stage.
        code: hash of the towers' code that trained it.
    """

    cpu_s: float
    parameters: int
    losses: tuple[float, ...]
    code: str


class Store:
    """The results of one scale.

    Args:
        folder: made where it does not exist.
        scale: sizes of the run.
    """

    def __init__(self, folder: Path, scale: Scale) -> None:
        self.scale = scale
        self.folder = folder / scale.name
        self.shops = self.folder / "shops"

    def recipe(self, arm: Arm, seed: int) -> Recipe:
        """Returns the arm's recipe; raises InvalidInput where it does not validate."""
        return recipe_of(arm, self.scale, seed)

    def place(self, arm: Arm, seed: int) -> Path:
        """Returns the folder of an arm at a seed; raises InvalidInput where its recipe does not validate."""
        return self.folder / "arms" / training_key(arm, self.recipe(arm, seed), self.scale)

    def training(self, arm: Arm, seed: int) -> Training | None:
        """Returns how the arm's training went; None where it has not ended."""
        try:
            found = json.loads((self.place(arm, seed) / "trained.json").read_text(encoding="utf-8"))
            return Training(**{**found, "losses": tuple(found["losses"])})
        except (OSError, ValueError, TypeError, VitrineError):
            return None

    def write_training(self, arm: Arm, seed: int, training: Training) -> None:
        """Notes that an arm is trained; its checkpoint must be on disk."""
        folder = self.place(arm, seed)
        make_folder(folder)
        content = json.dumps(asdict(training), indent=1).encode()
        write_atomically(folder / "trained.json", lambda stream: stream.write(content))

    def checkpoint(self, arm: Arm, seed: int) -> Checkpoint:
        """Returns the trained towers; raises NotFound where they are not trained yet."""
        return load_checkpoint(self.place(arm, seed) / "checkpoint")

    def findings(self, arm: Arm, seed: int, measure: str) -> Findings | None:
        """Returns what was measured; None where it was not measured yet."""
        try:
            return read_findings(self.place(arm, seed) / file_name(measure))
        except VitrineError:
            return None

    def has(self, arm: Arm, seed: int, measure: str) -> bool:
        """Tells whether something was measured, without reading it."""
        return (self.place(arm, seed) / file_name(measure)).is_file()

    def write(self, arm: Arm, seed: int, measure: str, findings: Findings, cpu_s: float = 0.0) -> None:
        """Keeps what was measured, and the processor seconds that it took."""
        path = self.place(arm, seed) / file_name(measure)
        write_findings(path, {**findings, CPU_S: np.array(cpu_s)})
