"""The ceilings, measured on this very GPU: matrix products by precision, and memory.

A datasheet's figure is a promise under conditions of its own. What cuBLAS reaches here on
random numbers (zeros run faster) is what a tower could reach at best.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.gpu_check.clock import four_digits
from benchmarks.gpu_check.parts import Recorder

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8")

_SECONDS = 0.4
_LAUNCHES = 200


def measure(recorder: Recorder, device: str, sizes: tuple[int, ...], copy_bytes: int) -> None:
    """Fills in ``tflops`` by precision, ``copy_gb_s`` and ``launch_us``.

    Args:
        recorder: takes the findings.
        device: ``cuda`` or ``cpu``.
        sizes: sides of the square matrices; the best one counts.
        copy_bytes: size of the buffer that is copied.
    """
    recorder.save(tflops={}, sizes=list(sizes), copy_bytes=copy_bytes)
    for precision in PRECISIONS:
        for size in sizes:
            what = f"{precision} matrix product of side {size}"
            recorder.attempt(what, _reach, recorder.section["tflops"], precision, size, device)
    recorder.attempt("memory copy", _copy, recorder, device, copy_bytes)
    recorder.attempt("launch", _launch, recorder, device)


def _reach(best: dict[str, float], precision: str, size: int, device: str) -> None:
    reached = 2 * size**3 / _seconds_a_call(_product(precision, size, device), device) / 1e12
    best[precision] = max(best.get(precision, 0.0), four_digits(reached))


def _copy(recorder: Recorder, device: str, size: int) -> None:
    recorder.save(copy_gb_s=four_digits(copy_rate(device, size) / 1e9))


def _launch(recorder: Recorder, device: str) -> None:
    recorder.save(launch_us=four_digits(launch_s(device) * 1e6))


def copy_rate(device: str, size: int) -> float:
    """Returns bytes a second of a copy within the device's memory, reads and writes counted."""
    source = torch.empty(size, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    return 2 * size / _seconds_a_call(lambda: target.copy_(source), device)


def launch_s(device: str) -> float:
    """Returns seconds of the smallest call with a synchronisation after it: no answer comes sooner."""
    one = torch.ones(1, device=device)
    waits = []
    for _ in range(_LAUNCHES):
        start = time.perf_counter()
        one.add_(1)
        synchronise(device)
        waits.append(time.perf_counter() - start)
    return sorted(waits)[len(waits) // 2]


def synchronise(device: str) -> None:
    """Returns when the device has nothing left to do."""
    if device == "cuda":
        torch.cuda.synchronize()


def _product(precision: str, size: int, device: str) -> Callable[[], object]:
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    if precision == "tf32" and device != "cuda":
        raise RuntimeError("tf32 is a format of CUDA GPUs")
    if precision == "fp8":
        return _fp8_product(left, right)
    number = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
    left, right = left.to(number), right.to(number)
    return lambda: left @ right


def _fp8_product(left: Tensor, right: Tensor) -> Callable[[], object]:
    """The scaled product of torch takes e4m3, the right side column by column."""
    eighth = torch.float8_e4m3fn
    row, column = left.to(eighth), right.t().contiguous().to(eighth).t()
    one = torch.ones((), device=left.device)
    return lambda: torch._scaled_mm(row, column, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


def _seconds_a_call(call: Callable[[], object], device: str) -> float:
    """The best of some bursts: a ceiling is what can be reached."""
    call()
    synchronise(device)
    best, end, number = float("inf"), time.perf_counter() + _SECONDS, 1
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(number):
            call()
        synchronise(device)
        spent = time.perf_counter() - start
        best = min(best, spent / number)
        number = max(1, min(50, int(_SECONDS / 8 / best)))
    return best
