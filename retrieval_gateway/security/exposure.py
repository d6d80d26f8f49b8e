"""Refuses to listen to a network that nobody guards."""

from __future__ import annotations

import ipaddress

from faults import InvalidInput


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches an address to listen on."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def require_protection(host: str, *, keys: bool, client_certificates: bool, insecure: bool) -> None:
    """Checks that whoever reaches the gateway must show who he is, or is on this machine.

    Args:
        host: address to listen on.
        keys: callers must show an API key.
        client_certificates: callers must show a certificate.
        insecure: the operator says that something else guards the network.

    Raises:
        InvalidInput: the address is open to others, and so is the gateway.
    """
    if is_loopback(host) or keys or client_certificates or insecure:
        return
    raise InvalidInput(
        "everybody who reaches this address could search",
        field="VITRINE_HOST",
        value=host,
        fix="Make keys (`vitrine keys add`) and name their file in VITRINE_KEY_FILE, or ask for client "
        "certificates with VITRINE_TLS_CLIENT_CA, or listen on 127.0.0.1. Where something in front checks "
        "callers, VITRINE_INSECURE=true allows it.",
    )
