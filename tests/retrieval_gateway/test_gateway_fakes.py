"""The searcher's fakes do what the real parts do, in the same scenarios."""

import numpy as np
import pytest
from support.fake_lexical import FakeLexical
from support.fake_triton import FakeClient, FakeTriton
from support.made_releases import DIM, SIZE, MadeEncoder, unit_vectors

from catalog.catalogue import Catalogue
from catalog.schema import Product
from catalog.tokenizer import train_tokenizer
from faults import Unavailable
from indexing.lexical import write_lexical
from retrieval_gateway.channels.lexical import LexicalIndex
from retrieval_gateway.encoding.encoder import Encoder, EncoderSpec, TritonLink

TEXTS = ["red mug", "blue mug", "red shoe", "lamp", "white plate", "red striped mug"]


@pytest.fixture(params=["fake", "real"])
def lexical(request, tmp_path):
    if request.param == "fake":
        return FakeLexical(TEXTS)
    products = [Product(f"p{row}", title=text) for row, text in enumerate(TEXTS)]
    return LexicalIndex.open(tmp_path / write_lexical(tmp_path, Catalogue(products)).folder)


def test_full_text_finds_what_has_a_word(lexical):
    found = lexical.search("red mug", 10)
    assert set(found.rows.tolist()) == {0, 1, 2, 5}
    assert set(found.rows[:2].tolist()) == {0, 5}, "both words"
    assert (found.rows.dtype, found.scores.dtype) == (np.int64, np.float32)
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert lexical.search("red mug", 1).rows.tolist() == found.rows[:1].tolist()
    assert len(lexical.search("xylophone", 10).rows) == 0


def test_full_text_keeps_to_what_is_allowed(lexical):
    allowed = np.arange(len(TEXTS)) % 2 == 1
    assert set(lexical.search("red mug", 10, allowed).rows.tolist()) == {1, 5}


def test_full_text_tells_which_words_matched(lexical):
    rows = np.array([5, 3, 0], np.int64)
    assert lexical.matched_words("red xylophone mug", rows) == [["red", "mug"], [], ["red", "mug"]]
    assert [word.text for word in lexical.words("red xylophone mug red")] == ["red", "mug"]


class Triton:
    """The real encoder, and how to take its towers away."""

    def __init__(self) -> None:
        self.server = FakeTriton(v1=(1, DIM))
        self.server.load_everything()
        spec = EncoderSpec(1, 1, 8, 8, SIZE, views=1)
        tokenizer = train_tokenizer(["red mug for tea"], 300)
        self.encoder = Encoder(TritonLink(FakeClient(self.server), "fake"), spec, tokenizer)

    def go_away(self) -> None:
        self.server.away = True


class Made:
    """The fake one."""

    def __init__(self) -> None:
        names = ("red mug", "picture", "red mug+picture")
        self.encoder = MadeEncoder(dict(zip(names, unit_vectors(3), strict=True)))

    def go_away(self) -> None:
        self.encoder.away = True


@pytest.mark.parametrize("made", [Made, Triton])
async def test_an_encoder(made):
    towers = made()
    encoder = towers.encoder
    pixels = np.full((SIZE, SIZE, 3), 200, np.uint8)
    for tokenise in (encoder.tokenise, encoder.tokenise_product):
        assert not tokenise("red mug").truncated
        assert tokenise("red mug").keywords == ()
        assert tokenise("m " * 50).truncated
    words, product = encoder.tokenise("red mug"), encoder.tokenise_product("red mug")
    vectors = [
        await encoder.encode_words(words),
        await encoder.encode_picture(pixels),
        await encoder.encode_product(None, pixels),
        await encoder.encode_product(product, pixels),
    ]
    for vector in vectors:
        assert (vector.shape, vector.dtype) == ((DIM,), np.float32)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(vectors[1], vectors[2])
    assert not np.allclose(vectors[2], vectors[3])
    towers.go_away()
    with pytest.raises(Unavailable):
        await encoder.encode_words(words)
    with pytest.raises(Unavailable):
        await encoder.encode_product(product, None)
