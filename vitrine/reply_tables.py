"""Replies of the gateway as tables and lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb

__all__ = ["facet_lines", "hits_table", "section_table", "similar_summary", "summary", "timings"]


def hits_table(reply: pb.SearchResponse, explain: bool = False) -> Table:
    """Returns the hits, best first, as a table; with ``explain``, what each is made of."""
    return _table(reply, _why(reply) if explain else {})


def section_table(section: pb.Section) -> Table:
    """Returns one section of similar products, best first, as a table."""
    return _table(section, {})


def facet_lines(reply: pb.SearchResponse, most: int = 8) -> Iterator[str]:
    """Yields a line a facet: its most frequent values, and over how many products they were counted."""
    for facet in reply.facets:
        counted = [f"{value} {count}" for value, count in zip(facet.values, facet.counts, strict=True)]
        shown = [*counted[:most], *(["…"] if len(counted) > most else [])]
        missing = [f"none {facet.missing}"] if facet.missing else []
        yield f"{facet.field} of {facet.of}: {', '.join([*shown, *missing])}"


def summary(reply: pb.SearchResponse) -> str:
    """Returns one line: how many hits, from which release, from where and how fast."""
    text = f"{len(reply.product_ids)} products from release {reply.release_id}, {_source_and_time(reply)}"
    removed = [f"{one.products} left out by {one.reason}" for one in reply.removals if one.products]
    return ", ".join([text, *removed])


def similar_summary(reply: pb.SearchSimilarResponse) -> str:
    """Returns one line about both sections, and where they part."""
    counts = (
        f"{len(reply.same_style.product_ids)} of the same style, {len(reply.similar.product_ids)} similar"
    )
    calibrated = reply.HasField("same_style_threshold")
    parted = f"parted at {reply.same_style_threshold:.3f}" if calibrated else "not calibrated"
    return f"{counts} ({parted}) from release {reply.release_id}, {_source_and_time(reply)}"


def timings(reply: pb.SearchResponse | pb.SearchSimilarResponse) -> str:
    """Returns the stages of the search and their milliseconds."""
    stages = ((field.name.removesuffix("_us"), value) for field, value in reply.timings.ListFields())
    return "  ".join(f"{name} {value / 1000:.2f} ms" for name, value in stages)


def _table(hits: pb.SearchResponse | pb.Section, more: dict[str, list[str]]) -> Table:
    columns = {column.field: _values(column) for column in hits.columns} | more
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("score", "product", *columns):
        right = heading in ("score", "price")
        table.add_column(heading, overflow="fold", justify="right" if right else "left")
    for place, product_id in enumerate(hits.product_ids):
        # As Text: brackets in a plain string would be markup.
        cells = (Text(values[place]) for values in columns.values())
        table.add_row(f"{hits.scores[place]:.3f}", Text(product_id), *cells)
    return table


def _values(column: pb.Column) -> list[str]:
    values = (
        list(column.texts) or [f"{number:g}" for number in column.numbers] or [str(f) for f in column.flags]
    )
    present = list(column.present) or [True] * len(values)
    return [value if there else "" for value, there in zip(values, present, strict=True)]


def _why(reply: pb.SearchResponse) -> dict[str, list[str]]:
    """The modality weights, and where explanations came, each channel's rank and the words in the text."""
    columns = {
        "text": [f"{weight:.2f}" for weight in reply.text_weights],
        "image": [f"{weight:.2f}" for weight in reply.image_weights],
    }
    if reply.explanations:
        columns["dense"] = _ranks([one.dense_rank for one in reply.explanations])
        columns["lexical"] = _ranks([one.lexical_rank for one in reply.explanations])
        columns["words"] = [" ".join(one.matched_words) for one in reply.explanations]
    return columns


def _ranks(ranks: Sequence[int]) -> list[str]:
    return [f"#{rank}" if rank else "" for rank in ranks]


def _source_and_time(reply: pb.SearchResponse | pb.SearchSimilarResponse) -> str:
    source = pb.CacheSource.Name(reply.cache_source).removeprefix("CACHE_SOURCE_").lower().replace("_", " ")
    less = [pb.Degradation.Name(reason).removeprefix("DEGRADATION_").lower() for reason in reply.degradations]
    return ", ".join([source, f"{reply.timings.total_us / 1000:.2f} ms", *less])
