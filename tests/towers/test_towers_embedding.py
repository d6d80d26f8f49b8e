"""Many at once gives what one by one gives, in the order asked for."""

import numpy as np
import torch
from support.tiny_shop import tiny_catalogue, tiny_checkpoint, tiny_clicks, tiny_pictures

from towers.data.examples import make_examples
from towers.embedding import product_vectors, query_vectors

TOWERS = tiny_checkpoint().towers
CATALOGUE = tiny_catalogue()
EXAMPLES = make_examples(
    CATALOGUE, tiny_clicks(CATALOGUE), tiny_pictures(CATALOGUE), TOWERS.tokenizer, 12, 16
)


def test_queries_of_any_lengths_come_back_in_their_order() -> None:
    tokens = EXAMPLES.query_tokens * 9  # more than one part
    together = query_vectors(TOWERS, tokens)
    assert len({len(ids) for ids in tokens}) > 1
    assert not together.requires_grad
    for place in (0, 5, len(tokens) - 1):
        alone = query_vectors(TOWERS, [tokens[place]])[0]
        torch.testing.assert_close(alone, together[place], atol=1e-5, rtol=1e-5)


def test_products_come_back_in_the_order_of_their_rows() -> None:
    rows = np.array([7, 0, 11, 7] * 20)
    together = product_vectors(TOWERS, EXAMPLES, rows)
    assert together.shape == (80, 16)
    for place in (0, 1, 2, 79):
        alone = product_vectors(TOWERS, EXAMPLES, rows[place : place + 1])[0]
        torch.testing.assert_close(alone, together[place], atol=1e-5, rtol=1e-5)
