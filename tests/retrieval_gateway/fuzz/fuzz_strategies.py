"""What hypothesis throws at the gateway: messages of any shape, bytes that were messages, spoilt pictures."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st
from support.encoded_pictures import FORMATS, encoded
from support.small_releases import PRODUCTS

PICTURES = tuple(
    encoded(kind, width, height, mode=mode)
    for kind in FORMATS
    for width, height in ((48, 32), (7, 61))
    for mode in ("RGB", "L", "RGBA")
    if (kind, mode) != ("JPEG", "RGBA")
)
MARK = "typed by a shopper"
"""Stands in texts, so that a log that has it is noticed."""

_MOST_DEPTH = 4
_MOST_REPEATED = 3
_WORDS = (
    "red mug",
    "blue",
    "  ",
    "mug-red",
    "shoe-blue",
    "title",
    "price",
    "brand",
    "in_stock",
    "Luma",
    "red",
)
_TEXTS = st.one_of(
    st.sampled_from((*_WORDS, *(product.product_id for product in PRODUCTS))),
    st.text(max_size=40),
    st.text(max_size=20).map(lambda text: MARK + text),
    st.sampled_from(["x" * 5000, "\x00", "‮", "é" * 700, "'; DROP", "../../etc/passwd", "{{7*7}}", "%s%n"]),
)
_KINDS = FieldDescriptor
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    _KINDS.TYPE_STRING: _TEXTS,
    _KINDS.TYPE_BOOL: st.booleans(),
    _KINDS.TYPE_UINT32: st.one_of(st.integers(0, 12), st.integers(0, 2**32 - 1)),
    _KINDS.TYPE_UINT64: st.integers(0, 2**64 - 1),
    _KINDS.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    _KINDS.TYPE_FLOAT: st.one_of(st.floats(0, 2, width=32), st.floats(width=32)),
    _KINDS.TYPE_DOUBLE: st.one_of(st.floats(0, 100), st.floats()),
    _KINDS.TYPE_ENUM: st.integers(-1, 8),
}


@st.composite
def edited(draw: st.DrawFn, content: st.SearchStrategy[bytes]) -> bytes:
    """Content with up to six places overwritten, cut out, doubled or filled with noise."""
    data = bytearray(draw(content))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 16))
        match draw(st.sampled_from(["overwrite", "cut", "double", "insert", "truncate", "bits"])):
            case "overwrite":
                data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
            case "cut":
                del data[at : at + length]
            case "double":
                data[at:at] = data[at : at + length]
            case "insert":
                data[at:at] = draw(st.binary(max_size=64))
            case "truncate":
                del data[at:]
            case "bits" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


def mended_png(data: bytes) -> bytes:
    """A PNG whose chunks have right checksums again, so that a decoder reads on past the edit."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + min(length, len(data))]
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(out)


_EDITED_PICTURES = edited(st.sampled_from(PICTURES))
pictures = st.one_of(
    st.sampled_from(PICTURES), _EDITED_PICTURES, _EDITED_PICTURES.map(mended_png), st.binary()
)


def _number(field: FieldDescriptor) -> int:
    return field.number


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor, depth: int = 0) -> Message:
    """A message of any content that the schema allows, and enum values that it does not."""
    message = message_factory.GetMessageClass(descriptor)()
    for field in draw(st.lists(st.sampled_from(list(descriptor.fields)), max_size=6, unique_by=_number)):
        if field.message_type is not None and depth >= _MOST_DEPTH:
            continue
        values = values_of(field, depth)
        if field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(values, max_size=_MOST_REPEATED)))
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(draw(values))
        else:
            setattr(message, field.name, draw(values))
    return message


def values_of(field: FieldDescriptor, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of one field, of one item of it where it is repeated."""
    if field.message_type is not None:
        return messages(field.message_type, depth + 1)
    return pictures if field.type == _KINDS.TYPE_BYTES else _SCALARS[field.type]
