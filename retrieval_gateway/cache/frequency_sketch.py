"""How often a request was seen lately, in bounded memory: a count-min sketch that forgets.

Counting every request by name would take memory for every name. The sketch keeps four rows of
counters; a request owns one counter in each, and the smallest of them is its estimate: never too
low since the last halving, too high only where all four are shared with busier requests. After a
number of sights all counters are halved, so that last week's favourite makes room for today's.

Sources: Cormode and Muthukrishnan 2005 (count-min); Estan and Varghese 2002 (conservative update:
only the smallest counters grow); Einziger, Friedman and Manes 2017, "TinyLFU: A Highly Efficient
Cache Admission Policy" (halving). TinyLFU's doorkeeper is left out: a byte for a counter is cheap.
"""

from __future__ import annotations

import faults

__all__ = ["FrequencySketch"]

_MOST = 255
"""What a counter of one byte can say."""
_LARGEST_WIDTH = 1 << 16
"""Four rows take their places from one hash of 64 bits."""
_SIGHTS_A_COUNTER = 8
_HALVES = bytes(count >> 1 for count in range(_MOST + 1))


class FrequencySketch:
    """Used from one event loop.

    Args:
        width: counters in a row, a power of two up to 65,536; four rows of one byte each. Take it
            larger than the number of answers that the cache holds.

    Raises:
        faults.InternalError: a width that is not such a number.
    """

    def __init__(self, width: int = 1 << 16) -> None:
        if not 1 <= width <= _LARGEST_WIDTH or width & (width - 1):
            raise faults.InternalError(
                "the width of a sketch is a power of two up to 65536", field="width", value=width
            )
        self._mask = width - 1
        self._rows = tuple(bytearray(width) for _ in range(4))
        self._sights_left = self._sights_between = _SIGHTS_A_COUNTER * width

    @property
    def held_bytes(self) -> int:
        """Bytes of all counters: the same for ever."""
        return sum(map(len, self._rows))

    def add(self, request: str) -> int:
        """Counts one sight and returns the estimate, at most 255."""
        place, mask = hash(request), self._mask
        first, second, third, fourth = self._rows
        a, b, c, d = place & mask, place >> 16 & mask, place >> 32 & mask, place >> 48 & mask
        count = min(first[a], second[b], third[c], fourth[d])
        if count < _MOST:
            if first[a] == count:
                first[a] += 1
            if second[b] == count:
                second[b] += 1
            if third[c] == count:
                third[c] += 1
            if fourth[d] == count:
                fourth[d] += 1
            count += 1
        self._sights_left -= 1
        return count

    def estimate(self, request: str) -> int:
        """Returns about how often the request was seen lately: 0 to 255."""
        place, mask = hash(request), self._mask
        first, second, third, fourth = self._rows
        return min(
            first[place & mask],
            second[place >> 16 & mask],
            third[place >> 32 & mask],
            fourth[place >> 48 & mask],
        )

    @property
    def due(self) -> bool:
        """Whether so many were seen since the last halving that the next one is due."""
        return self._sights_left <= 0

    def halve(self) -> None:
        """Halves every counter."""
        self._rows = tuple(row.translate(_HALVES) for row in self._rows)
        self._sights_left = self._sights_between
