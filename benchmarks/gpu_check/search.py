"""The part ``search``: recall, speed, build time and memory of each index on one collection."""

from __future__ import annotations

import gc
import time
from functools import partial
from typing import Any

import torch

from benchmarks.gpu_check.ceilings import synchronise
from benchmarks.gpu_check.clock import (
    Call,
    Round,
    four_digits,
    interleaved,
    per_second,
    times_faster,
    wait_ms,
)
from benchmarks.gpu_check.indexes import Kind, Search, kinds
from benchmarks.gpu_check.parts import Recorder
from benchmarks.gpu_check.scale import Scale
from benchmarks.gpu_check.vectors import Collection, Rows, clustered, exact, true_scores
from evaluation.exact import recall_at_k

K = 100
"""What the gateway asks an index for, at least: it ranks these again."""

_SHARE_OF_MEMORY = 0.1
_BUILDING = 0.5
"""Share of the time that may go into building; the rest is for the clock."""


def measure(recorder: Recorder, dim: int, scale: Scale, device: str) -> None:
    """Fills in ``indexes`` (build, memory, recall by setting) and ``rows`` (speed by batch)."""
    torch.backends.cuda.matmul.allow_tf32 = False
    count = _affordable(scale.vectors, dim, device)
    collection = clustered(count, dim, scale.queries, device)
    k = min(K, count)
    truth = exact(collection.vectors, collection.queries, k)
    expected = truth[1].cpu().numpy(), truth[0].cpu().numpy()
    recorder.save(vectors=count, dim=dim, k=k, queries=scale.queries, indexes=[], rows=[])
    searches: dict[str, Search] = {}
    stop_building = recorder.left_s * (1 - _BUILDING)
    for kind in kinds(device, min(scale.lists, count // 8)):
        if recorder.left_s < stop_building:
            recorder.leave_out(kind.name, "the time for building was over")
            continue
        recorder.attempt(kind.name, _build, recorder, kind, collection, expected, searches)
    for batch in scale.search_batches:
        recorder.attempt(
            f"speed at batch {batch}", _speed, recorder, searches, collection, batch, scale, device
        )


def _affordable(wanted: int, dim: int, device: str) -> int:
    """Returns how many vectors take at most a tenth of the free memory: several indexes copy them."""
    if device != "cuda":
        return wanted
    free, _ = torch.cuda.mem_get_info()
    return int(min(wanted, free * _SHARE_OF_MEMORY / (4 * dim)))


def _build(
    recorder: Recorder,
    kind: Kind,
    collection: Collection,
    expected: tuple[Rows, Any],
    searches: dict[str, Search],
) -> None:
    gc.collect()
    before = _used_bytes()
    start = time.perf_counter()
    built = kind.build(collection)
    seconds = time.perf_counter() - start
    queries = collection.queries.cpu().numpy()
    for setting, search in built.settings.items():
        found = search(queries, expected[0].shape[1])
        entry = {
            "index": kind.name,
            "setting": setting,
            "build_s": four_digits(seconds),
            "gpu_mib": round((_used_bytes() - before) / 2**20),
            **_recalls(collection, found, expected),
        }
        recorder.section["indexes"].append(entry)
        searches[f"{kind.name} {setting}".strip()] = search


def _recalls(collection: Collection, found: Rows, expected: tuple[Rows, Any]) -> dict[str, float]:
    scores = true_scores(collection, found)
    rows, best = expected
    return {
        f"recall_at_{k}": four_digits(recall_at_k(found[:, :k], scores[:, :k], rows[:, :k], best[:, :k]))
        for k in sorted({min(10, rows.shape[1]), rows.shape[1]})
    }


def _used_bytes() -> int:
    """Memory of the GPU in use by anybody; FAISS allocates behind torch's back."""
    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info()
    return int(total - free)


def _speed(
    recorder: Recorder,
    searches: dict[str, Search],
    collection: Collection,
    batch: int,
    scale: Scale,
    device: str,
) -> None:
    queries = collection.queries[:batch].cpu().numpy()
    k = recorder.section["k"]
    calls: dict[str, Call] = {name: partial(search, queries, k) for name, search in searches.items()}
    turns = max(1, len(calls)) * scale.rounds * len(scale.search_batches)
    turn_s = min(4 * scale.most_turn_s, max(scale.least_turn_s, recorder.left_s / turns / 2))
    found, failures = interleaved(calls, lambda: synchronise(device), scale.rounds, turn_s)
    for name, why in failures.items():
        recorder.leave_out(f"{name} at batch {batch}", why)
    yardstick = found.get("exact, torch")
    recorder.section["rows"] += [_row(name, batch, rounds, yardstick) for name, rounds in found.items()]


def _row(name: str, batch: int, rounds: list[Round], yardstick: list[Round] | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "index": name,
        "batch": batch,
        "per_s": per_second(rounds, batch).as_list(),
        "p50_ms": four_digits(wait_ms(rounds, 50)),
        "p99_ms": four_digits(wait_ms(rounds, 99)),
    }
    if yardstick is not None:
        row["to_exact"] = times_faster(rounds, yardstick).as_list()
    return row
