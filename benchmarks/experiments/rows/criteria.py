"""The ways in which an interval can support a claim."""

from __future__ import annotations

from benchmarks.experiments.claims import Criterion

__all__ = ["NO_LOSS", "above", "below", "exactly", "within"]


def above(bound: float = 0.0) -> Criterion:
    """The whole interval lies above a bound."""
    return Criterion(f"interval above {bound:g}", lambda interval: interval.low > bound, bound)


def below(bound: float = 0.0) -> Criterion:
    """The whole interval lies below a bound."""
    return Criterion(f"interval below {bound:g}", lambda interval: interval.high < bound, bound)


def within(bound: float) -> Criterion:
    """Equivalence: the whole interval lies within a bound of 0."""
    return Criterion(
        f"interval within ±{bound:g}", lambda interval: -bound < interval.low and interval.high < bound
    )


def exactly(value: float) -> Criterion:
    """The same value for every seed."""
    return Criterion(f"always {value:g}", lambda interval: interval.low == interval.high == value, value)


NO_LOSS = Criterion("interval reaches 0 or lies above", lambda interval: interval.high >= 0)
"""No loss was shown. It is the weaker claim: a wide interval reaches 0 as well, so look at its width."""
