"""Resizing: geometry, transform, colour, closeness to libvips."""

from collections.abc import Iterator
from typing import Literal

import av
import cv2
import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from nxai_capture.core.picture import Bgr, Bytes, Picture, Yuv420, as_bytes, check_size
from nxai_capture.core.resizing import (
    Geometry,
    Resizer,
    area_weights,
    box_of,
    fit,
    fold,
    lanczos_weights,
    trailing_zeros,
)
from nxai_common.contracts.models import InputSpec, ResizeMode, ResizeQuality
from nxai_common.errors import CameraUnavailable
from support.pictures import flat, in_layout, soft
from support.shared import shared

SQUASH, FIT_SHORT, FIT_LONG = ResizeMode.SQUASH, ResizeMode.FIT_SHORT, ResizeMode.FIT_LONG
EXACT, FAST = ResizeQuality.EXACT, ResizeQuality.FAST
CLOSE = 0.9
"""Mean absolute difference to libvips on photographs, of 255: the promise of `exact`."""


def spec(
    width: int,
    height: int,
    channels: Literal[1, 3] = 3,
    mode: ResizeMode = SQUASH,
    quality: ResizeQuality = EXACT,
) -> InputSpec:
    return InputSpec(
        width=width, height=height, channels=channels, resize_mode=mode, resize_quality=quality
    )


# -- geometry ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "source", "target", "expected"),
    [
        (SQUASH, (640, 480), (96, 96), Geometry(0, 0, 640, 480, 0, 0, 96, 96)),
        (FIT_SHORT, (640, 480), (96, 96), Geometry(80, 0, 480, 480, 0, 0, 96, 96)),
        (FIT_SHORT, (480, 640), (96, 96), Geometry(0, 80, 480, 480, 0, 0, 96, 96)),
        (FIT_SHORT, (1280, 720), (320, 240), Geometry(160, 0, 960, 720, 0, 0, 320, 240)),
        (FIT_SHORT, (321, 240), (96, 96), Geometry(40, 0, 240, 240, 0, 0, 96, 96)),
        (FIT_LONG, (640, 480), (96, 96), Geometry(0, 0, 640, 480, 0, 12, 96, 72)),
        (FIT_LONG, (480, 640), (96, 96), Geometry(0, 0, 480, 640, 12, 0, 72, 96)),
        (FIT_LONG, (1280, 719), (96, 96), Geometry(0, 0, 1280, 719, 0, 21, 96, 53)),
        (FIT_LONG, (4000, 1), (96, 96), Geometry(0, 0, 4000, 1, 0, 47, 96, 1)),
        (FIT_SHORT, (4000, 1), (96, 96), Geometry(1999, 0, 1, 1, 0, 0, 96, 96)),
    ],
)
def test_geometry_of_each_mode(
    mode: ResizeMode, source: tuple[int, int], target: tuple[int, int], expected: Geometry
) -> None:
    assert fit(mode, source, target) == expected


sides = st.integers(1, 2000)


@given(st.sampled_from(ResizeMode), sides, sides, st.integers(1, 400), st.integers(1, 400))
def test_the_transform_maps_the_used_part_back_exactly(
    mode: ResizeMode, width: int, height: int, target_width: int, target_height: int
) -> None:
    geometry = fit(mode, (width, height), (target_width, target_height))
    assert 0 <= geometry.left <= geometry.left + geometry.width <= width
    assert 0 <= geometry.top <= geometry.top + geometry.height <= height
    assert 0 <= geometry.target_left <= geometry.target_left + geometry.target_width
    assert geometry.target_left + geometry.target_width <= target_width
    assert geometry.target_top + geometry.target_height <= target_height
    back = geometry.transform
    assert geometry.target_left * back.scale_x + back.offset_x == pytest.approx(geometry.left)
    right = (geometry.target_left + geometry.target_width) * back.scale_x + back.offset_x
    assert right == pytest.approx(geometry.left + geometry.width)
    assert geometry.target_top * back.scale_y + back.offset_y == pytest.approx(geometry.top)
    bottom = (geometry.target_top + geometry.target_height) * back.scale_y + back.offset_y
    assert bottom == pytest.approx(geometry.top + geometry.height)


@pytest.mark.parametrize("mode", ResizeMode)
@pytest.mark.parametrize("quality", ResizeQuality)
@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (333, 517), (641, 361)])
def test_a_spot_is_found_where_the_transform_says(
    mode: ResizeMode, quality: ResizeQuality, size: tuple[int, int]
) -> None:
    width, height = size
    rgb = np.zeros((height, width, 3), np.uint8)
    x, y = width // 2 + 37, height // 2 - 51
    cv2.circle(rgb, (x, y), 20, (255, 255, 255), cv2.FILLED)
    for layout in ("yuv", "bgr"):
        resize = Resizer(spec(96, 64, 3, mode, quality), width, height)
        small = resize(in_layout(rgb, layout)).astype(np.float64).sum(axis=2)
        rows, columns = np.indices(small.shape)
        small[small < 90] = 0  # ripples of Lanczos
        centre_x = ((columns + 0.5) * small).sum() / small.sum()
        centre_y = ((rows + 0.5) * small).sum() / small.sum()
        back = resize.transform
        assert centre_x * back.scale_x + back.offset_x == pytest.approx(x + 0.5, abs=1.5)
        assert centre_y * back.scale_y + back.offset_y == pytest.approx(y + 0.5, abs=1.5)


# -- weights ----------------------------------------------------------------------------------


@given(st.integers(1, 300), st.integers(0, 50), st.integers(0, 50), st.integers(1, 200))
def test_every_output_is_a_mean_of_inputs(
    length: int, before: int, after: int, target: int
) -> None:
    size = before + length + after
    for weights in (
        lanczos_weights(size, before, length, target),
        area_weights(size, before, length, target),
    ):
        assert weights.shape == (target, size)
        assert weights.sum(axis=1) == pytest.approx(np.ones(target))


def test_area_weights_are_the_overlap() -> None:
    expected = [[0, 2 / 3, 1 / 3, 0, 0], [0, 0, 1 / 3, 2 / 3, 0]]
    assert np.allclose(area_weights(5, 1, 3, 2), expected)


def test_lanczos_keeps_what_need_not_change() -> None:
    assert np.allclose(lanczos_weights(7, 2, 4, 4), np.eye(7)[2:6])


def test_libvips_kernel_is_reproduced() -> None:
    impulses = np.eye(720, dtype=np.float32)
    resized = pyvips.Image.new_from_array(impulses).resize(96 / 720, vscale=1, kernel="lanczos3")
    assert np.abs(resized.numpy().T[10:-10] - lanczos_weights(720, 0, 720, 96)[10:-10]).max() < 5e-3


def test_fold_gives_the_weight_of_samples_left_out_to_the_next() -> None:
    weights = np.array([[1.0, 2, 3, 4, 5, 6, 7]])
    assert fold(weights, slice(1, 5), 2).tolist() == [[1 + 2 + 3, 4 + 5 + 6 + 7]]


def test_whole_numbers() -> None:
    assert [box_of(factor) for factor in (0.5, 1, 3.9, 4, 7.5)] == [1, 1, 1, 2, 3]
    assert [trailing_zeros(number) for number in (1, 2, 3, 4, 6, 12)] == [0, 1, 0, 2, 1, 2]


# -- colour -----------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", ResizeQuality)
@pytest.mark.parametrize("layout", ["rgb", "bgr", "yuv", "yuv709", "yuvj"])
@pytest.mark.parametrize("size", [(640, 480), (641, 483), (50, 40)])
def test_every_layout_gives_the_same_colours(
    quality: ResizeQuality, layout: Literal["rgb", "bgr", "yuv"], size: tuple[int, int]
) -> None:
    rgb = soft(*size)
    expected = cv2.resize(
        rgb, (96, 72), interpolation=cv2.INTER_AREA if size[0] > 96 else cv2.INTER_LINEAR
    ).astype(int)
    small = Resizer(spec(96, 72, 3, SQUASH, quality), *size)(in_layout(rgb, layout))
    assert small.dtype == np.uint8
    assert small.flags.c_contiguous
    assert np.abs(small.astype(int) - expected).mean() < 1.2
    gray = Resizer(spec(96, 72, 1, SQUASH, quality), *size)(in_layout(rgb, layout))
    assert gray.shape == (72, 96, 1)
    assert np.abs(gray[..., 0] - expected @ [0.299, 0.587, 0.114]).mean() < 1.2


def test_gray_pictures_give_gray_and_rgb() -> None:
    picture = in_layout(soft(320, 240), "gray")
    gray = Resizer(spec(96, 96, 1), 320, 240)(picture)
    rgb = Resizer(spec(96, 96, 3), 320, 240)(picture)
    assert np.array_equal(rgb, np.repeat(gray, 3, axis=2))
    assert 100 < gray.mean() < 150


def test_bars_are_black_and_the_rest_is_not() -> None:
    picture = in_layout(np.full((480, 640, 3), 200, np.uint8), "yuv")
    small = Resizer(spec(96, 96, 3, FIT_LONG), 640, 480)(picture)
    assert not small[:12].any()
    assert not small[84:].any()
    assert np.abs(small[12:84].astype(int) - 200).max() <= 1


def test_planes_with_padded_rows_are_read_right() -> None:
    picture = in_layout(soft(640, 480), "yuv")
    planes = picture.planes
    assert isinstance(planes, Yuv420)
    y, u, v = (
        np.pad(p, ((0, 0), (0, 32)))[:, : p.shape[1]] for p in (planes.y, planes.u, planes.v)
    )
    padded = Picture(Yuv420(y, u, v), 640, 480, 0)
    resize = Resizer(spec(96, 96, 3, FIT_SHORT), 640, 480)
    assert np.array_equal(resize(padded), resize(picture))


def test_overshoot_saturates_instead_of_wrapping() -> None:
    rgb = np.zeros((480, 640, 3), np.uint8)
    rgb[:, 320:] = 255
    for layout in ("yuvj", "bgr"):
        small = Resizer(spec(96, 96), 640, 480)(in_layout(rgb, layout))
        assert small[:, :45].max() <= 3
        assert small[:, 51:].min() >= 252


def test_the_result_is_not_touched_by_the_next_call() -> None:
    resize = Resizer(spec(96, 96), 64, 48)
    first = resize(flat(luma=50))
    copy = first.copy()
    resize(flat(luma=200))
    assert np.array_equal(first, copy)


# -- limits -----------------------------------------------------------------------------------


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="64x48 pixels, not for 32x32"):
        Resizer(spec(96, 96), 64, 48)(flat(32, 32))


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0), (8193, 10), (10, 8193)])
def test_sizes_that_no_camera_has_are_refused_with_the_size(size: tuple[int, int]) -> None:
    with pytest.raises(CameraUnavailable, match=f"{size[0]}x{size[1]}"):
        Resizer(spec(96, 96), *size)
    with pytest.raises(CameraUnavailable):
        check_size(*size)


def test_8k_works() -> None:
    small = Resizer(spec(96, 96, 3, FIT_SHORT), 7680, 4320)(flat(7680, 4320, 126))
    assert np.abs(small.astype(int) - 128).max() <= 1


@pytest.mark.parametrize("quality", ResizeQuality)
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 3), (5, 3), (97, 95)])
@pytest.mark.parametrize("mode", ResizeMode)
def test_tiny_pictures_are_enlarged(
    quality: ResizeQuality, size: tuple[int, int], mode: ResizeMode
) -> None:
    small = Resizer(spec(96, 96, 3, mode, quality), *size)(flat(*size, 126))
    assert np.abs(small[48, 48].astype(int) - 128).max() <= 1


# -- closeness to libvips -----------------------------------------------------------------------


def photographs() -> Iterator[Picture]:
    with av.open(str(shared("media/conveyor.mp4"))) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number % 100 == 0:
                i420 = as_bytes(frame.to_ndarray(format="yuv420p"))
                u, v = i420[480:600].reshape(240, 320), i420[600:].reshape(240, 320)
                picture = Picture(Yuv420(i420[:480], u, v), 640, 480, 0)
                yield picture
                larger = as_bytes(frame.reformat(1280, 720, format="yuv420p").to_ndarray())
                u, v = larger[720:900].reshape(360, 640), larger[900:].reshape(360, 640)
                yield Picture(Yuv420(larger[:720], u, v), 1280, 720, 0)
                yield Picture(Bgr(picture.to_bgr()), 640, 480, 0)
    files = sorted(shared("media/conveyor-photographs").glob("empty*.bmp"))
    tiles = [np.asarray(cv2.imread(str(path))) for path in files]
    wall = np.vstack(
        [np.hstack([tiles[(4 * row + i) % len(tiles)] for i in range(4)]) for row in range(3)]
    )
    yield Picture(Bgr(wall.astype(np.uint8)), 1280, 720, 0)


def by_libvips(rgb: Bytes, wanted: InputSpec) -> Bytes:
    geometry = fit(wanted.resize_mode, (rgb.shape[1], rgb.shape[0]), (wanted.width, wanted.height))
    resized = (
        pyvips.Image.new_from_array(rgb)
        .crop(geometry.left, geometry.top, geometry.width, geometry.height)
        .resize(
            geometry.target_width / geometry.width,
            vscale=geometry.target_height / geometry.height,
            kernel="lanczos3",
        )
        .numpy()
    )
    target = np.zeros((wanted.height, wanted.width, 3), np.uint8)
    top, left = geometry.target_top, geometry.target_left
    target[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return target


@pytest.mark.parametrize("mode", ResizeMode)
@pytest.mark.parametrize("side", [96, 160, 320])
def test_exact_is_close_to_libvips_on_photographs_and_fast_not_far(
    mode: ResizeMode, side: int
) -> None:
    exact, fast = spec(side, side, 3, mode), spec(side, side, 3, mode, FAST)
    for picture in photographs():
        expected = by_libvips(picture.to_rgb(), exact).astype(int)
        size = (picture.width, picture.height)
        assert np.abs(Resizer(exact, *size)(picture) - expected).mean() <= CLOSE
        assert np.abs(Resizer(fast, *size)(picture) - expected).mean() <= 4
