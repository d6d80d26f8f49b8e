"""The words of the sample shop that are no articles: colours, patterns, brands, styles, suppliers.

Data only. No name of a brand, style or supplier may contain a colour, a pattern or a
shape: in the visual categories those stand in the picture alone.
"""

from __future__ import annotations

__all__ = ["BRANDS", "COLOURS", "PATTERNS", "STYLE_NAMES", "SUPPLIERS"]

# Colour: its fill, and the words that shoppers use for it.
COLOURS: dict[str, tuple[tuple[int, int, int], tuple[str, ...]]] = {
    "red": ((204, 32, 40), ("red",)),
    "orange": ((244, 128, 24), ("orange",)),
    "yellow": ((250, 208, 30), ("yellow",)),
    "green": ((38, 138, 62), ("green",)),
    "turquoise": ((44, 190, 186), ("turquoise", "teal")),
    "blue": ((30, 78, 190), ("blue",)),
    "purple": ((122, 50, 160), ("purple", "violet")),
    "pink": ((246, 140, 182), ("pink",)),
    "brown": ((124, 78, 42), ("brown",)),
    "black": ((34, 34, 36), ("black",)),
    "grey": ((146, 148, 152), ("grey", "gray")),
    "white": ((250, 250, 248), ("white",)),
}

# Pattern: the words that shoppers use for it.
PATTERNS: dict[str, tuple[str, ...]] = {
    "plain": ("plain", "solid"),
    "striped": ("striped", "stripy"),
    "dotted": ("dotted", "polka dot", "spotted"),
    "checked": ("checked", "chequered"),
    "zigzag": ("zigzag", "chevron"),
}

SUPPLIERS = (
    "Harbour Trading",
    "Eastgate Supply",
    "Linden Wholesale",
    "Brightway Import",
    "Orbis & Sons",
    "Millbrook Direct",
    "Northpoint Goods",
    "Pelican Stores",
)

BRANDS: dict[str, tuple[str, ...]] = {
    "Kitchen": ("Havnby", "Oakmere", "Casa Verano", "Tilly & Tor"),
    "Home": ("Lumora", "Nordlys", "Fernhill", "Maison Orel"),
    "Fashion": ("Tresca", "Marlo & Finch", "Kestrel", "Ambleside"),
    "Hardware": ("Boltwerk", "Ferrox", "Steadfast", "Gripwell"),
    "Electronics": ("Voltaris", "Kabelo", "Nexon", "Primacell"),
    "Leisure": ("Trailhead", "Summit Row", "Loopcraft", "Wayfare"),
}

STYLE_NAMES = (
    *("Alma", "Bergen", "Calla", "Dorset", "Elva", "Fjord", "Garda", "Hilde", "Isla", "Jura"),
    *("Kalmar", "Lido", "Mira", "Nola", "Oslo", "Petra", "Quinta", "Riva", "Sena", "Tarn"),
    *("Ulma", "Varo", "Wells", "Yara", "Zola", "Arden", "Brisa", "Corvo", "Delta", "Ember"),
    *("Faro", "Gala", "Haven", "Indra", "Jasna", "Kira", "Luna", "Merle", "Nevis", "Orla"),
    *("Prado", "Rowan", "Salto", "Tilda", "Umbra", "Vesta", "Willa", "Xenia", "Ystad", "Zeno"),
)
