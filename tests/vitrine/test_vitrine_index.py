import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.exported_pairs import write_pair
from support.fake_encoder import publish_tiny_release
from support.tiny_shop import tiny_pictures

from catalog.catalogue import Catalogue
from indexing.release_builder import newest_towers
from releases.manifest import Manifest
from releases.store import ReleaseStore
from vitrine import index
from vitrine.local import LocalSettings


class Control:
    """Which versions of each model are ready, as Triton's control API tells and changes it."""

    def __init__(self, **ready: list[int]) -> None:
        self.ready = {"query_tower": [], "product_tower": [], **ready}

    def ready_versions(self, model: str) -> tuple[int, ...]:
        return tuple(self.ready[model])

    def load_versions(self, model: str, versions: list[int]) -> None:
        assert versions == sorted(set(versions))
        assert versions
        self.ready[model] = list(versions)

    def unload(self, model: str) -> None:
        self.ready[model] = []


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_pair(tmp_path / "repository", version=4)
    return tmp_path / "repository"


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(tmp_path / "store")


@pytest.mark.parametrize("before", [[], [2, 3], [4]], ids=["nothing serves", "others serve", "it serves"])
def test_towers_are_loaded_beside_what_serves_and_leave_it_as_it_was(
    repository: Path, store: ReleaseStore, before: list[int]
) -> None:
    control = Control(query_tower=list(before), product_tower=list(before))
    with index._loaded(control, store, newest_towers(repository)):  # type: ignore[arg-type]
        assert control.ready == dict.fromkeys(control.ready, sorted({*before, 4}))
    assert control.ready == dict.fromkeys(control.ready, before)


def test_what_a_gateway_loaded_meanwhile_stays(repository: Path, store: ReleaseStore) -> None:
    control = Control(query_tower=[2], product_tower=[2])
    with (
        contextlib.suppress(RuntimeError),
        index._loaded(control, store, newest_towers(repository)),  # type: ignore[arg-type]
    ):
        control.ready["query_tower"] = [3, 4]
        raise RuntimeError("and it fails as well")
    assert control.ready == {"query_tower": [3], "product_tower": [2]}


def test_what_somebody_unloads_meanwhile_is_loaded_again_and_taken_back_at_the_end(
    repository: Path, store: ReleaseStore
) -> None:
    control = Control(query_tower=[3, 4], product_tower=[4])
    with index._loaded(control, store, newest_towers(repository)) as load_again:  # type: ignore[arg-type]
        control.ready["query_tower"] = [3]
        load_again()
        assert control.ready == {"query_tower": [3, 4], "product_tower": [4]}
    assert control.ready == {"query_tower": [3], "product_tower": [4]}


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Catalogue]]:
    """Indexing without Triton; remembers where and what."""
    monkeypatch.setenv("VITRINE_RELEASE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("VITRINE_MODEL_REPOSITORY", str(tmp_path / "repository"))
    calls: list[tuple[str, Catalogue]] = []

    @contextlib.contextmanager
    def a_triton(_: LocalSettings) -> Iterator[str]:
        yield "triton.test:8001"

    def run_index(
        url: str, _: LocalSettings, store: ReleaseStore, catalogue: Catalogue, skip: bool, views: bool
    ) -> Manifest:
        assert (store.root, skip, views) == (tmp_path / "store", False, True)
        calls.append((url, catalogue))
        return asyncio.run(publish_tiny_release(tmp_path, catalogue, tiny_pictures(catalogue)))

    monkeypatch.setattr(index, "a_triton", a_triton)
    monkeypatch.setattr(index, "run_index", run_index)
    return calls


def test_a_release_is_published_but_not_active_unless_asked(
    vitrine, shop: Path, tmp_path: Path, published: list[tuple[str, Catalogue]]
) -> None:
    store = ReleaseStore(tmp_path / "store")
    done = vitrine("index", "--catalog", shop)
    assert done.code == 0, done.err
    assert store.active_id() is None
    (first,) = store.list()
    assert f"vitrine releases activate {first.release_id}" in " ".join(done.err.split())
    assert published[0][0] == "triton.test:8001"
    assert len(published[0][1]) == 12
    shop.joinpath("qrels.csv").unlink()  # no part of what is indexed
    assert vitrine("index", "--catalog", shop, "--split", "training", "--activate", "--keep", 1).code == 0
    (left,) = store.list()
    assert left.release_id == store.active_id() != first.release_id
    assert left.products == len(published[1][1]) < 12


def test_a_running_triton_is_used_and_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.TritonControl, "live", lambda _: True)
    monkeypatch.setattr(index, "triton_service", lambda _: pytest.fail("one runs already"))
    settings = LocalSettings()
    with index.a_triton(settings) as url:
        assert url == settings.triton_url


def test_otherwise_one_is_started_on_free_ports_and_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    class Server:
        def start(self) -> None:
            events.append("start")

        def stop(self, grace_s: float) -> None:
            assert grace_s > 0
            events.append("stop")

    def service(settings: LocalSettings) -> Server:
        assert settings.triton_grpc_port != LocalSettings().triton_grpc_port
        return Server()

    monkeypatch.setattr(index.TritonControl, "live", lambda _: False)
    monkeypatch.setattr(index, "triton_service", service)
    with contextlib.suppress(RuntimeError), index.a_triton(LocalSettings()) as url:
        assert url != LocalSettings().triton_url
        assert events == ["start"]
        raise RuntimeError("the work fails")
    assert events == ["start", "stop"]
