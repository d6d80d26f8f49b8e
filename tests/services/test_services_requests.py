"""Requests of every kind through the whole system: what comes back fits an exact answer, and itself."""

import asyncio
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from google.rpc import code_pb2
from support.pictures import plain_png
from support.processes import eventually
from test_services_search import DENSE, Exact

from faults import InvalidInput, Mismatch, NotFound, Overloaded
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client import (
    AllHold,
    AnyHolds,
    AnyOf,
    Channel,
    ChannelOptions,
    Degradation,
    Mixing,
    Not,
    Range,
    RelevanceControl,
    SearchRequest,
    SimilarRequest,
    SupplierScope,
    View,
)

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

COUNT = 80


@pytest.fixture(scope="module")
def exact(stack):
    return Exact(stack)


@pytest.fixture(scope="module")
def picture(stack):
    return stack.catalogue.pictures(stack.catalogue.ids[30])[0].data


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_words_and_picture_are_mixed_by_weight(client, exact, picture):
    words, seen = exact.of_words("glass plate"), exact.of_picture(picture)
    for weight in (0.0, 0.3, 1.0):
        reply = client.search("glass plate", picture=picture, picture_weight=weight, k=10, channels=DENSE)
        exact.check(reply, unit((1 - weight) * words + weight * seen), 10)


def test_words_and_picture_are_encoded_together(client, exact, picture):
    reply = client.search("glass plate", picture=picture, mixing=Mixing.JOINT, k=10, channels=DENSE)
    exact.check(reply, exact.of_product("glass plate", picture), 10)


def test_unwanted_words_are_taken_away(client, exact):
    reply = client.search("glass plate", without="red", without_weight=0.8, k=10, channels=DENSE)
    exact.check(reply, unit(exact.of_words("glass plate") - 0.8 * exact.of_words("red")), 10)


def test_a_vector_of_ones_own_is_searched_with(client, exact):
    vector = exact.of_words("stoneware")
    exact.check(client.search(vector=(5 * vector).tolist(), k=10), vector, 10)
    with pytest.raises(InvalidInput, match=r"query\.vector"):
        client.search(vector=[1.0] * (len(vector) + 1))


def test_words_ask_both_channels_and_a_hit_tells_which_found_it(client, stack):
    title = stack.catalogue.products[12].title
    reply = client.search(title, k=COUNT, explain=True)
    failed = {Degradation.DENSE_CHANNEL_FAILED, Degradation.LEXICAL_CHANNEL_FAILED}
    assert failed.isdisjoint(reply.degradations)
    assert {hit.channel for hit in reply.hits} <= {Channel.DENSE, Channel.LEXICAL}
    own = next(hit for hit in reply.hits if hit.product_id == stack.catalogue.ids[12])
    assert own.explanation.lexical_rank > 0
    assert own.explanation.dense_rank > 0
    assert set(own.explanation.matched_words) <= set(title.lower().replace(",", " ").split())
    assert own.explanation.matched_words
    assert reply.timings.lexical_us > 0
    only = client.search(title, k=5, channels=ChannelOptions((Channel.LEXICAL,)))
    assert {hit.channel for hit in only.hits} == {Channel.LEXICAL}
    assert only.timings.encode_us == 0


@pytest.mark.parametrize("options", [{}, {"channels": DENSE}, {"per_style_group": 1}], ids=repr)
def test_pages_are_disjoint_and_together_one_deep_answer(client, options):
    pages = list(client.search_pages("glass plate", k=9, **options))
    ids = [product_id for page in pages for product_id in page.product_ids]
    assert len(pages) >= 3
    assert len(set(ids)) == len(ids)
    assert list(client.search("glass plate", k=len(ids), **options).product_ids) == ids


def test_a_page_belongs_to_its_request_and_its_release(stack):
    with stack.gateway() as gateway:
        token = gateway.client.search("lamp", k=3).next_page_token
        with pytest.raises(InvalidInput, match="made for another request"):
            gateway.client.search("lamps", k=3, page_token=token)
        with serving(stack, stack.second.release_id):
            assert eventually(lambda: gateway.client.search("lamp").release_id == stack.second.release_id)
            with pytest.raises(Mismatch, match="without a page_token"):
                gateway.client.search("lamp", k=3, page_token=token)
        assert eventually(lambda: gateway.client.search("lamp").release_id == stack.first.release_id)
        assert gateway.client.search("lamp", k=3, page_token=token).product_ids


@contextmanager
def serving(stack, release_id: str):
    stack.serve(release_id)
    try:
        yield
    finally:
        stack.serve(stack.first.release_id)


def test_minimum_score_facets_and_styles(client, stack):
    plain = client.search("glass plate", k=COUNT, channels=DENSE)
    bound = plain.scores[19]
    bounded = client.search("glass plate", k=COUNT, channels=DENSE, minimum_score=bound, facets=["brand"])
    assert list(bounded.product_ids) == [
        one for one, score in zip(plain.product_ids, plain.scores, strict=True) if score >= bound
    ]
    (facet,) = bounded.facets
    assert facet.of == len(bounded.product_ids)
    brands = [stack.catalogue.get(one).brand for one in bounded.product_ids]
    assert dict(facet.counts) == {brand: brands.count(brand) for brand in set(brands) if brand}
    collapsed = client.search("glass plate", k=COUNT, per_style_group=1)
    styles = [stack.catalogue.get(one).style_group for one in collapsed.product_ids]
    assert len(set(styles)) == len(styles) == len({one.style_group for one in stack.catalogue.products})
    assert list(collapsed.degradations) == [Degradation.FEWER_THAN_K]


def test_relevance_control_leaves_out_and_counts(client, gateway, stack):
    title = stack.catalogue.products[12].title
    before = gateway.metric("vitrine_relevance_removals_total", reason="keywords")
    control = RelevanceControl(category=True, keywords=True)
    reply = client.search(title, k=COUNT, relevance_control=control, bypass_cache=True)
    counts = {removal.reason: removal.products for removal in reply.removals}
    assert set(counts) == {"category", "keywords"}
    assert len(reply.product_ids) == COUNT - sum(counts.values())
    assert (
        gateway.metric("vitrine_relevance_removals_total", reason="keywords") == before + counts["keywords"]
    )
    assert stack.catalogue.ids[12] in reply.product_ids


def test_filters_within_filters(client, stack):
    cheap, plates = Range("price", maximum=15), AnyOf("category", ["kitchen"])
    fits = {
        "either": (AnyHolds([cheap, plates]), lambda cheap, plates: cheap or plates),
        "both": (AllHold([cheap, plates]), lambda cheap, plates: cheap and plates),
        "neither": (Not(AnyHolds([cheap, plates])), lambda cheap, plates: not (cheap or plates)),
    }
    for given, holds in fits.values():
        expected = {
            one.product_id
            for one in stack.catalogue.products
            if holds(one.price is not None and one.price <= 15, one.category.lower() == "kitchen")
        }
        assert set(client.search("glass", k=COUNT, filters=[given], channels=DENSE).product_ids) == expected


def test_similar_products_by_every_view_and_of_whom(client, exact, stack):
    like = stack.catalogue.products[7]
    folder = stack.store.path(stack.first.release_id)
    for view, name in ((View.BOTH, "vectors"), (View.TEXT, "text_vectors"), (View.IMAGE, "image_vectors")):
        vectors = np.load(folder / f"{name}.npy")
        threshold = stack.first.same_style[view.name.lower()].threshold
        reply = client.search_similar(like.product_id, view=view, k=COUNT, bypass_cache=True)
        scores = dict(zip(exact.ids, vectors @ vectors[7], strict=True))
        found = (*reply.same_style.hits, *reply.similar.hits)
        assert {hit.product_id for hit in found} == {
            one for row, one in enumerate(exact.ids) if row != 7 and vectors[row].any()
        }
        assert [hit.score for hit in found] == pytest.approx(
            [scores[hit.product_id] for hit in found], abs=1e-5
        )
        assert all(hit.score >= threshold - 1e-5 for hit in reply.same_style.hits)
        assert all(hit.score < threshold + 1e-5 for hit in reply.similar.hits)
        assert reply.same_style_threshold == pytest.approx(threshold)
        assert reply.timings.encode_us == 0
    own = client.search_similar(like.product_id, k=COUNT, suppliers=SupplierScope.OWN)
    sellers = {
        stack.catalogue.get(hit.product_id).supplier for hit in (*own.same_style.hits, *own.similar.hits)
    }
    assert sellers == ({like.supplier} if like.supplier else set())


def test_what_is_like_a_picture_and_a_title(client, exact, picture):
    reply = client.search_similar(SimilarRequest(text="glass plate", picture=picture, k=10))
    scores = exact.vectors @ exact.of_product("glass plate", picture)
    assert reply.similar.hits
    for hit in (*reply.same_style.hits, *reply.similar.hits):
        assert hit.score == pytest.approx(scores[exact.ids.index(hit.product_id)], abs=1e-5)


def test_a_batch_answers_each_and_one_bad_one_fails_alone(client, stack):
    good = [SearchRequest(text=f"glass plate {number}", k=3) for number in range(60)]
    bad = [
        SearchRequest(text="lamp", k=0),
        SearchRequest(product_id="nobody"),
        SearchRequest(picture=b"no picture"),
        SimilarRequest(product_id="nobody"),
    ]
    requests = [*good[:30], *bad, *good[30:], SimilarRequest(product_id=stack.catalogue.ids[3])]
    answers = {answer.place: answer for answer in client.batch_search(requests, timeout_s=60)}
    assert sorted(answers) == list(range(len(requests)))
    failed = {place: type(answer.error) for place, answer in answers.items() if answer.error is not None}
    # Each is let in as a call of its own would be, so a busy machine may send some of them away.
    refused = {place for place, kind in failed.items() if kind is Overloaded}
    assert {place: kind for place, kind in failed.items() if place not in refused} == {
        place: kind
        for place, kind in {30: InvalidInput, 31: NotFound, 32: InvalidInput, 33: NotFound}.items()
        if place not in refused
    }
    assert len(refused) < len(requests) / 2
    assert all(answer.error.retry_after_s > 0 for place, answer in answers.items() if place in refused)
    assert all(
        answer.reply.product_ids for place, answer in answers.items() if place < 30 and place not in failed
    )


async def streamed(gateway, requests, take: int | None = None) -> list[pb.BatchSearchResponse]:
    """Raw items over one stream; after ``take`` answers the client vanishes."""
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        method = "/vitrine.retrieval.v1.RetrievalService/BatchSearch"
        call = channel.stream_stream(method, response_deserializer=pb.BatchSearchResponse.FromString)(
            requests(), timeout=60
        )
        answers = []
        async for answer in call:
            answers.append(answer)
            if take is not None and len(answers) >= take:
                call.cancel()
                break
        return answers


def item(number: int, text: str = "glass") -> bytes:
    request = pb.SearchRequest(query=pb.Query(text=f"{text} {number}"), k=2, bypass_cache=True)
    return pb.BatchSearchRequest(request_id=number, search=request).SerializeToString()


def test_bad_bytes_in_a_stream_are_an_error_item(gateway):
    async def requests():
        yield item(1)
        yield item(2, "AAAA").replace(b"AAAA", b"\xff\xfe\xc0A")
        yield b"\xff\xff no message"
        yield item(3)

    answers = {answer.request_id: answer for answer in asyncio.run(streamed(gateway, requests))}
    assert set(answers) == {0, 1, 2, 3}
    assert answers[1].search.product_ids
    assert answers[3].search.product_ids
    assert (answers[2].error.code, answers[2].error.field) == (code_pb2.INVALID_ARGUMENT, "search.query.text")
    assert answers[0].error.field == "request"


def test_a_stream_is_read_only_as_fast_as_its_answers_are_taken(gateway):
    """Nobody takes them, so the gateway must stop to read: its memory is bounded. Large requests and answers
    fill the windows of the connection soon."""
    sent = 0
    nobody = pb.Filter(field="brand", none_of=pb.Values(values=[f"nobody {n:020}" for n in range(900)]))
    whole = pb.SearchRequest(query=pb.Query(text="glass"), k=COUNT, fields=["title"], filters=[nobody])
    raw = pb.BatchSearchRequest(request_id=1, search=whole).SerializeToString()

    async def requests():
        nonlocal sent
        for _ in range(100_000):
            sent += 1
            yield raw

    async def hold() -> int:
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            method = "/vitrine.retrieval.v1.RetrievalService/BatchSearch"
            call = channel.stream_stream(method)(requests(), timeout=60)
            await call.read()
            before = -1
            async with asyncio.timeout(30):
                while before != sent:
                    before = sent
                    await asyncio.sleep(1.0)
            call.cancel()
            return sent

    assert asyncio.run(hold()) < 100_000, "what was sent is what flow control let pass"
    assert eventually(lambda: gateway.metric("vitrine_requests_in_flight") == 0, within_s=15)
    assert gateway.client.search("glass plate").product_ids


def test_a_client_that_vanishes_leaves_nothing_behind(gateway):
    async def requests():
        for number in range(500):
            yield item(number)

    assert len(asyncio.run(streamed(gateway, requests, take=5))) == 5
    assert eventually(lambda: gateway.metric("vitrine_requests_in_flight") == 0, within_s=15)
    assert gateway.client.search("glass plate").product_ids


def test_thousands_of_products_in_one_reply(client, exact):
    """The shop is small: all of it, with every field. The deep reply itself is a unit test."""
    reply = client.search("glass", k=10_000, fields=["title", "description", "price"], channels=DENSE)
    exact.check(reply, exact.of_words("glass"), COUNT)
    assert len(reply.columns) == 3
    assert list(reply.degradations) == [Degradation.FEWER_THAN_K]


def test_a_picture_too_large_is_refused_by_its_field_in_every_request(client):
    bomb = plain_png(30_000, 30_000, torn_at=4000)
    with pytest.raises(InvalidInput, match=r"query\.picture"):
        client.search("plate", picture=bomb)
    with pytest.raises(InvalidInput, match=r"^picture"):
        client.search_similar(SimilarRequest(picture=bomb))
