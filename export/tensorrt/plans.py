"""What must agree before a plan may run: plan and graph with the manifest, and the manifest with the machine.

TensorRT itself refuses a plan of another version or GPU, in words that name neither side's fix; worse, a plan
of another graph runs, and answers with another tower's vectors.
"""

from __future__ import annotations

from pathlib import Path

from export.tensorrt.builder import BuildResult
from export.tensorrt.machine import Machine
from faults import NotFound
from releases.engine_manifest import EngineManifest
from releases.export_record import OptimisationProfile
from releases.manifest import TowerName, require_equal
from releases.verify import hash_file

_AGAIN = "build it here with the manifest's command:"


def describe_plan(
    result: BuildResult,
    onnx_file: Path,
    profiles: tuple[OptimisationProfile, ...],
    machine: Machine,
    *,
    model: TowerName,
    precision: str,
    command: str,
) -> EngineManifest:
    """Returns the manifest of a plan that was just built.

    Args:
        result: of the build.
        onnx_file: the graph it was built from.
        profiles: shapes it was built for.
        machine: where it was built.
        model: the tower.
        precision: of the graph.
        command: the command line that builds it again.
    """
    return EngineManifest(
        model=model,
        precision=precision,
        compute_capability=machine.compute_capability,
        gpu=machine.gpu,
        tensorrt_version=result.tensorrt_version,
        onnx_sha256=hash_file(onnx_file).sha256,
        plan_sha256=hash_file(result.plan).sha256,
        profiles=profiles,
        flags=result.flags,
        command=command,
    )


def check_machine(manifest: EngineManifest, compute_capability: str | None, tensorrt_version: str) -> None:
    """Refuses a plan that does not fit this machine.

    Args:
        manifest: the plan's.
        compute_capability: of the GPU here; none where there is no GPU.
        tensorrt_version: of the TensorRT here.

    Raises:
        Mismatch: the plan is for another kind of GPU or another TensorRT; both values and the fix are named.
    """
    require_equal(
        f"compute capability of the {manifest.model} plan ({manifest.gpu})",
        expected=manifest.compute_capability,
        found=compute_capability or "no GPU",
        fix=f"run it on that kind of GPU, or {_AGAIN} {manifest.command}",
    )
    require_equal(
        f"TensorRT version of the {manifest.model} plan",
        expected=manifest.tensorrt_version,
        found=tensorrt_version,
        fix=f"use TensorRT {manifest.tensorrt_version}, or {_AGAIN} {manifest.command}",
    )


def check_files(manifest: EngineManifest, plan: Path, onnx_file: Path | None = None) -> None:
    """Refuses a plan, or a graph beside it, that is not the manifest's.

    Args:
        manifest: the plan's.
        plan: the plan file.
        onnx_file: the graph in the same version folder, where there is one.

    Raises:
        NotFound: a file is missing.
        Mismatch: a file is torn, or of another build.
    """
    files = [("plan_sha256", plan, manifest.plan_sha256)]
    if onnx_file is not None:
        files.append(("onnx_sha256", onnx_file, manifest.onnx_sha256))
    for name, path, expected in files:
        if not path.is_file():
            raise NotFound(
                "the file is missing", field=name, value=str(path), fix=f"{_AGAIN} {manifest.command}"
            )
        require_equal(
            f"{name} of {path}",
            expected=expected,
            found=hash_file(path).sha256,
            fix=f"copy the version folder again, or {_AGAIN} {manifest.command}",
        )
