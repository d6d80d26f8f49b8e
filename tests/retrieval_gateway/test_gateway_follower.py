"""The follower: one release serves at a time, a broken one changes nothing, an unused one leaves."""

import asyncio

import pytest
from support.fake_triton import FakeControl
from support.loops import looping, until
from support.small_releases import SmallShop

from catalog.pictures import PictureLimits
from faults import Mismatch, NotFound, Unavailable
from retrieval_gateway.loaded_release import load_release
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.release_follower import ReleaseFollower
from retrieval_gateway.triton_keeper import TritonKeeper


class Bench:
    def __init__(self, shop: SmallShop, first: str, second: str) -> None:
        self.shop, self.first, self.second = shop, first, second
        self.store = shop.store
        self.metrics = Metrics()
        keeper = TritonKeeper(FakeControl(shop.triton), self.metrics, interval_s=0.01)
        load = lambda release_id: load_release(self.store, release_id, shop.link, PictureLimits())  # noqa: E731
        self.follower = ReleaseFollower(self.store, load, keeper, self.metrics, poll_s=0.01, grace_s=0.0)

    def versions(self) -> set[int]:
        return self.shop.triton.loaded["query_tower"]

    def loads(self, outcome: str) -> float:
        labels = {"outcome": outcome}
        return self.metrics.registry.get_sample_value("vitrine_release_loads_total", labels) or 0

    def running(self):
        return looping(self.follower.run)


@pytest.fixture
async def bench(tmp_path):
    shop = SmallShop(tmp_path)
    first, second = [(await shop.publish(version)).release_id for version in (1, 2)]
    yield Bench(shop, first, second)
    # Retirements that a test did not wait for end here.
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))


async def test_before_the_first_release_it_says_what_is_missing(bench):
    await bench.follower.follow()
    assert bench.follower.serving_id is None
    with (
        pytest.raises(Unavailable, match="no release is active; publish one") as refused,
        bench.follower.current(),
    ):
        pass
    assert refused.value.retry_after_s > 0


async def test_the_active_release_is_loaded_and_serves(bench):
    bench.store.activate(bench.first)
    await bench.follower.follow()
    with bench.follower.current() as release:
        assert release.release_id == bench.follower.serving_id == bench.first
    assert bench.versions() == {1}
    assert bench.metrics.registry.get_sample_value("vitrine_release_info", {"release_id": bench.first}) == 1


async def test_a_switch_waits_for_the_searches_of_the_old_release(bench):
    bench.store.activate(bench.first)
    await bench.follower.follow()
    with bench.follower.current() as old:
        bench.store.activate(bench.second)
        await bench.follower.follow()
        with bench.follower.current() as new:
            assert (old.release_id, new.release_id) == (bench.first, bench.second)
        await asyncio.sleep(0.05)
        assert bench.versions() == {1, 2}, "a search still uses the old engines"
        assert len(await old.encoder.encode_words(old.encoder.tokenise("mug"))) == 8
    await until(lambda: bench.versions() == {2})
    assert (
        bench.metrics.registry.get_sample_value("vitrine_release_info", {"release_id": bench.first}) is None
    )


async def test_rolling_back_and_forth_keeps_what_serves_loaded(bench):
    async with bench.running():
        for wanted in (bench.first, bench.second, bench.first, bench.second):
            bench.store.activate(wanted)
            await until(lambda wanted=wanted: bench.follower.serving_id == wanted)
            with bench.follower.current() as release:
                await release.encoder.encode_words(release.encoder.tokenise("mug"))
        await until(lambda: bench.versions() == {2})


def damage(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("part", ["index.faiss", "vectors.npy", "products.arrow", "tokenizer.json"])
async def test_a_changed_byte_is_refused_and_the_old_release_goes_on(bench, part):
    bench.store.activate(bench.first)
    await bench.follower.follow()
    bench.store.activate(bench.second)
    damage(bench.store.path(bench.second) / part)
    with pytest.raises(Mismatch, match=rf"{part}: sha256: parts disagree: expected '\w+', found '\w+'"):
        await bench.follower.follow()
    assert bench.follower.serving_id == bench.first
    assert bench.loads("failed") == 1
    with bench.follower.current() as release:
        assert release.release_id == bench.first


async def test_an_engine_that_is_not_the_releases_is_refused(bench):
    bench.store.activate(bench.first)
    await bench.follower.follow()
    bench.store.activate(bench.second)
    bench.shop.triton.engines[2] = (77, 12)
    with pytest.raises(
        Mismatch, match=r"probe of query_tower version 2: .*'cosine of at least 0\.999 .* found 'cosine"
    ):
        await bench.follower.follow()
    bench.shop.triton.engines[2] = (2, 16)
    with pytest.raises(Mismatch, match="found '16 numbers'"):
        await bench.follower.follow()
    assert bench.follower.serving_id == bench.first
    assert bench.versions() == {1}, "what was loaded for it is unloaded again"


async def test_an_engine_that_is_not_there_is_named(bench):
    bench.store.activate(bench.second)
    del bench.shop.triton.engines[2]
    with pytest.raises(NotFound, match="version 2"):
        await bench.follower.follow()


async def test_the_loop_survives_broken_releases_and_finds_the_mended_one(bench, capsys):
    bench.store.activate(bench.first)
    active = bench.store.root / "ACTIVE"
    async with bench.running():
        await until(lambda: bench.follower.serving_id == bench.first)
        for content in (b"20200101T000000Z-abcdef\n", b"../../etc\n", b"\xff\xfe\n", b""):
            active.write_bytes(content)
            await asyncio.sleep(0.05)
            assert bench.follower.serving_id == bench.first
        active.write_text(bench.second)
        await until(lambda: bench.follower.serving_id == bench.second)
    assert "20200101T000000Z-abcdef" in "".join(capsys.readouterr())


async def test_every_new_reason_is_said_once(bench, capsys):
    said = []

    def count(text: str) -> int:
        said.append("".join(capsys.readouterr()))
        return "".join(said).count(text)

    bench.shop.triton.away = True
    bench.store.activate(bench.first)
    async with bench.running():
        await until(lambda: bench.loads("failed") > 2)
        assert count("failed to connect") == 1
        bench.shop.triton.engines[1] = (77, 8)
        bench.shop.triton.away = False
        await until(lambda: count("probe of query_tower version 1"))
    assert count("failed to connect") == 1


async def test_the_first_release_may_come_before_triton_does(bench):
    bench.shop.triton.away = True
    bench.store.activate(bench.first)
    async with bench.running():
        await until(lambda: bench.loads("failed") > 1)
        with pytest.raises(Unavailable, match="failed to connect"), bench.follower.current():
            pass
        bench.shop.triton.away = False
        await until(lambda: bench.follower.serving_id == bench.first)
