"""The part of a picture that models look at."""

import tracemalloc
from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_capture.core.change import thumbnail
from nxai_capture.core.picture import Bytes, Picture, Planes, Yuv420
from nxai_capture.core.region import PixelBox, pixel_box
from nxai_capture.core.resizing import Resizer
from nxai_common.contracts.configuration import RegionOfInterest
from nxai_common.contracts.models import InputSpec, ResizeMode, ResizeQuality
from support.pictures import in_layout, soft

Layout = Literal["rgb", "bgr", "gray", "yuv", "yuv709", "yuvj"]


def region_of(box: PixelBox, width: int, height: int) -> RegionOfInterest:
    return RegionOfInterest(
        x=box.left / width,
        y=box.top / height,
        width=box.width / width,
        height=box.height / height,
    )


def cut_out(picture: Picture, box: PixelBox) -> Picture:
    """Return a picture of these pixels alone."""
    planes: Planes = picture.planes

    def part(plane: Bytes, step: int = 1) -> Bytes:
        rows = slice(box.top // step, -(-(box.top + box.height) // step))
        columns = slice(box.left // step, -(-(box.left + box.width) // step))
        return np.ascontiguousarray(plane[rows, columns])

    if isinstance(planes, Yuv420):
        planes = Yuv420(
            part(planes.y),
            part(planes.u, 2),
            part(planes.v, 2),
            full_range=planes.full_range,
            matrix=planes.matrix,
        )
    else:
        planes = type(planes)(part(planes.pixels))
    return Picture(planes, box.width, box.height, picture.captured_at_us)


def noise(width: int, height: int) -> Bytes:
    """Return an RGB picture of which each pixel tells where it is from."""
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


# -- whole pixels ---------------------------------------------------------------------------------


def test_no_region_is_the_whole_picture() -> None:
    whole = PixelBox(0, 0, 640, 480)
    assert pixel_box(None, 640, 480) == pixel_box(RegionOfInterest(), 640, 480) == whole


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ({"x": 0.5, "width": 0.5}, PixelBox(320, 0, 320, 480)),
        ({"x": 0.5001, "y": 0.2499, "width": 0.25, "height": 0.1}, PixelBox(320, 120, 160, 48)),
        ({"x": 1.0, "y": 1.0, "width": 1e-9, "height": 1e-9}, PixelBox(639, 479, 1, 1)),
        ({"x": 0.1, "width": 0.9 + 5e-7}, PixelBox(64, 0, 576, 480)),
    ],
)
def test_edges_are_those_of_the_nearest_pixels(
    region: dict[str, float], expected: PixelBox
) -> None:
    assert pixel_box(RegionOfInterest.model_validate(region), 640, 480) == expected


fractions = st.floats(0, 1)


@given(fractions, fractions, st.floats(1e-9, 1), st.integers(1, 3000), st.integers(1, 3000))
def test_a_region_lies_within_the_picture(
    x: float, y: float, share: float, width: int, height: int
) -> None:
    region = RegionOfInterest(
        x=x, y=y, width=max(1e-9, share * (1 - x)), height=max(1e-9, share * (1 - y))
    )
    box = pixel_box(region, width, height)
    assert 0 <= box.left < box.left + box.width <= width
    assert 0 <= box.top < box.top + box.height <= height


# -- what models read -----------------------------------------------------------------------------

BOXES = [
    PixelBox(0, 0, 320, 240),
    PixelBox(320, 240, 321, 243),
    PixelBox(128, 64, 300, 200),
    PixelBox(101, 77, 211, 333),
    PixelBox(639, 481, 2, 2),
    PixelBox(7, 5, 1, 1),
]


@pytest.mark.parametrize("mode", ResizeMode)
@pytest.mark.parametrize("quality", ResizeQuality)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("layout", ["rgb", "bgr", "gray", "yuv", "yuv709"])
def test_a_model_reads_what_it_would_of_a_picture_that_is_the_region(
    mode: ResizeMode,
    quality: ResizeQuality,
    channels: Literal[1, 3],
    box: PixelBox,
    layout: Layout,
) -> None:
    picture = in_layout(noise(641, 483), layout)
    spec = InputSpec(
        width=48, height=32, channels=channels, resize_mode=mode, resize_quality=quality
    )
    resize = Resizer(spec, 641, 483, region_of(box, 641, 483))
    small = Resizer(spec, box.width, box.height)
    back, alone = resize.transform, small.transform
    assert (back.scale_x, back.scale_y) == (alone.scale_x, alone.scale_y)
    assert back.offset_x == pytest.approx(alone.offset_x + box.left)
    assert back.offset_y == pytest.approx(alone.offset_y + box.top)
    odd_chroma = layout.startswith("yuv") and (box.left % 2 or box.top % 2)
    if odd_chroma and (channels == 3 or layout == "yuv709"):
        return  # the planes of colour cannot be cut there: see the tests below
    assert np.array_equal(resize(picture), small(cut_out(picture, box)))


@pytest.mark.parametrize("quality", ResizeQuality)
@pytest.mark.parametrize("layout", ["yuv", "yuv709", "yuvj"])
@pytest.mark.parametrize("box", [PixelBox(101, 77, 211, 333), PixelBox(100, 77, 400, 301)])
def test_colours_of_a_region_with_odd_edges_are_those_of_its_pixels(
    quality: ResizeQuality, layout: Layout, box: PixelBox
) -> None:
    rgb = soft(641, 483)
    spec = InputSpec(width=48, height=32, channels=3, resize_quality=quality)
    got = Resizer(spec, 641, 483, region_of(box, 641, 483))(in_layout(rgb, layout))
    part = rgb[box.top : box.top + box.height, box.left : box.left + box.width]
    expected = cv2.resize(part, (48, 32), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(got.astype(int) - expected).mean() < 1.2


@pytest.mark.parametrize("quality", ResizeQuality)
@pytest.mark.parametrize("left", [100, 101, 102, 103])
@pytest.mark.parametrize("top", [60, 61])
def test_colours_of_a_region_are_where_they_were(
    quality: ResizeQuality, left: int, top: int
) -> None:
    """A patch whose colour alone differs is found where the transform says, odd edges or not."""
    rgb = np.full((480, 640, 3), 110, np.uint8)
    rgb[150:182, 220:260] = (180, 74, 110)  # about as bright
    spec = InputSpec(width=64, height=64, channels=3, resize_quality=quality)
    resize = Resizer(spec, 640, 480, region_of(PixelBox(left, top, 256, 256), 640, 480))
    small = resize(in_layout(rgb, "yuv")).astype(float)
    weight = np.clip(small[..., 0] - small[..., 1] - 20, 0, None)
    rows, columns = np.indices(weight.shape)
    back = resize.transform
    x = ((columns + 0.5) * weight).sum() / weight.sum() * back.scale_x + back.offset_x
    y = ((rows + 0.5) * weight).sum() / weight.sum() * back.scale_y + back.offset_y
    assert (x, y) == (pytest.approx(240, abs=0.6), pytest.approx(166, abs=0.6))


@pytest.mark.parametrize("quality", ResizeQuality)
def test_nothing_beyond_the_region_is_read(quality: ResizeQuality) -> None:
    """Not even by Lanczos, which looks three samples beyond its own."""
    rgb = np.full((480, 640, 3), 255, np.uint8)
    rgb[100:300, 200:500] = 90
    spec = InputSpec(width=64, height=64, channels=3, resize_quality=quality)
    for layout in ("rgb", "bgr", "gray", "yuvj"):
        picture = in_layout(rgb, layout)
        seen = Resizer(spec, 640, 480, region_of(PixelBox(200, 100, 300, 200), 640, 480))(picture)
        assert np.abs(seen.astype(int) - 90).max() <= 1


@pytest.mark.parametrize("layout", ["bgr", "gray", "yuv"])
def test_the_rest_of_a_large_picture_is_not_copied(layout: Layout) -> None:
    picture = in_layout(soft(1920, 1080), layout)
    spec = InputSpec(width=96, height=96, channels=3)
    resize = Resizer(spec, 1920, 1080, RegionOfInterest(x=0.2, y=0.2, width=0.1, height=0.1))
    resize(picture)  # the weights are made
    tracemalloc.start()
    try:
        resize(picture)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < picture.nbytes / 4


# -- what counts as a change ----------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["rgb", "bgr", "gray", "yuv"])
@pytest.mark.parametrize("box", BOXES)
def test_the_thumbnail_of_a_region_is_that_of_its_pixels(layout: Layout, box: PixelBox) -> None:
    picture = in_layout(noise(641, 483), layout)
    part = cut_out(picture, box)
    seen = thumbnail(picture, region_of(box, 641, 483))
    assert np.array_equal(seen, thumbnail(part))
    assert seen.flags.c_contiguous
