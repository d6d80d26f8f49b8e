"""Counts of values: frequent ones first, missing ones apart."""

from retrieval_gateway.ranking.facets import FacetCounts, count_values


def test_values_stand_by_frequency_and_then_by_name():
    found = count_values("color", ["red", "blue", "", "red", "green", "blue", None])
    assert found == FacetCounts("color", ("blue", "red", "green"), (2, 2, 1), missing=2, of=7)


def test_truth_is_named_and_its_absence_is_missing():
    found = count_values("in_stock", [True, None, False, True])
    assert found == FacetCounts("in_stock", ("true", "false"), (2, 1), missing=1, of=4)


def test_nothing_is_counted_as_nothing():
    assert count_values("brand", []) == FacetCounts("brand", (), (), missing=0, of=0)
