"""Vectors to neighbours: indexes, filters and the product table of one release.

An index answers with rows; the product table turns rows into products, and filters into
masks over rows. All of it is immutable once opened, so any thread may use it.
"""

from retrieval_gateway.index.builder import build_index, load_index, save_index
from retrieval_gateway.index.exact_index import ExactIndex
from retrieval_gateway.index.faiss_index import FaissIndex
from retrieval_gateway.index.filter_masks import FilterMasks, compile_filter
from retrieval_gateway.index.filters import AnyOf, Condition, Equals, Filter, NoneOf, Range
from retrieval_gateway.index.product_table import ProductTable, write_product_table
from retrieval_gateway.index.spec import IndexSpec
from retrieval_gateway.index.types import Neighbours, VectorIndex
from retrieval_gateway.index.vectors import open_vectors, write_vectors

__all__ = [
    "AnyOf",
    "Condition",
    "Equals",
    "ExactIndex",
    "FaissIndex",
    "Filter",
    "FilterMasks",
    "IndexSpec",
    "Neighbours",
    "NoneOf",
    "ProductTable",
    "Range",
    "VectorIndex",
    "build_index",
    "compile_filter",
    "load_index",
    "open_vectors",
    "save_index",
    "write_product_table",
    "write_vectors",
]
