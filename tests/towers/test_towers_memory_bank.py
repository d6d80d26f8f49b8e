import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from towers.objectives.memory_bank import MemoryBank, known_in_bank

DIM = 4


def unit(rows: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed)), dim=1)


def store(bank: MemoryBank, *rows: int) -> Tensor:
    """One step whose vectors can be recognised by their row."""
    vectors = torch.cat([unit(1, row) for row in rows])
    bank.store(vectors, torch.tensor(rows))
    return vectors


def held(bank: MemoryBank) -> set[int]:
    return set(bank.rows.tolist()) - {-1}


def test_the_oldest_leave_first() -> None:
    bank = MemoryBank(5, DIM)
    store(bank, 1, 2, 3)
    assert held(bank) == {1, 2, 3}
    store(bank, 4, 5, 6)
    assert held(bank) == {2, 3, 4, 5, 6}
    store(bank, 7, 8)
    assert held(bank) == {4, 5, 6, 7, 8}
    for row, vector in zip(bank.rows.tolist(), bank.vectors, strict=True):
        assert torch.equal(vector, unit(1, row)[0])
    ages = dict(zip(bank.rows.tolist(), bank.ages.tolist(), strict=True))
    assert ages == {4: 2, 5: 2, 6: 2, 7: 1, 8: 1}


def test_a_step_larger_than_the_bank_leaves_its_last_ones() -> None:
    bank = MemoryBank(3, DIM)
    store(bank, 9)
    store(bank, 1, 2, 3, 4, 5)
    assert held(bank) == {3, 4, 5}
    store(bank, 6)
    assert held(bank) == {4, 5, 6}


def test_a_product_may_lie_in_it_twice() -> None:
    bank = MemoryBank(4, DIM)
    store(bank, 1, 2)
    store(bank, 1, 3)
    assert sorted(bank.rows.tolist()) == [1, 1, 2, 3]


def test_nothing_is_used_before_the_warm_up_nor_from_empty_places() -> None:
    bank = MemoryBank(4, DIM, warmup_steps=2)
    queries, unknown = unit(2, 50), torch.zeros(2, 4, dtype=torch.bool)
    assert not bank.usable.any()
    first = store(bank, 1)
    assert torch.isinf(bank.negatives(queries, unknown)).all()
    second = store(bank, 2, 3)
    found = bank.negatives(queries, unknown)
    torch.testing.assert_close(found[:, :3], queries @ torch.cat([first, second]).T)
    assert (found[:, 3] == float("-inf")).all()


def test_young_vectors_can_be_left_out() -> None:
    bank = MemoryBank(4, DIM, delay=1)
    store(bank, 1)
    store(bank, 2, 3)
    assert bank.usable.tolist() == [True, False, False, False]
    store(bank, 4)
    assert bank.usable.tolist() == [True, True, True, False]


CLICKED = (frozenset({1, 2}), frozenset({5}), frozenset[int]())


def test_a_known_product_is_no_negative_of_its_query() -> None:
    bank = MemoryBank(5, DIM)
    store(bank, 1, 5, 1, 7)
    asked = [1, 0, 2, 0]
    known = known_in_bank(CLICKED, asked, bank.rows)
    expected = [[row in CLICKED[query] for row in bank.rows.tolist()] for query in asked]
    assert known.tolist() == expected
    found = bank.negatives(unit(4, 51), known)
    assert torch.isinf(found).tolist() == [[*row[:4], True] for row in expected]


def test_the_gradient_reaches_the_queries_and_no_product() -> None:
    bank = MemoryBank(3, DIM)
    products = unit(2, 1).requires_grad_()
    bank.store(2 * products, torch.tensor([1, 2]))
    queries = unit(2, 52).requires_grad_()
    found = bank.negatives(queries, torch.zeros(2, 3, dtype=torch.bool))
    found[:, :2].sum().backward()
    assert products.grad is None
    assert queries.grad is not None
    assert queries.grad.abs().min() > 0
    assert not list(bank.parameters())


def test_it_goes_on_from_its_saved_state() -> None:
    bank = MemoryBank(3, DIM, warmup_steps=1)
    store(bank, 1, 2)
    again = MemoryBank(3, DIM, warmup_steps=1)
    again.load_state_dict({name: value.clone() for name, value in bank.state_dict().items()})
    for one in (bank, again):
        store(one, 3, 4)
    assert again.state_dict().keys() == bank.state_dict().keys()
    for name, value in bank.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert held(again) == {2, 3, 4}


@pytest.mark.parametrize("seed", [0, 1])
def test_known_in_bank_agrees_with_asking_one_by_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    clicked = [frozenset(random.integers(0, 30, random.integers(0, 9)).tolist()) for _ in range(12)]
    queries = random.integers(0, 12, 40).tolist()
    rows = torch.from_numpy(random.integers(-1, 30, 25))
    expected = [[row in clicked[query] for row in rows.tolist()] for query in queries]
    assert known_in_bank(clicked, queries, rows).tolist() == expected
    assert known_in_bank(clicked, queries, torch.full((3,), -1)).any().item() is False
