"""Releases: everything that must agree, in one folder, switched as one.

A release names and hashes its towers' identity, tokenizer, preprocessing, index, vectors
and product table. It is published whole or not at all, and becomes active by one atomic
rename. This package imports nothing of ours but ``faults``.
"""

from releases.listing import ReleaseInfo
from releases.manifest import (
    CataloguePart,
    EnginePart,
    FilePart,
    GateReport,
    IndexPart,
    Manifest,
    Probe,
    ReleaseDraft,
    TokenizerPart,
    TowerPart,
    read_manifest,
    require_equal,
)
from releases.store import ReleaseStore

__all__ = [
    "CataloguePart",
    "EnginePart",
    "FilePart",
    "GateReport",
    "IndexPart",
    "Manifest",
    "Probe",
    "ReleaseDraft",
    "ReleaseInfo",
    "ReleaseStore",
    "TokenizerPart",
    "TowerPart",
    "read_manifest",
    "require_equal",
]
