"""Answers to packed replies.

A reply is two serialised messages put end to end: the body, which is the same for every asker and is what
the cache holds, and the trailer with this request's own timings. Protobuf defines that parsing such a
concatenation merges the two.
"""

from retrieval_gateway.api.replies.batch import batch_error, batch_item
from retrieval_gateway.api.replies.search import search_body
from retrieval_gateway.api.replies.similar import similar_body
from retrieval_gateway.api.replies.trailer import trailer

__all__ = ["batch_error", "batch_item", "search_body", "similar_body", "trailer"]
