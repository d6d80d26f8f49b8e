"""Requests to checked queries; every refusal names the field, the value and the fix.

``search`` and ``similar`` read one message each; ``subjects``, ``filters``, ``options`` and ``bounds`` hold
what they share.
"""

from retrieval_gateway.api.requests.search import search_query
from retrieval_gateway.api.requests.similar import similar_query

__all__ = ["search_query", "similar_query"]
