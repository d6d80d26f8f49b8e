"""Fusion networks: a product's words and pictures to one vector and the weight of each."""
