"""The gRPC service: a query comes in, products go out, best first.

One query's way, each step in a file of its own:

    api.service     the RPC: raw bytes in, raw bytes out
    api.requests    bytes -> a checked SearchQuery
    searcher        cache? -> encode -> search -> reply
    encoding        words or picture -> vector, through Triton
    index           vector (+ filters) -> neighbours
    api.replies     neighbours -> packed reply

Beside it, each the one owner of what can change: ``release_follower`` (which release
serves), ``triton_keeper`` (which models Triton has loaded, and whether they answer),
``cache`` (answers and flights). Serving needs no torch.
"""
