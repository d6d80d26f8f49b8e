from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe
from torch import Tensor, nn

from catalog.schema import Click
from faults import InvalidInput
from towers.build import Towers, build_towers
from towers.data.examples import Examples, make_examples
from towers.training.train import Trained, train
from towers.training.validation import Pairs, Validation, choose_pairs, measure, without

CATALOGUE = tiny_catalogue()
CLICKS = tiny_clicks(CATALOGUE)
RECIPE = tiny_recipe(retrieval={"steps": 6, "modality_dropout": 0.3})


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def built(clicks: list[Click] = CLICKS) -> tuple[Towers, Examples]:
    torch.manual_seed(3)
    texts = [product.title for product in CATALOGUE.products] + [click.query for click in clicks]
    towers = build_towers(RECIPE, texts)
    return towers, make_examples(CATALOGUE, clicks, tiny_pictures(CATALOGUE), towers.tokenizer, 12, 16)


def test_pairs_were_clicked_and_are_drawn_once_a_product() -> None:
    examples = built()[1]
    pairs = choose_pairs(examples, Validation(set_aside=5, products=8), seed=1)
    assert len(set(pairs.targets.tolist())) == len(pairs.queries) == 5
    assert all(
        row in examples.clicked[query] for query, row in zip(pairs.queries, pairs.targets, strict=True)
    )
    assert set(pairs.targets.tolist()) <= set(pairs.rows.tolist())
    assert len(set(pairs.rows.tolist())) == 8
    again, other = (choose_pairs(examples, Validation(set_aside=5, products=8), seed) for seed in (1, 2))
    assert pairs.targets.tolist() == again.targets.tolist()
    assert pairs.targets.tolist() != other.targets.tolist()


def test_set_aside_pairs_are_never_drawn_and_never_negatives() -> None:
    examples = built()[1]
    pairs = choose_pairs(examples, Validation(set_aside=6), seed=0)
    learned = without(examples, pairs)
    assert learned.pairs == examples.pairs - 6
    assert learned.clicked == examples.clicked
    for row, query in zip(pairs.targets.tolist(), pairs.queries.tolist(), strict=True):
        queries, chances = learned.asked[row]
        assert query in examples.asked[row][0]
        assert query not in queries
        assert chances.sum() == pytest.approx(1.0)
    untouched = choose_pairs(examples, Validation(), seed=0)
    assert without(examples, untouched) is examples


def test_a_products_last_query_is_not_set_aside() -> None:
    once = [click for click in CLICKS if " " in click.query]
    with pytest.raises(InvalidInput, match="no pair can be spared") as caught:
        choose_pairs(built(once)[1], Validation(set_aside=3), seed=0)
    assert caught.value.field == "--set-aside"


class Fixed(nn.Module):
    """A tower whose vectors were given to it, by the first token."""

    def __init__(self, vectors: Tensor, product: bool) -> None:
        super().__init__()
        self.vectors, self.product = nn.Parameter(vectors), product

    def forward(self, ids: Tensor, *_: Tensor) -> Tensor | tuple[Tensor, None]:
        vectors = self.vectors[ids[:, 0]]
        return (vectors, None) if self.product else vectors


def ranked(scores: list[float], target: int, clicked: set[int]) -> dict[str, float]:
    """Measures one query over products of given scores."""
    examples = built()[1]
    count = len(scores)
    fixed = replace(
        examples,
        query_tokens=[[0]],
        product_tokens=[[row] for row in range(count)],
        clicked=(frozenset(clicked | {target}),),
        has_text=np.ones(count, dtype=np.bool_),
        pictures=replace(
            examples.pictures,
            pixels=np.zeros((count, 1, 2, 2, 3), dtype=np.uint8),
            has_image=np.ones((count, 1), dtype=np.bool_),
        ),
    )
    towers = Towers(
        Fixed(torch.ones(1, 1), product=False),  # type: ignore[arg-type]
        Fixed(torch.tensor(scores)[:, None], product=True),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
    )
    pairs = Pairs(np.array([0]), np.array([target]), np.arange(count), set_aside=True)
    return {name.split("@")[0]: value for name, value in measure(towers, fixed, pairs).items()}


def test_the_measures() -> None:
    falling = [1.0 - row / 100 for row in range(30)]
    assert ranked(falling, 0, set()) == {"R": 1.0, "nDCG": 1.0}
    assert ranked(falling, 2, set()) == {"R": 1.0, "nDCG": pytest.approx(0.5)}
    assert ranked(falling, 9, set())["R"] == 1.0
    assert ranked(falling, 10, set()) == {"R": 0.0, "nDCG": 0.0}
    assert ranked(falling, 12, {0, 1, 2})["R"] == 1.0  # three before it are right as well
    assert ranked([0.5] * 30, 0, set())["R"] == 0.0  # a point is no ranking


def test_measuring_leaves_no_trace_in_the_towers() -> None:
    towers, examples = built()
    towers.train(True)
    towers.query.encoder.train(False)  # as a stage may hold it
    modules = [module for whole in towers.modules() for module in whole.modules()]
    modes = [module.training for module in modules]
    before = {name: value.clone() for name, value in towers.product.state_dict().items()}
    random = torch.get_rng_state()
    values = measure(towers, examples, choose_pairs(examples, Validation(), seed=0))
    assert all(0.0 <= value <= 1.0 for value in values.values())
    assert [module.training for module in modules] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(before[name], value) for name, value in towers.product.state_dict().items())
    assert values == measure(towers, examples, choose_pairs(examples, Validation(), seed=0))


def trained(validation: Validation | None) -> Trained:
    return train(RECIPE, CATALOGUE, CLICKS, tiny_pictures(CATALOGUE), validation=validation)


def same(one: Towers, two: Towers) -> bool:
    return all(
        torch.equal(value, two.product.state_dict()[name]) for name, value in one.product.state_dict().items()
    ) and all(
        torch.equal(value, two.query.state_dict()[name]) for name, value in one.query.state_dict().items()
    )


def test_training_with_and_without_measuring_ends_in_the_same_bits() -> None:
    plain, measured = trained(None), trained(Validation(every=2))
    assert same(plain.towers, measured.towers)
    assert plain.history == measured.history
    assert [[point.step for point in curve] for curve in measured.metrics.values()] == [[2, 4, 6], [2, 4, 6]]
    aside = [trained(Validation(every=every, set_aside=4)) for every in (0, 1)]
    assert same(aside[0].towers, aside[1].towers)
    assert not same(plain.towers, aside[0].towers)
    assert [len(curve) for curve in aside[0].metrics.values()] == [1, 1]


def test_who_asked_hears_of_it_at_once() -> None:
    heard: list[tuple[int, set[str]]] = []
    result = trained(Validation(every=4, say=lambda step, values: heard.append((step, set(values)))))
    assert heard == [(4, set(result.metrics)), (6, set(result.metrics))]
