"""Where a training stands between two steps, as tensors that have names.

The learning rate is no part of it: it follows from the step. Nor are the batches'
generators: a stage's batches follow from its seed and the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from towers.build import Towers

_QUERY, _PRODUCT, _OPTIMIZER, _LOSSES = "query.", "product.", "optimizer.", "losses."
_RANDOM = "random.torch"


@dataclass(frozen=True)
class TrainingState:
    """Weights, optimizer, torch's generator and the losses so far, after a whole step.

    Args:
        tensors: by name. ``losses.<i>`` is float64[steps done in stage i], with an entry for every
            stage that has begun.
    """

    tensors: Mapping[str, Tensor]

    @property
    def losses(self) -> tuple[tuple[float, ...], ...]:
        """The loss of every step done, by stage."""
        stages = sum(name.startswith(_LOSSES) for name in self.tensors)
        return tuple(tuple(self.tensors[f"{_LOSSES}{stage}"].tolist()) for stage in range(stages))

    @property
    def stage(self) -> int:
        """Place of the stage under way, from 0."""
        return len(self.losses) - 1

    @property
    def steps(self) -> int:
        """Steps done, over all stages."""
        return sum(map(len, self.losses))


def capture(
    towers: Towers, optimizer: torch.optim.Optimizer, losses: Sequence[Sequence[float]]
) -> TrainingState:
    """Returns the state of now. It shares the memory of the weights: the next step changes it."""
    tensors = {f"{_QUERY}{name}": value for name, value in towers.query.state_dict().items()}
    tensors |= {f"{_PRODUCT}{name}": value for name, value in towers.product.state_dict().items()}
    for place, values in optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{place}.{name}": value for name, value in values.items()}
    tensors |= {
        f"{_LOSSES}{stage}": torch.tensor(part, dtype=torch.float64) for stage, part in enumerate(losses)
    }
    return TrainingState({**tensors, _RANDOM: torch.get_rng_state()})


def restore(state: TrainingState, towers: Towers, optimizer: torch.optim.Optimizer) -> None:
    """Puts towers, optimizer and torch's generator where they were when ``state`` was taken.

    Args:
        state: of towers and a stage of the same shapes.
        towers: to be filled.
        optimizer: of the stage under way, fresh.
    """
    towers.query.load_state_dict(_below(state, _QUERY))
    towers.product.load_state_dict(_below(state, _PRODUCT))
    moments: dict[int, dict[str, Any]] = {}
    for name, value in _below(state, _OPTIMIZER).items():
        place, key = name.split(".", 1)
        # A copy: a tensor read from a file may lie at any address, and sums depend on alignment.
        moments.setdefault(int(place), {})[key] = value.clone()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    torch.set_rng_state(state.tensors[_RANDOM])


def _below(state: TrainingState, prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.tensors.items() if name.startswith(prefix)
    }
