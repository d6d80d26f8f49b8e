"""What several tests of trainings share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.stopped_trainings import Shop, uninterrupted

from towers.training.train import Trained


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Two threads wait for each other at towers this small; the more so where others use the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture(scope="module")
def whole() -> Trained:
    """A training that nothing stopped."""
    return uninterrupted()
