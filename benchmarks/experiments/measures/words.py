"""What queries look like: misspelt ones, and ones that the click log has keywords for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.measures.ranking import best, recall
from benchmarks.experiments.measures.retrieval import query_facts
from benchmarks.experiments.measures.subject import FITS, Subject
from benchmarks.experiments.shop import Shops
from towers.data.typos import misspell_all

__all__ = ["at_home", "typos"]

_TYPO_SEED = 5


def typos(subject: Subject) -> Findings:
    """R@10 float[Q] of the queries as they are and with one and two typing errors.

    Queries that no error can be made in (short words, model numbers) are ``unchanged``.
    """
    fits = subject.grades == FITS
    queries = [query.query for query in subject.shop.queries]
    findings: Findings = {}
    for edits in (0, 1, 2):
        wrong = misspell_all(queries, edits, _TYPO_SEED)
        top = best(subject.embed_queries(wrong), subject.products.fused, 10)
        findings[f"r10_{edits}"] = recall(top, fits, 10)
        findings["unchanged"] = np.array([one == other for one, other in zip(queries, wrong, strict=True)])
    return findings


def at_home(subject: Subject) -> Findings:
    """R@10 on the shop that was trained on: keywords belong to the log they were mined from.

    Returns, with Q queries: ``r10`` with the keywords that the towers have, ``r10_without`` them,
    ``has_keywords``, and what is known of the queries.
    """
    home = replace(subject, shops=Shops(subject.shops.train, subject.shops.train))
    fits = home.grades == FITS
    texts = [query.query for query in home.shop.queries]
    table = home.checkpoint.keywords
    plain = home.embed_queries(texts, keywords=False)
    return {
        **query_facts(home),
        "r10": recall(best(home.query_vectors, home.products.fused, 10), fits, 10),
        "r10_without": recall(best(plain, home.products.fused, 10), fits, 10),
        "has_keywords": np.array([table is not None and bool(table.of(text)) for text in texts]),
    }
