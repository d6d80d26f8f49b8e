"""Searches through the whole system, compared with an exact answer computed here from the same files."""

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import onnxruntime
import pytest
from support.pictures import plain_png
from support.processes import eventually, stubs

from catalog.pictures import decode_picture
from catalog.tokenizer import Tokenizer, pad_batch
from faults import DeadlineExceeded, VitrineError
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.generated.retrieval_service_pb2_grpc import RetrievalServiceStub
from retrieval_gateway.client import Channel, ChannelOptions, RetrievalClient, SearchReply

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

DENSE = ChannelOptions((Channel.DENSE,))


class Exact:
    """The first release's answers, from its files and its towers, without Triton and without an index."""

    def __init__(self, stack) -> None:
        folder = stack.store.path(stack.first.release_id)
        self.vectors = np.load(folder / "vectors.npy")
        self.ids = stack.catalogue.ids
        self._tokenizer = Tokenizer.from_file(folder / "tokenizer.json")
        self._limits = stack.first.tokenizer
        self._size = stack.first.picture_size
        models = stack.settings.model_repository
        self._query, self._product = (
            onnxruntime.InferenceSession(models / tower / "1" / "model.onnx")
            for tower in ("query_tower", "product_tower")
        )

    def of_words(self, text: str) -> np.ndarray:
        ids, mask = pad_batch(self._tokenizer.encode([text], self._limits.max_query_tokens))
        return self._query.run(None, {"input_ids": ids, "attention_mask": mask})[0][0]

    def of_picture(self, data: bytes) -> np.ndarray:
        return self.of_product("", data)

    def of_product(self, text: str, data: bytes) -> np.ndarray:
        ids, mask = pad_batch(self._tokenizer.encode([text], self._limits.max_product_tokens))
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "pixels": decode_picture(data, self._size)[None, None],
            "has_text": np.array([[bool(text)]]),
            "has_image": np.array([[True]]),
        }
        return self._product.run(None, inputs)[0][0]

    def check(self, reply, vector, k: int, allowed=lambda _: True) -> None:
        scores = dict(zip(self.ids, self.vectors @ vector, strict=True))
        expected = sorted((-score, one) for one, score in scores.items() if allowed(one))[:k]
        assert list(reply.scores) == pytest.approx([-score for score, _ in expected], abs=1e-5)
        assert [scores[one] for one in reply.product_ids] == pytest.approx(list(reply.scores), abs=1e-5)
        assert len(set(reply.product_ids)) == len(expected)
        assert all(allowed(one) for one in reply.product_ids)


@pytest.fixture(scope="module")
def exact(stack):
    return Exact(stack)


def test_words_find_the_nearest_products(stack, client, exact):
    for product in stack.catalogue.products[::9]:
        reply = client.search(product.title, k=20, channels=DENSE)
        exact.check(reply, exact.of_words(product.title), 20)


def test_a_picture_finds_the_nearest_products(stack, client, exact):
    data = stack.catalogue.pictures(stack.catalogue.ids[30])[0].data
    reply = client.search(picture=data, k=15)
    exact.check(reply, exact.of_picture(data), 15)
    assert reply.timings.preprocess_us > 0
    assert reply.timings.encode_us > 0


def test_more_like_this_is_answered_without_an_inference(stack, client, exact):
    def search_four() -> None:
        for row in (0, 7, 40, 55):
            reply = client.search(product_id=exact.ids[row], k=10, bypass_cache=True)
            exact.check(reply, exact.vectors[row], 10, lambda one, row=row: one != exact.ids[row])
            assert reply.timings.encode_us == 0

    def inferences_meanwhile() -> int:
        before = settled(stack, "query_tower") + settled(stack, "product_tower")
        search_four()
        return settled(stack, "query_tower") + settled(stack, "product_tower") - before

    # The gateway's own health probes come now and then; between two of them there is nothing.
    assert eventually(lambda: inferences_meanwhile() == 0, within_s=10)


def settled(stack, model: str) -> int:
    """Inferences of a model; Triton counts one shortly after it has answered it."""
    seen = [stack.inferences(model)]
    eventually(lambda: seen.append(stack.inferences(model)) or seen[-1] == seen[-2], every_s=0.05)
    return seen[-1][0]


def part_of(product) -> str:
    """The middle of ``Electronics > Phones > Cases``."""
    return product.subcategory.split(" > ")[1]


FILTERS = {
    "one of the brands": (
        lambda one: pb.Filter(field="brand", any_of=pb.Values(values=[one.brand, "nobody"])),
        lambda one, product: product.brand == one.brand,
    ),
    "none of the brands, which keeps what has none": (
        lambda _: pb.Filter(field="color", none_of=pb.Values(values=["blue"])),
        lambda _, product: product.color != "blue",
    ),
    "a price range, which drops what has no price": (
        lambda _: pb.Filter(field="price", range=pb.Range(minimum=3.99, maximum=20)),
        lambda _, product: product.price is not None and 3.99 <= product.price <= 20,
    ),
    "an open range": (
        lambda _: pb.Filter(field="price", range=pb.Range(maximum=15.5)),
        lambda _, product: product.price is not None and product.price <= 15.5,
    ),
    "in stock": (
        lambda _: pb.Filter(field="in_stock", **{"is": True}),
        lambda _, product: product.in_stock is True,
    ),
    "a part of the category's path": (
        lambda one: pb.Filter(field="category", any_of=pb.Values(values=[part_of(one).upper()])),
        lambda one, product: part_of(one) in product.subcategory.split(" > "),
    ),
}


@pytest.mark.parametrize(("condition", "holds"), FILTERS.values(), ids=FILTERS)
def test_filters_keep_exactly_what_satisfies_them(stack, client, exact, condition, holds):
    one = stack.catalogue.products[10]
    fitting = {product.product_id for product in stack.catalogue.products if holds(one, product)}
    assert 0 < len(fitting) < len(stack.catalogue), "the shop must have some of each, or nothing is tested"
    reply = client.search("glass", k=80, filters=[condition(one)], channels=DENSE)
    exact.check(reply, exact.of_words("glass"), 80, fitting.__contains__)
    assert list(reply.degradations) == [pb.DEGRADATION_FEWER_THAN_K]


def test_the_shop_has_missing_values_and_filters_follow_the_rule(stack, client):
    unpriced = {product.product_id for product in stack.catalogue.products if product.price is None}
    assert unpriced
    everything = pb.Filter(field="price", range=pb.Range(minimum=-1e9, maximum=1e9))
    assert unpriced.isdisjoint(client.search("glass", k=80, filters=[everything]).product_ids)


def test_fields_come_back_as_the_catalogue_has_them(stack, client):
    fields = ["title", "brand", "color", "price", "in_stock", "subcategory"]
    reply = client.search("glass", k=80, fields=fields)
    assert [column.field for column in reply.columns] == fields
    for column in reply.columns:
        for product_id, value in zip(reply.product_ids, column.values, strict=True):
            expected = getattr(stack.catalogue.get(product_id), column.field)
            assert value == (None if expected == "" else expected), (product_id, column.field)


def test_words_that_are_too_long_for_the_tower_are_cut_and_that_is_said(client):
    assert list(client.search("glass " * 20).degradations) == [pb.DEGRADATION_QUERY_TRUNCATED]


async def ask_all(address: str, texts: list[str]) -> list[pb.SearchResponse]:
    async with grpc.aio.insecure_channel(address) as channel:
        search = RetrievalServiceStub(channel).Search
        dense = DENSE.message()
        requests = (pb.SearchRequest(query=pb.Query(text=text), k=5, channels=dense) for text in texts)
        return await asyncio.gather(*(search(request, timeout=20) for request in requests))


def test_concurrent_searches_are_batched(stack, gateway, exact, observed):
    """These towers are too quick to keep anybody waiting, so theirs is held until everybody has come."""
    texts = [f"{product.title} {place}" for place, product in enumerate(stack.catalogue.products)]
    stub = stubs(stack.triton.shared_memory_prefix)["query_tower/1"]
    before = stack.inferences()
    os.kill(stub, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(lambda: asyncio.run(ask_all(gateway.address, texts)))
            # Triton gives a stub that does not answer one second.
            eventually(lambda: gateway.metric("vitrine_requests_in_flight") == len(texts), within_s=0.7)
            os.kill(stub, signal.SIGCONT)
            replies = asking.result()
    finally:
        os.kill(stub, signal.SIGCONT)
    settled(stack, "query_tower")
    inferences, executions = (now - was for was, now in zip(before, stack.inferences(), strict=True))
    observed(f"{inferences} inferences in {executions} executions")
    assert inferences >= len(texts)
    assert executions < inferences / 4, (executions, inferences)
    for text, reply in zip(texts, replies, strict=True):
        exact.check(reply, exact.of_words(text), 5)
    assert gateway.metric("vitrine_gathered_rows_sum", tower="query_tower") >= len(texts)


def test_a_deadline_that_cannot_be_kept_is_said(gateway):
    with RetrievalClient(gateway.address, timeout_s=0.001) as hasty:
        hasty.listening()  # connecting is not what is timed
        outcomes = [outcome(hasty, f"something new {number}") for number in range(20)]
    assert DeadlineExceeded in outcomes
    assert set(outcomes) <= {DeadlineExceeded, SearchReply}
    assert gateway.client.search("something new 0").product_ids


def outcome(client, text: str) -> type:
    try:
        return type(client.search(text))
    except VitrineError as error:
        return type(error)


def test_a_request_without_a_deadline_gets_the_gateways(stack):
    slow = pb.SearchRequest(query=pb.Query(picture=plain_png(8000, 4999)))
    with (
        stack.gateway(VITRINE_DEFAULT_TIMEOUT_S="0.2") as strict,
        grpc.insecure_channel(strict.address) as channel,
    ):
        with pytest.raises(grpc.RpcError) as failed:
            RetrievalServiceStub(channel).Search(slow)
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "deadline: not done within 0.200 s" in failed.value.details()
        assert strict.client.search("something new").product_ids
