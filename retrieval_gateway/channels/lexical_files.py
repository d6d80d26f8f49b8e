"""The full-text index of a release on disk: written once by tantivy, and opened without a write.

The folder holds tantivy's own files and nothing else: each is hashed by the release's manifest.
Tantivy takes a lock file beside an index even to read it, which a read-only release must not get.
So a reader opens it through a temporary folder of links: the lock lands there, the files are mapped
where they lie, and several gateways share their pages.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tantivy import Document, Index, Schema, SchemaBuilder, Searcher

import faults
from retrieval_gateway.channels.analysis import analyse

__all__ = ["DESCRIPTION", "INDEX_OPTION", "ROW", "TITLE", "open_lexical_files", "write_lexical_files"]

TITLE, DESCRIPTION, ROW = "title", "description", "row"
INDEX_OPTION = "freq"
"""Of the text fields: how often a word stands in a product, not where; nothing here asks for phrases."""

_WRITER_BYTES = 512 * 2**20
"""Of postings in memory: some five million short products make one segment, more make several."""

_ATTEMPTS = 20
_PAUSE_S = 0.01


def write_lexical_files(
    folder: Path, texts: Iterable[tuple[str, str]], writer_bytes: int = _WRITER_BYTES
) -> None:
    """Writes an index over products; row i is the i-th text.

    Args:
        folder: a new folder, which is made.
        texts: (title, description) of each product.
        writer_bytes: memory to write with, at least 15 MB; less makes more segments.

    Raises:
        faults.StorageFailed: the folder exists, or the disk is full or read-only.
    """
    try:
        folder.mkdir()
        index = Index(_schema(), path=str(folder), sort_by_field=ROW)
        writer = index.writer(heap_size=writer_bytes, num_threads=1)
        for row, (title, description) in enumerate(texts):
            document = Document()
            document.add_text(TITLE, " ".join(analyse(title)))
            document.add_text(DESCRIPTION, " ".join(analyse(description)))
            document.add_unsigned(ROW, row)
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
    except (OSError, ValueError) as error:  # tantivy raises ValueError for whatever its threads met
        raise faults.StorageFailed(
            f"the full-text index could not be written: {error}",
            field="lexical",
            value=str(folder),
            fix="free space there, then run again.",
        ) from error
    for name in (".managed.json", ".tantivy-writer.lock", ".tantivy-meta.lock"):
        (folder / name).unlink(missing_ok=True)  # a writer's; there will be none


def open_lexical_files(folder: Path) -> tuple[Schema, Searcher]:
    """Maps an index into memory; nothing in ``folder`` is changed.

    Raises:
        faults.NotFound: no such folder.
        faults.StorageFailed: it is torn, or no index of ours.
    """
    if not folder.is_dir():
        raise faults.NotFound(
            "the release has no full-text index",
            field="lexical",
            value=str(folder),
            fix="publish the release again.",
        )
    view = Path(tempfile.mkdtemp(prefix="vitrine-lexical-"))
    try:
        for file in folder.iterdir():
            (view / file.name).symlink_to(file.resolve())
        index = Index.open(str(view))
        index.config_reader("manual")  # what is open stays as it is: there are no commits to follow
        return index.schema, index.searcher()
    except (OSError, ValueError) as error:
        raise faults.StorageFailed(
            f"the full-text index cannot be read: {error}",
            field="lexical",
            value=str(folder),
            fix="copy the release again from where it was published.",
        ) from error
    finally:
        _remove(view)


def _remove(view: Path) -> None:
    """Removes a folder in which tantivy's own thread may take its lock once more while this goes on."""
    for _ in range(_ATTEMPTS):
        shutil.rmtree(view, ignore_errors=True)
        if not view.exists():
            return
        time.sleep(_PAUSE_S)


def _schema() -> Schema:
    builder = SchemaBuilder()
    for name in (TITLE, DESCRIPTION):
        # Words come analysed (``analysis``) and are only cut at spaces here, so that a reader needs no
        # analyzer registered under a name that the file knows.
        builder.add_text_field(name, tokenizer_name="whitespace", index_option=INDEX_OPTION)
    builder.add_unsigned_field(ROW, indexed=True, fast=True)
    return builder.build()
