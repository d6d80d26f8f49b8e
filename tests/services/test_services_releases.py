"""Switching releases under load, and refusing those whose parts do not match."""

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import signal
import threading
import time
from pathlib import Path

import grpc
import pytest
from support.processes import eventually
from support.repository import write_tower

from faults import Unavailable
from retrieval_gateway.api.generated import release_service_pb2 as release_pb
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.generated.release_service_pb2_grpc import ReleaseServiceStub
from retrieval_gateway.api.generated.retrieval_service_pb2_grpc import RetrievalServiceStub
from retrieval_gateway.client import Channel, ChannelOptions

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

WITHIN_S = 30.0


def serving_id(gateway) -> str:
    return next((release.release_id for release in gateway.client.releases() if release.serving), "")


def follows(gateway, release_id: str) -> bool:
    return bool(eventually(lambda: serving_id(gateway) == release_id, WITHIN_S))


@pytest.fixture(autouse=True)
def first_again(stack, gateway):
    """Leaves the first release serving, whatever a test did."""
    yield
    stack.serve(stack.first.release_id)
    assert follows(gateway, stack.first.release_id)
    assert eventually(gateway.client.ready, WITHIN_S)


class Watchers:
    """Threads that ask the same few things again and again, past the cache, and keep every answer."""

    def __init__(self, address: str, queries: list[pb.Query]) -> None:
        self._queries = queries
        self._stop = threading.Event()
        self.replies: list[tuple[float, float, int, pb.SearchResponse]] = []
        """When asked, when answered, which query, the answer."""
        self.errors: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(address,)) for _ in range(3)]

    def _ask(self, address: str) -> None:
        with grpc.insecure_channel(address) as channel:
            search = RetrievalServiceStub(channel).Search
            while not self._stop.is_set():
                for place, query in enumerate(self._queries):
                    asked = time.monotonic()
                    try:
                        request = pb.SearchRequest(query=query, k=10, bypass_cache=True)
                        reply = search(request, timeout=10)
                        self.replies.append((asked, time.monotonic(), place, reply))
                    except grpc.RpcError as error:
                        self.errors.append(f"{error.code().name}: {error.details()}")

    @contextlib.contextmanager
    def watching(self):
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()


def answer_of(reply: pb.SearchResponse) -> tuple:
    return tuple(reply.product_ids), tuple(round(score, 4) for score in reply.scores)


def test_switching_under_load_fails_no_search_and_mixes_nothing(stack, gateway, observed):
    picture = stack.catalogue.pictures(stack.catalogue.ids[5])[0].data
    queries = [
        pb.Query(text="glass plate"),
        pb.Query(product_id=stack.catalogue.ids[9]),
        pb.Query(picture=picture),
    ]
    ordered, seen = [], []
    with Watchers(gateway.address, queries).watching() as watchers:
        for release in (stack.second, stack.first, stack.second, stack.first):
            enough = len(watchers.replies) + 30
            assert eventually(lambda enough=enough: len(watchers.replies) > enough)
            ordered.append(time.monotonic())
            stack.serve(release.release_id)
            assert follows(gateway, release.release_id)
            seen.append((time.monotonic(), release.release_id))
    assert not watchers.errors
    answers: dict[tuple[str, int], set] = {}
    settled_replies = 0
    for asked, answered, place, reply in watchers.replies:
        answers.setdefault((reply.release_id, place), set()).add(answer_of(reply))
        for (since, release_id), until in zip(seen, [*ordered[1:], math.inf], strict=True):
            if since < asked and answered < until:
                assert reply.release_id == release_id
                settled_replies += 1
    assert settled_replies > 60, "most were asked between two switches"
    assert {release_id for release_id, _ in answers} == {stack.first.release_id, stack.second.release_id}
    assert {len(different) for different in answers.values()} == {1}, "one question, one answer a release"
    observed(f"{len(watchers.replies)} searches during 4 switches, none failed")


def test_the_old_engines_leave_triton(stack, gateway):
    stack.serve(stack.second.release_id)
    assert follows(gateway, stack.second.release_id)
    for model in ("query_tower", "product_tower"):
        assert eventually(lambda model=model: stack.control.ready_versions(model) == (2,), WITHIN_S)


def test_activate_and_roll_back_over_grpc(stack):
    with (
        stack.gateway(VITRINE_RELEASE_ADMIN="true") as admin,
        grpc.insecure_channel(admin.address) as channel,
    ):
        releases = ReleaseServiceStub(channel)
        request = release_pb.ActivateReleaseRequest(release_id=stack.second.release_id)
        assert releases.ActivateRelease(request, timeout=20).release_id == stack.second.release_id
        assert admin.client.search("glass").release_id == stack.second.release_id
        assert releases.RollbackRelease(release_pb.RollbackReleaseRequest(), timeout=20).release_id == (
            stack.first.release_id
        )
        assert admin.client.search("glass").release_id == stack.first.release_id
        listed = releases.ListReleases(release_pb.ListReleasesRequest(), timeout=5).releases
        assert {one.release_id: (one.serving, one.active) for one in listed} == {
            stack.first.release_id: (True, True),
            stack.second.release_id: (False, False),
        }
        assert {one.products for one in listed} == {80}


@pytest.fixture
def copy_of_second(stack):
    """A third release that a test may damage: the second one under another id."""
    original = stack.store.path(stack.second.release_id)
    release_id = stack.second.release_id[:-6] + secrets.token_hex(3)
    folder = original.with_name(release_id)
    shutil.copytree(original, folder)
    change_manifest(folder, lambda manifest: manifest.update(release_id=release_id))
    yield folder
    stack.serve(stack.first.release_id)
    shutil.rmtree(folder)


def change_manifest(folder: Path, change) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def replace(folder: Path, name: str, content: bytes) -> None:
    """Puts another file into a release so that its own hash agrees: only what must match it does not."""
    (folder / name).write_bytes(content)
    part = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    change_manifest(folder, lambda manifest: manifest["files"].update({name: part}))


def edit_a_byte(folder: Path, _) -> None:
    content = bytearray((folder / "vectors.npy").read_bytes())
    content[-1] ^= 1
    (folder / "vectors.npy").write_bytes(content)


def swap_the_tokenizer(folder: Path, stack) -> None:
    replace(folder, "tokenizer.json", stack.tokenizer.to_bytes().replace(b'"glass"', b'"grass"', 1))


def swap_the_vectors(folder: Path, stack) -> None:
    replace(folder, "vectors.npy", (stack.store.path(stack.first.release_id) / "vectors.npy").read_bytes())


def swap_the_index(folder: Path, stack) -> None:
    replace(folder, "index.faiss", (stack.store.path(stack.first.release_id) / "index.faiss").read_bytes())


def claim_other_engines(folder: Path, _) -> None:
    def change(manifest) -> None:
        for tower in manifest["towers"].values():
            tower["version"] = 1

    change_manifest(folder, change)


def claim_a_missing_engine(folder: Path, _) -> None:
    change_manifest(folder, lambda manifest: manifest["towers"]["query_tower"].update(version=77))


def claim_other_preprocessing(folder: Path, _) -> None:
    change_manifest(folder, lambda manifest: manifest.update(preprocessing_hash="ab" * 32))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (edit_a_byte, r"vectors\.npy: sha256: parts disagree: expected '\w{64}', found '\w{64}'"),
        (swap_the_tokenizer, r"tokenizer sha256: parts disagree: expected '\w{64}', found '\w{64}'"),
        (
            swap_the_vectors,
            r"index dim: parts disagree: expected 16, found 24|vectors' shape.*80, 24.*80, 16",
        ),
        (swap_the_index, r"index dim: parts disagree: expected 24, found 16"),
        (claim_other_engines, r"probe of query_tower version 1: parts disagree: .*found '16 numbers'"),
        (claim_a_missing_engine, r"version 77 is not in Triton's model repository"),
        (
            claim_other_preprocessing,
            r"preprocessing hash: parts disagree: expected 'abab\w+', found '\w{64}'",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_release_whose_parts_do_not_match_is_refused(stack, gateway, copy_of_second, damage, message):
    damage(copy_of_second, stack)
    failed = gateway.metric("vitrine_release_loads_total", outcome="failed")
    stack.serve(copy_of_second.name)
    assert eventually(lambda: gateway.metric("vitrine_release_loads_total", outcome="failed") > failed)
    errors = lambda: [line["error"] for line in gateway.log() if "cannot serve" in line["event"]]  # noqa: E731
    assert eventually(lambda: re.search(message, "\n".join(errors()[-1:]))), errors()
    assert "Fix: " in errors()[-1]
    assert gateway.client.search("glass").release_id == stack.first.release_id
    assert gateway.client.ready()


@pytest.mark.parametrize("damage", [edit_a_byte, claim_other_preprocessing], ids=lambda one: one.__name__)
def test_activating_a_broken_release_over_grpc_leaves_the_store_as_it_was(stack, copy_of_second, damage):
    damage(copy_of_second, stack)
    with (
        stack.gateway(VITRINE_RELEASE_ADMIN="true") as admin,
        grpc.insecure_channel(admin.address) as channel,
    ):
        request = release_pb.ActivateReleaseRequest(release_id=copy_of_second.name)
        with pytest.raises(grpc.RpcError) as refused:
            ReleaseServiceStub(channel).ActivateRelease(request, timeout=20)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "parts disagree: expected" in refused.value.details()
        assert stack.store.active_id() == stack.first.release_id
        assert admin.client.search("glass").release_id == stack.first.release_id


@pytest.fixture
def third(stack):
    """A release with towers of its own."""
    # The export names its version in them; a Triton that starts later must not look for what is removed here.
    configurations = [
        (path, path.read_text()) for path in stack.settings.model_repository.glob("*/config.pbtxt")
    ]
    manifest = stack.publish(3, dim=16, seed=3)
    yield manifest
    stack.serve(stack.first.release_id)
    assert eventually(lambda: 3 not in stack.control.ready_versions("query_tower"), WITHIN_S)
    shutil.rmtree(stack.store.path(manifest.release_id))
    for model in ("query_tower", "product_tower"):
        shutil.rmtree(stack.settings.model_repository / model / "3")
    for path, text in configurations:
        path.write_text(text)


def test_another_engine_under_a_serving_version_answers_nobody(stack, gateway, third, tmp_path):
    """Somebody overwrites the model, and a restarted Triton loads it: nonsense must not be served."""
    stack.serve(third.release_id)
    assert follows(gateway, third.release_id)
    model = stack.settings.model_repository / "query_tower" / "3" / "model.onnx"
    original = model.read_bytes()
    other = write_tower(
        tmp_path, "query_tower", seed=9, dim=16, vocabulary_size=stack.tokenizer.vocabulary_size, max_tokens=8
    )
    model.write_bytes((other / "model.onnx").read_bytes())
    os.kill(stack.triton.pid, signal.SIGKILL)

    def refusal() -> str:
        try:
            gateway.client.search(secrets.token_hex(8), channels=ChannelOptions((Channel.DENSE,)))
        except Unavailable as error:
            return str(error)
        return ""

    try:
        assert eventually(
            lambda: "vector of the probe of query_tower version 3: parts disagree" in refusal(), 20
        )
        assert not gateway.client.ready()
        like = gateway.client.search(product_id=stack.catalogue.ids[0], bypass_cache=True)
        assert like.product_ids, "stored vectors are the release's own"
    finally:
        model.write_bytes(original)
    assert eventually(gateway.client.ready, WITHIN_S), "the right engine is found again"
    assert not refusal()
