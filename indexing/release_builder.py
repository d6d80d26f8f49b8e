"""Builds a release: embeds the catalogue, builds and gates the index, and publishes all as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from catalog.catalogue import Catalogue
from catalog.keyword_table import KeywordTable
from catalog.pictures import DecodedPictures
from catalog.preprocessing import preprocessing_hash
from catalog.tokenizer import Tokenizer
from faults import InvalidInput
from indexing.embedding import Embeddings, embed_catalogue
from indexing.engine_facts import engine_part, plans_of
from indexing.lexical import write_lexical
from indexing.merge_plan import choose_plan
from indexing.recall_gate import gated_index
from indexing.same_style import calibrated_views
from indexing.tuning_queries import TuningQueries, simulated_queries, with_vectors
from indexing.view_vectors import VIEW_FILES, view_vectors
from releases.engine_manifest import EngineManifest
from releases.export_record import KEYWORDS_FILE, ExportRecord, newest_pair, version_folder
from releases.manifest import (
    CataloguePart,
    GateReport,
    HalfName,
    IndexPart,
    Manifest,
    Probe,
    ProbePicture,
    ReleaseDraft,
    SameStylePart,
    TokenizerPart,
    TowerName,
    ViewName,
    require_equal,
)
from releases.store import ReleaseStore
from retrieval_gateway.channels.lexical import LexicalIndex
from retrieval_gateway.encoding.encoder import Encoder, EncoderSpec
from retrieval_gateway.index.builder import save_index
from retrieval_gateway.index.faiss_index import FaissIndex
from retrieval_gateway.index.product_table import write_product_table
from retrieval_gateway.index.vectors import write_vectors
from retrieval_gateway.loaded_release import INDEX_FILE, PRODUCTS_FILE, TOKENIZER_FILE, VECTORS_FILE

Vectors = npt.NDArray[np.float32]

_PROBE_TEXTS = ("red mug", "men's running shoes size 44", "a")


@dataclass(frozen=True)
class ExportedTowers:
    """The pair of exported towers that a release is made of."""

    query: ExportRecord
    product: ExportRecord
    tokenizer: Tokenizer
    plans: tuple[EngineManifest, ...] = ()
    """Of both towers' TensorRT plans, on the target that has them."""
    keywords: KeywordTable | None = None
    """What the query tower reads beside queries, where it does."""

    @property
    def spec(self) -> EncoderSpec:
        """What an encoder needs to know of them."""
        return EncoderSpec(
            query_version=self.query.version,
            product_version=self.product.version,
            max_query_tokens=self.query.max_query_tokens,
            max_product_tokens=self.query.max_product_tokens,
            picture_size=self.query.picture_size,
            views=self.query.views,
            target=self.query.target,
        )


def newest_towers(repository: Path) -> ExportedTowers:
    """Reads the newest exported pair of a model repository.

    Raises:
        NotFound: nothing was exported.
        Mismatch: towers, plans, tokenizer, or this code's preprocessing do not belong together.
    """
    query, product = newest_pair(repository)
    tokenizer = Tokenizer.from_file(version_folder(repository, query) / "tokenizer.json")
    here = preprocessing_hash(
        query.picture_size, query.max_query_tokens, query.max_product_tokens, query.views
    )
    for what, expected, found in (
        ("tokenizer sha256", query.tokenizer_sha256, tokenizer.sha256),
        ("preprocessing hash", query.preprocessing_hash, here),
    ):
        require_equal(
            what, expected=expected, found=found, fix="Export the checkpoint again with `vitrine export`."
        )
    words = version_folder(repository, query) / KEYWORDS_FILE
    keywords = KeywordTable.from_json(words.read_bytes()) if words.is_file() else None
    return ExportedTowers(query, product, tokenizer, plans_of(repository, query, product), keywords)


async def build_release(
    store: ReleaseStore,
    towers: ExportedTowers,
    encoder: Encoder,
    catalogue: Catalogue,
    pictures: DecodedPictures,
    command: str,
    on_progress: Callable[[int], None] = lambda _: None,
    views: bool = True,
) -> Manifest:
    """Makes and publishes a release; it is not active yet.

    Args:
        store: where it goes.
        towers: the engines.
        encoder: runs those towers through Triton.
        catalogue: what is indexed.
        pictures: decoded at the towers' size.
        command: the command line, for the manifest.
        on_progress: told how many products are embedded.
        views: keep each product's text alone and pictures alone as well: embedding takes up to three times
            as long, and "similar by picture" needs it.

    Raises:
        InvalidInput: there is nothing to index.
        GateFailed: the index loses too many neighbours.
        Unavailable: Triton does not answer.
        StorageFailed: the disk refused; the store is as it was.
    """
    if len(catalogue) == 0:
        raise InvalidInput("no products to index", field="--catalog", value=str(catalogue.source))
    count, passes = len(catalogue), 3 if views else 1
    embeddings = await embed_catalogue(
        encoder, catalogue, pictures, on_progress=lambda done: on_progress(done // passes)
    )
    halves: dict[HalfName, Vectors] = {}
    if views:
        told = lambda done: on_progress((count + 2 * done) // passes)  # noqa: E731
        halves = await view_vectors(encoder, catalogue, pictures, embeddings.vectors, told)
    probes = await _probes(encoder, towers)
    index, recall = await asyncio.to_thread(gated_index, embeddings.vectors)
    compared: dict[ViewName, Vectors] = {"both": embeddings.vectors}
    compared.update(halves.items())
    same_style = await asyncio.to_thread(calibrated_views, compared, catalogue.products)
    queries = await with_vectors(await asyncio.to_thread(simulated_queries, catalogue), encoder)

    def fill(folder: Path) -> ReleaseDraft:
        _write_files(folder, towers, catalogue, embeddings, index)
        for half, vectors in halves.items():
            write_vectors(folder / VIEW_FILES[half], vectors)
        draft = _draft(towers, catalogue, index, recall, probes, command)
        draft = _with_full_text(draft, folder, catalogue, queries, embeddings.vectors)
        return _with_views(draft, halves, same_style)

    return await asyncio.to_thread(store.publish, fill)


def _with_full_text(
    draft: ReleaseDraft, folder: Path, catalogue: Catalogue, queries: TuningQueries, vectors: Vectors
) -> ReleaseDraft:
    part = write_lexical(folder, catalogue)
    plan = choose_plan(queries, vectors, LexicalIndex.open(folder / part.folder))
    return draft.model_copy(update={"lexical": part, "merge": plan})


def _with_views(
    draft: ReleaseDraft, halves: Collection[HalfName], same_style: dict[ViewName, SameStylePart]
) -> ReleaseDraft:
    both = same_style.get("both")
    return draft.model_copy(
        update={
            "view_vectors": {half: VIEW_FILES[half] for half in halves},
            "same_style": same_style,
            "same_style_threshold": None if both is None else both.threshold,
        }
    )


async def _probes(encoder: Encoder, towers: ExportedTowers) -> tuple[Probe, ...]:
    """Golden inputs, by which a gateway recognises the engines of this release."""
    inputs: list[tuple[TowerName, ProbePicture, int]] = [
        ("query_tower", "none", towers.query.max_query_tokens),
        ("product_tower", "none", towers.query.max_product_tokens),
        ("product_tower", "ramp", towers.query.max_product_tokens),
    ]
    probes = []
    for tower, picture, most in inputs:
        for ids in towers.tokenizer.encode(_PROBE_TEXTS, most):
            probe = Probe(tower=tower, picture=picture, input_ids=tuple(ids), expected=(0.0,))
            vector = await encoder.probe(probe)
            probes.append(probe.model_copy(update={"expected": tuple(vector.tolist())}))
    return tuple(probes)


def _write_files(
    folder: Path, towers: ExportedTowers, catalogue: Catalogue, embeddings: Embeddings, index: FaissIndex
) -> None:
    write_vectors(folder / VECTORS_FILE, embeddings.vectors)
    save_index(folder / INDEX_FILE, index)
    (folder / TOKENIZER_FILE).write_bytes(towers.tokenizer.to_bytes())
    if towers.keywords is not None:
        (folder / KEYWORDS_FILE).write_bytes(towers.keywords.to_json())
    products = catalogue.products
    names = (
        "product_id", "title", "description", "category", "subcategory", "brand", "color",
        "supplier", "style_group", "price", "in_stock",
    )  # fmt: skip
    columns: dict[str, list[object]] = {
        name: [getattr(product, name) for product in products] for name in names
    }
    columns["text_weight"] = embeddings.weights[:, 0].tolist()
    columns["image_weight"] = embeddings.weights[:, 1].tolist()
    write_product_table(folder / PRODUCTS_FILE, columns)


def _draft(
    towers: ExportedTowers,
    catalogue: Catalogue,
    index: FaissIndex,
    recall: GateReport,
    probes: tuple[Probe, ...],
    command: str,
) -> ReleaseDraft:
    query, product = towers.query, towers.product
    return ReleaseDraft(
        command=command,
        towers={"query_tower": query.as_part(), "product_tower": product.as_part()},
        engine=engine_part(query, towers.plans),
        tokenizer=TokenizerPart(
            sha256=towers.tokenizer.sha256,
            max_query_tokens=query.max_query_tokens,
            max_product_tokens=query.max_product_tokens,
        ),
        preprocessing_hash=query.preprocessing_hash,
        picture_size=query.picture_size,
        views=query.views,
        dim=query.dim,
        index=IndexPart(
            kind=index.kind,
            parameters=index.spec.parameters(),
            count=index.count,
            recall=recall.measured["recall_at_100"],
            file=INDEX_FILE,
        ),
        catalogue=CataloguePart(
            fingerprint=catalogue.fingerprint(), products=len(catalogue), source=str(catalogue.source)
        ),
        keyword_table=None if towers.keywords is None else KEYWORDS_FILE,
        gates=(*query.gates, *product.gates, recall),
        probes=probes,
    )
