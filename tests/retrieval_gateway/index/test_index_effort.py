"""As many lists as a query needs: deep k, filters far from the query, lists that are empty."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from index_builders import clustered, near
from numpy.typing import NDArray

from evaluation import recall_at_k
from retrieval_gateway.index import ExactIndex, FaissIndex, IndexSpec, build_index
from retrieval_gateway.index.ranking import score_rows

VECTORS = clustered(8_000, 24, clusters=50)
QUERIES = near(VECTORS, 12)
EXACT = ExactIndex(VECTORS)
FEW = build_index(VECTORS, IndexSpec("ivf_sq8", 300, 6))


def recall(index: FaissIndex, k: int, allowed: NDArray[np.bool_] | None = None) -> float:
    found, exact = index.search(QUERIES, k, allowed), EXACT.search(QUERIES, k, allowed)
    return recall_at_k(found.rows, found.scores, exact.rows, exact.scores)


def bare_recall(k: int) -> float:
    """What FAISS finds with the spec's number of lists, whatever k is."""
    parameters = faiss.SearchParametersIVF(nprobe=FEW.spec.nprobe)
    rows = FEW.faiss_index.search(QUERIES, k, params=parameters)[1]
    exact = EXACT.search(QUERIES, k)
    return recall_at_k(rows, score_rows(VECTORS, QUERIES, rows), exact.rows, exact.scores)


@pytest.mark.parametrize("k", [200, 800, 3000])
def test_the_effort_grows_with_depth(k: int) -> None:
    assert bare_recall(k) < 0.9  # so many lists do not reach so deep
    assert recall(FEW, k) >= 0.98


def test_a_shallow_search_looks_at_the_specs_lists() -> None:
    parameters = faiss.SearchParametersIVF(nprobe=FEW.spec.nprobe)
    candidates = FEW.faiss_index.search(QUERIES, 26, params=parameters)[1]
    assert all(
        set(found) <= set(seen) for found, seen in zip(FEW.search(QUERIES, 10).rows, candidates, strict=True)
    )


def test_k_hits_or_all_there_are() -> None:
    index = build_index(VECTORS, IndexSpec("ivf_sq8", 300, 1))
    for k in (1, 120, 2000, 8000):
        assert (index.search(QUERIES[:2], k).rows >= 0).all()
    for k in (8001, 9600):
        found = index.search(QUERIES[:2], k)
        assert [sorted(line[:8000]) == list(range(8000)) for line in found.rows.tolist()] == [True, True]
        assert (found.rows[:, 8000:] == -1).all()
        assert (found.scores[:, 8000:] == -np.inf).all()


@pytest.mark.parametrize("k", [1, 20, 100, 400])
@pytest.mark.parametrize("share", [0.5, 0.3, 0.2])
def test_a_filter_far_from_the_queries_finds_what_is_nearest_there(share: float, k: int) -> None:
    nearness = VECTORS @ VECTORS[0]
    allowed = nearness >= np.quantile(nearness, 1 - share)
    far = QUERIES @ VECTORS[0] < 0.5
    assert far.sum() >= 10
    assert recall(FEW, k, allowed) >= 0.98


def test_the_effort_is_no_more_than_a_query_needs() -> None:
    """A filter that is true nearly everywhere must not turn a search into a scan of all lists."""
    allowed = np.arange(len(VECTORS)) % 10 != 0
    asked: list[int] = []
    lists = FEW._lists
    assert lists is not None
    looked = lists._look

    def counted(*arguments: object) -> tuple[NDArray[np.int64], int]:
        found = looked(*arguments)  # type: ignore[arg-type]
        asked.append(found[1])
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "_look", counted)
        FEW.search(QUERIES, 10, allowed)
    assert sum(asked) / len(QUERIES) < FEW.spec.nlist / 5


def test_empty_lists_are_no_special_case() -> None:
    few = np.repeat(VECTORS[:7], [300, 200, 100, 50, 25, 12, 6], axis=0)
    index = build_index(few, IndexSpec("ivf_sq8", 40, 2))
    sizes = [index.faiss_index.invlists.list_size(number) for number in range(40)]
    assert 0 in sizes
    allowed = np.arange(len(few)) % 2 == 0
    for k in (5, 150, 400):
        for mask in (None, allowed):
            found = index.search(VECTORS[:7], k, mask)
            expected = ExactIndex(few).search(VECTORS[:7], k, mask)
            np.testing.assert_array_equal(found.rows >= 0, expected.rows >= 0)
            np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
