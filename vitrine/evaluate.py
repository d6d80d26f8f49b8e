"""``vitrine evaluate``: runs judged queries through the gateway and measures the answers."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from catalog.catalogue import Catalogue
from catalog.readers import read_catalogue, read_judgements, read_queries
from catalog.schema import EvaluationQuery
from evaluation.measures import Report, evaluate_run
from faults import Mismatch, Unavailable
from retrieval_gateway.client import ChannelOptions, Degradation, RetrievalClient, SearchReply
from vitrine.catalogues import Split, part_of
from vitrine.local import LocalSettings
from vitrine.query_arguments import Address, Channels, channels_of
from vitrine.terminal import console, progress

_DEPTH = 100
_CALLERS = 8


def evaluate(
    catalog: Annotated[Path, typer.Option(help="Catalogue folder; must be the one that was indexed.")],
    queries: Annotated[Path | None, typer.Option(help="queries.csv; the catalogue's own if absent.")] = None,
    qrels: Annotated[Path | None, typer.Option(help="qrels.csv; the catalogue's own if absent.")] = None,
    channels: Channels = "",
    address: Address = "",
) -> None:
    """Measures nDCG@10, R@100 and RR@10 through the gateway; prints one line of JSON last."""
    gateway = address or LocalSettings().address
    report = run_evaluation(gateway, catalog, queries, qrels, channels_of(channels))
    console.print(report_table(report))
    typer.echo(json_format.dumps(report.to_json()))


def run_evaluation(
    address: str,
    folder: Path,
    queries: Path | None = None,
    qrels: Path | None = None,
    channels: ChannelOptions | None = None,
) -> Report:
    """Asks every query for its 100 best products, past the cache, and measures the answers.

    Args:
        address: of the gateway.
        folder: the catalogue that was indexed, or that it is a split of.
        queries: the catalogue's own if None.
        qrels: the catalogue's own if None.
        channels: which to ask; all that a query allows if None.

    Raises:
        Mismatch: the serving release was made of another catalogue.
        Unavailable: the gateway does not answer, or a channel of it does not.
    """
    asked = read_queries(queries or folder / "queries.csv")
    judgements = read_judgements(qrels or folder / "qrels.csv")
    with RetrievalClient(address, timeout_s=30.0) as client:
        corpus = indexed_products(client, folder)
        run = _ask_all(client, asked, channels)
    return evaluate_run(
        run,
        [(query.query_id, query.kind) for query in asked],
        [(judgement.query_id, judgement.product_id, judgement.grade) for judgement in judgements],
        frozenset(corpus.ids),
    )


def indexed_products(client: RetrievalClient, folder: Path) -> Catalogue:
    """Returns the part of a catalogue that the serving release was made of: all of it or a split.

    Raises:
        Mismatch: the release was made of another catalogue.
        Unavailable: no release serves.
    """
    serving = [release for release in client.releases() if release.serving]
    if not serving:
        raise Unavailable("the gateway serves no release", field="gateway", value=client.address)
    wanted = serving[0].catalogue_fingerprint
    whole = read_catalogue(folder)
    found = {}
    for split in Split:
        part = part_of(whole, split)
        found[str(split)] = f"{part.fingerprint()[:12]}, {len(part)} products"
        if part.fingerprint() == wanted:
            return part
    raise Mismatch(
        f"catalogue of release {serving[0].release_id}",
        expected=f"{wanted[:12]}, {serving[0].products} products",
        found=found,
        fix=f"Index {folder}, or name the catalogue that was indexed.",
    )


def _ask_all(
    client: RetrievalClient, queries: Sequence[EvaluationQuery], channels: ChannelOptions | None
) -> dict[str, list[tuple[str, float]]]:
    with ThreadPoolExecutor(_CALLERS) as pool, progress("asking the gateway", len(queries)) as done:

        def ask(query: EvaluationQuery) -> list[tuple[str, float]]:
            reply = client.search(query.query, k=_DEPTH, bypass_cache=True, channels=channels)
            _refuse_failed_channels(query, reply)
            return list(zip(reply.product_ids, reply.scores, strict=True))

        run = {}
        for place, (query, hits) in enumerate(zip(queries, pool.map(ask, queries), strict=True), start=1):
            run[query.query_id] = hits
            done(place)
    return run


def _refuse_failed_channels(query: EvaluationQuery, reply: SearchReply) -> None:
    """What some queries were answered without is no measure of it."""
    for degradation in reply.degradations:
        if degradation in (Degradation.DENSE_CHANNEL_FAILED, Degradation.LEXICAL_CHANNEL_FAILED):
            raise Unavailable(
                f"query {query.query_id} was answered without a channel",
                field="--channels",
                value=degradation.name,
                fix="The gateway's log says why; a release from before full text has the dense channel only.",
            )


def report_table(report: Report) -> Table:
    """Returns the measures, in all and by query kind."""
    table = Table(
        "queries", "nDCG@10", "R@100", "RR@10", "count", box=None, header_style="bold", pad_edge=False
    )
    rows: list[tuple[str, dict[str, Any]]] = [("all", report.to_json())]
    rows += sorted(report.to_json()["by_kind"].items())
    for name, scores in rows:
        numbers = (scores[measure] for measure in ("ndcg_at_10", "recall_at_100", "rr_at_10"))
        table.add_row(Text(name), *(f"{number:.3f}" for number in numbers), str(scores["queries"]))
    return table
