"""What the response cache costs and what it keeps: ``python -m benchmarks.cache WHAT`` (docs/cache.md)."""
