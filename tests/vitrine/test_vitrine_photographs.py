"""``vitrine train --photographs``: which photographs of a folder are learned from."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.tiny_shop import COLOURS, png

from catalog.held_out import is_held_out
from faults import CatalogueError
from vitrine.catalogues import Split, decode_further

HELD = next(name for name in map(str, range(100)) if is_held_out(name))
TRAINED = next(name for name in map(str, range(100)) if not is_held_out(name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    columns = {
        "group_id": ["held", "kept", "kept", "tested"],
        "style_group": [HELD, TRAINED, TRAINED, TRAINED],
        "split": ["train", "", "train", "test"],
        "jpeg": [png(colour) for colour in COLOURS.values()],
    }
    pq.write_table(pa.table(columns), tmp_path / "images.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("split", "groups"),
    [
        (Split.TRAINING, ("kept", "kept")),
        (Split.HELD_OUT, ("held", "tested")),
        (Split.ALL, ("held", "kept", "kept", "tested")),
    ],
)
def test_a_split_goes_for_photographs_too(folder: Path, split: Split, groups: tuple[str, ...]) -> None:
    decoded = decode_further(folder, split, 16, skip_bad=False)
    assert decoded is not None
    assert decoded.groups == groups
    assert decoded.pixels.shape == (len(groups), 16, 16, 3)


def test_without_a_folder_there_are_none_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    assert decode_further(None, Split.ALL, 16, skip_bad=False) is None
    with pytest.raises(CatalogueError, match="photographs"):
        decode_further(tmp_path, Split.ALL, 16, skip_bad=False)
