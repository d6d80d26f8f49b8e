"""What serving needs of the towers: padding moves no vector, and pictures cost a query nothing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.measures.subject import Subject
from export.onnx_export import export_onnx, tower_graphs
from towers.checkpoint import Checkpoint

__all__ = ["LENGTHS", "latency", "padding"]

LENGTHS = (8, 16, 32, 64)
"""Tokens that the same text is padded to."""
_TEXTS = 16
_ROUNDS = 200

Run: TypeAlias = Callable[..., npt.NDArray[np.float32]]


def padding(subject: Subject) -> Findings:
    """The smallest cosine between a short text and the same text padded to 8, 16, 32 and 64 tokens.

    Returns:
        ``torch_query``, ``torch_product``, ``onnx_query`` and ``onnx_product``.
    """
    queries = [query.query for query in subject.shop.queries[:_TEXTS]]
    products = [text.split(".")[0] for text in subject.texts[:_TEXTS]]
    towers = subject.checkpoint.towers
    pixels = subject.pictures.pixels[:_TEXTS]
    there = subject.pictures.has_image[:_TEXTS]
    more = (pixels, np.ones((len(products), 1), dtype=np.bool_), there)
    findings: Findings = {}
    with tempfile.TemporaryDirectory(prefix="vitrine-experiments-") as folder:
        for graph, texts, extra in zip(
            tower_graphs(subject.checkpoint), (queries, products), ((), more), strict=True
        ):
            tokens = [ids[: LENGTHS[0]] for ids in towers.tokenizer.encode(texts, LENGTHS[0])]
            path = Path(folder) / f"{graph.name}.onnx"
            export_onnx(graph, path)
            short = graph.name.removesuffix("_tower")
            inputs = [extra[place][: len(tokens)] for place in range(len(extra))]
            findings[f"torch_{short}"] = _smallest_cosine(_torch(graph.module), tokens, inputs)
            findings[f"onnx_{short}"] = _smallest_cosine(_onnx(path, graph.inputs), tokens, inputs)
    return findings


def _smallest_cosine(
    run: Run, tokens: list[list[int]], more: Sequence[npt.NDArray[Any]]
) -> npt.NDArray[np.float64]:
    vectors = []
    for length in LENGTHS:
        ids = np.zeros((len(tokens), length), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, own in enumerate(tokens):
            ids[row, : len(own)], mask[row, : len(own)] = own, 1
        vectors.append(run(ids, mask, *more))
    return np.array(min(float((vectors[0] * other).sum(axis=1).min()) for other in vectors[1:]))


def _torch(tower: torch.nn.Module) -> Run:
    def run(*inputs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            found = tower(*(torch.from_numpy(one) for one in inputs))
        vectors: npt.NDArray[np.float32] = (found[0] if isinstance(found, tuple) else found).numpy()
        return vectors

    return run


def _onnx(path: Path, names: tuple[str, ...]) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(*inputs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        vectors: npt.NDArray[np.float32] = session.run(None, dict(zip(names, inputs, strict=True)))[0]
        return vectors

    return run


def latency(subject: Subject) -> Findings:
    """The query path (query tower, exact search) against that of the arm ``text_only``, in turns.

    Returns:
        ``log_ratio`` float[R]: of each round, the logarithm of the one's time over the other's;
        ``more_weights``: weights of the query tower beyond those of ``text_only``'s.
    """
    other = subject.sibling("text_only")
    tokens = torch.tensor([subject.checkpoint.towers.tokenizer.encode(["red striped mug"], 8)[0]])
    mask = torch.ones_like(tokens)
    vectors = subject.products.fused
    paths = (subject.checkpoint, other)
    times = np.empty((_ROUNDS, 2))
    for number in range(-20, _ROUNDS):  # the first ones warm up
        for place in (0, 1) if number % 2 else (1, 0):
            taken = _path_seconds(paths[place], tokens, mask, vectors)
            if number >= 0:
                times[number, place] = taken
    return {
        "log_ratio": np.log(times[:, 0] / times[:, 1]),
        "more_weights": np.array(_weights(paths[0]) - _weights(paths[1])),
    }


def _path_seconds(
    checkpoint: Checkpoint, ids: torch.Tensor, mask: torch.Tensor, vectors: npt.NDArray[np.float32]
) -> float:
    began = time.thread_time()
    with torch.inference_mode():
        query = checkpoint.towers.query(ids, mask).numpy()
    np.argpartition(-(query @ vectors.T), 10)
    return time.thread_time() - began


def _weights(checkpoint: Checkpoint) -> int:
    return sum(weight.numel() for weight in checkpoint.towers.query.parameters())
