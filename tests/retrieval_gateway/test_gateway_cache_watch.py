"""The watch over the shared cache: its loss and its return are told without a search."""

import asyncio
import contextlib

from support.loops import looping, until

from retrieval_gateway import cache_watch
from retrieval_gateway.cache_watch import CacheWatch
from retrieval_gateway.metrics import Metrics
from runtime.ports import free_port


@contextlib.asynccontextmanager
async def a_cache(port: int, *, hangs: bool = False):
    """A server that answers everything with PONG, or nothing at all."""
    talks = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        try:
            while data := await reader.read(1000):
                if not hangs:
                    writer.write(b"+PONG\r\n" * data.count(b"*"))  # one answer a command
        finally:
            writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", port):
        yield
        for task in talks:
            task.cancel()
        if talks:
            await asyncio.wait(talks)


async def test_a_cache_that_goes_and_comes_back():
    port, degraded = free_port(), Metrics().degraded
    watch = CacheWatch(f"redis://127.0.0.1:{port}/0?protocol=2", degraded, interval_s=0.01)
    async with looping(watch.run):
        for _ in range(2):
            await until(lambda: degraded.reasons == ("cache",))
            async with a_cache(port):
                await until(lambda: degraded.reasons == ())
        await until(lambda: degraded.reasons == ("cache",))


async def test_a_cache_that_hangs_is_away_as_well(monkeypatch):
    monkeypatch.setattr(cache_watch, "_TIMEOUT_S", 0.05)
    port, degraded = free_port(), Metrics().degraded
    watch = CacheWatch(f"redis://127.0.0.1:{port}/0", degraded, interval_s=0.01)
    async with a_cache(port, hangs=True), looping(watch.run):
        await until(lambda: degraded.reasons == ("cache",))
