"""What the engines run on that can move the last digits of a vector: CPU, GPU, TensorRT."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from releases.engine_manifest import EngineManifest, engine_manifests, plan_name
from releases.export_record import ExportRecord, version_folder
from releases.manifest import EnginePart, require_equal
from releases.verify import hash_file

_NAMED = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """Returns the SIMD levels of this machine that matter, sorted; none where they cannot be read."""
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ()
    for line in text.splitlines():
        name, _, values = line.partition(":")
        if name.strip().lower() in ("flags", "features"):
            return tuple(sorted(set(values.split()) & set(_NAMED)))
    return ()


def plans_of(repository: Path, query: ExportRecord, product: ExportRecord) -> tuple[EngineManifest, ...]:
    """Returns the manifests of a pair's TensorRT plans; none where the target is another.

    Raises:
        InvalidInput: a manifest is damaged.
        Mismatch: the towers have plans for different GPUs, or there is none, or a plan is of another network.
    """
    if query.target != "tensorrt":
        return ()
    plans = [engine_manifests(version_folder(repository, record)) for record in (query, product)]
    kinds = [[plan.compute_capability for plan in of_tower] for of_tower in plans]
    fix = "build the missing plans with `vitrine export --target tensorrt` on such a machine."
    what = "compute capabilities of the plans of query_tower and product_tower"
    require_equal(what, expected=kinds[0] or "at least one", found=kinds[1], fix=fix)
    for record, of_tower in zip((query, product), plans, strict=True):
        for plan in of_tower:
            what = f"onnx_sha256 of {record.model}'s plan for compute capability {plan.compute_capability}"
            require_equal(what, expected=record.sha256, found=plan.onnx_sha256, fix=fix)
            file = version_folder(repository, record) / plan_name(plan.compute_capability)
            require_equal(
                f"sha256 of {file}", expected=plan.plan_sha256, found=hash_file(file).sha256, fix=fix
            )
    return (*plans[0], *plans[1])


def engine_part(record: ExportRecord, plans: Sequence[EngineManifest]) -> EnginePart:
    """Returns what a manifest says of the engines.

    Which GPU of a mixed fleet answered the indexer is not known here, so every kind for which the towers
    have plans is named, as ``8.9, 9.0``; likewise every TensorRT version that built one.
    """
    return EnginePart(
        target=record.target,
        runtime=record.runtime,
        tensorrt_version=_joined(plan.tensorrt_version for plan in plans),
        compute_capability=_joined(plan.compute_capability for plan in plans),
        cpu_flags=cpu_flags(),
    )


def _joined(values: Iterable[str]) -> str | None:
    return ", ".join(dict.fromkeys(values)) or None
