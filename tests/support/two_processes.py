"""What two processes of a distributed training compute, for the test that compares them with one.

    python -m support.two_processes RESULTS

It is started twice, with the environment that torchrun would set.
"""

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe
from torch import Tensor, nn

from faults import Mismatch
from towers.build import Towers, build_towers
from towers.data.examples import Batch, Drawing, make_examples
from towers.data.material import Material
from towers.stage_kinds.pictures import pictures_stage
from towers.stage_kinds.retrieval import retrieval_stage
from towers.stage_recipes import PicturesStageRecipe, RetrievalStageRecipe
from towers.training import distributed
from towers.training.identity import machine
from towers.training.loop import Step
from towers.training.resume import ProgressFolder
from towers.training.train import Trained, train
from towers.training.world import World, open_world

RECIPE = tiny_recipe(retrieval={"memory": {"size": 16, "warmup_steps": 1}, "modality_dropout": 0.2})
PRODUCTS = (12, 11)
"""Of the two batches: the second has blocks of unequal sizes."""

Compared = dict[str, Any]


def material() -> tuple[Towers, Material]:
    """Towers in evaluation mode: BatchNorm takes no part in the comparison."""
    catalogue = tiny_catalogue()
    torch.manual_seed(0)
    towers = build_towers(RECIPE, [product.title for product in catalogue.products])
    clicks, pictures = tiny_clicks(catalogue), tiny_pictures(catalogue)
    examples = make_examples(catalogue, clicks, pictures, towers.tokenizer, 12, 16)
    towers.train(False)
    return towers, Material(catalogue, examples)


def steps() -> list[Compared]:
    """Losses and gradients of two steps of the retrieval stage; the second has a memory of the first."""
    towers, given = material()
    recipe = RECIPE.stages[0]
    assert isinstance(recipe, RetrievalStageRecipe)
    stage = retrieval_stage(recipe, RECIPE, towers, given)
    return [taken(towers, stage.loss(towers, batch)) for batch in batches(given)]


def picture_step() -> Compared:
    """Loss and gradients of a step of the picture stage."""
    towers, given = material()
    stage = pictures_stage(PicturesStageRecipe(kind="pictures", batch=9), RECIPE, towers, given)
    return taken(towers, dict(stage.loss(towers, next(stage.batches(0)))))


def without_gathering() -> list[Compared]:
    """The same, but each process knows only its own block's products."""
    towers, given = material()
    recipe = RECIPE.stages[0].model_copy(update={"memory": None})
    assert isinstance(recipe, RetrievalStageRecipe)
    stage = retrieval_stage(recipe, RECIPE, towers, given)
    blocks = [distributed.shard(batch) for batch in batches(given)]
    with mock.patch.object(distributed, "_several", return_value=False):
        losses = [stage.loss(towers, block) for block in blocks]
    return [taken(towers, loss) for loss in losses]


def batches(given: Material) -> list[Batch]:
    drawings = [Drawing(number, queries_each=2, steps=1, seed=number) for number in PRODUCTS]
    return [next(given.examples.batches(drawing)) for drawing in drawings]


def taken(towers: Towers, terms: dict[str, Tensor]) -> Compared:
    """Loss by term and gradient by weight, after averaging; the gradients are taken off the towers."""
    torch.stack(list(terms.values())).sum().backward()
    parameters = towers.parameters()
    distributed.average_gradients(parameters)
    gradients = [None if one.grad is None else one.grad.clone() for one in parameters]
    for parameter in parameters:
        parameter.grad = None
    return {"terms": distributed.mean_values(terms), "gradients": gradients}


def small_things(rank: int) -> Compared:
    """Each function by itself, on values that differ by rank."""
    own = torch.full((rank + 1, 2), float(rank + 1), requires_grad=True)
    joined = distributed.gather(own)
    ((rank + 1) * joined * torch.arange(1.0, 4.0)[:, None]).sum().backward()
    none, one, both = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    both.grad = torch.tensor([1.0, 2.0]) * (rank + 1)
    if rank:
        one.grad = torch.tensor([4.0, 6.0])
    distributed.average_gradients([none, one, both])
    norm = nn.BatchNorm1d(2)
    with torch.no_grad():
        norm.running_mean += 2.0 * rank
        norm.weight += rank
    distributed.average_statistics([nn.Sequential(norm)])
    shared_weight = norm.weight.clone()
    layer = nn.Linear(2, 2)
    distributed.share_weights([layer, norm])
    distributed.own_luck(torch.device("cpu"), 7, 3)
    luck = torch.rand(1).item()
    refused = ""
    distributed.require_equal({"name": "the same"})
    try:
        distributed.require_equal({"name": "the same", "recipe": f"of {rank}"})
    except Mismatch as error:
        refused = str(error)
    return {
        "joined": joined.detach(),
        "gradient": own.grad,
        "flags": distributed.gather(torch.tensor([rank == 1])),
        "averaged": [parameter.grad for parameter in (none, one, both)],
        "statistics": norm.running_mean,
        "unshared": shared_weight,
        "shared": [layer.weight.detach(), norm.weight.detach()],
        "told": distributed.share(f"from {rank}"),
        "luck": luck,
        "refused": refused,
        "machine": machine(),
    }


def trained(world: World) -> Compared:
    """A whole training with terms of each process's own, once stopped and gone on."""
    catalogue = tiny_catalogue()
    patches = {"kind": "contrastive", "weight": 0.5}
    recipe = tiny_recipe(
        retrieval={"steps": 4, "masked_patches": patches, "masked_words": 0.5, "memory": {"size": 20}}
    )
    said: list[str] = []

    def run(folder: str, stop_after: int = 0) -> Trained:
        def on_step(step: Step) -> None:
            if step.number == stop_after:
                raise KeyboardInterrupt

        progress = ProgressFolder(Path(folder) / f"progress-{world.rank}", said.append, every_steps=1)
        clicks, pictures = tiny_clicks(catalogue), tiny_pictures(catalogue)
        return train(recipe, catalogue, clicks, pictures, on_step, progress, world=world)

    with tempfile.TemporaryDirectory() as folder:
        whole = run(f"{folder}/whole")
        with contextlib.suppress(KeyboardInterrupt):
            run(f"{folder}/again", stop_after=2)
        resumed = run(f"{folder}/again")
        kept = [path.name for path in Path(folder).glob("*/*")]
    return {
        "weights": [weights(one.towers) for one in (whole, resumed)],
        "losses": [one.history["retrieval"].terms for one in (whole, resumed)],
        "said": said,
        "kept": sorted(set(kept)),
    }


def weights(towers: Towers) -> dict[str, Tensor]:
    modules = enumerate(towers.modules())
    return {f"{place}.{name}": value for place, one in modules for name, value in one.state_dict().items()}


def main(results: Path) -> None:
    torch.set_num_threads(1)
    with open_world("cpu") as world:
        found = {
            "world": (world.rank, world.size, world.first),
            "steps": [*steps(), picture_step()],
            "without": without_gathering(),
            "small": small_things(world.rank),
            "trained": trained(world),
        }
        torch.save(found, results / f"{world.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
