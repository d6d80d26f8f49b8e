"""The follower: one release serves at a time, a broken one changes nothing, an unused one leaves."""

import asyncio

import pytest
from support.fake_triton import FakeControl
from support.loops import looping, until
from support.small_releases import SmallShop

from catalog.pictures import PictureLimits
from faults import DeadlineExceeded, Mismatch, NotFound, Unavailable
from retrieval_gateway import release_follower
from retrieval_gateway.loaded_release import load_release
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.release_follower import ReleaseFollower
from retrieval_gateway.triton_keeper import TritonKeeper


class Bench:
    """A shop with two releases, and one gateway's follower."""

    def __init__(self, shop: SmallShop, first: str, second: str) -> None:
        self.shop, self.first, self.second = shop, first, second
        self.store = shop.store
        self.metrics = Metrics()
        self.follower = self.another(0.0, self.metrics)

    def another(self, grace_s: float = 0.0, metrics: Metrics | None = None) -> ReleaseFollower:
        """The follower of another gateway on the same store and the same Triton."""
        metrics = metrics or Metrics()
        keeper = TritonKeeper(FakeControl(self.shop.triton), metrics, interval_s=0.01)
        load = lambda release_id: load_release(self.store, release_id, self.shop.link, PictureLimits())  # noqa: E731
        return ReleaseFollower(self.store, load, keeper, metrics, poll_s=0.01, grace_s=grace_s)

    async def switch(self, follower: ReleaseFollower, release_id: str) -> None:
        self.store.activate(release_id)
        await follower.follow()

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


async def test_the_last_gateway_that_leaves_a_release_unloads_its_engines(bench):
    one, other = bench.another(), bench.another()
    await bench.switch(one, bench.first)
    await other.follow()
    await bench.switch(one, bench.second)
    await until(lambda: not one._retiring)
    assert bench.versions() == {1, 2}, "the other gateway still serves the first release"
    with other.current() as release:
        assert len(await release.encoder.encode_words(release.encoder.tokenise("mug"))) == 8
    await other.follow()
    await until(lambda: bench.versions() == {2})
    for follower in (one, other):
        await follower.close()


async def test_gateways_that_leave_at_once_unload_once(bench):
    followers = [bench.another() for _ in range(4)]
    await bench.switch(followers[0], bench.first)
    await asyncio.gather(*(follower.follow() for follower in followers))
    bench.store.activate(bench.second)
    await asyncio.gather(*(follower.follow() for follower in followers))
    await until(lambda: not any(follower._retiring for follower in followers))
    assert bench.versions() == {2}
    assert bench.store.in_use() == [bench.second]
    for follower in followers:
        await follower.close()
    assert bench.store.in_use() == []


async def test_engines_that_another_gateways_release_shares_stay(bench):
    shared = (await bench.shop.publish(1)).release_id
    other = bench.another()
    await bench.switch(bench.follower, bench.first)
    await bench.switch(other, shared)
    await bench.switch(bench.follower, bench.second)
    await until(lambda: not bench.follower._retiring)
    assert bench.versions() == {1, 2}
    await bench.follower.close()
    await other.close()


async def test_a_gateway_that_is_stopped_takes_the_old_engines_along_at_once(bench):
    follower = bench.another(grace_s=3600.0)
    async with looping(follower.run):
        bench.store.activate(bench.first)
        await until(lambda: follower.serving_id == bench.first)
        bench.store.activate(bench.second)
        await until(lambda: follower.serving_id == bench.second)
        assert bench.versions() == {1, 2}, "within the grace"
    assert bench.versions() == {2}
    assert bench.store.in_use() == []


async def test_a_search_that_never_ends_does_not_keep_a_gateway_from_stopping(bench, monkeypatch):
    monkeypatch.setattr(release_follower, "_LONGEST_GOODBYE_S", 0.05)
    await bench.switch(bench.follower, bench.first)
    with bench.follower.current():
        await bench.switch(bench.follower, bench.second)
        await bench.follower.close()
    assert bench.store.in_use() == [bench.first], "what a search still uses is let go when the process ends"


async def test_a_release_is_not_retired_while_it_serves_or_a_search_uses_it(bench):
    await bench.switch(bench.follower, bench.first)
    with bench.follower.current():
        await bench.switch(bench.follower, bench.second)
        assert bench.store.in_use() == sorted([bench.first, bench.second])
    await until(lambda: bench.store.in_use() == [bench.second])


async def test_a_failed_switch_leaves_alone_what_another_gateway_serves(bench):
    other = bench.another()
    await bench.switch(bench.follower, bench.first)
    await bench.switch(other, bench.second)
    bench.shop.triton.late = {("query_tower", 2)}
    with pytest.raises(DeadlineExceeded):
        await bench.follower.follow()
    assert bench.versions() == {1, 2}
    assert bench.follower.serving_id == bench.first
    bench.shop.triton.late.clear()
    await bench.follower.close()
    await other.close()


async def test_the_last_gateway_that_stops_takes_along_what_is_no_longer_active(bench):
    await bench.switch(bench.follower, bench.first)
    bench.store.activate(bench.second)
    await bench.follower.close()
    assert bench.versions() == set()


async def test_what_is_active_stays_loaded_for_the_next_gateway(bench):
    await bench.switch(bench.follower, bench.first)
    await bench.follower.close()
    assert bench.versions() == {1}


async def test_what_a_killed_gateway_left_behind_is_taken_away_by_the_next_one_that_leaves(bench):
    killed = bench.another()
    await bench.switch(killed, bench.first)
    killed._serving.held.close()  # as the kernel does for it
    third = (await bench.shop.publish(2)).release_id
    await bench.switch(bench.follower, bench.second)
    assert bench.versions() == {1, 2}, "its engines were left alone so far"
    await bench.switch(bench.follower, third)
    await until(lambda: bench.versions() == {2})
    await until(lambda: not bench.follower._retiring)
    assert bench.store.in_use() == [third], "nothing stays claimed"
    await bench.follower.close()


async def test_a_release_is_prepared_after_its_probes_and_before_its_first_search(bench):
    seen = []

    async def prepare(release) -> None:
        await release.encoder.encode_words(release.encoder.tokenise("mug"))
        seen.append((release.release_id, bench.follower.serving_id))

    bench.follower.prepare_with(prepare)
    await bench.switch(bench.follower, bench.first)
    assert seen == [], "the first release has nobody to learn from, and shoppers wait"
    await bench.switch(bench.follower, bench.second)
    assert seen == [(bench.second, bench.first)]


async def test_what_goes_wrong_in_preparing_does_not_stop_the_switch(bench, capsys):
    async def prepare(_) -> None:
        raise ZeroDivisionError("a bug")

    bench.follower.prepare_with(prepare)
    for wanted in (bench.first, bench.second):
        await bench.switch(bench.follower, wanted)
    assert bench.follower.serving_id == bench.second
    assert "not prepared" in "".join(capsys.readouterr())
