"""Which pictures are worth keeping once more."""

from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_capture.core.picture import Bytes, Gray, Picture, Planes, Rgb, Yuv420
from nxai_capture.core.sampling import Spacing, all_pixels
from support.pictures import flat, in_layout, soft

pytestmark = pytest.mark.unit

MARGIN = "margin"


def test_the_first_one_is_due_at_once() -> None:
    assert Spacing().due(MARGIN, 0, 1000)


def test_the_next_one_is_due_after_the_gap() -> None:
    spacing = Spacing()
    spacing.taken(MARGIN, 100)
    assert not spacing.due(MARGIN, 109.9, 10)
    assert spacing.due(MARGIN, 110, 10)
    assert spacing.due(MARGIN, 100, 0)
    assert spacing.due(MARGIN, 103, 3)  # the gap may change meanwhile


@pytest.mark.parametrize("sparse", ["interval", "random", "nothing-found"])
def test_what_is_sparse_by_itself_waits_for_nothing_and_keeps_nothing_waiting(sparse: str) -> None:
    spacing = Spacing()
    spacing.taken(MARGIN, 100)
    assert spacing.due(sparse, 101, 10)
    spacing.taken(sparse, 101)
    assert spacing.due(sparse, 101, 10)
    assert not spacing.due(MARGIN, 109, 10)
    assert spacing.due(MARGIN, 110, 10)


@pytest.mark.parametrize(
    "strategy",
    ["uncertain", "least-confidence", "margin", "entropy", "band", "flicker", "of tomorrow"],
)
def test_all_other_strategies_are_kept_apart_together(strategy: str) -> None:
    spacing = Spacing()
    spacing.taken(MARGIN, 100)
    assert not spacing.due(strategy, 109, 10)


@given(st.lists(st.floats(0, 20), max_size=60), st.floats(0, 30))
def test_no_two_are_closer_than_the_gap(pauses: list[float], gap: float) -> None:
    spacing, now, taken = Spacing(), 0.0, []
    for pause in pauses:
        now += pause
        if spacing.due(MARGIN, now, gap):
            spacing.taken(MARGIN, now)
            taken.append(now)
    assert all(later - before >= gap for before, later in pairwise(taken))


def picture(planes: Planes, width: int = 64, height: int = 48) -> Picture:
    return Picture(planes, width, height, 0)


@pytest.mark.parametrize("layout", ["rgb", "bgr", "gray", "yuv"])
def test_equal_pictures_are_known(layout: Literal["rgb", "bgr", "gray", "yuv"]) -> None:
    rgb = soft(64, 48)
    assert all_pixels(in_layout(rgb, layout)) == all_pixels(in_layout(rgb.copy(), layout))


@pytest.mark.parametrize("plane", ["y", "u", "v"])
def test_one_pixel_makes_another_picture(plane: str) -> None:
    changed = flat()
    pixels: Bytes = getattr(changed.planes, plane)
    pixels[-1, -2] += 1
    assert all_pixels(changed) != all_pixels(flat())


def test_another_shape_is_another_picture() -> None:
    pixels = np.zeros((48, 64), np.uint8)
    wide = picture(Gray(pixels.reshape(64, 48)), 48, 64)
    assert all_pixels(wide) != all_pixels(picture(Gray(pixels)))
    assert all_pixels(picture(Rgb(np.zeros((16, 64, 3), np.uint8)), 64, 16)) != all_pixels(
        picture(Gray(pixels))
    )


def test_the_space_between_rows_does_not_count() -> None:
    wide = np.random.default_rng(1).integers(0, 256, (48, 80), np.uint8)
    padded = wide[:, :64]
    half = np.full((24, 32), 128, np.uint8)
    one = picture(Yuv420(padded, half, half))
    wide[:, 64:] = 0
    assert all_pixels(one) == all_pixels(picture(Yuv420(padded.copy(), half, half)))
