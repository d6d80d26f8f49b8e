"""Another shop, zero-shot: what do the towers know of a shop that had no part in their training?

    python -m benchmarks.quality.other_shop [--catalog ../shared/data/catalog] [--recipe catalogue]
        [--sources luma,adventureworks,fritzing,grocery] [--photographs DIR] [--out var/quality/other_shop]

Each source of the catalogue in turn is held out of training altogether, products and clicks; the recipe
is trained on all products of the others; then the held-out source alone is the corpus. Its judged queries
are answered by the trained towers and by untuned MiniLM (mean-pooled, title and description, no picture),
and both are measured by ``evaluation.measures`` over the queries with a relevant product in that corpus.

One training a source: each result is kept as JSON in ``--out`` and not computed again, and a training
that was interrupted goes on from its progress there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.quality.dense_run import dense_run, tower_vectors, untuned_vectors
from benchmarks.quality.kept_results import identity, kept_or_made, step_teller
from catalog.catalogue import Catalogue
from catalog.click_simulation import simulate_clicks
from catalog.photographs import DecodedPhotographs, Photograph, decode_photographs, read_photographs
from catalog.pictures import decode_catalogue
from catalog.readers import read_catalogue, read_clicks, read_judgements, read_queries
from catalog.schema import Click
from catalog.tables import read_columns
from evaluation.measures import evaluate_run
from faults import InvalidInput
from towers.recipe import Recipe, load_recipe
from towers.training.resume import ProgressFolder
from towers.training.train import train

_SOURCES = ("luma", "adventureworks", "fritzing", "grocery")


@dataclass(frozen=True)
class Shops:
    """A catalogue of several sources."""

    folder: Path
    catalogue: Catalogue
    source: dict[str, str]
    """Of each product."""
    photographs: Sequence[Photograph] = ()

    def of(self, source: str) -> Catalogue:
        """The products of a source; raises InvalidInput where there are none."""
        chosen = [product for product in self.catalogue.ids if self.source[product] == source]
        if not chosen:
            known = sorted(set(self.source.values()))
            raise InvalidInput("no such source", field="--sources", value=source, fix=f"One of {known}.")
        return self.catalogue.subset(chosen)

    def without(self, source: str) -> Catalogue:
        """The products of all other sources."""
        return self.catalogue.subset([name for name in self.catalogue.ids if self.source[name] != source])

    def clicks(self, products: Catalogue, seed: int) -> list[Click]:
        """The click log of some products; a simulated one where the folder has none."""
        logged = read_clicks(self.folder)
        if logged is None:
            return simulate_clicks(products, seed)
        return [click for click in logged if click.product_id in products]


def read_shops(folder: Path, photographs: Path | None = None) -> Shops:
    """Reads a catalogue whose products file says in ``source`` where each product comes from."""
    columns = read_columns(folder / "products.parquet", ("product_id", "source"))
    source = dict(zip(map(str, columns["product_id"]), map(str, columns["source"]), strict=True))
    found = [] if photographs is None else read_photographs(photographs)
    return Shops(folder, read_catalogue(folder), source, found)


def zero_shot(shops: Shops, source: str, recipe: Recipe, progress: ProgressFolder) -> dict[str, Any]:
    """Trains on all sources but one and measures that one.

    Returns:
        Counts, and of ``towers`` and ``untuned`` the measures, in all and by kind of query.
    """
    rest, corpus = shops.without(source), shops.of(source)
    size, views = recipe.image.size, recipe.image.views
    trained = train(
        recipe,
        rest,
        shops.clicks(rest, recipe.seed),
        decode_catalogue(rest, size, views),
        step_teller(source),
        progress,
        photographs=_photographs(shops, corpus, size),
    )
    asked = read_queries(shops.folder / "queries.csv")
    judgements = read_judgements(shops.folder / "qrels.csv")
    pictures = decode_catalogue(corpus, size, views)
    result: dict[str, Any] = {"source": source, "products": len(corpus), "trained_on": len(rest)}
    for name, vectors in (
        ("towers", tower_vectors(trained.towers, recipe, trained.keywords, asked, corpus, pictures)),
        ("untuned", untuned_vectors(asked, corpus)),
    ):
        report = evaluate_run(
            dense_run(asked, corpus, *vectors),
            [(query.query_id, query.kind) for query in asked],
            [(judged.query_id, judged.product_id, judged.grade) for judged in judgements],
            frozenset(corpus.ids),
        )
        result[name] = report.to_json()
    return result


def results(shops: Shops, sources: Sequence[str], recipe: Recipe, out: Path) -> list[dict[str, Any]]:
    """Measures the sources that were not measured before, and returns all of them."""
    known = {"identity": identity(shops.catalogue, recipe, tuple(shops.photographs)), "recipe": recipe.name}
    return [
        kept_or_made(out, f"{recipe.name}-{source}", known, partial(zero_shot, shops, source, recipe))
        for source in sources
    ]


def _photographs(shops: Shops, corpus: Catalogue, size: int) -> DecodedPhotographs | None:
    """The photographs without those of the held-out source's products."""
    kept = [photograph for photograph in shops.photographs if photograph.group_id not in corpus]
    return decode_photographs(kept, size) if kept else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the sources and prints the figures, as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--catalog", type=Path, default=Path("../shared/data/catalog"))
    parser.add_argument("--recipe", default="catalogue")
    parser.add_argument("--sources", default=",".join(_SOURCES))
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--out", type=Path, default=Path("var/quality/other_shop"))
    chosen = parser.parse_args(arguments)
    shops = read_shops(chosen.catalog, chosen.photographs)
    every = results(shops, chosen.sources.split(","), load_recipe(chosen.recipe), chosen.out)
    for result in every:
        print(_line(result))  # noqa: T201
    print(json.dumps({"recipe": chosen.recipe, "sources": every}))  # noqa: T201


def _line(result: dict[str, Any]) -> str:
    shown = [
        f"{result['source']:15} {result['products']:5} products, {result['towers']['queries']:3} queries"
    ]
    for name in ("towers", "untuned"):
        scores = result[name]
        shown.append(f"{name} {scores['ndcg_at_10']:.3f}/{scores['recall_at_100']:.3f}")
    return "; ".join(shown)


if __name__ == "__main__":
    main()
