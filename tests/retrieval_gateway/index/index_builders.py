"""Clustered unit vectors and a small shop, for the index tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval_gateway.index import ProductTable, write_product_table


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / lengths, np.float32)


def clustered(count: int, dim: int, clusters: int, seed: int = 0) -> NDArray[np.float32]:
    """Vectors around centres, as embeddings of products in categories lie."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(clusters, dim)))
    noise = rng.normal(size=(count, dim)) * (0.5 / np.sqrt(dim))
    return unit(centres[rng.integers(0, clusters, count)] + noise)


def near(vectors: NDArray[np.float32], count: int, seed: int = 1) -> NDArray[np.float32]:
    """Queries that lie near stored vectors without being any."""
    rng = np.random.default_rng(seed)
    chosen = vectors[rng.integers(0, len(vectors), count)]
    return unit(chosen + rng.normal(size=chosen.shape) * (0.3 / np.sqrt(vectors.shape[1])))


SHOP = {
    "product_id": ["tee", "jacket", "bike", "chip", "ghost"],
    "title": ["Tee", "Jacket", "Bike", "Chip", ""],
    "description": ["soft", None, "fast", "small", ""],
    "category": ["Apparel", "apparel ", "Bikes", "Electronic components", ""],
    "subcategory": ["Men > Tops > Tees", "Women>Tops > Jackets", "Bikes > Road Bikes", "generic ic", None],
    "brand": ["Luma", "  LUMA", "Straße", "", None],
    "color": ["Red", "", "Red", None, ""],
    "price": [20.0, 80.5, 1200.0, None, float("nan")],
    "in_stock": [True, False, True, None, None],
    "style_group": ["s1", "s2", "s3", "s4", ""],
    "text_weight": [0.25, 0.5, 0.75, 1.0, 0.0],
}


def shop_table(folder: Path) -> ProductTable:
    write_product_table(folder / "products.arrow", SHOP)
    return ProductTable(folder / "products.arrow")
