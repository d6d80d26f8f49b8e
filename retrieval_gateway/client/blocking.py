"""The synchronous client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Unpack

import grpc
from google.protobuf.message import Message

from retrieval_gateway.api.generated import release_service_pb2 as release_pb
from retrieval_gateway.client.batch import BatchAnswer, BatchRequest, Feed
from retrieval_gateway.client.calls import Calls
from retrieval_gateway.client.connection import Connection, ConnectionOptions
from retrieval_gateway.client.errors import fault_of, never_sent
from retrieval_gateway.client.health import HealthState, health_request, state_of, state_of_error
from retrieval_gateway.client.releases import Release
from retrieval_gateway.client.replies import SearchReply
from retrieval_gateway.client.requests import (
    SearchOptions,
    SearchRequest,
    SimilarOptions,
    SimilarRequest,
    search_message,
    search_request,
    similar_message,
    similar_request,
)
from retrieval_gateway.client.retry import Attempts
from retrieval_gateway.client.similar import SimilarReply
from retrieval_gateway.client.stubs import Stubs

__all__ = ["RetrievalClient"]


class RetrievalClient:
    """A client of one gateway or several; safe to use from several threads.

    Every method raises ``faults``: InvalidInput, NotFound, Mismatch, Unauthenticated and NotPermitted as the
    gateway says; Unavailable, Overloaded and DeadlineExceeded where retries did not help in time.

    Args:
        address: ``host:port``, several of them, or ``dns:///name:port``.
        timeout_s: deadline of a call, retries included.
        options: see ``Connection``.

    Raises:
        InvalidInput: an option has a wrong value.
        Unavailable: one of several names has no address.
    """

    def __init__(
        self, address: str | Sequence[str], timeout_s: float = 5.0, **options: Unpack[ConnectionOptions]
    ) -> None:
        self._calls = Calls(address, timeout_s, options)
        connection = self._calls.connection
        watched = [True, False] if connection.several else [False]
        self._channels = [_channel(connection, watch_health) for watch_health in watched]
        self._healthy, self._alive = Stubs(self._channels[0]), Stubs(self._channels[-1])

    def __enter__(self) -> RetrievalClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections."""
        for channel in self._channels:
            channel.close()

    @property
    def address(self) -> str:
        """The addresses that it was given."""
        return self._calls.where

    def search(
        self,
        query: str | SearchRequest = "",
        *,
        timeout_s: float | None = None,
        traceparent: str = "",
        **options: Unpack[SearchOptions],
    ) -> SearchReply:
        """Searches by words, by picture, by both, by product or by vector.

        Args:
            query: words, or a whole request.
            timeout_s: deadline of this call; the client's own if None.
            traceparent: the caller's trace (W3C Trace Context), passed on.
            options: fields of ``SearchRequest``; they replace those of a given request.
        """
        message, attempts = search_message(search_request(query, options)), self._calls.read(timeout_s)
        return SearchReply(self._call(lambda on: on.retrieval.Search, message, attempts, traceparent))

    def search_pages(
        self,
        query: str | SearchRequest = "",
        *,
        timeout_s: float | None = None,
        traceparent: str = "",
        **options: Unpack[SearchOptions],
    ) -> Iterator[SearchReply]:
        """Yields one reply a page, until there is none; arguments as ``search``.

        Raises:
            Mismatch: another release serves now: begin again with the first page.
        """
        request = search_request(query, options)
        while True:
            reply = self.search(request, timeout_s=timeout_s, traceparent=traceparent)
            yield reply
            if not reply.next_page_token:
                return
            request = replace(request, page_token=reply.next_page_token)

    def search_similar(
        self,
        product: str | SimilarRequest = "",
        *,
        timeout_s: float | None = None,
        traceparent: str = "",
        **options: Unpack[SimilarOptions],
    ) -> SimilarReply:
        """Finds products like one, in two sections: the same style, and similar.

        Args:
            product: its id, or a whole request.
            timeout_s: deadline of this call; the client's own if None.
            traceparent: the caller's trace, passed on.
            options: fields of ``SimilarRequest``; they replace those of a given request.
        """
        message, attempts = similar_message(similar_request(product, options)), self._calls.read(timeout_s)
        return SimilarReply(self._call(lambda on: on.retrieval.SearchSimilar, message, attempts, traceparent))

    def batch_search(
        self, requests: Iterable[BatchRequest], *, timeout_s: float | None = None, traceparent: str = ""
    ) -> Iterator[BatchAnswer]:
        """Sends many requests over one stream and yields each answer as soon as it is there.

        One that fails fails alone: its answer carries the error. The stream itself is not tried again;
        what was not answered can be asked for in another batch.

        Args:
            requests: drawn one by one, in a thread of gRPC's, as fast as the gateway takes them.
            timeout_s: deadline of the whole batch; the client's own if None.
            traceparent: the caller's trace, passed on.
        """
        feed = Feed()
        answers = self._stubs_for_a_stream().retrieval.BatchSearch(
            feed.messages(requests),
            timeout=self._calls.batch_timeout_s(timeout_s),
            metadata=self._calls.metadata(traceparent),
        )
        try:
            for message in answers:
                yield feed.answer(message)
        except grpc.RpcError as error:
            raise fault_of(error, self.address) from error
        finally:
            answers.cancel()
        feed.check()

    def releases(self, *, timeout_s: float | None = None) -> list[Release]:
        """Returns the releases of the gateway's store, newest first."""
        message, attempts = release_pb.ListReleasesRequest(), self._calls.release_read(timeout_s)
        reply = self._call(lambda on: on.releases.ListReleases, message, attempts)
        return [Release.of(one) for one in reply.releases]

    def activate(self, release_id: str, *, timeout_s: float | None = None) -> None:
        """Makes a release the active one; returns once the gateway that was asked serves it.

        It is not tried again: after Unavailable or DeadlineExceeded, look at ``releases`` first.
        """
        message = release_pb.ActivateReleaseRequest(release_id=release_id)
        attempts = self._calls.release_change(timeout_s)
        self._call(lambda on: on.releases.ActivateRelease, message, attempts)

    def rollback(self, *, timeout_s: float | None = None) -> str:
        """Goes back to the release that was active before, and returns its id; as ``activate``."""
        message, attempts = release_pb.RollbackReleaseRequest(), self._calls.release_change(timeout_s)
        return str(self._call(lambda on: on.releases.RollbackRelease, message, attempts).release_id)

    def health(self, service: str = "") -> HealthState:
        """Returns what a gateway says of a service, of the whole server if empty; never raises."""
        timeout_s = self._calls.connection.timeout_s
        try:
            return state_of(self._alive.health.Check(health_request(service), timeout=timeout_s))
        except grpc.RpcError as error:
            return state_of_error(error)

    def ready(self) -> bool:
        """Returns whether a gateway says that it would answer a search; False where none is there."""
        return self.health() is HealthState.SERVING

    def listening(self) -> bool:
        """Returns whether there is a gateway at all, ready or not."""
        return self.health() is not HealthState.AWAY

    def _call(
        self, rpc: Callable[[Stubs], Any], message: Message, attempts: Attempts, traceparent: str = ""
    ) -> Any:
        """Makes a call, again where that is safe and may help."""
        metadata = self._calls.metadata(traceparent)
        while True:
            try:
                reply = self._attempt(rpc, message, attempts, metadata)
            except grpc.RpcError as error:
                fault = fault_of(error, self.address)
                pause_s = attempts.pause_after(fault)
                if pause_s is None:
                    raise fault from error
                time.sleep(pause_s)
            else:
                attempts.succeeded()
                return reply

    def _attempt(
        self, rpc: Callable[[Stubs], Any], message: Message, attempts: Attempts, metadata: Any
    ) -> Any:
        try:
            return rpc(self._healthy)(message, timeout=attempts.left_s, metadata=metadata)
        except grpc.RpcError as error:
            if self._alive is self._healthy or not never_sent(error):
                raise
        return rpc(self._alive)(message, timeout=attempts.left_s, metadata=metadata)

    def _stubs_for_a_stream(self) -> Stubs:
        """A stream draws its requests at once, connected or not; so it must not begin where nobody is."""
        if self._alive is self._healthy:
            return self._alive
        try:
            self._healthy.health.Check(health_request(""), timeout=self._calls.connection.timeout_s)
        except grpc.RpcError:
            return self._alive
        return self._healthy


def _channel(connection: Connection, watch_health: bool) -> grpc.Channel:
    credentials, options = connection.credentials(), connection.options(watch_health=watch_health)
    if credentials is None:
        return grpc.insecure_channel(connection.target(), options)
    return grpc.secure_channel(connection.target(), credentials, options)
