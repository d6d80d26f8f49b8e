"""Everything that can be set from outside, from ``VITRINE_*`` variables, with the reason to change it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from faults import InvalidInput
from retrieval_gateway.request_log import Logged

_MESSAGE_MARGIN = 128 * 1024


class GatewaySettings(BaseSettings):
    """Settings of one gateway process."""

    model_config = SettingsConfigDict(env_prefix="VITRINE_", frozen=True, extra="ignore")

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Any but a loopback address needs keys, client certificates or "
        "VITRINE_INSECURE.",
    )
    port: int = Field(default=50051, ge=0, le=65535, description="gRPC port; 0 takes a free one.")
    metrics_host: str = Field(
        default="127.0.0.1",
        description="Address of the Prometheus endpoint, which asks nobody for a key. Open it to the network "
        "that Prometheus is in, and to no other.",
    )
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
        description="How long a release that left keeps its engines loaded, for gateways on the same Triton "
        "that follow a copy of the store: those on the same store are seen to use a release, and waited for.",
    )
    release_admin: bool = Field(
        default=False,
        description="Where there is no key file: allow ActivateRelease and RollbackRelease over gRPC to "
        "everybody who may search. With keys, those made with --admin may.",
    )
    insecure: bool = Field(
        default=False,
        description="Listen beyond this machine without keys and client certificates: something in front "
        "checks callers, or the network is the container's own.",
    )
    key_file: Path | None = Field(
        default=None,
        description="File of API keys (`vitrine keys add`), followed. With it each request needs one.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="Certificate chain in PEM; with it the gateway speaks TLS only. Exchanged files are "
        "used without a restart.",
    )
    tls_key: Path | None = Field(
        default=None, description="Private key of the certificate, in PEM without a passphrase."
    )
    tls_client_ca: Path | None = Field(
        default=None,
        description="Authorities in PEM; with it only clients with a certificate of theirs may connect.",
    )
    default_timeout_s: float = Field(
        default=2.0,
        gt=0,
        description="Deadline of a request that comes without one: no work may wait for ever.",
    )
    release_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="The same for ReleaseService: activating reads a whole release and loads engines.",
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
        description="Most searches computed at once. The limit in force is found from what is answered in "
        "time, never higher; more are refused with RESOURCE_EXHAUSTED. Raise it with more cores or GPUs.",
    )
    lame_duck_s: float = Field(
        default=3.0,
        ge=0,
        description="How long requests are still taken after SIGTERM while health says NOT_SERVING: more "
        "than balancers need to see it (interval times failures). Our own client sees it at once.",
    )
    drain_s: float = Field(
        default=5.0, ge=0, description="Time for requests in work after SIGTERM and the lame-duck pause."
    )
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
    picture_formats: Annotated[tuple[Literal["JPEG", "PNG", "WEBP"], ...], NoDecode] = Field(
        default=("JPEG", "PNG", "WEBP"),
        min_length=1,
        description="Formats that are decoded, with commas between. Fewer formats, fewer decoders to attack.",
    )
    picture_workers: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 1) // 2),
        ge=1,
        description="Processes that decode pictures, one picture each at a time. They start with the first "
        "picture and take about 40 MB each.",
    )
    picture_time_s: float = Field(
        default=5.0,
        gt=0,
        description="A picture that takes longer to decode is refused, its worker replaced.",
    )
    picture_memory_bytes: int = Field(
        default=2**30,
        ge=2**24,
        description="Address space that decoding one picture may take; 40 million pixels with transparency "
        "take about half a gigabyte.",
    )
    cache_memory_bytes: int = Field(
        default=64 * 2**20, ge=0, description="Bound of the in-process tier; 0 switches it off."
    )
    cache_ttl_s: float = Field(
        default=600.0,
        gt=0,
        description="Age after which an answer is computed anew. A release switch needs none.",
    )
    cache_sights: int = Field(
        default=2,
        ge=1,
        description="How often a query must have been asked to be admitted to a full in-process tier. Raise "
        "it where robots ask everything twice.",
    )
    cache_lease_s: float = Field(
        default=0.2,
        ge=0,
        description="How long a gateway may compute an answer for all gateways, and the longest that one "
        "waits for another. Above a slow computation's time; 0: every gateway computes for itself.",
    )
    redis_timeout_s: float = Field(
        default=0.05,
        gt=0,
        description="Bound of each call of the shared cache: what a miss costs at worst when it hangs. Raise "
        "it for a cache that is far away.",
    )
    index_device: Literal["auto", "cpu", "gpu"] = Field(
        default="auto",
        description="Where the index is searched. gpu refuses to start without one; auto takes it where "
        "there is one.",
    )
    prewarm_queries: int = Field(
        default=200,
        ge=0,
        le=512,
        description="Hottest queries that are answered from a new release before it serves; 0 for none.",
    )
    prewarm_s: float = Field(
        default=0.5,
        gt=0,
        description="Time that a release switch waits for them at most; the rest is left to live traffic.",
    )
    reflection: bool = Field(
        default=True,
        description="Let tools such as grpcurl ask for the API, without a key: it is public in this project.",
    )
    log_requests: Logged = Field(
        default="failures",
        description="Requests that get a log line: none, failures (at most 20 a second) or all. Bugs always.",
    )
    log_queries: bool = Field(
        default=False,
        description="Log what shoppers typed, for finding faults. It is theirs: off unless all agree.",
    )
    search_threads: int = Field(
        default_factory=lambda: max(1, os.cpu_count() or 1),
        ge=1,
        description="Threads for index searches and full text; more than cores only adds switching.",
    )

    @field_validator("picture_formats", mode="before")
    @classmethod
    def _separated(cls, given: object) -> object:
        return tuple(name.strip().upper() for name in given.split(",")) if isinstance(given, str) else given

    @property
    def max_message_bytes(self) -> int:
        """Bound of gRPC, which refuses without naming a field; a picture up to here is refused by us."""
        return 2 * self.max_picture_bytes + _MESSAGE_MARGIN


def load_settings() -> GatewaySettings:
    """Reads the environment.

    Raises:
        InvalidInput: a variable has a wrong value; it is named.
    """
    try:
        return GatewaySettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"VITRINE_{first['loc'][0]}".upper()
        raise InvalidInput(first["msg"], field=name, value=first["input"]) from error
