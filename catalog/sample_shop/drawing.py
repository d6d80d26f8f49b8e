"""Photographs of the sample shop: a silhouette, its colour and pattern, and a supplier's hand.

Two suppliers never take the same picture: position, size, angle, light and noise differ,
so that recognising a product in another photograph is a task. Colour, pattern and shape
stay recognisable at 64 pixels: that is what the towers are to learn.
"""

from __future__ import annotations

import io
import math
import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from catalog.sample_shop.shapes import SHAPES, Point
from catalog.sample_shop.vocabulary import COLOURS

__all__ = ["draw_article"]

_Ink = tuple[int, int, int]

_INKS: dict[str, _Ink] = {
    "ink": (52, 54, 60),
    "metal": (150, 154, 160),
    "steel": (186, 190, 196),
    "copper": (190, 120, 66),
    "brass": (206, 172, 84),
    "pale": (232, 232, 228),
    "glow": (250, 240, 196),
    "glass": (214, 228, 232),
}
_OUTLINE: _Ink = (70, 70, 74)
_DRAWN_AT = 2  # drawn this much larger, then shrunk: the antialiasing
_TILE = 256
_SIDES = ((96, 96), (88, 96), (96, 80), (80, 80))


@dataclass(frozen=True, slots=True)
class _Camera:
    """How one photograph was taken; ``place`` turns unit coordinates into pixels."""

    width: int
    height: int
    scale: float
    angle: float
    shift: Point
    paper: _Ink
    light: float

    def place(self, points: list[Point]) -> list[Point]:
        side = min(self.width, self.height) * self.scale
        cosine, sine = math.cos(self.angle) * side, math.sin(self.angle) * side
        x0, y0 = self.width * (0.5 + self.shift[0]), self.height * (0.5 + self.shift[1])
        return [
            (x0 + (x - 0.5) * cosine - (y - 0.5) * sine, y0 + (x - 0.5) * sine + (y - 0.5) * cosine)
            for x, y in points
        ]


def draw_article(name: str, shape: str, color: str, pattern: str, source: random.Random) -> bytes:
    """Returns a JPEG of one article, 80 to 96 pixels on its longest side.

    Args:
        name: the article's name, a key of ``SHAPES``.
        shape: the shape variant, or empty.
        color: a key of ``COLOURS``; empty for an article whose colour says nothing.
        pattern: a key of ``PATTERNS``; empty means plain.
        source: of everything that differs between two photographs.
    """
    camera = _take_position(source)
    fill = _lit(COLOURS[color][0] if color else _INKS["steel"], camera.light)
    picture = Image.new("RGB", (camera.width, camera.height), camera.paper)
    body = _texture(fill, pattern or "plain", _contrast(fill))
    corner = (source.randrange(_TILE - camera.width + 1), source.randrange(_TILE - camera.height + 1))
    cut = body.crop((*corner, corner[0] + camera.width, corner[1] + camera.height))
    _draw_parts(picture, cut, name, shape, camera, fill)
    small = picture.resize((camera.width // _DRAWN_AT, camera.height // _DRAWN_AT), Image.Resampling.BOX)
    return _encode(small, source)


def _take_position(source: random.Random) -> _Camera:
    width, height = source.choice(_SIDES)
    tint = source.randint(232, 250)
    return _Camera(
        width=width * _DRAWN_AT,
        height=height * _DRAWN_AT,
        scale=source.uniform(0.78, 0.97),
        angle=math.radians(source.uniform(-9, 9)),
        shift=(source.uniform(-0.04, 0.04), source.uniform(-0.04, 0.04)),
        paper=(tint, tint + source.randint(-5, 5), tint + source.randint(-5, 5)),
        light=source.uniform(0.9, 1.06),
    )


def _draw_parts(
    picture: Image.Image, body: Image.Image, name: str, shape: str, camera: _Camera, fill: _Ink
) -> None:
    brush = ImageDraw.Draw(picture)
    shade = _lit(fill, 0.72) if sum(fill) > 200 else _lit(fill, 1.0, lift=46)
    for role, points in SHAPES[name](shape):
        placed = camera.place(points)
        if role == "body":
            mask = Image.new("1", picture.size)
            ImageDraw.Draw(mask).polygon(placed, fill=1)
            picture.paste(body, (0, 0), mask)
            brush.line([*placed, placed[0]], fill=_OUTLINE, width=2)
        elif role == "outline":
            brush.line([*placed, placed[0]], fill=shade, width=3)
        elif role == "paper":
            brush.polygon(placed, fill=camera.paper)
        else:
            ink = shade if role == "trim" else _lit(_INKS[role], camera.light)
            brush.polygon(placed, fill=ink, outline=_OUTLINE)


@lru_cache(maxsize=512)
def _texture(fill: _Ink, pattern: str, accent: _Ink) -> Image.Image:
    """Returns a tile of the pattern, large enough to cut any body from; shared, so never drawn on."""
    rows, columns = np.mgrid[0:_TILE, 0:_TILE]
    marked = _marks(pattern, rows, columns)
    tile = np.empty((_TILE, _TILE, 3), dtype=np.uint8)
    tile[:] = fill
    tile[marked] = accent
    return Image.fromarray(tile)


def _marks(
    pattern: str, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    marked: npt.NDArray[np.bool_] = np.zeros(rows.shape, dtype=np.bool_)
    if pattern == "striped":
        marked = rows % 26 < 11
    elif pattern == "dotted":
        odd = (rows // 24) % 2
        marked = (rows % 24 - 12) ** 2 + ((columns + 12 * odd) % 24 - 12) ** 2 < 44
    elif pattern == "checked":
        marked = (rows // 16 + columns // 16) % 2 == 0
    elif pattern == "zigzag":
        marked = (rows + np.abs(columns % 32 - 16)) % 26 < 10
    return marked


def _contrast(fill: _Ink) -> _Ink:
    """Patterns are cream on strong colours and near-black on pale ones: never a colour of their own."""
    brightness = 0.3 * fill[0] + 0.59 * fill[1] + 0.11 * fill[2]
    return (44, 44, 50) if brightness > 205 else (246, 242, 230)


def _lit(ink: _Ink, light: float, lift: int = 0) -> _Ink:
    red, green, blue = (min(255, round(channel * light) + lift) for channel in ink)
    return red, green, blue


def _encode(picture: Image.Image, source: random.Random) -> bytes:
    pixels = np.asarray(picture, dtype=np.int16)
    grain = np.random.default_rng(source.getrandbits(64)).integers(-6, 7, size=pixels.shape, dtype=np.int16)
    noisy = Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
    stream = io.BytesIO()
    noisy.save(stream, format="JPEG", quality=source.randint(78, 90))
    return stream.getvalue()
