"""Whether the towers in Triton are known to be the release's, tower by tower.

A tower that was loaded anew may be another engine under the same version. What it says is nonsense that
looks like an answer, and the cache would keep it. So a tower in doubt answers probes only, until one
of them has shown that it is the right one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from faults import Unavailable, VitrineError

_RETRY_AFTER_S = 1.0

Answer = TypeVar("Answer")


class Trust:
    """Owner of the doubts about one release's towers."""

    def __init__(self) -> None:
        self._doubts: dict[str, VitrineError] = {}

    def doubt(self, tower: str, why: VitrineError) -> None:
        """Queries that need the tower are refused from now on, and those under way get no answer of it."""
        self._doubts[tower] = why

    def restore(self, tower: str) -> None:
        """A probe has shown that the tower is the right one."""
        self._doubts.pop(tower, None)

    async def guarded(self, tower: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Asks a tower if it is trusted, and returns the answer if it still is.

        Raises:
            Unavailable: it is in doubt; says why.
        """
        self._refuse(tower)
        answer = await ask()
        self._refuse(tower)
        return answer

    def _refuse(self, tower: str) -> None:
        why = self._doubts.get(tower)
        if why is not None:
            raise Unavailable(str(why), field="encoder", retry_after_s=_RETRY_AFTER_S)
