"""Triton's Python-backend runner for both towers: ONNX Runtime on the CPU.

Triton hands over all requests of a dynamic batch at once. They are checked one by one, the good ones
joined and run once per length group, and every request gets its own answer: a bad one an error that
names its tensor, its neighbours their vectors.

Two things here keep the server alive, both learnt the hard way: every error is a *fresh* TritonError
(one object in two responses crashes tritonserver 2.51), and the environment has numpy < 2 (with numpy 2
every output has 0 bytes and status OK).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tower_rows import (
    Arrays,
    BadRequestError,
    Limits,
    Rows,
    checked_lengths,
    group_inputs,
    joined,
    length_groups,
    scattered,
)

Run = Callable[[Arrays], Sequence[npt.NDArray[np.generic]]]
"""One execution of the network: inputs by name to outputs in the configuration's order."""
Answer = Sequence[npt.NDArray[np.generic]] | str
"""The outputs of one request, or what is wrong with it."""


class TritonPythonModel:
    """The class that Triton looks for: one object per model instance, called from one thread."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Opens ``model.onnx`` of this version and runs it once, so that no shopper pays for the first run.

        Args:
            args: Triton's: model_config (JSON), model_repository (the model's folder), model_version.
        """
        config = json.loads(args["model_config"])
        parameters = {name: entry["string_value"] for name, entry in config.get("parameters", {}).items()}
        folder = Path(args["model_repository"]) / args["model_version"]
        session = open_session(folder / "model.onnx", int(parameters.get("intra_op_threads", "1")))
        # What belongs to a version is read from its file: versions of two releases share the config.
        facts = session.get_modelmeta().custom_metadata_map
        self._limits = Limits(int(facts["vocabulary_size"]), int(facts["max_tokens"]))
        self._most_groups = int(parameters.get("length_groups", "3"))
        self._inputs = [entry["name"] for entry in config["input"]]
        self._outputs = [entry["name"] for entry in config["output"]]
        self._run: Run = lambda arrays: session.run(self._outputs, arrays)
        self._run(warm_up_inputs(session.get_inputs()))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers every request of one dynamic batch, in order."""
        pb: Any = import_module("triton_python_backend_utils")  # exists in Triton's stub alone

        inputs = [
            {name: pb.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
            for request in requests
        ]
        answers = answer_all(inputs, self._run, self._limits, self._most_groups)
        return [self._response(pb, answer) for answer in answers]

    def _response(self, pb: Any, answer: Answer) -> Any:
        if isinstance(answer, str):
            return pb.InferenceResponse(output_tensors=[], error=pb.TritonError(answer))
        pairs = zip(self._outputs, answer, strict=True)
        return pb.InferenceResponse([pb.Tensor(name, np.ascontiguousarray(array)) for name, array in pairs])


def open_session(path: Path, threads: int) -> Any:
    """Opens an ONNX file for the CPU.

    Two things are set against the defaults: ``threads`` (one unless configured, as Triton's instances
    share the cores) and no spinning, which made two threads slower than one on shared cores.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def warm_up_inputs(declared: Sequence[Any]) -> Arrays:
    """Returns one valid row for the inputs that an ONNX Runtime session declares: ones, free lengths of 2."""
    kinds = {"tensor(int64)": np.int64, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_}
    row: Arrays = {}
    for entry in declared:
        sizes = [size if isinstance(size, int) else 2 for size in entry.shape[1:]]
        row[entry.name] = np.ones((1, *sizes), kinds[entry.type])
    return row


def answer_all(requests: Sequence[Arrays], run: Run, limits: Limits, most_groups: int) -> list[Answer]:
    """Answers requests together; each that is bad fails alone.

    Should the joined run fail although every request passed the checks, each is run alone, so that only
    the one which causes it fails.

    Args:
        requests: tensors by name, each [rows, ...].
        run: one execution of the network.
        limits: of the model.
        most_groups: most executions for one batch.

    Returns:
        For every request its outputs, each [rows, ...], or an error message.
    """
    answers: list[Answer] = [""] * len(requests)
    good = []
    for number, request in enumerate(requests):
        try:
            good.append((number, request, checked_lengths(request, limits)))
        except BadRequestError as error:
            answers[number] = str(error)
    if not good:
        return answers
    try:
        results = _run_together([(request, lengths) for _, request, lengths in good], run, most_groups)
    except Exception as error:  # the network's own errors have no common base
        if len(good) == 1:
            answers[good[0][0]] = f"the model failed on this request: {error}"
            return answers
        for number, request, _ in good:
            answers[number] = answer_all([request], run, limits, most_groups)[0]
        return answers
    for (number, _, _), result in zip(good, results, strict=True):
        answers[number] = result
    return answers


def _run_together(
    requests: Sequence[tuple[Arrays, Rows]], run: Run, most_groups: int
) -> list[list[npt.NDArray[np.generic]]]:
    batch = joined([request for request, _ in requests])
    lengths = np.concatenate([lengths for _, lengths in requests])
    groups = length_groups(lengths, most_groups)
    outputs = scattered(((rows, run(group_inputs(batch, lengths, rows))) for rows in groups), len(lengths))
    ends = np.cumsum([len(lengths) for _, lengths in requests])[:-1]
    parts = [np.split(output, ends) for output in outputs]
    return [list(request_parts) for request_parts in zip(*parts, strict=True)]
