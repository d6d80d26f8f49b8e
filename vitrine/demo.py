"""``vitrine demo``: everything once, on one machine, from a catalogue to measured searches."""

from __future__ import annotations

import itertools
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from catalog.readers import read_catalogue, read_queries
from releases.store import ReleaseStore
from retrieval_gateway.client import RetrievalClient
from retrieval_gateway.client.requests import SearchOptions
from runtime.supervisor import Supervisor
from runtime.triton_control import TritonControl
from vitrine.catalogues import Split, open_catalogue
from vitrine.evaluate import report_table, run_evaluation
from vitrine.export_towers import run_export
from vitrine.index import run_index
from vitrine.local import (
    GatewayService,
    LocalSettings,
    LocalStack,
    local_stack,
    wait_until_ready,
)
from vitrine.retention import retire
from vitrine.sample_shop import sample_shop
from vitrine.search import hits_table, summary
from vitrine.serve import print_event, stop_all
from vitrine.terminal import console
from vitrine.train import train

_SHOWN_QUERIES = 3
_SHOPPERS, _SEARCHES = 16, 400
_FIELDS = ("title", "category", "price")


def demo(
    catalog: Annotated[
        Path | None, typer.Option(help="A catalogue of yours; without it a sample shop is made.")
    ] = None,
    products: Annotated[int, typer.Option(help="Size of the sample shop.")] = 1000,
    recipe: Annotated[str, typer.Option(help="sample for a sample shop, else catalogue, unless given.")] = "",
) -> None:
    """Makes a shop, trains, exports, indexes, serves, evaluates and searches; stops what it started.

    Training leaves the held-out styles out, so that the figures are honest. It runs on free
    ports, beside a running ``vitrine serve``, and leaves its release active.
    """
    began = time.monotonic()
    settings = LocalSettings().on_free_ports()
    folder = catalog or _sample_shop(settings, products)
    chosen = recipe or ("catalogue" if catalog else "sample")
    checkpoint = settings.var / "checkpoints" / chosen
    _heading("train")
    train(folder, checkpoint, chosen, Split.TRAINING, skip_bad_pictures=False)
    _heading("export and gate")
    run_export(checkpoint, settings.model_repository, folder)
    stack = local_stack(settings)
    backing = Supervisor(
        [part for part in stack.services if not isinstance(part, GatewayService)], print_event
    )
    front = Supervisor([stack.gateway], print_event)
    try:
        _heading("start Triton and the cache, embed and index")
        backing.start()
        store = ReleaseStore(settings.release_store)
        manifest = run_index(stack.triton.url, settings, store, open_catalogue(folder, Split.ALL), False)
        store.activate(manifest.release_id)
        retire(settings, settings.kept_releases)
        _heading("serve")
        front.start()
        wait_until_ready(settings.address, timeout_s=60.0)
        result = _measure(stack, folder)
    finally:
        stop_all(front, backing)
    result |= {
        "products": manifest.catalogue.products,
        "release": manifest.release_id,
        "seconds": round(time.monotonic() - began, 1),
    }
    typer.echo(json.dumps(result))


def _sample_shop(settings: LocalSettings, products: int) -> Path:
    folder = settings.var / f"sample-shop-{products}"
    _heading("make the sample shop")
    if (folder / "products.parquet").is_file():  # written last
        console.print(f"using {folder}, which is there already")
    else:
        sample_shop(folder, products, seed=0)
    return folder


def _measure(stack: LocalStack, folder: Path) -> dict[str, Any]:
    """Evaluates, shops and shows searches against the running gateway."""
    address = stack.settings.address
    _heading("evaluate over gRPC")
    report = run_evaluation(address, folder)
    console.print(report_table(report))
    texts = [query.query for query in read_queries(folder / "queries.csv")]
    with TritonControl(stack.triton.url) as control, RetrievalClient(address) as client:
        _heading("shoppers")
        before = control.statistics("query_tower")
        hit_rate = shop(client, texts)
        after = control.statistics("query_tower")
        inferences = after.inference_count - before.inference_count
        executions = after.execution_count - before.execution_count
        console.print(
            f"{_SEARCHES} searches by {_SHOPPERS} concurrent shoppers: cache hit rate {hit_rate:.2f}; "
            f"Triton embedded {inferences} queries in {executions} executions"
        )
        _heading("a few searches")
        _show(client, folder, texts)
        return {
            **report.to_json(),
            "cache_hit_rate": round(hit_rate, 4),
            "triton_version": control.server_version(),
            "triton_inferences": inferences,
            "triton_executions": executions,
        }


def shop(client: RetrievalClient, texts: list[str]) -> float:
    """Searches as shoppers do, popular queries often and rare ones seldom (Zipf), from many threads.

    Returns:
        The share of searches that a cache tier or a shared flight answered, as the replies say.
    """
    source = random.Random(0)
    weights = [1 / rank for rank in range(1, len(texts) + 1)]
    asked = source.choices(source.sample(texts, len(texts)), weights, k=_SEARCHES)
    with ThreadPoolExecutor(_SHOPPERS) as pool:
        replies = list(pool.map(lambda text: client.search(text, k=20), asked))
    return sum(reply.cache_source != 1 for reply in replies) / len(replies)


def _show(client: RetrievalClient, folder: Path, texts: list[str]) -> None:
    out = Console()
    for text in itertools.islice(random.Random(1).sample(texts, len(texts)), _SHOWN_QUERIES):
        reply = client.search(text, k=5, fields=_FIELDS).raw
        out.print(f"\n[bold]vitrine search[/] {escape(repr(text))}")
        out.print(hits_table(reply, explain=True))
        out.print(summary(reply))
    catalogue = read_catalogue(folder)
    product = next(entry for entry in catalogue.products if catalogue.pictures(entry.product_id))
    picture = catalogue.pictures(product.product_id)[0].data
    for label, query in (
        (f"--like {product.product_id}", SearchOptions(product_id=product.product_id, k=5, fields=_FIELDS)),
        ("--image (its picture)", SearchOptions(picture=picture, k=5, fields=_FIELDS)),
    ):
        reply = client.search(**query).raw
        out.print(f"\n[bold]vitrine search[/] {escape(label)}   [dim]{escape(product.title)}[/]")
        out.print(hits_table(reply, explain=True))
        out.print(summary(reply))


def _heading(text: str) -> None:
    console.rule(f"[bold]{text}", align="left")
