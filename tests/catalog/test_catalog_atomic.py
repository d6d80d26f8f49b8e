import errno
import os
from pathlib import Path

import pytest

from catalog.atomic import make_folder, write_atomically
from catalog.schema import Product
from catalog.writers import write_catalogue
from faults import StorageFailed


@pytest.mark.parametrize(("number", "fix"), [(errno.ENOSPC, "Free space"), (errno.EROFS, "read-only")])
def test_a_failing_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fix: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageFailed, match=fix) as caught:
        write_atomically(path, lambda stream: stream.write(b"new"))
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_writer_leaves_no_rubbish(tmp_path: Path) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_replaced_and_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    write_atomically(path, lambda stream: stream.write(b"new"))
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed):
        make_folder(tmp_path / "file" / "below")
    with pytest.raises(StorageFailed):
        write_atomically(tmp_path / "nowhere" / "file", lambda stream: stream.write(b""))


def test_a_disk_that_fills_up_while_parquet_is_written(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(StorageFailed, match="Free space"):
        write_atomically(tmp_path / "file", lambda _: full.write_bytes(b"x" * 100_000))
    write_catalogue(tmp_path, [Product("a", "A")], [])
    assert {path.name for path in tmp_path.iterdir()} == {"products.parquet", "images.parquet"}
