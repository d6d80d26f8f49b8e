"""Packages in pieces, for a machine that takes only so much at a time and has no network.

    python pieces.py split PIECES WHEEL...   unpacks the wheels, compresses them together, cuts
    python pieces.py join PIECES SITE        joins and unpacks; then put SITE on PYTHONPATH

Standard library only, and of no other file here: it must run before anything is installed.
"""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

PIECE_BYTES = 60 << 20


def split(wheels: Sequence[Path], pieces: Path, size: int = PIECE_BYTES) -> list[Path]:
    """Writes ``piece-00`` ... of at most ``size`` bytes, and returns them; earlier pieces go."""
    pieces.mkdir(parents=True, exist_ok=True)
    for old in pieces.glob("piece-*"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as packed:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
        # xz: a third smaller than a wheel's own compression, and every piece costs a transfer.
        with tarfile.open(fileobj=packed, mode="w:xz") as tar:
            tar.add(folder, arcname=".")
        packed.seek(0)
        written: list[Path] = []
        while block := packed.read(size):
            path = pieces / f"piece-{len(written):02}"
            path.write_bytes(block)
            written.append(path)
    return written


def join(pieces: Path, site: Path) -> None:
    """Unpacks the pieces of a folder into ``site``.

    Raises:
        FileNotFoundError: there is no piece, or one before the last is missing.
        tarfile.TarError, EOFError: the last ones are missing, or a piece is damaged.
    """
    site.mkdir(parents=True, exist_ok=True)
    found = sorted(pieces.glob("piece-*"))
    if [path.name for path in found] != [f"piece-{place:02}" for place in range(len(found))] or not found:
        raise FileNotFoundError(f"pieces are missing in {pieces}: found {[path.name for path in found]}")
    with (
        io.BufferedReader(_Chain(found)) as whole,
        tarfile.open(fileobj=whole, mode="r|xz") as tar,
    ):
        tar.extractall(site, filter="data")


class _Chain(io.RawIOBase):
    """Several files read as one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self._blocks: Iterator[bytes] = (block for path in paths for block in _blocks(path))
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        self._rest = self._rest or next(self._blocks, b"")
        taken, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


def _blocks(path: Path, size: int = 1 << 20) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(size):
            yield block


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; returns its exit status."""
    match arguments:
        case ["split", pieces, *wheels] if wheels:
            for path in split([Path(wheel) for wheel in wheels], Path(pieces)):
                sys.stdout.write(f"{path} {path.stat().st_size}\n")
        case ["join", pieces, site]:
            join(Path(pieces), Path(site))
        case _:
            sys.stderr.write(__doc__ or "")
            return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
