"""Which weights of the towers learn at which rate."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from towers.build import Towers
from towers.training.loop import ParameterGroup


class Rates(Protocol):
    """A stage's recipe with rates for the encoders."""

    @property
    def learning_rate(self) -> float:
        """Of all that has no rate of its own."""

    @property
    def text_learning_rate(self) -> float | None:
        """Of the text encoders."""

    @property
    def image_learning_rate(self) -> float | None:
        """Of the picture encoder."""


def free_weights(towers: Towers, rates: Rates) -> tuple[ParameterGroup, ...]:
    """Returns all weights that the recipe leaves free; a pretrained encoder is tuned, not trained anew."""
    text = _ids(towers.query.encoder, towers.product.encoder)
    image = _ids(towers.product.image_encoder)
    free = [parameter for parameter in towers.parameters() if parameter.requires_grad]
    groups = (
        ([p for p in free if id(p) in text], rates.text_learning_rate or rates.learning_rate),
        ([p for p in free if id(p) in image], rates.image_learning_rate or rates.learning_rate),
        ([p for p in free if id(p) not in text | image], rates.learning_rate),
    )
    return tuple(ParameterGroup(tuple(parameters), rate) for parameters, rate in groups if parameters)


def _ids(*modules: nn.Module) -> set[int]:
    return {id(parameter) for module in modules for parameter in module.parameters()}
