"""Training on several devices: every process has all weights and a part of each batch.

``towers.training.world`` says who takes part; in a world of one every function here gives back what it
got. All processes draw the same whole
batch, each encodes its own block of products with the queries that travel with them, and the vectors are
gathered with gradient: every product of the whole batch is then a negative for every query, wherever it
was encoded. That is system B's "CDNS" (cross-device negative sampling, named in a summary of the paper;
its details are not published, so these are ours [DESIGN]).

One rule makes the gradients right: **what is descended is the mean of the processes' losses.** The
gradient of a gathered tensor is the sum of what all processes' losses say about it, and the gradients of
the weights are averaged over the processes. A loss of gathered vectors is the same on each process, so
its mean is itself and the step is that of one process with the whole batch. A loss of a process's own
block (masked words, masked patches) counts as its mean over blocks. A stage that shares nothing computes
the same everywhere and is right as well, only no faster.

BatchNorm is the exception: by itself it normalises each block by its own statistics. On GPUs
``synchronise`` makes it take those of the whole batch. On CPUs torch has no such thing: the running
averages are averaged after each step, and a step differs slightly from that of one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from faults import InvalidInput, Mismatch
from towers.data.examples import Batch

ValueT = TypeVar("ValueT")


def block(rows: int) -> slice:
    """Returns this process's part of ``rows`` products: contiguous, in the order of the ranks.

    Blocks differ by at most one product; a world of one has one block.

    Raises:
        InvalidInput: there are fewer products than processes.
    """
    if not _several():
        return slice(0, rows)
    rank, size = dist.get_rank(), dist.get_world_size()
    if rows < size:
        raise InvalidInput(
            f"a step's {rows} products are fewer than the training's processes",
            field="WORLD_SIZE",
            value=size,
            fix=f"Start at most {rows} processes, or raise the stage's batch.",
        )
    return slice(rank * rows // size, (rank + 1) * rows // size)


def shard(batch: Batch) -> Batch:
    """Returns this process's block of a batch: some products, and the queries that they were drawn with.

    Gathering what the processes make of their blocks restores the batch's order. Blocks may be of
    unequal sizes; the batch itself in a world of one.

    Raises:
        InvalidInput: the batch's queries are not in the order of their products, or ``block`` refuses.
    """
    if not _several():
        return batch
    if bool((batch.target.diff() < 0).any()):
        raise InvalidInput(
            "queries must come in the order of their products, or gathering would mix them up",
            field="batch.target",
            value=batch.target.tolist(),
            fix="Draw the queries product by product.",
        )
    mine = block(len(batch.product_rows))
    asking = (batch.target >= mine.start) & (batch.target < mine.stop)
    return Batch(
        query_ids=batch.query_ids[asking],
        query_mask=batch.query_mask[asking],
        product_ids=batch.product_ids[mine],
        product_mask=batch.product_mask[mine],
        pixels=batch.pixels[mine],
        has_text=batch.has_text[mine],
        has_image=batch.has_image[mine],
        target=batch.target[asking] - mine.start,
        known=batch.known[asking][:, mine],
        query_rows=batch.query_rows[asking],
        product_rows=batch.product_rows[mine],
    )


def gather(rows: Tensor) -> Tensor:
    """Joins the rows of all processes, in the order of the ranks, with gradient.

    Backward, a process's rows get the sum of the gradients of all processes' losses: together with
    ``average_gradients`` that is the gradient of the losses' mean.

    Args:
        rows: [N,...] of any type, N free on each process, the rest the same.

    Returns:
        [sum of all N,...]; ``rows`` itself in a world of one.
    """
    if not _several():
        return rows
    gathered: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        sizes = _sizes(rows)
        ctx.mine = slice(sum(sizes[: dist.get_rank()]), sum(sizes[: dist.get_rank() + 1]))
        # gloo gathers equal shapes only: short blocks are padded, and the padding is cut off again.
        padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous().clone()
        dist.all_reduce(whole)
        return whole[ctx.mine]


def _sizes(rows: Tensor) -> list[int]:
    own = torch.tensor([len(rows)], device=rows.device)
    sizes = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, own)
    return [int(size) for size in sizes]


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replaces each gradient by its mean over all processes; call it after backward, before clipping.

    A weight that no process's loss has reached keeps no gradient, so that its optimizer leaves it alone.

    Args:
        parameters: the weights that learn, in the same order everywhere.
    """
    if not _several() or not parameters:
        return
    reached = [float(parameter.grad is not None) for parameter in parameters]
    own = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
    # One message instead of hundreds.
    flat = torch.cat([*(part.flatten() for part in own), torch.tensor(reached, device=own[0].device)])
    dist.all_reduce(flat)
    *means, counts = torch.split(flat, [*(part.numel() for part in own), len(own)])
    for parameter, mean, count in zip(parameters, means, counts.tolist(), strict=True):
        if count:
            parameter.grad = (mean / dist.get_world_size()).view_as(parameter)


def mean_values(terms: Mapping[str, Tensor]) -> dict[str, float]:
    """Returns the means of named float scalars over all processes: what is descended, to be shown."""
    values = torch.stack([value.detach() for value in terms.values()])
    if _several():
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return dict(zip(terms, values.tolist(), strict=True))


_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def average_statistics(modules: Iterable[nn.Module]) -> None:
    """Replaces the running averages of every BatchNorm by their means over all processes."""
    if not _several():
        return
    for module in modules:
        for norm in module.modules():
            if isinstance(norm, _NORMS):
                for average in (norm.running_mean, norm.running_var):
                    if average is not None:
                        dist.all_reduce(average)
                        average /= dist.get_world_size()


def synchronise(modules: Iterable[nn.Module]) -> None:
    """Lets every BatchNorm take the whole batch's statistics, where torch can: on GPUs.

    The weights stay the same objects of the same names, so a checkpoint does not show it.
    """
    if _several() and dist.get_backend() == "nccl":
        for module in modules:
            nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]


@torch.no_grad()
def share_weights(modules: Iterable[nn.Module]) -> None:
    """Gives every process the first one's weights and buffers."""
    if not _several():
        return
    for module in modules:
        for value in (*module.parameters(), *module.buffers()):
            dist.broadcast(value, src=0)


def share(value: ValueT) -> ValueT:
    """Returns the first process's ``value`` (anything that pickles) on every process."""
    if not _several():
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box, src=0)
    shared: ValueT = box[0]
    return shared


def require_equal(values: Mapping[str, str]) -> None:
    """Compares named values over all processes.

    Raises:
        Mismatch: on every process alike, so that none waits for another.
    """
    if not _several():
        return
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, dict(values))
    for rank, other in enumerate(found):
        for name in dict.fromkeys((*found[0], *other)):
            if found[0].get(name) != other.get(name):
                raise Mismatch(
                    f"{name} of process {rank}",
                    expected=found[0].get(name),
                    found=other.get(name),
                    fix="Give all processes the same recipe, catalogue, click log and versions.",
                )


def own_luck(device: torch.device, *numbers: int) -> None:
    """Sets torch's generators by numbers (seed, stage, step) and the rank, where progress cannot hold them.

    It holds the CPU's generator of the first process. Of several processes each then hides other words
    and patches than the others, and a resumed training hides the same ones again.
    """
    if _several() or device.type != "cpu":
        rank = dist.get_rank() if _several() else 0
        own = np.random.SeedSequence((*numbers, rank)).generate_state(1, np.uint64)
        torch.manual_seed(int(own[0]))


def placed(value: ValueT, device: torch.device) -> ValueT:
    """Returns a batch on ``device``: a tensor, or tuples and dataclasses of such; others as they are."""
    moved: Any = value
    if isinstance(value, Tensor):
        moved = value.to(device)
    elif isinstance(value, tuple):
        moved = tuple(placed(part, device) for part in value)
    elif is_dataclass(value) and not isinstance(value, type):
        moved = replace(
            value, **{part.name: placed(getattr(value, part.name), device) for part in fields(value)}
        )
    found: ValueT = moved
    return found


def processes() -> int:
    """Returns how many processes take part."""
    return dist.get_world_size() if dist.is_initialized() else 1


def _several() -> bool:
    return processes() > 1
