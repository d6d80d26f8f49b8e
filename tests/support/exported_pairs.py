"""Exported towers in a model repository, as files that agree with each other; the networks are mere bytes."""

from pathlib import Path
from typing import Any

from catalog.preprocessing import preprocessing_hash
from catalog.tokenizer import Tokenizer, train_tokenizer
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


def write_pair(repository: Path, version: int = 1, of_product: dict[str, Any] | None = None) -> Tokenizer:
    """Writes both towers' version folders; ``of_product`` changes the product tower's record."""
    tokenizer = tiny_tokenizer()
    for model, changes in (("query_tower", {}), ("product_tower", of_product or {})):
        folder = repository / model / str(version)
        folder.mkdir(parents=True)
        (folder / MODEL_FILE).write_bytes(f"network of {model} {version}".encode())
        (folder / TOKENIZER_FILE).write_bytes(tokenizer.to_bytes())
        sha256 = hash_file(folder / MODEL_FILE).sha256
        record = make_record(model, tokenizer, **{"version": version, "sha256": sha256, **changes})
        (folder / "export.json").write_text(record.model_dump_json())
    return tokenizer
