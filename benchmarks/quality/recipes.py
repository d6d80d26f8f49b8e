"""What each recipe comes to on one shop: quality on all of it and on what was held out, and training time.

    python -m benchmarks.quality.recipes --catalog DIR [--recipes sample,make,...] [--encoders catalogue]
        [--out var/quality/recipes]

Every recipe is trained on the training split of the shop's products (``catalog.held_out``) and their
clicks, and measured on the shop's judged queries, once with the whole shop as corpus and once with the
held-out products alone, by exact search over the vectors of the PyTorch towers. The systems differ in what
they are for, so a row is no verdict (``make experiments`` compares arms that differ in one thing); it says
what a user gets, and what it costs. Times are CPU seconds of the process.

One training a recipe: each result is kept as JSON in ``--out`` and not computed again, and a training that
was interrupted goes on from its progress there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.quality.dense_run import dense_run, tower_vectors
from benchmarks.quality.kept_results import identity, kept_or_made, say, step_teller
from catalog.catalogue import Catalogue
from catalog.click_simulation import simulate_clicks
from catalog.held_out import is_held_out_product
from catalog.pictures import decode_catalogue
from catalog.readers import read_catalogue, read_clicks, read_coclicks, read_judgements, read_queries
from evaluation.measures import evaluate_run
from faults import VitrineError
from towers.borrowed_encoders import on_encoders_of
from towers.recipe import Recipe, load_recipe
from towers.training.resume import ProgressFolder
from towers.training.train import Trained, train

_RECIPES = "sample,make,delving,beyond_text,same_style"


def trained_and_measured(folder: Path, recipe: Recipe, progress: ProgressFolder) -> dict[str, Any]:
    """Trains a recipe on the training split of a shop and measures it.

    Returns:
        ``cpu_s``; counts; and of ``whole`` and ``held_out`` the measures, in all and by kind of query.
    """
    shop = read_catalogue(folder)
    held_out = [product.product_id for product in shop.products if is_held_out_product(product)]
    apart = frozenset(held_out)
    learned = shop.subset([name for name in shop.ids if name not in apart])
    began = time.process_time()
    trained = _trained(folder, learned, recipe, progress)
    result: dict[str, Any] = {
        "cpu_s": round(time.process_time() - began),
        "products": len(shop),
        "trained_on": len(learned),
    }
    for name, corpus in (("whole", shop), ("held_out", shop.subset(held_out))):
        result[name] = _measured(folder, corpus, trained, recipe)
    return result


def _trained(folder: Path, learned: Catalogue, recipe: Recipe, progress: ProgressFolder) -> Trained:
    logged = read_clicks(folder)
    clicks = simulate_clicks(learned, recipe.seed) if logged is None else logged
    pairs = read_coclicks(folder)
    return train(
        recipe,
        learned,
        [click for click in clicks if click.product_id in learned],
        decode_catalogue(learned, recipe.image.size, recipe.image.views, "skip"),
        step_teller(recipe.name),
        progress,
        coclicks=None
        if pairs is None
        else [pair for pair in pairs if pair.trigger_id in learned and pair.clicked_id in learned],
    )


def _measured(folder: Path, corpus: Catalogue, trained: Trained, recipe: Recipe) -> dict[str, Any]:
    asked = read_queries(folder / "queries.csv")
    pictures = decode_catalogue(corpus, recipe.image.size, recipe.image.views, "skip")
    vectors = tower_vectors(trained.towers, recipe, trained.keywords, asked, corpus, pictures)
    return evaluate_run(
        dense_run(asked, corpus, *vectors),
        [(query.query_id, query.kind) for query in asked],
        [
            (judged.query_id, judged.product_id, judged.grade)
            for judged in read_judgements(folder / "qrels.csv")
        ],
        frozenset(corpus.ids),
    ).to_json()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the recipes and prints the figures, as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--catalog", type=Path, required=True)
    parser.add_argument("--recipes", default=_RECIPES)
    parser.add_argument("--encoders", default="", help="recipe whose encoders the others are built on")
    parser.add_argument("--out", type=Path, default=Path("var/quality/recipes"))
    chosen = parser.parse_args(arguments)
    every = []
    for name in chosen.recipes.split(","):
        recipe = load_recipe(name)
        if chosen.encoders and chosen.encoders != name:
            recipe = on_encoders_of(load_recipe(chosen.encoders), recipe)
        known = {"recipe": recipe.name, "identity": identity(read_catalogue(chosen.catalog), recipe)}
        label = f"{recipe.name}-{known['identity'][:8]}"
        try:
            result = kept_or_made(
                chosen.out, label, known, partial(trained_and_measured, chosen.catalog, recipe)
            )
        except VitrineError as error:
            say(f"{recipe.name}: {error}")
            continue
        every.append(result)
        print(_line(result), flush=True)  # noqa: T201
    print(json.dumps({"catalog": str(chosen.catalog), "recipes": every}))  # noqa: T201


def _line(result: dict[str, Any]) -> str:
    shown = [f"{result['recipe']:12} {result['cpu_s']:5} CPU s"]
    for name in ("whole", "held_out"):
        scores = result[name]
        shown.append(
            f"{name} {scores['ndcg_at_10']:.3f}/{scores['recall_at_100']:.3f} of {scores['queries']} queries"
        )
    return "; ".join(shown)


if __name__ == "__main__":
    main()
