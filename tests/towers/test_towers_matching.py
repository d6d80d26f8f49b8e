"""Query-item matching: which negatives are drawn, what the loss is, what it can see."""

import math

import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe
from torch.nn import functional as F

from towers.build import Towers, build_towers
from towers.data.examples import Drawing, make_examples
from towers.objectives.matching import HEAD, Matching, add_heads, draw_negatives
from towers.objectives.term import Forward
from towers.stage_kinds.retrieval import forward

TITLES = [product.title for product in tiny_catalogue().products] + ["red green blue white"]


def towers_with_heads(fusion: str = "gate", **changes: object) -> Towers:
    torch.manual_seed(0)
    recipe = tiny_recipe(fusion={"kind": fusion}, **changes)
    towers = build_towers(recipe, TITLES)
    add_heads(towers, recipe)
    return towers


def a_forward(towers: Towers, modality_dropout: float = 0.0) -> Forward:
    catalogue = tiny_catalogue()
    examples = make_examples(
        catalogue, tiny_clicks(catalogue), tiny_pictures(catalogue), towers.tokenizer, 12, 16
    )
    drawing = Drawing(products=12, queries_each=2, steps=1, seed=0, modality_dropout=modality_dropout)
    return forward(towers, next(examples.batches(drawing)), bfloat16=False)


def test_known_products_are_never_drawn_though_they_are_the_nearest() -> None:
    known = torch.tensor([[True, True, False, False], [False, True, True, False]])
    cosines = torch.where(known, 1.0, -1.0)
    drawn = set()
    for seed in range(50):
        torch.manual_seed(seed)
        rows, found = draw_negatives(cosines, known)
        assert found.tolist() == [1.0, 1.0]
        drawn |= set(enumerate(rows.tolist()))
    assert drawn == {(0, 2), (0, 3), (1, 0), (1, 3)}


def test_nearer_products_are_drawn_as_much_oftener_as_their_softmax_says() -> None:
    cosines, draws = torch.tensor([0.5, 0.3, 0.4]), 20_000
    torch.manual_seed(0)
    rows, _ = draw_negatives(cosines.expand(draws, 3), torch.zeros(draws, 3, dtype=torch.bool))
    shares = torch.bincount(rows, minlength=3) / draws
    torch.testing.assert_close(shares, torch.softmax(10 * cosines, dim=0), rtol=0, atol=0.015)


def test_a_query_that_all_products_fit_has_no_negative() -> None:
    _, found = draw_negatives(torch.zeros(2, 3), torch.tensor([[True, True, True], [True, False, True]]))
    assert found.tolist() == [0.0, 1.0]


def test_the_loss_is_binary_cross_entropy_over_own_and_drawn_products() -> None:
    towers = towers_with_heads()
    found = a_forward(towers)
    torch.manual_seed(3)
    loss = Matching()(towers, found)
    torch.manual_seed(3)
    wrong, _ = draw_negatives(found.queries @ found.products.fused.T, found.batch.known)
    text, image = found.encoding
    logits = torch.cat(list(towers.heads[HEAD](found.query, text, image, [found.batch.target, wrong])))
    labels = torch.cat([torch.ones(len(wrong)), torch.zeros(len(wrong))])
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits, labels))


def test_without_any_negative_only_the_own_products_count() -> None:
    towers = towers_with_heads()
    found = a_forward(towers)
    known = torch.ones_like(found.batch.known)
    batch = type(found.batch)(**{**vars(found.batch), "known": known})
    loss = Matching()(towers, found._replace(batch=batch))
    logits = towers.heads[HEAD](found.query, *found.encoding, [found.batch.target])
    torch.testing.assert_close(loss, F.softplus(-logits).mean() / 2)


@pytest.mark.parametrize("fusion", ["gate", "modal_adaptation", "single_stream"])
def test_it_learns_to_tell_and_all_encoders_learn_with_it(fusion: str) -> None:
    towers = towers_with_heads(fusion)
    towers.train(True)
    optimizer = torch.optim.Adam(towers.parameters(), 4e-3)
    losses = []
    for step in range(60):
        loss = Matching()(towers, a_forward(towers))
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            for encoder in (towers.query.encoder, towers.product.encoder, towers.product.image_encoder):
                assert any(p.grad is not None and p.grad.abs().max() > 0 for p in encoder.parameters())
        optimizer.step()
        losses.append(loss.item())
    by_chance = math.log(2)
    assert sum(losses[:5]) / 5 > 0.9 * by_chance
    assert sum(losses[-10:]) / 10 < 0.8 * by_chance


def test_no_gradient_flows_through_the_draw() -> None:
    towers = towers_with_heads("modal_adaptation")
    Matching()(towers, a_forward(towers)).backward()
    product = towers.product
    assert all(parameter.grad is None for parameter in product.fusion.parameters())
    assert all(parameter.grad is None for parameter in product.project_image.parameters())


def test_padding_and_what_is_missing_are_not_seen() -> None:
    towers = towers_with_heads()
    towers.train(False)
    found = a_forward(towers, modality_dropout=0.4)
    hidden = ~found.batch.has_text[:, 0]
    assert hidden.any()
    assert not found.batch.has_image.any(dim=1).all()

    def loss(of: Forward) -> torch.Tensor:
        torch.manual_seed(2)
        return Matching()(towers, of)

    expected = loss(found)
    text, image = found.encoding
    noise = torch.randn(2, 1, 1)
    absent_words = (hidden[:, None] | (text.mask == 0))[..., None]
    spoilt = found.encoding._replace(
        text=text._replace(tokens=torch.where(absent_words, noise[0], text.tokens)),
        image=image._replace(tokens=torch.where(image.mask[..., None] == 0, noise[1], image.tokens)),
    )
    torch.testing.assert_close(loss(found._replace(encoding=spoilt)), expected, rtol=0, atol=1e-6)
    seen = text._replace(tokens=torch.where(absent_words, text.tokens, noise[0]))
    changed = loss(found._replace(encoding=found.encoding._replace(text=seen)))
    assert (changed - expected).abs() > 1e-4


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    towers = towers_with_heads()
    found = a_forward(towers)
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(Matching()(towers, found).item())
    assert losses[0] == losses[1] != losses[2]


def test_a_query_encoder_of_its_own_width_will_do() -> None:
    towers = towers_with_heads(query={"layers": 1, "width": 24, "heads": 2})
    assert Matching()(towers, a_forward(towers)).item() > 0


def test_heads_are_added_once() -> None:
    towers = towers_with_heads()
    before = towers.heads[HEAD]
    add_heads(towers, tiny_recipe())
    assert towers.heads[HEAD] is before
