"""A shop that does not exist, made to measure what each modality contributes.

In some categories only the picture tells what a shopper wants to know, in others only
the title; which of the two decided is known for every click. It needs no download, and
the same (products, seed) always gives the same bytes.
"""

from catalog.sample_shop.generator import make_sample_shop

__all__ = ["make_sample_shop"]
