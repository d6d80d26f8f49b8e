"""Interleaved timing: A B C A B C ..., so that what the machine does meanwhile meets all alike.

A call is timed in two ways: each with a synchronisation after it (what one caller waits
for), and a burst of calls with one synchronisation at its end (what the device gets done).
Comparisons are ratios within a round; their spread over the rounds is kept beside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Call = Callable[[], object]
Failures = dict[str, str]

_MOST_CALLS = 1000
_FEWEST_CALLS = 5
_LONG_S = 0.2


@dataclass(frozen=True)
class Round:
    """One contender's turn in one round.

    Attributes:
        waits_s: seconds of each synchronised call.
        burst_s: seconds a call within a burst.
    """

    waits_s: tuple[float, ...]
    burst_s: float


def interleaved(
    contenders: Mapping[str, Call], synchronise: Call, rounds: int, turn_s: float
) -> tuple[dict[str, list[Round]], Failures]:
    """Times contenders in turns.

    Args:
        contenders: by name; each is called often, with nothing in between.
        synchronise: returns when the device has nothing left to do.
        rounds: turns of each.
        turn_s: about how long a turn takes.

    Returns:
        The rounds of each contender that runs, and what went wrong with the others. One that
        fails in the middle is out: half a measurement is none.
    """
    calls, failures = _calibrate(contenders, synchronise, turn_s)
    found: dict[str, list[Round]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, number in list(calls.items()):
            try:
                found[name].append(_turn(contenders[name], synchronise, number))
            except Exception as error:  # whatever a compiled graph or a provider may raise
                failures[name] = cause(error)
                del calls[name], found[name]
    return found, failures


def _calibrate(
    contenders: Mapping[str, Call], synchronise: Call, turn_s: float
) -> tuple[dict[str, int], Failures]:
    """Warms every contender up and says how many calls fill half a turn."""
    numbers, failures = {}, {}
    for name, call in contenders.items():
        try:
            call()
            synchronise()
            once = _turn(call, synchronise, 1).burst_s
        except Exception as error:
            failures[name] = cause(error)
        else:
            # A turn is at least one call, however long; only short ones are worth repeating beyond it.
            fewest = _FEWEST_CALLS if once * _FEWEST_CALLS < _LONG_S else 1
            numbers[name] = int(min(_MOST_CALLS, max(fewest, turn_s / 2 / max(once, 1e-9))))
    return numbers, failures


def _turn(call: Call, synchronise: Call, number: int) -> Round:
    waits = []
    for _ in range(number):
        start = time.perf_counter()
        call()
        synchronise()
        waits.append(time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(number):
        call()
    synchronise()
    return Round(tuple(waits), (time.perf_counter() - start) / number)


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarises at least one value."""
        return cls(float(np.median(values)), min(values), max(values))

    def as_list(self) -> list[float]:
        """Returns median, least, most, to four digits."""
        return [four_digits(value) for value in (self.median, self.least, self.most)]


def per_second(rounds: Sequence[Round], batch: int) -> Spread:
    """Returns rows a second, from the bursts."""
    return Spread.of([batch / each.burst_s for each in rounds])


def wait_ms(rounds: Sequence[Round], percentile: float) -> float:
    """Returns a percentile of all synchronised calls, in milliseconds."""
    return float(np.percentile(np.concatenate([each.waits_s for each in rounds]), percentile) * 1e3)


def times_faster(rounds: Sequence[Round], than: Sequence[Round]) -> Spread:
    """Returns how many times as much work ``rounds`` did, turn by turn of the same run."""
    return Spread.of([other.burst_s / own.burst_s for own, other in zip(rounds, than, strict=True)])


def four_digits(value: float) -> float:
    """Rounds to four significant digits: more would only pretend."""
    return float(f"{value:.4g}")


def cause(error: BaseException) -> str:
    """Returns an error's kind and first line, short enough for a report."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:300]
