"""Pictures for tests of the wire: honest ones, and bombs."""

import struct
import zlib


def plain_png(width: int, height: int, *, torn_at: int | None = None) -> bytes:
    """A black PNG that compresses a thousandfold; ``torn_at`` cuts the file there."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(1)
    row = bytes(3 * width + 1)
    pixels = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return file[:torn_at]
