"""ReleaseService: shows the releases of the store and switches between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import grpc

from faults import NotPermitted, UserError
from releases.store import ReleaseStore
from retrieval_gateway.api.generated import release_service_pb2 as pb
from retrieval_gateway.api.handlers import Handlers, serialised
from retrieval_gateway.api.wire import parse
from retrieval_gateway.release_follower import ReleaseFollower

SERVICE = pb.DESCRIPTOR.services_by_name["ReleaseService"].full_name


def release_service(
    store: ReleaseStore, follower: ReleaseFollower, admin: bool, handlers: Handlers
) -> grpc.GenericRpcHandler[bytes, bytes]:
    """Returns the service for a gRPC server.

    Args:
        store: the releases.
        follower: this gateway's serving release.
        admin: whether callers may switch.
        handlers: makes the RPCs.
    """

    async def list_releases(raw: bytes) -> bytes:
        parse(pb.ListReleasesRequest, raw)
        infos = await asyncio.to_thread(store.list)
        return serialised(
            pb.ListReleasesResponse(
                releases=[
                    pb.Release(
                        release_id=info.release_id,
                        created_at=info.created_at.isoformat() if info.created_at else "",
                        products=info.products or 0,
                        serving=info.release_id == follower.serving_id,
                        active=info.active,
                        catalogue_fingerprint=info.catalogue_fingerprint or "",
                    )
                    for info in infos
                ]
            )
        )

    async def follow(undo: Callable[[], object] | None) -> None:
        """Serves what is active now; what can never serve here does not stay active."""
        try:
            await follower.follow()
        except UserError:
            if undo is not None:
                await asyncio.to_thread(undo)
            raise

    async def activate(raw: bytes) -> bytes:
        request = parse(pb.ActivateReleaseRequest, raw)
        _require(admin)
        before = await asyncio.to_thread(store.active_id)
        await asyncio.to_thread(store.activate, request.release_id)
        await follow(store.rollback if before not in (None, request.release_id) else None)
        return serialised(pb.ActivateReleaseResponse(release_id=request.release_id))

    async def rollback(raw: bytes) -> bytes:
        parse(pb.RollbackReleaseRequest, raw)
        _require(admin)
        before = await asyncio.to_thread(store.active_id)
        release_id = await asyncio.to_thread(store.rollback)
        await follow(partial(store.activate, before) if before is not None else None)
        return serialised(pb.RollbackReleaseResponse(release_id=release_id))

    methods: dict[str, Callable[[bytes], Awaitable[bytes]]] = {
        "ListReleases": list_releases,
        "ActivateRelease": activate,
        "RollbackRelease": rollback,
    }
    return grpc.method_handlers_generic_handler(
        SERVICE, {name: handlers.unary(name, handle) for name, handle in methods.items()}
    )


def _require(admin: bool) -> None:
    if not admin:
        raise NotPermitted(
            "this gateway does not switch releases for its callers",
            field="VITRINE_RELEASE_ADMIN",
            value=admin,
            fix="Use `vitrine releases` on the store, or start the gateway with VITRINE_RELEASE_ADMIN=true.",
        )
