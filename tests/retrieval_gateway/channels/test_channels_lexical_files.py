import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.lexical import lexical_index

from faults import NotFound, StorageFailed
from releases.verify import hash_files
from retrieval_gateway.channels import lexical_files
from retrieval_gateway.channels.lexical import LexicalIndex
from retrieval_gateway.channels.lexical_files import write_lexical_files

TEXTS = [("red mug", "for tea"), ("blue lamp", "for reading")]


def test_opening_and_searching_change_nothing_in_the_folder(tmp_path: Path) -> None:
    write_lexical_files(tmp_path / "lexical", TEXTS)
    before = hash_files(tmp_path)
    assert "lexical/meta.json" in before
    assert not [name for name in before if "lock" in name or "managed" in name]
    index = LexicalIndex.open(tmp_path / "lexical")
    assert index.search("mug", 3).rows.tolist() == [0]
    assert hash_files(tmp_path) == before


def test_an_open_index_outlives_its_folder(tmp_path: Path) -> None:
    index = lexical_index(tmp_path, TEXTS)
    shutil.rmtree(tmp_path / "lexical")  # a retired release
    assert index.search("lamp reading", 3).rows.tolist() == [1]
    assert index.matched_words("blue tea", index.search("for", 3).rows) == [["tea"], ["blue"]]


def test_no_folder_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lexical_files(tmp_path / "lexical", TEXTS)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: LexicalIndex.open(tmp_path / "lexical").count, range(100)))
    assert found == [2] * 100
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_lock_that_is_taken_while_the_folder_goes_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = tmp_path / "view"
    view.mkdir()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            monkeypatch.setattr(shutil, "rmtree", rmtree)

    rmtree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # as if a file came back each time
    monkeypatch.setattr(lexical_files.time, "sleep", pause)
    lexical_files._remove(view)
    assert len(pauses) == 2
    assert not view.exists()


def test_an_index_without_any_words_finds_nothing(tmp_path: Path) -> None:
    index = lexical_index(tmp_path, [("", ""), ("!", "")])
    assert index.count == 2
    assert index.search("mug", 5).rows.tolist() == []


def test_other_fields_than_the_two_texts_do_not_exist(tmp_path: Path) -> None:
    write_lexical_files(tmp_path / "lexical", TEXTS)
    meta = (tmp_path / "lexical" / "meta.json").read_text()
    assert meta.count('"type":"text"') + meta.count('"type": "text"') == 2


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no full-text index"):
        LexicalIndex.open(tmp_path / "lexical")


@pytest.mark.parametrize("part", ["meta.json", ".term", ".idx", ".fast", ".fieldnorm"])
def test_an_index_without_one_of_its_files_is_refused(tmp_path: Path, part: str) -> None:
    write_lexical_files(tmp_path / "lexical", TEXTS)
    (gone,) = (file for file in (tmp_path / "lexical").iterdir() if file.name.endswith(part))
    gone.unlink()
    with pytest.raises(StorageFailed, match="cannot be read") as caught:
        LexicalIndex.open(tmp_path / "lexical")
    assert caught.value.value == str(tmp_path / "lexical")


def test_a_torn_index_is_refused(tmp_path: Path) -> None:
    write_lexical_files(tmp_path / "lexical", TEXTS)
    meta = tmp_path / "lexical" / "meta.json"
    meta.write_bytes(meta.read_bytes()[:50])
    with pytest.raises(StorageFailed, match="cannot be read"):
        LexicalIndex.open(tmp_path / "lexical")


def test_a_folder_that_is_there_already_is_not_written_to(tmp_path: Path) -> None:
    write_lexical_files(tmp_path / "lexical", TEXTS)
    before = hash_files(tmp_path)
    with pytest.raises(StorageFailed, match="could not be written"):
        write_lexical_files(tmp_path / "lexical", TEXTS)
    assert hash_files(tmp_path) == before


def test_a_disk_that_takes_no_more_is_said_as_such(tmp_path: Path) -> None:
    program = (
        "import resource, signal; from pathlib import Path; import faults\n"
        "from retrieval_gateway.channels.lexical_files import write_lexical_files as write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        "try: write(Path('lexical'), [(f'mug{i}', f'lamp{i}') for i in range(500)])\n"
        "except faults.StorageFailed as error: print(error.problem)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("the full-text index could not be written")
