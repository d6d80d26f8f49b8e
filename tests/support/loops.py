"""Runs an owner's endless loop for the length of a block, and waits for what it brings about."""

import asyncio
import contextlib


@contextlib.asynccontextmanager
async def looping(run):
    """Runs ``run()`` while the block runs; it must not have ended by itself."""
    task = asyncio.create_task(run())
    try:
        yield
        assert not task.done(), "the loop must survive whatever happens"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)
