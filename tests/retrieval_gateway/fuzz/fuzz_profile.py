"""How long the fuzz tests run: a few seconds and always the same examples, or longer and new ones.

VITRINE_FUZZ_EXAMPLES=100000 .venv/bin/python -m pytest tests/retrieval_gateway/fuzz --timeout 0
"""

import os

from hypothesis import HealthCheck, settings

_EXAMPLES = os.environ.get("VITRINE_FUZZ_EXAMPLES")

fuzzed = settings(
    max_examples=int(_EXAMPLES or 120),
    derandomize=_EXAMPLES is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
