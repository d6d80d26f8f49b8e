"""What a picture's headers say, read without decoding anything.

Pillow's general ``open`` warns about decompression bombs through the process-wide
warnings filter and guesses among forty formats. Neither suits a server, so format, size
and orientation are settled here before a decoder sees the bytes.
"""

from __future__ import annotations

import struct

__all__ = ["exif_orientation", "png_essentials", "sniff_format", "webp_size"]

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"<svg", "SVG"),
    (b"<?xml", "SVG"),
)
_PNG_SIGNATURE = 8
_PNG_CHUNK = 12  # length, kind and checksum, around the data
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND"})
_ORIENTATION_TAG = 0x0112
_UPRIGHT = 1
_LAST_ORIENTATION = 8


def sniff_format(data: bytes) -> str:
    """Returns the format's name by its magic bytes (``JPEG``, ``PNG``, ``WEBP``, ...), or ``unknown``."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return "AVIF/HEIF"
    return next((name for magic, name in _MAGIC if data.startswith(magic)), "unknown")


def webp_size(data: bytes) -> tuple[int, int]:
    """Returns the (width, height) that a WebP file declares.

    Needed before decoding: libwebp reserves the whole canvas when the file is opened.

    Raises:
        ValueError: the header is not that of a WebP picture.
    """
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        raise ValueError("the WebP header is cut off")
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("the WebP header is of no known kind")


def png_essentials(data: bytes) -> bytes:
    """Returns a PNG without the chunks that say nothing about its (first) picture.

    Left out are texts and profiles, which may unpack to any size, and animation, whose
    damaged headers make Pillow warn. What cannot be parsed is kept for the decoder to refuse.
    """
    kept = [data[:_PNG_SIGNATURE]]
    place = _PNG_SIGNATURE
    while place + _PNG_CHUNK <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + _PNG_CHUNK + length
        if end > len(data):
            break
        if kind in _PNG_KEPT:
            kept.append(data[place:end])
        place = end
    return b"".join([*kept, data[place:]])


def exif_orientation(exif: object) -> int:
    """Returns the orientation, 1 (upright) to 8; 1 where it is absent or the block is damaged.

    A damaged block is no reason to refuse a picture whose pixels are fine.
    """
    if not isinstance(exif, bytes):
        return _UPRIGHT
    tiff = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None:
        return _UPRIGHT
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(entries):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION_TAG:
                return value if _UPRIGHT <= value <= _LAST_ORIENTATION else _UPRIGHT
    except struct.error:
        return _UPRIGHT
    return _UPRIGHT
