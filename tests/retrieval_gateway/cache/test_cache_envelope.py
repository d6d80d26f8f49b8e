"""Envelopes: whatever is not exactly ours is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retrieval_gateway.cache import open_envelope, seal_envelope

KEY, RELEASE = "vitrine:r1:aa", "r1"
SEALED = seal_envelope(b"forty-two products", key=KEY, release_id=RELEASE)


def opened(value: bytes, key: str = KEY, release_id: str = RELEASE) -> bytes | None:
    return open_envelope(value, key=key, release_id=release_id)


@given(st.binary(max_size=300), st.text(max_size=20), st.text(max_size=20))
def test_what_was_sealed_opens(payload: bytes, key: str, release_id: str) -> None:
    sealed = seal_envelope(payload, key=key, release_id=release_id)
    assert open_envelope(sealed, key=key, release_id=release_id) == payload


def test_every_single_flipped_bit_is_noticed() -> None:
    for at in range(len(SEALED)):
        for bit in range(8):
            changed = bytearray(SEALED)
            changed[at] ^= 1 << bit
            assert opened(bytes(changed)) is None, f"byte {at}, bit {bit}"


def test_every_truncation_and_every_tail_is_noticed() -> None:
    for size in range(len(SEALED)):
        assert opened(SEALED[:size]) is None
    assert opened(SEALED + b"x") is None


def test_a_value_of_another_key_or_release_is_refused() -> None:
    assert opened(SEALED) == b"forty-two products"
    assert opened(SEALED, key="vitrine:r1:ab") is None
    assert opened(SEALED, release_id="r2") is None


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(value: bytes) -> None:
    assert opened(value) is None
