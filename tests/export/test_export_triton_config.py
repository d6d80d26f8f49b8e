"""The generated configurations, read as Triton's own message."""

from typing import Any

import pytest
from google.protobuf import text_format
from support.exported_pairs import make_record, native_record, tiny_tokenizer
from tritonclient.grpc import model_config_pb2

from catalog.tokenizer import Tokenizer
from export.targets import TARGETS
from export.triton_config import MAX_BATCH_SIZE, config_text, require_profiles
from faults import InvalidInput
from releases.export_record import ExportRecord
from retrieval_gateway.encoding.encoder import TritonLink
from retrieval_gateway.settings import GatewaySettings

TOWERS = ("query_tower", "product_tower")
NATIVE = ("onnxruntime", "tensorrt")
TYPES = model_config_pb2.DataType
KINDS = model_config_pb2.ModelInstanceGroup


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


def record_for(tower: str, target: str, tokenizer: Tokenizer, **changes: Any) -> ExportRecord:
    if target == "cpu":
        return make_record(tower, tokenizer, **changes)
    return native_record(tower, tokenizer, target, **changes)


def parsed(record: ExportRecord, *plans: str) -> Any:
    return text_format.Parse(config_text(record, plans), model_config_pb2.ModelConfig())


def tensors(values: Any) -> dict[str, tuple[int, list[int]]]:
    return {value.name: (value.data_type, list(value.dims)) for value in values}


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize(
    ("target", "platform", "backend", "file"),
    [
        ("cpu", "", "python", "model.py"),
        ("onnxruntime", "", "onnxruntime", "model.onnx"),
        ("tensorrt", "tensorrt_plan", "tensorrt", "no-plan-for-this-gpu.plan"),
    ],
)
def test_every_target_names_its_backend_file_and_version(
    tower: str, target: str, platform: str, backend: str, file: str, tokenizer: Tokenizer
) -> None:
    config = parsed(record_for(tower, target, tokenizer, version=7))
    assert (config.name, config.platform, config.backend) == (tower, platform, backend)
    assert config.default_model_filename == file
    assert list(config.version_policy.specific.versions) == [7]


def test_every_target_has_templates_and_they_are_filled_in(tokenizer: Tokenizer) -> None:
    for target in TARGETS:
        for tower in TOWERS:
            assert "$" not in config_text(record_for(tower, target, tokenizer))


def test_the_cpu_targets_sizes_are_free(tokenizer: Tokenizer) -> None:
    query, product = (parsed(make_record(tower, tokenizer)) for tower in TOWERS)
    texts = {"input_ids": (TYPES.TYPE_INT64, [-1]), "attention_mask": (TYPES.TYPE_INT64, [-1])}
    assert tensors(query.input) == texts
    assert tensors(product.input) == {
        **texts,
        "pixels": (TYPES.TYPE_UINT8, [-1, -1, -1, 3]),
        "has_text": (TYPES.TYPE_BOOL, [1]),
        "has_image": (TYPES.TYPE_BOOL, [-1]),
    }
    assert tensors(query.output) == {"query_embedding": (TYPES.TYPE_FP32, [-1])}
    assert tensors(product.output) == {
        "product_embedding": (TYPES.TYPE_FP32, [-1]),
        "modality_weights": (TYPES.TYPE_FP32, [2]),
    }
    assert all(value.allow_ragged_batch for value in query.input)


@pytest.mark.parametrize("target", NATIVE)
def test_native_sizes_are_the_records(target: str, tokenizer: Tokenizer) -> None:
    query, product = (parsed(native_record(tower, tokenizer, target, dim=24)) for tower in TOWERS)
    texts = {"input_ids": (TYPES.TYPE_INT64, [-1]), "attention_mask": (TYPES.TYPE_INT64, [-1])}
    assert tensors(query.input) == texts
    assert tensors(product.input) == {
        **texts,
        "pixels": (TYPES.TYPE_UINT8, [2, 32, 32, 3]),
        "has_text": (TYPES.TYPE_BOOL, [1]),
        "has_image": (TYPES.TYPE_BOOL, [2]),
    }
    assert tensors(query.output) == {"query_embedding": (TYPES.TYPE_FP32, [24])}
    assert tensors(product.output) == {
        "product_embedding": (TYPES.TYPE_FP32, [24]),
        "modality_weights": (TYPES.TYPE_FP32, [2]),
    }
    # No native backend pads rows of different lengths, so Triton must not batch them.
    assert not any(value.allow_ragged_batch for value in (*query.input, *product.input))


@pytest.mark.parametrize(
    ("tower", "target", "kind", "count"),
    [
        ("query_tower", "cpu", KINDS.KIND_CPU, 1),
        ("product_tower", "cpu", KINDS.KIND_CPU, 1),
        ("query_tower", "onnxruntime", KINDS.KIND_AUTO, 1),
        ("product_tower", "onnxruntime", KINDS.KIND_AUTO, 1),
        ("query_tower", "tensorrt", KINDS.KIND_GPU, 2),
        ("product_tower", "tensorrt", KINDS.KIND_GPU, 1),
    ],
)
def test_instances_run_where_the_target_runs(
    tower: str, target: str, kind: int, count: int, tokenizer: Tokenizer
) -> None:
    (group,) = parsed(record_for(tower, target, tokenizer)).instance_group
    assert (group.kind, group.count) == (kind, count)
    assert list(group.profile) == (["0", "1"] if target == "tensorrt" else [])


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("target", TARGETS)
def test_batching_has_nothing_that_stalls_triton(tower: str, target: str, tokenizer: Tokenizer) -> None:
    config = parsed(record_for(tower, target, tokenizer))
    assert config.HasField("dynamic_batching")
    batching = config.dynamic_batching
    assert config.max_batch_size == MAX_BATCH_SIZE[tower] == max(batching.preferred_batch_size)
    assert batching.priority_levels == 0
    assert not batching.HasField("default_queue_policy")
    assert not batching.priority_queue_policy
    waits = tower == "query_tower" and target != "cpu"
    assert (batching.max_queue_delay_microseconds > 0) == waits


def test_tensorrt_prefers_the_sizes_that_its_kernels_were_chosen_for(tokenizer: Tokenizer) -> None:
    config = parsed(native_record("query_tower", tokenizer, "tensorrt"))
    assert list(config.dynamic_batching.preferred_batch_size) == [16, 64]


def test_no_caller_sends_more_rows_than_any_target_takes(tokenizer: Tokenizer) -> None:
    link = TritonLink(None, "nowhere")  # type: ignore[arg-type]
    for target in TARGETS:
        query, product = (parsed(record_for(tower, target, tokenizer)) for tower in TOWERS)
        assert max(GatewaySettings().gather_rows, link.rows) <= query.max_batch_size
        assert link.product_rows <= product.max_batch_size


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("target", NATIVE)
def test_every_profiles_corners_are_warmed_up_once(tower: str, target: str, tokenizer: Tokenizer) -> None:
    config = parsed(native_record(tower, tokenizer, target))
    longest, most = (32, 64) if tower == "query_tower" else (48, 32)
    shapes = [
        (sample.batch_size, sample.inputs["input_ids"].dims[0], sample.name) for sample in config.model_warmup
    ]
    assert shapes == [
        (1, 8, "profile 0, smallest: 1 x 8"),
        (16, 8, "profile 0, usual: 16 x 8"),
        (most, 16, f"profile 0, largest: {most} x 16"),
        (1, 24, "profile 1, smallest: 1 x 24"),
        (16, 24, "profile 1, usual: 16 x 24"),
        (most, longest, f"profile 1, largest: {most} x {longest}"),
    ]


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("target", NATIVE)
def test_warm_up_feeds_every_input_with_zeros_of_its_type_and_size(
    tower: str, target: str, tokenizer: Tokenizer
) -> None:
    config = parsed(native_record(tower, tokenizer, target))
    for sample in config.model_warmup:
        assert sample.batch_size <= config.max_batch_size
        assert set(sample.inputs) == {value.name for value in config.input}
        for value in config.input:
            given = sample.inputs[value.name]
            # Only zeros are in every vocabulary.
            assert given.WhichOneof("input_data_type") == "zero_data"
            assert given.data_type == value.data_type
            assert len(given.dims) == len(value.dims)
            pairs = zip(given.dims, value.dims, strict=True)
            assert all(size == declared or declared == -1 for size, declared in pairs)
        lengths = {sample.inputs[name].dims[0] for name in ("input_ids", "attention_mask")}
        assert len(lengths) == 1


def test_the_cpu_target_warms_itself_up(tokenizer: Tokenizer) -> None:
    assert not parsed(make_record("query_tower", tokenizer)).model_warmup


def test_a_warm_up_is_never_larger_than_a_batch_and_equal_shapes_come_once(tokenizer: Tokenizer) -> None:
    profiles = [
        {"batch": (1, 64, 256), "length": (8, 8, 8)},
        {"batch": (1, 64, 256), "length": (8, 32, 32)},
    ]
    config = parsed(native_record("query_tower", tokenizer, "tensorrt", profiles=profiles))
    shapes = [(sample.batch_size, sample.inputs["input_ids"].dims[0]) for sample in config.model_warmup]
    assert shapes == [(1, 8), (64, 8), (64, 32)]
    assert list(config.dynamic_batching.preferred_batch_size) == [64]


@pytest.mark.parametrize("tower", TOWERS)
def test_plans_are_named_by_compute_capability(tower: str, tokenizer: Tokenizer) -> None:
    config = parsed(native_record(tower, tokenizer, "tensorrt"), "8.9", "9.0", "12.0")
    assert dict(config.cc_model_filenames) == {
        "8.9": "model.cc89.plan",
        "9.0": "model.cc90.plan",
        "12.0": "model.cc120.plan",
    }
    assert config.default_model_filename not in config.cc_model_filenames.values()


@pytest.mark.parametrize(
    ("profiles", "gap"),
    [
        ([], "1 rows of 8 tokens"),
        ([{"batch": (1, 16, 32), "length": (8, 16, 32)}], "33 rows of 8 tokens"),
        ([{"batch": (2, 16, 64), "length": (8, 16, 32)}], "1 rows of 8 tokens"),
        ([{"batch": (1, 16, 64), "length": (8, 16, 24)}], "1 rows of 32 tokens"),
        (
            [
                {"batch": (1, 16, 64), "length": (8, 8, 8)},
                {"batch": (1, 16, 64), "length": (24, 24, 32)},
            ],
            "1 rows of 16 tokens",
        ),
        (
            [
                {"batch": (1, 4, 8), "length": (8, 16, 32)},
                {"batch": (10, 32, 64), "length": (8, 16, 32)},
            ],
            "9 rows of 8 tokens",
        ),
    ],
)
def test_a_shape_that_no_profile_covers_is_named(
    profiles: list[dict[str, Any]], gap: str, tokenizer: Tokenizer
) -> None:
    record = native_record("query_tower", tokenizer, "tensorrt", profiles=profiles)
    with pytest.raises(InvalidInput, match=gap) as caught:
        require_profiles(record)
    assert "1 row of 8 tokens to 64 rows of 32" in caught.value.fix


@pytest.mark.parametrize("tower", TOWERS)
def test_covering_profiles_pass_and_cpu_needs_none(tower: str, tokenizer: Tokenizer) -> None:
    require_profiles(native_record(tower, tokenizer, "onnxruntime"))
    require_profiles(make_record(tower, tokenizer))
    native = native_record(tower, tokenizer, "onnxruntime").profiles
    with pytest.raises(InvalidInput, match="profiles"):
        require_profiles(make_record(tower, tokenizer, profiles=native))


def test_the_longest_length_need_not_be_a_multiple(tokenizer: Tokenizer) -> None:
    profile = {"batch": (1, 8, 64), "length": (8, 16, 20)}
    require_profiles(
        native_record("query_tower", tokenizer, "tensorrt", profiles=[profile], max_query_tokens=20)
    )
