"""Reads protobuf requests from raw bytes, with errors that name the field.

grpc's own deserialiser answers a string that is not UTF-8 with INTERNAL and no field
name. Our handlers take the raw bytes and parse them here.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from faults import InvalidInput

M = TypeVar("M", bound=Message)


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


def _first_bad_string(descriptor: Any, raw: bytes) -> tuple[str, bytes]:
    """Returns path and bytes of the first string that is not UTF-8; two empties if there is none."""
    try:
        message = _lenient_twin(descriptor.full_name, descriptor.file.serialized_pb).FromString(raw)
    except DecodeError:
        return "", b""
    return _search(message, descriptor, "")


def _search(lenient: Message, strict: Any, prefix: str) -> tuple[str, bytes]:
    for field, value in lenient.ListFields():
        original = strict.fields_by_name[field.name]
        repeated = isinstance(value, list) or not isinstance(value, (bytes, Message, int, float, str))
        for place, item in enumerate(value if repeated else [value]):
            path = f"{prefix}{field.name}[{place}]" if repeated else f"{prefix}{field.name}"
            if original.type == FieldDescriptor.TYPE_STRING and not _is_utf8(item):
                return path, item
            if original.message_type is not None:
                found = _search(item, original.message_type, f"{path}.")
                if found[0]:
                    return found
    return "", b""


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
