"""A shop of a few products, with the smallest towers that can learn it."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from catalog.catalogue import Catalogue
from catalog.pictures import DecodedPictures
from catalog.schema import Click, EvaluationQuery, Judgement, Picture, Product
from catalog.writers import write_catalogue
from towers.build import build_towers
from towers.checkpoint import Checkpoint, Provenance
from towers.recipe import Recipe

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "white": (245, 245, 245)}
THINGS = ("mug", "lamp", "chair")
SIZE = 16


def tiny_recipe(
    text: dict[str, Any] | None = None, retrieval: dict[str, Any] | None = None, **changes: Any
) -> Recipe:
    """One layer of 32, pictures of 16 x 16, a retrieval stage of a dozen steps."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "dim": 16,
        "max_query_tokens": 12,
        "max_product_tokens": 16,
        "text": {"layers": 1, "width": 32, "heads": 2, "vocabulary": 300, **(text or {})},
        "image": {"size": SIZE, "channels": [8, 8]},
        "stages": [tiny_retrieval(**(retrieval or {}))],
    }
    return Recipe.model_validate({**fields, **changes})


def tiny_retrieval(**changes: Any) -> dict[str, Any]:
    """A retrieval stage of a dozen steps."""
    fields = {"kind": "retrieval", "steps": 12, "batch": 12, "queries_each": 2, "learning_rate": 5e-3}
    return {**fields, **changes}


def tiny_catalogue() -> Catalogue:
    """Twelve products: three things in four colours, of which only the picture tells."""
    products = [
        Product(
            product_id=f"{thing}-{colour}",
            title=f"{thing} of the {thing} makers",
            category=thing,
            brand="Luma" if colour == "red" else "",
            color=colour,
            price=10.0 + place if colour != "white" else None,
            style_group=thing,
            in_stock=colour != "green",
        )
        for place, (thing, colour) in enumerate((thing, colour) for thing in THINGS for colour in COLOURS)
    ]
    return Catalogue(products, source=Path("tiny-shop"))


def tiny_pictures(catalogue: Catalogue, views: int = 1) -> DecodedPictures:
    """One plain picture a product, in its colour."""
    pixels = np.zeros((len(catalogue), views, SIZE, SIZE, 3), dtype=np.uint8)
    for row, product in enumerate(catalogue.products):
        pixels[row, 0] = COLOURS[product.color]
    has_image = np.zeros((len(catalogue), views), dtype=np.bool_)
    has_image[:, 0] = True
    return DecodedPictures(pixels, has_image, ())


def png(colour: tuple[int, int, int]) -> bytes:
    """An encoded picture of one colour, larger than the towers' pictures."""
    data = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(data, "PNG")
    return data.getvalue()


def tiny_clicks(catalogue: Catalogue) -> list[Click]:
    """Every product was found by its thing, and by colour and thing."""
    return [
        Click(query, product.product_id, clicks, 10)
        for product in catalogue.products
        for query, clicks in ((product.category, 1), (f"{product.color} {product.category}", 9))
    ]


def write_tiny_shop(folder: Path) -> Path:
    """The tiny shop on disk, with clicks, queries and judgements."""
    catalogue = tiny_catalogue()
    write_catalogue(
        folder,
        catalogue.products,
        [Picture(product.product_id, "main", png(COLOURS[product.color])) for product in catalogue.products],
        clicks=tiny_clicks(catalogue),
        queries=[EvaluationQuery("q1", "red mug", "colour"), EvaluationQuery("q2", "lamp", "category")],
        judgements=[Judgement("q1", "mug-red", 2), Judgement("q1", "mug-blue", 1)]
        + [Judgement("q2", f"lamp-{colour}", 2) for colour in COLOURS],
    )
    return folder


def tiny_checkpoint(views: int = 1, seed: int = 0) -> Checkpoint:
    """Towers whose every weight was moved away from its initial value, in evaluation mode."""
    recipe = tiny_recipe(image={"size": SIZE, "channels": [8, 8], "views": views})
    catalogue = tiny_catalogue()
    torch.manual_seed(seed)
    towers = build_towers(recipe, [product.title for product in catalogue.products] + list(COLOURS))
    with torch.no_grad():
        for tower in (towers.query, towers.product):
            for value in tower.state_dict().values():
                if value.is_floating_point():
                    value += 0.2 * torch.rand_like(value)  # BatchNorm's variances stay positive
    towers.train(False)
    provenance = Provenance("vitrine train", catalogue.fingerprint(), "tiny-shop", 12, 24, losses=(2.0, 1.0))
    return Checkpoint(towers, recipe, provenance)
