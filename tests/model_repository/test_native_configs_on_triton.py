"""The configurations for native backends, before the real tritonserver, which has only the Python backend.

It parses and normalises a configuration before it looks for the backend: so an error about the backend
means that all the rest was accepted. And with a stand-in model it runs their warm-up.
"""

import json
from collections import Counter
from pathlib import Path

import pytest
from google.protobuf import text_format
from support.exported_pairs import native_record, tiny_tokenizer
from tritonclient.grpc import model_config_pb2

from export.triton_config import config_text
from faults import VitrineError

pytestmark = [pytest.mark.services, pytest.mark.timeout(90)]

KINDS = model_config_pb2.ModelInstanceGroup
TOKENIZER = tiny_tokenizer()

STAND_IN = """
import json
import pathlib
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        self.config = json.loads(args["model_config"])
        self.log = pathlib.Path(args["model_repository"]) / "runs.jsonl"

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        names = [entry["name"] for entry in self.config["input"]]
        run = {name: pb.get_input_tensor_by_name(request, name).as_numpy() for name in names}
        with self.log.open("a") as log:
            seen = {name: [array.shape, str(array.dtype), int(array.sum())] for name, array in run.items()}
            log.write(json.dumps(seen) + chr(10))
        rows = len(run["input_ids"])
        sizes = {entry["name"]: int(entry["dims"][0]) for entry in self.config["output"]}
        return pb.InferenceResponse(
            [pb.Tensor(name, np.zeros((rows, size), np.float32)) for name, size in sizes.items()]
        )
"""


def parsed(tower, target):
    text = config_text(native_record(tower, TOKENIZER, target), ["9.0"])
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def put(server, tower, target, config):
    """Writes a model named after tower and target, so that models of other tests are not met."""
    name = f"{tower}_{target}"
    config.name = name
    folder = server.repository / name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(STAND_IN)
    (folder.parent / "config.pbtxt").write_text(text_format.MessageToString(config))
    return name


@pytest.mark.parametrize("tower", ["query_tower", "product_tower"])
@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_triton_accepts_the_configuration_and_misses_only_the_backend(triton_server, tower, target):
    config = parsed(tower, target)
    name = put(triton_server, tower, target, config)
    with pytest.raises(VitrineError, match=f"unable to find backend library for backend '{target}'"):
        triton_server.control.load_versions(name, [1])
    # The same check with a configuration that Triton does not accept: the backend is never reached.
    config.dynamic_batching.preferred_batch_size.append(config.max_batch_size + 1)
    put(triton_server, tower, target, config)
    with pytest.raises(VitrineError, match="failed to poll from model repository"):
        triton_server.control.load_versions(name, [1])


@pytest.mark.parametrize("tower", ["query_tower", "product_tower"])
@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_triton_runs_the_warm_up_and_counts_its_rows(triton_server, tower, target):
    config = parsed(tower, target)
    samples = [(sample.batch_size, sample.inputs["input_ids"].dims[0]) for sample in config.model_warmup]
    config.platform, config.backend, config.default_model_filename = "", "python", "model.py"
    config.cc_model_filenames.clear()
    (group,) = config.instance_group
    del group.profile[:]
    if group.kind == KINDS.KIND_GPU:
        group.kind = KINDS.KIND_CPU
    name = put(triton_server, tower, target, config)
    triton_server.control.load_versions(name, [1])
    try:
        (served,) = triton_server.control.model_config(name)["instance_group"]
        assert served["kind"] == "KIND_CPU"  # AUTO, where there is no GPU
        runs = read_runs(triton_server.repository / name / "runs.jsonl")
        # Triton makes a sample of 16 rows of 16 requests of one row, and runs them in one execution.
        rows_by_length = Counter(run["input_ids"][0][1] for run in runs)
        expected = Counter()
        for rows, length in samples:
            expected[length] += rows * group.count
        assert rows_by_length == expected
        for run in runs:
            assert all(total == 0 for _, _, total in run.values())
            for entry in config.input:
                shape, kind, _ = run[entry.name]
                assert model_config_pb2.DataType.Name(entry.data_type) == f"TYPE_{kind.upper()}"
                assert len(shape) == 1 + len(entry.dims)
        statistics = triton_server.control.statistics(name)
        assert statistics.inference_count == sum(expected.values())
        assert statistics.execution_count == len(samples) * group.count
    finally:
        triton_server.control.unload(name)


def read_runs(path: Path):
    return [json.loads(line) for line in path.read_text().splitlines()]
