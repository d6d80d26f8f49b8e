"""Small releases for tests: two files and a manifest whose parts agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from releases import (
    CataloguePart,
    EnginePart,
    GateReport,
    IndexPart,
    Manifest,
    Probe,
    ReleaseDraft,
    ReleaseStore,
    TokenizerPart,
    TowerPart,
)

SHA = "0123456789abcdef" * 4


def draft(**changes: Any) -> ReleaseDraft:
    fields: dict[str, Any] = {
        "command": "vitrine index --catalog shop",
        "towers": {
            name: TowerPart(model=name, version=1, sha256=SHA, precision="float32", target="cpu")
            for name in ("query_tower", "product_tower")
        },
        "engine": EnginePart(target="cpu", runtime="onnxruntime 1.31.1", cpu_flags=("avx2",)),
        "tokenizer": TokenizerPart(sha256=SHA, max_query_tokens=16, max_product_tokens=64),
        "preprocessing_hash": SHA,
        "picture_size": 64,
        "views": 1,
        "dim": 4,
        "index": IndexPart(kind="flat", parameters={}, count=3, recall=1.0, file="index.faiss"),
        "catalogue": CataloguePart(fingerprint=SHA, products=3, source="shop"),
        "gates": (
            GateReport(name="recall", passed=True, measured={"recall": 1.0}, thresholds={"recall": 0.98}),
        ),
        "probes": (Probe(tower="query_tower", input_ids=(2, 7, 3), expected=(1.0, 0.0, 0.0, 0.0)),),
    }
    return ReleaseDraft(**{**fields, **changes})


def fill(folder: Path, content: bytes = b"index") -> ReleaseDraft:
    (folder / "index.faiss").write_bytes(content)
    (folder / "tables").mkdir()
    (folder / "tables" / "products.arrow").write_bytes(b"rows")
    return draft()


def publish(store: ReleaseStore, content: bytes = b"index") -> Manifest:
    return store.publish(lambda folder: fill(folder, content))
