"""One local server process, owned: started with a log, watched, and stopped without remains.

The process is started through ``runtime/guardian.py``, whose docstring says why. What this file
adds is the owner's side: a lock, since a supervisor's thread and the caller's meet here, errors
that carry the end of the log, and the tidying up should the guardian itself be killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from faults import InternalError, StorageFailed, Unavailable
from runtime import guardian

_ANSWER_LIMIT_S = 20.0
"""How long the guardian may take to report the new process (0.1 s on an idle machine)."""
_KILL_LIMIT_S = 6.0
"""How long after the grace the guardian may need to kill and reap everything."""
_TAIL_BYTES = 16384


class ManagedProcess:
    """A server process in its own process group, with everything that it starts.

    Args:
        name: for messages.
        argv: program and arguments.
        env: the complete environment of the process.
        log_path: file that standard output and error are appended to; its folder is made.
        cwd: working directory; ours if None.
        shared_memory_prefix: files in /dev/shm that begin so belong to this process and are removed
            after its end. Must be unique to it; nothing is removed if empty.
        orphan_grace_s: seconds between SIGTERM and SIGKILL if *we* die without calling stop().
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        log_path: Path,
        cwd: Path | None = None,
        *,
        shared_memory_prefix: str = "",
        orphan_grace_s: float = 5.0,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._order = {
            "argv": list(argv),
            "env": dict(env),
            "log": str(log_path),
            "cwd": str(cwd) if cwd is not None else None,
            "grace_s": orphan_grace_s,
            "shared_memory_prefix": shared_memory_prefix,
        }
        self._lock = threading.RLock()
        self._guardian: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._returncode: int | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the server itself while it runs, else None."""
        with self._lock:
            return self._pid if self.poll() is None else None

    def start(self) -> None:
        """Starts the process and returns as soon as it exists; readiness is the service's affair.

        Raises:
            Unavailable: the program could not be run.
            StorageFailed: the log could not be written.
            InternalError: it already runs.
        """
        with self._lock:
            if self.pid is not None:
                raise InternalError(f"{self.name} is started twice.", field=self.name, value=self._pid)
            self._returncode = None
            self._guardian = self._start_guardian()
            answer = self._first_answer(self._guardian)
            if "pid" not in answer:
                self._abandon(self._guardian)
                raise Unavailable(
                    f"could not be started: {answer.get('error', 'no answer from its guardian')}.",
                    field=self.name,
                    value=" ".join(self._order["argv"])[:200],  # type: ignore[arg-type]
                    fix="run `make setup` again; the log is " + str(self.log_path),
                )
            self._pid = answer["pid"]

    def poll(self) -> int | None:
        """Returns the exit code (negative: killed by that signal); None if running or never started."""
        with self._lock:
            if self._guardian is not None and self._guardian.poll() is not None:
                self._settle(self._guardian)
            return self._returncode

    def running(self) -> bool:
        """Returns whether the process has been started and has not ended."""
        return self.pid is not None

    def stop(self, grace_s: float) -> int | None:
        """Ends the process and all that it started; harmless if it has ended or never began.

        SIGTERM to the process, ``grace_s`` seconds, then SIGKILL to its group and to every
        descendant, then its shared memory is removed. Returns the exit code, None if never started.
        """
        with self._lock:
            warden = self._guardian
            if warden is None or self.poll() is not None:
                return self._returncode
            with contextlib.suppress(OSError):
                _stdin(warden).write(f"{max(0.0, grace_s)}\n".encode())
            try:
                warden.wait(max(0.0, grace_s) + _KILL_LIMIT_S)
            except subprocess.TimeoutExpired:
                warden.kill()
                warden.wait()
            return self.poll()

    def log_tail(self, lines: int = 15) -> str:
        """Returns the last lines of the log for an error message; empty if there is none."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        # Triton's tables are padded to hundreds of columns.
        return "\n".join(" ".join(line.split())[:300] for line in text.splitlines()[-lines:])

    def _start_guardian(self) -> subprocess.Popen[bytes]:
        with self._opened_log() as log:
            try:
                warden = subprocess.Popen(
                    [sys.executable, "-I", "-S", guardian.__file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    bufsize=0,
                    start_new_session=True,  # a terminal's Ctrl-C is ours to act on, not the server's
                )
            except OSError as error:
                raise Unavailable(
                    f"could not be started: {error.strerror}.",
                    field=self.name,
                    fix="free memory, or raise the limits of processes and open files (ulimit -u, -n).",
                ) from error
        with contextlib.suppress(BrokenPipeError):
            _write_all(_stdin(warden).fileno(), json.dumps(self._order).encode() + b"\n")
        return warden

    def _opened_log(self) -> IO[bytes]:
        try:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            log = self.log_path.open("ab", buffering=0)
            log.write(f"--- {self.name} started {time.strftime('%Y-%m-%d %H:%M:%S')} ---\n".encode())
        except OSError as error:
            raise StorageFailed(
                f"the log of {self.name} cannot be written: {error.strerror}.",
                field="log",
                value=str(self.log_path),
                fix="free space there, or give a folder that this user may write.",
            ) from error
        return log

    def _first_answer(self, warden: subprocess.Popen[bytes]) -> dict[str, int]:
        assert warden.stdout is not None
        ready, _, _ = select.select([warden.stdout], [], [], _ANSWER_LIMIT_S)
        line = warden.stdout.readline() if ready else b""
        answer: dict[str, int] = json.loads(line) if line else {}
        return answer

    def _abandon(self, warden: subprocess.Popen[bytes]) -> None:
        warden.kill()
        warden.wait()
        _close(warden)
        self._guardian = None

    def _settle(self, warden: subprocess.Popen[bytes]) -> None:
        """Takes the guardian's last word; does its work if it was killed before it."""
        assert warden.stdout is not None
        last = warden.stdout.readline()
        if last:
            self._returncode = json.loads(last)["returncode"]
        else:
            self._returncode = -signal.SIGKILL
            if self._pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._pid, signal.SIGKILL)
            guardian.remove_shared_memory(str(self._order["shared_memory_prefix"]))
        _close(warden)
        self._guardian = None


def _stdin(warden: subprocess.Popen[bytes]) -> IO[bytes]:
    assert warden.stdin is not None
    return warden.stdin


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _close(warden: subprocess.Popen[bytes]) -> None:
    for pipe in (warden.stdin, warden.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
