"""Packages cut into pieces come back as they were, or not at all."""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu_check.pieces import join, main, split


def make_wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    noise = np.random.default_rng(0).bytes(50_000)
    return [
        make_wheel(tmp_path / "a.whl", {"a/__init__.py": b"A = 1\n", "a/lib.so": noise}),
        make_wheel(tmp_path / "b.whl", {"b/__init__.py": b"B = 2\n"}),
    ]


def test_there_and_back(wheels: list[Path], tmp_path: Path) -> None:
    pieces = split(wheels, tmp_path / "pieces", size=20_000)
    assert len(pieces) == 3
    assert all(piece.stat().st_size <= 20_000 for piece in pieces)
    join(tmp_path / "pieces", tmp_path / "site")
    found = {str(p.relative_to(tmp_path / "site")): p.read_bytes() for p in tmp_path.glob("site/*/*")}
    with zipfile.ZipFile(wheels[0]) as archive:
        assert found == {
            "a/__init__.py": b"A = 1\n",
            "a/lib.so": archive.read("a/lib.so"),
            "b/__init__.py": b"B = 2\n",
        }


@pytest.mark.parametrize("lost", [0, 1])
def test_a_missing_piece_is_noticed_by_its_number(wheels: list[Path], tmp_path: Path, lost: int) -> None:
    split(wheels, tmp_path / "pieces", size=20_000)[lost].unlink()
    with pytest.raises(FileNotFoundError, match="pieces are missing"):
        join(tmp_path / "pieces", tmp_path / "site")


def test_a_missing_end_is_noticed_by_the_archive(wheels: list[Path], tmp_path: Path) -> None:
    split(wheels, tmp_path / "pieces", size=20_000)[-1].unlink()
    with pytest.raises((tarfile.TarError, EOFError)):
        join(tmp_path / "pieces", tmp_path / "site")


def test_fewer_pieces_than_last_time_leave_none_behind(wheels: list[Path], tmp_path: Path) -> None:
    split(wheels, tmp_path / "pieces", size=5_000)
    split(wheels[1:], tmp_path / "pieces", size=20_000)
    assert len(list((tmp_path / "pieces").iterdir())) == 1


def test_the_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cut"]) == 2
    assert "pieces.py join PIECES SITE" in capsys.readouterr().err
