"""What an engine must beat: the tower in torch, from plain eager to a compiled CUDA graph.

Half precision comes twice: by autocast, as most people run it, and with weights kept in
half precision, which spares the casts and is the stronger opponent.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from benchmarks.gpu_check.clock import Call

Inputs = tuple[Tensor, ...]
Forward = Callable[..., object]
Bind = Callable[[Inputs], Call]
"""Takes the inputs of one shape and returns the call that is timed."""

EAGER = "torch eager fp32"
"""The one that the others are compared with."""

_ISLANDS = ("fusion", "gate")
"""Children that stay in float32, as the exported towers keep them."""


def contenders(module: nn.Module, device: str) -> dict[str, Callable[[], Bind]]:
    """Returns torch's contenders by name; each is made when it is first needed, for making may fail.

    Args:
        module: a tower in evaluation mode, on ``device``.
        device: ``cuda`` or ``cpu``; graphs and compilation are for the first.
    """
    makers: dict[str, Callable[[], Bind]] = {
        EAGER: lambda: _eager(module),
        "torch autocast bf16": lambda: _autocast(module, device, torch.bfloat16),
    }
    if device == "cuda":
        half = functools.cache(lambda: with_weights_in(module, torch.float16))
        fused = functools.cache(lambda: compiled(half()))
        makers |= {
            "torch autocast fp16": lambda: _autocast(module, device, torch.float16),
            "torch fp16": lambda: _eager(half()),
            "torch.compile fp16": lambda: _eager(fused()),
            "CUDA graph fp16": lambda: _graph(half()),
            "CUDA graph of torch.compile fp16": lambda: _graph(fused()),
        }
    return makers


def precision_of(contender: str) -> str:
    """Returns the precision that a contender's name ends with."""
    return contender.rsplit(" ", 1)[-1]


def with_weights_in(module: nn.Module, number: torch.dtype) -> nn.Module:
    """Returns a copy of a tower with its encoders' weights in ``number``; what fuses them stays float32."""
    twin = copy.deepcopy(module)
    for name, child in twin.named_children():
        if name not in _ISLANDS:
            child.to(number)
    images = getattr(twin, "image_encoder", None)
    if images is not None:
        # The tower casts its pixels to float32 itself; the convolutions want their weights' kind.
        images.stages.register_forward_pre_hook(lambda _, entering: (entering[0].to(number),))
    return twin


def compiled(module: nn.Module) -> Forward:
    """Compiles for all shapes at once: serving sees many."""
    return cast("Forward", torch.compile(module, dynamic=True))


def _eager(forward: Forward) -> Bind:
    def bind(inputs: Inputs) -> Call:
        def call() -> object:
            with torch.inference_mode():
                return forward(*inputs)

        return call

    return bind


def _autocast(module: nn.Module, device: str, number: torch.dtype) -> Bind:
    def bind(inputs: Inputs) -> Call:
        def call() -> object:
            with torch.inference_mode(), torch.autocast(device, dtype=number):
                return module(*inputs)

        return call

    return bind


def _graph(forward: Forward) -> Bind:
    return lambda inputs: captured(lambda: forward(*inputs))


def captured(call: Call) -> Call:
    """Captures what a call launches, and returns the call that replays it.

    Its inputs stay where they are, as with an engine's bound buffers.
    """
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call, unused-ignore]
    side.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        kept = call()

    def replay() -> object:
        graph.replay()
        return kept

    return replay
