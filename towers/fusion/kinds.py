"""The fusion networks by the names that recipes give them."""

from __future__ import annotations

from towers.fusion.base import Fusion
from towers.fusion.concat import Concatenation
from towers.fusion.fusion_token import FusionToken
from towers.fusion.gate import GatedFusion
from towers.fusion.modal_adaptation import ModalAdaptation
from towers.fusion.text_only import TextOnly

FUSIONS: dict[str, type[Fusion]] = {
    "gate": GatedFusion,
    "modal_adaptation": ModalAdaptation,
    "fusion_token": FusionToken,
    "concat": Concatenation,
    "text_only": TextOnly,
}
"""Each is built from (dim, text_width, image_width)."""
