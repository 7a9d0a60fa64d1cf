"""Privacy masks hide brightness and colour, and nothing else."""

import math
from typing import Literal

import numpy as np
import pytest

from nxai_capture.core.masks import Masks
from nxai_capture.core.picture import Gray, Picture
from support.pictures import in_layout, soft

LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


@pytest.mark.parametrize("layout", ["rgb", "bgr", "gray", "yuv", "yuv709", "yuvj"])
@pytest.mark.parametrize("size", [(64, 48), (65, 49)])
def test_a_mask_blackens_its_part_in_every_layout(
    layout: Literal["rgb", "bgr", "gray", "yuv", "yuv709", "yuvj"], size: tuple[int, int]
) -> None:
    picture = in_layout(soft(*size), layout)
    before = picture.to_rgb()
    masked = Masks((LEFT_HALF,), *size)(picture)
    after = masked.to_rgb()
    half = size[0] // 2
    assert not after[:, :half].any()
    assert np.array_equal(after[:, half + 2 :], before[:, half + 2 :])
    assert type(masked.planes) is type(picture.planes)
    assert (masked.captured_at_us, masked.corrupt) == (picture.captured_at_us, picture.corrupt)
    assert np.array_equal(picture.to_rgb(), before), "the decoder's own picture is untouched"


def test_several_polygons_and_a_triangle() -> None:
    corner = ((0.0, 0.0), (0.25, 0.0), (0.0, 0.25))
    far = ((1.0, 1.0), (0.75, 1.0), (1.0, 0.75))
    after = Masks((corner, far), 80, 80)(in_layout(soft(80, 80), "yuv")).to_rgb()
    assert not after[2, 2].any()
    assert not after[78, 78].any()
    assert after[40, 40].any()
    assert after[18, 18].any()


PENTAGRAM = tuple(
    (0.5 + 0.45 * math.sin(4 * math.pi * i / 5), 0.5 - 0.45 * math.cos(4 * math.pi * i / 5))
    for i in range(5)
)
LOOP = (
    (0.1, 0.1), (0.8, 0.1), (0.8, 0.8), (0.3, 0.8), (0.3, 0.3), (0.6, 0.3), (0.6, 0.6), (0.1, 0.6),
)  # fmt: skip
LOOP_AT_THE_EDGE = (
    (0.2, 0.2), (1, 0.2), (1, 0.8), (0.2, 0.8),
    (0.2, 0.4), (1, 0.4), (1, 0.6), (0.5, 0.6), (0.5, 0.2),
)  # fmt: skip


@pytest.mark.parametrize(
    ("polygon", "inside", "outside"),
    [
        (PENTAGRAM, (0.5, 0.5), (0.5, 0.9)),
        (LOOP, (0.45, 0.45), (0.15, 0.7)),
        (LOOP_AT_THE_EDGE, (0.75, 0.5), (0.1, 0.5)),
    ],
)
def test_a_mask_that_overlaps_itself_has_no_holes(
    polygon: tuple[tuple[float, float], ...],
    inside: tuple[float, float],
    outside: tuple[float, float],
) -> None:
    width, height = 200, 160
    white = Picture(Gray(np.full((height, width), 255, np.uint8)), width, height, 0)
    after = Masks((polygon,), width, height)(white).to_rgb()
    for (x, y), hidden in ((inside, True), (outside, False)):
        assert after[int(y * height), int(x * width)].any() != hidden


def test_masks_know_what_they_are_for() -> None:
    masks = Masks((LEFT_HALF,), 64, 48)
    picture = in_layout(soft(64, 48), "yuv")
    assert masks.fits((LEFT_HALF,), picture)
    assert not masks.fits((), picture)
    assert not masks.fits((LEFT_HALF,), in_layout(soft(48, 64), "yuv"))
    with pytest.raises(ValueError, match="64x48 pixels, not for 48x64"):
        masks(in_layout(soft(48, 64), "yuv"))
