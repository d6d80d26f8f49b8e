"""``vitrine similar``: products like one product, in two sections."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToJson
from rich.console import Console

from retrieval_gateway.client import RetrievalClient, SimilarRequest, SupplierScope, View
from vitrine.filters import parse_filter
from vitrine.local import LocalSettings
from vitrine.query_arguments import SHOWN, Address, Filters, Json, K, picture, refuse_unsendable
from vitrine.reply_tables import section_table, similar_summary

__all__ = ["similar"]


class By(StrEnum):
    """By what products are compared."""

    ALL = "all"
    TEXT = "text"
    IMAGE = "image"


class Suppliers(StrEnum):
    """Whose products are shown."""

    ALL = "all"
    OTHERS = "others"
    OWN = "own"


_VIEWS = {By.ALL: View.UNSPECIFIED, By.TEXT: View.TEXT, By.IMAGE: View.IMAGE}
_SCOPES = {
    Suppliers.ALL: SupplierScope.UNSPECIFIED,
    Suppliers.OTHERS: SupplierScope.OTHERS,
    Suppliers.OWN: SupplierScope.OWN,
}


def similar(
    product: Annotated[str, typer.Argument(help="Id of a product of the release.")] = "",
    title: Annotated[str, typer.Option(help="Instead: the title of a product.")] = "",
    image: Annotated[Path | None, typer.Option(help="Instead: its picture (JPEG, PNG or WebP).")] = None,
    by: Annotated[By, typer.Option(help="Compare texts, pictures, or all there is.")] = By.ALL,
    suppliers: Annotated[
        Suppliers, typer.Option(help="All, all but the product's own, or only those (double listings).")
    ] = Suppliers.ALL,
    filters: Filters = None,
    k: K = 10,
    json: Json = False,
    address: Address = "",
) -> None:
    """Finds products like one product: the same style, and similar."""
    texts = [("product", product), ("--title", title), *(("--filter", text) for text in filters or ())]
    refuse_unsendable({"-k": k}, texts)
    request = SimilarRequest(
        product_id=product,
        text=title,
        picture=picture(image),
        view=_VIEWS[by],
        k=k,
        filters=[parse_filter(text) for text in filters or ()],
        fields=SHOWN,
        suppliers=_SCOPES[suppliers],
    )
    with RetrievalClient(address or LocalSettings().address) as client:
        reply = client.search_similar(request).raw
    if json:
        typer.echo(MessageToJson(reply, preserving_proto_field_name=True))
        return
    out = Console()
    for heading, section in (("the same style", reply.same_style), ("similar", reply.similar)):
        if section.product_ids:
            out.print(f"[bold]{heading}[/]")
            out.print(section_table(section))
    out.print(similar_summary(reply), markup=False)
