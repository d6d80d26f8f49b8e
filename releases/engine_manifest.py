"""The manifest beside every TensorRT plan: which GPU and TensorRT it is for, and what it was built from.

A plan runs on the compute capability and the TensorRT release that built it and nowhere else, so a version
folder holds one pair of files for each kind of GPU: ``model.cc90.plan`` and ``engine.cc90.json``. ``export``
writes them, ``indexing`` names them in releases; this stands on the floor that both may use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import faults
from releases.export_record import OptimisationProfile
from releases.manifest import GateReport, Sha256, TowerName

__all__ = [
    "EngineManifest",
    "engine_manifests",
    "manifest_name",
    "plan_name",
    "plans_in",
    "read_engine_manifest",
]

ComputeCapability = Annotated[str, Field(pattern=r"^[1-9][0-9]*\.[0-9]$")]
"""Major and minor, such as ``9.0``: the form in which Triton and CUDA name it."""


class EngineManifest(BaseModel):
    """One plan of one version of one tower."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: TowerName
    precision: str
    compute_capability: ComputeCapability
    gpu: str
    """The device's name, for people."""
    tensorrt_version: str
    onnx_sha256: Sha256
    """Hash of the ``model.onnx`` that it was built from."""
    plan_sha256: Sha256
    profiles: Annotated[tuple[OptimisationProfile, ...], Field(min_length=1)]
    flags: dict[str, Any]
    """The builder's settings."""
    gates: tuple[GateReport, ...] = ()
    """Of this very plan: no two builds are alike."""
    command: str
    """The command that built it, to run again."""


def plan_name(compute_capability: str) -> str:
    """Returns the plan's file name: ``9.0`` gives ``model.cc90.plan``."""
    return f"model.cc{compute_capability.replace('.', '')}.plan"


def manifest_name(compute_capability: str) -> str:
    """Returns the manifest's file name: ``9.0`` gives ``engine.cc90.json``."""
    return f"engine.cc{compute_capability.replace('.', '')}.json"


def plans_in(folder: Path) -> frozenset[str]:
    """Returns the compute capabilities of which a version folder holds both plan and manifest."""
    names = (path.name for path in folder.glob("model.cc*.plan"))
    numbers = (name.removeprefix("model.cc").removesuffix(".plan") for name in names)
    found = (f"{number[:-1]}.{number[-1]}" for number in numbers if number.isdigit())
    return frozenset(capability for capability in found if (folder / manifest_name(capability)).is_file())


def read_engine_manifest(path: Path) -> EngineManifest:
    """Reads one manifest.

    Raises:
        faults.InvalidInput: it cannot be read or is damaged.
    """
    try:
        return EngineManifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise faults.InvalidInput(
            f"the engine manifest cannot be read: {error}",
            field=path.name,
            value=str(path.parent),
            fix="build the plan again with `vitrine export --target tensorrt`.",
        ) from error


def engine_manifests(folder: Path) -> tuple[EngineManifest, ...]:
    """Returns a version folder's manifests by compute capability; raises as ``read_engine_manifest``."""
    return tuple(
        read_engine_manifest(folder / manifest_name(capability))
        for capability in sorted(plans_in(folder), key=float)
    )
