"""Which products are kept out of training, so that measurements on them are honest.

The rule goes by style group, not by product: another colour of a style that was trained
on would be no surprise to the towers.
"""

from __future__ import annotations

import hashlib

from catalog.schema import Product

__all__ = ["is_held_out", "is_held_out_product"]

_BUCKETS = 10
_FIRST_HELD_OUT_BUCKET = 7


def is_held_out(style_group: str) -> bool:
    """Tells whether a style group belongs to the held-out 30 %.

    The rule is fixed for good: figures measured with another split cannot be compared.
    """
    # SHA-1 spreads the names evenly; nothing here is a secret.
    digest = hashlib.sha1(("g" + style_group).encode(), usedforsecurity=False).hexdigest()
    return int(digest, 16) % _BUCKETS >= _FIRST_HELD_OUT_BUCKET


def is_held_out_product(product: Product) -> bool:
    """Applies :func:`is_held_out`; a product without a style group is a style of its own."""
    return is_held_out(product.style_group or product.product_id)
