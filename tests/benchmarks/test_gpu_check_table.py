"""Result files, the document made of them, and the command where there is no GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_check import __main__ as command
from benchmarks.gpu_check import table
from benchmarks.gpu_check.result import SCHEMA, read_json, render, slug, write_json

ROOT = Path(command.ROOT)

ROW = {"tower": "query_tower", "length": 8, "per_s": [1000.0, 900.0, 1100.0], "p50_ms": 1.0, "p99_ms": 2.0}
RESULT: dict[str, Any] = {
    "schema": SCHEMA,
    "date": "2026-01-02T03:04:05+00:00",
    "commit": "0123456789abcdef",
    "commands": ["python -m benchmarks.gpu_check"],
    "parts": {
        "machine": {"status": "ok", "result": {"gpu": "NVIDIA H200", "compute_capability": "9.0"}},
        "ceilings": {
            "status": "ok",
            "result": {"tflops": {"fp32": 50.0, "bf16": 790.0}, "copy_gb_s": 4300.0},
        },
        "engines": {
            "status": "ok",
            "result": {
                "engine": "TensorRT-RTX",
                "fell_through": [{"engine": "TensorRT", "cause": "No module named 'tensorrt'"}],
                "trials": [
                    {
                        "engine": "TensorRT-RTX",
                        "recipe": "sample",
                        "tower": "query_tower",
                        "precision": "fp16",
                        "runs": True,
                        "gate": "passed",
                        "one_minus": {"minimum_cosine": 2e-6, "minimum_cosine_in_company": 1e-6},
                    }
                ],
            },
        },
        "speed-sample": {
            "status": "partial",
            "result": {
                "recipe": "sample",
                "rows": [
                    {**ROW, "batch": 1, "contender": "torch eager fp32", "to_eager": [1, 1, 1]},
                    {**ROW, "batch": 1, "contender": "CUDA graph fp16", "to_eager": [4.125, 3.9, 4.2]},
                    {**ROW, "batch": 8, "contender": "torch eager fp32", "to_eager": [1, 1, 1]},
                ],
                "not_run": [
                    {"what": "query_tower torch.compile fp16", "cause": "no C compiler"},
                    {"what": "product_tower torch.compile fp16", "cause": "no C compiler"},
                ],
            },
        },
        "search-128": {"status": "failed", "cause": "died of SIGSEGV", "result": {}},
    },
}


def test_a_result_comes_back_as_it_was_with_a_line_a_measurement(tmp_path: Path) -> None:
    path = tmp_path / "new" / "h200.json"
    write_json(path, RESULT)
    assert read_json(path) == json.loads(path.read_text()) == RESULT
    lines = path.read_text().splitlines()
    assert sum('"torch eager fp32"' in line and '"per_s"' in line for line in lines) == 2
    assert read_json(tmp_path / "absent.json") == {}


@pytest.mark.parametrize("value", [{}, [], {"a": {}}, [[1, [2]]], {"a": [{"b": "é"}], "c": None}])
def test_rendering_loses_nothing(value: object) -> None:
    assert json.loads(render(value)) == value


def test_names_of_gpus_make_file_names() -> None:
    assert slug("NVIDIA H200") == "nvidia-h200"
    assert slug("NVIDIA GeForce RTX 4090 (24 GB)") == "nvidia-geforce-rtx-4090-24-gb"
    assert slug("") == "unknown"


def test_a_machines_section_says_what_was_measured_and_what_not() -> None:
    text = table.render(RESULT)
    assert text.startswith("## NVIDIA H200\n")
    assert "compute capability 9.0" in text
    assert "at commit 0123456789ab with `python -m benchmarks.gpu_check`" in text
    assert "| 50 | 790 | 4300 | - |" in text
    assert "TensorRT fell through: No module named 'tensorrt'" in text
    assert "| sample | query_tower | fp16 | passed | 2e-06 | 1e-06 |" in text
    assert "| CUDA graph fp16 | 1000 (×4.12 [3.9-4.2]) 1 / 2 | not run |" in text
    assert "query_tower torch.compile fp16 (and 1 more): no C compiler" in text
    assert "search-128: failed: died of SIGSEGV" in text


def test_half_a_result_is_rendered_as_well() -> None:
    assert "unknown GPU" in table.render(
        {"parts": {"machine": {"status": "failed", "cause": "x", "result": {}}}}
    )


def test_the_document_is_made_of_the_result_files() -> None:
    document = command.DOCUMENT.read_text(encoding="utf-8")
    assert document == table.updated(document, table.results_in(command.RESULTS))


def test_without_results_the_document_says_so() -> None:
    document = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    assert table.updated(document, []) == f"before\n{table.BEGIN}\n\n{table.NOTHING}\n\n{table.END}\nafter\n"
    both = table.updated(document, [RESULT, RESULT])
    assert both.count("## NVIDIA H200") == 2
    assert table.updated(both, [RESULT, RESULT]) == both
    with pytest.raises(ValueError, match="needs the lines"):
        table.updated("no markers", [])


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_check", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_without_a_gpu_it_says_so_and_that_is_no_failure() -> None:
    done = run(CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("gpu-check skipped: no CUDA GPU")
    assert done.stdout.count("\n") == 1


def test_a_rehearsal_never_lands_among_the_results() -> None:
    done = run("--device", "cpu", "--scale", "tiny")
    assert done.returncode == 2
    assert "--out" in done.stdout


def test_parts_of_several_runs_make_one_result(tmp_path: Path) -> None:
    common = ["--device", "cpu", "--scale", "tiny", "--out", str(tmp_path / "out"), "--work", str(tmp_path)]
    first = run(*common, "--minutes", "2", "--parts", "machine,ceilings")
    assert first.returncode == 0, first.stderr
    second = run(*common, "--minutes", "2", "--parts", "search-16", "--commit", "abc")
    assert second.returncode == 0, second.stderr
    (path,) = (tmp_path / "out").glob("*.json")
    result = read_json(path)
    assert {name: part["status"] for name, part in result["parts"].items()} == {
        "machine": "ok",
        "ceilings": "partial",  # a CPU has no TF32
        "search-16": "partial",  # nor CAGRA
    }
    assert len(result["commands"]) == 2
    assert result["commit"] == "abc"
    assert second.stdout.endswith(table.render(result) + "\n")


def test_a_package_that_is_absent_costs_its_part_only(tmp_path: Path) -> None:
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "onnxslim.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'onnxslim'\")"
    )
    done = run(
        *("--device", "cpu", "--scale", "tiny", "--minutes", "2", "--out", str(tmp_path / "out")),
        *("--parts", "machine,export"),
        PYTHONPATH=str(tmp_path / "blocked"),
    )
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out").glob("*.json")
    parts = read_json(path)["parts"]
    assert parts["machine"]["status"] == "ok"
    assert parts["export"]["status"] == "failed"
    assert "No module named 'onnxslim'" in parts["export"]["cause"]
