"""The full-text index of a release, over the same text that the product tower reads, and no other."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from catalog.catalogue import Catalogue
from releases.manifest import LexicalPart
from retrieval_gateway.channels.analysis import RULES_VERSION
from retrieval_gateway.channels.lexical_files import write_lexical_files

__all__ = ["write_lexical"]

_FOLDER = "lexical"


def write_lexical(folder: Path, catalogue: Catalogue) -> LexicalPart:
    """Writes the index into a release's folder; row by row as the vectors.

    Only title and description go in, as ``Product.indexed_text`` has it: judgements and simulated clicks
    are derived from the other fields.

    Raises:
        StorageFailed: the disk is full or read-only.
    """
    texts = ((product.title, product.description) for product in catalogue.products)
    write_lexical_files(folder / _FOLDER, texts)
    return LexicalPart(folder=_FOLDER, rules_version=RULES_VERSION, engine=f"tantivy {version('tantivy')}")
