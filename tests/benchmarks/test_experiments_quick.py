"""``make experiments`` in small: a run that is stopped, goes on, and writes its tables."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.experiments.rows import ROWS

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(900)


class Runner:
    """Starts the program in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "report"

    def start(self, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.experiments", "--quick"]
        command += ["--results", str(self.folder / "results"), "--out", str(self.out), *more]
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
        )

    def run(self, *more: str) -> tuple[int, str]:
        process = self.start(*more)
        try:
            text = process.communicate(timeout=800)[0]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return process.returncode, text


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(tmp_path_factory.mktemp("experiments"))


@pytest.fixture(scope="module")
def finished(runner: Runner) -> str:
    """A run that Ctrl-C ends after its first task, and the one that goes on from there."""
    first = runner.start()
    assert first.stdout is not None
    for line in first.stdout:
        if line.startswith("[1/"):
            first.send_signal(signal.SIGINT)
            break
    rest = first.communicate(timeout=60)[0]
    assert first.returncode == 130, rest
    assert "goes on from here" in rest
    assert not members(first.pid)
    code, text = runner.run()
    assert code == 0, text
    return text


def members(group: int) -> list[str]:
    """Processes that are left of a process group."""
    asked = ["ps", "-o", "args=", "-g", str(group)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split("\n")[:-1]


def test_a_stopped_run_goes_on(finished: str) -> None:
    first = finished.splitlines()[0]
    assert first.endswith(("tasks to do, 2 at a time", "tasks to do, 1 at a time"))


def test_every_claim_of_the_quick_rows_is_measured(finished: str, runner: Runner) -> None:
    del finished
    results = json.loads((runner.out / "results.json").read_text())
    assert results["quick"] is True
    claims = [(name, claim) for name, row in results["rows"].items() for claim in row["claims"]]
    assert claims
    assert [(name, claim["reason"]) for name, claim in claims if claim["interval"] is None] == []
    assert {claim["verdict"] for _, claim in claims} <= {"met", "not met"}


def test_the_table_shows_every_row_with_its_command(finished: str, runner: Runner) -> None:
    del finished
    text = (runner.out / "README.md").read_text()
    results = json.loads((runner.out / "results.json").read_text())
    assert "Its figures mean nothing" in text
    for name in results["rows"]:
        assert f"## {name}\n" in text
        assert f"`make experiments ROWS={name}`" in text
    for picture in ("differences.png", "a2.png", "d4.png"):
        assert f"]({picture})" in text
        assert (runner.out / picture).stat().st_size > 1000


def test_what_is_there_is_not_done_again(finished: str, runner: Runner) -> None:
    del finished
    before = (runner.out / "results.json").read_bytes()
    code, text = runner.run("--rows", ",".join(json.loads(before)["rows"]))
    assert code == 0
    assert text.startswith("0 tasks to do")
    assert (runner.out / "results.json").read_bytes() == before


def test_without_a_real_catalogue_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.experiments", "--data", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert "skipped: there is none" in done.stdout


def test_rows_are_named_one_by_one(runner: Runner) -> None:
    code, text = runner.run("--rows", "A1,Z9")
    assert code == 2
    assert "Z9" in text
    assert next(iter(ROWS)) in text
