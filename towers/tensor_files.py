"""Tensors to the bytes of a safetensors file, also where two names mean one tensor."""

from __future__ import annotations

from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor


def tensor_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Returns a safetensors file; towers that share an encoder have its weights in it once for each.

    Not safetensors' own ``save_file``: on a full disk that raises an error of its own, without the errno.
    """
    kept: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in tensors.items():
        twice = value.numel() > 0 and value.data_ptr() in seen
        seen.add(value.data_ptr())
        kept[name] = value.clone() if twice else value.contiguous()
    return save(kept, None if metadata is None else dict(metadata))
