"""Log lines: JSON with the trace, and nothing of what a shopper typed."""

import json

import pytest
import structlog

from retrieval_gateway import trace_context
from retrieval_gateway.logs import configure_logs

TYPED = "a present for my sister"


@pytest.fixture
def lines(capsys):
    """Configures logs as asked and returns what was logged."""

    def logged(write, *, queries: bool = False) -> list[dict]:
        configure_logs(queries=queries)
        write(structlog.get_logger("test"))
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    yield logged
    structlog.reset_defaults()


@pytest.fixture
def in_a_request():
    token = trace_context.current.set(trace_context.TraceContext("ab" * 16))
    yield
    trace_context.current.reset(token)


def bug(log) -> None:
    typed = TYPED
    try:
        try:
            raise KeyError(typed)
        except KeyError as error:
            raise ExceptionGroup(typed, [ValueError(typed)]) from error
    except ExceptionGroup as error:
        error.add_note(typed)
        log.error("bug", exc_info=error)


@pytest.mark.usefixtures("in_a_request")
def test_a_line_has_its_level_time_and_trace(lines):
    (line,) = lines(lambda log: log.info("hello", number=7))
    assert (line["event"], line["level"], line["number"]) == ("hello", "info", 7)
    assert line["timestamp"].endswith("Z")
    assert line["trace_id"] == "ab" * 16


def test_beyond_requests_there_is_no_trace(lines):
    (line,) = lines(lambda log: log.info("hello"))
    assert "trace_id" not in line


@pytest.mark.usefixtures("in_a_request")
def test_a_bug_in_a_request_is_logged_with_its_place_and_without_what_was_typed(lines):
    (line,) = lines(bug)
    assert TYPED not in json.dumps(line)
    group, cause = line["exception"]
    assert (group["exc_type"], cause["exc_type"]) == ("ExceptionGroup", "KeyError")
    assert group["exceptions"][0][0]["exc_type"] == "ValueError"
    assert group["frames"][-1]["name"] == "bug"


@pytest.mark.usefixtures("in_a_request")
def test_where_queries_may_be_logged_its_text_is_there(lines):
    (line,) = lines(bug, queries=True)
    assert line["exception"][1]["exc_value"] == repr(TYPED)


def test_beyond_requests_an_error_says_what_it_says_but_no_variables(lines):
    (line,) = lines(bug)
    assert line["exception"][1]["exc_value"] == repr(TYPED)
    assert not any(frame.get("locals") for stack in line["exception"] for frame in stack["frames"])
