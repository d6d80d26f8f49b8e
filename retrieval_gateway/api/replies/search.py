"""A search's answer to the body of its reply."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrieval_gateway.answer import SearchAnswer
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.replies.columns import columns, modality_weights
from retrieval_gateway.api.replies.degradations import numbers_of
from retrieval_gateway.channels.types import Merged
from retrieval_gateway.index.product_table import ProductTable

__all__ = ["search_body"]


def search_body(release_id: str, table: ProductTable, answer: SearchAnswer, fields: Sequence[str]) -> bytes:
    """Serialises the part of a reply that is the same for every asker.

    Args:
        release_id: the release that answered.
        table: its products.
        answer: what was found.
        fields: product fields to return.
    """
    hits = answer.hits
    text_weights, image_weights = modality_weights(table, hits.rows)
    reply = pb.SearchResponse(
        product_ids=table.ids(hits.rows),
        scores=hits.scores.tolist(),
        text_weights=text_weights,
        image_weights=image_weights,
        channels=np.where(hits.dense, pb.CHANNEL_DENSE, pb.CHANNEL_LEXICAL).tolist(),
        columns=columns(table, hits.rows, fields),
        release_id=release_id,
        degradations=numbers_of(answer.degradations),
        next_page_token=answer.next_page_token,
        facets=[
            pb.Facet(
                field=facet.field,
                values=facet.values,
                counts=facet.counts,
                missing=facet.missing,
                of=facet.of,
            )
            for facet in answer.facets
        ],
        only_channel=hits.only.tolist() if answer.several else (),
        keywords=answer.keywords,
        removals=[pb.Removal(reason=reason, products=count) for reason, count in answer.removed.items()],
    )
    if answer.matched_words is not None:
        reply.explanations.extend(_explanations(hits, answer.matched_words))
    return reply.SerializeToString()


def _explanations(hits: Merged, matched_words: Sequence[Sequence[str]]) -> list[pb.Explanation]:
    parts = zip(
        hits.dense_rank.tolist(),
        hits.dense_score.tolist(),
        hits.lexical_rank.tolist(),
        hits.lexical_score.tolist(),
        matched_words,
        strict=True,
    )
    return [
        pb.Explanation(
            dense_rank=dense_rank,
            dense_score=dense_score,
            lexical_rank=lexical_rank,
            lexical_score=lexical_score,
            matched_words=words,
        )
        for dense_rank, dense_score, lexical_rank, lexical_score, words in parts
    ]
