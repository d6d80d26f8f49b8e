"""The gRPC service: a query comes in, products go out, best first.

One query's way, each step in a file of its own:

    api.retrieval_service   the RPC: raw bytes in, raw bytes out
    api.requests            bytes -> a checked query
    searcher                cached? else one of the next two, and a reply
    ranked_search           rungs of ``ranking.ladder`` -> hits, until the page is full
    similar_search          products like one product, in two sections
    asked_channels          dense and lexical, side by side, merged
    query_vectors           words, picture, product -> vector, through ``encoding`` and Triton
    finding                 vector or words (+ filters) -> rows, by ``index`` and ``channels``
    ranking                 pure steps: bounds, styles, facets, relevance control, sections
    api.replies             hits -> packed reply

Beside it, each the one owner of what can change: ``release_follower`` (which release
serves), ``triton_keeper`` (which models Triton has loaded, and whether they answer),
``cache`` (answers and flights). Serving needs no torch.
"""
