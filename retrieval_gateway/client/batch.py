"""A batch over one stream: what the two clients' batches have in common."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from faults import Unavailable, VitrineError
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client.errors import fault_of_item
from retrieval_gateway.client.replies import SearchReply
from retrieval_gateway.client.requests import SearchRequest, SimilarRequest, search_message, similar_message
from retrieval_gateway.client.similar import SimilarReply

__all__ = ["BatchAnswer", "BatchRequest", "Feed"]

BatchRequest = SearchRequest | SimilarRequest


@dataclass(frozen=True)
class BatchAnswer:
    """What became of one request of a batch.

    Args:
        place: the request's place in the batch, from 0.
        reply: its answer; None if it failed.
        error: why it failed; None if it did not.
    """

    place: int
    reply: SearchReply | SimilarReply | None = None
    error: VitrineError | None = None


class Feed:
    """What goes into a stream, and the books about what came out.

    gRPC draws the requests in a thread or task of its own and would only log what goes wrong there. So
    an error of the caller's iterator ends the stream and is kept: the answers under way still arrive,
    and then ``check`` raises it.
    """

    def __init__(self) -> None:
        self._error: Exception | None = None
        self._open = 0

    def messages(self, requests: Iterable[BatchRequest]) -> Iterator[pb.BatchSearchRequest]:
        """Yields the requests as the gateway reads them."""
        try:
            for place, given in enumerate(requests):
                yield self._message(place, given)
        except Exception as error:
            self._error = error

    async def amessages(
        self, requests: Iterable[BatchRequest] | AsyncIterable[BatchRequest]
    ) -> AsyncIterator[pb.BatchSearchRequest]:
        """Yields the requests as the gateway reads them."""
        place = 0
        try:
            async for given in _each(requests):
                yield self._message(place, given)
                place += 1
        except Exception as error:
            self._error = error

    def answer(self, message: pb.BatchSearchResponse) -> BatchAnswer:
        """Returns what became of one request."""
        self._open -= 1
        match message.WhichOneof("result"):
            case "search":
                return BatchAnswer(message.request_id, SearchReply(message.search))
            case "search_similar":
                return BatchAnswer(message.request_id, SimilarReply(message.search_similar))
            case _:
                return BatchAnswer(message.request_id, error=fault_of_item(message.error))

    def check(self) -> None:
        """Raises what the caller's iterator raised, and Unavailable where answers are missing."""
        if self._error is not None:
            raise self._error
        if self._open:
            raise Unavailable(
                f"the gateway ended the batch with {self._open} requests open",
                field="batch",
                fix="Ask the rest again.",
            )

    def _message(self, place: int, given: BatchRequest) -> pb.BatchSearchRequest:
        if isinstance(given, SearchRequest):
            message = pb.BatchSearchRequest(request_id=place, search=search_message(given))
        else:
            message = pb.BatchSearchRequest(request_id=place, search_similar=similar_message(given))
        self._open += 1
        return message


async def _each(
    requests: Iterable[BatchRequest] | AsyncIterable[BatchRequest],
) -> AsyncIterator[BatchRequest]:
    if isinstance(requests, AsyncIterable):
        async for given in requests:
            yield given
    else:
        for given in requests:
            yield given
