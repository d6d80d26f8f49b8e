"""The manifest reads back what was written, and refuses what it does not understand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from release_builders import draft, publish

import faults
from releases import Manifest, Probe, ReleaseStore, read_manifest, require_equal
from releases.manifest import parse_manifest


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Manifest]:
    store = ReleaseStore(tmp_path / "store")
    manifest = publish(store)
    return store.path(manifest.release_id), manifest


def test_round_trip(written: tuple[Path, Manifest]) -> None:
    folder, manifest = written
    assert read_manifest(folder) == manifest
    assert manifest.to_json() == (folder / "manifest.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_an_unknown_schema_version_names_both_versions(
    written: tuple[Path, Manifest], version: object
) -> None:
    fields = {**json.loads(written[1].to_json()), "schema_version": version, "from_the_future": True}
    with pytest.raises(faults.Mismatch) as caught:
        parse_manifest(json.dumps(fields).encode())
    assert (caught.value.expected, caught.value.found) == (1, version)
    assert "Vitrine" in caught.value.fix


def _drop(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda fields: fields.pop(name)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_drop("dim"), "dim"),
        (lambda f: f.update(surprise=1), "surprise"),
        (lambda f: f.update(metric="l2"), "metric"),
        (lambda f: f["index"].update(count=99), "index.count"),
        (lambda f: f["index"].update(file="other.faiss"), "other.faiss"),
        (lambda f: f["index"].update(recall=1.5), "recall"),
        (lambda f: f["towers"].pop("query_tower"), "query_tower"),
        (lambda f: f["tokenizer"].update(sha256="ABC"), "sha256"),
        (lambda f: f["probes"][0].update(expected=[1.0]), "probes[0]"),
        (lambda f: f.update(keyword_table="words.arrow"), "words.arrow"),
        (lambda f: f.update(lexical={"folder": "full", "rules_version": 1, "engine": "t"}), "'full/'"),
        (lambda f: f.update(merge={"method": "by_vote"}), "merge.method"),
        (lambda f: f.update(view_vectors={"text": "texts.npy"}), "texts.npy"),
        (lambda f: f.update(view_vectors={"sound": "vectors.npy"}), "view_vectors.sound"),
        (lambda f: f.update(same_style={"both": {"threshold": 0.5}}), "same_style.both"),
        (lambda f: f.update(created_at="2026-11-20T10:15:00"), "created_at"),
    ],
)
def test_a_damaged_manifest_names_the_field(
    written: tuple[Path, Manifest], change: Callable[[dict[str, Any]], object], named: str
) -> None:
    fields = json.loads(written[1].to_json())
    change(fields)
    with pytest.raises(faults.InvalidInput) as caught:
        parse_manifest(json.dumps(fields).encode(), where="store/x/manifest.json")
    assert named in str(caught.value)
    assert caught.value.field == "store/x/manifest.json"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises((faults.InvalidInput, faults.Mismatch)):
        parse_manifest(content)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(faults.NotFound):
        read_manifest(tmp_path)


def test_it_cannot_be_changed_and_holds_no_nan() -> None:
    made = draft()
    with pytest.raises(ValidationError):
        made.dim = 3  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Probe(tower="query_tower", input_ids=(1,), expected=(float("nan"),))


def test_require_equal() -> None:
    require_equal("dim", expected=4, found=4, fix="")
    with pytest.raises(faults.Mismatch, match=r"tokenizer sha256.*'aa'.*'bb'.*index again"):
        require_equal("tokenizer sha256", expected="aa", found="bb", fix="index again.")
