"""Engines behind one interface: rows in from numpy for the gate, bound device memory for the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort

from benchmarks.gpu_check.clock import Call
from benchmarks.gpu_check.contenders import Inputs
from export.gate.engine import Feed
from export.tensorrt.builder import input_shapes, profile_shapes
from releases.export_record import OptimisationProfile

RTX = "NvTensorRTRTXExecutionProvider"
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"


class TimedEngine(Protocol):
    """What this program asks of an engine, beside ``export.gate``'s ``run``."""

    name: str
    fed_from: str
    """``device memory`` or ``host memory``: the latter pays for copies that torch's contenders do not."""

    def run(self, feed: Feed) -> list[Any]:
        """Returns the outputs of named arrays, in the graph's order."""

    def bind(self, inputs: Inputs) -> Call:
        """Returns the call that runs on these inputs, in the graph's order."""


class OrtEngine:
    """An ONNX file in ONNX Runtime, on whatever provider.

    Args:
        session: of a file with the contract's tensors.
        name: provider and version.
        device: ``cuda`` or ``cpu``, where torch's inputs lie.
    """

    def __init__(self, session: ort.InferenceSession, name: str, device: str) -> None:
        self._session = session
        self._device = device
        self._inputs = [value.name for value in session.get_inputs()]
        self._outputs = [value.name for value in session.get_outputs()]
        self.name = name
        self.fed_from = "device memory"

    def run(self, feed: Feed) -> list[Any]:
        """See ``TimedEngine``."""
        found: list[Any] = self._session.run(self._outputs, {name: feed[name] for name in self._inputs})
        return found

    def bind(self, inputs: Inputs) -> Call:
        """Binds the tensors' own memory; a provider that cannot take it is fed from the host."""
        try:
            call = self._bound(inputs)
            call()
        except Exception:  # providers refuse foreign memory in ways of their own
            self.fed_from = "host memory"
            feed = {name: tensor.cpu().numpy() for name, tensor in zip(self._inputs, inputs, strict=True)}
            return lambda: self.run(feed)
        return call

    def _bound(self, inputs: Inputs) -> Call:
        binding = self._session.io_binding()
        for name, tensor in zip(self._inputs, inputs, strict=True):
            number = str(tensor.dtype).removeprefix("torch.").replace("bool", "bool_")
            kind = getattr(np, number)
            binding.bind_input(name, self._device, 0, kind, tuple(tensor.shape), tensor.data_ptr())
        for name in self._outputs:
            binding.bind_output(name, self._device, 0)

        def call() -> object:
            self._session.run_with_iobinding(binding)
            return inputs  # the binding reads their memory: they must live as long as the call

        return call


def cpu_session(path: Path) -> ort.InferenceSession:
    """Opens a file on the CPU provider: the rehearsal's engine."""
    return ort.InferenceSession(str(path), providers=[CPU])


def cuda_session(path: Path) -> ort.InferenceSession:
    """Opens a file on ONNX Runtime's CUDA provider.

    Raises:
        RuntimeError: this onnxruntime has none, or it took another provider instead.
    """
    if CUDA not in ort.get_available_providers():
        raise RuntimeError(f"onnxruntime {ort.__version__} has no CUDA provider (needs onnxruntime-gpu)")
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # torch's own CUDA and cuDNN libraries
    # TF32 is on by default there, and drops 13 bits of what calls itself fp32.
    session = ort.InferenceSession(str(path), providers=[(CUDA, {"use_tf32": "0"}), CPU])
    if session.get_providers()[0] != CUDA:
        raise RuntimeError(f"ONNX Runtime fell back to {session.get_providers()}: see its log")
    return session


def rtx_engine(path: Path, profile: OptimisationProfile) -> OrtEngine:
    """Opens a file on the TensorRT-RTX plugin provider; its name says so where a part of it runs on the CPU.

    Raises:
        ImportError: the plugin's package is not installed.
        RuntimeError: it sees no GPU that it supports.
    """
    import onnxruntime_ep_nv_tensorrt_rtx as plugin  # type: ignore[import-not-found, unused-ignore]

    if RTX not in {device.ep_name for device in ort.get_ep_devices()}:
        ort.register_execution_provider_library(plugin.get_ep_name(), plugin.get_library_path())
    devices = [device for device in ort.get_ep_devices() if device.ep_name == plugin.get_ep_name()]
    if not devices:
        seen = sorted({f"{device.ep_name} {device.device.type.name}" for device in ort.get_ep_devices()})
        raise RuntimeError(f"plugin {plugin.__version__} finds no GPU that it supports, only {seen}")
    name = f"{RTX} {plugin.__version__} in onnxruntime {ort.__version__}"
    try:
        return OrtEngine(_rtx_session(path, profile, devices[:1], "1"), name, "cuda")
    except Exception:  # the strict session has no words of its own for this
        session = _rtx_session(path, profile, devices[:1], "0")
        return OrtEngine(session, f"{name}, partly on the CPU", "cuda")


def _rtx_session(
    path: Path, profile: OptimisationProfile, devices: list[Any], no_fallback: str
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # A silent return to the CPU would be measured as an engine.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", no_fallback)
    options.add_provider_for_devices(devices, rtx_options(path, profile))
    session = ort.InferenceSession(str(path), sess_options=options)
    if session.get_providers()[0] != RTX:
        raise RuntimeError(f"ONNX Runtime fell back to {session.get_providers()}: see its log")
    return session


def rtx_options(path: Path, profile: OptimisationProfile) -> dict[str, str]:
    """Returns the plugin's profile of a file: ``name:4x16,other:4x16`` for least, usual and most."""
    shapes = profile_shapes(input_shapes(path), profile)
    return {
        f"nv_profile_{kind}_shapes": ",".join(
            f"{name}:{'x'.join(str(size) for size in sizes[kind])}" for name, sizes in shapes.items()
        )
        for kind in ("min", "opt", "max")
    }
