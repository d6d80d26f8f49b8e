"""Triton as a local service: started on loopback with no model, stopped without remains.

Models are loaded afterwards through :mod:`runtime.triton_control` (EXPLICIT mode): which versions
serve is a release's affair, not the repository folder's. The API that loads models also runs code
that is pushed to it, so the server listens on loopback addresses only.
"""

from __future__ import annotations

import ipaddress
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faults import InvalidInput, StorageFailed, Unavailable, VitrineError
from runtime.ports import require_free
from runtime.process import ManagedProcess
from runtime.process_service import ProcessService
from runtime.triton_control import TritonControl
from runtime.triton_home import lay_out_triton_home

_EXIT_TIMEOUT_S = 3
"""Triton waits so long for its models at SIGTERM. One dead stub makes it wait it out: its default
of 30 s, measured."""
_LIVE_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class TritonSettings:
    """Where one local server finds its parts and listens.

    Args:
        python: interpreter of Triton's own environment.
        repository: the model repository; made if absent.
        home: folder for the links of :mod:`runtime.triton_home`.
        log_path: standard output and error of the server and its stubs.
        grpc_port: for inference and control.
        metrics_port: for Prometheus, on the same address.
        host: a loopback address.
        ready_timeout_s: a start without models takes 1 to 5 s.
    """

    python: Path
    repository: Path
    home: Path
    log_path: Path
    grpc_port: int
    metrics_port: int
    host: str = "127.0.0.1"
    ready_timeout_s: float = 60.0


class TritonServer(ProcessService):
    """One tritonserver process; a :class:`runtime.supervisor.Service`.

    A dead stub does not show in ``alive``: see ``TritonControl.recover``. Stopping ends the stubs as
    well and removes their shared memory.

    Args:
        settings: see there.
        on_ready: called at the end of every start, restarts included, with a control that is closed
            afterwards: the place to load the active release's versions. Its error fails the start.
    """

    name = "triton"

    def __init__(
        self, settings: TritonSettings, on_ready: Callable[[TritonControl], None] | None = None
    ) -> None:
        if not ipaddress.ip_address(settings.host).is_loopback:
            raise InvalidInput(
                "a local Triton must not be reachable from outside: its API can run code.",
                field="host",
                value=settings.host,
                fix="use 127.0.0.1.",
            )
        super().__init__()
        self._settings = settings
        self._on_ready = on_ready
        self.shared_memory_prefix = ""

    @property
    def url(self) -> str:
        """``host:port`` of the gRPC endpoint."""
        return f"{self._settings.host}:{self._settings.grpc_port}"

    @property
    def metrics_url(self) -> str:
        """Address of the Prometheus page."""
        return f"http://{self._settings.host}:{self._settings.metrics_port}/metrics"

    def start(self) -> None:
        """Starts the server, waits until it is live and runs ``on_ready``.

        Raises:
            NotFound, Mismatch: Triton's environment is incomplete.
            Occupied: a port is in use.
            StorageFailed: the repository, the links or the log cannot be written.
            Unavailable: the server ended or did not become live; has the end of its log.
        """
        settings = self._settings
        require_free(settings.host, settings.grpc_port, "VITRINE_TRITON_GRPC_PORT")
        require_free(settings.host, settings.metrics_port, "VITRINE_TRITON_METRICS_PORT")
        home = lay_out_triton_home(settings.python, settings.home)
        _make_folder(settings.repository)
        # New at every start: regions of a crashed predecessor can never be taken for ours.
        self.shared_memory_prefix = f"vitrine-{os.getpid()}-{uuid.uuid4().hex[:8]}-"
        process = ManagedProcess(
            self.name,
            _command(home.binary, home.backend_directory, settings, self.shared_memory_prefix),
            home.environment,
            settings.log_path,
            shared_memory_prefix=self.shared_memory_prefix,
        )
        self._launch(process, self._wait_and_tell)

    def _wait_and_tell(self) -> None:
        timeout_s = self._settings.ready_timeout_s
        self.wait_ready(timeout_s)
        if self._on_ready is not None:
            with TritonControl(self.url, timeout_s=timeout_s) as control:
                self._on_ready(control)

    def wait_ready(self, timeout_s: float) -> None:
        """Returns when the server answers.

        Raises:
            Unavailable: it ended, or ``timeout_s`` seconds passed; has the end of the log.
        """
        deadline = time.monotonic() + timeout_s
        with TritonControl(self.url, timeout_s=1.0) as control:
            while self.alive():
                if control.live():
                    return
                if time.monotonic() >= deadline:
                    raise self._not_ready(f"did not answer on {self.url} within {timeout_s:.0f} s")
                time.sleep(_LIVE_POLL_S)
        code = self._process.poll() if self._process is not None else None
        raise self._not_ready(f"ended with code {code} before it was ready")

    def _not_ready(self, what: str) -> VitrineError:
        return Unavailable(
            f"tritonserver {what}. The end of its log:\n{self.last_words()}\n",
            field=self.name,
            fix=f"read {self._settings.log_path}; `make setup` rebuilds Triton's environment.",
        )


def _make_folder(repository: Path) -> None:
    try:
        repository.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(
            f"the model repository cannot be made: {error.strerror}.",
            field="repository",
            value=str(repository),
            fix="give a folder that this user may write.",
        ) from error


def _command(binary: Path, backends: Path, settings: TritonSettings, prefix: str) -> list[str]:
    return [
        str(binary),
        f"--model-repository={settings.repository.resolve()}",
        f"--backend-directory={backends.resolve()}",
        "--model-control-mode=explicit",
        # Our templates are complete; completion would start one more stub for every load.
        "--disable-auto-complete-config",
        "--exit-on-error=false",
        f"--exit-timeout-secs={_EXIT_TIMEOUT_S}",
        "--allow-http=false",
        f"--grpc-address={settings.host}",
        f"--grpc-port={settings.grpc_port}",
        f"--metrics-address={settings.host}",
        f"--metrics-port={settings.metrics_port}",
        "--allow-gpu-metrics=false",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        "--log-format=ISO8601",
    ]
