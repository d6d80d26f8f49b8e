import json
from pathlib import Path

import numpy as np
import pytest
from support.fake_encoder import publish_tiny_release
from support.tiny_shop import tiny_catalogue, tiny_pictures

from catalog.catalogue import Catalogue
from catalog.pictures import PictureLimits
from faults import Mismatch, NotFound
from indexing import release_builder
from releases.manifest import MANIFEST_NAME, LexicalPart, MergePart
from releases.store import ReleaseStore
from retrieval_gateway.channels.merging import DEFAULT_PLAN, MergePlan
from retrieval_gateway.encoding.encoder import TritonLink
from retrieval_gateway.loaded_release import LoadedRelease, load_release

CATALOGUE = tiny_catalogue()


async def publish(folder: Path) -> str:
    return (await publish_tiny_release(folder, CATALOGUE, tiny_pictures(CATALOGUE))).release_id


def load(folder: Path, release_id: str) -> LoadedRelease:
    link = TritonLink(None, "nowhere")  # type: ignore[arg-type]
    return load_release(ReleaseStore(folder / "store"), release_id, link, PictureLimits())


async def test_a_release_finds_its_products_by_their_words(tmp_path: Path) -> None:
    release = load(tmp_path, await publish(tmp_path))
    assert release.lexical is not None
    found = release.lexical.search("mugs", 20).rows
    assert {CATALOGUE.products[row].category for row in found} == {"mug"}
    assert release.table.ids(found) == [CATALOGUE.products[row].product_id for row in found]
    red = np.array([product.color == "red" for product in CATALOGUE.products])
    assert release.table.ids(release.lexical.search("mugs", 20, red).rows) == ["mug-red"]


async def test_every_file_of_the_index_is_hashed_and_loading_adds_none(tmp_path: Path) -> None:
    release_id = await publish(tmp_path)
    store = ReleaseStore(tmp_path / "store")
    before = {path.name for path in (store.path(release_id) / "lexical").iterdir()}
    named = {
        name.partition("/")[2] for name in store.manifest(release_id).files if name.startswith("lexical/")
    }
    assert before == named != set()
    load(tmp_path, release_id)
    assert {path.name for path in (store.path(release_id) / "lexical").iterdir()} == before
    store.verify(release_id)


async def test_a_catalogue_that_gives_no_queries_says_that_its_plan_is_the_default(tmp_path: Path) -> None:
    release = load(tmp_path, await publish(tmp_path))
    assert release.merge_plan == DEFAULT_PLAN
    assert release.manifest.merge is not None
    assert release.manifest.merge.chosen_by.startswith("default: ")


async def test_the_plan_is_the_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = MergePart(method="reciprocal_rank", dense_weight=0.5, lexical_weight=2.0, chosen_by="a test")
    monkeypatch.setattr(release_builder, "choose_plan", lambda *_: part)
    release = load(tmp_path, await publish(tmp_path))
    assert release.manifest.merge == part
    assert release.merge_plan == MergePlan("reciprocal_rank", 0.5, 2.0)


async def test_a_release_from_before_full_text_loads_without_it(tmp_path: Path) -> None:
    release_id = await publish(tmp_path)
    path = tmp_path / "store" / release_id / MANIFEST_NAME
    fields = json.loads(path.read_text())
    del fields["lexical"], fields["merge"]
    fields["files"] = {
        name: part for name, part in fields["files"].items() if not name.startswith("lexical/")
    }
    path.write_text(json.dumps(fields))
    release = load(tmp_path, release_id)
    assert release.lexical is None
    assert release.merge_plan == DEFAULT_PLAN


async def test_an_index_of_other_rules_is_refused_with_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release_id = await publish(tmp_path)
    monkeypatch.setattr("retrieval_gateway.loaded_release.RULES_VERSION", 99)
    with pytest.raises(Mismatch, match="rules of the full-text index") as caught:
        load(tmp_path, release_id)
    assert (caught.value.expected, caught.value.found) == (1, 99)


async def test_an_index_of_other_products_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = release_builder.write_lexical

    def write_half(folder: Path, catalogue: Catalogue) -> LexicalPart:
        return write(folder, catalogue.subset(catalogue.ids[:5]))

    monkeypatch.setattr(release_builder, "write_lexical", write_half)
    with pytest.raises(Mismatch, match="products in the full-text index") as caught:
        load(tmp_path, await publish(tmp_path))
    assert (caught.value.expected, caught.value.found) == (12, 5)


async def test_a_manifest_that_names_an_index_which_is_gone_is_refused(tmp_path: Path) -> None:
    release = load(tmp_path, await publish(tmp_path))
    part = release.manifest.lexical
    assert part is not None
    for file in (tmp_path / "store" / release.release_id / part.folder).iterdir():
        file.unlink()
    assert release.lexical is not None
    assert len(release.lexical.search("mug", 4).rows) == 4  # an open release goes on
    with pytest.raises((Mismatch, NotFound)):
        load(tmp_path, release.release_id)
