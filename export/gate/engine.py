"""What the gate compares: anything that maps a tower's named inputs to its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch

from export.onnx_export import TowerGraph
from faults import GateFailed

Array = npt.NDArray[np.generic]
Feed = dict[str, Array]
"""Inputs by tensor name, each [B, ...]."""


class Engine(Protocol):
    """One tower, runnable."""

    @property
    def name(self) -> str:
        """Runtime and version, as it stands in the export record."""

    def run(self, feed: Feed) -> list[Array]:
        """Returns the outputs in the graph's order, each [B, ...].

        Raises:
            GateFailed: the engine cannot run these rows.
        """


class TorchEngine:
    """The reference: the tower itself, in float32 on the CPU."""

    name = f"torch {torch.__version__}"

    def __init__(self, graph: TowerGraph) -> None:
        self._module = graph.module

    def run(self, feed: Feed) -> list[Array]:
        """Returns the tower's outputs."""
        with torch.no_grad():
            found = self._module(*(torch.from_numpy(tensor) for tensor in feed.values()))
        return [tensor.numpy() for tensor in (found if isinstance(found, tuple) else (found,))]


class OnnxEngine:
    """An ONNX file in ONNX Runtime.

    Args:
        path: the file.
        outputs: names of the outputs, in order.
        providers: where it runs; the CPU unless said otherwise.
    """

    def __init__(
        self, path: Path, outputs: Sequence[str], providers: Sequence[str] = ("CPUExecutionProvider",)
    ) -> None:
        self._session = ort.InferenceSession(str(path), providers=list(providers))
        self._outputs = list(outputs)
        self.name = f"onnxruntime {ort.__version__} {self._session.get_providers()[0]}"

    def run(self, feed: Feed) -> list[Array]:
        """Returns the file's outputs; an error of ONNX Runtime becomes GateFailed."""
        try:
            found: list[Array] = self._session.run(self._outputs, feed)
        except Exception as error:  # ONNX Runtime's errors have no base of their own
            raise GateFailed(
                f"the engine fails: {error}",
                field=self.name,
                value={name: tensor.shape for name, tensor in feed.items()},
                fix="Nothing was published. Look at ids beyond the vocabulary and at unsupported shapes.",
            ) from error
        return found
