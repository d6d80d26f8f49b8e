"""What is sold, what it looks like, what was asked for and what was clicked, as typed records.

A leaf: it imports nothing of ours, so every other module can speak in these types.
An empty string or None always means "missing": a missing value satisfies no positive
filter and every negated one, so it must never be confused with a value of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Click", "CoClick", "EvaluationQuery", "Judgement", "Picture", "Product"]


@dataclass(frozen=True, slots=True)
class Product:
    """One row of the catalogue.

    Attributes:
        product_id: unique and never empty.
        title: what a shopper reads first.
        description: free text, possibly long.
        category: the top of the category tree.
        subcategory: the path below it, written ``Men > Tops > Jackets``.
        brand: the maker's name.
        color: the shop's own name of the colour.
        price: in the shop's currency, never negative; None where unknown.
        supplier: who offers it; the same product may come from several.
        style_group: equal for the same style in other colours or from other suppliers.
        in_stock: None where the shop does not say.
        attributes: whatever else the shop knows, by name.
    """

    product_id: str
    title: str = ""
    description: str = ""
    category: str = ""
    subcategory: str = ""
    brand: str = ""
    color: str = ""
    price: float | None = None
    supplier: str = ""
    style_group: str = ""
    in_stock: bool | None = None
    attributes: Mapping[str, object] = field(default_factory=dict, hash=False)

    def indexed_text(self) -> str:
        """Returns ``title. description``: the only text that is ever indexed.

        Judgements and simulated clicks are derived from the other fields, so indexing
        any of those would measure nothing.
        """
        return ". ".join(part for part in (self.title.strip(), self.description.strip()) if part)


@dataclass(frozen=True, slots=True)
class Picture:
    """One photograph of one product, still encoded (JPEG, PNG or WebP).

    Attributes:
        product_id: whose picture it is.
        view: the shop's name of the view (``main``, ``back``, ...).
        data: the file's bytes, unchecked.
    """

    product_id: str
    view: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Click:
    """How often one product was clicked after one query.

    Attributes:
        query: as the shopper typed it.
        product_id: what was clicked.
        clicks: how often, never negative.
        impressions: how often it was shown for this query, never below ``clicks``.
        deciding_modality: ``image``, ``text`` or ``both`` where known (the sample shop knows); else empty.
    """

    query: str
    product_id: str
    clicks: int
    impressions: int
    deciding_modality: str = ""


@dataclass(frozen=True, slots=True)
class CoClick:
    """How often shoppers who looked at one product went on to another of the same style."""

    trigger_id: str
    clicked_id: str
    clicks: int


@dataclass(frozen=True, slots=True)
class EvaluationQuery:
    """A query with judgements; ``kind`` groups the report (``category``, ``colour+category``, ...)."""

    query_id: str
    query: str
    kind: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """How well a product answers a query: 2 = fits, 1 = partly, 0 = does not."""

    query_id: str
    product_id: str
    grade: int
