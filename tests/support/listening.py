"""Which addresses of this machine a port is open on, as the kernel tells."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LISTENING = "0A"


def listens_on(port: int) -> set[Address]:
    """The addresses of the listening sockets on a port, at least one."""
    found = {address for address, open_port, _ in _listening() if open_port == port}
    assert found, f"nobody listens on {port}"
    return found


def ports_of(pid: int) -> set[int]:
    """The TCP ports that a process listens on."""
    names = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    return {port for _, port, inode in _listening() if f"socket:[{inode}]" in names}


def _listening() -> Iterator[tuple[Address, int, str]]:
    """Address, port and inode of every listening TCP socket."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            row = line.split()
            address, _, port = row[1].partition(":")
            if row[3] == _LISTENING:
                yield _address(bytes.fromhex(address)), int(port, 16), row[9]


def _address(words: bytes) -> Address:
    """From the kernel's words of four bytes, each in this machine's (little-endian) order."""
    packed = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    if len(packed) == 4:
        return ipaddress.IPv4Address(packed)
    address = ipaddress.IPv6Address(packed)
    return address.ipv4_mapped or address
