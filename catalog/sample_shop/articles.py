"""The kinds of article in the sample shop: its category tree, and what tells products apart in it.

Data only. No material may contain a colour, a pattern or a shape: in the visual
categories those stand in the picture alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["ARTICLES", "Article", "Decides"]


class Decides(Enum):
    """Which modality holds the attribute that tells an article's products apart."""

    IMAGE = "image"
    TEXT = "text"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Article:
    """A kind of article: one leaf of the category tree.

    Attributes:
        names: what it is called in the singular, the shop's own word first.
        category: the department, the top of the tree.
        path: the whole path, down to the leaf.
        decides: where its deciding attribute stands.
        materials: it may be made of these.
        prices: lowest and highest price.
        shapes: variants of the silhouette that shoppers ask for; the first may be nameless.
        patterned: whether it comes in patterns.
        measure: the name of its specification, or empty without one.
        specifications: the values of that specification.
        pack: words about what is in the package.
    """

    names: tuple[str, ...]
    category: str
    path: str
    decides: Decides
    materials: tuple[str, ...]
    prices: tuple[float, float]
    shapes: tuple[str, ...] = ("",)
    patterned: bool = True
    measure: str = ""
    specifications: tuple[str, ...] = ()
    pack: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The shop's own word, which also names its drawing."""
        return self.names[0]


_CERAMIC = ("stoneware", "porcelain", "earthenware")
_CLOTH = ("cotton", "linen", "organic cotton", "viscose")
_STEEL = ("stainless steel", "zinc-plated steel", "hardened steel")

ARTICLES: tuple[Article, ...] = (
    # The picture decides: colour, pattern and shape are drawn.
    Article(("mug", "coffee cup"), "Kitchen", "Kitchen > Drinkware > Mugs", Decides.IMAGE, _CERAMIC, (7, 19)),
    Article(
        ("plate", "dinner plate"), "Kitchen", "Kitchen > Tableware > Plates", Decides.IMAGE, _CERAMIC, (6, 24)
    ),
    Article(
        ("bowl", "serving bowl"), "Kitchen", "Kitchen > Tableware > Bowls", Decides.IMAGE, _CERAMIC, (8, 32)
    ),
    Article(
        ("vase", "flower vase"),
        "Home",
        "Home > Decoration > Vases",
        Decides.IMAGE,
        ("glass", *_CERAMIC),
        (14, 69),
        shapes=("tall", "round"),
    ),
    Article(
        ("lamp", "table lamp"),
        "Home",
        "Home > Lighting > Lamps",
        Decides.IMAGE,
        ("linen", "paper", "metal"),
        (29, 149),
        shapes=("cone", "dome"),
    ),
    Article(
        ("rug", "carpet"),
        "Home",
        "Home > Textiles > Rugs",
        Decides.IMAGE,
        ("wool", "jute", "cotton"),
        (39, 299),
        shapes=("rectangular", "round"),
    ),
    Article(
        ("cushion", "throw pillow"),
        "Home",
        "Home > Textiles > Cushions",
        Decides.IMAGE,
        ("velvet", *_CLOTH),
        (12, 45),
        shapes=("square", "round"),
    ),
    Article(
        ("t-shirt", "tee"),
        "Fashion",
        "Fashion > Clothing > T-shirts",
        Decides.IMAGE,
        _CLOTH,
        (12, 39),
        shapes=("short sleeve", "long sleeve"),
    ),
    Article(
        ("dress", "gown"),
        "Fashion",
        "Fashion > Clothing > Dresses",
        Decides.IMAGE,
        _CLOTH,
        (34, 129),
        shapes=("short", "long"),
    ),
    Article(
        ("sneaker", "trainer"),
        "Fashion",
        "Fashion > Shoes > Sneakers",
        Decides.IMAGE,
        ("canvas", "leather", "mesh"),
        (39, 119),
    ),
    Article(
        ("handbag", "shoulder bag"),
        "Fashion",
        "Fashion > Bags > Handbags",
        Decides.IMAGE,
        ("leather", "canvas"),
        (29, 189),
    ),
    Article(
        ("cap", "baseball cap"),
        "Fashion",
        "Fashion > Accessories > Caps",
        Decides.IMAGE,
        ("cotton", "wool"),
        (11, 35),
    ),
    Article(
        ("umbrella", "brolly"),
        "Fashion",
        "Fashion > Accessories > Umbrellas",
        Decides.IMAGE,
        ("polyester", "pongee"),
        (12, 49),
    ),
    # The title decides: every product of the category looks the same.
    Article(
        ("battery", "cell"),
        "Electronics",
        "Electronics > Power > Batteries",
        Decides.TEXT,
        ("alkaline", "lithium"),
        (3, 24),
        patterned=False,
        measure="size",
        specifications=("AA", "AAA", "9V", "CR2032", "CR2025", "CR123A", "18650", "LR44", "23A", "A312"),
        pack=("4 pack", "8 pack", "12 pack"),
    ),
    Article(
        ("cable", "lead"),
        "Electronics",
        "Electronics > Connections > Cables",
        Decides.TEXT,
        ("braided nylon", "PVC"),
        (5, 34),
        patterned=False,
        measure="connection",
        specifications=(
            "USB-C to USB-A 1m",
            "USB-C to USB-C 2m",
            "HDMI 2.1 3m",
            "HDMI 2.0 5m",
            "DisplayPort 1.4 2m",
            "Cat6 RJ45 10m",
            "Cat7 RJ45 3m",
            "USB-C to Lightning 1m",
            "3.5mm jack 2m",
            "Micro USB 1m",
        ),
    ),
    Article(
        ("memory card", "flash card"),
        "Electronics",
        "Electronics > Storage > Memory cards",
        Decides.TEXT,
        ("plastic",),
        (7, 159),
        patterned=False,
        measure="capacity",
        specifications=(
            "microSD 32GB",
            "microSD 64GB",
            "microSD 128GB",
            "microSD 256GB",
            "SDXC 64GB",
            "SDXC 128GB",
            "SDXC 512GB",
            "CFexpress 256GB",
        ),
        pack=("with adapter", "U3 V30", "UHS-II"),
    ),
    Article(
        ("light bulb", "lamp bulb"),
        "Electronics",
        "Electronics > Lighting > Bulbs",
        Decides.TEXT,
        ("glass",),
        (4, 19),
        patterned=False,
        measure="socket",
        specifications=(
            "E27 9W 2700K",
            "E27 12W 4000K",
            "E14 5W 2700K",
            "E14 4W 4000K",
            "GU10 5W 3000K",
            "GU10 7W 4000K",
            "G9 3W 2700K",
            "B22 9W 2700K",
        ),
        pack=("2 pack", "dimmable", ""),
    ),
    Article(
        ("screw", "machine screw"),
        "Hardware",
        "Hardware > Fasteners > Screws",
        Decides.TEXT,
        _STEEL,
        (4, 22),
        patterned=False,
        measure="thread",
        specifications=(
            "M3x10",
            "M3x16",
            "M4x12",
            "M4x20",
            "M5x16",
            "M5x25",
            "M6x20",
            "M6x30",
            "M8x25",
            "M8x40",
            "M10x50",
        ),
        pack=("pack of 50", "pack of 100", "box of 25"),
    ),
    Article(
        ("bearing", "ball bearing"),
        "Hardware",
        "Hardware > Drives > Bearings",
        Decides.TEXT,
        _STEEL,
        (4, 38),
        patterned=False,
        measure="type",
        specifications=(
            "608-2RS",
            "6000-ZZ",
            "6001-2RS",
            "6200-ZZ",
            "6202-2RS",
            "6203-2RS",
            "6204-ZZ",
            "6205-2RS",
            "6304-2RS",
            "625-ZZ",
        ),
    ),
    Article(
        ("air filter", "replacement filter"),
        "Hardware",
        "Hardware > Ventilation > Filters",
        Decides.TEXT,
        ("glass fibre", "synthetic fibre"),
        (9, 54),
        patterned=False,
        measure="model",
        specifications=(
            "AF-120 G4",
            "AF-120 F7",
            "AF-160 G4",
            "AF-160 M5",
            "AF-200 F7",
            "AF-200 H13",
            "AF-315 M5",
            "AF-400 H13",
        ),
    ),
    Article(
        ("fuse", "glass fuse"),
        "Hardware",
        "Hardware > Electrical > Fuses",
        Decides.TEXT,
        ("glass",),
        (2, 12),
        patterned=False,
        measure="rating",
        specifications=("T500mA", "T1A", "T2A", "T3.15A", "T6.3A", "F1A", "F2A", "F5A", "F10A"),
        pack=("pack of 10", "pack of 20"),
    ),
    # Both: size or model in the title, colour and pattern in the picture.
    Article(
        ("phone case", "phone cover"),
        "Electronics",
        "Electronics > Phones > Cases",
        Decides.BOTH,
        ("silicone", "TPU"),
        (9, 29),
        measure="model",
        specifications=(
            "Aria 12",
            "Aria 12 Pro",
            "Aria 13",
            "Aria 13 Max",
            "Nimbus S8",
            "Nimbus S9",
            "Nimbus Fold",
        ),
    ),
    Article(
        ("backpack", "rucksack"),
        "Leisure",
        "Leisure > Outdoor > Backpacks",
        Decides.BOTH,
        ("nylon", "canvas"),
        (34, 139),
        measure="volume",
        specifications=("15 litre", "20 litre", "28 litre", "35 litre", "50 litre"),
    ),
    Article(
        ("curtain", "drape"),
        "Home",
        "Home > Textiles > Curtains",
        Decides.BOTH,
        ("linen", "velvet", "cotton"),
        (24, 99),
        measure="size",
        specifications=("140x175 cm", "140x245 cm", "140x300 cm", "200x245 cm"),
    ),
    Article(
        ("duvet cover", "quilt cover"),
        "Home",
        "Home > Bedroom > Duvet covers",
        Decides.BOTH,
        _CLOTH,
        (29, 119),
        measure="size",
        specifications=("135x200 cm", "155x220 cm", "200x200 cm", "240x220 cm"),
    ),
    Article(
        ("yarn", "knitting wool"),
        "Leisure",
        "Leisure > Crafts > Yarn",
        Decides.BOTH,
        ("merino", "alpaca", "cotton"),
        (4, 16),
        patterned=False,
        measure="weight",
        specifications=("lace", "4 ply", "DK", "aran", "chunky"),
    ),
    Article(
        ("wall paint", "emulsion"),
        "Hardware",
        "Hardware > Decorating > Paint",
        Decides.BOTH,
        ("acrylic", "latex"),
        (14, 69),
        patterned=False,
        measure="finish",
        specifications=("matt 2.5L", "matt 5L", "silk 2.5L", "silk 5L", "gloss 1L"),
    ),
)
