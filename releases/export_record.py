"""The record that lies beside every exported tower: what it is and how it must be fed.

``export`` writes it, ``indexing`` builds releases from it; it stands here, on the floor
that both may use.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

import faults
from releases.manifest import GateReport, Positive, Sha256, TowerName, TowerPart, require_equal
from releases.verify import hash_file

__all__ = [
    "EXPORT_RECORD",
    "KEYWORDS_FILE",
    "MODEL_FILE",
    "TOKENIZER_FILE",
    "ExportRecord",
    "OptimisationProfile",
    "newest_pair",
    "newest_record",
    "next_version",
    "read_record",
    "remove_unused",
    "version_folder",
    "version_folders",
]

EXPORT_RECORD = "export.json"
MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
KEYWORDS_FILE = "keywords.json"
"""Keywords of queries, beside a query tower that reads them."""

_AGAIN = "export the checkpoint again with `vitrine export`."


class OptimisationProfile(BaseModel):
    """Shapes for which an engine is built and warmed up: rows and tokens, each smallest, usual, largest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: tuple[Positive, Positive, Positive]
    length: tuple[Positive, Positive, Positive]

    @field_validator("batch", "length")
    @classmethod
    def _in_order(cls, bounds: tuple[int, int, int]) -> tuple[int, int, int]:
        if list(bounds) != sorted(bounds):
            raise ValueError(f"{bounds} must be smallest, usual, largest")
        return bounds

    def covers(self, rows: int, tokens: int) -> bool:
        """Tells whether a batch of this shape can run under the profile."""
        return self.batch[0] <= rows <= self.batch[2] and self.length[0] <= tokens <= self.length[2]

    def __repr__(self) -> str:
        """Short, because errors show several profiles in one line."""
        return "{}/{}/{} x {}/{}/{}".format(*self.batch, *self.length)


class ExportRecord(BaseModel):
    """One version of one tower."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: TowerName
    version: Positive
    sha256: Sha256
    """Hash of ``model.onnx``, which every version holds: a TensorRT plan is built from it."""
    target: str
    precision: str
    runtime: str
    """Name and version of what ran it in its gate."""
    dim: Positive
    picture_size: Positive
    views: Positive
    max_query_tokens: Positive
    max_product_tokens: Positive
    profiles: tuple[OptimisationProfile, ...] = ()
    """What native engines are tuned and warmed up for; none for ``cpu``."""
    tokenizer_sha256: Sha256
    preprocessing_hash: Sha256
    gates: tuple[GateReport, ...]
    provenance: dict[str, Any]
    """Where the checkpoint comes from."""
    command: str

    def as_part(self) -> TowerPart:
        """Returns what a manifest says of this tower."""
        return TowerPart(
            model=self.model,
            version=self.version,
            sha256=self.sha256,
            precision=self.precision,
            target=self.target,
        )


_OWN_TO_A_TOWER = {"model", "sha256", "gates", "precision", "profiles"}


def next_version(repository: Path) -> int:
    """Returns the first version number that neither tower has in a model repository."""
    return max((_newest(repository, model) for model in ("query_tower", "product_tower")), default=0) + 1


def newest_pair(repository: Path) -> tuple[ExportRecord, ExportRecord]:
    """Reads the newest exported query tower and product tower, and checks that they belong together.

    Raises:
        faults.NotFound: nothing was exported.
        faults.InvalidInput: a record is damaged.
        faults.Mismatch: the two towers, or a model file and its record, do not agree.
    """
    query, product = (_read_newest(repository, model) for model in ("query_tower", "product_tower"))
    for name in sorted(set(ExportRecord.model_fields) - _OWN_TO_A_TOWER):
        require_equal(
            f"{name} of query_tower and product_tower",
            expected=getattr(query, name),
            found=getattr(product, name),
            fix=_AGAIN,
        )
    return query, product


def version_folder(repository: Path, record: ExportRecord) -> Path:
    """Returns where a version lies in a model repository."""
    return repository / record.model / str(record.version)


def remove_unused(repository: Path, used: Collection[tuple[str, int]]) -> list[tuple[str, int]]:
    """Removes exported versions that no release needs, and returns them as (model, version).

    The newest version of each tower stays, used or not: the next release is made of it.

    Args:
        repository: the model repository.
        used: (model, version) of every tower of every release that is kept.
    """
    removed = []
    for model in ("query_tower", "product_tower"):
        for folder in version_folders(repository, model)[:-1]:
            version = int(folder.name)
            if (model, version) not in used:
                shutil.rmtree(folder)
                removed.append((model, version))
    return removed


def version_folders(repository: Path, model: str) -> list[Path]:
    """Returns the version folders of a model, the oldest first."""
    return [repository / model / str(version) for version in _versions(repository, model)]


def newest_record(repository: Path, model: str) -> ExportRecord | None:
    """Reads the record of a model's newest version, None where there is none; raises as ``read_record``."""
    folders = version_folders(repository, model)
    return read_record(folders[-1]) if folders else None


def read_record(folder: Path) -> ExportRecord:
    """Reads the record of a version folder.

    Raises:
        faults.InvalidInput: it is missing or damaged.
    """
    try:
        return ExportRecord.model_validate_json((folder / EXPORT_RECORD).read_bytes())
    except (OSError, ValidationError) as error:
        raise faults.InvalidInput(
            f"the export record cannot be read: {error}", field=EXPORT_RECORD, value=str(folder), fix=_AGAIN
        ) from error


def _versions(repository: Path, model: str) -> list[int]:
    return sorted(int(path.name) for path in (repository / model).glob("*") if path.name.isdigit())


def _newest(repository: Path, model: str) -> int:
    return max(_versions(repository, model), default=0)


def _read_newest(repository: Path, model: str) -> ExportRecord:
    record = newest_record(repository, model)
    if record is None:
        raise faults.NotFound(
            f"no exported version of {model}",
            field="model repository",
            value=str(repository),
            fix="export a checkpoint with `vitrine export`.",
        )
    model_file = version_folders(repository, model)[-1] / MODEL_FILE
    require_equal(
        f"sha256 of {model_file}", expected=record.sha256, found=hash_file(model_file).sha256, fix=_AGAIN
    )
    return record
