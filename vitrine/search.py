"""``vitrine search``: asks the gateway and shows the hits as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToJson
from rich.console import Console

from retrieval_gateway.client import Mixing, RetrievalClient
from vitrine.filters import parse_filter
from vitrine.local import LocalSettings
from vitrine.query_arguments import (
    SHOWN,
    Address,
    Channels,
    Filters,
    Json,
    K,
    channels_of,
    names,
    picture,
    refuse_unsendable,
)
from vitrine.reply_tables import facet_lines, hits_table, summary, timings

__all__ = ["hits_table", "search", "summary", "timings"]


def search(
    words: Annotated[str, typer.Argument(help="What the shopper types.")] = "",
    image: Annotated[Path | None, typer.Option(help="Search by this picture (JPEG, PNG or WebP).")] = None,
    picture_weight: Annotated[
        float | None, typer.Option(help="With words and --image: the picture's share, 0 to 1; 0.5 if absent.")
    ] = None,
    joint: Annotated[
        bool, typer.Option("--joint", help="With words and --image: embed both together, as one product.")
    ] = False,
    like: Annotated[str, typer.Option(help="Search for products like the one with this id.")] = "",
    without: Annotated[str, typer.Option(help="Words that the products should not be about.")] = "",
    without_weight: Annotated[
        float | None, typer.Option(help="How much of their direction is taken away, 0 to 2; 0.5 if absent.")
    ] = None,
    filters: Filters = None,
    k: K = 10,
    minimum_score: Annotated[
        float | None, typer.Option("--min-score", help="Leave out hits with a lower score.")
    ] = None,
    per_style_group: Annotated[
        int, typer.Option("--collapse", help="Show at most so many products of one style; 0 shows all.")
    ] = 0,
    channels: Channels = "",
    facets: Annotated[str, typer.Option(help="Count the values of these fields: category,brand,...")] = "",
    page_token: Annotated[str, typer.Option(help="Show the page that the page before named.")] = "",
    explain: Annotated[
        bool, typer.Option(help="Show what scores are made of, modality weights and stage timings.")
    ] = False,
    json: Json = False,
    address: Address = "",
) -> None:
    """Searches by words, by picture, by both or by product."""
    texts = [("words", words), ("--like", like), ("--without", without), ("--page-token", page_token)]
    texts += [("--filter", text) for text in filters or ()] + [("--facets", facets)]
    refuse_unsendable({"-k": k, "--collapse": per_style_group}, texts)
    with RetrievalClient(address or LocalSettings().address) as client:
        reply = client.search(
            words,
            picture=picture(image),
            product_id=like,
            without=without,
            without_weight=without_weight,
            mixing=Mixing.JOINT if joint else Mixing.UNSPECIFIED,
            picture_weight=picture_weight,
            k=k,
            filters=[parse_filter(text) for text in filters or ()],
            fields=SHOWN,
            page_token=page_token,
            minimum_score=minimum_score,
            per_style_group=per_style_group,
            facets=names(facets),
            explain=explain,
            channels=channels_of(channels),
        ).raw
    if json:
        typer.echo(MessageToJson(reply, preserving_proto_field_name=True))
        return
    out = Console()
    out.print(hits_table(reply, explain))
    for line in (*facet_lines(reply), summary(reply), *([timings(reply)] if explain else [])):
        out.print(line, markup=False)
    if reply.keywords and explain:
        out.print(f"read beside the words: {', '.join(reply.keywords)}", markup=False)
    if reply.next_page_token:
        out.print(f"next page: --page-token {reply.next_page_token}", markup=False, soft_wrap=True)
