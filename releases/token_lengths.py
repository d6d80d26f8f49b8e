"""How texts are padded before an engine sees them: the gateway does it, engines are built for it."""

from __future__ import annotations

__all__ = ["token_step"]

_NATIVE_STEP = 8


def token_step(target: str) -> int:
    """Returns the number to whose multiples the lengths of token tensors are rounded up for a target.

    Triton batches requests of equal shapes only. On ``cpu`` the runner joins any lengths itself, and
    padding costs time there, so nothing is rounded. The native backends have no such runner: with steps
    of 8, queries of 3 and of 7 tokens meet in one batch, and an engine knows few shapes.
    """
    return 1 if target == "cpu" else _NATIVE_STEP
