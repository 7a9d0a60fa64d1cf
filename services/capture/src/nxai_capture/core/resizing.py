"""From a full-size picture to exactly the pixels that a model reads.

How it is fast: the picture stays in the planes the decoder gave. Each plane is halved by
`cv2.resize` (2 x 2 averages of bytes run at memory speed) as long as enough pixels remain for
the filter, then resized by two multiplications with band matrices of float32 weights, block by
block so that the zeros outside the band cost little. Colour is converted last, on the few
pixels that are left. A 1280 x 720 picture takes about a fifth of the time of `cv2.resize`
(INTER_AREA) of the same picture in BGR, which needs a conversion of the whole picture besides.

How it is exact: libvips (Edge Impulse Studio) shrinks by a whole number with a box filter while
the remaining factor is at least 2, then applies Lanczos3 stretched by the rest. This does the
same with powers of two. Enlarging uses Catmull-Rom, as libvips does for `lanczos3`.
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nxai_capture.core.picture import (
    YUV_TO_RGB,
    Bgr,
    Bytes,
    Gray,
    Picture,
    Planes,
    Yuv420,
    as_bytes,
    check_size,
)
from nxai_capture.core.region import PixelBox, pixel_box
from nxai_common.contracts.configuration import RegionOfInterest
from nxai_common.contracts.frames import Transform
from nxai_common.contracts.models import InputSpec, ResizeMode, ResizeQuality

Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]

GRAY_WEIGHTS: Final = (0.299, 0.587, 0.114)
"""Red, green, blue to gray, as Edge Impulse's SDK (ei_run_dsp.h) and ITU-R BT.601 have it."""

LANCZOS_LOBES: Final = 3

CHROMA_REST: Final = 2.0
"""Chroma is halved until so much is left for Lanczos. 1.25 would save a fifth of the time of a
720p picture, but the rounding of the halves, doubled by the way to RGB, costs 0.08 to 0.2 of 255
(0.80 to 0.88 at 720p: too near to the promised 0.9)."""

BLOCK: Final = 16
"""Outputs computed by one multiplication: with 8 the calls cost more than the zeros saved, with
32 the zeros cost more (measured at 96 and 320 outputs)."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Which part of the source goes to which part of the target, in whole pixels.

    Attributes:
        left, top, width, height: The part of the source picture that is used.
        target_left, target_top, target_width, target_height: Where it goes; the rest is black.
    """

    left: int
    top: int
    width: int
    height: int
    target_left: int
    target_top: int
    target_width: int
    target_height: int

    @property
    def transform(self) -> Transform:
        """Return the map from target pixels back to source pixels (edges as coordinates)."""
        scale_x = self.width / self.target_width
        scale_y = self.height / self.target_height
        return Transform(
            scale_x=scale_x,
            scale_y=scale_y,
            offset_x=self.left - self.target_left * scale_x,
            offset_y=self.top - self.target_top * scale_y,
        )

    def within(self, box: PixelBox) -> "Geometry":
        """Return the geometry in the whole picture of one that was made for this part of it."""
        return replace(self, left=self.left + box.left, top=self.top + box.top)


def fit(mode: ResizeMode, source: tuple[int, int], target: tuple[int, int]) -> Geometry:
    """Return the geometry of a resize mode.

    Args:
        mode: squash (both axes on their own), fit-short (centre crop to the target's aspect),
            fit-long (whole picture, centred, black bars).
        source: Width and height of the picture.
        target: Width and height of the model's input.

    Whole-pixel rounding is Edge Impulse's: the crop is truncated as in its Python SDK
    (`image.py`), the fitted side is floored as in its C++ SDK (`processing.cpp`).
    """
    width, height = source
    target_width, target_height = target
    if mode is ResizeMode.FIT_SHORT:
        crop_width = min(width, max(1, height * target_width // target_height))
        crop_height = min(height, max(1, width * target_height // target_width))
        left, top = (width - crop_width) // 2, (height - crop_height) // 2
        return Geometry(left, top, crop_width, crop_height, 0, 0, target_width, target_height)
    if mode is ResizeMode.FIT_LONG:
        fitted_width = min(target_width, max(1, width * target_height // height))
        fitted_height = min(target_height, max(1, height * target_width // width))
        target_left = (target_width - fitted_width) // 2
        target_top = (target_height - fitted_height) // 2
        return Geometry(0, 0, width, height, target_left, target_top, fitted_width, fitted_height)
    return Geometry(0, 0, width, height, 0, 0, target_width, target_height)


class _Layout(enum.Enum):
    """Planes that are resized together."""

    ONE = 1
    CHROMA = 2
    """U and V of half the picture's size."""
    INTERLEAVED = 3


class Resizer:
    """Resizes pictures of one size for one kind of input.

    All weights are computed here, once. Work arrays are kept between calls, so one thread at a
    time may call it; the array it returns is new each time.

    With a region, the result is that of a picture which ends at the region's edges: what lies
    beyond is neither copied nor read. (But the colour of a pixel at an odd edge, which planes of
    half the size share with its neighbour beyond.)
    """

    def __init__(
        self,
        spec: InputSpec,
        source_width: int,
        source_height: int,
        region: RegionOfInterest | None = None,
    ) -> None:
        check_size(source_width, source_height)
        self.spec: Final = spec
        self.source_width: Final = source_width
        self.source_height: Final = source_height
        box = pixel_box(region, source_width, source_height)
        self._box: Final = box
        self.geometry: Final = fit(
            spec.resize_mode, (box.width, box.height), (spec.width, spec.height)
        ).within(box)
        self.transform: Final = self.geometry.transform
        self._plane_resizers: dict[_Layout, _PlaneResizer] = {}

    def __call__(self, picture: Picture) -> Bytes:
        """Return (height, width, channels) uint8, RGB or gray, C-contiguous.

        Raises:
            ValueError: `picture` is not of the size this was built for.
        """
        if (picture.width, picture.height) != (self.source_width, self.source_height):
            raise ValueError(
                f"this resizer is for {self.source_width}x{self.source_height} pixels, "
                f"not for {picture.width}x{picture.height}"
            )
        small = self._gray(picture.planes) if self.spec.channels == 1 else self._rgb(picture.planes)
        geometry, spec = self.geometry, self.spec
        if small.shape[:2] == (spec.height, spec.width):
            return small
        barred = np.zeros((spec.height, spec.width, spec.channels), np.uint8)
        barred[
            geometry.target_top : geometry.target_top + geometry.target_height,
            geometry.target_left : geometry.target_left + geometry.target_width,
        ] = small
        return barred

    def _rgb(self, planes: Planes) -> Bytes:
        if isinstance(planes, Yuv420):
            to_rgb = YUV_TO_RGB[planes.full_range, planes.matrix]
            return _to_bytes(cv2.transform(self._yuv(planes), to_rgb))
        if isinstance(planes, Gray):
            return _to_bytes(cv2.merge([self._one(planes.pixels)] * 3))
        resize = self._plane_resizer(_Layout.INTERLEAVED)
        first, second, third = resize(cv2.split(resize.shrink(resize.crop(planes.pixels))))
        order = [third, second, first] if isinstance(planes, Bgr) else [first, second, third]
        return _to_bytes(cv2.merge(order))

    def _gray(self, planes: Planes) -> Bytes:
        if isinstance(planes, Yuv420):
            to_gray = (GRAY_WEIGHTS @ YUV_TO_RGB[planes.full_range, planes.matrix])[None]
            if planes.matrix == "bt601":  # its luma is this very gray
                shift = to_gray[:, 1:] @ [[128], [128], [1]]
                gray = cv2.transform(self._one(planes.y), np.hstack([to_gray[:, [0]], shift]))
            else:
                gray = cv2.transform(self._yuv(planes), to_gray)
        elif isinstance(planes, Gray):
            gray = self._one(planes.pixels)
        else:
            code = cv2.COLOR_BGR2GRAY if isinstance(planes, Bgr) else cv2.COLOR_RGB2GRAY
            resize = self._plane_resizer(_Layout.ONE)
            whole = as_bytes(cv2.cvtColor(resize.crop(planes.pixels), code))
            (gray,) = resize([resize.shrink(whole)])
        return _to_bytes(gray)[..., None]

    def _one(self, plane: Bytes) -> Floats:
        resize = self._plane_resizer(_Layout.ONE)
        return resize([resize.shrink(resize.crop(plane))])[0]

    def _yuv(self, planes: Yuv420) -> Floats:
        """Return the resized planes as (height, width, 3) float32 YUV."""
        resize = self._plane_resizer(_Layout.CHROMA)
        u, v = resize([resize.shrink(resize.crop(plane)) for plane in (planes.u, planes.v)])
        return np.asarray(cv2.merge([self._one(planes.y), u, v]), np.float32)

    def _plane_resizer(self, layout: _Layout) -> "_PlaneResizer":
        """Return the resizer of one kind of planes, built when first needed."""
        if layout not in self._plane_resizers:
            geometry, box = self.geometry, self._box
            self._plane_resizers[layout] = _PlaneResizer(
                _Axis(
                    box.left,
                    box.width,
                    geometry.left - box.left,
                    geometry.width,
                    geometry.target_width,
                ),
                _Axis(
                    box.top,
                    box.height,
                    geometry.top - box.top,
                    geometry.height,
                    geometry.target_height,
                ),
                self.spec.resize_quality,
                layout,
            )
        return self._plane_resizers[layout]


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of a picture, or of the region of it that may be read.

    `length` of `size` samples, from `start`, become `target`. The picture has `first` samples
    before them.
    """

    first: int
    size: int
    start: int
    length: int
    target: int

    @property
    def factor(self) -> float:
        """How many samples become one."""
        return self.length / self.target

    def used(self, reach: float, origin: int, step: int) -> slice:
        """Return the samples that a filter of `reach` reads, in whole groups of `step`.

        The groups begin at `origin`. Up to `step` - 1 samples at either edge are left out; `fold`
        gives their weight to the next.
        """
        before = min(math.ceil(reach / step), origin // step)
        stop = self.start + self.length
        after = min(math.ceil((stop - origin + reach) / step), (self.size - origin) // step)
        return slice(origin - before * step, origin + max(1, after) * step)


@dataclass(frozen=True, slots=True)
class _Band:
    """Weights of a block of outputs: ``outputs = weights @ inputs``."""

    inputs: slice
    outputs: slice
    weights: Floats
    """(outputs, inputs)"""


class _PlaneResizer:
    """Resizes planes of equal size together: crop, shrink, then both axes by band matrices."""

    def __init__(
        self, horizontal: _Axis, vertical: _Axis, quality: ResizeQuality, layout: _Layout
    ) -> None:
        exact, chroma = quality is ResizeQuality.EXACT, layout is _Layout.CHROMA
        subsampling = 2 if chroma else 1
        boxes = (box_of(horizontal.factor), box_of(vertical.factor))
        if exact and not chroma:
            self._halvings = min(trailing_zeros(box) for box in boxes)
            odd_across, odd_down = (box >> trailing_zeros(box) for box in boxes)
        else:
            rest = min(horizontal.factor, vertical.factor) / subsampling
            rest /= CHROMA_REST if exact else 1.0
            self._halvings = max(0, math.floor(math.log2(rest)))
            odd_across, odd_down = 1, 1
        self._odd = (odd_across, odd_down)
        across, self._columns = _fold_axis(
            horizontal, exact, odd_across << self._halvings, subsampling
        )
        down, self._rows = _fold_axis(vertical, exact, odd_down << self._halvings, subsampling)
        self._horizontal, self._vertical = _bands(across), _bands(down)
        planes, width, height = layout.value, across.shape[1], down.shape[1]
        self._source = np.empty((height, planes, width), np.float32)
        self._narrow = np.empty((vertical.target, planes, width), np.float32)
        self._target = np.empty((vertical.target, planes, horizontal.target), np.float32)

    def crop(self, plane: Bytes) -> Bytes:
        """Return the part of a plane (H, W) or (H, W, C) that is read, without copying."""
        return plane[self._rows, self._columns]

    def shrink(self, plane: Bytes) -> Bytes:
        """Return a cropped plane at the size that the band matrices expect.

        `cv2.blur` is five times faster than INTER_AREA by an odd number, though it computes
        every mean and not only those that are kept; by an even number it is not.
        """
        for _ in range(self._halvings):
            height, width = plane.shape[:2]
            plane = as_bytes(
                cv2.resize(plane, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            )
        across, down = self._odd
        if (across, down) == (1, 1):
            return plane
        return as_bytes(cv2.blur(plane, self._odd))[down // 2 :: down, across // 2 :: across]

    def __call__(self, planes: Sequence[npt.ArrayLike]) -> list[Floats]:
        """Return each shrunk plane resized: (height, width), views of a work array."""
        for index, plane in enumerate(planes):
            self._source[:, index] = plane
        rows = self._source.reshape(self._source.shape[0], -1)
        narrow = self._narrow.reshape(self._narrow.shape[0], -1)
        for band in self._vertical:
            np.matmul(band.weights, rows[band.inputs], out=narrow[band.outputs])
        columns = self._narrow.reshape(-1, self._narrow.shape[2])
        target = self._target.reshape(-1, self._target.shape[2])
        for band in self._horizontal:
            np.matmul(columns[:, band.inputs], band.weights.T, out=target[:, band.outputs])
        return [self._target[:, index] for index in range(len(planes))]


def box_of(factor: float) -> int:
    """Return how many samples libvips averages before it applies Lanczos."""
    return max(1, math.floor(factor / 2))


def trailing_zeros(number: int) -> int:
    """Return how often 2 divides a positive number."""
    return (number & -number).bit_length() - 1


def lanczos_weights(size: int, start: int, length: int, target: int) -> Doubles:
    """Return (target, size) weights: `length` of `size` samples, from `start`, become `target`.

    As libvips does when asked for `lanczos3` (`vips_resize` with its gap of 2): means of whole
    numbers of samples while a factor of at least 2 remains, then Lanczos with three lobes
    stretched by the rest. Enlarging: Catmull-Rom.
    Samples beyond the edge count as equal to the edge. Each row sums to 1.
    """
    factor = length / target
    box = box_of(factor)
    rest = factor / box
    stretch = max(1.0, rest)
    reach = LANCZOS_LOBES * stretch
    centres = (np.arange(target) + 0.5) * rest - 0.5  # counted in boxes from `start`
    taps = np.arange(math.ceil(2 * reach) + 1)
    boxes = np.floor(centres - reach).astype(np.int64)[:, None] + taps
    distances = np.abs(boxes - centres[:, None]) / stretch
    if factor > 1:
        kernel = np.sinc(distances) * np.sinc(distances / LANCZOS_LOBES)
        kernel[distances >= LANCZOS_LOBES] = 0
    else:
        near = (1.5 * distances - 2.5) * distances**2 + 1
        far = ((-0.5 * distances + 2.5) * distances - 4) * distances + 2
        kernel = np.select([distances < 1, distances < 2], [near, far])  # noqa: PLR2004 - its reach
    weights: Doubles = np.zeros((target, size))
    rows = np.arange(target)[:, None]
    for sample in range(start, start + box):
        np.add.at(weights, (rows, (boxes * box + sample).clip(0, size - 1)), kernel)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def area_weights(size: int, start: int, length: int, target: int) -> Doubles:
    """Return (target, size) weights: each output is the mean of the samples that it covers.

    The same as OpenCV's INTER_AREA when shrinking; enlarging repeats the nearest sample, blended
    where an output covers two.
    """
    edges = np.linspace(start, start + length, target + 1)
    samples = np.arange(size)
    overlap = np.minimum(edges[1:, None], samples + 1) - np.maximum(edges[:-1, None], samples)
    weights: Doubles = overlap.clip(0)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def fold(weights: Doubles, used: slice, step: int) -> Doubles:
    """Return the weights of the used samples after each `step` of them became their mean.

    Weights of samples left out go to the nearest one that is used.
    """
    kept = weights[:, used].copy()
    kept[:, 0] += weights[:, : used.start].sum(axis=1)
    kept[:, -1] += weights[:, used.stop :].sum(axis=1)
    folded: Doubles = kept.reshape(len(kept), -1, step).sum(axis=2)
    return folded


def _fold_axis(axis: _Axis, exact: bool, step: int, subsampling: int) -> tuple[Doubles, slice]:
    """Return the weights of one axis of a plane that was shrunk, and which samples it uses.

    Args:
        axis: In samples of the picture.
        exact: Lanczos, not area means.
        step: By how much the plane is shrunk before.
        subsampling: 2 for chroma, whose samples stand for two of the picture's each.

    Returns:
        Weights (target, used // step), and the samples used, in samples of the plane.
    """
    # Of the picture, not of the region: the samples of chroma begin at even ones.
    before = axis.first % subsampling
    padded = -(-(before + axis.size) // subsampling) * subsampling
    weigh = lanczos_weights if exact else area_weights
    weights = np.pad(
        weigh(axis.size, axis.start, axis.length, axis.target),
        ((0, 0), (before, padded - before - axis.size)),
    )
    reach = LANCZOS_LOBES * max(1.0, axis.factor) if exact else 0.0
    start = before + axis.start
    origin = start // subsampling * subsampling
    used = _Axis(axis.first - before, padded, start, axis.length, axis.target).used(
        reach, origin, step * subsampling
    )
    first = axis.first // subsampling
    plane = slice(first + used.start // subsampling, first + used.stop // subsampling)
    return fold(weights, used, step * subsampling), plane


def _bands(weights: Doubles) -> tuple[_Band, ...]:
    """Cut a band matrix into blocks of rows, each without the zero columns beside its band."""
    bands = []
    for first in range(0, len(weights), BLOCK):
        block = weights[first : first + BLOCK]
        used = np.flatnonzero(block.any(axis=0))
        inputs = slice(int(used[0]), int(used[-1]) + 1)
        bands.append(
            _Band(
                inputs,
                slice(first, first + len(block)),
                np.ascontiguousarray(block[:, inputs], dtype=np.float32),
            )
        )
    return tuple(bands)


def _to_bytes(array: npt.NDArray[Any]) -> Bytes:
    """Round and saturate: Lanczos overshoots beside sharp edges. Writes into `array`.

    `convertScaleAbs` rounds and saturates at 255 in one go, three times faster than numpy.
    """
    np.maximum(array, 0, out=array)
    return as_bytes(cv2.convertScaleAbs(array))
