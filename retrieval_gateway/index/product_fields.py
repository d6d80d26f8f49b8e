"""The columns of a product table: one short list that writer, reader and filters share."""

from __future__ import annotations

import pyarrow as pa

__all__ = ["FIELDS", "LOOKUP_HASH", "LOOKUP_ROW", "NUMBERS", "SCHEMA", "TEXTS", "WORDS"]

TEXTS = ("title", "description")
"""Free text, nearly always different from product to product."""

WORDS = ("category", "subcategory", "brand", "color", "supplier", "style_group")
"""Values that repeat: stored once each (dictionary), which makes filters cheap."""

NUMBERS = {
    "price": pa.float64(),
    "in_stock": pa.bool_(),
    "text_weight": pa.float32(),
    "image_weight": pa.float32(),
}
"""Null where missing. The weights are the product tower's, how much words and picture count."""

FIELDS = ("product_id", *TEXTS, *WORDS, *NUMBERS)
"""What a reply may carry, in the order of the file."""

LOOKUP_HASH, LOOKUP_ROW = "lookup_hash", "lookup_row"

# large_string: ten million descriptions pass the 2 GB that 32-bit offsets reach.
SCHEMA = pa.schema(
    [
        ("product_id", pa.large_string()),
        *((name, pa.large_string()) for name in TEXTS),
        *((name, pa.dictionary(pa.int32(), pa.large_string())) for name in WORDS),
        *NUMBERS.items(),
        (LOOKUP_HASH, pa.uint64()),
        (LOOKUP_ROW, pa.uint32()),
    ],
    metadata={"vitrine.product_table": "1"},
)
