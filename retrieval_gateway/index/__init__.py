"""Vectors to neighbours: indexes, filters and the product table of one release.

An index answers with rows; the product table turns rows into products, and filters into
masks over rows. Any thread may use all of it: it is immutable once opened, but for an index on a GPU, which
one thread owns.

    builder, spec         what index, and how it comes to and from a file
    devices               where it is searched: CPU, or GPU with the CPU behind it
    faiss_index           a search on the CPU; list_search, scan and ranking are its parts
    offloaded_index       a search on the GPU; batch_owner, gpu_copies are its parts
    exact_index           the reference
    filters, filter_masks what may be found
"""

from retrieval_gateway.index.builder import build_index, load_index, save_index
from retrieval_gateway.index.devices import IndexDevice, open_index, require_device
from retrieval_gateway.index.exact_index import ExactIndex
from retrieval_gateway.index.faiss_index import FaissIndex
from retrieval_gateway.index.filter_masks import FilterMasks, compile_filter
from retrieval_gateway.index.filters import (
    AllHold,
    AnyHolds,
    AnyOf,
    Condition,
    Equals,
    Filter,
    NoneOf,
    Not,
    Range,
)
from retrieval_gateway.index.product_table import ProductTable, write_product_table
from retrieval_gateway.index.spec import IndexSpec
from retrieval_gateway.index.types import Neighbours, VectorIndex
from retrieval_gateway.index.vectors import open_vectors, write_vectors

__all__ = [
    "AllHold",
    "AnyHolds",
    "AnyOf",
    "Condition",
    "Equals",
    "ExactIndex",
    "FaissIndex",
    "Filter",
    "FilterMasks",
    "IndexDevice",
    "IndexSpec",
    "Neighbours",
    "NoneOf",
    "Not",
    "ProductTable",
    "Range",
    "VectorIndex",
    "build_index",
    "compile_filter",
    "load_index",
    "open_index",
    "open_vectors",
    "require_device",
    "save_index",
    "write_product_table",
    "write_vectors",
]
