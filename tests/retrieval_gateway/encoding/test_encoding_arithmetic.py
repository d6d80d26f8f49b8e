"""Arithmetic on unit vectors."""

import numpy as np
import pytest

from faults import InvalidInput
from retrieval_gateway.encoding.arithmetic import mix, take_away, unit

EAST, NORTH = np.array([1, 0], np.float32), np.array([0, 1], np.float32)


def angle(vector) -> float:
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    return float(np.degrees(np.arctan2(vector[1], vector[0])))


@pytest.mark.parametrize(("weight", "degrees"), [(0.0, 0.0), (0.25, 18.43495), (0.5, 45.0), (1.0, 90.0)])
def test_a_mixture_turns_from_the_words_to_the_picture(weight, degrees):
    assert angle(mix(EAST, NORTH, weight)) == pytest.approx(degrees, abs=1e-4)


@pytest.mark.parametrize(("weight", "degrees"), [(0.5, -26.56505), (1.0, -45.0), (2.0, -63.43495)])
def test_what_is_taken_away_turns_the_query_from_it(weight, degrees):
    assert angle(take_away(EAST, NORTH, weight)) == pytest.approx(degrees, abs=1e-4)


def test_taking_away_lowers_the_cosine_with_what_is_unwanted():
    random = np.random.default_rng(0)
    query, unwanted = (unit(random.standard_normal(8)) for _ in range(2))
    cosines = [float(take_away(query, unwanted, weight) @ unwanted) for weight in (0.1, 0.5, 1.0, 2.0)]
    assert cosines == sorted(cosines, reverse=True)
    assert cosines[0] < float(query @ unwanted)


@pytest.mark.parametrize(
    ("work", "field"),
    [
        (lambda: take_away(EAST, EAST, 1.0), "query.without_weight"),
        (lambda: mix(EAST, -EAST, 0.5), "query.picture_weight"),
    ],
)
def test_parts_that_cancel_leave_no_query(work, field):
    with pytest.raises(InvalidInput, match="nothing is left") as refused:
        work()
    assert refused.value.field == field
    assert refused.value.fix


@pytest.mark.parametrize("size", [1e38, 1e-38])
def test_large_and_small_numbers_have_a_direction_all_the_same(size):
    assert angle(unit(np.array([size, size], np.float32))) == pytest.approx(45.0, abs=1e-4)
