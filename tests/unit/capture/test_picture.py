"""Pictures in every layout convert to RGB and BGR."""

from typing import Literal

import numpy as np
import pytest

from nxai_capture.core.picture import Gray, Picture, Yuv420
from support.pictures import in_layout, soft

LAYOUTS: tuple[Literal["rgb", "bgr", "gray", "yuv", "yuv709", "yuvj"], ...] = (
    "rgb",
    "bgr",
    "gray",
    "yuv",
    "yuv709",
    "yuvj",
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(64, 48), (65, 49), (1, 1)])
def test_every_layout_converts(
    layout: Literal["rgb", "bgr", "gray", "yuv", "yuv709", "yuvj"], size: tuple[int, int]
) -> None:
    rgb = soft(*size)
    expected = rgb.astype(int)
    if layout == "gray":
        expected = np.rint(expected @ [0.299, 0.587, 0.114]).astype(int)[..., None].repeat(3, 2)
    picture = in_layout(rgb, layout)
    assert np.abs(picture.to_rgb() - expected).mean() < 2
    assert np.array_equal(picture.to_bgr(), picture.to_rgb()[:, :, ::-1])
    assert picture.to_rgb().flags.c_contiguous
    assert picture.to_bgr().flags.c_contiguous


def test_primaries_are_the_right_way_round() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[:, :, 0] = 250
    for layout in LAYOUTS:
        if layout != "gray":
            assert np.abs(in_layout(red, layout).to_rgb()[4, 4] - np.array([250, 0, 0])).max() <= 3


def test_bytes_are_counted_without_padding() -> None:
    plane = np.zeros((48, 96), np.uint8)[:, :64]
    half = np.zeros((24, 32), np.uint8)
    assert Picture(Yuv420(plane, half, half), 64, 48, 0).nbytes == 64 * 48 * 3 // 2
    assert Picture(Gray(plane), 64, 48, 0).nbytes == 64 * 48
