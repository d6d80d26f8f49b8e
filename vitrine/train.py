"""``vitrine train``: a catalogue and its click log become a checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from towers.borrowed_encoders import on_encoders_of
from towers.recipe import Recipe, load_recipe, recipe_names
from towers.recipe_summaries import recipe_summaries
from vitrine.catalogues import Split, clicks_of, coclicks_of, decode, decode_further, open_catalogue
from vitrine.terminal import command_line, console
from vitrine.training_display import training_display
from vitrine.training_place import only_training
from vitrine.training_stop import Stopping

if TYPE_CHECKING:
    from towers.training.loop import Step


class Device(StrEnum):
    """Where a training computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def list_recipes(wanted: bool) -> None:
    """Prints the recipes and ends, where that is wanted."""
    if not wanted:
        return
    summaries = recipe_summaries()
    width = max(map(len, summaries))
    for name, summary in summaries.items():
        typer.echo(f"{name:<{width}}  {summary}")
    raise typer.Exit


def train(
    catalog: Annotated[Path, typer.Option(help="Catalogue folder (Parquet, or CSV and images).")],
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write.")],
    recipe: Annotated[
        str, typer.Option(help=f"A recipe's name ({', '.join(recipe_names())}) or a TOML file.")
    ] = "sample",
    split: Annotated[
        Split, typer.Option(help="training: leave the held-out styles for honest evaluation.")
    ] = Split.ALL,
    skip_bad_pictures: Annotated[
        bool, typer.Option(help="Train without pictures that cannot be decoded, instead of refusing.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option(help="Begin anew, also where an interrupted training left its progress.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Instead of the recipe's: other first weights, batches, simulated clicks."),
    ] = None,
    encoders: Annotated[
        str,
        typer.Option(
            help="Recipe whose encoders to build the towers on: `--recipe make --encoders catalogue` is MAKE "
            "on MiniLM. Empty: the recipe's own."
        ),
    ] = "",
    teacher: Annotated[
        Path | None, typer.Option(help="Checkpoint to learn from, for recipes with a distillation stage.")
    ] = None,
    photographs: Annotated[
        Path | None,
        typer.Option(help="Folder with several photographs of one product, for stages that learn from them."),
    ] = None,
    validate_every: Annotated[
        int,
        typer.Option(
            min=0, help="Measure R@10 of clicked pairs every so many steps; 0: never. Changes no weight."
        ),
    ] = 0,
    set_aside: Annotated[
        int,
        typer.Option(
            min=0, help="Keep so many clicked pairs from the training and measure those: an honest figure."
        ),
    ] = 0,
    keep_every_steps: Annotated[int, typer.Option(hidden=True, min=0)] = 0,
    device: Annotated[
        Device, typer.Option(help="Where to compute; auto takes a GPU where there is one.")
    ] = Device.AUTO,
    _: Annotated[
        bool,
        typer.Option(
            "--list-recipes", is_eager=True, callback=list_recipes, help="Print the recipes and end."
        ),
    ] = False,
) -> None:
    """Trains a query tower and a product tower.

    Progress is kept beside the checkpoint's folder every half minute, and when you press Ctrl-C: an
    interrupted training, started again with the same arguments, goes on where it was. Curves of the losses
    come with the checkpoint, as a picture, as JSON and for TensorBoard.

    On several GPUs: torchrun --nproc-per-node N --no-python vitrine train ...
    """
    # Here: the commands that only serve must work, and start fast, without torch.
    from towers.checkpoint import Checkpoint, Provenance, check_place, load_checkpoint, save_checkpoint
    from towers.encoders.pretrained import pooling_note
    from towers.student import student_recipe
    from towers.training.curves_files import write_curves
    from towers.training.resume import ProgressFolder
    from towers.training.train import check_teacher
    from towers.training.train import train as train_towers
    from towers.training.validation import Validation
    from towers.training.world import open_world

    chosen = _with_seed(load_recipe(recipe), seed)
    if encoders:
        chosen = on_encoders_of(load_recipe(encoders), chosen)
    check_teacher(chosen, teacher is not None)
    check_place(out)
    if note := pooling_note(Path(chosen.text.initialise)):
        console.print(escape(note), soft_wrap=True)
    taught_by = None if teacher is None else load_checkpoint(teacher)
    if taught_by is not None:
        chosen = student_recipe(chosen, taught_by.recipe)
    products = open_catalogue(catalog, split)
    clicks = clicks_of(catalog, products, chosen.seed)
    coclicks = coclicks_of(catalog, products)
    validation = (
        Validation(validate_every, set_aside, say=_say_metrics) if validate_every or set_aside else None
    )
    with only_training(out) as folder, open_world(device.value) as world, _said_once(world.first):
        pictures = decode(products, chosen.image.size, chosen.image.views, skip_bad_pictures)
        further = decode_further(photographs, split, chosen.image.size, skip_bad_pictures)
        fingerprint = products.fingerprint()
        kept = ProgressFolder(
            folder,
            lambda text: console.print(escape(text), soft_wrap=True),
            known={"catalogue": fingerprint, "split": str(split)},
            every_steps=keep_every_steps,
            fresh=fresh,
        )
        with (
            Stopping(kept, console) as stopping,
            training_display([stage.steps for stage in chosen.stages], console) as show,
        ):

            def on_step(step: Step) -> None:
                stopping.arm()
                show(step)

            trained = train_towers(
                chosen,
                products,
                clicks,
                pictures,
                on_step,
                kept,
                coclicks,
                validation=validation,
                teacher=taught_by,
                photographs=further,
                world=world,
            )
        if not world.first:
            return
        provenance = Provenance(
            command=command_line(),
            catalogue_fingerprint=fingerprint,
            catalogue_source=str(catalog),
            products=len(products),
            clicked_pairs=trained.clicked_pairs,
            split=str(split),
            losses=trained.losses,
        )
        checkpoint = Checkpoint(trained.towers, chosen, provenance, trained.keywords)
        save_checkpoint(checkpoint, out, partial(write_curves, trained.curves))
        kept.remove()
    console.print(
        f"checkpoint in {escape(str(out))}: loss {trained.losses[0]:.3f} -> {trained.losses[-1]:.3f}, "
        "see curves.png there",
        soft_wrap=True,
    )


@contextlib.contextmanager
def _said_once(here: bool) -> Iterator[None]:
    """Keeps all but one of a training's processes quiet; what stops one of them is said afterwards."""
    before, console.quiet = console.quiet, not here
    try:
        yield
    finally:
        console.quiet = before


def _with_seed(recipe: Recipe, seed: int | None) -> Recipe:
    return recipe if seed is None else recipe.model_copy(update={"seed": seed})


def _say_metrics(step: int, values: Mapping[str, float]) -> None:
    shown = ", ".join(f"{name}: {value:.3f}" for name, value in values.items())
    console.print(escape(f"after step {step}, {shown}"), soft_wrap=True, highlight=False)
