"""Boxes back to the original picture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_common.contracts.frames import Transform
from nxai_inference.core.geometry import to_original

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("mode", "transform", "box", "expected"),
    [
        # 1280x720 to 96x96
        ("squash", Transform(scale_x=1280 / 96, scale_y=7.5), (0, 48, 96, 48), (0, 360, 1280, 360)),
        # centre crop of 720x720, 280 pixels cut on the left
        (
            "fit-short",
            Transform(scale_x=7.5, scale_y=7.5, offset_x=280),
            (8, 8, 16, 8),
            (340, 60, 120, 60),
        ),
        # 96x54 between bars of 21 pixels
        (
            "fit-long",
            Transform(scale_x=1280 / 96, scale_y=1280 / 96, offset_y=-21 * 1280 / 96),
            (0, 21, 96, 54),
            (0, 0, 1280, 720),
        ),
    ],
)
def test_each_resize_mode(
    mode: str,
    transform: Transform,
    box: tuple[int, int, int, int],
    expected: tuple[float, ...],
) -> None:
    assert mode
    assert to_original(box, transform, 1280, 720) == pytest.approx(expected)


def test_boxes_are_clamped_to_the_picture() -> None:
    bars = Transform(scale_x=2, scale_y=2, offset_y=-20)
    assert to_original((-5, 0, 10, 15), bars, 100, 50) == (0, 0, 10, 10)
    assert to_original((40, 30, 20, 20), bars, 100, 50) == (80, 40, 20, 10)
    assert to_original((0, 0, 5, 5), bars, 100, 50) == (0, 0, 10, 0)  # all in the bar


@given(
    st.tuples(*[st.integers(0, 4096)] * 4),
    st.floats(0.01, 100),
    st.floats(-1e4, 1e4),
    st.integers(1, 8000),
)
def test_a_box_never_leaves_the_picture(
    box: tuple[int, int, int, int], scale: float, offset: float, side: int
) -> None:
    transform = Transform(scale_x=scale, scale_y=scale, offset_x=offset, offset_y=offset)
    x, y, width, height = to_original(box, transform, side, side)
    assert 0 <= x <= side
    assert 0 <= y <= side
    assert width >= 0
    assert height >= 0
    assert x + width <= side * (1 + 1e-12)
    assert y + height <= side * (1 + 1e-12)
