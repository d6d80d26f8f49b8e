"""How a client reaches its gateways: addresses, TLS, key, and what every call carries.

Several gateways are one gRPC channel with the round-robin policy, which leaves out those that cannot
be reached and goes on trying them. It also watches their health (gRFC A17), so that a gateway which is
about to stop gets no more calls while it still takes them. Where *no* gateway is healthy, calls go to
any that is alive: it may have the answer in its cache, or it says what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import grpc

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client.addresses import has_port, is_loopback, resolved
from retrieval_gateway.client.retry import RetryPolicy
from retrieval_gateway.trace_context import TRACEPARENT, parse_traceparent

__all__ = ["Connection", "ConnectionOptions", "Tls", "connection_of", "metadata_of"]

SERVICE = pb.DESCRIPTOR.services_by_name["RetrievalService"].full_name
"""Its health decides which gateways get calls."""

_LARGEST_REPLY = 64 * 2**20
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", _LARGEST_REPLY),
    # A gateway that was restarted should be found at once, not after gRPC's back-off of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


@dataclass(frozen=True, slots=True)
class Tls:
    """Encrypted connections, in PEM.

    Args:
        root_certificates: authorities by which gateways are judged; the system's if None.
        private_key, certificate_chain: who we are, for gateways that ask (mTLS).
        server_name: the name in the gateways' certificates, where it is not the one they are addressed by.
    """

    root_certificates: bytes | None = None
    private_key: bytes | None = None
    certificate_chain: bytes | None = None
    server_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where the gateways are, and who we are.

    Args:
        addresses: ``host:port``, several of them, or one ``dns:///name:port`` whose every address is used.
        tls: without it connections are plain.
        api_key: sent with every call. Over a plain connection it leaves this machine only if
            ``plain_key`` says so: whoever listens could use it.
        plain_key: the way is safe by other means, such as a mesh's own encryption.
        timeout_s: deadline of a call, retries included.
        batch_timeout_s: deadline of a whole batch.
        release_timeout_s: deadline of listing and switching releases; a switch loads a release.
        retries: for calls that change nothing.
    """

    addresses: tuple[str, ...]
    tls: Tls | None = None
    api_key: str = ""
    plain_key: bool = False
    timeout_s: float = 5.0
    batch_timeout_s: float = 60.0
    release_timeout_s: float = 60.0
    retries: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        if not all(has_port(address) for address in self.addresses) or not self.addresses:
            raise InvalidInput(
                "not an address",
                field="address",
                value=self.addresses,
                fix="Give host:port or dns:///name:port.",
            )
        if self.tls is not None and len(self.addresses) > 1 and not self.tls.server_name:
            raise InvalidInput(
                "several addresses have no common name to judge certificates by",
                field="tls.server_name",
                fix="Give the name in the gateways' certificates.",
            )
        if self.api_key and self.tls is None and not self.plain_key and not self._on_this_machine():
            raise InvalidInput(
                "the key would travel in the open",
                field="api_key",
                fix="Give tls, or plain_key=True if the way is safe by other means.",
            )

    def __str__(self) -> str:
        """The addresses, for messages."""
        return ",".join(self.addresses)

    @property
    def several(self) -> bool:
        """Whether calls are spread over gateways."""
        return len(self.addresses) > 1 or self.addresses[0].startswith("dns:")

    def target(self) -> str:
        """Returns what gRPC is to connect to.

        Raises:
            Unavailable: one of several names has no address.
        """
        return self.addresses[0] if len(self.addresses) == 1 else resolved(self.addresses)

    def options(self, *, watch_health: bool) -> list[tuple[str, Any]]:
        """Returns the channel's options; with ``watch_health`` unhealthy gateways get no calls."""
        options = list(_OPTIONS)
        if self.several:
            service: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
            if watch_health:
                service["healthCheckConfig"] = {"serviceName": SERVICE}
            options.append(("grpc.service_config", json.dumps(service)))
        if self.tls is not None and self.tls.server_name:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
            options.append(("grpc.default_authority", self.tls.server_name))
        return options

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Returns what encrypts the channel; None for a plain one."""
        if self.tls is None:
            return None
        return grpc.ssl_channel_credentials(
            self.tls.root_certificates, self.tls.private_key, self.tls.certificate_chain
        )

    def _on_this_machine(self) -> bool:
        return all(is_loopback(address) for address in self.addresses)


class ConnectionOptions(TypedDict, total=False):
    """The fields of a ``Connection`` but its addresses and the usual deadline, as a client's keywords."""

    tls: Tls | None
    api_key: str
    plain_key: bool
    batch_timeout_s: float
    release_timeout_s: float
    retries: RetryPolicy


def connection_of(address: str | Sequence[str], timeout_s: float, options: ConnectionOptions) -> Connection:
    """Returns the connection that a client's arguments describe; commas part addresses in one string."""
    addresses = address.split(",") if isinstance(address, str) else address
    return Connection(addresses=tuple(addresses), timeout_s=timeout_s, **options)


def metadata_of(api_key: str, traceparent: str) -> tuple[tuple[str, str], ...]:
    """Returns what a call carries beside its message.

    Args:
        api_key: sent as a bearer token (RFC 6750); none if empty.
        traceparent: W3C Trace Context of the caller; none if empty.

    Raises:
        InvalidInput: that is no ``traceparent``.
    """
    if traceparent and parse_traceparent(traceparent) is None:
        raise InvalidInput(
            "not a W3C traceparent",
            field="traceparent",
            value=traceparent,
            fix="Give version-trace_id-parent_id-flags in lowercase hex.",
        )
    carried = (("authorization", f"Bearer {api_key}" if api_key else ""), (TRACEPARENT, traceparent))
    return tuple((name, value) for name, value in carried if value)
