"""What a gateway says of itself, by grpc.health.v1."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

__all__ = ["HealthState"]


class HealthState(StrEnum):
    """Whether calls of a service would be answered."""

    SERVING = "serving"
    NOT_SERVING = "not serving"
    """A gateway runs, and says that it would not answer, or knows no such service."""
    AWAY = "away"
    """No gateway answered in time."""


def health_request(service: str) -> health_pb2.HealthCheckRequest:
    """Returns the question."""
    return health_pb2.HealthCheckRequest(service=service)


def state_of(reply: health_pb2.HealthCheckResponse) -> HealthState:
    """Returns what an answer means."""
    serving = reply.status == health_pb2.HealthCheckResponse.SERVING
    return HealthState.SERVING if serving else HealthState.NOT_SERVING


def state_of_error(error: grpc.RpcError) -> HealthState:
    """Returns what a failed question means: whoever refuses it is there."""
    call: Any = error
    away = call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    return HealthState.AWAY if away else HealthState.NOT_SERVING
