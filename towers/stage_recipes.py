"""The stages that a recipe may name, in ``[[stages]]``: what each lets one choose.

A stage kind is a class here, a builder in ``towers/stage_kinds`` and a line in
``towers.stage_kinds.kinds``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RecipePart(BaseModel):
    """A table of a recipe file: what it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Pairs(RecipePart):
    several: float = Field(
        default=0.7, ge=0, le=1, description="share of products with several photographs, of those at random"
    )
    together: int = Field(
        default=4, ge=1, description="products drawn together: one and others of its colours; 1: at random"
    )
    closest: float = Field(
        default=0.35, gt=0, le=1, description="side of the closest crop, as a share of the picture's"
    )
    light: float = Field(default=0.03, ge=0, description="largest change of the light, as a logarithm")


class PhotographsRecipe(_Pairs):
    """Pairs of photographs of one product, as a further loss of a stage."""

    batch: int = Field(default=48, ge=2, description="products a step, two photographs of each")
    weight: float = Field(default=0.5, gt=0, description="of this loss beside the stage's own")
    scale: float = Field(default=20.0, gt=0, description="inverse temperature of the softmax over cosines")


class _Stage(RecipePart):
    steps: int = Field(default=300, ge=1)
    batch: int = Field(
        default=128, ge=2, description="products a step; each is a negative for the others' queries"
    )
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps with a rising rate")
    weight_decay: float = Field(default=0.01, ge=0)
    scale: float = Field(default=20.0, gt=0, description="inverse temperature of the softmax over cosines")


class PhotographsStageRecipe(_Stage, _Pairs):
    """The picture half alone learns from pairs of photographs of one product."""

    kind: Literal["photographs"]


class PicturesStageRecipe(_Stage):
    """The image encoder alone is aligned with pretrained query vectors."""

    kind: Literal["pictures"]
    queries_each: int = Field(default=8, ge=1, description="queries drawn for each product of a step")
    photographs: PhotographsRecipe | None = Field(default=None, description="none: not in this stage")


class MemoryRecipe(RecipePart):
    """A memory bank: products of earlier steps as further negatives (system B's MBNS)."""

    size: int = Field(default=1024, ge=1, description="product vectors kept; the oldest leave first")
    warmup_steps: int = Field(default=20, ge=0, description="steps before the bank's vectors are negatives")
    delay: int = Field(default=0, ge=0, description="leave out vectors younger than so many steps")


class MaskedPatchesRecipe(RecipePart):
    """Masked patch modelling beside the retrieval loss (system B's MPM)."""

    kind: Literal["contrastive", "regression"] = Field(
        default="contrastive", description="regression: the L2 control"
    )
    weight: float = Field(default=0.5, gt=0)


class RetrievalStageRecipe(_Stage):
    """Both towers learn from the click log, with what further tasks the recipe adds."""

    kind: Literal["retrieval"]
    name: str = Field(default="", description="for messages and curves; the kind where it is empty")
    queries_each: int = Field(default=3, ge=1, description="queries drawn for each product of a step")
    text_learning_rate: float | None = Field(
        default=None, gt=0, description="of the text encoders; lower it for pretrained ones"
    )
    image_learning_rate: float | None = Field(default=None, gt=0, description="of the picture encoder")
    learns: Literal["all", "fusion"] = Field(
        default="all", description="fusion: the encoders and their projections are frozen"
    )
    margin: float = Field(
        default=0.0, ge=0, lt=1, description="AM-Softmax: taken off the cosine of the right product"
    )
    fused_weight: float = Field(
        default=1.0, ge=0, description="of the loss of the fused vector; 0: align the modalities only"
    )
    modality_weight: float = Field(
        default=0.3,
        ge=0,
        description="of the query-to-text and query-to-image losses beside the fused one",
    )
    modality_dropout: float = Field(
        default=0.1, ge=0, lt=0.5, description="chance to hide the text, and the picture, of a product"
    )
    keyword_mask: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="queries whose keywords overlap by this Jaccard index are no negatives of each other",
    )
    typos: float = Field(default=0.0, ge=0, le=1, description="chance to misspell a query")
    spoiling: float = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        description="chance to spoil the words, and the pictures, of a product that has both, so that the "
        "weights learn what a bad one is",
    )
    masked_words: float = Field(default=0.0, ge=0, description="weight of masked language modelling")
    matching: float = Field(default=0.0, ge=0, description="weight of query-item matching")
    masked_patches: MaskedPatchesRecipe | None = None
    memory: MemoryRecipe | None = None
    photographs: PhotographsRecipe | None = Field(default=None, description="none: not in this stage")

    @model_validator(mode="after")
    def _descends_something(self) -> Self:
        if self.fused_weight == 0 and self.modality_weight == 0:
            raise ValueError("fused_weight and modality_weight are both 0: nothing would be learned")
        if self.learns == "fusion" and self.fused_weight == 0:
            raise ValueError("learns = fusion needs a fused_weight")
        if self.learns == "fusion" and self.photographs is not None:
            raise ValueError("learns = fusion freezes the encoders: photographs have nothing to teach")
        return self


class PairConstraints(RecipePart):
    """Which co-clicked products are taken for the same style."""

    category: Literal["none", "category", "subcategory"] = Field(
        default="subcategory",
        description="how far the two must agree: not at all, in the category, in the whole path; a product"
        " without a category agrees with none",
    )
    relevance: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="least similarity of the titles: the words in common, as a share of the shorter title's",
    )
    clicks: int = Field(default=2, ge=1, description="least clicks from one to the other, both ways together")
    style_groups: bool = Field(
        default=True,
        description="products of one style_group are no negatives of each other; false where a style comes"
        " in colours that are to be told apart",
    )


class SameStyleStageRecipe(_Stage):
    """Products of one style find each other: whole, by their words alone, by their pictures alone.

    A hinge is a mean over the batch, most of it 0, so its weights are large. With ``loss = "softmax"``
    those of full, text and image are better near 0.5.
    """

    kind: Literal["same_style"]
    name: str = Field(default="", description="for messages and curves; the kind where it is empty")
    batch: int = Field(default=64, ge=2, description="pairs a step")
    text_learning_rate: float | None = Field(
        default=None, gt=0, description="of the text encoders; lower it for pretrained ones"
    )
    image_learning_rate: float | None = Field(default=None, gt=0, description="of the picture encoder")
    pairs: PairConstraints = PairConstraints()
    loss: Literal["hinge", "softmax"] = Field(
        default="hinge", description="of the pairs; softmax: symmetric, with the stage's scale"
    )
    margin: float = Field(
        default=0.5, ge=0, lt=2, description="hinge: by how much a pair's cosine is to exceed the others'"
    )
    full_weight: float = Field(default=10.0, ge=0, description="of the whole trigger finding its partner")
    text_weight: float = Field(default=10.0, ge=0, description="of the trigger's words finding its partner")
    image_weight: float = Field(default=10.0, ge=0, description="of its pictures finding its partner")
    distinct_weight: float = Field(
        default=5.0, ge=0, description="of the words, and the pictures, finding their own product"
    )
    distinct_margin: float = Field(default=0.3, ge=0, lt=2, description="as margin, for these")
    consistency_weight: float = Field(
        default=3.0, ge=0, description="of words and pictures keeping the neighbourhood of the whole"
    )
    consistency_margin: float = Field(
        default=0.01, ge=0, description="squared difference of two cosines that is let pass"
    )
    query_weight: float = Field(
        default=1.0, ge=0, description="of the triggers' queries finding them, so that words go on working"
    )
    queries_each: int = Field(default=2, ge=1, description="queries drawn for each trigger that has any")

    @model_validator(mode="after")
    def _descends_something(self) -> Self:
        if not any((self.full_weight, self.text_weight, self.image_weight, self.query_weight)):
            raise ValueError("full_weight, text_weight, image_weight and query_weight are all 0")
        return self


class DistillationStageRecipe(_Stage):
    """The query tower alone learns to give a teacher's vectors; no click is needed for it."""

    kind: Literal["distillation"]
    steps: int = Field(default=800, ge=1)
    batch: int = Field(default=192, ge=1, description="texts a step")
    made: int = Field(
        default=6000, ge=0, description="texts made of titles and queries, beside the log's own queries"
    )
    made_share: float = Field(default=0.5, ge=0, le=1, description="share of them in a batch")
    typos: float = Field(default=0.2, ge=0, le=1, description="chance to misspell a text")
    ranking: float = Field(
        default=1.0, ge=0, description="weight of ranking the products alike, beside the cosine"
    )
    products: int = Field(default=2048, ge=2, description="products to rank; all where there are fewer")


StageRecipe = Annotated[
    DistillationStageRecipe
    | PhotographsStageRecipe
    | PicturesStageRecipe
    | RetrievalStageRecipe
    | SameStyleStageRecipe,
    Field(discriminator="kind"),
]
