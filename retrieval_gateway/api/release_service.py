"""ReleaseService: shows the releases of the store and switches between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import grpc

from faults import UserError
from releases.store import ReleaseStore
from retrieval_gateway.api.generated import release_service_pb2 as pb
from retrieval_gateway.api.handlers import Handlers, serialised
from retrieval_gateway.api.wire import parse
from retrieval_gateway.release_follower import ReleaseFollower

SERVICE = pb.DESCRIPTOR.services_by_name["ReleaseService"].full_name


def release_service(
    store: ReleaseStore, follower: ReleaseFollower, handlers: Handlers
) -> grpc.GenericRpcHandler[bytes, bytes]:
    """Returns the service for a gRPC server.

    Args:
        store: the releases.
        follower: this gateway's serving release.
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
        before = await asyncio.to_thread(store.active_id)
        await asyncio.to_thread(store.activate, request.release_id)
        await follow(store.rollback if before not in (None, request.release_id) else None)
        return serialised(pb.ActivateReleaseResponse(release_id=request.release_id))

    async def rollback(raw: bytes) -> bytes:
        parse(pb.RollbackReleaseRequest, raw)
        before = await asyncio.to_thread(store.active_id)
        release_id = await asyncio.to_thread(store.rollback)
        await follow(partial(store.activate, before) if before is not None else None)
        return serialised(pb.RollbackReleaseResponse(release_id=release_id))

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "ListReleases": handlers.unary("ListReleases", list_releases),
            "ActivateRelease": handlers.unary("ActivateRelease", activate, admin=True),
            "RollbackRelease": handlers.unary("RollbackRelease", rollback, admin=True),
        },
    )
