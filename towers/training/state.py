"""Where a training stands between two steps, as tensors that have names.

The learning rate is no part of it: it follows from the step. Nor are the batches'
generators: a stage's batches follow from its seed and the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from towers.build import Towers

_QUERY, _PRODUCT, _HEADS, _OPTIMIZER = "query.", "product.", "heads.", "optimizer."
_LOSSES, _TERMS = "losses.", "terms."
_RANDOM = "random.torch"


@dataclass(frozen=True)
class StageLosses:
    """What a stage's steps cost so far."""

    total: list[float] = field(default_factory=list)
    """The loss of every step."""
    terms: dict[str, list[float]] = field(default_factory=dict)
    """What it is the sum of, by name; each as long as ``total``."""

    def add(self, terms: Mapping[str, float]) -> None:
        """Adds a step."""
        self.total.append(sum(terms.values()))
        for name, value in terms.items():
            self.terms.setdefault(name, []).append(value)


@dataclass(frozen=True)
class TrainingState:
    """Weights, optimizer, torch's generator and the losses so far, after a whole step.

    Args:
        tensors: by name. ``losses.<i>`` is float64[steps done in stage i], with an entry for every
            stage that has begun; ``terms.<i>.<name>`` of the same length is a part of it.
    """

    tensors: Mapping[str, Tensor]

    @property
    def losses(self) -> tuple[StageLosses, ...]:
        """The losses of every step done, by stage."""
        stages = sum(name.startswith(_LOSSES) for name in self.tensors)
        return tuple(
            StageLosses(
                self.tensors[f"{_LOSSES}{stage}"].tolist(),
                {name: value.tolist() for name, value in _below(self, f"{_TERMS}{stage}.").items()},
            )
            for stage in range(stages)
        )

    @property
    def stage(self) -> int:
        """Place of the stage under way, from 0."""
        return len(self.losses) - 1

    @property
    def steps(self) -> int:
        """Steps done, over all stages."""
        return sum(len(stage.total) for stage in self.losses)


def capture(towers: Towers, optimizer: torch.optim.Optimizer, losses: Sequence[StageLosses]) -> TrainingState:
    """Returns the state of now. It shares the memory of the weights: the next step changes it."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in _modules(towers):
        tensors |= {f"{prefix}{name}": value for name, value in module.state_dict().items()}
    for place, values in optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{place}.{name}": value for name, value in values.items()}
    for stage, part in enumerate(losses):
        tensors[f"{_LOSSES}{stage}"] = torch.tensor(part.total, dtype=torch.float64)
        tensors |= {
            f"{_TERMS}{stage}.{name}": torch.tensor(values, dtype=torch.float64)
            for name, values in part.terms.items()
        }
    tensors = {name: value.cpu() for name, value in tensors.items()}  # the same ones, if they are there
    return TrainingState({**tensors, _RANDOM: torch.get_rng_state()})


def restore(state: TrainingState, towers: Towers, optimizer: torch.optim.Optimizer) -> None:
    """Puts towers, optimizer and torch's generator where they were when ``state`` was taken.

    Args:
        state: of towers and a stage of the same shapes.
        towers: to be filled.
        optimizer: of the stage under way, fresh.
    """
    for prefix, module in _modules(towers):
        module.load_state_dict(_below(state, prefix))
    moments: dict[int, dict[str, Any]] = {}
    for name, value in _below(state, _OPTIMIZER).items():
        place, key = name.split(".", 1)
        # A copy: a tensor read from a file may lie at any address, and sums depend on alignment.
        moments.setdefault(int(place), {})[key] = value.clone()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    torch.set_rng_state(state.tensors[_RANDOM])


def _modules(towers: Towers) -> tuple[tuple[str, nn.Module], ...]:
    return (_QUERY, towers.query), (_PRODUCT, towers.product), (_HEADS, towers.heads)


def _below(state: TrainingState, prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.tensors.items() if name.startswith(prefix)
    }
