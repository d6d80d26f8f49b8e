import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe
from torch import Tensor
from torch.nn import functional as F

from faults import InvalidInput
from towers.build import Towers, build_towers
from towers.data.examples import Drawing, Examples, make_examples
from towers.objectives.memory_bank import HEAD, MemoryBank, known_in_bank
from towers.objectives.softmax import in_batch_softmax
from towers.recipe import Recipe
from towers.stage_kinds.retrieval import forward
from towers.stage_kinds.retrieval_terms import Memory, memory_of
from towers.stage_recipes import RetrievalStageRecipe
from towers.training.loop import Step
from towers.training.resume import ProgressFolder
from towers.training.train import Trained, train

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


TARGET = torch.tensor([0, 1, 1])
KNOWN = torch.tensor([[1, 0], [0, 1], [1, 1]], dtype=torch.bool)
SCALE, MARGIN = 7.0, 0.2


def to_products(cosines: Tensor, further: Tensor) -> float:
    """-log p of each query's product among batch and bank together, written down."""
    found = []
    for row, target in enumerate(TARGET.tolist()):
        right = math.exp(SCALE * (cosines[row, target].item() - MARGIN))
        within = [cosine for place, cosine in enumerate(cosines[row].tolist()) if not KNOWN[row, place]]
        wrong = sum(math.exp(SCALE * cosine) for cosine in (*within, *further[row].tolist()))
        found.append(math.log((right + wrong) / right))
    return float(np.mean(found))


def test_batch_and_bank_make_one_softmax() -> None:
    queries, products, further = unit(3, 1), unit(2, 2), unit(3, 3) @ unit(5, 4).T
    further[0, 1:] = further[2] = float("-inf")

    def loss(more: Tensor | None) -> float:
        return in_batch_softmax(queries, products, TARGET, KNOWN, SCALE, MARGIN, more).item()

    nothing, cosines = torch.full((3, 5), float("-inf")), queries @ products.T
    assert loss(nothing) == pytest.approx(loss(None))
    added = (to_products(cosines, further) - to_products(cosines, nothing)) / 2
    assert added > 0.05
    assert loss(further) == pytest.approx(loss(None) + added, rel=1e-4)


MEMORY = {"size": 3, "warmup_steps": 1}


def towers_and_examples() -> tuple[Towers, Examples]:
    catalogue = tiny_catalogue()
    torch.manual_seed(0)
    towers = build_towers(tiny_recipe(), [product.title for product in catalogue.products])
    pictures = tiny_pictures(catalogue)
    return towers, make_examples(catalogue, tiny_clicks(catalogue), pictures, towers.tokenizer, 12, 16)


def recipe_with(**memory: int) -> Recipe:
    return tiny_recipe(retrieval={"memory": {**MEMORY, **memory}})


def remembering(towers: Towers, examples: Examples, **memory: int) -> Memory:
    recipe = recipe_with(**memory)
    stage = recipe.stages[0]
    assert isinstance(stage, RetrievalStageRecipe)
    made = memory_of(stage, recipe, towers, examples)
    assert made is not None
    return made


def test_a_step_is_scored_against_earlier_ones_then_stored() -> None:
    towers, examples = towers_and_examples()
    memory, bank = remembering(towers, examples), towers.heads[HEAD]
    assert isinstance(bank, MemoryBank)
    drawing = Drawing(products=2, queries_each=2, steps=2, seed=3)
    first, second = (forward(towers, batch, bfloat16=False) for batch in examples.batches(drawing))
    assert torch.isinf(memory.negatives(first)).all()
    cosines = memory.negatives(second)
    rows = first.batch.product_rows.tolist()
    fits = [[row in examples.clicked[query] for row in rows] for query in second.batch.query_rows.tolist()]
    expected = (second.queries @ first.products.fused.T).masked_fill(torch.tensor(fits), float("-inf"))
    torch.testing.assert_close(cosines[:, :2], expected)
    assert held(bank) == {rows[1], *second.batch.product_rows.tolist()}
    cosines[cosines.isfinite()].sum().backward()  # after the bank has moved on
    assert any(parameter.grad is not None for parameter in towers.query.parameters())
    assert all(parameter.grad is None for parameter in towers.product.parameters())


def test_one_memory_serves_all_stages_and_two_sizes_are_refused() -> None:
    towers, examples = towers_and_examples()
    remembering(towers, examples)
    bank = towers.heads[HEAD]
    remembering(towers, examples)
    assert towers.heads[HEAD] is bank
    with pytest.raises(InvalidInput, match="another size"):
        remembering(towers, examples, size=4)


def test_a_training_with_a_memory_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    recipe = tiny_recipe(retrieval={"steps": 4, "batch": 4, "memory": {"size": 6, "warmup_steps": 1}})
    catalogue = tiny_catalogue()

    def run(stop_after: int = 0) -> Trained:
        def on_step(step: Step) -> None:
            if step.number == stop_after:
                raise KeyboardInterrupt

        progress = ProgressFolder(tmp_path / "progress", print, every_steps=1)
        return train(recipe, catalogue, tiny_clicks(catalogue), tiny_pictures(catalogue), on_step, progress)

    with pytest.raises(KeyboardInterrupt):
        run(stop_after=3)
    resumed = run()
    (tmp_path / "progress" / "progress.safetensors").unlink()
    whole = run()
    assert resumed.history == whole.history
    for name, value in whole.towers.heads.state_dict().items():
        assert torch.equal(resumed.towers.heads.state_dict()[name], value)
