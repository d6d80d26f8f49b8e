"""What the shopper gave becomes one vector: encoded, mixed, taken away, or given."""

import numpy as np
import pytest
from support.made_releases import MadeEncoder, Searching, made_release, unit_vectors
from support.small_releases import jpeg

from faults import InvalidInput, NotFound
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.encoding.arithmetic import mix, take_away
from retrieval_gateway.query import (
    Example,
    GivenVector,
    LikeProduct,
    Picture,
    Without,
    Words,
    WordsAndPicture,
)

VECTORS = unit_vectors(40)
WORDS, PICTURE, JOINT, UNWANTED = unit_vectors(4, seed=1)


@pytest.fixture
def searching(tmp_path):
    encoder = MadeEncoder({"mug": WORDS, "picture": PICTURE, "mug+picture": JOINT, "red": UNWANTED})
    with Searching(made_release(tmp_path, VECTORS, {}, encoder)) as searching:
        yield searching


def given(numbers) -> GivenVector:
    return GivenVector(np.asarray(numbers, "<f4").tobytes())


CASES = {
    "words": (Words("mug"), None, WORDS, ["mug"]),
    "a picture": (Picture(jpeg("red")), None, PICTURE, ["picture"]),
    "both, mixed": (
        WordsAndPicture("mug", jpeg("red"), 0.25),
        None,
        mix(WORDS, PICTURE, 0.25),
        ["mug", "picture"],
    ),
    "both, jointly": (WordsAndPicture("mug", jpeg("red"), None), None, JOINT, ["mug+picture"]),
    "words without others": (
        Words("mug"),
        Without("red", 0.5),
        take_away(WORDS, UNWANTED, 0.5),
        ["mug", "red"],
    ),
    "both without": (
        WordsAndPicture("mug", jpeg("red"), 0.5),
        Without("red", 1.5),
        take_away(mix(WORDS, PICTURE, 0.5), UNWANTED, 1.5),
        ["mug", "picture", "red"],
    ),
    "jointly without": (
        WordsAndPicture("mug", jpeg("red"), None),
        Without("red", 1.0),
        take_away(JOINT, UNWANTED, 1.0),
        ["mug+picture", "red"],
    ),
    "a vector": (given(3 * WORDS), None, WORDS, []),
    "a vector without": (given(WORDS), Without("red", 1.0), take_away(WORDS, UNWANTED, 1.0), ["red"]),
}


@pytest.mark.parametrize(("subject", "without", "vector", "calls"), CASES.values(), ids=CASES)
async def test_the_nearest_to_the_vector_are_found(searching, subject, without, vector, calls):
    reply = await searching.search(subject, k=5, without=without)
    exact = VECTORS @ vector
    assert list(reply.product_ids) == [f"p{row}" for row in np.argsort(-exact)[:5]]
    assert list(reply.scores) == pytest.approx(np.sort(exact)[::-1][:5], abs=1e-6)
    assert sorted(searching.release.encoder.calls) == sorted(calls)
    assert not reply.degradations


async def test_more_like_this_but_not_that(searching):
    reply = await searching.search(LikeProduct("p3"), k=39, without=Without("red", 2.0))
    exact = VECTORS @ take_away(VECTORS[3], UNWANTED, 2.0)
    assert list(reply.product_ids) == [f"p{row}" for row in np.argsort(-exact) if row != 3]
    assert searching.release.encoder.calls == ["red"]


@pytest.mark.parametrize("length", [1, 7, 9, 700])
async def test_a_vector_of_another_release_is_refused(searching, length):
    with pytest.raises(InvalidInput, match=f"vectors of 8 numbers.*'{length} numbers'") as refused:
        await searching.search(given(np.ones(length)))
    assert refused.value.field == "query.vector"
    assert refused.value.fix


async def test_large_numbers_are_normalised(searching):
    reply = await searching.search(given(1e38 * WORDS), k=1)
    assert list(reply.scores) == pytest.approx([(VECTORS @ WORDS).max()], abs=1e-6)


async def test_an_unknown_product_is_not_found_by_its_field(searching):
    with pytest.raises(NotFound) as missing:
        await searching.search(LikeProduct("p99"))
    assert missing.value.field == "query.product_id"


@pytest.mark.parametrize("mixing", [0.5, None])
async def test_words_that_were_cut_are_said_to_be_cut(searching, mixing):
    long = "m" * 50
    searching.release.encoder.vectors |= {long: WORDS, f"{long}+picture": JOINT}
    reply = await searching.search(WordsAndPicture(long, jpeg("red"), mixing), k=1)
    assert list(reply.degradations) == [pb.DEGRADATION_QUERY_TRUNCATED]


async def test_a_torn_picture_is_refused_before_any_tower_is_asked(searching):
    with pytest.raises(InvalidInput) as refused:
        await searching.search(WordsAndPicture("mug", jpeg("red")[:-40], 0.5))
    assert refused.value.field == "query.picture"
    assert searching.release.encoder.calls == []


async def test_pictures_are_decoded_where_the_gateway_says(tmp_path):
    async def decode(data, size, _limits):
        if data == b"bomb":
            raise InvalidInput("too large", field="picture", fix="Send a smaller one.")
        return np.zeros((size, size, 3), np.uint8)

    encoder = MadeEncoder({"picture": PICTURE})
    with Searching(made_release(tmp_path, VECTORS, {}, encoder), decode) as searching:
        assert (await searching.search(Picture(b"no file at all"), k=1)).product_ids
        with pytest.raises(InvalidInput, match="Send a smaller one") as refused:
            await searching.search(Picture(b"bomb"))
        assert refused.value.field == "query.picture"
        with pytest.raises(InvalidInput) as refused:
            await searching.similar(Example("", b"bomb"))
        assert refused.value.field == "picture"


async def test_keywords_that_the_tower_read_are_told(searching):
    searching.release.encoder.keywords = ("stoneware", "red")
    assert list((await searching.search(Words("mug"))).keywords) == ["stoneware", "red"]
    both = await searching.search(WordsAndPicture("mug", jpeg("red"), 0.5))
    assert list(both.keywords) == ["stoneware", "red"]
    joint = await searching.search(WordsAndPicture("mug", jpeg("red"), None))
    assert list(joint.keywords) == [], "the product tower reads none"
