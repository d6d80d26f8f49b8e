"""``vitrine train``: a catalogue and its click log become a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from towers.recipe import load_recipe, recipe_names
from vitrine.catalogues import Split, clicks_of, coclicks_of, decode, open_catalogue
from vitrine.terminal import command_line, console, progress


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
    keep_every_steps: Annotated[int, typer.Option(hidden=True, min=0)] = 0,
) -> None:
    """Trains a query tower and a product tower.

    Progress is kept beside the checkpoint's folder every half minute: an interrupted training, started
    again with the same arguments, goes on where it was.
    """
    # Here: the commands that only serve must work, and start fast, without torch.
    from towers.checkpoint import Checkpoint, Provenance, save_checkpoint
    from towers.training.loop import Step
    from towers.training.resume import ProgressFolder
    from towers.training.train import steps_of
    from towers.training.train import train as train_towers

    chosen = load_recipe(recipe)
    products = open_catalogue(catalog, split)
    clicks = clicks_of(catalog, products, chosen.seed)
    pictures = decode(products, chosen.image.size, chosen.image.views, skip_bad_pictures)
    fingerprint = products.fingerprint()
    kept = ProgressFolder(
        progress_folder(out),
        lambda text: console.print(escape(text), soft_wrap=True),
        known={"catalogue": fingerprint, "split": str(split)},
        every_steps=keep_every_steps,
        fresh=fresh,
    )
    with progress("training the towers", steps_of(chosen)) as done:

        def on_step(step: Step) -> None:
            done(step.number)

        trained = train_towers(
            chosen, products, clicks, pictures, on_step, kept, coclicks_of(catalog, products)
        )
    provenance = Provenance(
        command=command_line(),
        catalogue_fingerprint=fingerprint,
        catalogue_source=str(catalog),
        products=len(products),
        clicked_pairs=trained.clicked_pairs,
        split=str(split),
        losses=trained.losses,
    )
    save_checkpoint(Checkpoint(trained.towers, chosen, provenance, trained.keywords), out)
    kept.remove()
    console.print(f"checkpoint in {out}: loss {trained.losses[0]:.3f} -> {trained.losses[-1]:.3f}")


def progress_folder(out: Path) -> Path:
    """Returns where the progress of the training to ``out`` is kept: beside it, on the same disk."""
    out = out.resolve()
    return out.with_name(f".{out.name}.progress")
