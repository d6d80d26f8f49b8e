"""A catalogue to a folder, in DESIGN.md's Parquet form; the readers' other half."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.atomic import make_folder, write_atomically
from catalog.schema import Click, CoClick, EvaluationQuery, Judgement, Picture, Product

__all__ = ["write_catalogue"]

_TEXTS = (
    "product_id", "title", "description", "category", "subcategory", "brand", "color",
    "supplier", "style_group",
)  # fmt: skip


def write_catalogue(
    folder: Path,
    products: Sequence[Product],
    pictures: Iterable[Picture],
    clicks: Sequence[Click] | None = None,
    coclicks: Sequence[CoClick] | None = None,
    queries: Sequence[EvaluationQuery] | None = None,
    judgements: Sequence[Judgement] | None = None,
) -> None:
    """Writes the folder's files, each of them whole or not at all; what is None is not written.

    The products file comes last: a folder that was left half-written does not pass for a
    catalogue. Equal input gives equal bytes.

    Raises:
        StorageFailed: the folder cannot be written.
    """
    make_folder(folder)
    if clicks is not None:
        _write_parquet(folder / "clicks.parquet", _click_table(clicks))
    if coclicks is not None:
        _write_parquet(folder / "coclicks.parquet", _coclick_table(coclicks))
    if queries is not None:
        rows = ((query.query_id, query.kind, query.query) for query in queries)
        _write_csv(folder / "queries.csv", ("query_id", "kind", "query"), rows)
    if judgements is not None:
        graded = ((one.query_id, one.product_id, str(one.grade)) for one in judgements)
        _write_csv(folder / "qrels.csv", ("query_id", "product_id", "grade"), graded)
    _write_parquet(folder / "images.parquet", _picture_table(pictures))
    _write_parquet(folder / "products.parquet", _product_table(products))


def _product_table(products: Sequence[Product]) -> pa.Table:
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(product, name) for product in products], pa.string()) for name in _TEXTS
    }
    columns["price"] = pa.array([product.price for product in products], pa.float64())
    columns["in_stock"] = pa.array([product.in_stock for product in products], pa.bool_())
    attributes = [json.dumps(dict(product.attributes), ensure_ascii=False) for product in products]
    columns["attributes"] = pa.array(attributes, pa.string())
    return pa.table(columns)


def _picture_table(pictures: Iterable[Picture]) -> pa.Table:
    rows = [(picture.product_id, picture.view, picture.data) for picture in pictures]
    return pa.table(
        {
            "product_id": pa.array([row[0] for row in rows], pa.string()),
            "view": pa.array([row[1] for row in rows], pa.string()),
            # large_binary: more than 2 GB of pictures is an ordinary shop.
            "jpeg": pa.array([row[2] for row in rows], pa.large_binary()),
        }
    )


def _click_table(clicks: Sequence[Click]) -> pa.Table:
    return pa.table(
        {
            "query": pa.array([click.query for click in clicks], pa.string()),
            "product_id": pa.array([click.product_id for click in clicks], pa.string()),
            "clicks": pa.array([click.clicks for click in clicks], pa.int64()),
            "impressions": pa.array([click.impressions for click in clicks], pa.int64()),
            "deciding_modality": pa.array([click.deciding_modality for click in clicks], pa.string()),
        }
    )


def _coclick_table(coclicks: Sequence[CoClick]) -> pa.Table:
    return pa.table(
        {
            "trigger_id": pa.array([one.trigger_id for one in coclicks], pa.string()),
            "clicked_id": pa.array([one.clicked_id for one in coclicks], pa.string()),
            "clicks": pa.array([one.clicks for one in coclicks], pa.int64()),
        }
    )


def _write_parquet(path: Path, table: pa.Table) -> None:
    def write(stream: BinaryIO) -> None:
        pq.write_table(table, stream, compression="zstd")

    write_atomically(path, write)


def _write_csv(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(path, lambda stream: stream.write(text.getvalue().encode("utf-8")))
