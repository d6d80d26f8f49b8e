"""Measures of retrieval quality, written once.

Gates, experiments and ``vitrine evaluate`` all call these functions, so that a number
in a gate report and a number in a README mean the same thing. This package imports
nothing of ours but ``faults``.
"""

from evaluation.cosine import CosineTails, cosine_tails
from evaluation.exact import exact_search, recall_at_k
from evaluation.measures import Report, Scores, evaluate_run

__all__ = [
    "CosineTails",
    "Report",
    "Scores",
    "cosine_tails",
    "evaluate_run",
    "exact_search",
    "recall_at_k",
]
