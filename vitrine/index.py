"""``vitrine index``: embeds a catalogue through Triton and publishes a release."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from tritonclient.grpc import aio as triton_aio

from catalog.catalogue import Catalogue
from catalog.pictures import DecodedPictures
from indexing.patient_client import PatientClient
from indexing.release_builder import ExportedTowers, build_release, newest_towers
from releases.manifest import Manifest
from releases.store import ReleaseStore
from retrieval_gateway.encoding.encoder import Encoder, TritonLink
from runtime.triton_control import TritonControl
from vitrine.catalogues import Split, decode, open_catalogue
from vitrine.export_towers import run_export
from vitrine.local import LocalSettings, triton_service
from vitrine.retention import retire
from vitrine.terminal import command_line, console, progress

_CALL_TIMEOUT_S = 60.0
"""Bound of one call while indexing: nobody waits for it, but it must not hang."""
_PATIENCE_S = 120.0
"""How long a Triton that is away is waited for: a gateway or a supervisor repairs it in a few seconds."""


def index(
    catalog: Annotated[Path, typer.Option(help="Catalogue folder.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Export this checkpoint first; else the newest exported towers are used."),
    ] = None,
    split: Annotated[
        Split, typer.Option(help="held-out: index only products of styles that training left out.")
    ] = Split.ALL,
    activate: Annotated[bool, typer.Option(help="Switch to the release once it is published.")] = False,
    keep: Annotated[
        int | None,
        typer.Option(help="How many of the newest releases stay; VITRINE_KEPT_RELEASES if absent."),
    ] = None,
    skip_bad_pictures: Annotated[
        bool, typer.Option(help="Index products whose picture cannot be decoded by their words alone.")
    ] = False,
    views: Annotated[
        bool,
        typer.Option(
            help="Embed texts and pictures alone as well, for `vitrine similar --by`; embedding takes up to "
            "three times as long."
        ),
    ] = True,
) -> None:
    """Builds a release: embeds every product, builds and gates the index, publishes all as one."""
    settings = LocalSettings()
    if checkpoint is not None:
        run_export(checkpoint, settings.model_repository)
    store = ReleaseStore(settings.release_store)
    with a_triton(settings) as url:
        manifest = run_index(url, settings, store, open_catalogue(catalog, split), skip_bad_pictures, views)
    if activate:
        store.activate(manifest.release_id, verify=False)
    with store.hold(manifest.release_id):  # not yet active, it is nobody's but ours
        retire(settings, settings.kept_releases if keep is None else keep)
    if activate:
        console.print(f"release {manifest.release_id} is active")
    else:
        console.print(
            f"release {manifest.release_id} published: `vitrine releases activate {manifest.release_id}`"
        )


def run_index(
    triton_url: str,
    settings: LocalSettings,
    store: ReleaseStore,
    catalogue: Catalogue,
    skip_bad_pictures: bool,
    views: bool = True,
) -> Manifest:
    """Indexes a catalogue with the newest exported towers and publishes the release."""
    towers = newest_towers(settings.model_repository)
    pictures = decode(catalogue, towers.spec.picture_size, towers.spec.views, skip_bad_pictures)
    with TritonControl(triton_url) as control, _loaded(control, store, towers) as load_again:
        return asyncio.run(_build(triton_url, load_again, towers, store, catalogue, pictures, views))


async def _build(
    triton_url: str,
    load_again: Callable[[], None],
    towers: ExportedTowers,
    store: ReleaseStore,
    catalogue: Catalogue,
    pictures: DecodedPictures,
    views: bool,
) -> Manifest:
    client = triton_aio.InferenceServerClient(triton_url)
    try:
        patient = PatientClient(client, triton_url, _PATIENCE_S, load_again)
        link = TritonLink(patient, triton_url, timeout_s=_CALL_TIMEOUT_S)
        encoder = Encoder(link, towers.spec, towers.tokenizer, towers.keywords)
        with progress("embedding through Triton", len(catalogue)) as done:
            return await build_release(
                store, towers, encoder, catalogue, pictures, command_line(), done, views
            )
    finally:
        await client.close()


@contextlib.contextmanager
def _loaded(
    control: TritonControl, store: ReleaseStore, towers: ExportedTowers
) -> Iterator[Callable[[], None]]:
    """Loads the towers beside what serves, and unloads them again: serving them is the gateway's affair.

    Yields:
        What loads them again, should somebody unload them meanwhile.
    """
    added: dict[str, int] = {}

    def load() -> None:
        with store.engine_turn():
            for record in (towers.query, towers.product):
                ready = control.ready_versions(record.model)
                if record.version not in ready:
                    added[record.model] = record.version
                    control.load_versions(record.model, sorted({*ready, record.version}))

    try:
        load()
        yield load
    finally:
        with store.engine_turn():
            for model, version in added.items():
                # A gateway may have loaded others meanwhile: retire this one and nothing else.
                others = [other for other in control.ready_versions(model) if other != version]
                if others:
                    control.load_versions(model, others)
                else:
                    control.unload(model)


@contextlib.contextmanager
def a_triton(settings: LocalSettings) -> Iterator[str]:
    """Yields the address of a Triton: that of a running ``vitrine serve``, or one started for the block."""
    with TritonControl(settings.triton_url, timeout_s=2.0) as control:
        running = control.live()
    if running:
        yield settings.triton_url
        return
    own = settings.on_free_ports()
    server = triton_service(own)
    try:
        with console.status("starting Triton"):
            server.start()
        yield own.triton_url
    finally:
        server.stop(8.0)
