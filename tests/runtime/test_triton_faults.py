import pytest

import faults
from runtime.triton_faults import fault_from_status, is_dead_stub

CASES = [
    ("NOT_FOUND", "Request for unknown model: 'x' is not found", faults.NotFound),
    ("NOT_FOUND", "Request for unknown model: 'x' has no available versions", faults.NotFound),
    ("INVALID_ARGUMENT", "requested model 'x' is not available", faults.NotFound),
    ("INTERNAL", "failed to load 'x', failed to poll from model repository", faults.NotFound),
    (
        "INVALID_ARGUMENT",
        "load failed: at least one version must be available under the version policy",
        faults.NotFound,
    ),
    ("UNAVAILABLE", "Request for unknown model: 'x' version 1 is not at ready state", faults.Unavailable),
    ("UNAVAILABLE", "failed to connect to all addresses", faults.Unavailable),
    ("INTERNAL", "Stub process 'x_0_0' is not healthy.", faults.Unavailable),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", faults.DeadlineExceeded),
    ("CANCELLED", "", faults.DeadlineExceeded),
    ("INVALID_ARGUMENT", "unexpected shape for input 'input_ids'", faults.InvalidInput),
    ("RESOURCE_EXHAUSTED", "Received message larger than max", faults.InvalidInput),
    ("INTERNAL", "something else", faults.InternalError),
    ("", "", faults.InternalError),
]


@pytest.mark.parametrize(("status", "message", "kind"), CASES)
@pytest.mark.parametrize("prefix", ["", "StatusCode."])
def test_each_message_becomes_one_kind(status, message, kind, prefix):
    fault = fault_from_status(prefix + status, message, model="query_tower", url="here:1")
    assert type(fault) is kind
    assert fault.field == "query_tower"
    assert fault.fix


def test_a_dead_stub_is_told_from_other_failures():
    assert is_dead_stub("Stub process 'query_tower_0_0' is not healthy.")
    assert not is_dead_stub("the model is not healthy")
