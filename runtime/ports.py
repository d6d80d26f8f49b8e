"""TCP ports: find a free one, or say who holds the one that was asked for.

A port in use is the commonest reason why a local stack does not start, and "address already
in use" deep in a server's log is the worst way to learn it. So every port is tried here first,
and the error names the setting that chose it and the process that holds it.
"""

from __future__ import annotations

import errno
import socket
from contextlib import closing
from pathlib import Path

from faults import InvalidInput, Occupied, VitrineError

_LISTENING = "0A"
"""State column of /proc/net/tcp for a socket that accepts connections."""


def free_port(host: str = "127.0.0.1") -> int:
    """Returns a TCP port that is free on ``host`` at this moment.

    Nothing reserves it: another process may take it before it is bound, so callers still use
    :func:`require_free` or handle a failed start.
    """
    with closing(socket.socket(_family(host), socket.SOCK_STREAM)) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(host: str, port: int, setting: str) -> None:
    """Checks that ``port`` can be bound on ``host``.

    Args:
        host: address to listen on.
        port: TCP port, 1 to 65535.
        setting: the setting that chose the port (``VITRINE_GATEWAY_PORT``), named in the error.

    Raises:
        Occupied: somebody listens there; the message has the process id where it can be found.
        InvalidInput: no such port or address on this machine, or no right to bind it.
    """
    if not 1 <= port <= 65535:
        raise InvalidInput("is not a TCP port.", field=setting, value=port, fix="choose 1 to 65535.")
    with closing(socket.socket(_family(host), socket.SOCK_STREAM)) as probe:
        # Without this, a port whose last connections are in TIME_WAIT would look occupied.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise _why(error, host, port, setting) from error


def holder_of(port: int) -> int | None:
    """Returns the id of the process that listens on ``port``; None where it cannot be seen.

    Other users' processes are visible only to root.
    """
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return None
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _holds_any(process, inodes):
            return int(process.name)
    return None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _why(error: OSError, host: str, port: int, setting: str) -> VitrineError:
    if error.errno == errno.EADDRINUSE:
        pid = holder_of(port)
        holder = f"process {pid}" if pid is not None else "another process"
        stop_it = f"stop it (kill {pid})" if pid is not None else "stop it"
        return Occupied(
            f"{host}:{port} is held by {holder}.",
            field=setting,
            value=port,
            fix=f"{stop_it}, or set {setting} to a free port.",
        )
    if error.errno == errno.EACCES:
        fix = f"set {setting} to a port of 1024 or more."
        return InvalidInput("this user may not bind the port.", field=setting, value=port, fix=fix)
    return InvalidInput(
        f"{host} cannot be listened on: {error.strerror}.",
        field=setting,
        value=f"{host}:{port}",
        fix="use an address of this machine, such as 127.0.0.1.",
    )


def _listening_inodes(port: int) -> list[str]:
    rows = [columns for table in ("/proc/net/tcp", "/proc/net/tcp6") for columns in _socket_rows(Path(table))]
    return [row[9] for row in rows if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port]


def _socket_rows(table: Path) -> list[list[str]]:
    try:
        return [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
    except OSError:  # no IPv6 here
        return []


def _holds_any(process: Path, sockets: set[str]) -> bool:
    try:
        return any(str(descriptor.readlink()) in sockets for descriptor in (process / "fd").iterdir())
    except OSError:  # ended meanwhile, or another user's
        return False
