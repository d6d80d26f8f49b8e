"""What the retrieval gate searches and asks: a catalogue with its queries, or a fair part of it."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from catalog.catalogue import Catalogue
from catalog.pictures import decode_catalogue
from catalog.readers import read_catalogue, read_clicks, read_judgements, read_queries
from catalog.schema import EvaluationQuery, Judgement
from faults import CatalogueError, InvalidInput
from towers.recipe import Recipe

MOST_PRODUCTS = 3000
"""Embedding them takes a PyTorch tower on two cores about a minute; a tower's faults show on far fewer."""
_MOST_LOGGED_QUERIES = 300


@dataclass(frozen=True)
class GateShop:
    """What is searched and what is asked.

    Attributes:
        catalogue: all of it.
        ids, texts: N products of it.
        pixels: uint8[N,V,H,W,3].
        has_image: bool[N,V].
        queries: asked of both engines.
        judgements: of these queries and products; empty where the catalogue has none.
        traffic: how often each query text was asked, by the click log; empty where there is none.
    """

    catalogue: Catalogue
    ids: tuple[str, ...]
    texts: list[str]
    pixels: npt.NDArray[np.uint8]
    has_image: npt.NDArray[np.bool_]
    queries: list[EvaluationQuery]
    judgements: list[Judgement]
    traffic: Mapping[str, int]


def open_gate_shop(folder: Path, recipe: Recipe, most_products: int = MOST_PRODUCTS) -> GateShop:
    """Reads a catalogue for the gate.

    Judged queries come from queries.csv and qrels.csv. A catalogue without them is asked the
    most frequent queries of its log: the overlap is measured then, graded measures are not.
    Of a large catalogue a part is taken, the same one every time.

    Raises:
        InvalidInput: there is neither a judged query nor a click log.
        CatalogueError: the catalogue cannot be read as it is.
    """
    whole = read_catalogue(folder)
    traffic = _traffic(folder)
    queries, judgements = _queries(folder, traffic)
    part = _part(whole, queries, judgements, most_products)
    pictures = decode_catalogue(part, recipe.image.size, recipe.image.views, "skip")
    if pictures.skipped and not pictures.has_image.any():
        raise CatalogueError(
            f"none of {len(pictures.skipped)} pictures can be decoded: {pictures.skipped[0]}",
            field="--catalog",
            value=str(folder),
            fix="Gate on a catalogue whose pictures are whole.",
        )
    known = [judgement for judgement in judgements if judgement.product_id in part]
    if judgements and not any(judgement.grade for judgement in known):
        raise InvalidInput(
            "no query has a relevant product in this catalogue, by its qrels.csv",
            field="--catalog",
            value=str(folder),
            fix="Judge products of this catalogue, or remove queries.csv and qrels.csv to gate on the log.",
        )
    return GateShop(
        whole,
        part.ids,
        [product.indexed_text() for product in part.products],
        pictures.pixels,
        pictures.has_image,
        queries,
        known,
        traffic,
    )


def _traffic(folder: Path) -> dict[str, int]:
    asked: dict[str, int] = defaultdict(int)
    for click in read_clicks(folder) or ():
        asked[click.query] += click.impressions
    return asked


def _queries(folder: Path, traffic: Mapping[str, int]) -> tuple[list[EvaluationQuery], list[Judgement]]:
    if (folder / "queries.csv").is_file() and (folder / "qrels.csv").is_file():
        return read_queries(folder / "queries.csv"), read_judgements(folder / "qrels.csv")
    if not traffic:
        raise InvalidInput(
            "has neither judged queries nor a click log: nothing to compare engines on",
            field="--catalog",
            value=str(folder),
            fix="Add queries.csv and qrels.csv, or clicks.parquet; docs/catalogue.md has the formats.",
        )
    chosen = sorted(traffic, key=lambda query: (-traffic[query], query))[:_MOST_LOGGED_QUERIES]
    return [EvaluationQuery(f"logged-{place}", query, "logged") for place, query in enumerate(chosen)], []


def _part(
    whole: Catalogue, queries: Sequence[EvaluationQuery], judgements: Sequence[Judgement], most: int
) -> Catalogue:
    """Returns at most ``most`` products: what is judged for some query first, then any."""
    if len(whole) <= most:
        return whole
    judged: dict[str, list[str]] = defaultdict(list)
    for judgement in judgements:
        if judgement.product_id in whole:
            judged[judgement.query_id].append(judgement.product_id)
    source = random.Random(0)
    order = [
        product for query in source.sample(list(queries), len(queries)) for product in judged[query.query_id]
    ]
    # Half of the room at most: what is relevant must be found among what is not.
    kept = dict.fromkeys(order[: most // 2])
    for product in source.sample(whole.ids, len(whole)):
        if len(kept) >= most:
            break
        kept[product] = None
    return whole.subset(list(kept))
