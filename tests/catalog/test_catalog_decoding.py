import io

import numpy as np
import pytest
from PIL import Image

from catalog.catalogue import Catalogue
from catalog.pictures import decode_catalogue, decode_picture
from catalog.schema import Picture, Product
from faults import CatalogueError, InvalidInput


def jpeg(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(stream, "JPEG")
    return stream.getvalue()


class Store:
    def __init__(self, pictures: list[Picture]) -> None:
        self._all = pictures

    def pictures(self, product_id: str) -> tuple[Picture, ...]:
        return tuple(picture for picture in self._all if picture.product_id == product_id)


def catalogue(*pictures: Picture, products: int = 3) -> Catalogue:
    return Catalogue([Product(f"p{n}", f"title {n}") for n in range(products)], Store(list(pictures)))


def test_slots_hold_views_in_order_and_missing_ones_stay_empty() -> None:
    decoded = decode_catalogue(
        catalogue(
            Picture("p0", "main", jpeg("red")),
            Picture("p0", "back", jpeg("blue")),
            Picture("p0", "third", jpeg("green")),
            Picture("p2", "main", jpeg("black")),
        ),
        size=16,
        views=2,
    )
    assert decoded.pixels.shape == (3, 2, 16, 16, 3)
    assert decoded.has_image.tolist() == [[True, True], [False, False], [True, False]]
    np.testing.assert_array_equal(decoded.pixels[0, 1], decode_picture(jpeg("blue"), 16))
    assert not decoded.pixels[1].any()
    assert decoded.skipped == ()


def test_bad_pictures_are_counted_and_named() -> None:
    bad = [Picture(f"p{n}", "main", b"junk") for n in range(7)]
    with pytest.raises(CatalogueError) as caught:
        decode_catalogue(catalogue(*bad, products=8), size=8)
    message = str(caught.value)
    assert "7 pictures cannot be decoded" in message
    assert all(f"p{n}/main" in message for n in range(5))
    assert "p5/main" not in message
    assert "format unknown" in message


def test_bad_pictures_are_skipped_on_request() -> None:
    decoded = decode_catalogue(
        catalogue(Picture("p0", "main", b"junk"), Picture("p1", "main", jpeg("red"))), size=8, on_bad="skip"
    )
    assert decoded.has_image[:, 0].tolist() == [False, True, False]
    assert [(bad.product_id, bad.view) for bad in decoded.skipped] == [("p0", "main")]
    assert not decoded.pixels[0].any()


def test_progress_ends_at_the_number_of_products() -> None:
    seen: list[int] = []
    decode_catalogue(catalogue(products=600), size=1, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 600


@pytest.mark.parametrize(("size", "views"), [(0, 1), (8, 0)])
def test_senseless_sizes_are_refused(size: int, views: int) -> None:
    with pytest.raises(InvalidInput):
        decode_catalogue(catalogue(), size=size, views=views)
