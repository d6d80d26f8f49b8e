"""Runs a program of ours with only a lock's distributions importable, as in an image made from that lock.

python only_these.py LOCK module [arguments]     like python -m
python only_these.py LOCK file.py [arguments]
python only_these.py LOCK --import module,module
"""

import importlib
import re
import runpy
import sys
from importlib.metadata import packages_distributions
from pathlib import Path


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class OnlyThese:
    """Finder that goes first and refuses the top-level modules of every other distribution."""

    def __init__(self, lock: Path) -> None:
        lines = lock.read_text(encoding="utf-8").splitlines()
        allowed = {canonical(line.partition("==")[0]) for line in lines if "==" in line} | {"vitrine"}
        self.refused = {
            module
            for module, owners in packages_distributions().items()
            if not {canonical(owner) for owner in owners} & allowed
        }

    def find_spec(self, name, *_):
        if name.partition(".")[0] in self.refused:
            raise ModuleNotFoundError(f"No module named {name!r}: it is not in the lock", name=name)


def main() -> None:
    lock, program, *rest = sys.argv[1:]
    gate = OnlyThese(Path(lock))
    assert {"torch", "onnx", "onnxruntime", "pytest"} <= gate.refused, "the test's own environment lacks them"
    sys.meta_path.insert(0, gate)
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    if program == "--import":
        for module in rest[0].split(","):
            importlib.import_module(module)
        return
    sys.argv = [program, *rest]
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
