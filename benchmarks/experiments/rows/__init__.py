"""The rows of papers.md, section 6: what each asks, claims and measures, stated before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.experiments.claims import Row
from benchmarks.experiments.rows import real, system_a, system_b, system_c, system_d

__all__ = ["REAL_ROWS", "ROWS"]

ROWS: Mapping[str, Row] = {
    row.id: row for row in (*system_a.ROWS, *system_b.ROWS, *system_c.ROWS, *system_d.ROWS)
}
"""By id, in the order of papers.md."""

REAL_ROWS: Mapping[str, Row] = {row.id: row for row in real.ROWS}
"""Those that a real catalogue can answer."""
