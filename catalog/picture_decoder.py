"""Encoded pictures to pixels: the one path for training, export, indexing and serving.

Pictures come from suppliers and from the open network, so every byte is suspect: size
and format are checked before a decoder runs, and whatever a decoder throws becomes one
precise refusal.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from catalog.picture_headers import exif_orientation, png_essentials, sniff_format, webp_size
from faults import InvalidInput

__all__ = ["DEFAULT_LIMITS", "PictureLimits", "Pixels", "decode_picture", "letter_box"]

Pixels = npt.NDArray[np.uint8]


class _QuietJpeg(JpegImageFile):
    """A JPEG whose EXIF block Pillow leaves alone: on a damaged one it would warn."""

    def getexif(self) -> Image.Exif:
        """Returns no tags; the orientation is read by ``exif_orientation``."""
        return Image.Exif()


# The classes, not Image.open: see picture_headers.
_DECODERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": _QuietJpeg,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
}
_WHITE = (255, 255, 255)
_WITH_ALPHA = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
# Decoders may shrink coarsely to twice the wanted size; the rest is done with a good filter.
_SPARE = 2
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What is decoded at all.

    Attributes:
        max_bytes: largest encoded picture.
        max_pixels: largest declared width x height; checked before decoding.
        formats: those of ``JPEG``, ``PNG`` and ``WEBP`` that are allowed.

    Raises:
        InvalidInput: a limit below 1, or a format that has no decoder here.
    """

    max_bytes: int = 8 * 1024 * 1024
    max_pixels: int = 40_000_000
    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP")

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels"):
            if getattr(self, name) < 1:
                raise InvalidInput(
                    "must be positive.", field=name, value=getattr(self, name), fix="Give 1 or more."
                )
        strange = [name for name in self.formats if name not in _DECODERS]
        if strange or not self.formats:
            raise InvalidInput(
                "no decoder for this format.",
                field="formats",
                value=strange,
                fix=f"Choose among {', '.join(_DECODERS)}.",
            )


DEFAULT_LIMITS = PictureLimits()


def decode_picture(data: bytes, size: int, limits: PictureLimits = DEFAULT_LIMITS) -> Pixels:
    """Returns the picture as uint8 ``[size, size, 3]`` RGB, letter-boxed on white.

    Turned upright by its EXIF orientation; transparency laid on white; of an animation the
    first frame. A large JPEG is shrunk while decoding.

    Args:
        data: the encoded file.
        size: side of the result in pixels, at least 1.
        limits: what is refused before decoding.

    Raises:
        InvalidInput: field ``picture``: empty, too large, a format that is not allowed, more
            pixels than the limit, truncated or damaged.
    """
    if size < 1:
        raise InvalidInput("must be positive.", field="size", value=size, fix="Give 1 or more.")
    picture_format = _allowed_format(data, limits)
    try:
        if picture_format == "WEBP":
            _refuse_bomb(webp_size(data), limits)
        elif picture_format == "PNG":
            data = png_essentials(data)
        with _DECODERS[picture_format](io.BytesIO(data)) as opened:
            _refuse_bomb(opened.size, limits)
            return letter_box(_upright(opened, size), size)
    except InvalidInput:
        raise
    except Exception as error:  # decoders of damaged data raise nearly anything
        raise InvalidInput(
            f"the {picture_format} data is truncated or damaged ({error or type(error).__name__}).",
            field="picture",
            fix="Send the file whole; check that it opens in a picture viewer.",
        ) from error


def letter_box(picture: Image.Image, size: int) -> Pixels:
    """Scales a picture of any mode into a white square, keeping its proportions.

    Returns:
        uint8 ``[size, size, 3]`` RGB, the picture in the middle.
    """
    picture = _plain_mode(picture)
    width, height = _fitting(picture.size, size)
    # reducing_gap shrinks by whole factors first: a 40-megapixel PNG costs a tenth.
    scaled = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    square = Image.new("RGB", (size, size), _WHITE)
    corner = ((size - width) // 2, (size - height) // 2)
    square.paste(scaled, corner, scaled if scaled.mode == "RGBA" else None)
    return np.asarray(square, dtype=np.uint8)


def _allowed_format(data: bytes, limits: PictureLimits) -> str:
    if not data:
        raise InvalidInput("the picture is empty.", field="picture", fix="Send the file's bytes.")
    if len(data) > limits.max_bytes:
        raise InvalidInput(
            f"the file has {len(data):,} bytes; at most {limits.max_bytes:,} are allowed.",
            field="picture",
            fix="Send a smaller picture; a longest side of 512 pixels is plenty.",
        )
    found = sniff_format(data)
    if found not in limits.formats:
        raise InvalidInput(
            f"pictures of format {found} are not allowed.",
            field="picture",
            fix=f"Send {' or '.join(limits.formats)}.",
        )
    return found


def _refuse_bomb(size: tuple[int, int], limits: PictureLimits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InvalidInput(
            f"the picture declares {width} x {height} pixels.",
            field="picture",
            fix="Send a picture with at least one pixel.",
        )
    if width * height > limits.max_pixels:
        raise InvalidInput(
            f"the picture declares {width} x {height} pixels; at most {limits.max_pixels:,} are allowed.",
            field="picture",
            fix="Send a smaller picture; a longest side of 512 pixels is plenty.",
        )


def _upright(opened: ImageFile.ImageFile, size: int) -> Image.Image:
    fitting = _fitting(opened.size, size)
    opened.draft(opened.mode, (fitting[0] * _SPARE, fitting[1] * _SPARE))
    opened.load()
    turn = _TURNS.get(exif_orientation(opened.info.get("exif")))
    if turn is None:
        return opened
    # Shrink before turning: a turn copies every pixel.
    return _plain_mode(opened).resize(fitting, Image.Resampling.BICUBIC, reducing_gap=3.0).transpose(turn)


def _plain_mode(picture: Image.Image) -> Image.Image:
    """Returns the picture as RGB, or RGBA where parts of it are transparent."""
    if picture.mode.startswith("I"):  # 16 bits of grey: keep the upper eight
        grey = np.asarray(picture).astype(np.int64)
        picture = Image.fromarray(np.clip(grey >> 8, 0, 255).astype(np.uint8))
    if picture.mode in _WITH_ALPHA or "transparency" in picture.info:
        return picture.convert("RGBA")
    return picture.convert("RGB")


def _fitting(shape: tuple[int, int], size: int) -> tuple[int, int]:
    longest = max(shape)
    return (max(1, round(shape[0] * size / longest)), max(1, round(shape[1] * size / longest)))
