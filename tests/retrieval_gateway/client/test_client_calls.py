"""What both clients do with a gateway, against real gRPC in this process."""

import itertools

import pytest
from client_kinds import KINDS
from scripted_gateway import After, ScriptedGateway

import faults
from faults import DeadlineExceeded, InvalidInput, NotFound, Overloaded, Unavailable
from retrieval_gateway.api.generated import release_service_pb2 as release_pb
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client import (
    NO_RETRIES,
    AnyOf,
    HealthState,
    RetryPolicy,
    SearchReply,
    SearchRequest,
    SimilarReply,
    SimilarRequest,
    View,
)

pytestmark = KINDS

QUICK = RetryPolicy(first_s=0.001, longest_s=0.002)
AWAY = Unavailable("Triton is away", field="triton")


@pytest.fixture
def gateway():
    with ScriptedGateway() as gateway:
        yield gateway


@pytest.fixture
def client(make, gateway):
    with make(gateway.address, retries=QUICK) as client:
        yield client


def test_a_search_arrives_as_it_was_asked_and_its_answer_is_typed(gateway, client):
    gateway.script.append(
        pb.SearchResponse(product_ids=["a"], scores=[0.5], text_weights=[1], image_weights=[0])
    )
    reply = client.search("red mug", k=3, filters=[AnyOf("color", ["red"])])
    (asked,) = gateway.asked
    assert asked.message == pb.SearchRequest(
        query=pb.Query(text="red mug"),
        k=3,
        filters=[pb.Filter(field="color", any_of=pb.Values(values=["red"]))],
    )
    assert [(hit.product_id, hit.score) for hit in reply.hits] == [("a", 0.5)]
    assert client.address == gateway.address


def test_a_whole_request_can_be_given_and_keywords_replace_its_fields(gateway, client):
    request = SearchRequest(text="mug", k=7)
    client.search(request)
    client.search(request, k=9, explain=True)
    assert [one.message for one in gateway.asked] == [
        pb.SearchRequest(query=pb.Query(text="mug"), k=7),
        pb.SearchRequest(query=pb.Query(text="mug"), k=9, explain=True),
    ]


def test_every_call_has_a_deadline_and_those_about_releases_a_longer_one(make, gateway):
    with make(gateway.address, 3.0, release_timeout_s=50.0, batch_timeout_s=20.0) as client:
        client.search("mug")
        client.search("mug", timeout_s=100.0)
        client.search_similar("a")
        client.releases()
        client.activate("one")
        client.rollback(timeout_s=9.0)
        list(client.batch_search([SearchRequest(text="mug")]))
    limits = [3.0, 100.0, 3.0, 50.0, 50.0, 9.0, 20.0]
    # What arrives is rounded, and less by the way there: the nearest limit is the one that was meant.
    meant = [min(limits, key=lambda limit: abs(limit - one.timeout_s)) for one in gateway.asked]
    assert meant == limits


def test_an_answer_that_takes_too_long_is_given_up(gateway, client):
    gateway.script.append(After(60))
    with pytest.raises(DeadlineExceeded, match="no answer in time"):
        client.search("mug", timeout_s=0.2)
    assert gateway.rpcs() == ["Search"]


def test_key_and_trace_travel_with_every_call(make, gateway):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with make(gateway.address, api_key="secret") as client:
        client.search("mug", traceparent=trace)
        client.search_similar("a", traceparent=trace)
        list(client.batch_search([SearchRequest(text="mug")], traceparent=trace))
        client.releases()
    assert [one.metadata.get("authorization") for one in gateway.asked] == ["Bearer secret"] * 4
    assert [one.metadata.get("traceparent") for one in gateway.asked] == [trace] * 3 + [None]


def test_without_them_nothing_is_sent(gateway, client):
    client.search("mug")
    assert not {"authorization", "traceparent"} & gateway.asked[0].metadata.keys()


def test_what_is_no_trace_is_refused_before_it_is_sent(gateway, client):
    with pytest.raises(InvalidInput, match="traceparent"):
        client.search("mug", traceparent="00-zz")
    assert gateway.asked == []


@pytest.mark.parametrize("fault", [AWAY, Overloaded("full", retry_after_s=0.001)], ids=["away", "overloaded"])
def test_a_read_is_tried_again(gateway, client, fault):
    gateway.script.extend([fault, fault])
    assert client.search("mug").release_id == "scripted"
    gateway.script.append(fault)
    assert client.search_similar("a").release_id == "scripted"
    gateway.script.append(fault)
    assert client.releases() == []
    assert gateway.rpcs() == ["Search"] * 3 + ["SearchSimilar"] * 2 + ["ListReleases"] * 2


@pytest.mark.parametrize(
    "fault",
    [
        InvalidInput("bad", field="k"),
        NotFound("no such product", field="query.product_id", value="x"),
        DeadlineExceeded("too late"),
        Overloaded("full, and who knows how long"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_what_another_try_cannot_help_is_raised_at_once(gateway, client, fault):
    gateway.script.append(fault)
    with pytest.raises(type(fault), match=fault.problem):
        client.search("mug")
    assert gateway.rpcs() == ["Search"]


@pytest.mark.parametrize("method", ["activate", "rollback"])
def test_a_switch_is_never_tried_again(gateway, client, method):
    gateway.script.append(AWAY)
    with pytest.raises(Unavailable, match="Triton is away"):
        getattr(client, method)(*(["one"] if method == "activate" else []))
    assert len(gateway.asked) == 1


def test_who_comes_back_too_late_is_not_waited_for(gateway, client):
    gateway.script.append(Unavailable("loading", retry_after_s=60))
    with pytest.raises(Unavailable, match="loading") as raised:
        client.search("mug")
    assert raised.value.retry_after_s == 60
    assert gateway.rpcs() == ["Search"]


def test_it_gives_up_after_a_few_attempts_and_can_be_told_to_make_one(make, gateway, client):
    gateway.script.extend([AWAY] * 5)
    with pytest.raises(Unavailable):
        client.search("mug")
    assert gateway.rpcs() == ["Search"] * QUICK.attempts
    with make(gateway.address, retries=NO_RETRIES) as once, pytest.raises(Unavailable):
        once.search("mug")
    assert gateway.rpcs() == ["Search"] * (QUICK.attempts + 1)


def test_while_most_calls_fail_none_is_tried_again(gateway, client):
    gateway.script.extend([AWAY] * 100)
    for _ in range(20):
        with pytest.raises(Unavailable):
            client.search("mug")
    # Ten tokens, of which more than five must be left: four failures may be retried, and the first call
    # is over after its fourth.
    assert len(gateway.asked) == 20 + 3


def test_nobody_at_the_address(make, gateway):
    with make("127.0.0.1:1", retries=QUICK) as client:
        with pytest.raises(
            Unavailable, match=r"address: no gateway answers: .*127\.0\.0\.1:1.* Fix: Start one"
        ):
            client.search("mug")
        assert client.health() is HealthState.AWAY
        assert not client.listening()
    assert gateway.asked == []


def test_pages_are_asked_for_until_there_is_none(gateway, client):
    gateway.script.extend(
        [
            pb.SearchResponse(next_page_token="two"),
            pb.SearchResponse(next_page_token="three"),
            pb.SearchResponse(),
        ]
    )
    assert len(list(client.search_pages("mug", k=5))) == 3
    assert [one.message.page_token for one in gateway.asked] == ["", "two", "three"]
    assert {(one.message.query.text, one.message.k) for one in gateway.asked} == {("mug", 5)}


def test_a_page_that_nobody_wants_is_not_asked_for(gateway, client):
    gateway.script.extend([pb.SearchResponse(next_page_token="more")] * 5)
    pages = client.search_pages("mug")
    assert len(list(itertools.islice(pages, 2))) == 2
    pages.close()
    assert gateway.rpcs() == ["Search"] * 2


def test_a_switch_between_two_pages_is_said(gateway, client):
    switched = faults.Mismatch("page_token", expected="new", found="old", fix="Begin again.")
    gateway.script.extend([pb.SearchResponse(next_page_token="two"), switched])
    pages = client.search_pages("mug")
    next(pages)
    with pytest.raises(faults.Mismatch, match="Begin again"):
        next(pages)


def test_similar_products(gateway, client):
    gateway.script.append(
        pb.SearchSimilarResponse(
            same_style=pb.Section(product_ids=["a"], scores=[0.9], text_weights=[1], image_weights=[0]),
            same_style_threshold=0.8,
        )
    )
    reply = client.search_similar("p", view=View.IMAGE, k=4)
    assert gateway.asked[0].message == pb.SearchSimilarRequest(product_id="p", view=pb.VIEW_IMAGE, k=4)
    assert (reply.same_style.product_ids, reply.similar.hits) == (("a",), ())
    assert reply.same_style_threshold == pytest.approx(0.8)


def test_a_batch_answers_as_it_goes_and_a_bad_request_fails_alone(gateway, client):
    gateway.script.extend(
        [
            pb.SearchSimilarResponse(release_id="second"),
            InvalidInput("out of range", field="k", value=0),
            Overloaded("full", retry_after_s=1.5),
        ]
    )
    requests = [SearchRequest(text="bad", k=0), SimilarRequest(product_id="p"), SearchRequest(text="third")]
    answers = list(client.batch_search(iter(requests)))
    assert [one.place for one in answers] == [1, 0, 2], "as they were done"
    similar, bad, refused = answers
    assert isinstance(similar.reply, SimilarReply)
    assert similar.reply.release_id == "second"
    assert (type(bad.error), bad.error.field, bad.reply) == (InvalidInput, "k", None)
    assert "out of range" in str(bad.error)
    assert (type(refused.error), refused.error.retry_after_s) == (Overloaded, 1.5)


def test_an_empty_batch_has_no_answers(gateway, client):
    assert list(client.batch_search([])) == []
    assert gateway.asked == []


def test_a_batch_whose_requests_break_off_yields_what_was_asked_and_then_raises(client):
    def requests():
        yield SearchRequest(text="one")
        raise KeyError("the caller's own")

    answers = client.batch_search(requests())
    assert isinstance(next(answers).reply, SearchReply)
    with pytest.raises(KeyError, match="the caller's own"):
        next(answers)


def test_what_cannot_be_sent_is_named_in_a_batch_as_well(client):
    with pytest.raises(InvalidInput, match="cannot be sent"):
        list(client.batch_search([SearchRequest(text="one", k=-1)]))


def test_a_batch_that_breaks_raises(gateway, client):
    gateway.script.append(RuntimeError("a bug in the gateway"))
    with pytest.raises(faults.VitrineError):
        list(client.batch_search([SearchRequest(text="one")]))


def test_a_batch_can_be_left_early(client):
    answers = client.batch_search(SearchRequest(text=str(number)) for number in itertools.count())
    assert [next(answers).place for _ in range(4)] == [1, 0, 3, 2]
    answers.close()
    assert client.search("and the client goes on").release_id == "scripted"


def test_releases_are_listed_switched_and_rolled_back(gateway, client):
    damaged = release_pb.Release(release_id="damaged")
    good = release_pb.Release(
        release_id="good", created_at="2026-11-20T10:15:00+00:00", products=9, serving=True, active=True
    )
    gateway.script.append(release_pb.ListReleasesResponse(releases=[damaged, good]))
    first, second = client.releases()
    assert (first.created_at, first.serving) == (None, False)
    assert (second.release_id, second.created_at.year, second.products) == ("good", 2026, 9)
    client.activate("good")
    assert client.rollback() == "before"
    assert gateway.asked[1].message.release_id == "good"


def test_health_is_told_by_service(gateway, client):
    assert client.health() is HealthState.SERVING
    assert client.ready()
    gateway.say(serving=False)
    assert client.health("vitrine.retrieval.v1.RetrievalService") is HealthState.NOT_SERVING
    assert not client.ready()
    assert client.listening()
    assert client.health("no.such.Service") is HealthState.NOT_SERVING
