"""Reads protobuf requests from raw bytes, with errors that name the field.

grpc's own deserialiser answers a string that is not UTF-8 with INTERNAL and no field
name. Our handlers take the raw bytes and parse them here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from faults import InvalidInput

M = TypeVar("M", bound=Message)

_MOST_LOOKED_AT = 5000
"""Values that are searched for the bad one; a request of millions must not hold up the event loop."""


def parse(kind: type[M], raw: bytes) -> M:
    """Parses ``raw`` as a message of ``kind``.

    Raises:
        InvalidInput: the bytes are no such message; a string that is not UTF-8 is named by its field.
    """
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        path, value = _first_bad_string(kind.DESCRIPTOR, raw)
        if path:
            raise InvalidInput(
                "not valid UTF-8", field=path, value=value, fix="Send text encoded as UTF-8."
            ) from error
        raise InvalidInput(
            f"not a {kind.DESCRIPTOR.full_name}",
            field="request",
            fix="Generate the client from the .proto files of this release.",
        ) from error


def peek_number(kind: type[Message], raw: bytes, field: str) -> int:
    """Returns a number of a message that ``parse`` may have refused; 0 where it cannot be read.

    Strings that are not UTF-8 do not matter here: an answer must find its request all the same.
    """
    descriptor = kind.DESCRIPTOR
    try:
        return int(
            getattr(_lenient_twin(descriptor.full_name, descriptor.file.serialized_pb).FromString(raw), field)
        )
    except DecodeError:
        return 0


def _first_bad_string(descriptor: Any, raw: bytes) -> tuple[str, bytes]:
    """Returns path and bytes of the first string that is not UTF-8; two empties if there is none."""
    try:
        message = _lenient_twin(descriptor.full_name, descriptor.file.serialized_pb).FromString(raw)
    except DecodeError:
        return "", b""
    looked_at = islice(_values(message, descriptor, ""), _MOST_LOOKED_AT)
    return next(((path, value) for path, value in looked_at if not _is_utf8(value)), ("", b""))


def _values(lenient: Message, strict: Any, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Yields path and bytes of every value in the message; no bytes for what is not a string."""
    for field, value in lenient.ListFields():
        original = strict.fields_by_name[field.name]
        repeated = isinstance(value, list) or not isinstance(value, (bytes, Message, int, float, str))
        for place, item in enumerate(value if repeated else [value]):
            path = f"{prefix}{field.name}[{place}]" if repeated else f"{prefix}{field.name}"
            yield path, item if original.type == FieldDescriptor.TYPE_STRING else b""
            if original.message_type is not None:
                yield from _values(item, original.message_type, f"{path}.")


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@cache
def _lenient_twin(full_name: str, serialized_file: bytes) -> type[Message]:
    """The same message with every string declared as bytes, in a descriptor pool of its own."""
    file = descriptor_pb2.FileDescriptorProto.FromString(serialized_file)
    for message in file.message_type:
        for field in message.field:
            if field.type == descriptor_pb2.FieldDescriptorProto.TYPE_STRING:
                field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))
