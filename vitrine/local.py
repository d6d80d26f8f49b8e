"""Where things lie on one machine, and the parts that ``vitrine`` itself starts there."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from faults import InvalidInput, Unavailable
from retrieval_gateway.client import RetrievalClient
from runtime.ports import free_port, require_free
from runtime.process import ManagedProcess
from runtime.process_service import ProcessService
from runtime.triton import TritonServer, TritonSettings
from runtime.valkey import ValkeyServer, ValkeySettings

_START_TIMEOUT_S = 30.0
_POLL_S = 0.05


class LocalSettings(BaseSettings):
    """Settings of the local stack; the gateway's own are in ``retrieval_gateway.settings``."""

    model_config = SettingsConfigDict(env_prefix="VITRINE_", frozen=True, extra="ignore")

    var: Path = Field(default=Path("var"), description="Everything that runs make: logs, checkpoints, shops.")
    release_store: Path = Field(default=Path("var/releases"), description="Folder of releases.")
    model_repository: Path = Field(default=Path("model_repository"), description="Triton's model repository.")
    triton_python: Path = Field(
        default=Path(".venv-triton/bin/python"),
        description="Interpreter of Triton's own environment (numpy < 2). `make setup` makes it.",
    )
    host: str = Field(default="127.0.0.1", description="Address the gateway listens on.")
    port: int = Field(default=50051, description="gRPC port of the gateway.")
    metrics_port: int = Field(default=9464, description="Prometheus port of the gateway.")
    triton_grpc_port: int = Field(default=8001, description="Triton's gRPC port, on loopback.")
    triton_metrics_port: int = Field(default=8002, description="Triton's Prometheus port, on loopback.")
    valkey_port: int = Field(default=6390, description="Port of the local cache server, on loopback.")
    redis_url: str | None = Field(
        default=None, description="A cache server of yours; then no local one is started."
    )
    cache_memory_mb: int = Field(default=64, ge=1, description="Bound of the local cache server.")
    kept_releases: int = Field(
        default=5,
        ge=1,
        description="How many of the newest releases stay after indexing, with their engines; the disk of "
        "the others is freed. The active one, the one before it and those that a gateway serves stay anyhow.",
    )
    lame_duck_s: float = Field(
        default=0.0,
        ge=0,
        description="The local gateway's pause between NOT_SERVING and refusing (docs/operations.md): here "
        "there is no other gateway to go to.",
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = f"VITRINE_{first['loc'][0]}".upper()
            raise InvalidInput(first["msg"], field=name, value=first["input"]) from error

    def on_free_ports(self) -> LocalSettings:
        """Returns the same settings on ports that nobody uses, beside whatever runs already."""
        names = ("port", "metrics_port", "triton_grpc_port", "triton_metrics_port", "valkey_port")
        return self.model_copy(update={name: free_port() for name in names})

    @property
    def address(self) -> str:
        """The gateway's address."""
        return f"{self.host}:{self.port}"

    @property
    def triton_url(self) -> str:
        """The local Triton's gRPC address."""
        return f"127.0.0.1:{self.triton_grpc_port}"


def triton_service(settings: LocalSettings) -> TritonServer:
    """Returns the local Triton, not yet started."""
    return TritonServer(
        TritonSettings(
            python=settings.triton_python,
            repository=settings.model_repository,
            home=settings.var / "triton-home",
            log_path=settings.var / "logs" / "triton.log",
            grpc_port=settings.triton_grpc_port,
            metrics_port=settings.triton_metrics_port,
        )
    )


def valkey_service(settings: LocalSettings) -> ValkeyServer:
    """Returns the local cache server, not yet started."""
    return ValkeyServer(
        ValkeySettings(settings.valkey_port, settings.var / "valkey", memory_mb=settings.cache_memory_mb)
    )


class GatewayService(ProcessService):
    """The gateway as a process of its own; a ``runtime.supervisor.Service``."""

    name = "gateway"

    def __init__(self, settings: LocalSettings, redis_url: str) -> None:
        super().__init__()
        self._settings = settings
        self._redis_url = redis_url

    def start(self) -> None:
        """Starts the gateway and waits until it listens; whether it serves, its health says.

        Raises:
            Occupied: a port is in use.
            Unavailable: it ended; has the end of its log.
        """
        settings = self._settings
        require_free(settings.host, settings.port, "VITRINE_PORT")
        require_free(settings.host, settings.metrics_port, "VITRINE_METRICS_PORT")
        environment = {
            "VITRINE_LAME_DUCK_S": str(settings.lame_duck_s),
            **os.environ,
            "VITRINE_HOST": settings.host,
            "VITRINE_PORT": str(settings.port),
            "VITRINE_METRICS_PORT": str(settings.metrics_port),
            "VITRINE_TRITON_URL": settings.triton_url,
            "VITRINE_REDIS_URL": self._redis_url,
            "VITRINE_RELEASE_STORE": str(settings.release_store),
        }
        log_path = settings.var / "logs" / "gateway.log"
        command = [sys.executable, "-m", "retrieval_gateway"]
        self._launch(ManagedProcess(self.name, command, environment, log_path), self._wait_listening)

    def _wait_listening(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while self.alive() and time.monotonic() < deadline:
            with RetrievalClient(self._settings.address, timeout_s=1.0) as client:
                if client.listening():
                    return
            time.sleep(_POLL_S)
        raise Unavailable(
            f"the gateway did not start. The end of its log:\n{self.last_words()}\n", field=self.name
        )


def wait_until_ready(address: str, timeout_s: float) -> None:
    """Returns when the gateway says SERVING.

    Raises:
        Unavailable: it does not within ``timeout_s`` seconds.
    """
    deadline = time.monotonic() + timeout_s
    with RetrievalClient(address, timeout_s=1.0) as client:
        while not client.ready():
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"the gateway at {address} does not serve after {timeout_s:.0f} s",
                    field="gateway",
                    fix="See whether a release is active (`vitrine releases list`), and var/logs.",
                )
            time.sleep(_POLL_S)


@dataclass(frozen=True)
class LocalStack:
    """The services of a whole local system, in starting order."""

    settings: LocalSettings
    triton: TritonServer
    gateway: GatewayService
    valkey: ValkeyServer | None

    @property
    def services(self) -> tuple[TritonServer | ValkeyServer | GatewayService, ...]:
        """In starting order."""
        return tuple(part for part in (self.valkey, self.triton, self.gateway) if part is not None)


def local_stack(settings: LocalSettings) -> LocalStack:
    """Returns a whole local system, not yet started."""
    valkey = None if settings.redis_url else valkey_service(settings)
    redis_url = settings.redis_url or (valkey.url if valkey else "")
    return LocalStack(settings, triton_service(settings), GatewayService(settings, redis_url), valkey)
