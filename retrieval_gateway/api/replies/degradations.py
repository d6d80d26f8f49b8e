"""Why an answer is less than it could be, as the API's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from retrieval_gateway.answer import Degradation
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb

__all__ = ["numbers_of"]

_NUMBERS = {name: pb.Degradation.Value(f"DEGRADATION_{name.upper()}") for name in get_args(Degradation)}


def numbers_of(degradations: Sequence[Degradation]) -> list[pb.Degradation.ValueType]:
    """Returns the enum's values in the order of the names."""
    return [_NUMBERS[name] for name in degradations]
