"""What is asked how often: one sketch for admission, one list for prewarming, fed by every request.

Both know a request by the part of its key that is the same in every release. A switch of releases
changes all keys and nobody's taste: what was hot stays known as hot.
"""

from __future__ import annotations

from retrieval_gateway.cache.frequency_sketch import FrequencySketch
from retrieval_gateway.cache.hottest import Hot, HottestRequests
from retrieval_gateway.cache.key import request_of

__all__ = ["Popularity"]


class Popularity:
    """Used from one event loop.

    Args:
        width: of the sketch (four bytes for each).
        capacity: most requests remembered for prewarming.
    """

    def __init__(self, width: int = 1 << 16, capacity: int = 512) -> None:
        self._sketch = FrequencySketch(width)
        self._hottest = HottestRequests(capacity)

    def saw(self, key: str, replay: object = None) -> None:
        """Counts a request; one with a replay token may enter the list of the hottest."""
        request = request_of(key)
        count = self._sketch.add(request)
        if replay is not None:
            self._hottest.saw(request, count, replay)
        if self._sketch.due:
            self._sketch.halve()
            self._hottest.halve()

    def frequency(self, key: str) -> int:
        """Returns about how often the request was seen lately: 0 to 255."""
        return self._sketch.estimate(request_of(key))

    def hottest(self, n: int) -> list[Hot]:
        """Returns at most ``n`` of the requests that carried a replay token, the hottest first."""
        return self._hottest.hottest(n)
