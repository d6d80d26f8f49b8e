import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "model_repository" / "runner"))
from tower_rows import (
    BadRequestError,
    Limits,
    checked_lengths,
    group_inputs,
    joined,
    length_groups,
    scattered,
)

LIMITS = Limits(vocabulary_size=10, max_tokens=6)


def text(ids, mask=None):
    ids = np.array(ids, dtype=np.int64)
    return {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids) if mask is None else np.array(mask, dtype=np.int64),
    }


def test_lengths_follow_the_mask_and_not_the_padding():
    request = text([[1, 2, 3, 0], [4, 0, 0, 0]], [[1, 1, 1, 0], [1, 0, 0, 0]])
    assert checked_lengths(request, LIMITS).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (text([[1, 10]]), "input_ids[0, 1] is 10, outside the vocabulary 0..9"),
        (text([[1, 2], [-3, 1]]), "input_ids[1, 0] is -3"),
        (text([[1, 2]], [[1, 0, 0]]), "attention_mask has shape [1, 3] but input_ids has [1, 2]"),
        (text([[1, 2, 3]], [[1, 0, 1]]), "attention_mask of row 0 is not ones followed by zeros"),
        (text([[1, 2], [1, 2]], [[1, 1], [0, 1]]), "attention_mask of row 1 is not ones followed by zeros"),
        (text([[1, 2]], [[2, 0]]), "attention_mask of row 0 is not ones"),
        (text([[1, 2]], [[0, 0]]), "attention_mask of row 0 has no 1"),
        (
            text([[1, 1], [2, 2]])
            | {"has_text": np.array([[True], [False]]), "has_image": np.zeros((2, 3), bool)},
            "of row 1 are all false",
        ),
        (text([[1] * 7]), "input_ids of row 0 has 7 tokens, the model takes 6"),
        (text([[1] * 9, [1] * 9], [[1] * 2 + [0] * 7, [1] * 8 + [0]]), "input_ids of row 1 has 8 tokens"),
    ],
)
def test_a_bad_request_names_tensor_row_and_value(request_, message):
    with pytest.raises(BadRequestError) as caught:
        checked_lengths(request_, LIMITS)
    assert message in str(caught.value)


def test_ids_behind_the_mask_are_neither_checked_nor_run():
    request = text([[1, 999]], [[1, 0]])
    lengths = checked_lengths(request, LIMITS)
    run = group_inputs(request, lengths, np.array([0]))
    assert run["input_ids"].tolist() == [[1]]


def test_a_picture_alone_is_enough():
    request = text([[1]]) | {"has_text": np.array([[False]]), "has_image": np.array([[False, True]])}
    assert checked_lengths(request, LIMITS).tolist() == [1]


def test_a_lone_row_is_one_group_without_padding():
    lengths = np.array([3])
    (rows,) = length_groups(lengths, 3)
    run = group_inputs(text([[1, 2, 3, 0, 0]]), lengths, rows)
    assert run["input_ids"].shape == (1, 3)
    assert run["attention_mask"].tolist() == [[1, 1, 1]]


def test_rows_of_one_length_are_run_together():
    assert len(length_groups(np.full(40, 7), 3)) == 1


def test_groups_are_cut_where_the_lengths_jump():
    lengths = np.array([3, 20, 3, 4, 21, 3, 60, 3])
    groups = [sorted(lengths[group].tolist()) for group in length_groups(lengths, 3)]
    assert groups == [[3, 3, 3, 3, 4], [20, 21], [60]]


@given(st.lists(st.integers(1, 64), min_size=1, max_size=64), st.integers(1, 5))
def test_groups_are_a_permutation_and_never_cost_more_than_one_run(lengths, most):
    array = np.array(lengths)
    groups = length_groups(array, most)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    assert 1 <= len(groups) <= most
    assert all(len(group) for group in groups)
    assert sum(array[group].max() * len(group) for group in groups) <= array.max() * len(lengths)


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=20), st.integers(1, 4)
)
def test_join_group_scatter_returns_every_row_to_its_place(texts, most):
    requests = [text([ids]) for ids in texts]
    lengths = np.concatenate([checked_lengths(request, LIMITS) for request in requests])
    batch = joined(requests)
    runs = []
    for rows in length_groups(lengths, most):
        inputs = group_inputs(batch, lengths, rows)
        runs.append((rows, [(inputs["input_ids"] * inputs["attention_mask"]).sum(axis=1, keepdims=True)]))
    (sums,) = scattered(runs, len(texts))
    assert sums[:, 0].tolist() == [sum(ids) for ids in texts]


def test_other_inputs_travel_with_their_rows():
    requests = [
        text([[1, 2, 3]]) | {"pixels": np.full((1, 1, 2, 2, 3), 5, np.uint8)},
        text([[4]]) | {"pixels": np.full((1, 1, 2, 2, 3), 9, np.uint8)},
    ]
    run = group_inputs(joined(requests), np.array([3, 1]), np.array([1, 0]))
    assert run["pixels"][:, 0, 0, 0, 0].tolist() == [9, 5]
    assert run["input_ids"].tolist() == [[4, 0, 0], [1, 2, 3]]
