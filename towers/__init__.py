"""PyTorch: the query tower, the product tower, and how they are trained.

A query's words and a product's title and picture meet in one space: two towers
map them to unit vectors whose inner product is the relevance. Only ``export``
takes what this package makes; nothing that serves imports it (or torch).
"""
