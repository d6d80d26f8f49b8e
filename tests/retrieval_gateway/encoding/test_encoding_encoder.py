"""Words and pictures to vectors, through a Triton in memory."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.fake_triton import FakeClient, FakeTriton
from support.small_releases import MAX_PRODUCT_TOKENS, MAX_QUERY_TOKENS, PICTURE_SIZE

from catalog.keyword_table import KeywordTable
from catalog.tokenizer import train_tokenizer
from faults import DeadlineExceeded, InternalError, InvalidInput, Mismatch, Unavailable
from releases.manifest import Probe
from retrieval_gateway.encoding.encoder import Encoder, EncoderSpec, Tokens, TritonLink, colour_ramp
from retrieval_gateway.encoding.tower_client import TowerClient

SPEC = EncoderSpec(1, 1, MAX_QUERY_TOKENS, MAX_PRODUCT_TOKENS, PICTURE_SIZE, views=2)
TOKENIZER = train_tokenizer(["red blue mug shoe lamp for tea and cake"], 300)
RED = np.full((PICTURE_SIZE, PICTURE_SIZE, 3), (250, 0, 0), np.uint8)


class Bench:
    def __init__(self, **link) -> None:
        self.triton = FakeTriton(v1=(1, 8), v2=(2, 12))
        self.triton.load_everything()
        self.suspicions = 0
        self.gathered: list[tuple[str, int]] = []
        self.link = TritonLink(
            FakeClient(self.triton),
            "fake:8001",
            on_failure=self.suspect,
            on_call=lambda tower, rows: self.gathered.append((tower, rows)),
            **link,
        )
        self.encoder = Encoder(self.link, SPEC, TOKENIZER)

    def suspect(self) -> None:
        self.suspicions += 1

    async def words(self, text: str) -> np.ndarray:
        return await self.encoder.encode_words(self.encoder.tokenise(text))


@pytest.fixture
def bench():
    return Bench()


def unit(vector) -> bool:
    return bool(abs(np.linalg.norm(vector) - 1) < 1e-5)


async def test_words_become_the_towers_vector_of_their_tokens(bench):
    vector = await bench.words("Red MUG")
    ids = np.array(TOKENIZER.encode(["red mug"], MAX_QUERY_TOKENS))
    expected = bench.triton.embed("query_tower", 1, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    np.testing.assert_array_equal(vector, expected[0])
    assert vector.dtype == np.float32
    assert unit(vector)
    assert bench.triton.calls == [("query_tower", 1, 1)]


async def test_long_words_are_cut_at_the_towers_length_and_that_is_said(bench):
    fitting = bench.encoder.tokenise("m " * (MAX_QUERY_TOKENS - 2))
    cut = bench.encoder.tokenise("m " * (MAX_QUERY_TOKENS - 1))
    assert (len(fitting.ids), fitting.truncated) == (MAX_QUERY_TOKENS, False)
    assert (len(cut.ids), cut.truncated) == (MAX_QUERY_TOKENS, True)
    assert cut.ids == fitting.ids, "the closing token stays"


async def test_keywords_follow_the_words_and_never_cut_them(bench):
    table = KeywordTable({"mug": ("red", "tea"), "m " * (MAX_QUERY_TOKENS - 2): ("red",)})
    encoder = Encoder(bench.link, SPEC, TOKENIZER, table)
    enriched = TOKENIZER.encode([KeywordTable.enrich("MUG", ("red", "tea"))], MAX_QUERY_TOKENS)[0]
    assert encoder.tokenise("MUG") == Tokens(enriched, truncated=False)
    assert encoder.tokenise("lamp") == bench.encoder.tokenise("lamp")
    full = "m " * (MAX_QUERY_TOKENS - 2)
    assert encoder.tokenise(full) == bench.encoder.tokenise(full), "there is no room for keywords"


def test_the_keywords_that_fit_whole_are_named(bench):
    """Those that do not are still cut in as in training, but were not read as words."""
    table = KeywordTable({"mug": ("tea", "cake", "lamp", "shoe")})
    for limit in range(5, 30):
        encoder = Encoder(bench.link, replace(SPEC, max_query_tokens=limit), TOKENIZER, table)
        tokens = encoder.tokenise("mug")
        assert tokens.ids == TOKENIZER.encode(["mug, tea cake lamp shoe"], limit)[0]
        read = TOKENIZER.encode([KeywordTable.enrich("mug", tokens.keywords)], 50)[0]
        assert len(read) <= limit or not tokens.keywords
        more = table.keywords["mug"][: len(tokens.keywords) + 1]
        assert more == tokens.keywords or len(TOKENIZER.encode([f"mug, {' '.join(more)}"], 50)[0]) > limit
    assert tokens.keywords == ("tea", "cake", "lamp", "shoe")


async def test_text_and_picture_go_through_the_product_tower_as_a_product_does(bench):
    tokens = bench.encoder.tokenise_product("Red mug")
    views, has_image = np.stack([RED, np.zeros_like(RED)]), np.array([True, False])
    (whole,) = await bench.encoder.product_embeddings(
        [bench.encoder.product_row("Red mug", views, has_image)]
    )
    np.testing.assert_array_equal(await bench.encoder.encode_product(tokens, RED), whole.vector)
    nothing = np.zeros_like(views), np.array([False, False])
    (text,) = await bench.encoder.product_embeddings([bench.encoder.product_row("Red mug", *nothing)])
    np.testing.assert_array_equal(await bench.encoder.encode_product(tokens, None), text.vector)
    long = bench.encoder.tokenise_product("m " * MAX_PRODUCT_TOKENS)
    assert (len(long.ids), long.truncated) == (MAX_PRODUCT_TOKENS, True)


async def test_concurrent_words_share_calls_and_get_their_own_vectors(bench):
    texts = ["mug", "red mug for tea", "shoe", "blue lamp", "cake", "red"] * 5
    vectors = await asyncio.gather(*(bench.words(text) for text in texts))
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(vector, await bench.words(text), atol=1e-6)
    assert [rows for tower, rows in bench.gathered[:3] if tower == "query_tower"] == [1, 1, 28]


async def test_a_picture_is_a_product_without_words_in_its_first_view(bench):
    vector = await bench.encoder.encode_picture(RED)
    row = bench.encoder.product_row("", np.stack([RED, np.zeros_like(RED)]), np.array([True, False]))
    assert not row.has_text
    (expected,) = await bench.encoder.product_embeddings([row])
    np.testing.assert_array_equal(vector, expected.vector)
    assert unit(vector)
    assert bench.triton.calls == [("product_tower", 1, 1)] * 2


async def test_probes_speak_to_their_tower(bench):
    for tower, picture in (("query_tower", "none"), ("product_tower", "none"), ("product_tower", "ramp")):
        probe = Probe(tower=tower, picture=picture, input_ids=(2, 7, 3), expected=(0.0,))
        assert unit(await bench.encoder.probe(probe))
    assert [model for model, _, _ in bench.triton.calls] == ["query_tower", "product_tower", "product_tower"]


def test_the_ramp_is_the_same_everywhere():
    ramp = colour_ramp(3)
    assert ramp.shape == (3, 3, 3)
    assert ramp.dtype == np.uint8
    assert ramp[0, 2].tolist() == [255, 0, 40]
    assert ramp[2, 0].tolist() == [0, 255, 40]


async def test_the_version_of_the_release_is_asked_and_no_other(bench):
    bench.triton.loaded["query_tower"] = {2}
    with pytest.raises(Unavailable, match="version 1") as missing:
        await bench.words("mug")
    assert missing.value.retry_after_s > 0
    assert bench.suspicions == 1


async def test_faults_of_triton_are_told_and_reported(bench):
    for state, error in (("away", Unavailable), ("dead", Unavailable), ("late", Unavailable)):
        server = bench.triton
        server.away = state == "away"
        server.dead = {("query_tower", 1)} if state == "dead" else set()
        server.late = {("query_tower", 1)} if state == "late" else set()
        before = bench.suspicions
        with pytest.raises(error):
            await bench.words("mug")
        assert bench.suspicions == before + 1, state


async def test_a_late_tower_is_late_to_whoever_probes_and_away_to_a_shopper_with_time_left(bench):
    bench.triton.late = {("query_tower", 1)}
    with pytest.raises(DeadlineExceeded):
        await bench.encoder.probe(Probe(tower="query_tower", input_ids=(2, 7, 3), expected=(0.0,)))
    with pytest.raises(Unavailable, match="did not answer in time") as away:
        await bench.words("mug")
    assert away.value.retry_after_s > 0


async def test_a_tower_in_doubt_answers_probes_but_no_shopper_and_the_other_one_does(bench):
    probe = Probe(tower="query_tower", input_ids=(2, 7, 3), expected=(0.0,))
    doubt = Mismatch("vector", expected=1, found=0, fix="Mend it.")
    bench.encoder.trust.doubt("query_tower", doubt)
    with pytest.raises(Unavailable, match="parts disagree"):
        await bench.words("mug")
    assert unit(await bench.encoder.encode_picture(RED))
    bench.encoder.trust.doubt("product_tower", doubt)
    with pytest.raises(Unavailable, match="parts disagree"):
        await bench.encoder.encode_picture(RED)
    assert unit(await bench.encoder.probe(probe))
    bench.encoder.trust.restore("query_tower")
    assert unit(await bench.words("mug"))


async def test_an_answer_that_was_under_way_when_the_doubt_came_is_not_used(bench):
    """It may be the new engine's: between its loading and its first probe there is no telling."""
    asked = asyncio.create_task(bench.words("mug"))
    await asyncio.sleep(0)
    bench.encoder.trust.doubt("query_tower", Unavailable("the tower is being loaded"))
    with pytest.raises(Unavailable, match="being loaded"):
        await asked


async def test_an_answer_without_data_is_a_bug_and_not_a_result():
    class Hollow(FakeClient):
        async def infer(self, *_args, **_options):
            return type("Answer", (), {"as_numpy": lambda _self, _name: np.zeros((1, 0), np.float32)})()

    client = TowerClient(Hollow(FakeTriton(v1=(1, 8))), "fake", "query_tower", 1, ("query_embedding",), 1.0)
    with pytest.raises(InternalError, match="returned no data for query_embedding"):
        await client.run({"input_ids": np.ones((1, 3), np.int64)})


async def test_rows_that_triton_refuses_are_the_callers_fault():
    from tritonclient.utils import InferenceServerException

    class Strict(FakeClient):
        async def infer(self, *_args, **_options):
            raise InferenceServerException(
                "unexpected shape for input 'input_ids'", "StatusCode.INVALID_ARGUMENT"
            )

    client = TowerClient(Strict(FakeTriton(v1=(1, 8))), "fake", "query_tower", 1, ("query_embedding",), 1.0)
    with pytest.raises(InvalidInput, match="unexpected shape"):
        await client.run({"input_ids": np.ones((1, 3), np.int64)})


@pytest.mark.parametrize("target", ["cpu", "onnxruntime", "tensorrt"])
async def test_native_targets_get_few_lengths_and_the_same_vectors(target):
    bench = Bench()
    spec = replace(SPEC, target=target, max_query_tokens=20, max_product_tokens=30)
    encoder = Encoder(bench.link, spec, TOKENIZER)
    tokens = encoder.tokenise("red mug")
    ids = np.array([tokens.ids])
    plain = bench.triton.embed("query_tower", 1, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
    lengths, embed = [], bench.triton.embed

    def seen(model, version, inputs):
        assert inputs["input_ids"].shape == inputs["attention_mask"].shape
        lengths.append((model, inputs["input_ids"].shape[1]))
        return embed(model, version, inputs)

    bench.triton.embed = seen
    np.testing.assert_allclose(await encoder.encode_words(tokens), plain, atol=1e-6)
    for count in (8, 9, 17, 20):
        await encoder.query_vectors([[5] * count])
    await encoder.encode_picture(RED)
    for count in (25, 30):
        row = encoder.product_row("", np.stack([RED, RED]), np.array([True, True]))
        await encoder.product_embeddings([replace(row, ids=[5] * count)])
    query = [length for model, length in lengths if model == "query_tower"]
    product = [length for model, length in lengths if model == "product_tower"]
    if target == "cpu":
        assert (query, product) == ([len(tokens.ids), 8, 9, 17, 20], [2, 25, 30])
    else:  # the largest is the tower's own limit: it may have no positions beyond
        assert (query, product) == ([8, 8, 16, 20, 20], [8, 30, 30])


def test_the_manifest_says_which_target_the_encoder_pads_for():
    manifest = SimpleNamespace(
        towers={name: SimpleNamespace(version=4) for name in ("query_tower", "product_tower")},
        tokenizer=SimpleNamespace(max_query_tokens=6, max_product_tokens=7),
        picture_size=8,
        views=1,
        engine=SimpleNamespace(target="tensorrt"),
    )
    assert EncoderSpec.of(manifest) == EncoderSpec(4, 4, 6, 7, 8, 1, "tensorrt")
