"""FAISS comes in a wheel for the CPU or one for the GPU, so it is an extra; this is the one import of it."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import faults

__all__ = ["faiss_module"]


@functools.cache
def faiss_module() -> Any:
    """Returns the module ``faiss``; untyped, because the stubs it ships do not know its Python wrappers.

    Raises:
        faults.NotFound: no FAISS is installed, or one for GPUs without the CUDA libraries it needs.
    """
    try:
        return importlib.import_module("faiss")
    except ModuleNotFoundError as error:
        raise faults.NotFound(
            "building and searching an index needs FAISS, which is not installed",
            field="faiss",
            fix="pip install 'vitrine[cpu]'",
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise faults.NotFound(
            f"FAISS is installed but cannot be loaded: {error}",
            field="faiss",
            fix="install its CUDA libraries (pip install 'vitrine[gpu]'), or 'vitrine[cpu]' instead.",
        ) from error
