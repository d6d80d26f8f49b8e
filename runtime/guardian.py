"""The small process that stands between us and every server that we start.

Why a process and not a few calls in ours:

- Triton's stubs outlive a killed Triton. The guardian is a *subreaper*: whatever its server
  leaves behind becomes its own child, and is killed and reaped; no orphan, no zombie.
- When *we* are killed (SIGKILL, out of memory), nobody could tidy up. The guardian sees its
  standard input close, stops the server and removes its shared memory.
- Should the guardian itself be killed, the kernel kills the server (PR_SET_PDEATHSIG). That
  signal fires when the forking *thread* ends, a trap in a program with threads; the guardian
  has exactly one.
- Forking from a program that runs gRPC threads and running Python code before exec can dead-lock;
  the guardian is the one that does so, and has no threads.

It is started by ``runtime.process`` as ``python -I -S guardian.py`` and therefore imports the
standard library only. Standard input: one JSON line (the order), later one line with the grace in
seconds to stop, or end of file. Standard output: JSON lines ``{"pid": …}`` or ``{"error": …}``,
finally ``{"returncode": …}``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PARENT_CHECK_S = 1.0
_REAP_LIMIT_S = 5.0
_SHARED_MEMORY = Path("/dev/shm")

_libc = ctypes.CDLL(None, use_errno=True)


def remove_shared_memory(prefix: str) -> None:
    """Deletes the shared-memory files whose names begin with ``prefix``; none for an empty one."""
    if not prefix or not _SHARED_MEMORY.is_dir():
        return
    for region in _SHARED_MEMORY.iterdir():
        if region.name.startswith(prefix):
            region.unlink(missing_ok=True)


def main() -> None:
    """Runs one order from start to the last reaped child."""
    parent = os.getppid()
    control = _Control()
    order = control.read_order()
    if order is None:
        return
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake = _wake_on_signals()
    try:
        server = _spawn(order)
    except OSError as error:
        _tell({"error": f"{error.strerror}: {error.filename or order['argv'][0]}"})
        return
    _tell({"pid": server.pid})
    returncode = _watch(server.pid, control, wake, parent, float(order["grace_s"]))
    returncode = _kill_all(server.pid, returncode)
    server.returncode = returncode  # reaped by us: Popen must not wait for it again
    remove_shared_memory(order["shared_memory_prefix"])
    _tell({"returncode": returncode})


class _Control:
    """Standard input as lines, without a buffer that would hide data from select."""

    def __init__(self) -> None:
        self.open = True
        self._pending = b""

    def read_order(self) -> dict[str, Any] | None:
        while self.open and b"\n" not in self._pending:
            self._read()
        line, _, self._pending = self._pending.partition(b"\n")
        return json.loads(line) if line else None

    def grace(self, default_s: float) -> float | None:
        """Returns the grace to stop with, or None while no stop is asked for."""
        self._read()
        if b"\n" in self._pending:
            return float(self._pending.split(b"\n")[0])
        return None if self.open else default_s

    def _read(self) -> None:
        chunk = os.read(0, 65536)
        self._pending += chunk
        self.open = bool(chunk)


def _wake_on_signals() -> int:
    """Returns a descriptor that becomes readable whenever a child ends or SIGTERM arrives."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return read_end


def _spawn(order: dict[str, Any]) -> subprocess.Popen[bytes]:
    guardian = os.getpid()

    def tie_to_guardian() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guardian:  # it died before the line above
            os._exit(1)

    with Path(order["log"]).open("ab") as log:
        return subprocess.Popen(
            order["argv"],
            env=order["env"],
            cwd=order["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
            preexec_fn=tie_to_guardian,
        )


def _watch(pid: int, control: _Control, wake: int, parent: int, default_grace_s: float) -> int | None:
    """Waits for the server's end; returns its code, or None where its grace ran out."""
    deadline = None
    while True:
        sources = [wake, 0] if control.open and deadline is None else [wake]
        wait_s = _PARENT_CHECK_S if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(sources, [], [], wait_s)
        signals = os.read(wake, 512) if wake in ready else b""
        returncode = _reap(pid)
        if returncode is not None:
            return returncode
        grace_s = control.grace(default_grace_s) if 0 in ready else None
        if signal.SIGTERM in signals or os.getppid() != parent:
            grace_s = default_grace_s
        if deadline is None and grace_s is not None:
            deadline = time.monotonic() + grace_s
            os.kill(pid, signal.SIGTERM)
        if deadline is not None and time.monotonic() >= deadline:
            return None


def _reap(pid: int) -> int | None:
    """Collects every ended child; returns the code of ``pid`` if it was among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == 0:
                break
            if ended == pid:
                found = os.waitstatus_to_exitcode(status)
    return found


def _kill_all(pid: int, returncode: int | None) -> int:
    """Kills and reaps the server's group and every other descendant; returns the server's code."""
    give_up = time.monotonic() + _REAP_LIMIT_S
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    while time.monotonic() < give_up:
        ended = _reap(pid)
        returncode = ended if returncode is None else returncode
        left = _children()
        if not left:
            break
        for child in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return -signal.SIGKILL if returncode is None else returncode


def _children() -> list[int]:
    """Returns the ids of our children, adopted ones included."""
    me = os.getpid()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            # pid (name) state ppid …; the name may hold spaces and brackets.
            after_name = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(after_name[1]) == me:
                found.append(int(entry.name))
    return found


def _tell(message: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
    sys.exit(0)
