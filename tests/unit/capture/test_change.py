"""Trigger on change."""

from typing import Literal

import numpy as np
import pytest

from nxai_capture.core.change import ChangeDetector, changed_percent, thumbnail
from nxai_common.contracts.configuration import ChangeTrigger
from support.pictures import flat, in_layout, soft


@pytest.mark.parametrize("layout", ["rgb", "bgr", "gray", "yuv"])
def test_thumbnails_are_small_gray_and_alike(
    layout: Literal["rgb", "bgr", "gray", "yuv"],
) -> None:
    small = thumbnail(in_layout(soft(1281, 721), layout))
    assert small.shape == (90, 160)
    assert small.dtype == np.uint8
    assert small.std() > 5


def test_small_and_flat_pictures_stay_as_they_are() -> None:
    assert thumbnail(flat(100, 80)).shape == (80, 100)
    assert thumbnail(flat(1000, 1)).shape == (1, 1000)


def test_percentage_of_pixels_beyond_the_threshold() -> None:
    before = np.full((10, 10), 100, np.uint8)
    now = before.copy()
    now[0, :4] = 121
    now[1, :4] = 120
    assert changed_percent(before, now, 20) == 4.0
    assert changed_percent(now, before, 20) == 4.0
    assert changed_percent(before, now[:5], 20) == 100.0


def test_compares_with_the_last_picture_sent_so_that_slow_changes_add_up() -> None:
    detector = ChangeDetector(ChangeTrigger(enabled=True, pixel_threshold=20, image_threshold=1))
    assert detector.changed(thumbnail(flat(luma=50))), "the first one"
    detector.sent(thumbnail(flat(luma=50)))
    assert not detector.changed(thumbnail(flat(luma=60)))
    assert not detector.changed(thumbnail(flat(luma=70)))
    assert detector.changed(thumbnail(flat(luma=71)))
    detector.sent(thumbnail(flat(luma=71)))
    assert not detector.changed(thumbnail(flat(luma=71)))
