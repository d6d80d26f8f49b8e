"""The stages that a recipe may name, in ``[[stages]]``: what each lets one choose.

A stage kind is a class here, a builder in ``towers/stage_kinds`` and a line in
``towers.training.train``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RecipePart(BaseModel):
    """A table of a recipe file: what it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Stage(RecipePart):
    steps: int = Field(default=300, ge=1)
    batch: int = Field(
        default=128, ge=2, description="products a step; each is a negative for the others' queries"
    )
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps with a rising rate")
    weight_decay: float = Field(default=0.01, ge=0)
    scale: float = Field(default=20.0, gt=0, description="inverse temperature of the softmax over cosines")


class PicturesStageRecipe(_Stage):
    """The image encoder alone is aligned with pretrained query vectors."""

    kind: Literal["pictures"]
    queries_each: int = Field(default=8, ge=1, description="queries drawn for each product of a step")


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
    masked_words: float = Field(default=0.0, ge=0, description="weight of masked language modelling")
    matching: float = Field(default=0.0, ge=0, description="weight of query-item matching")
    masked_patches: MaskedPatchesRecipe | None = None
    memory: MemoryRecipe | None = None

    @model_validator(mode="after")
    def _descends_something(self) -> Self:
        if self.fused_weight == 0 and self.modality_weight == 0:
            raise ValueError("fused_weight and modality_weight are both 0: nothing would be learned")
        if self.learns == "fusion" and self.fused_weight == 0:
            raise ValueError("learns = fusion needs a fused_weight")
        return self


StageRecipe = Annotated[PicturesStageRecipe | RetrievalStageRecipe, Field(discriminator="kind")]
