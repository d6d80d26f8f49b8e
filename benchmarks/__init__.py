"""Measurements that need more than a test: each writes its result with the command that made it."""
