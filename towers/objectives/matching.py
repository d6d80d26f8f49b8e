"""Query-item matching: does this product answer this query? Told by their tokens, not by two vectors.

A pair of vectors can only say how near they are; here the query's words look at the product's words and
at the places of its pictures, one by one, and what they learn flows back into the encoders. The
matching is for training alone. MAKE's ancestor at the same team has such a task ("QIM"); its network is
not published, and this one is ours [DESIGN].

Each query is shown its own product and one of the others in the batch, drawn the likelier the nearer its
vector is: easy negatives teach little after a few steps (ALBEF, arXiv 2107.07651, draws its matching
pairs so). A product known to fit is never drawn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.build import Towers
from towers.encoders.cross_attention import CrossAttention
from towers.encoders.encoded import Encoded, masked_mean
from towers.objectives.term import Forward
from towers.recipe import Recipe
from towers.towers import FusedTower

HEAD = "matching"
"""Its name among the towers' heads."""

_SHARPNESS = 10.0
"""Of the draw: a product whose cosine is higher by 0.1 is drawn e times as often."""


class CrossEncoder(nn.Module):
    """The query's tokens attend over a product's; one layer, pooled to one score.

    Args:
        query_width: of the queries' tokens.
        text_width: of the products' words.
        image_width: of the places of their pictures.
    """

    def __init__(self, query_width: int, text_width: int, image_width: int) -> None:
        super().__init__()
        # Their biases also tell words and places apart.
        self.text = nn.Linear(text_width, query_width)
        self.image = nn.Linear(image_width, query_width)
        self.asked_norm = nn.LayerNorm(query_width)
        self.attention = CrossAttention(query_width, query_width, query_width)
        self.attention_norm = nn.LayerNorm(query_width)
        self.expand = nn.Linear(query_width, 2 * query_width)
        self.contract = nn.Linear(2 * query_width, query_width)
        self.output_norm = nn.LayerNorm(query_width)
        self.score = nn.Linear(query_width, 1)

    def forward(self, query: Encoded, text: Encoded, image: Encoded, pairs: list[Tensor]) -> Tensor:
        """Scores pairs of Q queries and P products.

        Args:
            query: of Q queries.
            text: of P products.
            image: of P products.
            pairs: int64[Q] each: the product shown to every query, several times over.

        Returns:
            Logits float32[len(pairs),Q]: how well each query and product match.
        """
        asked = torch.cat([self.text(text.tokens), self.image(image.tokens)], dim=1)
        present = torch.cat([text.mask.float(), image.mask.float()], dim=1)
        keys, values = self.attention.keys_and_values(self.asked_norm(asked))
        return torch.stack([self._score(query, keys[rows], values[rows], present[rows]) for rows in pairs])

    def _score(self, query: Encoded, keys: Tensor, values: Tensor, present: Tensor) -> Tensor:
        heard = self.attention.attend(query.tokens, keys, values, present)
        hidden = self.attention_norm(query.tokens + heard)
        hidden = self.output_norm(hidden + self.contract(F.gelu(self.expand(hidden))))
        logits: Tensor = self.score(masked_mean(hidden, query.mask.to(hidden.dtype)))
        return logits[:, 0].float()


class Matching:
    """The term: binary cross-entropy, own products and drawn ones counting the same."""

    name = "matching"

    def __call__(self, towers: Towers, forward: Forward) -> Tensor:
        """See ``Term``. A query that every product of the batch fits is shown its own product only."""
        batch, (text, image) = forward.batch, forward.encoding
        # A dropped text keeps its tokens in the batch, but the tower has not seen them either.
        text = text._replace(mask=text.mask * batch.has_text.to(text.mask.dtype))
        cosines = (forward.queries @ forward.products.fused.T).detach()
        wrong, found = draw_negatives(cosines, batch.known)
        logits = towers.heads[HEAD](forward.query, text, image, [batch.target, wrong])
        fits = F.softplus(-logits[0]).mean()
        does_not = (F.softplus(logits[1]) * found).sum() / found.sum().clamp(min=1)
        return (fits + does_not) / 2


def add_heads(towers: Towers, recipe: Recipe) -> None:
    """Adds the head that the term trains; none is added twice."""
    del recipe  # the towers have all sizes
    if HEAD in towers.heads:
        return
    product = towers.product
    text_width = product.encoder.config.width
    # A single stream's places leave the text encoder, at its width.
    image_width = product.image_encoder.width if isinstance(product, FusedTower) else text_width
    towers.heads[HEAD] = CrossEncoder(towers.query.encoder.config.width, text_width, image_width)


def draw_negatives(cosines: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Draws one product a query that is not known to fit it, by torch's generator.

    Args:
        cosines: float[Q,P]; the nearer a product, the likelier it is drawn.
        known: bool[Q,P]; true where a product is known to fit a query: it is never drawn.

    Returns:
        int64[Q], the products drawn, and float32[Q], 0 where there was none to draw.
    """
    # Gumbel's trick: the largest of logits plus such noise is a draw by their softmax.
    noise = -torch.log(torch.empty_like(cosines, dtype=torch.float32).exponential_())
    scores = (_SHARPNESS * cosines.float() + noise).masked_fill(known, float("-inf"))
    return scores.argmax(dim=1), (~known).any(dim=1).float()
