import dataclasses
import errno
from pathlib import Path

import numpy as np
import pytest
from support.exported_pairs import write_pair, write_plan
from support.fake_encoder import FakeEncoder, publish_tiny_release, seed_of, vector_of, weights_of
from support.tiny_shop import tiny_catalogue, tiny_pictures

from catalog.catalogue import Catalogue
from catalog.held_out import is_held_out
from catalog.pictures import DecodedPictures, PictureLimits
from faults import GateFailed, InvalidInput, Mismatch, StorageFailed, Unavailable
from indexing import release_builder
from indexing.engine_facts import cpu_flags
from indexing.release_builder import build_release, newest_towers
from releases.manifest import Manifest
from releases.store import ReleaseStore
from retrieval_gateway.encoding.encoder import TritonLink
from retrieval_gateway.encoding.trust import Trust
from retrieval_gateway.loaded_release import LoadedRelease, load_release
from retrieval_gateway.release_probes import check_probes

CATALOGUE = tiny_catalogue()
PICTURES = tiny_pictures(CATALOGUE)


async def build(
    folder: Path, catalogue: Catalogue = CATALOGUE, pictures: DecodedPictures = PICTURES
) -> Manifest:
    return await publish_tiny_release(folder, catalogue, pictures)


def load(folder: Path, release_id: str) -> LoadedRelease:
    """As a gateway does, with a Triton that nobody calls."""
    link = TritonLink(None, "nowhere")  # type: ignore[arg-type]
    return load_release(ReleaseStore(folder / "store"), release_id, link, PictureLimits())


async def test_a_release_of_plans_names_gpu_and_tensorrt(tmp_path: Path) -> None:
    profiles = [{"batch": (1, 16, 64), "length": (8, 8, 16)}]
    repository = tmp_path / "repository"
    write_pair(repository, of_both={"target": "tensorrt", "profiles": profiles})
    for tower in ("query_tower", "product_tower"):
        write_plan(repository / tower / "1", "9.0")
    engine = (await build(tmp_path)).engine
    assert (engine.target, engine.compute_capability) == ("tensorrt", "9.0")
    assert engine.tensorrt_version == "10.13.3.9"


async def test_the_manifest_names_everything_that_went_in(tmp_path: Path) -> None:
    manifest = await build(tmp_path)
    towers = newest_towers(tmp_path / "repository")
    assert manifest == ReleaseStore(tmp_path / "store").manifest(manifest.release_id)
    assert manifest.command == "vitrine index --catalog tiny"
    assert manifest.towers == {
        "query_tower": towers.query.as_part(),
        "product_tower": towers.product.as_part(),
    }
    assert manifest.tokenizer.sha256 == towers.tokenizer.sha256
    assert (manifest.tokenizer.max_query_tokens, manifest.tokenizer.max_product_tokens) == (8, 10)
    assert (manifest.dim, manifest.picture_size, manifest.views) == (16, 16, 1)
    assert manifest.preprocessing_hash == towers.query.preprocessing_hash
    assert (manifest.engine.target, manifest.engine.runtime) == ("cpu", "onnxruntime 1.0.0")
    assert manifest.engine.cpu_flags == cpu_flags()
    assert manifest.engine.tensorrt_version is None
    assert (manifest.index.kind, manifest.index.count, manifest.index.recall) == ("flat", 12, 1.0)
    assert manifest.catalogue.fingerprint == CATALOGUE.fingerprint()
    assert (manifest.catalogue.products, manifest.catalogue.source) == (12, "tiny-shop")
    assert [gate.name for gate in manifest.gates] == [
        "parity of query_tower",
        "parity of product_tower",
        "recall of the index",
    ]
    vectors = {"vectors.npy", "text_vectors.npy", "image_vectors.npy"}
    assert {name for name in manifest.files if "/" not in name} == vectors | {
        "index.faiss",
        "products.arrow",
        "tokenizer.json",
    }


async def test_a_new_release_is_not_active(tmp_path: Path) -> None:
    await build(tmp_path)
    assert ReleaseStore(tmp_path / "store").active_id() is None


async def test_a_gateway_can_load_it_and_finds_each_product_by_its_vector(tmp_path: Path) -> None:
    manifest = await build(tmp_path)
    release = load(tmp_path, manifest.release_id)
    encoder = FakeEncoder(newest_towers(tmp_path / "repository").tokenizer)
    for place, product in enumerate(CATALOGUE.products):
        row = encoder.product_row(product.indexed_text(), PICTURES.pixels[place], PICTURES.has_image[place])
        found = release.index.search(vector_of(seed_of(row))[None], k=1)
        assert release.table.ids(found.rows[0]) == [product.product_id]
        assert found.scores[0, 0] == pytest.approx(1.0, abs=1e-6)
        assert release.table.row_of(product.product_id) == place
        np.testing.assert_array_equal(release.vectors[place], vector_of(seed_of(row)))
        fields = release.table.fields(np.array([place]), ("text_weight", "image_weight"))
        assert [values[0] for values in fields.values()] == pytest.approx(weights_of(row).tolist())


async def test_the_halves_of_the_products_travel_with_it(tmp_path: Path) -> None:
    manifest = await build(tmp_path)
    release = load(tmp_path, manifest.release_id)
    assert manifest.view_vectors == {"text": "text_vectors.npy", "image": "image_vectors.npy"}
    encoder = FakeEncoder(newest_towers(tmp_path / "repository").tokenizer)
    row = encoder.product_row("", PICTURES.pixels[2], PICTURES.has_image[2])
    np.testing.assert_array_equal(release.views["image"][2], vector_of(seed_of(row)))
    assert release.views["text"].shape == release.vectors.shape


async def test_a_release_may_do_without_them(tmp_path: Path) -> None:
    write_pair(tmp_path / "repository")
    towers = newest_towers(tmp_path / "repository")
    encoder, store, told = FakeEncoder(towers.tokenizer), ReleaseStore(tmp_path / "store"), []
    manifest = await build_release(
        store,
        towers,
        encoder,
        CATALOGUE,
        PICTURES,
        "x",
        told.append,
        views=False,  # type: ignore[arg-type]
    )
    assert sum(encoder.batches) == 12
    assert told[-1] == 12
    assert manifest.view_vectors == {}
    assert load(tmp_path, manifest.release_id).views == {}


async def test_the_same_style_threshold_belongs_to_the_release(tmp_path: Path) -> None:
    manifest = await build(tmp_path)
    release = load(tmp_path, manifest.release_id)
    trained = {product.style_group for product in CATALOGUE.products if not is_held_out(product.style_group)}
    assert trained, "or there is nothing to calibrate on"
    assert set(manifest.same_style) == {"both", "text", "image"}
    assert release.same_style_threshold == manifest.same_style["both"].threshold
    assert release.same_style_threshold_of(None) == release.same_style_threshold
    assert release.same_style_threshold_of("text") == manifest.same_style["text"].threshold
    plain = Catalogue([dataclasses.replace(one, style_group="") for one in CATALOGUE.products])
    other = load(tmp_path, (await build(tmp_path, plain)).release_id)
    assert other.same_style_threshold is None
    assert other.same_style_threshold_of("image") is None


async def test_progress_goes_once_through_the_catalogue(tmp_path: Path) -> None:
    write_pair(tmp_path / "repository")
    towers = newest_towers(tmp_path / "repository")
    told: list[int] = []
    encoder, store = FakeEncoder(towers.tokenizer), ReleaseStore(tmp_path / "store")
    await build_release(store, towers, encoder, CATALOGUE, PICTURES, "x", told.append)  # type: ignore[arg-type]
    assert told == sorted(told)
    assert told[-1] == 12


async def test_the_product_table_holds_the_catalogues_fields_and_its_gaps(tmp_path: Path) -> None:
    manifest = await build(tmp_path)
    table = load(tmp_path, manifest.release_id).table
    names = (
        "product_id",
        "title",
        "category",
        "brand",
        "color",
        "price",
        "style_group",
        "in_stock",
        "supplier",
    )
    found = table.fields(np.arange(12), names)
    for place, product in enumerate(CATALOGUE.products):
        assert [found[name][place] for name in names] == [getattr(product, name) for name in names]


async def test_the_probes_cover_both_towers_words_and_pictures(tmp_path: Path) -> None:
    manifest = await build(tmp_path)
    kinds = {(probe.tower, probe.picture) for probe in manifest.probes}
    assert kinds == {("query_tower", "none"), ("product_tower", "none"), ("product_tower", "ramp")}
    assert len(manifest.probes) == 9
    for probe in manifest.probes:
        seed = repr((probe.tower, probe.picture, probe.input_ids)).encode()
        np.testing.assert_allclose(probe.expected, vector_of(seed), rtol=1e-6)


async def test_another_engine_is_noticed_by_the_probes(tmp_path: Path) -> None:
    manifest = await build(tmp_path)

    class Engine(FakeEncoder):
        trust = Trust()

    class OtherEngine(Engine):
        async def probe(self, probe: object) -> np.ndarray:
            return vector_of(b"other" + repr(probe).encode())

    tokenizer = newest_towers(tmp_path / "repository").tokenizer
    release = load(tmp_path, manifest.release_id)
    await check_probes(dataclasses.replace(release, encoder=Engine(tokenizer)))  # type: ignore[arg-type]
    with pytest.raises(Mismatch, match="query_tower version 1"):
        await check_probes(dataclasses.replace(release, encoder=OtherEngine(tokenizer)))  # type: ignore[arg-type]


async def test_an_empty_catalogue_makes_no_release(tmp_path: Path) -> None:
    empty = Catalogue([], source=Path("empty-shop"))
    with pytest.raises(InvalidInput, match="no products") as caught:
        await build(tmp_path, empty, tiny_pictures(empty))
    assert caught.value.value == "empty-shop"
    assert ReleaseStore(tmp_path / "store").list() == []


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def failed_gate(*_: object) -> None:
    raise GateFailed("loses neighbours")


@pytest.mark.parametrize(
    ("part", "failure", "error"),
    [
        ("write_product_table", full_disk, StorageFailed),
        ("save_index", full_disk, StorageFailed),
        ("gated_index", failed_gate, GateFailed),
    ],
)
async def test_a_failure_publishes_nothing_and_the_active_release_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, failure: object, error: type[Exception]
) -> None:
    before = await build(tmp_path)
    store = ReleaseStore(tmp_path / "store")
    store.activate(before.release_id)
    monkeypatch.setattr(release_builder, part, failure)
    with pytest.raises(error):
        await build(tmp_path)
    assert [info.release_id for info in store.list()] == [before.release_id]
    assert store.active_id() == before.release_id
    assert not list(store.root.glob(".staging*"))


async def test_a_triton_that_goes_away_is_said_as_such(tmp_path: Path) -> None:
    write_pair(tmp_path / "repository")
    towers = newest_towers(tmp_path / "repository")
    encoder = FakeEncoder(towers.tokenizer, error=Unavailable("Triton does not answer", field="triton"))
    with pytest.raises(Unavailable, match="Triton does not answer"):
        await build_release(ReleaseStore(tmp_path / "store"), towers, encoder, CATALOGUE, PICTURES, "x")  # type: ignore[arg-type]
    assert not (tmp_path / "store").exists()
