"""The manifest: one typed record of everything in a release that must agree.

What goes wrong in retrieval systems goes wrong quietly: a new query engine meets the
vectors of an old product engine and every answer is a little off. So the manifest names
both sides of each such pair, and whoever loads a release compares and refuses. Unknown
fields and unknown schema versions are refused as well: a manifest that is half understood
is not understood.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

import faults

__all__ = [
    "MANIFEST_NAME",
    "SCHEMA_VERSION",
    "CataloguePart",
    "EnginePart",
    "FilePart",
    "GateReport",
    "IndexPart",
    "LexicalPart",
    "Manifest",
    "MergePart",
    "Probe",
    "ProbePicture",
    "ReleaseDraft",
    "SameStylePart",
    "TokenizerPart",
    "TowerPart",
    "parse_manifest",
    "read_manifest",
    "require_equal",
]

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
TowerName = Literal["query_tower", "product_tower"]
ProbePicture = Literal["none", "ramp"]
HalfName = Literal["text", "image"]
ViewName = Literal["both", "text", "image"]


class _Part(BaseModel):
    """Frozen, strict about names, and without NaN, which would compare unequal to itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TowerPart(_Part):
    """One exported tower, as Triton knows it."""

    model: str
    """Triton model name."""
    version: Positive
    """Triton model version (the folder's number)."""
    sha256: Sha256
    """Hash of the model file in that version folder."""
    precision: str
    target: str


class EnginePart(_Part):
    """What the towers were run with when the vectors of this release were made."""

    target: str
    runtime: str
    """Name and version, such as ``onnxruntime 1.31.1``."""
    tensorrt_version: str | None = None
    compute_capability: str | None = None
    """Of the plans; several, joined by ``, ``, where a fleet has several kinds of GPU."""
    cpu_flags: tuple[str, ...] = ()
    """SIMD levels: they move the last digits of a vector, so they are named."""


class TokenizerPart(_Part):
    """The tokenizer and the lengths at which it cuts."""

    sha256: Sha256
    max_query_tokens: Positive
    max_product_tokens: Positive


class IndexPart(_Part):
    """The index file and what it was measured to be worth."""

    kind: str
    parameters: dict[str, int | float | str]
    count: Count
    recall: Annotated[float, Field(ge=0, le=1)]
    """Recall against exact search, measured by the gate."""
    file: str
    """Name in ``files``, so that the index is covered by a hash."""


class CataloguePart(_Part):
    """The catalogue that was indexed."""

    fingerprint: Sha256
    products: Count
    source: str


class GateReport(_Part):
    """One gate: what it measured and what it asked for, under the same names."""

    name: str
    passed: bool
    measured: dict[str, float]
    thresholds: dict[str, float]


class SameStylePart(_Part):
    """Where "the same style" begins, for vectors of one view, and what that threshold is worth."""

    threshold: float
    """Cosine from which on two products are called the same style."""
    wanted_precision: float
    """What the threshold was chosen for."""
    precision: float
    """Share of the pairs above it that are of one style, among the training styles that it was chosen on."""
    recall: float
    """Share of the pairs of one style that are above it."""
    pairs: Count
    """Pairs of one style that it was chosen on."""
    held_out_precision: float | None = None
    held_out_recall: float | None = None
    """The same among styles that were kept out of training; absent where the catalogue has none."""


class LexicalPart(_Part):
    """The full-text index, and the rules that made it."""

    folder: str
    """Its files stand in ``files`` under this name, so that each is covered by a hash."""
    rules_version: Positive
    """Of text to words: a query that is cut by other rules finds other products."""
    engine: str
    """What wrote it, with its file format."""


class MergePart(_Part):
    """How the release merges its channels, and what that was chosen by."""

    method: Literal["reciprocal_rank", "weighted_scores"]
    dense_weight: Annotated[float, Field(ge=0)]
    lexical_weight: Annotated[float, Field(ge=0)]
    chosen_by: str
    """Which queries, or ``default: ...`` with the reason why there were none."""
    figures: dict[str, float] = {}
    """nDCG@10 on those queries: of either channel, of this plan, and of the best plan for these alone."""


class Probe(_Part):
    """A golden input: whoever loads the release recomputes it and compares.

    The vector was made by the engine of the release. Whatever the target is, an engine
    that is not the release's answers with another vector, and is noticed before it serves.
    A product tower is probed with words alone (``has_image`` all false, pixels all zero) or
    with words and a drawn colour ramp as first picture, so that its image half is covered.
    """

    tower: TowerName
    picture: ProbePicture = "none"
    input_ids: Annotated[tuple[Count, ...], Field(min_length=1)]
    expected: Annotated[tuple[float, ...], Field(min_length=1)]
    """float32 [dim], L2-normalised."""
    minimum_cosine: Annotated[float, Field(gt=0, le=1)] = 0.999


class FilePart(_Part):
    """One file of the release."""

    sha256: Sha256
    bytes: Count


class ReleaseDraft(_Part):
    """What the builder of a release knows; the store adds id, time and file hashes."""

    command: str
    """The command that made the release, to run again."""
    towers: dict[TowerName, TowerPart]
    engine: EnginePart
    tokenizer: TokenizerPart
    preprocessing_hash: str
    picture_size: Positive
    views: Positive
    dim: Positive
    metric: Literal["inner_product"] = "inner_product"
    index: IndexPart
    catalogue: CataloguePart
    gates: tuple[GateReport, ...] = ()
    probes: tuple[Probe, ...] = ()
    same_style_threshold: float | None = None
    """Of whole products; absent where the catalogue has no style groups to calibrate it on."""
    same_style: dict[ViewName, SameStylePart] = {}
    """By view, the threshold of its vectors with its figures."""
    view_vectors: dict[HalfName, str] = {}
    """Names in ``files`` of the vectors of each product's text alone and pictures alone, where kept."""
    keyword_table: str | None = None
    """Name in ``files`` of the keyword table, where the release has one."""
    lexical: LexicalPart | None = None
    """Absent in releases from before full text: their lexical channel does not answer."""
    merge: MergePart | None = None
    """Absent in the same releases."""

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        missing = {"query_tower", "product_tower"} - set(self.towers)
        if missing:
            raise ValueError(f"towers must name both towers; missing: {', '.join(sorted(missing))}")
        if self.index.count != self.catalogue.products:
            raise ValueError(
                f"index.count is {self.index.count} but catalogue.products is {self.catalogue.products}"
            )
        for number, probe in enumerate(self.probes):
            if len(probe.expected) != self.dim:
                raise ValueError(
                    f"probes[{number}].expected has {len(probe.expected)} numbers, dim is {self.dim}"
                )
        return self


class Manifest(ReleaseDraft):
    """A published release."""

    schema_version: Literal[1] = 1
    release_id: str
    created_at: AwareDatetime
    """UTC."""
    files: dict[str, FilePart]
    """Relative POSIX path -> hash and size, of every file but the manifest itself."""

    @model_validator(mode="after")
    def _files_named(self) -> Self:
        for name in (self.index.file, self.keyword_table, *self.view_vectors.values()):
            if name is not None and name not in self.files:
                raise ValueError(f"{name!r} is named by the manifest but is not among its files")
        folder = self.lexical and f"{self.lexical.folder}/"
        if folder and not any(name.startswith(folder) for name in self.files):
            raise ValueError(f"{folder!r} is named by the manifest but none of its files is in it")
        return self

    def to_json(self) -> str:
        """Returns the manifest as stable, indented JSON that ends with a new line."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of one release folder.

    Raises:
        faults.NotFound: there is none.
        faults.Mismatch: it has a schema version that this code does not read.
        faults.InvalidInput: it is damaged; the field is named.
    """
    path = folder / MANIFEST_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise faults.NotFound(
            "there is no release here: no manifest",
            field="release",
            value=str(folder),
            fix="`vitrine releases list` shows the releases of the store.",
        ) from error
    return parse_manifest(content, where=str(path))


def parse_manifest(content: bytes, where: str = MANIFEST_NAME) -> Manifest:
    """Parses and checks a manifest; ``where`` names it in errors. Raises like ``read_manifest``."""
    rebuild = "publish the release again with `vitrine index`."
    try:
        fields: Any = json.loads(content)
    except ValueError as error:
        raise faults.InvalidInput(f"not JSON: {error}", field=where, fix=rebuild) from error
    found = fields.get("schema_version") if isinstance(fields, dict) else None
    # Before all else: under another version the other fields may mean something else.
    if found != SCHEMA_VERSION:
        raise faults.Mismatch(
            f"{where}: schema_version",
            expected=SCHEMA_VERSION,
            found=found,
            fix=f"use the version of Vitrine that wrote it, or {rebuild}",
        )
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise faults.InvalidInput(
            f"{'.'.join(str(part) for part in first['loc']) or 'manifest'}: {first['msg']}",
            field=where,
            value=None if isinstance(first["input"], dict) else first["input"],
            fix=rebuild,
        ) from error


def require_equal(what: str, *, expected: object, found: object, fix: str) -> None:
    """Refuses two values that a release needs to be equal, naming both.

    Raises:
        faults.Mismatch: they differ.
    """
    if expected != found:
        raise faults.Mismatch(what, expected=expected, found=found, fix=fix)
