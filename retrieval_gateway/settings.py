"""Everything that can be set from outside, from ``VITRINE_*`` variables, with the reason to change it."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from faults import InvalidInput


class GatewaySettings(BaseSettings):
    """Settings of one gateway process."""

    model_config = SettingsConfigDict(env_prefix="VITRINE_", frozen=True, extra="ignore")

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Loopback unless told: there is no authentication in front yet.",
    )
    port: int = Field(default=50051, ge=0, le=65535, description="gRPC port; 0 takes a free one.")
    metrics_port: int = Field(
        default=9464, ge=0, le=65535, description="Port of the Prometheus endpoint; 0 takes a free one."
    )
    triton_url: str = Field(default="127.0.0.1:8001", description="Triton's gRPC address.")
    redis_url: str | None = Field(
        default=None,
        description="Shared cache, redis://host:port/db. Without it each gateway has its own tier only.",
    )
    release_store: Path = Field(
        default=Path("var/releases"), description="Folder of releases. Several gateways may follow one."
    )
    release_poll_s: float = Field(
        default=0.5, gt=0, description="How often to look whether another release was activated."
    )
    release_grace_s: float = Field(
        default=3.0,
        ge=0,
        description="How long a release that left keeps its engines loaded, so that other gateways on the "
        "same Triton can follow the switch. More than their release_poll_s plus their load time.",
    )
    release_admin: bool = Field(
        default=False,
        description="Allow ActivateRelease and RollbackRelease over gRPC. Off: any searcher could call them.",
    )
    default_timeout_s: float = Field(
        default=2.0,
        gt=0,
        description="Deadline of a request that comes without one: no work may wait for ever.",
    )
    triton_timeout_s: float = Field(
        default=2.0,
        gt=0,
        description="Bound of each call of Triton, whatever the caller's deadline. A dead stub holds a call "
        "until then: lower it to notice sooner, raise it for pictures on a slow machine.",
    )
    max_concurrent_requests: int = Field(
        default=256,
        ge=1,
        description="Requests in work at once; more are refused with RESOURCE_EXHAUSTED instead of queueing "
        "until they time out. Raise it with more cores or GPUs.",
    )
    drain_s: float = Field(default=5.0, ge=0, description="Time for requests in work after SIGTERM.")
    gather_rows: int = Field(
        default=32,
        ge=1,
        le=64,
        description="Most queries gathered into one call of Triton; 64 is the query tower's max_batch_size.",
    )
    gather_calls: int = Field(
        default=2,
        ge=1,
        description="Calls of one tower in flight at once. More calls are smaller calls; two keep Triton "
        "busy while the next is gathered.",
    )
    max_k: int = Field(default=10_000, ge=1, description="Most products one reply may have.")
    max_query_characters: int = Field(
        default=1024, ge=1, description="Longer words are refused: no shopper types them, and they cost."
    )
    max_picture_bytes: int = Field(default=8 * 2**20, ge=1, description="Largest picture file in a query.")
    max_picture_pixels: int = Field(
        default=40_000_000,
        ge=1,
        description="Most pixels a query's picture may declare (decompression bombs).",
    )
    cache_memory_bytes: int = Field(
        default=64 * 2**20, ge=0, description="Bound of the in-process tier; 0 switches it off."
    )
    cache_ttl_s: float = Field(
        default=600.0,
        gt=0,
        description="Age after which an answer is computed anew. A release switch needs none.",
    )
    reflection: bool = Field(default=True, description="Let tools such as grpcurl ask for the API.")
    search_threads: int = Field(
        default_factory=lambda: max(1, os.cpu_count() or 1),
        ge=1,
        description="Threads for index searches and picture decoding; more than cores only adds switching.",
    )


def load_settings() -> GatewaySettings:
    """Reads the environment.

    Raises:
        InvalidInput: a variable has a wrong value; it is named.
    """
    try:
        return GatewaySettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "VITRINE_" + "_".join(str(part) for part in first["loc"]).upper()
        raise InvalidInput(first["msg"], field=name, value=first["input"]) from error
