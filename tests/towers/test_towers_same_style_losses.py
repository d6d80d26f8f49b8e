"""The same-style losses against their formulas, written down in numpy pair by pair."""

import numpy as np
import pytest
import torch

from towers.objectives.same_style import locality_consistency, pair_hinge, symmetric_softmax

SIZE, MARGIN = 6, 0.4
RANDOM = np.random.default_rng(0)
COSINES = RANDOM.uniform(-1, 1, (SIZE, SIZE)).astype(np.float32)
COSINES[0, 3] = COSINES[2, 5] = 0.95
KNOWN = np.zeros((SIZE, SIZE), dtype=bool)
KNOWN[0, 3] = KNOWN[3, 0] = KNOWN[2, 5] = True  # two of them would be hard negatives
ASKING = np.array([True, True, True, False, True, True])


def hinge(cosines: np.ndarray, known: np.ndarray, asking: np.ndarray) -> float:
    rows = []
    for i in np.flatnonzero(asking):
        total = 0.0
        for j in range(SIZE):
            if j != i and not known[i, j]:
                total += max(0.0, cosines[i, j] - cosines[i, i] + MARGIN)
        rows.append(total / SIZE)
    return float(np.mean(rows))


def of(function, cosines=COSINES, known=KNOWN, asking=ASKING, value=MARGIN) -> float:
    return function(torch.tensor(cosines), value, torch.tensor(known), torch.tensor(asking)).item()


def test_the_hinge_is_the_one_written_down() -> None:
    assert of(pair_hinge) == pytest.approx(hinge(COSINES, KNOWN, ASKING), rel=1e-5)
    plain = np.zeros_like(KNOWN)
    assert of(pair_hinge, known=plain) == pytest.approx(hinge(COSINES, plain, ASKING), rel=1e-5)
    assert abs(of(pair_hinge, known=plain) - of(pair_hinge)) > 0.01


def test_the_diagonal_of_known_makes_no_difference() -> None:
    for function in (pair_hinge, symmetric_softmax):
        assert of(function, known=KNOWN | np.eye(SIZE, dtype=bool)) == of(function)


def test_a_batch_that_is_apart_by_the_margin_is_learned() -> None:
    apart = np.full((SIZE, SIZE), 0.5, np.float32) + 0.41 * np.eye(SIZE, dtype=np.float32)
    assert of(pair_hinge, cosines=apart) == 0.0
    assert of(pair_hinge, cosines=apart, value=0.5) > 0


def softmax(cosines: np.ndarray, known: np.ndarray, asking: np.ndarray, scale: float) -> float:
    rows = []
    for i in np.flatnonzero(asking):
        forth = [j for j in range(SIZE) if j == i or not known[i, j]]
        back = [j for j in range(SIZE) if j == i or (asking[j] and not known[j, i])]
        own = scale * cosines[i, i]
        forth_loss = np.log(sum(np.exp(scale * cosines[i, j]) for j in forth)) - own
        back_loss = np.log(sum(np.exp(scale * cosines[j, i]) for j in back)) - own
        rows.append((forth_loss + back_loss) / 2)
    return float(np.mean(rows))


def test_the_symmetric_softmax_is_the_one_written_down() -> None:
    assert of(symmetric_softmax, value=5.0) == pytest.approx(softmax(COSINES, KNOWN, ASKING, 5.0), rel=1e-5)


def test_consistency_looks_at_the_nearest_alone() -> None:
    full = torch.tensor(COSINES)
    masked = torch.tensor(RANDOM.uniform(-1, 1, (SIZE, SIZE)).astype(np.float32))
    rows = []
    for i in np.flatnonzero(ASKING):
        nearest = np.argsort(-COSINES[i])[:3]
        apart = (COSINES[i, nearest] - masked[i, nearest].numpy()) ** 2
        rows.append(np.maximum(0, apart - 0.1).mean())
    found = locality_consistency(full, masked, 0.1, torch.tensor(ASKING), neighbours=3).item()
    assert found == pytest.approx(float(np.mean(rows)), rel=1e-5)
    everybody = locality_consistency(full, masked, 0.1, torch.tensor(ASKING)).item()
    assert everybody != pytest.approx(found)
    assert locality_consistency(full, full, 0.0, torch.tensor(ASKING)).item() == 0.0


def test_who_has_no_such_view_learns_and_teaches_nothing() -> None:
    for function in (pair_hinge, symmetric_softmax):
        cosines = torch.tensor(COSINES, requires_grad=True)
        function(cosines, MARGIN, torch.tensor(KNOWN), torch.tensor(ASKING)).backward()
        assert cosines.grad is not None
        assert cosines.grad[3].abs().max() == 0.0
        assert cosines.grad[[0, 1, 2, 4, 5]].abs().amax(dim=1).min() > 0.0
    masked = torch.tensor(COSINES, requires_grad=True)
    locality_consistency(torch.tensor(COSINES.T.copy()), masked, 0.0, torch.tensor(ASKING)).backward()
    assert masked.grad is not None
    assert masked.grad[3].abs().max() == 0.0


def test_where_nobody_asks_the_loss_is_zero_and_can_be_descended() -> None:
    nobody = torch.zeros(SIZE, dtype=torch.bool)
    cosines = torch.tensor(COSINES, requires_grad=True)
    loss = (
        pair_hinge(cosines, MARGIN, torch.tensor(KNOWN), nobody)
        + symmetric_softmax(cosines, 5.0, torch.tensor(KNOWN), nobody)
        + locality_consistency(cosines, cosines, 0.1, nobody)
    )
    assert loss.item() == 0.0
    loss.backward()
    assert cosines.grad is not None
    assert torch.isfinite(cosines.grad).all()


def test_known_pairs_are_not_pushed_apart() -> None:
    for function in (pair_hinge, symmetric_softmax):
        cosines = torch.tensor(COSINES, requires_grad=True)
        function(cosines, MARGIN, torch.tensor(KNOWN), torch.ones(SIZE, dtype=torch.bool)).backward()
        assert cosines.grad is not None
        assert cosines.grad[torch.tensor(KNOWN)].abs().max() == 0.0
