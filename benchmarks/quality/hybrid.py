"""The dense channel, full text, and both merged: which answers judged queries best?

    python -m benchmarks.quality.hybrid CHECKPOINT [--catalog ../shared/data/catalog]

Towers, full text and merge plan are those of a release, put together without Triton: products and queries
are embedded by the checkpoint in PyTorch, searched exactly, and merged by the gateway's own code as deep as
it asks for a first page. The plan is chosen as ``vitrine index`` chooses it, by simulated queries of
training products; no judged query has a part in it. Relevance control is off.

Three corpora: the whole catalogue, most of which the towers were trained on; the products that were held
out of training (with a full-text index of their own); and the simulated queries that the plan was chosen by,
on their training products, apart for those that name a product (its title, a part of it, a type number),
which the judged queries never do. Intervals are paired bootstraps over queries of the differences in
nDCG@10, at 95 %. ``equal ranks`` is reciprocal rank fusion with equal weights, for comparison: what merging
comes to where nothing is chosen.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.measures.ranking import graded_gain
from benchmarks.quality.dense_run import tower_vectors
from catalog.catalogue import Catalogue
from catalog.facets import facets_of
from catalog.held_out import is_held_out_product
from catalog.pictures import decode_catalogue
from catalog.readers import read_catalogue, read_judgements, read_queries
from catalog.schema import EvaluationQuery, Judgement
from evaluation.bootstrap import paired_bootstrap
from evaluation.exact import exact_search
from evaluation.measures import evaluate_run
from indexing.lexical import write_lexical
from indexing.merge_plan import choose_plan
from indexing.tuning_queries import TuningQueries, simulated_queries
from releases.manifest import MergePart
from retrieval_gateway.channels.lexical import LexicalIndex
from retrieval_gateway.channels.merging import MergePlan, merge
from retrieval_gateway.channels.types import Merged, Ranking
from towers.checkpoint import load_checkpoint

_ASKED = 128
"""Hits of each channel: a gateway's first rung."""
_SHOWN = 100

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Embedded:
    """A catalogue and its judged queries, embedded.

    Attributes:
        products: float32[N,dim].
        queries: float32[Q,dim].
    """

    catalogue: Catalogue
    products: Vectors
    asked: Sequence[EvaluationQuery]
    queries: Vectors
    judgements: Sequence[Judgement]

    def of(self, catalogue: Catalogue) -> Embedded:
        """The same queries, put to a part of the catalogue."""
        rows = [self.catalogue.row(product_id) for product_id in catalogue.ids]
        return replace(self, catalogue=catalogue, products=self.products[rows])


def embedded(folder: Path, checkpoint: Path) -> tuple[Embedded, TuningQueries, MergePart]:
    """Embeds a catalogue and its queries, and chooses the merge plan of the release that they would make."""
    loaded = load_checkpoint(checkpoint)
    shop, asked = read_catalogue(folder), read_queries(folder / "queries.csv")
    tuning = simulated_queries(shop)
    every = [*asked, *(EvaluationQuery("", text, "") for text in tuning.texts)]
    image = loaded.recipe.image
    pictures = decode_catalogue(shop, image.size, image.views, "skip")
    queries, products = tower_vectors(loaded.towers, loaded.recipe, loaded.keywords, every, shop, pictures)
    tuning = replace(tuning, vectors=queries[len(asked) :])
    with tempfile.TemporaryDirectory() as place:
        plan = choose_plan(tuning, products, _full_text(shop, Path(place)))
    judgements = read_judgements(folder / "qrels.csv")
    return Embedded(shop, products, asked, queries[: len(asked)], judgements), tuning, plan


def simulated(whole: Embedded, tuning: TuningQueries) -> Embedded:
    """Returns the queries that a plan was chosen by, as judged queries of their own products."""
    ids = whole.catalogue.ids
    corpus = whole.catalogue.subset([ids[row] for row in tuning.rows])
    names = {title for product in corpus.products for title in facets_of(product).titles}
    kinds = ["names a product" if text in names else "other" for text in tuning.texts]
    asked = [EvaluationQuery(text, text, kind) for text, kind in zip(tuning.texts, kinds, strict=True)]
    judgements = [
        Judgement(text, ids[row], 1)
        for text, rows in zip(tuning.texts, tuning.relevant, strict=True)
        for row in sorted(rows)
    ]
    return replace(whole.of(corpus), asked=asked, queries=tuning.vectors, judgements=judgements)


def compared(corpus: Embedded, plan: MergePlan) -> dict[str, Any]:
    """Measures each channel and both merged.

    Returns:
        By way of answering the report of ``evaluate_run``, and by ``hybrid - <channel>`` and kind of query
        the difference in nDCG@10 as [estimate, low, high].
    """
    answers = _answers(corpus, plan)
    result: dict[str, Any] = {name: _report(corpus, found) for name, found in answers.items()}
    gains = {name: _gains(corpus, found) for name, found in answers.items()}
    kinds = np.array([query.kind for query in corpus.asked])
    for channel in ("dense", "lexical"):
        differences = {"all": _interval(gains["hybrid"], gains[channel])}
        for kind in result["dense"]["by_kind"]:  # those with a query that counts
            of_kind = kinds == kind
            differences[kind] = _interval(gains["hybrid"][of_kind], gains[channel][of_kind])
        result[f"hybrid - {channel}"] = differences
    return result


def _answers(corpus: Embedded, plan: MergePlan) -> Mapping[str, Sequence[Merged]]:
    rows, scores = exact_search(corpus.products, corpus.queries, _ASKED)
    dense = [Ranking(*found) for found in zip(rows, scores, strict=True)]
    with tempfile.TemporaryDirectory() as place:
        full_text = _full_text(corpus.catalogue, Path(place))
        lexical = [full_text.search(query.query, _ASKED) for query in corpus.asked]
    equal = MergePlan("reciprocal_rank", 1.0, 1.0)
    pairs = list(zip(dense, lexical, strict=True))
    return {
        "dense": [merge(found, None, plan, _SHOWN) for found in dense],
        "lexical": [merge(None, found, plan, _SHOWN) for found in lexical],
        "hybrid": [merge(*pair, plan, _SHOWN) for pair in pairs],
        "equal ranks": [merge(*pair, equal, _SHOWN) for pair in pairs],
    }


def _full_text(catalogue: Catalogue, place: Path) -> LexicalIndex:
    return LexicalIndex.open(place / write_lexical(place, catalogue).folder)


def _report(corpus: Embedded, answers: Sequence[Merged]) -> dict[str, Any]:
    ids = corpus.catalogue.ids
    run = {
        query.query_id: [
            (ids[row], float(score)) for row, score in zip(found.rows, found.scores, strict=True)
        ]
        for query, found in zip(corpus.asked, answers, strict=True)
    }
    kinds = [(query.query_id, query.kind) for query in corpus.asked]
    grades = [(judged.query_id, judged.product_id, judged.grade) for judged in corpus.judgements]
    return evaluate_run(run, kinds, grades, frozenset(ids)).to_json()


def _gains(corpus: Embedded, answers: Sequence[Merged]) -> npt.NDArray[np.float64]:
    """nDCG@10 of each query, float64[Q]; NaN where the corpus has nothing relevant."""
    count = len(corpus.catalogue)
    places = {query.query_id: place for place, query in enumerate(corpus.asked)}
    grades = np.zeros((len(places), count + 1), np.int64)  # the last product is the one that fills gaps
    for judged in corpus.judgements:
        if judged.product_id in corpus.catalogue and judged.query_id in places:
            grades[places[judged.query_id], corpus.catalogue.row(judged.product_id)] = judged.grade
    ranked = np.full((len(places), 10), count)
    for place, found in enumerate(answers):
        ranked[place, : len(found.rows[:10])] = found.rows[:10]
    return graded_gain(ranked, grades)


def _interval(hybrid: npt.NDArray[np.float64], channel: npt.NDArray[np.float64]) -> list[float]:
    counted = ~np.isnan(hybrid)
    found = paired_bootstrap([hybrid[counted]], [channel[counted]])
    return [found.estimate, found.low, found.high]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the corpora and prints a table, and the figures as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--catalog", type=Path, default=Path("../shared/data/catalog"))
    chosen = parser.parse_args(arguments)
    whole, tuning, part = embedded(chosen.catalog, chosen.checkpoint)
    apart = [product.product_id for product in whole.catalogue.products if is_held_out_product(product)]
    plan = MergePlan(part.method, part.dense_weight, part.lexical_weight)
    corpora = {"whole": compared(whole, plan)}
    if apart:
        corpora["held_out"] = compared(whole.of(whole.catalogue.subset(apart)), plan)
    if part.figures:
        corpora["simulated"] = compared(simulated(whole, tuning), plan)
    for name, result in corpora.items():
        for line in _table(name, result):
            print(line)  # noqa: T201
    print(json.dumps({"plan": part.model_dump(), **corpora}))  # noqa: T201


def _table(corpus: str, result: dict[str, Any]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [
        f"| {corpus} | queries | dense | lexical | hybrid | equal ranks | - dense | - lexical |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind in ("all", *sorted(result["dense"]["by_kind"])):
        cells = [kind]
        for name in ("dense", "lexical", "hybrid", "equal ranks"):
            scores = result[name] if kind == "all" else result[name]["by_kind"][kind]
            cells += [str(scores["queries"])] if name == "dense" else []
            cells.append(f"{scores['ndcg_at_10']:.3f}/{scores['recall_at_100']:.3f}")
        for channel in ("dense", "lexical"):
            cells.append("{:+.3f} [{:+.3f}, {:+.3f}]".format(*result[f"hybrid - {channel}"][kind]))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
