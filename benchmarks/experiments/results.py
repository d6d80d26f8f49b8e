"""The raw numbers behind the tables, and the facts that they mean nothing without."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.experiments.arm_list import ARMS, arms_named
from benchmarks.experiments.claims import Outcome, Row, verdict_of
from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.store import CPU_S, Store
from faults import VitrineError

__all__ = ["Run", "facts_of", "raw_results"]

_ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Run:
    """What is reported.

    Attributes:
        seeds: how many.
        rows: in their order.
        outcomes: of each row's claims.
        quick: a check of the program, whose figures mean nothing.
    """

    seeds: int
    rows: tuple[Row, ...]
    outcomes: Mapping[str, Sequence[Outcome]]
    quick: bool


def raw_results(run: Run, facts: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """What goes into results.json."""
    return {
        **facts,
        "quick": run.quick,
        "findings": _findings(run, store),
        "rows": {
            row.id: {
                "question": row.question,
                "note": row.note,
                "tried": row.tried,
                "verdict": str(verdict_of(run.outcomes[row.id])),
                "claims": [_raw_claim(outcome) for outcome in run.outcomes[row.id]],
            }
            for row in run.rows
        },
    }


def _findings(run: Run, store: Store) -> dict[str, Any]:
    """By arm and measure: for every seed the mean of each array over its units, the last axis."""
    means: dict[str, Any] = {}
    for arm, measure in sorted({need for row in run.rows for claim in row.claims for need in claim.needs}):
        seeds = [_found(store, arm, measure, seed) for seed in range(run.seeds)]
        kept = [{name: _means(values) for name, values in one.items() if _is_figure(values)} for one in seeds]
        means.setdefault(arm, {})[measure] = kept
    return means


def _found(store: Store, arm: str, measure: str, seed: int) -> Findings:
    try:
        return store.findings(ARMS[arm], seed, measure) or {}
    except VitrineError:
        return {}


def _is_figure(values: npt.NDArray[Any]) -> bool:
    """Not rows of products, and not a whole table of what fits what."""
    return values.ndim == 0 or values.dtype.kind == "f" or (values.dtype.kind == "b" and values.ndim == 1)


def _means(values: npt.NDArray[Any]) -> Any:
    """Means over what is there; None where nothing is, since JSON has no NaN."""
    if values.ndim > 1:
        return [_means(part) for part in values]
    there = np.atleast_1d(values)[np.isfinite(np.atleast_1d(values))]
    return float(f"{there.mean():.5g}") if len(there) else None


def _raw_claim(outcome: Outcome) -> dict[str, Any]:
    interval = None if outcome.interval is None else asdict(outcome.interval)
    shown = {name: value if value == value else None for name, value in outcome.shown.items()}
    return {
        "says": outcome.claim.says,
        "criterion": outcome.claim.criterion.says,
        "verdict": str(outcome.verdict),
        "reason": outcome.reason,
        "interval": interval,
        "shown": shown,
        "seeds": [float(value) for value in outcome.by_seed],
    }


def facts_of(run: Run, store: Store) -> dict[str, Any]:
    """The machine, the commit, the sizes, and what each arm cost."""
    names = {arm for row in run.rows for claim in row.claims for arm, _ in claim.needs}
    trained, codes, total = [], set(), 0.0
    for arm in arms_named(names):
        times = [one for one in (_training(store, arm.name, seed) for seed in range(run.seeds)) if one]
        if times:
            seconds = sum(one.cpu_s for one in times)
            total += seconds
            codes |= {one.code for one in times}
            trained.append(
                {
                    "name": arm.name,
                    "says": arm.says,
                    "parameters": times[0].parameters,
                    "cpu_s": round(seconds / len(times)),
                    "seeds": len(times),
                }
            )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu": _cpu(),
        "seeds": run.seeds,
        "catalogue": Path(store.scale.catalogue).parent.name if store.scale.catalogue else "",
        "train_products": store.scale.train_products,
        "test_products": store.scale.test_products,
        "arms": len(trained),
        "cpu_minutes": round(total / 60),
        "measuring_minutes": round(_measuring_s(run, store) / 60),
        "towers_code": sorted(codes),
        "trained": trained,
    }


def _measuring_s(run: Run, store: Store) -> float:
    needs = {need for row in run.rows for claim in row.claims for need in claim.needs}
    found = [_found(store, *need, seed) for need in needs for seed in range(run.seeds)]
    return sum(float(one[CPU_S]) for one in found if CPU_S in one)


def _training(store: Store, arm: str, seed: int) -> Any:
    try:
        return store.training(ARMS[arm], seed)
    except VitrineError:
        return None


def _commit() -> str:
    """The commit, with ``+`` where the tree differs from it."""
    asked = ["git", "-C", str(_ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()
