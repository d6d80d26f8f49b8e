"""A disk that fills up while index files are written: a named failure, and no half file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from index_builders import clustered

import faults
from retrieval_gateway.index import build_index, save_index, write_product_table, write_vectors

VECTORS = clustered(4_000, 64, clusters=4)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(mounted)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"this user may not mount a tmpfs: {done.stderr.strip()}")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_vectors(path, VECTORS),
        lambda path: save_index(path, build_index(VECTORS)),
        lambda path: write_product_table(
            path, {"product_id": [f"a long product id {i}" for i in range(20_000)]}
        ),
    ],
    ids=["vectors", "index", "products"],
)
def test_nothing_is_left_on_a_full_disk(small_disk: Path, write: Callable[[Path], None]) -> None:
    (small_disk / "file").write_bytes(b"before")
    with pytest.raises(faults.StorageFailed, match="No space left"):
        write(small_disk / "file")
    assert [path.name for path in small_disk.iterdir()] == ["file"]
    assert (small_disk / "file").read_bytes() == b"before"
