"""Readers of what shoppers did and of what judges said.

Each file is optional beside a catalogue; where it is there, it must agree with the
products, since a click on an unknown id is usually a sign of the wrong export.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from catalog.complaints import complaint, refuse_if_any, refuse_unknown, repeats
from catalog.fields import convert, count_of, text_of
from catalog.schema import Click, CoClick, EvaluationQuery, Judgement
from catalog.tables import Columns, first_existing, read_columns

__all__ = ["read_clicks", "read_coclicks", "read_judgements", "read_queries", "read_query_log"]

_HIGHEST_GRADE = 2
_UNKNOWN_FIX = "Export the log for these very products, or remove the rows."


def read_clicks(folder: Path) -> list[Click] | None:
    """Reads ``clicks.parquet`` (or ``clicks.csv``) of a catalogue's folder.

    ``impressions`` may be absent: every impression was then a click.

    Returns:
        The clicks in the file's order, or None where there is no such file.

    Raises:
        CatalogueError: unreadable, malformed, or products that the catalogue does not have.
    """
    path = first_existing(folder, "clicks.parquet", "clicks.csv")
    if path is None:
        return None
    columns = read_columns(path, ("query", "product_id", "clicks"), ("impressions", "deciding_modality"))
    product_ids = _known_ids(path, columns, ("product_id",))
    queries = [text_of(cell) for cell in columns["query"]]
    blank = [row for row, query in enumerate(queries, start=1) if not query.strip()]
    refuse_if_any(
        blank, what="rows have no query", where=f"{path}: query", fix="Remove rows without a query."
    )
    clicks = _counts(path, columns, "clicks", product_ids)
    impressions = _counts(path, columns, "impressions", product_ids) if "impressions" in columns else clicks
    wrong = [product_id for product_id, c, i in zip(product_ids, clicks, impressions, strict=True) if c > i]
    refuse_if_any(
        wrong,
        what="rows have more clicks than impressions",
        where=f"{path}: impressions",
        fix="Count every click as an impression, or leave the column out.",
    )
    modalities = [text_of(cell) for cell in columns.get("deciding_modality", [""] * len(queries))]
    return [Click(*row) for row in zip(queries, product_ids, clicks, impressions, modalities, strict=True)]


def read_coclicks(folder: Path) -> list[CoClick] | None:
    """Reads ``coclicks.parquet`` (or ``.csv``); None where there is none; raises CatalogueError."""
    path = first_existing(folder, "coclicks.parquet", "coclicks.csv")
    if path is None:
        return None
    columns = read_columns(path, ("trigger_id", "clicked_id", "clicks"))
    _known_ids(path, columns, ("trigger_id", "clicked_id"))
    triggers = [text_of(cell) for cell in columns["trigger_id"]]
    clicked = [text_of(cell) for cell in columns["clicked_id"]]
    counts = _counts(path, columns, "clicks", triggers)
    return [CoClick(*row) for row in zip(triggers, clicked, counts, strict=True)]


def read_query_log(path: Path) -> dict[str, int]:
    """Reads how often each text was asked: a CSV or Parquet file with ``query`` and, if counted, ``count``.

    Repeated texts are summed.

    Raises:
        CatalogueError: absent, unreadable, a count below 0, or no rows.
    """
    columns = _evaluation_columns(path, ("query",), ("count",))
    texts = [text_of(cell) for cell in columns["query"]]
    counts = _counts(path, columns, "count", texts) if "count" in columns else [1] * len(texts)
    refuse_if_any(
        [row for row, text in enumerate(texts, start=1) if not text.strip()],
        what="rows have no query",
        where=f"{path}: query",
        fix="Remove rows without a query.",
    )
    refuse_if_any(
        [] if any(counts) else ["all"], what="counts are 0", where=f"{path}: count", fix="Count searches."
    )
    asked: dict[str, int] = {}
    for text, count in zip(texts, counts, strict=True):
        asked[text] = asked.get(text, 0) + count
    return asked


def read_queries(path: Path) -> list[EvaluationQuery]:
    """Reads ``queries.csv``: query_id, query and, where known, kind.

    Raises:
        CatalogueError: absent, unreadable, repeated ids, or no queries.
    """
    columns = _evaluation_columns(path, ("query_id", "query"), ("kind",))
    ids = [text_of(cell) for cell in columns["query_id"]]
    refuse_if_any(
        repeats(ids), what="query ids repeat", where=f"{path}: query_id", fix="Give every query its own id."
    )
    queries = [text_of(cell) for cell in columns["query"]]
    kinds = [text_of(cell) for cell in columns.get("kind", [""] * len(ids))]
    return [EvaluationQuery(*row) for row in zip(ids, queries, kinds, strict=True)]


def read_judgements(
    path: Path,
    *,
    product_ids: Container[str] | None = None,
    query_ids: Container[str] | None = None,
) -> list[Judgement]:
    """Reads ``qrels.csv``: query_id, product_id, grade (0 to 2).

    Args:
        path: the file.
        product_ids: a set of all products (or the catalogue itself); None = do not check.
        query_ids: a set of all queries; None = do not check.

    Raises:
        CatalogueError: absent, unreadable, grades out of range, unknown products or queries.
    """
    columns = _evaluation_columns(path, ("query_id", "product_id", "grade"), ())
    queries = [text_of(cell) for cell in columns["query_id"]]
    products = [text_of(cell) for cell in columns["product_id"]]
    grades = _counts(path, columns, "grade", products)
    names = zip(queries, products, grades, strict=True)
    wrong = [f"{query}/{product}" for query, product, grade in names if grade > _HIGHEST_GRADE]
    refuse_if_any(wrong, what="grades are above 2", where=f"{path}: grade", fix="Grade with 0, 1 or 2.")
    fix = "Judge the products of this catalogue, or name the catalogue that was judged."
    if product_ids is not None:
        where = f"{path}: product_id"
        refuse_unknown(products, product_ids, what="judged products are not there", where=where, fix=fix)
    if query_ids is not None:
        where = f"{path}: query_id"
        refuse_unknown(queries, query_ids, what="judged queries are not there", where=where, fix=fix)
    return [Judgement(*row) for row in zip(queries, products, grades, strict=True)]


def _evaluation_columns(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> Columns:
    path = Path(path)
    if not path.is_file():
        raise complaint(
            "there is no such file.",
            where="evaluation file",
            value=str(path),
            fix=f"Name a CSV file with the columns {', '.join(required)}.",
        )
    columns = read_columns(path, required, optional)
    if not columns[required[0]]:
        raise complaint("holds no rows.", where=str(path), fix="Give at least one row.")
    return columns


def _known_ids(path: Path, columns: Columns, names: tuple[str, ...]) -> list[str]:
    """Checks the id columns against the products file beside ``path``; returns the first one's ids."""
    products = first_existing(path.parent, "products.parquet", "products.csv")
    if products is not None:
        known = {text_of(cell) for cell in read_columns(products, ("product_id",))["product_id"]}
        for name in names:
            refuse_unknown(
                [text_of(cell) for cell in columns[name]],
                known,
                what="product ids are not in the catalogue",
                where=f"{path}: {name}",
                fix=_UNKNOWN_FIX,
            )
    return [text_of(cell) for cell in columns[names[0]]]


def _counts(path: Path, columns: Columns, name: str, row_names: list[str]) -> list[int]:
    return convert(
        columns[name],
        count_of,
        row_names=row_names,
        what=f"rows have a {name} that is not a whole number of at least 0",
        where=f"{path}: {name}",
        fix="Write whole numbers.",
    )
