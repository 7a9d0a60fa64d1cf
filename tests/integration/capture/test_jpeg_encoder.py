"""JPEGs of every layout, PNGs, and the desk that makes them beside the line."""

import io
import threading
from typing import Literal

import cv2
import numpy as np
import pytest
from PIL import Image

from nxai_capture.adapters.jpeg_encoder import JpegEncoder
from nxai_capture.adapters.png_encoder import encode_png
from nxai_capture.core.picture import Picture, Rgb
from nxai_capture.encoding import LONGEST_QUEUE, EncodingDesk
from nxai_common.errors import InvalidPayload
from support.pictures import in_layout, soft
from support.waiting import wait_for


@pytest.mark.parametrize("layout", ["rgb", "bgr", "gray", "yuv", "yuv709", "yuvj"])
@pytest.mark.parametrize("max_width", [None, 1000, 101])
def test_the_jpeg_shows_the_picture(
    layout: Literal["rgb", "bgr", "gray", "yuv", "yuv709", "yuvj"], max_width: int | None
) -> None:
    picture = in_layout(soft(321, 241), layout)
    data = JpegEncoder(90)(picture, max_width=max_width)
    shown = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert shown.shape == ((76, 101, 3) if max_width == 101 else (241, 321, 3))
    expected = cv2.resize(picture.to_bgr(), (shown.shape[1], shown.shape[0]))
    assert np.abs(shown.astype(int) - expected).mean() < 2


def test_quality_is_what_was_asked_for() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    picture = in_layout(noise, "bgr")
    assert len(JpegEncoder(30)(picture)) < len(JpegEncoder(95)(picture))


def test_a_comment_is_in_the_jpeg_and_the_picture_the_same() -> None:
    picture = in_layout(soft(321, 241), "yuv")
    plain = JpegEncoder(90)(picture, max_width=100)
    data = JpegEncoder(90)(picture, max_width=100, comment=b'{"sequence": 7}')
    with Image.open(io.BytesIO(plain)) as expected, Image.open(io.BytesIO(data)) as shown:
        assert shown.info["comment"] == b'{"sequence": 7}'
        assert "comment" not in expected.info
        assert np.array_equal(np.asarray(shown), np.asarray(expected))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_very_pixels(channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (7, 5, channels), dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(pixels))) as shown:
        assert (shown.format, shown.mode) == ("PNG", "L" if channels == 1 else "RGB")
        assert np.array_equal(np.asarray(shown).reshape(pixels.shape), pixels)


def test_pixels_that_cannot_be_a_png_are_refused() -> None:
    with pytest.raises(InvalidPayload, match="0x5 pixels cannot be a PNG"):
        encode_png(np.zeros((5, 0, 1), np.uint8))


def test_what_cannot_be_a_jpeg_is_refused_with_its_size() -> None:
    wide = Picture(Rgb(np.zeros((1, 70_000, 3), np.uint8)), 70_000, 1, 0)
    with pytest.raises(InvalidPayload, match="70000x1"):
        JpegEncoder(90)(wide)


def test_the_desk_refuses_what_does_not_fit_and_survives_a_failing_job() -> None:
    desk = EncodingDesk()
    go, done = threading.Event(), threading.Event()

    def fail() -> None:
        raise InvalidPayload("too large")

    assert desk.submit(lambda: (go.wait(20), None)[1])
    assert desk.submit(fail)
    assert desk.submit(done.set)
    for _ in range(LONGEST_QUEUE - 3):
        assert desk.submit(lambda: None)
    assert not desk.submit(lambda: None)
    assert desk.dropped == 1
    desk.start()
    go.set()
    wait_for(done.is_set)
    assert desk.failed == 1
    desk.close(10)
