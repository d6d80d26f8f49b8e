import contextlib
import io
import struct
import warnings
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from catalog.picture_headers import exif_orientation, sniff_format, webp_size
from catalog.pictures import PictureLimits, decode_picture
from faults import InvalidInput

RED, BLUE = (220, 20, 30), (10, 40, 200)


def encode(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def halves(width: int = 40, height: int = 20) -> Image.Image:
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height))
    return picture


def near(pixel: npt.NDArray[np.uint8], colour: tuple[int, int, int], by: int = 12) -> bool:
    return bool(np.abs(pixel.astype(int) - np.array(colour)).max() <= by)


def png_declaring(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\x00" * 64)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_wide_picture_is_letter_boxed_on_white(form: str) -> None:
    pixels = decode_picture(encode(halves(), form), 32)
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    assert near(pixels[2, 16], (255, 255, 255))
    assert near(pixels[29, 16], (255, 255, 255))
    assert near(pixels[16, 4], RED, 30)
    assert near(pixels[16, 27], BLUE, 30)


@pytest.mark.parametrize("shape", [(1, 1), (4000, 3), (3, 4000), (2, 1)])
def test_extreme_proportions(shape: tuple[int, int]) -> None:
    for form in ("JPEG", "PNG", "WEBP"):
        pixels = decode_picture(encode(Image.new("RGB", shape, RED), form), 16)
        seen = [near(pixel, RED, 130) for pixel in (*pixels[6:10, 8], *pixels[8, 6:10])]
        assert any(seen)  # even three pixels in four thousand leave a line
        assert pixels.shape == (16, 16, 3)


def test_a_single_pixel_fills_the_square() -> None:
    assert near(decode_picture(encode(Image.new("RGB", (1, 1), RED)), 16).reshape(-1, 3).min(axis=0), RED, 1)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "PA", "1", "RGBA", "CMYK", "I;16", "I"])
def test_other_modes(mode: str) -> None:
    if mode in ("I;16", "I"):
        grey = np.full((8, 8), 200 * 256 + 17, dtype=np.uint16)
        picture = Image.fromarray(grey)
        expected = (200, 200, 200)
    else:
        picture = Image.new("RGB", (8, 8), (200, 200, 200)).convert("RGBA" if mode == "PA" else mode)
        expected = (255, 255, 255) if mode == "1" else (200, 200, 200)
        if mode == "PA":
            picture = picture.convert("P")
        if mode == "1":
            picture = Image.new("1", (8, 8), 1)
    data = encode(picture, "JPEG" if mode == "CMYK" else "PNG")
    assert near(decode_picture(data, 8)[4, 4], expected, 4)


def test_transparency_is_laid_on_white() -> None:
    picture = Image.new("RGBA", (20, 20), (*RED, 0))
    picture.paste((*RED, 255), (0, 0, 10, 20))
    pixels = decode_picture(encode(picture), 20)
    assert near(pixels[10, 3], RED)
    assert near(pixels[10, 16], (255, 255, 255))
    assert near(
        decode_picture(encode(Image.new("RGBA", (4, 4), (0, 0, 0, 128))), 4)[2, 2], (127, 127, 127), 2
    )


def test_a_transparent_palette_entry_is_laid_on_white() -> None:
    picture = Image.new("P", (10, 10), 0)
    picture.putpalette([0, 0, 0, *RED])
    picture.paste(1, (5, 0, 10, 10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = decode_picture(encode(picture, transparency=b"\x00\xff"), 10)
    assert near(pixels[5, 1], (255, 255, 255))
    assert near(pixels[5, 8], RED)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.new("RGB", (32, 16), "white")
    picture.paste(RED, (0, 0, 12, 8))  # the mark in the stored picture's upper left
    options = {"quality": 95} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    pixels = decode_picture(encode(picture, form, exif=exif, **options), 32)
    rows, columns = np.nonzero(pixels[:, :, 1] < 128)
    upper, left = rows.mean() < 16, columns.mean() < 16
    # By the EXIF standard: where the stored first row and first column belong.
    expected = {1: (True, True), 2: (True, False), 3: (False, False), 4: (False, True),
                5: (True, True), 6: (True, False), 7: (False, False), 8: (False, True)}  # fmt: skip
    assert (upper, left) == expected[orientation]
    tall = np.ptp(rows) > np.ptp(columns)
    assert tall == (orientation >= 5)


def test_damaged_exif_is_no_reason_to_refuse() -> None:
    plain = encode(halves(), "JPEG", quality=95)
    broken = encode(halves(), "JPEG", quality=95, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    np.testing.assert_array_equal(decode_picture(broken, 16), decode_picture(plain, 16))


@given(st.binary(max_size=64))
def test_orientation_of_any_bytes(data: bytes) -> None:
    assert 1 <= exif_orientation(b"Exif\x00\x00II*\x00" + data) <= 8
    assert exif_orientation(data) in range(1, 9)
    assert exif_orientation(None) == 1


@pytest.mark.parametrize("form", ["WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(form: str) -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    data = encode(first, form, save_all=True, append_images=[second], duration=100)
    assert near(decode_picture(data, 8)[4, 4], RED, 20)


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("exif", [b"", b"Exif\x00\x00"])
def test_the_webp_header_is_read_without_decoding(lossless: bool, exif: bytes) -> None:
    data = encode(Image.new("RGB", (123, 45), RED), "WEBP", lossless=lossless, exif=exif)
    assert webp_size(data) == (123, 45)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b"hello", "format unknown"),
        (b"GIF89a" + b"\x00" * 50, "format GIF"),
        (b"\x00\x00\x00\x20ftypavif", "format AVIF"),
        (encode(halves(), "BMP"), "format BMP"),
        (encode(halves(), "PNG")[:60], "truncated or damaged"),
        (encode(halves(400, 200), "JPEG")[:900], "truncated or damaged"),
        (encode(halves(), "WEBP")[:40], "truncated or damaged"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8X", "truncated or damaged"),
        (b"RIFF\x00\x00\x00\x00WEBPjunk" + b"\x00" * 40, "truncated or damaged"),
        (b"\xff\xd8\xff" + b"\x00" * 200, "truncated or damaged"),
        (b"\x89PNG\r\n\x1a\n", "truncated or damaged"),
        (png_declaring(0, 10), "truncated or damaged"),
        (png_declaring(60_000, 60_000), "60000 x 60000"),
        (png_declaring(8_000, 8_000), "8000 x 8000"),
    ],
)
def test_bad_pictures_are_refused(data: bytes, problem: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidInput, match=problem) as caught:
            decode_picture(data, 32)
    assert caught.value.field == "picture"
    assert caught.value.fix


def test_a_webp_bomb_is_refused_by_its_header() -> None:
    size = (16_000 - 1).to_bytes(3, "little")
    data = b"RIFF\x24\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + size + size + b"\x00" * 20
    with pytest.raises(InvalidInput, match="16000 x 16000"):
        decode_picture(data, 32)


def test_limits() -> None:
    data = encode(halves())
    with pytest.raises(InvalidInput, match="at most 10 are allowed"):
        decode_picture(data, 8, PictureLimits(max_bytes=10))
    with pytest.raises(InvalidInput, match="40 x 20 pixels"):
        decode_picture(data, 8, PictureLimits(max_pixels=799))
    assert decode_picture(data, 8, PictureLimits(max_pixels=800)).shape == (8, 8, 3)
    with pytest.raises(InvalidInput, match="format PNG"):
        decode_picture(data, 8, PictureLimits(formats=("JPEG",)))


@pytest.mark.parametrize(
    "wrong", [{"max_bytes": 0}, {"max_pixels": -1}, {"formats": ("GIF",)}, {"formats": ()}]
)
def test_senseless_limits_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        PictureLimits(**wrong)  # type: ignore[arg-type]


def test_a_size_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="size"):
        decode_picture(encode(halves()), 0)


def test_a_40_megapixel_jpeg_is_decoded() -> None:
    data = encode(halves(7900, 5000).convert("L"), "JPEG", quality=30)
    pixels = decode_picture(data, 64)
    assert int(pixels[32, 10, 0]) == pytest.approx(82, abs=12)  # luma of the red half
    assert int(pixels[32, 54, 0]) == pytest.approx(49, abs=12)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.data())
def test_damaged_files_decode_or_are_refused_but_nothing_else(form: str, data: st.DataObject) -> None:
    good = bytearray(encode(halves(), form))
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(4, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InvalidInput):
        assert decode_picture(bytes(good), 16, PictureLimits(max_pixels=1_000_000)).shape == (16, 16, 3)


def test_formats_are_told_by_their_first_bytes() -> None:
    assert sniff_format(encode(halves(), "GIF")) == "GIF"
    assert sniff_format(encode(halves(), "TIFF")) == "TIFF"
    assert sniff_format(b"<?xml version='1.0'?><svg/>") == "SVG"


def test_texts_in_a_png_are_not_unpacked() -> None:
    body = b"Comment\x00\x00" + zlib.compress(b"\x00" * 80_000_000)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    plain = encode(halves())
    np.testing.assert_array_equal(
        decode_picture(plain[:33] + chunk + plain[33:], 16), decode_picture(plain, 16)
    )


def test_a_damaged_animation_header_does_not_warn() -> None:
    chunk = struct.pack(">I", 2) + b"acTL" + b"\x00\x00" + struct.pack(">I", zlib.crc32(b"acTL\x00\x00"))
    plain = encode(halves())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_picture(plain[:33] + chunk + plain[33:], 16).shape == (16, 16, 3)
