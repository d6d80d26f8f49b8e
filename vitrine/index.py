"""``vitrine index``: embeds a catalogue through Triton and publishes a release."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from tritonclient.grpc import aio as triton_aio

from catalog.catalogue import Catalogue
from catalog.pictures import DecodedPictures
from indexing.release_builder import ExportedTowers, build_release, newest_towers
from releases.manifest import Manifest
from releases.store import ReleaseStore
from retrieval_gateway.encoding.encoder import Encoder, TritonLink
from runtime.triton_control import TritonControl
from vitrine.catalogues import Split, decode, open_catalogue
from vitrine.export_towers import run_export
from vitrine.local import KEPT_RELEASES, LocalSettings, triton_service
from vitrine.retention import retire
from vitrine.terminal import command_line, console, progress

_CALL_TIMEOUT_S = 60.0
"""Bound of one call while indexing: nobody waits for it, but it must not hang."""


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
        int, typer.Option(help="With --activate: how many of the newest releases stay.")
    ] = KEPT_RELEASES,
    skip_bad_pictures: Annotated[
        bool, typer.Option(help="Index products whose picture cannot be decoded by their words alone.")
    ] = False,
) -> None:
    """Builds a release: embeds every product, builds and gates the index, publishes all as one."""
    settings = LocalSettings()
    if checkpoint is not None:
        run_export(checkpoint, settings.model_repository)
    store = ReleaseStore(settings.release_store)
    with a_triton(settings) as url:
        manifest = run_index(url, settings, store, open_catalogue(catalog, split), skip_bad_pictures)
    if activate:
        store.activate(manifest.release_id, verify=False)
        retire(settings, keep)
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
) -> Manifest:
    """Indexes a catalogue with the newest exported towers and publishes the release."""
    towers = newest_towers(settings.model_repository)
    pictures = decode(catalogue, towers.spec.picture_size, towers.spec.views, skip_bad_pictures)
    with TritonControl(triton_url) as control, _loaded(control, towers):
        return asyncio.run(_build(triton_url, towers, store, catalogue, pictures))


async def _build(
    triton_url: str,
    towers: ExportedTowers,
    store: ReleaseStore,
    catalogue: Catalogue,
    pictures: DecodedPictures,
) -> Manifest:
    client = triton_aio.InferenceServerClient(triton_url)
    try:
        link = TritonLink(client, triton_url, timeout_s=_CALL_TIMEOUT_S)
        encoder = Encoder(link, towers.spec, towers.tokenizer)
        with progress("embedding through Triton", len(catalogue)) as done:
            return await build_release(store, towers, encoder, catalogue, pictures, command_line(), done)
    finally:
        await client.close()


@contextlib.contextmanager
def _loaded(control: TritonControl, towers: ExportedTowers) -> Iterator[None]:
    """Loads the towers beside what serves, and unloads them again: serving them is the gateway's affair."""
    wanted = {record.model: record.version for record in (towers.query, towers.product)}
    added = {
        model: version for model, version in wanted.items() if version not in control.ready_versions(model)
    }
    try:
        for model, version in added.items():
            control.load_versions(model, sorted({*control.ready_versions(model), version}))
        yield
    finally:
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
