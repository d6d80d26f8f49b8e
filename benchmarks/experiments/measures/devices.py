"""Two processes with half a batch each, which gather their vectors, against one with all of it.

The two are real processes of torch's gloo; each computes the loss of the retrieval stage and its gradient
for the same trained towers. BatchNorm stands still: it is the one part that sees a block alone.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.measures.subject import Subject
from benchmarks.experiments.shop import Shop
from faults import InternalError
from towers.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from towers.data.examples import Batch, Drawing, make_examples
from towers.objectives.softmax import in_batch_softmax
from towers.stage_kinds.retrieval import forward
from towers.stage_kinds.retrieval import gathered as gathered_forward
from towers.training.distributed import average_gradients, shard
from towers.training.world import open_world

__all__ = ["gathered"]

_ROOT = Path(__file__).resolve().parents[3]
_WORLD = 2
_PATIENCE_S = 240
_PRODUCTS = 16
_SCALE = 20.0


def gathered(subject: Subject) -> Findings:
    """The largest difference between the two, of the loss and of any weight's gradient.

    Returns:
        ``difference``, the gradient's as a share of its largest entry.
    """
    batch = _first_batch(subject.checkpoint, subject.shops.train)
    loss, gradients = _step(subject.checkpoint, batch)
    with tempfile.TemporaryDirectory(prefix="vitrine-experiments-") as temporary:
        folder = Path(temporary)
        save_checkpoint(subject.checkpoint, folder / "towers")
        torch.save(asdict(batch), folder / "batch.pt")
        _run_world(folder)
        found = [torch.load(folder / f"{rank}.pt") for rank in range(_WORLD)]
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    differences = [abs(loss - other["loss"]) for other in found]
    for other in found:
        pairs = zip(gradients, other["gradients"], strict=True)
        differences += [float((one - two).abs().max()) / largest for one, two in pairs]
    return {"difference": np.array(max(differences))}


def _first_batch(checkpoint: Checkpoint, shop: Shop) -> Batch:
    recipe = checkpoint.recipe
    examples = make_examples(
        shop.catalogue,
        shop.clicks,
        shop.pictures(recipe.image.size, recipe.image.views),
        checkpoint.towers.tokenizer,
        recipe.max_query_tokens,
        recipe.max_product_tokens,
    )
    return next(examples.batches(Drawing(products=_PRODUCTS, queries_each=2, steps=1, seed=recipe.seed)))


def _step(checkpoint: Checkpoint, batch: Batch) -> tuple[float, list[Tensor]]:
    """The fused loss and its gradients; in a world of several processes by this one's block alone."""
    weights = checkpoint.towers.parameters()
    for weight in weights:
        weight.grad = None
    whole = gathered_forward(forward(checkpoint.towers, shard(batch), bfloat16=False), batch)
    loss = in_batch_softmax(whole.queries, whole.products.fused, batch.target, batch.known, _SCALE)
    loss.backward()  # type: ignore[no-untyped-call]
    average_gradients(weights)
    return loss.item(), [weight.grad for weight in weights if weight.grad is not None]


def _run_world(folder: Path) -> None:
    """Starts the processes and waits for them; none is left running."""
    command = [sys.executable, "-m", __name__, str(folder)]
    processes = []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(_WORLD)}
    try:
        for rank in range(_WORLD):
            environment = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            processes.append(
                subprocess.Popen(command, cwd=_ROOT, env=environment, stderr=subprocess.PIPE, text=True)
            )
        said = [process.communicate(timeout=_PATIENCE_S)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if any(process.returncode for process in processes):
        raise InternalError(f"a process of the world of {_WORLD} failed: {' '.join(said)[-300:]}")


def main(folder: Path) -> None:
    """What each of the processes does."""
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(folder / "towers")
    batch = Batch(**torch.load(folder / "batch.pt"))
    with open_world("cpu") as world:
        loss, gradients = _step(checkpoint, batch)
        torch.save({"loss": loss, "gradients": gradients}, folder / f"{world.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
