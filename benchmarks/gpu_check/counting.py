"""FLOPs and bytes of a tower, counted, and the time that no engine on this GPU can beat.

FLOPs are those of matrix products and convolutions (``torch.utils.flop_counter``). Bytes
are of two kinds: what must move whatever an engine does (weights once, inputs, outputs),
and what moves if nothing is fused (every operator's result written and read once more).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

WIDTH = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "int8": 1}
"""Bytes of a number in which the matrix products run."""


@dataclass(frozen=True)
class Count:
    """Of one row of one length; all but ``weights`` grow with the batch.

    Attributes:
        flops: of matrix products and convolutions.
        weights: numbers in matrices, convolutions and norms, read once a call.
        rows_read: numbers of embedding tables that a row touches; caches may hold them.
        moved: bytes of inputs and outputs.
        results: numbers that operators write.
    """

    flops: int
    weights: int
    rows_read: int
    moved: int
    results: int


def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> Count:
    """Counts one forward pass on the CPU.

    Args:
        module: a tower in evaluation mode.
        inputs: of batch 1.
    """
    results = _Results()
    # The plain attention: a fused kernel's products are invisible to the counter on some backends.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as flops:
            outputs = module(*inputs)
        with results:
            module(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    tables = [table for table in module.modules() if isinstance(table, nn.Embedding)]
    in_tables = sum(table.weight.numel() for table in tables)
    return Count(
        flops=int(flops.get_total_flops()),
        weights=sum(parameter.numel() for parameter in module.parameters()) - in_tables,
        rows_read=sum(table.embedding_dim for table in tables) * inputs[0].shape[1],
        moved=sum(tensor.numel() * tensor.element_size() for tensor in (*inputs, *outputs)),
        results=results.numbers,
    )


class _Results(TorchDispatchMode):  # type: ignore[no-untyped-call, unused-ignore]
    """Sums up what operators write; a view writes nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.numbers = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            each = found if isinstance(found, tuple | list) else (found,)
            self.numbers += sum(value.numel() for value in each if isinstance(value, Tensor))
        return found


@dataclass(frozen=True)
class Floor:
    """Seconds that a batch takes at the least.

    Attributes:
        seconds: the larger of the products at the measured rate and the unavoidable bytes.
        bound: which of the two it is, ``compute`` or ``memory``.
        unfused_s: the same with every operator's result written and read.
    """

    seconds: float
    bound: str
    unfused_s: float


def floor(counted: Count, batch: int, precision: str, ceilings: Mapping[str, Any]) -> Floor | None:
    """Returns the floor of a batch, or None where a ceiling was not measured.

    Args:
        counted: one row.
        batch: rows.
        precision: in which the products run; int8 takes fp8's ceiling, which the hardware shares.
        ceilings: ``tflops`` by precision and ``copy_gb_s``.
    """
    rate = ceilings.get("tflops", {}).get("fp8" if precision == "int8" else precision)
    copied = ceilings.get("copy_gb_s")
    if not rate or not copied:
        return None
    width = WIDTH[precision]
    compute = batch * counted.flops / (rate * 1e12)
    memory = (width * counted.weights + batch * counted.moved) / (copied * 1e9)
    unfused = memory + width * batch * (counted.rows_read + 2 * counted.results) / (copied * 1e9)
    return Floor(max(compute, memory), "compute" if compute >= memory else "memory", max(compute, unfused))
