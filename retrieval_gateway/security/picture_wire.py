"""How the gateway and its picture workers speak: lengths, then bytes. Nothing of it is ever executed.

No pickle, as ``concurrent.futures`` would use: a decoder that a hostile picture has taken over could
answer with code. So an answer is pixels of exactly the size that was asked for, or a short refusal.

    request   u32 length of the order, u32 length of the picture, the order as JSON, the picture
    answer    u8 kind, u32 length, pixels (uint8, rows of RGB) or a refusal as JSON

A worker begins with one byte, ``READY``.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass

from catalog.picture_decoder import PictureLimits

REQUEST_HEAD = struct.Struct(">II")
ANSWER_HEAD = struct.Struct(">BI")
READY = b"R"
PIXELS, REFUSED, EXHAUSTED = 0, 1, 2
"""Kinds of answers; ``EXHAUSTED`` is a refusal after which the worker ends, for its memory is used up."""
LONGEST_REFUSAL = 4096


@dataclass(frozen=True, slots=True)
class Order:
    """What to do with the picture that follows.

    Args:
        size: side of the square of pixels.
        limits: what is refused before decoding.
        time_s: processor seconds after which the kernel ends the worker.
    """

    size: int
    limits: PictureLimits
    time_s: float

    def to_json(self) -> bytes:
        """Returns the order as it is sent."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Order:
        """Reads what ``to_json`` wrote."""
        fields = json.loads(text)
        limits = {**fields["limits"], "formats": tuple(fields["limits"]["formats"])}
        return cls(fields["size"], PictureLimits(**limits), fields["time_s"])


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a picture was not decoded."""

    problem: str
    fix: str

    def to_json(self) -> bytes:
        """Returns the refusal as it is sent, cut to its greatest length."""
        return json.dumps({"problem": self.problem[:1000], "fix": self.fix[:500]})[:LONGEST_REFUSAL].encode()

    @classmethod
    def from_json(cls, text: bytes | bytearray) -> Refusal:
        """Reads a refusal; whatever is not one becomes a plain one."""
        try:
            fields = json.loads(text)
            return cls(str(fields["problem"]), str(fields["fix"]))
        except (ValueError, KeyError, TypeError):
            return cls("the picture cannot be decoded", "")
