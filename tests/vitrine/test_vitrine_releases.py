import asyncio
import json
from pathlib import Path

import pytest
from support.exported_pairs import write_pair
from support.fake_encoder import publish_tiny_release
from support.tiny_shop import tiny_catalogue, tiny_pictures

from catalog.catalogue import Catalogue
from releases.store import ReleaseStore
from vitrine.local import LocalSettings
from vitrine.retention import retire


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalSettings:
    monkeypatch.setenv("VITRINE_RELEASE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("VITRINE_MODEL_REPOSITORY", str(tmp_path / "repository"))
    return LocalSettings()


def publish(folder: Path, products: int = 12) -> str:
    catalogue = tiny_catalogue()
    part = Catalogue(catalogue.products[:products], source=catalogue.source)
    return asyncio.run(publish_tiny_release(folder, part, tiny_pictures(part))).release_id


@pytest.fixture
def two(settings: LocalSettings) -> list[str]:
    folder = settings.release_store.parent
    return [publish(folder, 12), publish(folder, 8)]


def test_the_list_shows_ids_sizes_and_which_is_active(vitrine, two: list[str], tmp_path: Path) -> None:
    ReleaseStore(tmp_path / "store").activate(two[0])
    done = vitrine("releases", "list")
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["release", "created", "products", "problem"]
    rows = {line[1] if line[0] == "*" else line[0]: line for line in lines[1:]}
    assert set(rows) == set(two)
    assert rows[two[0]][0] == "*"
    assert (rows[two[0]][-1], rows[two[1]][-1]) == ("12", "8")


def test_a_damaged_release_is_listed_with_its_problem_and_no_id_is_torn(
    vitrine, two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store" / two[1] / "manifest.json").write_text("[not a manifest]")
    monkeypatch.setenv("COLUMNS", "60")
    done = vitrine("releases", "list")
    assert done.code == 0
    assert all(release_id in done.out for release_id in two)
    assert "notJSON" in "".join(done.out.split())


def test_an_empty_store_lists_nothing(vitrine, settings: LocalSettings) -> None:
    done = vitrine("releases", "list")
    assert done.code == 0
    assert done.out.split() == ["release", "created", "products", "problem"]
    assert not settings.release_store.exists()


def test_show_prints_the_manifest(vitrine, two: list[str]) -> None:
    manifest = json.loads(vitrine("releases", "show", two[1]).out)
    assert manifest["release_id"] == two[1]
    assert manifest["catalogue"]["products"] == 8


def test_activate_then_roll_back(vitrine, two: list[str], tmp_path: Path) -> None:
    store = ReleaseStore(tmp_path / "store")
    for release_id in two:
        assert vitrine("releases", "activate", release_id).code == 0
        assert store.active_id() == release_id
    done = vitrine("releases", "rollback")
    assert done.out == f"{two[0]} is active\n"
    assert store.active_id() == two[0]
    done = vitrine("releases", "rollback")
    assert done.code == 2
    assert "nothing to roll back" in done.err


def test_a_torn_file_is_refused_and_the_active_release_stays(vitrine, two: list[str], tmp_path: Path) -> None:
    store = ReleaseStore(tmp_path / "store")
    store.activate(two[0])
    (store.path(two[1]) / "vectors.npy").write_bytes(b"torn")
    done = vitrine("releases", "activate", two[1])
    assert done.code == 2
    assert "vectors.npy" in done.err
    assert store.active_id() == two[0]


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("command", ["show", "activate"])
def test_an_unknown_release_is_named(vitrine, command: str) -> None:
    done = vitrine("releases", command, "20200101T000000Z-aaaaaa")
    assert done.code == 2
    assert "20200101T000000Z-aaaaaa" in done.err


def engines(folder: Path) -> dict[str, list[str]]:
    return {
        model: sorted(path.name for path in (folder / "repository" / model).iterdir() if path.name.isdigit())
        for model in ("query_tower", "product_tower")
    }


@pytest.mark.usefixtures("settings")
def test_retiring_removes_the_engines_that_only_old_releases_used(vitrine, tmp_path: Path) -> None:
    first = publish(tmp_path)
    write_pair(tmp_path / "repository", version=2)
    second = publish(tmp_path)
    write_pair(tmp_path / "repository", version=3)  # exported, in no release yet
    assert engines(tmp_path)["query_tower"] == ["1", "2", "3"]
    done = vitrine("releases", "retire", "--keep", 1)
    assert first in done.out
    assert [info.release_id for info in ReleaseStore(tmp_path / "store").list()] == [second]
    assert engines(tmp_path) == {"query_tower": ["2", "3"], "product_tower": ["2", "3"]}
    assert vitrine("releases", "retire", "--keep", 1).out == "nothing to remove\n"


def test_no_engine_goes_while_a_release_cannot_be_read(settings: LocalSettings, tmp_path: Path) -> None:
    """A newer Vitrine may have made it, and its engines are among these."""
    first = publish(tmp_path)
    write_pair(tmp_path / "repository", version=2)
    publish(tmp_path)
    (tmp_path / "store" / first / "manifest.json").write_text('{"schema_version": 2}')
    retire(settings, keep=5)
    assert engines(tmp_path) == {"query_tower": ["1", "2"], "product_tower": ["1", "2"]}
