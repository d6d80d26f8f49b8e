"""Catalogue -> product tower (through Triton) -> index -> gated release. Offline work."""
