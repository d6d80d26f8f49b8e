"""``vitrine sample-shop``: makes a shop with drawn pictures and a click log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from catalog.sample_shop import make_sample_shop
from vitrine.terminal import console, progress


def sample_shop(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    products: Annotated[int, typer.Option(help="How many products.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same shop, byte for byte.")] = 0,
) -> None:
    """Makes a sample shop: products with drawn pictures, a click log, queries and judgements."""
    with progress("drawing products", products) as done:
        folder = make_sample_shop(out, products, seed, done)
    console.print(f"sample shop in {folder}")
