"""Both clients behind one face, so that every test is run against both."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from retrieval_gateway.client import AsyncRetrievalClient, RetrievalClient


class FromThread:
    """The asynchronous client in a loop of its own, called like the synchronous one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._client: Any = None
        try:
            self._client = self._do(self._made(arguments, options))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> FromThread:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._client is not None:
            self._do(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if inspect.isasyncgenfunction(method):
            return lambda *arguments, **options: self._items(method(*arguments, **options))
        if inspect.iscoroutinefunction(method):
            return lambda *arguments, **options: self._do(method(*arguments, **options))
        return method

    async def _made(self, arguments: Any, options: Any) -> AsyncRetrievalClient:
        return AsyncRetrievalClient(*arguments, **options)

    def _items(self, items: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._do(anext(items))
                except StopAsyncIteration:
                    return
        finally:
            self._do(items.aclose())

    def _do(self, work: Any) -> Any:
        async def done() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(30)


KINDS = pytest.mark.parametrize("make", [RetrievalClient, FromThread], ids=["blocking", "asyncio"])
