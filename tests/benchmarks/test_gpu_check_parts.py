"""A part that crashes, hangs or raises costs itself and nothing else."""

import sys
from pathlib import Path

import pytest

from benchmarks.gpu_check import parts
from benchmarks.gpu_check.parts import Recorder, Share, run_parts
from benchmarks.gpu_check.result import Section, not_run, read_json

PROGRAMS = {
    "good": "from benchmarks.gpu_check.result import write_json; from pathlib import Path; import sys;"
    "write_json(Path(sys.argv[1]), {'found': 1})",
    "raising": "raise RuntimeError('no such thing')",
    "crashing": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "halfway": "from benchmarks.gpu_check.result import write_json; from pathlib import Path; import os, sys;"
    "write_json(Path(sys.argv[1]), {'found': 2}); os._exit(3)",
    "hanging": "import subprocess, sys; subprocess.run(['sleep', '600'])",
}


def run(tmp_path: Path, names: list[str], total_s: float = 60.0) -> dict[str, Section]:
    saved: dict[str, Section] = {}

    def command(name: str, seconds: float) -> list[str]:
        assert seconds > 0
        return [sys.executable, "-c", PROGRAMS[name], str(tmp_path / f"{name}.json")]

    shares = [Share(name, 1.0) for name in names]
    run_parts(shares, total_s, command, tmp_path, lambda name, outcome: saved.update({name: outcome}), print)
    return saved


def test_every_ending_is_told_and_the_next_part_runs(tmp_path: Path) -> None:
    saved = run(tmp_path, ["raising", "crashing", "halfway", "good"])
    assert {name: part["status"] for name, part in saved.items()} == {
        "raising": "failed",
        "crashing": "failed",
        "halfway": "failed",
        "good": "ok",
    }
    assert "RuntimeError: no such thing" in saved["raising"]["cause"]
    assert "SIGSEGV" in saved["crashing"]["cause"]
    assert "exit status 3" in saved["halfway"]["cause"]
    assert saved["halfway"]["result"] == {"found": 2}
    assert saved["good"]["result"] == {"found": 1}


def test_a_part_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_START_S", 0.0)
    saved = run(tmp_path, ["hanging"], total_s=1.0)
    assert saved["hanging"]["status"] == "failed"
    assert "its time was over" in saved["hanging"]["cause"]


def test_when_the_total_is_over_the_rest_is_not_run(tmp_path: Path) -> None:
    saved = run(tmp_path, ["good"], total_s=0.0)
    assert saved["good"] == {"status": "not run", "cause": "the total time was over", "result": {}}


def test_a_recorder_saves_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "part.json"
    recorder = Recorder(path, 60.0, {})

    def fail() -> None:
        raise KeyError("absent")

    assert recorder.attempt("first", recorder.save, figure=1)
    assert not recorder.attempt("second", fail)
    assert read_json(path) == {"not_run": [{"what": "second", "cause": "KeyError: 'absent'"}], "figure": 1}


def test_when_its_time_is_over_a_part_leaves_the_rest_out(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "part.json", 0.0, {})
    called: list[int] = []
    assert not recorder.attempt("late", called.append, 1)
    assert called == []
    assert recorder.section["not_run"] == [{"what": "late", "cause": "the part's time was over"}]


def test_what_was_not_run_is_gathered_from_all_parts() -> None:
    result = {
        "parts": {
            "one": {"status": "ok", "result": {}},
            "two": {"status": "failed", "cause": "died of SIGSEGV", "result": {}},
            "three": {"status": "partial", "result": {"not_run": [{"what": "x", "cause": "absent"}]}},
        }
    }
    assert not_run(result) == [("two", "failed: died of SIGSEGV"), ("three: x", "absent")]
