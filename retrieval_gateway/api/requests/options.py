"""What a search asks for beside its subject: fields, facets, channels, relevance control."""

from __future__ import annotations

import math
from collections.abc import Sequence

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.requests.bounds import at_most
from retrieval_gateway.api.requests.numbers import within
from retrieval_gateway.channels.types import ChannelName
from retrieval_gateway.index.product_fields import FIELDS
from retrieval_gateway.query import ChannelChoice, MergeMethod, RelevanceControl
from retrieval_gateway.ranking.facets import FACET_FIELDS

__all__ = ["checked_channels", "checked_facets", "checked_fields", "checked_minimum", "checked_relevance"]

_CHANNELS: dict[int, ChannelName] = {pb.CHANNEL_DENSE: "dense", pb.CHANNEL_LEXICAL: "lexical"}
_MERGING: dict[int, MergeMethod | None] = {
    pb.MERGING_UNSPECIFIED: None,
    pb.MERGING_RECIPROCAL_RANK: "reciprocal_rank",
    pb.MERGING_WEIGHTED_SCORES: "weighted_scores",
}
_MOST_CHANNELS = 8
_MOST_NAMES = 64


def checked_fields(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the product fields to send back, each once, in the order of the request."""
    return _known(names, FIELDS, "fields", "unknown product field")


def checked_facets(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the fields whose values are counted, each once, in the order of the request."""
    return _known(names, FACET_FIELDS, "facets", "values of this field are not counted")


def checked_minimum(request: pb.SearchRequest) -> float | None:
    """Returns the least score of a hit; None for no bound."""
    return within(request, "minimum_score", -math.inf, math.inf, "minimum_score")


def checked_channels(request: pb.SearchRequest, text: str, k: int) -> ChannelChoice:
    """Returns which channels to ask, and how to merge them.

    Args:
        request: as it came.
        text: the query's words; the lexical channel needs some.
        k: how many products are wanted; quotas share them.

    Raises:
        InvalidInput: an unknown channel, one that the query does not allow, or weights that weigh nothing.
    """
    if not request.HasField("channels"):
        return ChannelChoice()
    given = request.channels
    choice = ChannelChoice(
        names=_channel_names(given, text),
        method=_method(given),
        dense_weight=within(given, "dense_weight", 0.0, math.inf, "channels.dense_weight"),
        lexical_weight=within(given, "lexical_weight", 0.0, math.inf, "channels.lexical_weight"),
        dense_quota=given.dense_quota,
        lexical_quota=given.lexical_quota,
    )
    if choice.dense_weight == 0 and choice.lexical_weight == 0:
        raise InvalidInput(
            "both weights are 0", field="channels", value=(0.0, 0.0), fix="Give one of them a weight."
        )
    if choice.dense_quota + choice.lexical_quota > k:
        raise InvalidInput(
            f"quotas are for more places than the {k} asked for",
            field="channels",
            value=(choice.dense_quota, choice.lexical_quota),
            fix="Give quotas whose sum is at most k.",
        )
    return choice


def checked_relevance(request: pb.SearchRequest, text: str) -> RelevanceControl:
    """Returns what relevance control leaves out.

    Raises:
        InvalidInput: control by words of a query that has none.
    """
    if not request.HasField("relevance_control"):
        return RelevanceControl()
    given = request.relevance_control
    if given.keywords and not text:
        raise InvalidInput(
            "a query without words has no decisive ones",
            field="relevance_control.keywords",
            value=True,
            fix="Give query.text, or control by category alone.",
        )
    return RelevanceControl(given.category, given.keywords)


def _channel_names(given: pb.ChannelOptions, text: str) -> tuple[ChannelName, ...]:
    at_most(_MOST_CHANNELS, len(given.channels), "channels", "channels.channels")
    for place, number in enumerate(given.channels):
        where = f"channels.channels[{place}]"
        if number not in _CHANNELS:
            raise InvalidInput(
                "unknown channel", field=where, value=number, fix="Use CHANNEL_DENSE or CHANNEL_LEXICAL."
            )
        if _CHANNELS[number] == "lexical" and not text:
            raise InvalidInput(
                "full text searches for words, and the query has none",
                field=where,
                value="CHANNEL_LEXICAL",
                fix="Give query.text, or ask the dense channel alone.",
            )
    return tuple(sorted({_CHANNELS[number] for number in given.channels}))


def _method(given: pb.ChannelOptions) -> MergeMethod | None:
    if given.merging not in _MERGING:
        raise InvalidInput(
            "unknown way of merging",
            field="channels.merging",
            value=given.merging,
            fix="Use MERGING_RECIPROCAL_RANK or MERGING_WEIGHTED_SCORES.",
        )
    return _MERGING[given.merging]


def _known(names: Sequence[str], known: Sequence[str], field: str, problem: str) -> tuple[str, ...]:
    at_most(_MOST_NAMES, len(names), "names", field)
    for place, name in enumerate(names):
        if name not in known:
            raise InvalidInput(problem, field=f"{field}[{place}]", value=name, fix=f"Use {', '.join(known)}.")
    return tuple(dict.fromkeys(names))
