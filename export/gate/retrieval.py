"""The retrieval gate: what a shopper finds with the engines must be what PyTorch's towers find.

Cosines do not say whether the right product still comes first. So both pairs of towers
embed the same products and queries, both search exactly, and the answers are compared: the
overlap of the ten best, and recall@100 and nDCG@10 where queries are judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.tokenizer import Tokenizer, pad_batch
from evaluation.exact import exact_search, recall_at_k
from evaluation.measures import Scores, evaluate_run
from export.gate.engine import Engine, Feed
from export.gate.shop import GateShop
from export.gate.thresholds import Limits
from export.gate.verdict import verdict
from faults import GateFailed
from releases.manifest import GateReport

_GATE = "retrieval of both towers"
_DEPTH = 100
_ROWS = 32
_NAMED = 5

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TowerPair:
    """Two engines that belong together, with all that decides what they are fed.

    Args:
        query: engine of the query tower.
        product: engine of the product tower.
        tokenizer: the one that both read.
        max_query_tokens: of the query tower.
        max_product_tokens: of the product tower.
        multiple_of: to what batches of texts are padded.
        rows: products or queries a batch.
    """

    query: Engine
    product: Engine
    tokenizer: Tokenizer
    max_query_tokens: int
    max_product_tokens: int
    multiple_of: int = 1
    rows: int = _ROWS


def check_retrieval(reference: TowerPair, candidate: TowerPair, shop: GateShop, limits: Limits) -> GateReport:
    """Compares the candidate's answers with the reference's; see the module's text.

    Raises:
        GateFailed: an engine fails, a vector is not finite, or a limit is missed; the
            queries that changed most are named.
    """
    expected, found = _Answers.of(reference, shop), _Answers.of(candidate, shop)
    # Scores of the reference for what the candidate found: a tie is no loss.
    scores = np.take_along_axis(expected.queries @ expected.products.T, found.rows[:, :10], axis=1)
    overlaps = [
        recall_at_k(found.rows[row : row + 1, :10], scores[row : row + 1], *expected.best(row, 10))
        for row in range(len(shop.queries))
    ]
    measured = {
        "overlap_at_10": float(np.mean(overlaps)),
        "queries": float(len(overlaps)),
        "products": float(len(shop.ids)),
        "pictures": float(shop.has_image.sum()),
    }
    asked = ["overlap_at_10"]
    if shop.judgements:
        before, after = expected.measures(shop), found.measures(shop)
        measured |= {
            "recall_at_100": after.recall_at_100,
            "largest_recall_at_100_loss": before.recall_at_100 - after.recall_at_100,
            "ndcg_at_10": after.ndcg_at_10,
            "largest_ndcg_at_10_loss": before.ndcg_at_10 - after.ndcg_at_10,
        }
        asked += ["largest_recall_at_100_loss", "largest_ndcg_at_10_loss"]
    worst = np.argsort(overlaps, kind="stable")
    return verdict(_GATE, measured, limits.subset(tuple(asked)), [shop.queries[row].query for row in worst])


@dataclass(frozen=True)
class _Answers:
    """What one pair makes of the shop: vectors, and for each query the best rows and their scores."""

    products: Vectors
    queries: Vectors
    rows: Rows
    scores: Vectors

    @classmethod
    def of(cls, pair: TowerPair, shop: GateShop) -> _Answers:
        products, queries = _embed_products(pair, shop), _embed_queries(pair, shop)
        return cls(products, queries, *exact_search(products, queries, _DEPTH))

    def best(self, row: int, k: int) -> tuple[Rows, Vectors]:
        return self.rows[row : row + 1, :k], self.scores[row : row + 1, :k]

    def measures(self, shop: GateShop) -> Scores:
        run = {
            query.query_id: [(shop.ids[row], float(score)) for row, score in zip(rows, scores, strict=True)]
            for query, rows, scores in zip(shop.queries, self.rows, self.scores, strict=True)
        }
        return evaluate_run(
            run,
            [(query.query_id, query.kind) for query in shop.queries],
            [(entry.query_id, entry.product_id, entry.grade) for entry in shop.judgements],
            frozenset(shop.ids),
        ).overall


def _embed_queries(pair: TowerPair, shop: GateShop) -> Vectors:
    texts = [query.query for query in shop.queries]
    ids = pair.tokenizer.encode(texts, pair.max_query_tokens)
    return _embed(pair, pair.query, ids, pair.max_query_tokens, lambda _: {}, texts)


def _embed_products(pair: TowerPair, shop: GateShop) -> Vectors:
    ids = pair.tokenizer.encode(shop.texts, pair.max_product_tokens)
    has_text = np.array([[bool(text.strip())] for text in shop.texts])

    def rest(rows: Sequence[int]) -> Feed:
        chosen = list(rows)
        return {
            "pixels": shop.pixels[chosen],
            "has_text": has_text[chosen],
            "has_image": shop.has_image[chosen],
        }

    return _embed(pair, pair.product, ids, pair.max_product_tokens, rest, shop.ids)


def _embed(
    pair: TowerPair,
    engine: Engine,
    ids: Sequence[list[int]],
    max_tokens: int,
    rest: Callable[[Sequence[int]], Feed],
    names: Sequence[str],
) -> Vectors:
    """Embeds N rows, those of similar length together, as the runner and the gateway do."""
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    found = []
    for start in range(0, len(order), pair.rows):
        rows = order[start : start + pair.rows]
        input_ids, attention_mask = pad_batch([ids[row] for row in rows], pair.multiple_of, max_tokens)
        feed: Feed = {"input_ids": input_ids, "attention_mask": attention_mask, **rest(rows)}
        found.append(engine.run(feed)[0])
    vectors: Vectors = np.concatenate(found)[np.argsort(order)].astype(np.float32, copy=False)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise GateFailed(
            f"{len(bad)} vectors are not finite",
            field=f"{_GATE}: {engine.name}",
            value=[names[row] for row in bad[:_NAMED]],
            fix="Nothing was published.",
        )
    return vectors
