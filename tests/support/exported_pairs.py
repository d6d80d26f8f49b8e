"""Exported towers in a model repository, as files that agree with each other; the networks are mere bytes."""

from pathlib import Path
from typing import Any

from catalog.preprocessing import preprocessing_hash
from catalog.tokenizer import Tokenizer, train_tokenizer
from export.repository_plans import BuiltPlan, put_plan
from releases.engine_manifest import EngineManifest
from releases.export_record import MODEL_FILE, TOKENIZER_FILE, ExportRecord
from releases.manifest import GateReport
from releases.verify import hash_file

LIMITS = {"picture_size": 16, "max_query_tokens": 8, "max_product_tokens": 10, "views": 1}
DIM = 16


def tiny_tokenizer() -> Tokenizer:
    return train_tokenizer(["mug lamp chair red green blue white of the makers"], 300)


def make_record(model: str, tokenizer: Tokenizer, **changes: Any) -> ExportRecord:
    """The record of version 1 of a tower; changes win."""
    fields: dict[str, Any] = {
        "model": model,
        "version": 1,
        "sha256": "0" * 64,
        "target": "cpu",
        "precision": "fp32",
        "runtime": "onnxruntime 1.0.0",
        "dim": DIM,
        **LIMITS,
        "tokenizer_sha256": tokenizer.sha256,
        "preprocessing_hash": preprocessing_hash(
            LIMITS["picture_size"], LIMITS["max_query_tokens"], LIMITS["max_product_tokens"], LIMITS["views"]
        ),
        "gates": (
            GateReport(name=f"parity of {model}", passed=True, measured={"c": 1.0}, thresholds={"c": 0.9}),
        ),
        "provenance": {"command": "vitrine train"},
        "command": "vitrine export",
    }
    return ExportRecord.model_validate({**fields, **changes})


def native_record(model: str, tokenizer: Tokenizer, target: str, **changes: Any) -> ExportRecord:
    """As ``make_record`` for a native target, with two profiles, for short texts and for long ones."""
    longest, most = (32, 64) if model == "query_tower" else (48, 32)
    profiles = [
        {"batch": (1, 16, most), "length": (8, 8, 16)},
        {"batch": (1, 16, most), "length": (24, 24, longest)},
    ]
    sizes = {"max_query_tokens": 32, "max_product_tokens": 48, "views": 2, "picture_size": 32}
    return make_record(model, tokenizer, **{"target": target, "profiles": profiles, **sizes, **changes})


def build_plan(
    file: Path, record: ExportRecord, compute_capability: str = "9.0", **changes: Any
) -> BuiltPlan:
    """A plan of mere bytes for a record, written to ``file``; changes to its manifest win."""
    file.write_bytes(f"plan of {record.model} {record.version} for {compute_capability}".encode())
    fields: dict[str, Any] = {
        "model": record.model,
        "precision": record.precision,
        "compute_capability": compute_capability,
        "gpu": "a GPU",
        "tensorrt_version": "10.13.3.9",
        "onnx_sha256": record.sha256,
        "plan_sha256": hash_file(file).sha256,
        "profiles": record.profiles,
        "flags": {},
        "command": "vitrine export --target tensorrt",
    }
    return BuiltPlan(file, EngineManifest.model_validate({**fields, **changes}))


def write_pair(
    repository: Path,
    version: int = 1,
    of_product: dict[str, Any] | None = None,
    of_both: dict[str, Any] | None = None,
) -> Tokenizer:
    """Writes both towers' version folders; ``of_product`` changes the product tower's record."""
    tokenizer = tiny_tokenizer()
    for model, changes in (("query_tower", {}), ("product_tower", of_product or {})):
        folder = repository / model / str(version)
        folder.mkdir(parents=True)
        (folder / MODEL_FILE).write_bytes(f"network of {model} {version}".encode())
        (folder / TOKENIZER_FILE).write_bytes(tokenizer.to_bytes())
        sha256 = hash_file(folder / MODEL_FILE).sha256
        fields = {"version": version, "sha256": sha256, **(of_both or {}), **changes}
        record = make_record(model, tokenizer, **fields)
        (folder / "export.json").write_text(record.model_dump_json())
    return tokenizer


def write_plan(folder: Path, compute_capability: str, **changes: Any) -> None:
    """Adds a plan to a version folder that ``write_pair`` has written."""
    record = ExportRecord.model_validate_json((folder / "export.json").read_bytes())
    scratch = folder.parent.parent / "some.plan"
    put_plan(folder, build_plan(scratch, record, compute_capability, **changes))
    scratch.unlink()
