"""The client against real gateways: what the scripted gateway of its unit tests stands for is so."""

import asyncio
import itertools
import os
import signal
import threading
import time

import pytest
from support.client_page import EXAMPLES, run_example
from support.processes import eventually

from faults import InvalidInput, NotFound, NotPermitted
from retrieval_gateway.client import (
    AllHold,
    AnyHolds,
    AnyOf,
    AsyncRetrievalClient,
    CacheSource,
    HealthState,
    Not,
    Range,
    RetrievalClient,
    SearchRequest,
    SimilarRequest,
)

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def other(stack):
    """A second gateway beside the usual one."""
    with stack.gateway() as other:
        yield other


@pytest.mark.parametrize("heading", EXAMPLES)
def test_an_example_of_the_page_works_against_real_gateways(
    gateway, other, heading, tmp_path, monkeypatch, capsys
):
    run_example(heading, [gateway.address, other.address], tmp_path, monkeypatch)
    assert capsys.readouterr().out.strip(), "every example shows something"


@pytest.fixture
def typed(gateway):
    with RetrievalClient(gateway.address, timeout_s=10.0) as client:
        yield client


def test_hits_have_what_the_catalogue_has(stack, typed):
    reply = typed.search("glass plate", k=20, fields=["title", "price"])
    assert reply.release_id == stack.first.release_id
    assert len(reply.hits) == 20
    for hit in reply.hits:
        product = stack.catalogue.get(hit.product_id)
        assert hit.fields == {"title": product.title or None, "price": product.price}
        assert hit.text_weight + hit.image_weight == pytest.approx(1.0, abs=1e-5)
    again = typed.search("glass plate", k=20, fields=["title", "price"])
    assert again.cache_source is CacheSource.MEMORY
    assert again.hits == reply.hits


def test_filters_nest_as_they_say(stack, typed):
    one = next(product for product in stack.catalogue.products if product.color and product.price)
    wanted = AnyHolds([AllHold([AnyOf("color", [one.color]), Range("price", maximum=one.price)])])
    found = set(typed.search("plate", k=80, filters=[wanted]).product_ids)
    rest = set(typed.search("plate", k=80, filters=[Not(wanted)]).product_ids)
    fitting = {
        product.product_id
        for product in stack.catalogue.products
        if product.color == one.color and product.price is not None and product.price <= one.price
    }
    assert one.product_id in found
    assert found == fitting
    assert rest == set(stack.catalogue.ids) - fitting


def test_pages_go_through_everything_once(stack, typed):
    pages = list(itertools.islice(typed.search_pages("plate", k=30), 10))
    ids = [product_id for page in pages for product_id in page.product_ids]
    assert sorted(ids) == sorted(stack.catalogue.ids)


def test_errors_are_ours_with_their_field(typed):
    with pytest.raises(InvalidInput) as refused:
        typed.search("plate", k=0)
    assert refused.value.field == "k"
    with pytest.raises(InvalidInput) as refused:
        typed.search("plate", filters=[AnyOf("colour", ["red"])])
    assert refused.value.field.startswith("filters[0]")
    with pytest.raises(NotFound) as unknown:
        typed.search(product_id="nobody")
    assert "nobody" in str(unknown.value)
    with pytest.raises(NotPermitted):
        typed.rollback()


def test_a_batch_of_everything(stack, typed):
    picture = stack.catalogue.pictures(stack.catalogue.ids[0])[0].data
    requests = [SearchRequest(text=f"plate {number}", k=3) for number in range(40)]
    requests += [SearchRequest(text="bad", k=0), SimilarRequest(product_id=stack.catalogue.ids[1], k=3)]
    requests += [SearchRequest(picture=picture, k=3)]
    answers = {one.place: one for one in typed.batch_search(requests)}
    assert sorted(answers) == list(range(len(requests)))
    assert [place for place, one in answers.items() if one.error] == [40]
    assert isinstance(answers[40].error, InvalidInput)
    assert all(len(answers[place].reply.product_ids) == 3 for place in range(40))
    found = answers[41].reply
    assert len(found.same_style.product_ids) + len(found.similar.product_ids) > 0


def test_health_has_three_names(typed):
    for service in ("", "liveness", "vitrine.retrieval.v1.RetrievalService"):
        assert typed.health(service) is HealthState.SERVING
    assert typed.health("vitrine.retrieval.v1.Unknown") is HealthState.NOT_SERVING


def test_many_at_once_from_one_loop(gateway):
    async def ask() -> set[str]:
        async with AsyncRetrievalClient(gateway.address) as client:
            replies = await asyncio.gather(*(client.search(f"plate {number}") for number in range(16)))
        return {reply.release_id for reply in replies}

    assert len(asyncio.run(ask())) == 1


def test_a_killed_gateway_costs_no_search_while_another_one_lives(stack, gateway, observed):
    """Retries on: what was under way on the killed one is asked of the other."""
    outcomes, stop = [], threading.Event()

    def shop(number: int) -> None:
        for turn in itertools.count():
            if stop.is_set():
                return
            outcomes.append(client.search(f"plate {number} {turn}").release_id)

    with stack.gateway() as doomed, RetrievalClient([gateway.address, doomed.address]) as client:
        threads = [threading.Thread(target=shop, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        assert eventually(lambda: len(outcomes) > 40)
        os.kill(doomed.service.pid, signal.SIGKILL)
        killed_at = len(outcomes)
        assert eventually(lambda: len(outcomes) > killed_at + 100)
        stop.set()
        for thread in threads:
            thread.join()
            assert not thread.is_alive()
    observed(f"{len(outcomes)} searches, {killed_at} before the kill, none failed")
    assert set(outcomes) == {stack.first.release_id}


def test_a_gateway_that_is_restarted_is_waited_for(stack):
    """One gateway only: the retries last over its restart, where the deadline does."""
    with stack.gateway() as first, RetrievalClient(first.address, timeout_s=30.0) as client:
        assert client.search("plate").hits
        first.service.stop(5.0)
        restart = threading.Timer(0.2, first.service.start)
        restart.start()
        began = time.monotonic()
        try:
            assert eventually(lambda: search_or_none(client), 30), "found again by itself"
        finally:
            restart.join()
        assert time.monotonic() - began < 30


def search_or_none(client):
    try:
        return client.search("plate").hits
    except Exception:
        return None
