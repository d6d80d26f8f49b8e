"""Product fields as packed columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.index.product_fields import NUMBERS
from retrieval_gateway.index.product_table import ProductTable

__all__ = ["columns", "modality_weights"]

_WEIGHTS = ("text_weight", "image_weight")


def columns(table: ProductTable, rows: NDArray[np.int64], names: Sequence[str]) -> list[pb.Column]:
    """Returns one column a field, in the order of ``names``; rows int64[m], each in 0..N-1."""
    return [_column(name, values) for name, values in table.fields(rows, names).items()]


def modality_weights(table: ProductTable, rows: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Returns how much of each product's vector comes from its text, and how much from its pictures."""
    found = table.fields(rows, _WEIGHTS)
    return found["text_weight"], found["image_weight"]


def _column(name: str, values: Sequence[Any]) -> pb.Column:
    """Packs one field; a missing value is sent as the type's empty value and marked in ``present``."""
    column = pb.Column(field=name)
    present = [value is not None and value != "" for value in values]
    if name == "in_stock":
        column.flags.extend(bool(value) for value in values)
    elif name in NUMBERS:
        column.numbers.extend(0.0 if value is None else float(value) for value in values)
    else:
        column.texts.extend(values)
    if not all(present):
        column.present.extend(present)
    return column
