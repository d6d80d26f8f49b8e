"""Vectors of pictures by the product tower, as a shopper's picture gets them: the words are absent."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from catalog.picture_decoder import Pixels
from catalog.tokenizer import pad_batch
from towers.build import Towers

_BLOCK = 64


def picture_vectors(towers: Towers, pixels: Pixels, views: int = 1) -> npt.NDArray[np.float32]:
    """Embeds N pictures, each as a product without words.

    Args:
        towers: in evaluation mode.
        pixels: uint8[N,H,W,3] at the towers' picture size.
        views: picture slots of the product tower; all but the first stay empty.

    Returns:
        float32[N,dim], L2-normalised.
    """
    ids, mask = pad_batch(towers.tokenizer.encode([""], 3))
    vectors = []
    with torch.no_grad():
        for start in range(0, len(pixels), _BLOCK):
            part = torch.from_numpy(pixels[start : start + _BLOCK])
            slots = torch.zeros(len(part), views, *part.shape[1:], dtype=torch.uint8)
            slots[:, 0] = part
            has_image = torch.zeros(len(part), views, dtype=torch.bool)
            has_image[:, 0] = True
            fused, _ = towers.product(
                torch.from_numpy(ids).expand(len(part), -1),
                torch.from_numpy(mask).expand(len(part), -1),
                slots,
                torch.zeros(len(part), 1, dtype=torch.bool),
                has_image,
            )
            vectors.append(fused.numpy())
    return np.concatenate(vectors)
