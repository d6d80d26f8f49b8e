from pathlib import Path

import pytest

from catalog.readers import read_query_log
from faults import CatalogueError


def log(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_repeated_texts_are_summed(tmp_path: Path) -> None:
    path = log(tmp_path, "query,count", "red mug,3", "lamp,1", "red mug,4")
    assert read_query_log(path) == {"red mug": 7, "lamp": 1}


def test_without_counts_every_row_is_one_search(tmp_path: Path) -> None:
    path = log(tmp_path, "query_id,query", "1,lamp", "2,lamp", "3,red mug")
    assert read_query_log(path) == {"lamp": 2, "red mug": 1}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("query,count",), "no rows"),
        (("text", "lamp"), "query"),
        (("query,count", "lamp,-1"), "count"),
        (("query,count", "lamp,many"), "count"),
        (("query,count", "lamp,2", "  ,5"), "no query"),
        (("query,count", "lamp,0", "mug,0"), "0"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        read_query_log(log(tmp_path, *lines))


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as caught:
        read_query_log(tmp_path / "nowhere.csv")
    assert "nowhere.csv" in str(caught.value)
