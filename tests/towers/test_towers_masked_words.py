"""Masked language modelling: what is hidden and how, what the loss is, what learns from it."""

import json

import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe
from torch.nn import functional as F

from catalog.tokenizer import Tokenizer
from faults import InvalidInput
from towers.build import Towers, build_towers
from towers.data.examples import Drawing, make_examples
from towers.objectives.masked_words import HEAD, MaskedWords, add_heads, hide, vocabulary_of
from towers.objectives.term import Forward
from towers.stage_kinds.retrieval import forward

TITLES = [product.title for product in tiny_catalogue().products] + ["red green blue white"]


def towers_with_heads(**text: object) -> Towers:
    torch.manual_seed(0)
    recipe = tiny_recipe(text=text)
    towers = build_towers(recipe, TITLES)
    add_heads(towers, recipe)
    return towers


def a_forward(towers: Towers, queries_each: int = 2) -> Forward:
    catalogue = tiny_catalogue()
    examples = make_examples(
        catalogue, tiny_clicks(catalogue), tiny_pictures(catalogue), towers.tokenizer, 12, 16
    )
    batch = next(examples.batches(Drawing(products=12, queries_each=queries_each, steps=1, seed=0)))
    return forward(towers, batch, bfloat16=False)


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    added = json.loads(tokenizer.to_bytes())["added_tokens"]
    return {entry["content"]: entry["id"] for entry in added}


@pytest.fixture(scope="module")
def towers() -> Towers:
    return towers_with_heads()


def test_special_tokens_are_not_among_the_ordinary(towers: Towers) -> None:
    vocabulary = vocabulary_of(towers.tokenizer)
    special = special_ids(towers.tokenizer)
    assert set(special) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    assert vocabulary.mask_id == special["[MASK]"]
    assert set(vocabulary.ordinary.tolist()) == set(range(towers.tokenizer.vocabulary_size)) - set(
        special.values()
    )


def test_fifteen_per_cent_are_chosen_and_eight_of_ten_hidden(towers: Towers) -> None:
    vocabulary = vocabulary_of(towers.tokenizer)
    torch.manual_seed(1)
    ids = vocabulary.ordinary[torch.randint(len(vocabulary.ordinary), (400, 100))]
    shown, chosen = hide(ids, torch.ones_like(ids), vocabulary)
    count = int(chosen.sum())
    assert count / ids.numel() == pytest.approx(0.15, abs=0.01)
    masked = (shown == vocabulary.mask_id) & chosen
    kept = (shown == ids) & chosen
    assert int(masked.sum()) / count == pytest.approx(0.8, abs=0.03)
    # A replacement may by chance be the piece itself.
    by_chance = 0.1 / len(vocabulary.ordinary)
    assert int(kept.sum()) / count == pytest.approx(0.1 + by_chance, abs=0.03)
    assert torch.equal(shown[~chosen], ids[~chosen])
    assert not set(shown[chosen & ~masked].tolist()) & set(special_ids(towers.tokenizer).values())


def test_special_tokens_and_padding_are_never_hidden(towers: Towers) -> None:
    vocabulary = vocabulary_of(towers.tokenizer)
    ids, mask = a_forward(towers).batch.product_ids, a_forward(towers).batch.product_mask
    untouchable = torch.isin(ids, torch.tensor(list(special_ids(towers.tokenizer).values())))
    mask = mask.clone()
    mask[0] = 0  # padding that carries ordinary ids
    ever = torch.zeros_like(ids, dtype=torch.bool)
    for seed in range(100):
        torch.manual_seed(seed)
        shown, chosen = hide(ids, mask, vocabulary)
        ever |= chosen | (shown != ids)
    assert not (ever & (untouchable | (mask == 0))).any()
    assert ever[~untouchable & (mask == 1)].all()


def test_torchs_generator_decides_what_is_hidden(towers: Towers) -> None:
    vocabulary = vocabulary_of(towers.tokenizer)
    batch = a_forward(towers).batch
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(hide(batch.product_ids, batch.product_mask, vocabulary)[0])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_loss_is_the_cross_entropy_of_the_hidden_pieces_of_titles_and_of_a_query_each(
    towers: Towers,
) -> None:
    found = a_forward(towers)
    term = MaskedWords(towers.tokenizer)
    torch.manual_seed(4)
    loss = term(towers, found)
    torch.manual_seed(4)
    parts = []
    for name, encoder, ids, mask in (
        ("query", towers.query.encoder, found.batch.query_ids[::2], found.batch.query_mask[::2]),
        ("product", towers.product.encoder, found.batch.product_ids, found.batch.product_mask),
    ):
        shown, chosen = hide(ids, mask, vocabulary_of(towers.tokenizer))
        assert chosen.any()
        scores = towers.heads[HEAD][name](encoder.encode(shown, mask).tokens, encoder.tokens.weight)
        parts.append(F.cross_entropy(scores[chosen], ids[chosen]))
    torch.testing.assert_close(loss, sum(parts) / 2)
    assert torch.isfinite(loss)


def test_with_nothing_hidden_it_is_0_and_has_a_gradient(
    towers: Towers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towers.objectives.masked_words._CHOSEN", 0.0)
    loss = MaskedWords(towers.tokenizer)(towers, a_forward(towers))
    assert loss.item() == 0.0
    loss.backward()


def test_both_text_encoders_learn_from_it_and_no_picture_encoder() -> None:
    towers = towers_with_heads()
    torch.manual_seed(0)
    MaskedWords(towers.tokenizer)(towers, a_forward(towers)).backward()
    for encoder in (towers.query.encoder, towers.product.encoder):
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in encoder.blocks.parameters())
    assert all(p.grad is None for p in towers.product.image_encoder.parameters())
    assert all(p.grad is not None for p in towers.heads.parameters())


def test_words_are_guessed_better_after_some_steps() -> None:
    towers = towers_with_heads()
    term, found = MaskedWords(towers.tokenizer), a_forward(towers)
    optimizer = torch.optim.Adam(towers.parameters(), 5e-3)
    losses = []
    for _ in range(40):
        loss = term(towers, found)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_heads_are_added_once_and_share_the_token_table() -> None:
    towers = towers_with_heads()
    before = towers.heads[HEAD]
    add_heads(towers, tiny_recipe())
    assert towers.heads[HEAD] is before
    table = towers.product.encoder.tokens.weight
    assert not any(parameter.shape == table.shape for parameter in before.parameters())
    assert "masked_words" not in "".join(dict(towers.product.named_parameters()))


def test_a_shared_encoder_will_do() -> None:
    towers = towers_with_heads(shared=True)
    assert towers.query.encoder is towers.product.encoder
    assert MaskedWords(towers.tokenizer)(towers, a_forward(towers)).item() > 0


def test_a_tokenizer_without_a_mask_is_refused(towers: Towers) -> None:
    content = json.loads(towers.tokenizer.to_bytes())
    content["added_tokens"] = [one for one in content["added_tokens"] if one["content"] != "[MASK]"]
    with pytest.raises(InvalidInput, match=r"\[MASK\]"):
        vocabulary_of(Tokenizer.from_bytes(json.dumps(content).encode()))
