"""Builds one TensorRT plan, in a process of its own; run by whichever interpreter has TensorRT.

A builder that crashes must not take the export along, and that interpreter may have nothing else installed:
so this file imports the standard library and ``tensorrt`` only, reads one JSON job from standard input and
prints one JSON result. The project's side of it is ``builder``.

Works with TensorRT 10 and 11. Networks are strongly typed in both: by a flag in 10, always in 11.
Enum members are looked up by name, since their numbers moved; what one of the two lacks is asked for first.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OLDEST_MAJOR = 10
"""Before it, networks with an implicit batch and calibrated int8 were the rule."""


class RefusedError(Exception):
    """TensorRT refused something.

    Args:
        stage: ``import``, ``version``, ``parse``, ``profile`` or ``build``.
        errors: each with the ``text``, and ``node`` and ``operator`` where known.
    """

    def __init__(self, stage: str, errors: Sequence[dict[str, str]]) -> None:
        super().__init__(stage)
        self.stage = stage
        self.errors = list(errors)


def collecting_logger(trt: Any) -> Any:
    """Returns a logger that keeps errors and warnings: the builder tells its reasons nowhere else."""

    class Collecting(trt.ILogger):  # type: ignore[misc]  # the module is only known when this runs
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.errors.append(message)
            elif severity == trt.ILogger.WARNING:
                self.warnings.append(message)

    return Collecting()


def network_flags(trt: Any) -> int:
    """Returns the creation flags of a strongly typed network; explicit batch is always on since 10."""
    major = int(trt.__version__.split(".")[0])
    if major < OLDEST_MAJOR:
        text = f"TensorRT {trt.__version__} is too old: {OLDEST_MAJOR}.0 or later is needed"
        raise RefusedError("version", [{"text": text}])
    if hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return 0


def parse(trt: Any, builder: Any, logger: Any, onnx: str) -> tuple[Any, Any]:
    """Returns the network of an ONNX file and the parser, which owns its weights."""
    network = builder.create_network(network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(onnx):
        raise RefusedError("parse", [_parser_error(parser.get_error(i)) for i in range(parser.num_errors)])
    return network, parser


def _parser_error(error: Any) -> dict[str, str]:
    return {"node": error.node_name(), "operator": error.node_operator(), "text": error.desc()}


def add_profiles(builder: Any, config: Any, logger: Any, profiles: Sequence[dict[str, Any]]) -> None:
    """Adds every profile, or refuses: TensorRT would otherwise go on without the invalid one."""
    for place, shapes in enumerate(profiles):
        logger.errors.clear()
        profile = builder.create_optimization_profile()
        problem = ""
        try:
            for name, bounds in shapes.items():
                profile.set_shape(name, *(tuple(bounds[kind]) for kind in ("min", "opt", "max")))
        except ValueError as error:
            problem = str(error)
        if problem or config.add_optimization_profile(profile) != place:
            texts = [problem] if problem else logger.errors
            said = [{"text": text} for text in texts]
            raise RefusedError("profile", [{"text": f"profile {place} is not valid: {shapes}"}, *said])


def use_timing_cache(config: Any, logger: Any, stored: bytes) -> str:
    """Gives the builder the kernel timings of earlier builds; returns ``reused``, ``refused`` or ``new``.

    TensorRT itself refuses timings of another GPU or version, and a damaged file: it then goes on with an
    empty cache and says so to the logger alone.
    """
    if stored:
        said = len(logger.warnings), len(logger.errors)
        cache = config.create_timing_cache(stored)
        taken = cache is not None and config.set_timing_cache(cache, False)
        if taken:
            return "reused" if said == (len(logger.warnings), len(logger.errors)) else "refused"
    config.set_timing_cache(config.create_timing_cache(b""), False)
    return "refused" if stored else "new"


def configure(trt: Any, builder: Any, job: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns the builder's configuration, and the settings as they are then in force."""
    config = builder.create_builder_config()
    if not job["tf32"] and hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)
    if job["workspace_bytes"] is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job["workspace_bytes"])
    if job["optimization_level"] is not None:
        config.builder_optimization_level = job["optimization_level"]
    return config, {
        "strongly_typed": True,
        "tf32": job["tf32"],
        "workspace_bytes": job["workspace_bytes"],
        "optimization_level": config.builder_optimization_level,
    }


def build(trt: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Builds one plan.

    Args:
        trt: the tensorrt module.
        job: ``onnx`` and ``plan`` (paths), ``timing_cache_in`` and ``timing_cache_out`` (paths or null),
            ``profiles`` (a list of input name -> min, opt, max -> shape), ``tf32``, ``workspace_bytes``
            and ``optimization_level`` (or null: TensorRT's own).

    Returns:
        The result to print.

    Raises:
        RefusedError: with TensorRT's reasons.
    """
    started = time.monotonic()
    logger = collecting_logger(trt)
    builder = trt.Builder(logger)
    network, parser = parse(trt, builder, logger, job["onnx"])
    config, flags = configure(trt, builder, job)
    add_profiles(builder, config, logger, job["profiles"])
    kept = Path(job["timing_cache_in"]) if job["timing_cache_in"] else None
    cache_state = use_timing_cache(config, logger, kept.read_bytes() if kept and kept.is_file() else b"")
    logger.errors.clear()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RefusedError("build", [{"text": text} for text in logger.errors or ["no reason was given"]])
    layers = network.num_layers
    del parser
    Path(job["plan"]).write_bytes(plan)
    cache = config.get_timing_cache()
    if job["timing_cache_out"] and cache is not None:
        Path(job["timing_cache_out"]).write_bytes(cache.serialize())
    return {
        "ok": True,
        "tensorrt_version": trt.__version__,
        "layers": layers,
        "flags": flags,
        "timing_cache": cache_state,
        "warnings": logger.warnings,
        "seconds": time.monotonic() - started,
    }


def load_tensorrt() -> Any:
    """Imports TensorRT, whatever its libraries print."""
    try:
        return importlib.import_module("tensorrt")
    except ImportError as error:  # a missing package, or one of its shared libraries
        raise RefusedError("import", [{"text": f"{type(error).__name__}: {error}"}]) from error


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Answers one job; a job without ``onnx`` only asks for the version."""
    version = None
    try:
        trt = load_tensorrt()
        version = trt.__version__
        network_flags(trt)
        return build(trt, job) if "onnx" in job else {"ok": True, "tensorrt_version": version}
    except RefusedError as error:
        return {"ok": False, "tensorrt_version": version, "stage": error.stage, "errors": error.errors}


def main() -> None:
    """Reads the job from standard input and prints the result, alone, on standard output."""
    # Python puts this file's folder first; nothing in it may pass for one of TensorRT's own modules.
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    # The libraries print to standard output as well: send that to standard error.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with answers:
        json.dump(run(json.load(sys.stdin)), answers)


if __name__ == "__main__":
    main()
