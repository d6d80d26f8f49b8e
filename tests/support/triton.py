"""A real tritonserver for tests, and the smallest client that speaks to it."""

import os
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from runtime.ports import free_port
from runtime.triton import TritonServer, TritonSettings
from runtime.triton_control import TritonControl

_TYPES = {"int64": "INT64", "uint8": "UINT8", "bool": "BOOL"}


def triton_python() -> Path:
    """Interpreter of Triton's environment; skips the test if there is none."""
    default = Path(__file__).resolve().parents[2] / ".venv-triton" / "bin" / "python"
    python = Path(os.environ.get("VITRINE_TRITON_PYTHON", default))
    if not python.exists():
        pytest.skip(f"no Triton environment at {python}: run `make setup` or set VITRINE_TRITON_PYTHON")
    return python


def triton_settings(folder: Path, repository: Path) -> TritonSettings:
    return TritonSettings(
        python=triton_python(),
        repository=repository,
        home=folder / "home",
        log_path=folder / "triton.log",
        grpc_port=free_port(),
        metrics_port=free_port(),
    )


class RunningTriton:
    """A server, its control and a client; a context manager that stops it."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "repository"
        self.server = TritonServer(triton_settings(folder, self.repository))

    def __enter__(self) -> "RunningTriton":
        self.server.start()
        self.control = TritonControl(self.server.url, timeout_s=30)
        self.client = grpcclient.InferenceServerClient(self.server.url)
        return self

    def __exit__(self, *_) -> None:
        self.control.close()
        self.client.close()
        self.server.stop(6)

    def infer(self, model: str, arrays: dict, outputs: tuple[str, ...], version: int | str = "") -> list:
        answer = self.client.infer(model, wire(arrays), model_version=str(version), client_timeout=30)
        return [answer.as_numpy(name) for name in outputs]

    def query(self, ids: list[int], version: int | str = "") -> np.ndarray:
        return self.infer("query_tower", query_arrays(ids), ("query_embedding",), version)[0][0]


def wire(arrays: dict) -> list:
    inputs = []
    for name, array in arrays.items():
        entry = grpcclient.InferInput(name, list(array.shape), _TYPES[str(array.dtype)])
        entry.set_data_from_numpy(array)
        inputs.append(entry)
    return inputs


def query_arrays(ids: list[int]) -> dict:
    row = np.array([ids], dtype=np.int64)
    return {"input_ids": row, "attention_mask": np.ones_like(row)}
