"""Rows of a batch: check them, group them by length, join them, take the results apart again.

Pure functions over numpy arrays, free of Triton and of ONNX Runtime, so that they can be tested
anywhere. This file is copied beside every exported ``model.onnx``; it imports nothing of Vitrine
because Triton's environment has nothing of Vitrine.

Why group: padding costs more than batching saves. On a CPU a query of 4 tokens padded to 16 takes
twice its time, and a batch of mixed lengths in one run is a third slower than the same batch in
three runs, each of rows of about one length. A lone query is never padded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IDS = "input_ids"
MASK = "attention_mask"
HAS_TEXT = "has_text"
HAS_IMAGE = "has_image"

Arrays = dict[str, npt.NDArray[np.generic]]
Lengths = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_LEAST_SAVING_TOKENS = 16
"""A run of its own costs about as much as so many padded tokens; a smaller saving is not one."""


class BadRequestError(ValueError):
    """What is wrong with one request: the tensor, the value and the remedy, in one sentence."""


@dataclass(frozen=True)
class Limits:
    """What the served model accepts.

    Args:
        vocabulary_size: ids run from 0 to this, exclusive.
        max_tokens: longest text, special tokens included.
    """

    vocabulary_size: int
    max_tokens: int


def checked_lengths(inputs: Mapping[str, npt.NDArray[np.generic]], limits: Limits) -> Lengths:
    """Returns the number of true tokens of every row of one request, int64 [rows].

    Args:
        inputs: the request's tensors. input_ids and attention_mask are int64 [rows, length], padded
            on the right as the mask says; has_text bool [rows, 1], has_image bool [rows, views].
        limits: of the model.

    Raises:
        BadRequestError: shapes disagree, a mask is not ones followed by zeros, an id is unknown, a text
            too long, or a row has neither text nor picture.
    """
    ids, mask = inputs[IDS], inputs[MASK]
    if ids.ndim != 2 or ids.shape != mask.shape:
        shapes = f"{MASK} has shape {list(mask.shape)} but {IDS} has {list(ids.shape)}"
        raise BadRequestError(f"{shapes}: send both as [rows, length].")
    lengths: Lengths = mask.sum(axis=1, dtype=np.int64)
    true_tokens: Flags = np.arange(mask.shape[1]) < lengths[:, None]
    _refuse_rows((mask != true_tokens).any(axis=1), MASK, "is not ones followed by zeros", "pad on the right")
    _refuse_rows(lengths == 0, MASK, "has no 1", "send at least the special tokens")
    too_long = f"has {lengths.max(initial=0)} tokens, the model takes {limits.max_tokens}"
    _refuse_rows(
        lengths == max(lengths.max(initial=0), limits.max_tokens + 1), IDS, too_long, "truncate the text"
    )
    _refuse_unknown_ids(ids, true_tokens, limits.vocabulary_size)
    if HAS_TEXT in inputs and HAS_IMAGE in inputs:
        something = np.logical_or(inputs[HAS_TEXT].any(axis=1), inputs[HAS_IMAGE].any(axis=1))
        _refuse_rows(
            np.logical_not(something),
            f"{HAS_TEXT} and {HAS_IMAGE}",
            "are all false",
            "give a text or a picture",
        )
    return lengths


def length_groups(lengths: Lengths, most: int) -> list[Rows]:
    """Splits rows into at most ``most`` groups of similar length.

    Greedy: of all groups and all places to cut, the cut that saves the most padding, until no cut
    saves enough to pay for one more run.

    Args:
        lengths: true tokens of every row, int64 [rows].
        most: most groups to make, 1 or more.

    Returns:
        Row numbers of each group; together a permutation of all rows.
    """
    groups = [np.argsort(lengths, kind="stable")]
    while len(groups) < most:
        cuts = [_best_cut(lengths[group]) for group in groups]
        best = max(range(len(groups)), key=lambda number: cuts[number][0])
        saving, at = cuts[best]
        if saving < _LEAST_SAVING_TOKENS:
            break
        groups[best : best + 1] = [groups[best][:at], groups[best][at:]]
    return groups


def joined(requests: Sequence[Mapping[str, npt.NDArray[np.generic]]]) -> Arrays:
    """Stacks the rows of several requests; texts are padded with zeros to the longest.

    The width is the widest request's, true or padded: :func:`group_inputs` cuts it.
    """
    if len(requests) == 1:
        return dict(requests[0])
    width = max(request[IDS].shape[1] for request in requests)
    return {
        name: np.concatenate(
            [_widened(request[name], width) if name in (IDS, MASK) else request[name] for request in requests]
        )
        for name in requests[0]
    }


def group_inputs(batch: Mapping[str, npt.NDArray[np.generic]], lengths: Lengths, rows: Rows) -> Arrays:
    """Returns the inputs of one run: the given rows, as wide as their longest text.

    Ids behind a row's end become 0 whatever the caller put there.
    """
    longest = int(lengths[rows].max())
    chosen = {name: array[rows] for name, array in batch.items() if name not in (IDS, MASK)}
    true_tokens = np.arange(longest) < lengths[rows, None]
    chosen[IDS] = np.where(true_tokens, batch[IDS][rows, :longest], 0).astype(np.int64, copy=False)
    chosen[MASK] = true_tokens.astype(np.int64)
    return chosen


def scattered(
    groups: Iterable[tuple[Rows, Sequence[npt.NDArray[np.generic]]]], total: int
) -> list[npt.NDArray[np.generic]]:
    """Puts the groups' outputs back in the order of the rows.

    Args:
        groups: for each run its row numbers and its outputs, each [rows of the group, ...].
        total: rows in all.

    Returns:
        One array per output, [total, ...].
    """
    whole: list[npt.NDArray[np.generic]] = []
    for rows, outputs in groups:
        if not whole:
            whole = [np.empty((total, *output.shape[1:]), output.dtype) for output in outputs]
        for target, output in zip(whole, outputs, strict=True):
            target[rows] = output
    return whole


def _best_cut(lengths: Lengths) -> tuple[int, int]:
    """Returns (padded tokens saved, position) of the best cut of ascending lengths."""
    if len(lengths) < 2:
        return 0, 0
    saved = np.arange(1, len(lengths)) * (lengths[-1] - lengths[:-1])
    at = int(saved.argmax())
    return int(saved[at]), at + 1


def _widened(array: npt.NDArray[np.generic], width: int) -> npt.NDArray[np.generic]:
    return np.pad(array, ((0, 0), (0, width - array.shape[1])))


def _refuse_unknown_ids(ids: npt.NDArray[np.generic], true_tokens: Flags, vocabulary_size: int) -> None:
    # Seen as unsigned, a negative id is a huge one: one comparison finds both.
    unknown = true_tokens & (ids.view(np.uint64) >= np.uint64(vocabulary_size))
    if unknown.any():
        row, column = (int(index[0]) for index in np.nonzero(unknown))
        where = (
            f"{IDS}[{row}, {column}] is {ids[row, column]}, outside the vocabulary 0..{vocabulary_size - 1}"
        )
        raise BadRequestError(f"{where}: encode the text with this release's tokenizer.")


def _refuse_rows(bad: Flags, tensor: str, problem: str, remedy: str) -> None:
    if bad.any():
        raise BadRequestError(f"{tensor} of row {int(bad.argmax())} {problem}: {remedy}.")
