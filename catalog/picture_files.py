"""Which file in ``images/`` shows which product, for a catalogue in CSV form.

A file is named after its product: ``<product_id>.jpg`` is the main view and
``<product_id>__<view>.jpg`` another. A column ``image`` may name the main file instead.
"""

from __future__ import annotations

from pathlib import Path

from catalog.catalogue import Catalogue
from catalog.complaints import complaint, refuse_if_any

__all__ = ["find_picture_files"]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_MAIN = "main"


def find_picture_files(folder: Path, known: Catalogue, named: list[str]) -> dict[str, list[tuple[str, Path]]]:
    """Returns product id to (view, file); the main view first, others by name.

    Args:
        folder: the catalogue's folder; pictures lie in its ``images``.
        known: the products.
        named: the column ``image``, one cell a product (file name in ``images``, or path
            within ``folder``; blank = go by the file's name), or empty without such a column.

    Raises:
        CatalogueError: files belong to no product, or named files do not exist.
    """
    images = folder / "images"
    files: dict[str, list[tuple[str, Path]]] = {}
    claimed: set[Path] = set()
    for product_id, path in _named_files(folder, known, named).items():
        files[product_id] = [(_MAIN, path)]
        claimed.add(path.resolve())
    strangers: list[str] = []
    for path in _picture_paths(images):
        if path.resolve() in claimed:
            continue
        owner = _owner(path.stem, known)
        if owner is None:
            strangers.append(path.name)
        else:
            files.setdefault(owner[0], []).append((owner[1], path))
    refuse_if_any(
        strangers,
        what="pictures are named after no product",
        where=str(images),
        fix="Name them <product_id>.jpg or <product_id>__<view>.jpg, or remove them.",
    )
    for views in files.values():
        views.sort(key=lambda view: (view[0] != _MAIN, view[0], view[1].name))
    return files


def _picture_paths(images: Path) -> list[Path]:
    if not images.is_dir():
        return []
    try:
        return sorted(path for path in images.iterdir() if path.suffix.lower() in _SUFFIXES)
    except OSError as error:
        raise complaint(
            f"the folder cannot be listed ({error.strerror}).",
            where=str(images),
            fix="Give this user the right to read it.",
        ) from error


def _owner(stem: str, known: Catalogue) -> tuple[str, str] | None:
    """Splits a file's stem; an id may itself hold ``__``, so the whole stem is tried first."""
    if stem in known:
        return stem, _MAIN
    product_id, separator, view = stem.rpartition("__")
    return (product_id, view) if separator and product_id in known else None


def _named_files(folder: Path, known: Catalogue, named: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    wrong: list[str] = []
    for product_id, name in zip(known.ids, named, strict=False):
        if not name.strip():
            continue
        places = (folder / "images" / name, folder / name)
        path = next((place for place in places if _lies_within(place, folder) and place.is_file()), None)
        if path is None:
            wrong.append(f"{name} of {product_id}")
        else:
            found[product_id] = path
    refuse_if_any(
        wrong,
        what="named pictures do not exist in the catalogue's folder",
        where=f"{folder}: image",
        fix="Put the files into images/, or leave the cell empty.",
    )
    return found


def _lies_within(path: Path, folder: Path) -> bool:
    """A catalogue from elsewhere must not make us read files outside of it."""
    return path.resolve().is_relative_to(folder.resolve())
