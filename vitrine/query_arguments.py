"""What the searching commands share: files and texts of the command line, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from faults import InvalidInput, NotFound
from retrieval_gateway.client import Channel, ChannelOptions

__all__ = [
    "SHOWN",
    "Address",
    "Channels",
    "Filters",
    "Json",
    "K",
    "channels_of",
    "names",
    "picture",
    "refuse_unsendable",
]

SHOWN = ("title", "category", "color", "price")
"""Product fields of the tables."""

Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", help="color=Red|Blue, brand!=Luma, price=10..50 or in_stock=true; repeatable."),
]
Channels = Annotated[
    str, typer.Option(help="dense, lexical or dense,lexical; all that the query allows if empty.")
]
K = Annotated[int, typer.Option("-k", help="How many products.")]
Json = Annotated[bool, typer.Option("--json", help="Print the reply as JSON.")]
Address = Annotated[str, typer.Option(help="The gateway; VITRINE_HOST and VITRINE_PORT if empty.")]

_CHANNELS = {"dense": Channel.DENSE, "lexical": Channel.LEXICAL}


def refuse_unsendable(numbers: Mapping[str, int], texts: Sequence[tuple[str, str]]) -> None:
    """Refuses what no request can carry; everything else is the gateway's to refuse.

    Raises:
        InvalidInput: a count below 0 or beyond 32 bits, or a text that is not UTF-8.
    """
    for field, number in numbers.items():
        if not 0 <= number < 2**32:
            raise InvalidInput("is no number of products", field=field, value=number, fix="Give 1 or more.")
    for field, text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            fix = "Set the terminal's encoding to UTF-8."
            raise InvalidInput("is not UTF-8", field=field, value=text, fix=fix) from error


def picture(path: Path | None) -> bytes:
    """Returns a picture's file; nothing where none is named.

    Raises:
        NotFound: it cannot be read.
        InvalidInput: it is empty.
    """
    if path is None:
        return b""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFound(f"cannot be read: {error.strerror}", field="--image", value=str(path)) from error
    if not data:
        raise InvalidInput("the file is empty", field="--image", value=str(path))
    return data


def names(listed: str) -> list[str]:
    """Returns the names of a list that is separated by commas."""
    return [name.strip() for name in listed.split(",") if name.strip()]


def channels_of(listed: str) -> ChannelOptions | None:
    """Returns the channels of a list that is separated by commas; None where it is empty.

    Raises:
        InvalidInput: there is no such channel.
    """
    chosen = names(listed)
    for name in chosen:
        if name not in _CHANNELS:
            raise InvalidInput(
                "no such channel", field="--channels", value=name, fix=f"Use {', '.join(_CHANNELS)}."
            )
    return ChannelOptions(tuple(_CHANNELS[name] for name in chosen)) if chosen else None
