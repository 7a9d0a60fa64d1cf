"""Privacy masks hide brightness and colour, and nothing else."""

from typing import Literal

import numpy as np
import pytest

from nxai_capture.core.masks import Masks
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


def test_masks_know_what_they_are_for() -> None:
    masks = Masks((LEFT_HALF,), 64, 48)
    picture = in_layout(soft(64, 48), "yuv")
    assert masks.fits((LEFT_HALF,), picture)
    assert not masks.fits((), picture)
    assert not masks.fits((LEFT_HALF,), in_layout(soft(48, 64), "yuv"))
    with pytest.raises(ValueError, match="64x48 pixels, not for 48x64"):
        masks(in_layout(soft(48, 64), "yuv"))
