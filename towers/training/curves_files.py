"""The curves of a training as files of its checkpoint, which come and go with it.

curves.json           the numbers
curves.png            the same to look at
tensorboard/events…   the same for TensorBoard
"""

from __future__ import annotations

import json
from pathlib import Path

from towers.training.curves import Curves, curves_json, stage_curves
from towers.training.curves_events import write_events
from towers.training.curves_picture import draw


def write_curves(curves: Curves, folder: Path) -> None:
    """Writes the three into a folder that exists, and has none yet.

    Raises:
        OSError: the disk refused.
    """
    stages = stage_curves(curves)
    (folder / "curves.json").write_text(json.dumps(curves_json(curves)) + "\n", encoding="utf-8")
    (folder / "curves.png").write_bytes(draw(stages, curves.metrics))
    (folder / "tensorboard").mkdir()
    write_events(stages, curves.metrics, folder / "tensorboard")
