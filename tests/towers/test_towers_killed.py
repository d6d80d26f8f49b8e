"""SIGKILL in the middle of a training, and on from there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import sys
from pathlib import Path
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe
from safetensors.torch import save_file
from towers.training.resume import ProgressFolder
from towers.training.train import train
shop = tiny_catalogue()
recipe = tiny_recipe(retrieval={"steps": 80, "modality_dropout": 0.3})
progress = ProgressFolder(Path("progress"), print, every_steps=1) if sys.argv[1] == "keep" else None
print("begins", flush=True)
on_step = lambda step: print("step", step.number, flush=True)
done = train(recipe, shop, tiny_clicks(shop), tiny_pictures(shop), on_step, progress)
save_file({**{f"q.{k}": v for k, v in done.towers.query.state_dict().items()},
           **{f"p.{k}": v for k, v in done.towers.product.state_dict().items()}}, sys.argv[2])
"""


def started(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_training_killed_while_it_trains_and_writes_ends_in_the_same_file(tmp_path: Path) -> None:
    for until, pause_s in ((10, 0.0), (30, 0.003)):
        with started(tmp_path, "keep", "never") as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("step") and int(line.split()[1]) >= until:
                    break
            time.sleep(pause_s)  # not at the same moment of a step
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    for arguments in (("keep", "resumed"), ("alone", "whole")):
        with started(tmp_path, *arguments) as process:
            said, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        if arguments[0] == "keep":
            began = int(said.split("going on from step ")[1].split()[0])
            assert 29 <= began < 80
            assert f"\nstep {began}\n" not in said
    assert not (tmp_path / "never").exists()
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()
