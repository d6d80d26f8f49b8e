"""Spoilt pictures: the decoder gives pixels or refuses, in place and in a worker. See ``fuzz_profile``."""

import asyncio

import numpy as np
import pytest
from fuzz_profile import fuzzed
from fuzz_strategies import PICTURES, pictures
from hypothesis import given
from hypothesis import strategies as st

from catalog.picture_decoder import PictureLimits, decode_picture
from faults import InvalidInput
from retrieval_gateway.security.picture_pool import PicturePool

LIMITS = PictureLimits(max_pixels=500_000)


def outcome(data: bytes, size: int) -> np.ndarray | str:
    try:
        pixels = decode_picture(data, size, LIMITS)
    except InvalidInput as error:
        refusal = error
    else:
        return checked(pixels, size)
    assert refusal.field == "picture"
    assert refusal.fix
    return str(refusal)


def checked(pixels: np.ndarray, size: int) -> np.ndarray:
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    return pixels


@fuzzed
@given(pictures, st.sampled_from([1, 16, 224]))
def test_a_spoilt_picture_is_pixels_or_a_refusal(data, size):
    outcome(data, size)


@pytest.fixture(scope="module")
def workers():
    """One worker for all examples: none of them may end it."""
    with asyncio.Runner() as runner:
        pool = PicturePool(1, time_s=30.0, memory_bytes=2**28)
        runner.run(pool.decode(PICTURES[0], 8, LIMITS))
        yield runner, pool
        runner.run(pool.close())


@fuzzed
@given(pictures)
def test_a_worker_says_the_same_and_survives(workers, data):
    runner, pool = workers
    before, expected = pool.idle, outcome(data, 8)
    try:
        found = runner.run(pool.decode(data, 8, LIMITS))
    except InvalidInput as error:
        found = str(error)
    np.testing.assert_array_equal(found, expected)
    assert pool.idle == before
