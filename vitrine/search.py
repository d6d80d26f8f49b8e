"""``vitrine search``: asks the gateway and shows the hits as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToJson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from faults import InvalidInput, NotFound
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client import RetrievalClient
from vitrine.filters import parse_filter
from vitrine.local import LocalSettings

_SHOWN = ("title", "category", "color", "price")


def search(
    words: Annotated[str, typer.Argument(help="What the shopper types.")] = "",
    image: Annotated[Path | None, typer.Option(help="Search by this picture (JPEG, PNG or WebP).")] = None,
    like: Annotated[str, typer.Option(help="Search for products like the one with this id.")] = "",
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", help="color=Red|Blue, brand!=Luma, price=10..50 or in_stock=true; repeatable."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many products.")] = 10,
    explain: Annotated[bool, typer.Option(help="Show modality weights and stage timings.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the reply as JSON.")] = False,
    address: Annotated[str, typer.Option(help="The gateway; VITRINE_HOST and VITRINE_PORT if empty.")] = "",
) -> None:
    """Searches by words, by picture or by product."""
    _refuse_unsendable(
        k, [("words", words), ("--like", like), *(("--filter", text) for text in filters or ())]
    )
    with RetrievalClient(address or LocalSettings().address) as client:
        reply = client.search(
            words,
            picture=_picture(image),
            product_id=like,
            k=k,
            filters=[parse_filter(text) for text in filters or ()],
            fields=_SHOWN,
        )
    if json:
        typer.echo(MessageToJson(reply, preserving_proto_field_name=True))
        return
    out = Console()
    out.print(hits_table(reply, explain))
    out.print(summary(reply))
    if explain:
        out.print(timings(reply))


def _refuse_unsendable(k: int, texts: Sequence[tuple[str, str]]) -> None:
    """Refuses what no request can carry; everything else is the gateway's to refuse."""
    if not 0 <= k < 2**32:
        raise InvalidInput("is no number of products", field="-k", value=k, fix="Give 1 or more.")
    for field, text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            fix = "Set the terminal's encoding to UTF-8."
            raise InvalidInput("is not UTF-8", field=field, value=text, fix=fix) from error


def _picture(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFound(f"cannot be read: {error.strerror}", field="--image", value=str(path)) from error
    if not data:
        raise InvalidInput("the file is empty", field="--image", value=str(path))
    return data


def hits_table(reply: pb.SearchResponse, explain: bool = False) -> Table:
    """Returns the hits, best first, as a table."""
    columns = {column.field: _values(column) for column in reply.columns}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("score", "product", *columns, *(("text", "image") if explain else ())):
        table.add_column(
            heading, overflow="fold", justify="right" if heading in ("score", "price") else "left"
        )
    for place, product_id in enumerate(reply.product_ids):
        weights = (f"{reply.text_weights[place]:.2f}", f"{reply.image_weights[place]:.2f}") if explain else ()
        # As Text: brackets in a plain string would be markup.
        cells = (Text(values[place]) for values in columns.values())
        table.add_row(f"{reply.scores[place]:.3f}", Text(product_id), *cells, *weights)
    return table


def _values(column: pb.Column) -> list[str]:
    values = (
        list(column.texts) or [f"{number:g}" for number in column.numbers] or [str(f) for f in column.flags]
    )
    present = list(column.present) or [True] * len(values)
    return [value if there else "" for value, there in zip(values, present, strict=True)]


def summary(reply: pb.SearchResponse) -> str:
    """Returns one line: how many hits, from which release, from where and how fast."""
    source = pb.CacheSource.Name(reply.cache_source).removeprefix("CACHE_SOURCE_").lower().replace("_", " ")
    less = ", ".join(
        pb.Degradation.Name(reason).removeprefix("DEGRADATION_").lower() for reason in reply.degradations
    )
    text = f"{len(reply.product_ids)} products from release {reply.release_id}, {source}, "
    return text + f"{reply.timings.total_us / 1000:.2f} ms" + (f", {less}" if less else "")


def timings(reply: pb.SearchResponse) -> str:
    """Returns the stages of the search and their milliseconds."""
    stages = ((field.name.removesuffix("_us"), value) for field, value in reply.timings.ListFields())
    return "  ".join(f"{name} {value / 1000:.2f} ms" for name, value in stages)
