"""Optimisation profiles from a query log: engines are tuned for the shapes that the traffic has.

TensorRT picks its kernels for one usual shape a profile and promises all shapes between the
smallest and the largest. So the lengths are cut into a few ranges around the lengths at which
shoppers really ask: the cuts are those that leave the least padding-sized distance between a
query and the usual length of its range (one-dimensional k-medians, solved exactly: there are few
possible cuts). Everything here is arithmetic on counts.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

from catalog.tokenizer import Tokenizer
from faults import InvalidInput
from releases.export_record import OptimisationProfile
from releases.token_lengths import token_step

STEP = token_step("tensorrt")
"""To whose multiples token tensors are padded."""

MOST_PROFILES = 3
"""Each profile costs build time and the memory of an execution context."""


def token_lengths(tokenizer: Tokenizer, queries: Mapping[str, int], max_tokens: int) -> Counter[int]:
    """Returns how often each token length was asked.

    Args:
        tokenizer: of the release.
        queries: how often each text occurs in the log.
        max_tokens: longer texts are cut, as the gateway cuts them.
    """
    lengths: Counter[int] = Counter()
    encoded = tokenizer.encode(list(queries), max_tokens)
    for ids, count in zip(encoded, queries.values(), strict=True):
        lengths[len(ids)] += count
    return lengths


def padded_length(length: int, longest: int) -> int:
    """Returns how long a text is for an engine: rounded up to a multiple of the step, at most ``longest``."""
    return min(-(-length // STEP) * STEP, longest)


def longest_length(max_tokens: int, positions: int | None = None) -> int:
    """Returns the longest padded length.

    Args:
        max_tokens: most tokens of a text.
        positions: of the text encoder, where it is known: an engine cannot be fed more.

    Raises:
        InvalidInput: ``max_tokens`` is below 1 or above ``positions``.
    """
    if max_tokens < 1 or (positions is not None and max_tokens > positions):
        most = "" if positions is None else f" and at most {positions}, the text encoder's positions"
        raise InvalidInput(
            "no text has so many tokens", field="max_tokens", value=max_tokens, fix=f"Use at least 1{most}."
        )
    return padded_length(max_tokens, max_tokens + STEP if positions is None else positions)


def optimisation_profiles(
    lengths: Mapping[int, int],
    max_tokens: int,
    max_batch: int,
    *,
    positions: int | None = None,
    usual_batch: int | None = None,
) -> tuple[OptimisationProfile, ...]:
    """Returns one to three profiles that cover every length up to ``max_tokens`` and every batch.

    Args:
        lengths: how often each token length occurs; may be empty, which gives one profile that is
            tuned for the longest texts (the ones that hurt).
        max_tokens: most tokens of a text.
        max_batch: most rows of a batch.
        positions: of the text encoder; no bound exceeds it.
        usual_batch: rows for which the kernels are chosen; half of ``max_batch`` unless measured
            otherwise: the batcher fills batches to the brim only where it can no longer keep up.

    Raises:
        InvalidInput: a size is below 1, a count below 0, or ``usual_batch`` above ``max_batch``.
    """
    longest = longest_length(max_tokens, positions)
    batch = _batch_bounds(max_batch, usual_batch)
    traffic = _by_padded_length(lengths, max_tokens, longest)
    if not traffic:
        traffic = {longest: 1}
    bounds = _ranges(traffic)
    profiles = []
    shortest = padded_length(1, longest)
    for place, used in enumerate(bounds):
        last = longest if place == len(bounds) - 1 else used[-1]
        profiles.append(OptimisationProfile(batch=batch, length=(shortest, _median(used, traffic), last)))
        shortest = padded_length(last + 1, longest)
    return tuple(profiles)


def best_profile(profiles: Sequence[OptimisationProfile], batch: int, length: int) -> int:
    """Returns the index of the profile that serves a shape.

    Of those that cover it, the one whose usual shape is nearest by the sum of differences, the first of
    equals: how Triton's TensorRT backend chooses (``EvaluateTensorRTContext`` in its sources).

    Raises:
        InvalidInput: none covers it.
    """
    fitting = [
        (abs(profile.batch[1] - batch) + abs(profile.length[1] - length), index)
        for index, profile in enumerate(profiles)
        if profile.covers(batch, length)
    ]
    if not fitting:
        known = "; ".join(
            f"{profile.batch[0]}-{profile.batch[2]} rows of {profile.length[0]}-{profile.length[2]} tokens"
            for profile in profiles
        )
        raise InvalidInput(
            "no optimisation profile covers this shape",
            field="rows, tokens",
            value=(batch, length),
            fix=f"Keep within {known or 'profiles: there are none'}.",
        )
    return min(fitting)[1]


def _batch_bounds(max_batch: int, usual_batch: int | None) -> tuple[int, int, int]:
    usual = (max_batch + 1) // 2 if usual_batch is None else usual_batch
    if not 1 <= usual <= max_batch:
        raise InvalidInput(
            "needs 1 <= usual <= most rows",
            field="usual_batch, max_batch",
            value=(usual, max_batch),
            fix="Give sizes of at least 1 in that order.",
        )
    return 1, usual, max_batch


def _by_padded_length(lengths: Mapping[int, int], max_tokens: int, longest: int) -> dict[int, int]:
    """Sums the counts by padded length, ascending; lengths beyond the limits count at the nearest."""
    traffic: Counter[int] = Counter()
    for length, count in lengths.items():
        if count < 0:
            raise InvalidInput("a count below 0", field="lengths", value={length: count}, fix="Count again.")
        if count:
            traffic[padded_length(min(max(length, 1), max_tokens), longest)] += count
    return dict(sorted(traffic.items()))


def _ranges(traffic: Mapping[int, int]) -> list[list[int]]:
    """Cuts the lengths in use into ranges; one more range only where it brings the queries nearer."""
    used = list(traffic)
    best = [used]
    for cuts in range(1, min(MOST_PROFILES, len(used))):
        for places in itertools.combinations(range(1, len(used)), cuts):
            ends = (0, *places, len(used))
            ranges = [used[start:end] for start, end in itertools.pairwise(ends)]
            if _distance(ranges, traffic) < _distance(best, traffic):
                best = ranges
    return best


def _distance(ranges: Sequence[Sequence[int]], traffic: Mapping[int, int]) -> int:
    """Sums over all queries how far each is from the usual length of its range."""
    total = 0
    for used in ranges:
        usual = _median(used, traffic)
        total += sum(traffic[length] * abs(length - usual) for length in used)
    return total


def _median(used: Sequence[int], traffic: Mapping[int, int]) -> int:
    """Returns the weighted lower median of ascending lengths."""
    half = sum(traffic[length] for length in used) / 2
    sums = itertools.accumulate(traffic[length] for length in used)
    return next(length for length, seen in zip(used, sums, strict=True) if seen >= half)
