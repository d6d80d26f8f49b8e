"""One line a request where wanted, a bounded number of them, and no words unless told."""

import grpc
import pytest
from structlog.testing import capture_logs

from faults import InternalError, InvalidInput, Unavailable
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.request_log import Ended, RequestLog, words_of

Code = grpc.StatusCode
TYPED = "a present for my sister"
RAW = pb.SearchRequest(
    query=pb.Query(text=TYPED, picture=b"x", vector=[1.0]),
    filters=[pb.Filter(field="brand", any_of=pb.Values(values=["Oak", "Swift"]))],
    fields=["title"],
    k=3,
).SerializeToString()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def logged(log: RequestLog, code: Code, error: Exception | None = None, **more) -> list[dict]:
    fields = {"rpc": "Search", "code": code, "seconds": 0.01234, "caller": "", "raw": RAW, "error": error}
    with capture_logs() as lines:
        log.ended(Ended(**{**fields, **more}))
    return lines


@pytest.mark.parametrize(
    ("which", "codes"),
    [
        ("all", {Code.OK, Code.CANCELLED, Code.NOT_FOUND, Code.UNAVAILABLE, Code.INTERNAL}),
        ("failures", {Code.NOT_FOUND, Code.UNAVAILABLE, Code.INTERNAL}),
        ("none", {Code.INTERNAL}),
    ],
)
def test_which_requests_are_logged(which, codes):
    log = RequestLog(which)
    seen = {code for code in (Code.OK, Code.CANCELLED, *codes) if logged(log, code)}
    assert seen == codes


def test_a_line_says_what_how_long_and_who_without_what_was_typed():
    error = InvalidInput("too long", field="query.text", value=TYPED, fix="Shorten it.")
    (line,) = logged(RequestLog(), Code.INVALID_ARGUMENT, error, caller="shop")
    assert TYPED not in str(line)
    expected = {"rpc": "Search", "code": "INVALID_ARGUMENT", "ms": 12.34, "caller": "shop"}
    assert expected.items() <= line.items()
    assert (line["reason"], line["field"], line["problem"]) == ("INVALID_INPUT", "query.text", "too long")
    assert line["log_level"] == "info"


def test_our_own_failures_warn_and_bugs_carry_their_traceback():
    away = Unavailable("Triton at 10.0.0.3:8001 cannot be reached", field="query_tower")
    (line,) = logged(RequestLog(), Code.UNAVAILABLE, away)
    assert line["log_level"] == "warning"
    assert "10.0.0.3:8001" in line["problem"], "the log is where the address belongs"
    bug = InternalError("no data")
    (line,) = logged(RequestLog("none"), Code.INTERNAL, bug)
    assert line["exc_info"] is bug


def test_words_are_logged_where_told():
    error = InvalidInput("too long", field="query.text", value=TYPED)
    (line,) = logged(RequestLog("all", queries=True), Code.INVALID_ARGUMENT, error)
    assert line["words"] == [TYPED, "brand", "Oak", "Swift", "title"]
    assert TYPED in line["problem"]


@pytest.mark.parametrize("raw", [b"\xff\xff", b"\x07garbage"])
def test_what_cannot_be_read_has_no_words(raw):
    assert words_of("Search", raw) == []
    assert words_of("Unknown", RAW) == []


def test_failures_do_not_flood_the_log_and_what_was_left_out_is_said():
    clock = Clock()
    log = RequestLog("failures", clock=clock)
    assert sum(len(logged(log, Code.UNAVAILABLE)) for _ in range(1000)) == 100
    clock.now += 1.0
    (line,) = logged(log, Code.UNAVAILABLE)
    assert line["left_out_before"] == 900
    (line,) = logged(log, Code.UNAVAILABLE)
    assert "left_out_before" not in line


def test_all_means_all():
    log = RequestLog("all", clock=Clock())
    assert sum(len(logged(log, Code.OK)) for _ in range(500)) == 500
