import json
import sys
import types
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scenarios import BAD, GOOD
from support.onnx_towers import build_query_tower
from support.repository import DEFAULTS, write_tower
from support.triton import query_arrays

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "model_repository" / "runner"))
import model as runner
from tower_rows import Limits

LIMITS = Limits(vocabulary_size=100, max_tokens=48)


class FakeTensor:
    def __init__(self, name, array):
        self.name, self.array = name, array

    def as_numpy(self):
        return self.array


class FakeError:
    def __init__(self, message):
        self.message = message


class FakeResponse:
    def __init__(self, output_tensors, error=None):
        self.outputs = {tensor.name: tensor.array for tensor in output_tensors}
        self.error = error


@pytest.fixture
def fake_triton(monkeypatch):
    module = types.ModuleType("triton_python_backend_utils")
    module.Tensor, module.TritonError, module.InferenceResponse = FakeTensor, FakeError, FakeResponse
    module.get_input_tensor_by_name = lambda request, name: FakeTensor(name, request[name])
    monkeypatch.setitem(sys.modules, module.__name__, module)


def loaded(folder, config):
    tower = runner.TritonPythonModel()
    arguments = {"model_config": json.dumps(config), "model_version": folder.name}
    tower.initialize({**arguments, "model_repository": str(folder.parent)})
    return tower


def query_config(**parameters):
    values = {"vocabulary_size": "100", "max_tokens": "48", **parameters}
    text = [
        {"name": name, "data_type": "TYPE_INT64", "dims": ["-1"]} for name in ("input_ids", "attention_mask")
    ]
    return {
        "parameters": {name: {"string_value": value} for name, value in values.items()},
        "input": text,
        "output": [{"name": "query_embedding"}],
    }


def alone(folder, arrays):
    return onnxruntime.InferenceSession(folder / "model.onnx").run(None, arrays)


@pytest.mark.usefixtures("fake_triton")
def test_good_and_bad_requests_of_one_batch_are_answered_each_alone(tmp_path):
    folder = write_tower(tmp_path, "query_tower")
    tower = loaded(folder, query_config())
    requests = [query_arrays(ids) for ids in GOOD] + list(BAD.values())
    responses = tower.execute(requests)
    for ids, response in zip(GOOD, responses, strict=False):
        assert response.error is None
        expected = alone(folder, query_arrays(ids))[0]
        np.testing.assert_allclose(response.outputs["query_embedding"], expected, rtol=0, atol=1e-6)
    failed = responses[len(GOOD) :]
    for phrase, response in zip(BAD, failed, strict=True):
        assert phrase in response.error.message
    assert len({id(response.error) for response in failed}) == len(BAD), (
        "one TritonError in two responses kills Triton"
    )


@pytest.mark.usefixtures("fake_triton")
def test_rows_of_one_padded_request_get_the_vectors_of_unpadded_ones(tmp_path):
    folder = write_tower(tmp_path, "query_tower")
    tower = loaded(folder, query_config())
    gathered = {
        "input_ids": np.array([[5, 77, 77], [7, 8, 9]], dtype=np.int64),
        "attention_mask": np.array([[1, 0, 0], [1, 1, 1]], dtype=np.int64),
    }
    (response,) = tower.execute([gathered])
    expected = np.concatenate([alone(folder, query_arrays(ids))[0] for ids in ([5], [7, 8, 9])])
    np.testing.assert_allclose(response.outputs["query_embedding"], expected, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("fake_triton")
def test_limits_come_from_each_versions_own_file(tmp_path):
    folder = tmp_path / "query_tower" / "2"
    build_query_tower(
        folder / "model.onnx", vocabulary_size=200, metadata={"vocabulary_size": 100, "max_tokens": 48}
    )
    (refused,) = loaded(folder, query_config()).execute([query_arrays([150])])
    assert "outside the vocabulary 0..99" in refused.error.message
    build_query_tower(
        folder / "model.onnx", vocabulary_size=200, metadata={"vocabulary_size": 200, "max_tokens": 5}
    )
    good, long = loaded(folder, query_config()).execute([query_arrays([150]), query_arrays([1] * 6)])
    assert good.error is None
    assert "the model takes 5" in long.error.message


@pytest.mark.usefixtures("fake_triton")
def test_the_product_tower_answers_both_outputs(tmp_path):
    folder = write_tower(tmp_path, "product_tower", picture_size=4)
    flags = [{"name": name, "data_type": "TYPE_BOOL", "dims": ["1"]} for name in ("has_text", "has_image")]
    config = query_config()
    config["input"] += [{"name": "pixels", "data_type": "TYPE_UINT8", "dims": ["1", "4", "4", "3"]}, *flags]
    config["output"] = [{"name": "product_embedding"}, {"name": "modality_weights"}]
    request = {
        "input_ids": np.array([[1, 2], [3, 0]], dtype=np.int64),
        "attention_mask": np.array([[1, 1], [1, 0]], dtype=np.int64),
        "pixels": np.full((2, 1, 4, 4, 3), 100, np.uint8),
        "has_text": np.array([[True], [False]]),
        "has_image": np.array([[True], [True]]),
    }
    (response,) = loaded(folder, config).execute([request])
    vectors, weights = alone(folder, request)
    np.testing.assert_allclose(response.outputs["product_embedding"], vectors, rtol=0, atol=1e-6)
    np.testing.assert_allclose(response.outputs["modality_weights"], weights, rtol=0, atol=1e-6)
    assert response.outputs["modality_weights"][1].tolist() == [0.0, 1.0]


def test_a_request_that_breaks_the_joined_run_fails_alone():
    def run(arrays):
        if (arrays["input_ids"] == 13).any():
            raise RuntimeError("thirteen")
        return [arrays["input_ids"][:, :1].astype(np.float32)]

    answers = runner.answer_all([query_arrays(ids) for ids in ([4, 5], [13], [6])], run, LIMITS, 3)
    assert answers[0][0].tolist() == [[4.0]]
    assert answers[1] == "the model failed on this request: thirteen"
    assert answers[2][0].tolist() == [[6.0]]


def test_a_batch_of_bad_requests_never_runs_the_model():
    def run(_):
        raise AssertionError("ran")

    answers = runner.answer_all([query_arrays([-1]), query_arrays([500])], run, LIMITS, 3)
    assert all("outside the vocabulary" in answer for answer in answers)


def test_a_mixed_batch_takes_few_runs_and_a_lone_query_one_without_padding():
    shapes = []

    def run(arrays):
        shapes.append(arrays["input_ids"].shape)
        return [arrays["input_ids"][:, :1]]

    runner.answer_all([query_arrays([1] * length) for length in (3, 4, 3, 40, 41, 3, 20)] * 4, run, LIMITS, 3)
    assert shapes == [(16, 4), (4, 20), (8, 41)]
    shapes.clear()
    runner.answer_all([query_arrays([1] * 5)], run, LIMITS, 3)
    assert shapes == [(1, 5)]


def test_defaults_of_the_test_repository_match_the_limits():
    assert (DEFAULTS["vocabulary_size"], DEFAULTS["max_tokens"]) == (
        LIMITS.vocabulary_size,
        LIMITS.max_tokens,
    )
