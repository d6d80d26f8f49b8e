"""Pictures in worker processes: decoded as in place, and whatever a picture does to its worker stays there.

No picture is known that crashes or hangs the decoders here, so the workers of some tests run a decoder that
does so when it is shown a certain picture: the process, the pool and the kernel are the real ones.
"""

import asyncio
import contextlib
import os
import signal
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from support.encoded_pictures import FORMATS, encoded
from support.loops import until
from support.pictures import plain_png

from catalog.picture_decoder import PictureLimits, decode_picture
from faults import InternalError, InvalidInput, Overloaded, Unavailable
from retrieval_gateway.security import picture_process
from retrieval_gateway.security.picture_pool import PicturePool
from retrieval_gateway.security.picture_wire import Order, Refusal

ROOT = Path(__file__).resolve().parents[3]
LIMITS = PictureLimits()
GOOD = encoded("JPEG")

EVIL = """
    import os, signal, sys, time
    sys.path.insert(0, {root!r})
    from retrieval_gateway.security import picture_worker
    decode = picture_worker.decode_picture

    def evil(data, size, limits):
        if data == b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if data == b"exit":
            os._exit(3)
        if data == b"killed":
            os.kill(os.getpid(), signal.SIGKILL)
        while data == b"hang":
            pass
        if data == b"sleep":
            time.sleep(600)
        if data == b"taken over":
            os.write(0, b"\\x00" + (10**9).to_bytes(4, "big") + b"x" * 100)
        return decode(data, size, limits)

    picture_worker.decode_picture = evil
    sys.exit(picture_worker.main())
"""


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """Workers whose decoder does harm when it is told to."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "evil_worker.py").write_text(textwrap.dedent(EVIL).format(root=str(ROOT)), encoding="utf-8")
    started = picture_process.subprocess.Popen

    def start(command, **more):
        return started([sys.executable, str(folder / "evil_worker.py"), command[-1]], **more)

    monkeypatch.setattr(picture_process.subprocess, "Popen", start)


@contextlib.asynccontextmanager
async def pool_of(workers: int = 1, *, time_s: float = 20.0, memory_bytes: int = 2**30):
    pool = PicturePool(workers, time_s=time_s, memory_bytes=memory_bytes)
    try:
        yield pool
    finally:
        await pool.close()


@pytest.mark.parametrize("kind", FORMATS)
async def test_pixels_are_those_of_the_decoder_in_place(kind):
    data = encoded(kind)
    async with pool_of() as pool:
        pixels = await pool.decode(data, 16, LIMITS)
    np.testing.assert_array_equal(pixels, decode_picture(data, 16, LIMITS))


async def test_a_refusal_is_the_decoders_and_the_worker_goes_on():
    small = PictureLimits(max_pixels=100, formats=("JPEG",))
    async with pool_of() as pool:
        await pool.decode(GOOD, 8, LIMITS)
        worker = pool.idle
        for data, limits in ((GOOD, small), (encoded("PNG"), small), (GOOD[:200], LIMITS), (b"", LIMITS)):
            with pytest.raises(InvalidInput) as expected:
                decode_picture(data, 8, limits)
            with pytest.raises(InvalidInput) as refused:
                await pool.decode(data, 8, limits)
            assert str(refused.value) == str(expected.value)
        assert pool.idle == worker


@pytest.mark.usefixtures("evil")
@pytest.mark.parametrize(
    ("picture", "error", "says"),
    [
        (b"crash", InvalidInput, "picture: the decoder crashed over it"),
        (b"killed", Unavailable, "picture: the picture decoder ended"),
        (b"exit", Unavailable, "picture: the picture decoder ended"),
        (b"taken over", InternalError, "answered with 1000000000 bytes of kind 0"),
    ],
)
async def test_a_worker_that_dies_or_lies_is_replaced_and_only_its_picture_suffers(picture, error, says):
    async with pool_of() as pool:
        await pool.decode(GOOD, 8, LIMITS)
        (worker,) = pool.idle
        with pytest.raises(error, match=says):
            await pool.decode(picture, 8, LIMITS)
        assert pool.idle == ()
        assert not running(worker)
        assert (await pool.decode(GOOD, 8, LIMITS)).shape == (8, 8, 3)
        assert worker not in pool.idle


@pytest.mark.usefixtures("evil")
@pytest.mark.parametrize("picture", [b"hang", b"sleep"])
async def test_a_worker_that_does_not_end_is_killed_after_its_time(picture):
    async with pool_of(time_s=1.0) as pool:
        with pytest.raises(InvalidInput, match="picture: decoding it takes longer than 1 s"):
            await pool.decode(picture, 8, LIMITS)
        assert pool.idle == ()
        assert (await pool.decode(GOOD, 8, LIMITS)).shape == (8, 8, 3)


@pytest.mark.usefixtures("evil")
async def test_the_kernel_ends_a_decoder_that_nobody_watches():
    """The gateway may be dead; the worker's own bound of processor time is then the last."""
    worker = picture_process.PictureProcess(2**30)
    assert await worker.ready()
    assert await worker.ask(Order(8, LIMITS, time_s=0.1), b"hang") is None
    assert await worker.end() == -signal.SIGXCPU


async def test_a_picture_that_needs_too_much_memory_is_refused_and_the_gateway_grows_by_nothing():
    bomb = plain_png(6000, 6000)
    async with pool_of(memory_bytes=48 * 2**20) as pool:
        with pytest.raises(InvalidInput, match="decoding it takes more memory than is allowed"):
            await pool.decode(bomb, 8, LIMITS)
        assert pool.idle == (), "a worker whose memory is used up is replaced"
        assert (await pool.decode(GOOD, 8, LIMITS)).shape == (8, 8, 3)
    async with pool_of() as pool:
        assert (await pool.decode(bomb, 8, LIMITS)).shape == (8, 8, 3), "the bound was the reason"


@pytest.mark.usefixtures("evil")
async def test_a_caller_who_leaves_takes_no_worker_along():
    async with pool_of() as pool:
        await pool.decode(GOOD, 8, LIMITS)
        worker = pool.idle
        big = asyncio.create_task(pool.decode(encoded("PNG", 3000, 3000), 8, LIMITS))
        await until(lambda: pool.idle == ())
        big.cancel()
        with pytest.raises(asyncio.CancelledError):
            await big
        await until(lambda: pool.idle == worker)


async def test_so_many_are_decoded_at_once_and_no_more_wait_than_may():
    async with pool_of(2) as pool:
        tasks = [asyncio.create_task(pool.decode(GOOD, 8, LIMITS)) for _ in range(2 + 2 * 16)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="32 pictures wait") as refused:
            await pool.decode(GOOD, 8, LIMITS)
        assert refused.value.retry_after_s > 0
        assert len({tuple(pixels.ravel()) for pixels in await asyncio.gather(*tasks)}) == 1
        assert len(pool.idle) == 2


async def test_one_that_was_killed_while_it_waited_is_replaced():
    async with pool_of() as pool:
        await pool.decode(GOOD, 8, LIMITS)
        (worker,) = pool.idle
        os.kill(worker, signal.SIGKILL)
        await until(lambda: Path(f"/proc/{worker}/stat").read_text().split()[2] == "Z")
        assert (await pool.decode(GOOD, 8, LIMITS)).shape == (8, 8, 3)
        assert pool.idle != (worker,)


@pytest.mark.usefixtures("evil")
async def test_closing_ends_every_worker_at_work_or_not():
    async with pool_of(2) as pool:
        await pool.decode(GOOD, 8, LIMITS)
        children = set(pool.idle)
        stuck = asyncio.create_task(pool.decode(b"sleep", 8, LIMITS))
        await until(lambda: pool.idle == ())
    with pytest.raises(asyncio.CancelledError):
        await stuck
    assert not [pid for pid in children if running(pid)]


async def test_a_worker_knows_nothing_of_our_environment(monkeypatch):
    monkeypatch.setenv("VITRINE_REDIS_URL", "redis://:password@cache:6379")
    async with pool_of() as pool:
        await pool.decode(GOOD, 8, LIMITS)
        (worker,) = pool.idle
        assert b"password" not in Path(f"/proc/{worker}/environ").read_bytes()
        limits = Path(f"/proc/{worker}/limits").read_text()
        descriptors = {str(link.readlink()) for link in Path(f"/proc/{worker}/fd").iterdir()}
    bounds = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()}
    assert bounds["Max core file size"] == bounds["Max file size"] == "0"
    assert bounds["Max address space"] != "unlimited"
    assert sum(name.startswith("socket:") for name in descriptors) == 1, "only the one to the gateway"


def running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"problem": 1}', b"\xff"])
def test_a_refusal_that_is_none_is_a_plain_one(text):
    assert Refusal.from_json(text).problem == "the picture cannot be decoded"


def test_orders_and_refusals_survive_the_wire():
    order = Order(224, PictureLimits(1000, 2000, ("PNG",)), 2.5)
    assert Order.from_json(order.to_json()) == order
    refusal = Refusal("it is torn", "Send it whole.")
    assert Refusal.from_json(refusal.to_json()) == refusal
    assert len(Refusal("x" * 10_000, "y" * 10_000).to_json()) <= 4096
