"""The runner inside the real tritonserver: the fake of the unit tests must not have lied."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from scenarios import BAD, GOOD
from support.processes import eventually, stubs
from support.repository import write_tower
from support.triton import query_arrays
from tritonclient.utils import InferenceServerException

pytestmark = [pytest.mark.services, pytest.mark.timeout(90)]

ARRIVAL_S = 0.5
"""Shorter than the second after which Triton counts a stub as hung."""
SETTLED_READS = 6


@pytest.fixture(scope="module")
def query_tower(triton_server):
    folder = write_tower(triton_server.repository, "query_tower")
    triton_server.control.load_versions("query_tower", [1])
    yield onnxruntime.InferenceSession(folder / "model.onnx")
    triton_server.control.unload("query_tower")


def test_one_query_equals_onnx_runtime_in_process(triton_server, query_tower):
    for ids in GOOD:
        expected = query_tower.run(None, query_arrays(ids))[0][0]
        np.testing.assert_allclose(triton_server.query(ids), expected, rtol=0, atol=1e-6)


def test_concurrent_ragged_queries_are_batched_and_bad_ones_fail_alone(triton_server, query_tower):
    expected = [query_tower.run(None, query_arrays(ids))[0][0] for ids in GOOD]
    before = settled_statistics(triton_server.control)

    def send(arrays):
        try:
            return triton_server.infer("query_tower", arrays, ("query_embedding",))[0][0]
        except InferenceServerException as error:
            return error.message()

    requests = ([query_arrays(ids) for ids in GOOD] + list(BAD.values())) * 16
    # The stub stands still while requests arrive: whether they go together then depends on no speed.
    stub = stubs(triton_server.server.shared_memory_prefix)["query_tower/1"]
    with ThreadPoolExecutor(len(requests)) as pool:
        os.kill(stub, signal.SIGSTOP)
        try:
            waiting = [pool.submit(send, arrays) for arrays in requests]
            time.sleep(ARRIVAL_S)
        finally:
            os.kill(stub, signal.SIGCONT)
        answers = [future.result() for future in waiting]
    per_round = len(GOOD) + len(BAD)
    for number, answer in enumerate(answers):
        place = number % per_round
        if place < len(GOOD):
            np.testing.assert_allclose(answer, expected[place], rtol=0, atol=1e-6)
        else:
            assert list(BAD)[place - len(GOOD)] in answer
    after = settled_statistics(triton_server.control)
    assert after.inference_count - before.inference_count == len(requests)
    assert after.execution_count - before.execution_count < len(requests) / 2


def settled_statistics(control):
    """Triton counts a request some time after it has answered it: the counters must rest for a while."""
    seen = [control.statistics("query_tower")]

    def rests():
        seen.append(control.statistics("query_tower"))
        return len(seen) > SETTLED_READS and len(set(seen[-SETTLED_READS:])) == 1

    assert eventually(rests, every_s=0.1)
    return seen[-1].versions[0]


def test_the_product_tower_equals_onnx_runtime_in_process(triton_server):
    folder = write_tower(triton_server.repository, "product_tower", picture_size=224)
    triton_server.control.load_versions("product_tower", [1])
    random = np.random.default_rng(0)
    request = {
        "input_ids": random.integers(0, 100, (32, 6)),
        "attention_mask": np.repeat(np.arange(6) < np.array([[6], [2]]), 16, axis=0).astype(np.int64),
        "pixels": random.integers(0, 256, (32, 1, 224, 224, 3)).astype(np.uint8),
        "has_text": np.array([[True], [False]] * 16),
        "has_image": np.array([[True], [True], [False], [True]] * 8),
    }
    got = triton_server.infer("product_tower", request, ("product_embedding", "modality_weights"))
    expected = onnxruntime.InferenceSession(folder / "model.onnx").run(None, request)
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5)
    np.testing.assert_allclose(got[1].sum(axis=1), 1.0, atol=1e-6)
    request["has_image"][5], request["has_text"][5] = False, False
    with pytest.raises(InferenceServerException, match="has_text and has_image of row 5 are all false"):
        triton_server.infer("product_tower", request, ("product_embedding",))
    triton_server.control.unload("product_tower")


class Calibration(CalibrationDataReader):
    """Feeds the good queries of the scenarios."""

    def __init__(self):
        self._feeds = iter([query_arrays(ids) for ids in GOOD])

    def get_next(self):
        return next(self._feeds, None)


def quantize(path):
    """Replaces a tower by itself with int8 weights and static scales (Q/DQ); its metadata is kept."""
    facts = onnx.load(path).metadata_props
    quantize_static(path, path, Calibration(), quant_format=QuantFormat.QDQ)
    model = onnx.load(path)
    del model.metadata_props[:]
    model.metadata_props.extend(facts)
    onnx.save(model, path)
    return {node.op_type for node in model.graph.node}


def test_an_int8_version_serves_beside_its_fp32_one_and_after_it(triton_server, query_tower):
    control = triton_server.control
    folder = write_tower(triton_server.repository, "query_tower", 3, seed=1)  # version 1's weights
    assert {"QuantizeLinear", "DequantizeLinear"} <= quantize(folder / "model.onnx")
    int8 = onnxruntime.InferenceSession(folder / "model.onnx")
    control.load_versions("query_tower", [1, 3])
    for ids in GOOD:
        expected = [session.run(None, query_arrays(ids))[0][0] for session in (query_tower, int8)]
        answers = [triton_server.query(ids, version) for version in (1, 3)]
        np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-6)
        assert 0.99 < answers[0] @ answers[1] < 1 - 1e-7, "int8 must be near fp32, and must not be fp32"
    control.load_versions("query_tower", [3])
    assert control.ready_versions("query_tower") == (3,)
    np.testing.assert_allclose(triton_server.query(GOOD[-1], 3), answers[1], rtol=0, atol=1e-6)
    control.load_versions("query_tower", [1])


def test_versions_serve_side_by_side_and_the_old_one_retires_unnoticed(triton_server, query_tower):
    control, prefix = triton_server.control, triton_server.server.shared_memory_prefix
    first = stubs(prefix)["query_tower/1"]
    write_tower(triton_server.repository, "query_tower", 2)
    control.load_versions("query_tower", [1, 2])
    assert control.ready_versions("query_tower") == (1, 2)
    one, two = (triton_server.query([7, 8], version) for version in (1, 2))
    np.testing.assert_allclose(one, query_tower.run(None, query_arrays([7, 8]))[0][0], rtol=0, atol=1e-6)
    assert np.abs(one - two).max() > 0.01
    both = stubs(prefix)
    assert both["query_tower/1"] == first, "adding a version restarted the one that served"
    control.load_versions("query_tower", [2])
    assert control.ready_versions("query_tower") == (2,)
    assert triton_server.query([7, 8], 2).tolist() == two.tolist()
    assert eventually(lambda: stubs(prefix) == {"query_tower/2": both["query_tower/2"]})
    control.load_versions("query_tower", [1])
    assert not list(triton_server.repository.glob("*/*/__pycache__"))
