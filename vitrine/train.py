"""``vitrine train``: a catalogue and its click log become a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from towers.recipe import load_recipe, recipe_names
from vitrine.catalogues import Split, clicks_of, decode, open_catalogue
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
) -> None:
    """Trains a query tower and a product tower."""
    # Here: the commands that only serve must work, and start fast, without torch.
    from towers.checkpoint import Checkpoint, Provenance, save_checkpoint
    from towers.training import Step
    from towers.training import train as train_towers

    chosen = load_recipe(recipe)
    products = open_catalogue(catalog, split)
    clicks = clicks_of(catalog, products, chosen.training.seed)
    pictures = decode(products, chosen.image.size, chosen.image.views, skip_bad_pictures)
    with progress("training the towers", chosen.training.steps) as done:

        def on_step(step: Step) -> None:
            done(step.number)

        trained = train_towers(chosen, products, clicks, pictures, on_step)
    provenance = Provenance(
        command=command_line(),
        catalogue_fingerprint=products.fingerprint(),
        catalogue_source=str(catalog),
        products=len(products),
        clicked_pairs=trained.clicked_pairs,
        split=str(split),
        losses=trained.losses,
    )
    save_checkpoint(Checkpoint(trained.towers, chosen, provenance), out)
    console.print(f"checkpoint in {out}: loss {trained.losses[0]:.3f} -> {trained.losses[-1]:.3f}")
