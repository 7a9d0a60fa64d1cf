"""Boxes on a picture."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nxai_cloud_sync.adapters.picture_drawing import draw_boxes
from nxai_cloud_sync.core.sample import LabelledBox
from nxai_common.errors import RejectedError

pytestmark = pytest.mark.unit


def gray(width: int = 320, height: int = 240, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (128, 128, 128)).convert(mode).save(file, "JPEG")
    return file.getvalue()


def drawn(jpeg: bytes, *boxes: LabelledBox, labels: tuple[str, ...] = ()) -> NDArray[np.int16]:
    with Image.open(io.BytesIO(draw_boxes(jpeg, boxes, labels)), formats=["JPEG"]) as picture:
        return np.asarray(picture.convert("RGB")).astype(np.int16)


def changed(pixels: NDArray[np.int16]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(pixels - 128).max(axis=2) > 40)


def test_a_frame_is_drawn_where_the_box_is_and_its_label_above() -> None:
    there = changed(drawn(gray(), LabelledBox("nut", 100, 80, 60, 40, 0.41)))
    for x, y in ((100, 100), (160, 100), (130, 80), (130, 120)):
        assert there[y - 1 : y + 2, x - 1 : x + 2].any(), f"the frame at {x}, {y}"
    assert not there[90:110, 110:150].any(), "within the frame the picture is seen"
    assert there[66:78, 101:130].mean() > 0.5, "the label stands above"
    assert not there[:60].any()
    assert not there[130:].any()


def test_a_label_has_its_colour_on_each_picture() -> None:
    labels = ("bolt", "nut")
    one = drawn(gray(), LabelledBox("nut", 100, 80, 60, 40), labels=labels)
    other = drawn(
        gray(),
        LabelledBox("bolt", 10, 80, 60, 40),
        LabelledBox("nut", 100, 80, 60, 40),
        labels=labels,
    )
    edge = np.abs(one[110, 100] - other[110, 100]).max()
    assert edge < 20
    assert np.abs(other[110, 10] - other[110, 100]).max() > 60


@pytest.mark.parametrize(
    "box",
    [
        LabelledBox("nut", 0, 0, 20, 20, 0.9),
        LabelledBox("a label that is longer than the picture is wide " * 4, 300, 220, 20, 20),
        LabelledBox("nut", 319.5, 239.5, 0.5, 0.5),
        LabelledBox("Schraube Größe 5 шайба", 0, 100, 320, 140),
    ],
)
def test_boxes_at_the_rim(box: LabelledBox) -> None:
    assert changed(drawn(gray(), box)).any()


def test_a_large_picture_has_lines_and_letters_that_are_seen() -> None:
    there = changed(drawn(gray(3840, 2160), LabelledBox("nut", 1000, 1000, 500, 500)))
    assert there[1250, 1000:1009].all()
    assert not there[1250, 1012:1400].any()
    assert there[950:1000, 1000:1100].mean() > 0.4


def test_a_picture_in_gray_gets_colours() -> None:
    pixels = drawn(gray(mode="L"), LabelledBox("nut", 100, 80, 60, 40))
    assert np.ptp(pixels[100, 100]) > 60


def test_without_boxes_it_is_the_very_same() -> None:
    assert draw_boxes(b"whatever it is", ()) == b"whatever it is"


@pytest.mark.parametrize("broken", [b"", b"no picture", gray()[:400]])
def test_what_cannot_be_read(broken: bytes) -> None:
    with pytest.raises(RejectedError, match="the boxes cannot be drawn, as the picture cannot be"):
        draw_boxes(broken, (LabelledBox("nut", 1, 1, 5, 5),))
