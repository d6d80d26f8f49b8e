"""A stage of a training: what learns, at which rates, from which batches, by which loss.

A training is a sequence of stages over the same towers. To add one, write a function that
returns a ``Stage`` (``towers.stage_kinds.retrieval`` is the pattern) and name it in
``towers.stage_kinds.kinds``; the loop, the schedule and resuming are done here.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from faults import InternalError
from towers.build import Towers
from towers.training.distributed import (
    average_gradients,
    average_statistics,
    mean_values,
    own_luck,
    placed,
)
from towers.training.state import StageLosses, TrainingState, capture, restore

BatchT = TypeVar("BatchT")

_LONGEST_GRADIENT = 1.0


@dataclass(frozen=True)
class ParameterGroup:
    """Weights of the towers that learn at one rate."""

    parameters: tuple[nn.Parameter, ...]
    learning_rate: float
    """The peak of the schedule."""


@dataclass(frozen=True)
class Stage(Generic[BatchT]):
    """One stage. While it runs, the weights of its groups learn and all others are fixed.

    Both towers are in training mode, so a BatchNorm that the loss runs through moves its averages.
    """

    name: str
    """Unique in its training; for messages, and the key of its losses."""
    steps: int
    groups: tuple[ParameterGroup, ...]
    batches: Callable[[int], Iterator[BatchT]]
    """``batches(n)`` gives the batches of the steps after the first n, at least ``steps - n`` of them.

    Each call must give the same ones: it draws from a generator of its own, seeded anew, and repeats
    the choices of the skipped batches without making their tensors. It is called when the stage begins
    (n = 0) or resumes; of the towers' weights, only those that the stage leaves fixed are then sure to
    be the same, and nothing that depends on weights may be computed before.
    """
    loss: Callable[[Towers, BatchT], Mapping[str, Tensor]]
    """Float scalars by name, the same names in every step; their sum is descended.

    A function of the weights, the batch and torch's generator alone.
    """
    warmup: float = 0.1
    """Share of the steps with a rising rate."""
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Step:
    """What a progress display learns after each step."""

    number: int
    """From 1, over all stages."""
    of: int
    """Steps of all stages."""
    stage: str
    terms: Mapping[str, float]
    """By name, as the stage's loss gives them."""

    @property
    def loss(self) -> float:
        """What was descended: the sum of the terms."""
        return sum(self.terms.values())


def run_stages(
    stages: Sequence[Stage[Any]],
    towers: Towers,
    on_step: Callable[[Step], None],
    keep: Callable[[Callable[[], TrainingState]], None],
    start: TrainingState | None = None,
) -> list[StageLosses]:
    """Trains ``towers`` stage by stage and leaves them in training mode.

    Args:
        stages: in their order.
        towers: what learns; where ``start`` is given, of its shapes.
        on_step: called after every step.
        keep: called after every step, before ``on_step``, with what takes the state at that step.
        start: where an earlier run of the same stages stood; the result is then that of a run
            without an interruption.

    Returns:
        Every step's losses, by stage.

    Raises:
        InternalError: a loss is no finite number, or a stage's batches end too early.
    """
    towers.train(True)
    seed = torch.initial_seed()
    of = sum(stage.steps for stage in stages)
    losses = [StageLosses()] if start is None else list(start.losses)
    number = 0 if start is None else start.steps
    for place in range(len(losses) - 1, len(stages)):
        stage = stages[place]
        if place == len(losses):
            losses.append(StageLosses())
        with _deterministic(towers.device), _only_these_learn(stage, towers) as learning:
            optimizer = _optimizer(stage)
            if start is not None and start.stage == place:
                restore(start, towers, optimizer)
            take = partial(capture, towers, optimizer, losses)
            done = len(losses[place].total)
            for terms in _steps(stage, towers, optimizer, learning, done, (seed, place)):
                number += 1
                step = Step(number, of, stage.name, terms)
                if not math.isfinite(step.loss):
                    raise InternalError(
                        f"the loss is {step.loss} at step {number}",
                        fix=f"Lower the learning_rate of the {stage.name} stage in the recipe.",
                    )
                losses[place].add(terms)
                keep(take)
                on_step(step)
            optimizer.zero_grad()
    return losses


def _steps(
    stage: Stage[BatchT],
    towers: Towers,
    optimizer: torch.optim.Optimizer,
    learning: list[nn.Parameter],
    done: int,
    luck: tuple[int, ...],
) -> Iterator[dict[str, float]]:
    """Does the steps after the first ``done`` and yields each one's terms; for ``luck`` see ``own_luck``."""
    batches = stage.batches(done)
    for step in range(done, stage.steps):
        batch = placed(next(batches, None), towers.device)
        if batch is None:
            raise InternalError(f"the batches of the {stage.name} stage end after {step} of {stage.steps}")
        own_luck(towers.device, *luck, step)
        share = rate_at(step, stage.steps, stage.warmup)
        for own, group in zip(optimizer.param_groups, stage.groups, strict=True):
            own["lr"] = group.learning_rate * share
        terms = stage.loss(towers, batch)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        average_gradients(learning)
        nn.utils.clip_grad_norm_(learning, _LONGEST_GRADIENT)
        optimizer.step()
        average_statistics(towers.modules())
        yield mean_values(terms)


def rate_at(step: int, steps: int, warmup: float) -> float:
    """Share of the peak rate: linear warm-up, then half a cosine down to 2 %."""
    warm = max(1, round(warmup * steps))
    if step < warm:
        return (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    return 0.02 + 0.98 * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def _optimizer(stage: Stage[Any]) -> torch.optim.Optimizer:
    groups = [{"params": list(group.parameters), "lr": group.learning_rate} for group in stage.groups]
    return torch.optim.AdamW(groups, weight_decay=stage.weight_decay)


@contextlib.contextmanager
def _only_these_learn(stage: Stage[Any], towers: Towers) -> Iterator[list[nn.Parameter]]:
    """Fixes all weights but the stage's, which it yields in the towers' order, and undoes it afterwards."""
    every = towers.parameters()
    chosen = {id(parameter) for group in stage.groups for parameter in group.parameters}
    if not chosen <= {id(parameter) for parameter in every}:
        # It would be neither in the checkpoint nor in the progress.
        raise InternalError(f"the {stage.name} stage trains a weight that is in no tower and no head")
    before = [parameter.requires_grad for parameter in every]
    for parameter in every:
        parameter.requires_grad_(id(parameter) in chosen)
    try:
        yield [parameter for parameter in every if parameter.requires_grad]
    finally:
        for parameter, free in zip(every, before, strict=True):
            parameter.requires_grad_(free)


@contextlib.contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """Lets torch use nothing whose sums depend on which thread comes first; on a GPU it may, and says so.

    Without it the gradient of an indexing that repeats rows is added up atomically by all threads,
    and on a busy machine the same training ends in other bits.
    """
    before = torch.are_deterministic_algorithms_enabled()
    settings: Any = torch.utils.deterministic  # untyped
    filling = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    settings.fill_uninitialized_memory = False  # a help to find mistakes, and slow
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = filling
