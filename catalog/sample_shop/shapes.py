"""The silhouettes: each article as a few polygons in a unit square.

Coordinates run from 0 to 1, x to the right and y down. A part's role says how it is
filled: ``body`` takes the colour and pattern, ``trim`` a darker shade of the colour, and
the rest are fixed inks, so that what a shopper asks for shows on the body alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["SHAPES", "Part", "Point"]

Point = tuple[float, float]


class Part(NamedTuple):
    """One polygon; ``role`` is ``body``, ``trim`` or the name of a fixed ink."""

    role: str
    points: list[Point]


def _ellipse(x: float, y: float, rx: float, ry: float, start: float = 0.0, end: float = 360.0) -> list[Point]:
    steps = 28
    angles = (math.radians(start + (end - start) * step / steps) for step in range(steps + 1))
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


def _rectangle(left: float, top: float, right: float, bottom: float) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _rounded(left: float, top: float, right: float, bottom: float, radius: float) -> list[Point]:
    corners = (
        (right - radius, top + radius, 270.0),
        (right - radius, bottom - radius, 0.0),
        (left + radius, bottom - radius, 90.0),
        (left + radius, top + radius, 180.0),
    )
    return [point for x, y, at in corners for point in _ellipse(x, y, radius, radius, at, at + 90)[::4]]


def _turned(profile: Sequence[Point]) -> list[Point]:
    """Mirrors (y, half-width) pairs about the middle: what a potter's wheel makes."""
    return [(0.5 - w, y) for y, w in profile] + [(0.5 + w, y) for y, w in reversed(profile)]


def _mug(_: str) -> list[Part]:
    return [
        Part("trim", _ellipse(0.74, 0.52, 0.17, 0.19)),
        Part("paper", _ellipse(0.74, 0.52, 0.10, 0.12)),
        Part("body", [(0.18, 0.22), (0.72, 0.22), (0.70, 0.82), (0.62, 0.86), (0.28, 0.86), (0.20, 0.82)]),
        Part("trim", _ellipse(0.45, 0.22, 0.27, 0.06)),
    ]


def _plate(_: str) -> list[Part]:
    return [
        Part("trim", _ellipse(0.5, 0.5, 0.45, 0.45)),
        Part("body", _ellipse(0.5, 0.5, 0.42, 0.42)),
        Part("outline", _ellipse(0.5, 0.5, 0.27, 0.27)),
    ]


def _bowl(_: str) -> list[Part]:
    return [
        Part("trim", _rectangle(0.36, 0.76, 0.64, 0.85)),
        Part("body", _ellipse(0.5, 0.36, 0.43, 0.44, 0, 180)),
        Part("trim", _ellipse(0.5, 0.36, 0.43, 0.08)),
    ]


def _vase(shape: str) -> list[Part]:
    if shape == "round":
        body = _turned([(0.2, 0.1), (0.3, 0.09), (0.42, 0.28), (0.58, 0.37), (0.74, 0.33), (0.88, 0.17)])
        return [Part("body", body), Part("trim", _ellipse(0.5, 0.2, 0.1, 0.03))]
    body = _turned([(0.05, 0.13), (0.14, 0.09), (0.35, 0.13), (0.6, 0.18), (0.8, 0.15), (0.95, 0.12)])
    return [Part("body", body), Part("trim", _ellipse(0.5, 0.05, 0.13, 0.025))]


def _lamp(shape: str) -> list[Part]:
    stand = [Part("metal", _rectangle(0.475, 0.45, 0.525, 0.9)), Part("metal", _ellipse(0.5, 0.9, 0.2, 0.05))]
    if shape == "dome":
        return [*stand, Part("body", _ellipse(0.5, 0.5, 0.38, 0.42, 180, 360))]
    return [*stand, Part("body", [(0.36, 0.08), (0.64, 0.08), (0.86, 0.52), (0.14, 0.52)])]


def _rug(shape: str) -> list[Part]:
    if shape == "round":
        return [Part("trim", _ellipse(0.5, 0.5, 0.46, 0.46)), Part("body", _ellipse(0.5, 0.5, 0.43, 0.43))]
    tassels = [
        Part("ink", _rectangle(0.06 + x, y, 0.075 + x, y + 0.05))
        for x in (i * 0.078 for i in range(12))
        for y in (0.17, 0.78)
    ]
    return [
        *tassels,
        Part("trim", _rectangle(0.04, 0.2, 0.96, 0.8)),
        Part("body", _rectangle(0.07, 0.23, 0.93, 0.77)),
    ]


def _cushion(shape: str) -> list[Part]:
    if shape == "round":
        return [Part("body", _ellipse(0.5, 0.5, 0.42, 0.38)), Part("trim", _ellipse(0.5, 0.5, 0.045, 0.04))]
    pinched = [
        (0.1, 0.1),
        (0.5, 0.16),
        (0.9, 0.1),
        (0.84, 0.5),
        (0.9, 0.9),
        (0.5, 0.84),
        (0.1, 0.9),
        (0.16, 0.5),
    ]
    return [Part("body", pinched)]


def _t_shirt(shape: str) -> list[Part]:
    hand, cuff = ((0.02, 0.78), (0.16, 0.82)) if shape == "long sleeve" else ((0.04, 0.4), (0.19, 0.47))
    left = [(0.38, 0.12), (0.26, 0.15), hand, cuff, (0.26, 0.38), (0.26, 0.9)]
    right = [(1 - x, y) for x, y in reversed(left)]
    return [Part("body", left + right), Part("paper", _ellipse(0.5, 0.11, 0.12, 0.08, 0, 180))]


def _dress(shape: str) -> list[Part]:
    hem, width = (0.96, 0.36) if shape == "long" else (0.7, 0.3)
    left = [(0.4, 0.04), (0.36, 0.05), (0.35, 0.2), (0.4, 0.36), (0.5 - width, hem)]
    right = [(1 - x, y) for x, y in reversed(left)]
    return [
        Part("body", left + right),
        Part("paper", _ellipse(0.5, 0.035, 0.1, 0.09, 0, 180)),
        Part("trim", _rectangle(0.395, 0.34, 0.605, 0.39)),
    ]


def _sneaker(_: str) -> list[Part]:
    upper = [
        (0.06, 0.3),
        (0.2, 0.34),
        (0.36, 0.26),
        (0.44, 0.3),
        (0.62, 0.5),
        (0.86, 0.56),
        (0.95, 0.7),
        (0.06, 0.7),
    ]
    laces = [
        Part("pale", _rectangle(0.4 + i * 0.06, 0.35 + i * 0.06, 0.5 + i * 0.06, 0.37 + i * 0.06))
        for i in range(3)
    ]
    return [Part("body", upper), *laces, Part("pale", _rounded(0.04, 0.68, 0.97, 0.78, 0.04))]


def _handbag(_: str) -> list[Part]:
    return [
        Part("trim", _ellipse(0.5, 0.4, 0.24, 0.3)),
        Part("paper", _ellipse(0.5, 0.4, 0.18, 0.24)),
        Part("body", [(0.16, 0.4), (0.84, 0.4), (0.92, 0.88), (0.08, 0.88)]),
        Part("metal", _rounded(0.44, 0.44, 0.56, 0.52, 0.02)),
    ]


def _cap(_: str) -> list[Part]:
    return [
        Part("body", _ellipse(0.42, 0.6, 0.34, 0.36, 180, 360)),
        Part("trim", [(0.4, 0.58), (0.76, 0.57), (0.97, 0.68), (0.93, 0.71), (0.4, 0.65)]),
        Part("trim", _ellipse(0.42, 0.24, 0.04, 0.025)),
    ]


def _umbrella(_: str) -> list[Part]:
    scallops = [Part("paper", _ellipse(0.14 + i * 0.18, 0.52, 0.09, 0.05)) for i in range(5)]
    return [
        Part("body", _ellipse(0.5, 0.52, 0.46, 0.42, 180, 360)),
        *scallops,
        Part("ink", _rectangle(0.485, 0.46, 0.515, 0.88)),
        Part("ink", [*_ellipse(0.55, 0.88, 0.065, 0.07, 0, 180), *_ellipse(0.55, 0.88, 0.035, 0.04, 180, 0)]),
    ]


def _battery(_: str) -> list[Part]:
    return [
        Part("metal", _rectangle(0.43, 0.07, 0.57, 0.14)),
        Part("steel", _rounded(0.32, 0.13, 0.68, 0.93, 0.04)),
        Part("copper", _rectangle(0.32, 0.16, 0.68, 0.36)),
    ]


def _cable(_: str) -> list[Part]:
    return [
        Part("ink", _ellipse(0.5, 0.48, 0.38, 0.34)),
        Part("paper", _ellipse(0.5, 0.48, 0.31, 0.27)),
        Part("ink", _ellipse(0.5, 0.48, 0.26, 0.22)),
        Part("paper", _ellipse(0.5, 0.48, 0.2, 0.16)),
        Part("metal", _rectangle(0.12, 0.74, 0.3, 0.86)),
        Part("metal", _rectangle(0.7, 0.74, 0.88, 0.86)),
    ]


def _memory_card(_: str) -> list[Part]:
    card = [(0.22, 0.1), (0.64, 0.1), (0.78, 0.24), (0.78, 0.9), (0.22, 0.9)]
    pins = [Part("brass", _rectangle(0.28 + i * 0.07, 0.14, 0.32 + i * 0.07, 0.28)) for i in range(5)]
    return [Part("ink", card), *pins, Part("pale", _rectangle(0.28, 0.45, 0.72, 0.8))]


def _light_bulb(_: str) -> list[Part]:
    threads = [Part("metal", _rounded(0.39, 0.66 + i * 0.07, 0.61, 0.72 + i * 0.07, 0.02)) for i in range(3)]
    return [
        Part("glow", _ellipse(0.5, 0.36, 0.29, 0.29)),
        Part("glow", _rectangle(0.4, 0.58, 0.6, 0.67)),
        *threads,
    ]


def _screw(_: str) -> list[Part]:
    turns = [
        Part("metal", [(0.4, y), (0.6, y + 0.03), (0.6, y + 0.06), (0.4, y + 0.03)])
        for y in (0.3 + i * 0.085 for i in range(7))
    ]
    return [
        Part("steel", _ellipse(0.5, 0.2, 0.2, 0.1)),
        Part("steel", _rectangle(0.43, 0.25, 0.57, 0.92)),
        *turns,
    ]


def _bearing(_: str) -> list[Part]:
    balls = [
        Part("metal", _ellipse(0.5 + 0.3 * math.cos(a), 0.5 + 0.3 * math.sin(a), 0.065, 0.065))
        for a in (math.tau * i / 8 for i in range(8))
    ]
    return [
        Part("steel", _ellipse(0.5, 0.5, 0.44, 0.44)),
        Part("ink", _ellipse(0.5, 0.5, 0.37, 0.37)),
        *balls,
        Part("steel", _ellipse(0.5, 0.5, 0.24, 0.24)),
        Part("paper", _ellipse(0.5, 0.5, 0.15, 0.15)),
    ]


def _air_filter(_: str) -> list[Part]:
    folds = [Part("steel", _rectangle(0.16 + i * 0.09, 0.24, 0.2 + i * 0.09, 0.76)) for i in range(8)]
    return [
        Part("ink", _rectangle(0.06, 0.16, 0.94, 0.84)),
        Part("pale", _rectangle(0.12, 0.22, 0.88, 0.78)),
        *folds,
    ]


def _fuse(_: str) -> list[Part]:
    return [
        Part("glass", _rectangle(0.2, 0.42, 0.8, 0.58)),
        Part("ink", _rectangle(0.2, 0.495, 0.8, 0.505)),
        Part("metal", _rounded(0.06, 0.4, 0.26, 0.6, 0.03)),
        Part("metal", _rounded(0.74, 0.4, 0.94, 0.6, 0.03)),
    ]


def _phone_case(_: str) -> list[Part]:
    return [
        Part("body", _rounded(0.27, 0.05, 0.73, 0.95, 0.08)),
        Part("ink", _rounded(0.32, 0.1, 0.5, 0.27, 0.04)),
        Part("steel", _ellipse(0.37, 0.15, 0.03, 0.03)),
        Part("steel", _ellipse(0.45, 0.22, 0.03, 0.03)),
    ]


def _backpack(_: str) -> list[Part]:
    return [
        Part("trim", _ellipse(0.5, 0.13, 0.1, 0.09)),
        Part("paper", _ellipse(0.5, 0.13, 0.06, 0.05)),
        Part("trim", _rounded(0.12, 0.45, 0.3, 0.85, 0.06)),
        Part("trim", _rounded(0.7, 0.45, 0.88, 0.85, 0.06)),
        Part("body", _rounded(0.2, 0.14, 0.8, 0.93, 0.16)),
        Part("outline", _rounded(0.28, 0.56, 0.72, 0.86, 0.06)),
    ]


def _curtain(_: str) -> list[Part]:
    left = [(0.1, 0.12), (0.44, 0.12), (0.36, 0.5), (0.42, 0.94), (0.1, 0.94)]
    return [
        Part("body", left),
        Part("body", [(1 - x, y) for x, y in left]),
        Part("metal", _rounded(0.03, 0.08, 0.97, 0.13, 0.02)),
    ]


def _duvet_cover(_: str) -> list[Part]:
    return [
        Part("ink", _rectangle(0.08, 0.14, 0.92, 0.32)),
        Part("pale", _rounded(0.16, 0.22, 0.48, 0.4, 0.05)),
        Part("pale", _rounded(0.52, 0.22, 0.84, 0.4, 0.05)),
        Part("body", [(0.12, 0.36), (0.88, 0.36), (0.97, 0.88), (0.03, 0.88)]),
    ]


def _yarn(_: str) -> list[Part]:
    threads = [Part("outline", _ellipse(0.5, 0.5, 0.4 - i * 0.11, 0.4, 60, 240)) for i in range(3)]
    return [
        Part("body", _ellipse(0.5, 0.5, 0.4, 0.4)),
        *threads,
        Part("trim", _rectangle(0.6, 0.86, 0.95, 0.89)),
    ]


def _wall_paint(_: str) -> list[Part]:
    return [
        Part("steel", _rectangle(0.2, 0.24, 0.8, 0.9)),
        Part("body", _rectangle(0.2, 0.36, 0.8, 0.8)),
        Part("steel", _ellipse(0.5, 0.24, 0.3, 0.08)),
        Part("body", _ellipse(0.5, 0.24, 0.25, 0.055)),
    ]


SHAPES: dict[str, Callable[[str], list[Part]]] = {
    "mug": _mug,
    "plate": _plate,
    "bowl": _bowl,
    "vase": _vase,
    "lamp": _lamp,
    "rug": _rug,
    "cushion": _cushion,
    "t-shirt": _t_shirt,
    "dress": _dress,
    "sneaker": _sneaker,
    "handbag": _handbag,
    "cap": _cap,
    "umbrella": _umbrella,
    "battery": _battery,
    "cable": _cable,
    "memory card": _memory_card,
    "light bulb": _light_bulb,
    "screw": _screw,
    "bearing": _bearing,
    "air filter": _air_filter,
    "fuse": _fuse,
    "phone case": _phone_case,
    "backpack": _backpack,
    "curtain": _curtain,
    "duvet cover": _duvet_cover,
    "yarn": _yarn,
    "wall paint": _wall_paint,
}
"""The article's name to its drawing, which takes the name of the shape variant."""
