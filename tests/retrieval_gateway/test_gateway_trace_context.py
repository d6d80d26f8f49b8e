"""W3C trace context: what the recommendation's own examples and rules ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_gateway.trace_context import TraceContext, new_trace, parse_traceparent, trace_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
    ],
)
def test_what_follows_the_rules_is_read(header, sampled):
    assert parse_traceparent(header) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_what_does_not_is_as_good_as_none(header):
    assert parse_traceparent(header) is None
    begun = trace_of([("traceparent", header)])
    assert begun.trace_id != TRACE
    assert begun.parent_id == ""


@given(st.text(max_size=80))
def test_no_header_does_harm(header):
    found = trace_of([("traceparent", header)])
    assert len(found.trace_id) == 32
    assert int(found.trace_id, 16)


def test_it_is_found_among_the_metadata_and_bytes_are_not_it():
    metadata = [("user-agent", "x"), ("traceparent", f"00-{TRACE}-{SPAN}-01"), ("k-bin", b"\x00")]
    assert trace_of(metadata).trace_id == TRACE
    assert trace_of([("traceparent", b"00")]).trace_id != TRACE


def test_traces_that_begin_here_differ():
    assert len({new_trace().trace_id for _ in range(1000)}) == 1000
