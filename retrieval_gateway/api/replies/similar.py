"""Similar products to the body of their reply."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval_gateway.answer import SimilarAnswer
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.replies.columns import columns, modality_weights
from retrieval_gateway.api.replies.degradations import numbers_of
from retrieval_gateway.channels.types import Ranking
from retrieval_gateway.index.product_table import ProductTable

__all__ = ["similar_body"]


def similar_body(release_id: str, table: ProductTable, answer: SimilarAnswer, fields: Sequence[str]) -> bytes:
    """Serialises the part of a reply that is the same for every asker; see ``search_body``."""
    return pb.SearchSimilarResponse(
        same_style=_section(table, answer.sections.same_style, fields),
        similar=_section(table, answer.sections.similar, fields),
        same_style_threshold=answer.threshold,
        release_id=release_id,
        degradations=numbers_of(answer.degradations),
    ).SerializeToString()


def _section(table: ProductTable, ranking: Ranking, fields: Sequence[str]) -> pb.Section:
    text_weights, image_weights = modality_weights(table, ranking.rows)
    return pb.Section(
        product_ids=table.ids(ranking.rows),
        scores=ranking.scores.tolist(),
        text_weights=text_weights,
        image_weights=image_weights,
        columns=columns(table, ranking.rows, fields),
    )
