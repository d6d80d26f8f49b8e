"""``python -m benchmarks.filter_recall``: filters and depth against brute force; ``--overhead``: bare FAISS.

Prints the table, keeps it in ``results.json`` and writes it into docs/index.md.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.filter_recall import table
from benchmarks.filter_recall.collection import Collection, make_collection
from benchmarks.filter_recall.overhead import measure_overhead
from benchmarks.filter_recall.recall import measure
from benchmarks.gpu_check.result import read_json, write_json
from retrieval_gateway.index import IndexSpec, build_index

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = Path(__file__).with_name("results.json")
DOCUMENT = ROOT / "docs" / "index.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _options(given)
    collection = make_collection(options.vectors, options.dim, options.queries)
    facts = {
        "command": shlex.join(["python", "-m", "benchmarks.filter_recall", *given]),
        "date": datetime.now(UTC).date().isoformat(),
        "vectors": options.vectors,
        "dim": options.dim,
        "queries": options.queries,
    }
    result = {} if options.no_write else read_json(RESULTS)
    if options.overhead:
        found = {f"{options.vectors} x {options.dim}": {**facts, "rows": _overhead(collection)}}
        result["overhead"] = {**result.get("overhead", {}), **found}
    else:
        result["recall"] = {**facts, "rows": _recall(collection)}
    print(table.render(result))  # noqa: T201
    if not options.no_write:
        write_json(RESULTS, result)
        DOCUMENT.write_text(table.updated(DOCUMENT.read_text(encoding="utf-8"), result), encoding="utf-8")
    return 0


def _recall(collection: Collection) -> list[dict[str, Any]]:
    specs = (IndexSpec("flat"), IndexSpec.inverted(len(collection.vectors)))
    indexes = [build_index(collection.vectors, spec) for spec in specs]
    rows = []
    for row in measure(indexes, collection):
        values = asdict(row)
        rows.append({**values.pop("case"), **values})
    return rows


def _overhead(collection: Collection) -> list[dict[str, Any]]:
    index = build_index(collection.vectors, IndexSpec.inverted(len(collection.vectors)))
    return [asdict(row) for row in measure_overhead(index, collection)]


def _options(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.filter_recall", description=__doc__)
    add = parser.add_argument
    add("--vectors", type=int, default=100_000, help="of the made collection")
    add("--dim", type=int, default=64, help="numbers a vector")
    add("--queries", type=int, default=100, help="asked one at a time")
    add("--overhead", action="store_true", help="instead: CPU time over bare FAISS at equal recall")
    add("--no-write", action="store_true", help="print only")
    return parser.parse_args(given)


if __name__ == "__main__":
    raise SystemExit(main())
