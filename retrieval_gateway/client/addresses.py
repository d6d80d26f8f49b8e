"""Gateways' addresses: ``host:port`` as people write them, and the list that gRPC takes."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from faults import Unavailable

__all__ = ["has_port", "is_loopback", "resolved"]


def has_port(address: str) -> bool:
    """Tells whether an address ends in a port."""
    return address.rpartition(":")[2].isdigit()


def is_loopback(address: str) -> bool:
    """Tells whether an address is one of this machine's own."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def resolved(addresses: Sequence[str]) -> str:
    """Looks names up and returns gRPC's name for all of them: it takes a list of numbers of one family.

    Raises:
        Unavailable: one of the names has no address.
    """
    try:
        return "ipv4:" + ",".join(_number(address, socket.AF_INET) for address in addresses)
    except socket.gaierror:
        pass
    try:
        return "ipv6:" + ",".join(_number(address, socket.AF_INET6) for address in addresses)
    except socket.gaierror as error:
        raise Unavailable(
            f"a name has no address: {error.strerror}",
            field="address",
            value=",".join(addresses),
            fix="Correct the names; dns:///name:port is for one whose addresses change.",
        ) from error


def _number(address: str, family: socket.AddressFamily) -> str:
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(
        host.strip("[]"), int(port), family, socket.SOCK_STREAM, flags=socket.AI_V4MAPPED
    )
    number = found[0][4][0]
    return f"[{number}]:{port}" if family is socket.AF_INET6 else f"{number}:{port}"
