"""Measured against asked: a report that goes into the release, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faults import GateFailed
from releases.manifest import GateReport

_NAMED_INPUTS = 5


def missed(measured: Mapping[str, float], thresholds: Mapping[str, float]) -> list[str]:
    """Returns the names of the measures that miss their threshold.

    A name that begins with ``largest_`` is an upper bound, any other a lower one. NaN misses both.
    """
    return [
        name
        for name, asked in thresholds.items()
        if not (measured[name] <= asked if name.startswith("largest_") else measured[name] >= asked)
    ]


def verdict(
    name: str, measured: Mapping[str, float], thresholds: Mapping[str, float], offenders: Sequence[str]
) -> GateReport:
    """Returns the passed gate's report.

    Args:
        name: of the gate.
        measured: all that was measured.
        thresholds: what is asked of some of it, under the same names.
        offenders: the inputs that are furthest off, the worst first; named in a refusal.

    Raises:
        GateFailed: a threshold is missed.
    """
    failed = missed(measured, thresholds)
    if failed:
        numbers = ", ".join(f"{key} {measured[key]:.6g} (asked {thresholds[key]:.6g})" for key in failed)
        raise GateFailed(
            f"not good enough to be published: {numbers}",
            field=name,
            value=list(dict.fromkeys(offenders))[:_NAMED_INPUTS],
            fix="Nothing was published. The named inputs are the worst; thresholds are VITRINE_GATE_*.",
        )
    return GateReport(name=name, passed=True, measured=dict(measured), thresholds=dict(thresholds))
