"""Similar products in two sections."""

import numpy as np
import pytest
from support.rankings import ranking_of

from retrieval_gateway.ranking.sections import by_score, split

RANKING = ranking_of([3, 1, 4, 5, 9, 2], [0.9, 0.8, 0.7, 0.7, 0.5, 0.1])


@pytest.mark.parametrize(
    ("threshold", "k", "same", "similar"),
    [
        (0.7, 10, [3, 1, 4, 5], [9, 2]),
        (0.7, 1, [3], [9]),
        (0.95, 3, [], [3, 1, 4]),
        (0.0, 3, [3, 1, 4], []),
        (None, 2, [], [3, 1]),
    ],
)
def test_the_threshold_parts_them_and_belongs_to_the_same_style(threshold, k, same, similar):
    sections = split(RANKING, threshold, k)
    assert sections.same_style.rows.tolist() == same
    assert sections.similar.rows.tolist() == similar
    for part in (sections.same_style, sections.similar):
        places = [RANKING.rows.tolist().index(row) for row in part.rows]
        np.testing.assert_array_equal(part.scores, RANKING.scores[places])


def test_equal_scores_stand_by_row():
    found = by_score(ranking_of([7, 2, 5, 1], [0.5, 0.9, 0.5, 0.9]))
    assert found.rows.tolist() == [1, 2, 5, 7]
    assert found.scores.tolist() == pytest.approx([0.9, 0.9, 0.5, 0.5])
