"""The measures by name, and a version of each that follows from its source.

Findings are kept on disk. A measure that changes is taken again by itself: the name of its file carries a
hash of the module it stands in, and of the modules that all measures stand on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from hashlib import sha256

from benchmarks.experiments import shop
from benchmarks.experiments.measures import (
    channels,
    composed,
    corpus,
    damage,
    devices,
    engines,
    findings,
    pairs,
    ranking,
    retrieval,
    same_style,
    subject,
    words,
)

__all__ = ["AFTER_TRAINING", "MEASURES", "file_name"]

Measure = Callable[[subject.Subject], findings.Findings]

MEASURES: Mapping[str, Measure] = {
    "retrieval": retrieval.retrieval,
    "by_product": retrieval.by_product,
    "weights": retrieval.weights,
    "damaged": damage.damaged,
    "missing": damage.missing,
    "typos": words.typos,
    "at_home": words.at_home,
    "growth": corpus.growth,
    "order_of_views": corpus.order_of_views,
    "channels": channels.channels,
    "filtered": channels.filtered,
    "padding": engines.padding,
    "latency": engines.latency,
    "gathered": devices.gathered,
    "cells": same_style.cells,
    "duplicates": same_style.duplicates,
    "tabs": same_style.tabs,
    "compose": composed.compose,
    "transfer": composed.transfer,
    "pairs": pairs.pair_precision,
}

AFTER_TRAINING = "patches"
"""Taken when a training ends, while its heads are there; see ``pairs.identified_patches``."""


def file_name(measure: str) -> str:
    """Returns the name of the file that holds a measure's findings."""
    return f"{measure}-{_VERSIONS[measure]}.npz"


def _version(measure: str) -> str:
    module = pairs if measure == AFTER_TRAINING else inspect.getmodule(MEASURES[measure])
    whole = sha256()
    for one in (shop, subject, ranking, module):
        if one is not None:
            whole.update(inspect.getsource(one).encode())
    return whole.hexdigest()[:8]


_VERSIONS = {measure: _version(measure) for measure in (*MEASURES, AFTER_TRAINING)}
"""Taken once: the files may be edited while a long run goes on with the code that it began with."""
