"""A decoded picture, in the layout the decoder gave it.

Cameras of H.264 and H.265 decode to planar YUV 4:2:0. Converting a whole 720p picture to BGR
costs as much as decoding it, so the planes stay as they are until only the few pixels that a
model reads are left (see `nxai_capture.core.resizing`).
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nxai_common.errors import CameraUnavailable

Bytes: TypeAlias = npt.NDArray[np.uint8]

MAX_SIDE: Final = 8192
"""Longest side of a picture: 8K cameras exist (7680 x 4320); a 16K header is a broken stream,
and believing it would take 400 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Yuv420:
    """Planar YUV with chroma at half size in both axes (I420 order)."""

    y: Bytes
    """(H, W); rows may be further apart than W bytes."""
    u: Bytes
    """(ceil(H / 2), ceil(W / 2)): blue difference."""
    v: Bytes
    """(ceil(H / 2), ceil(W / 2)): red difference."""
    full_range: bool = False
    """True: Y spans 0..255 (JPEG, `yuvj420p`). False: 16..235 and chroma 16..240 (video)."""
    matrix: Literal["bt601", "bt709"] = "bt601"
    """Which weights of red, green and blue made up Y."""


@dataclass(frozen=True, slots=True, eq=False)
class Rgb:
    """Interleaved (H, W, 3) uint8, red first."""

    pixels: Bytes


@dataclass(frozen=True, slots=True, eq=False)
class Bgr:
    """Interleaved (H, W, 3) uint8, blue first, as OpenCV gives it."""

    pixels: Bytes


@dataclass(frozen=True, slots=True, eq=False)
class Gray:
    """One plane (H, W) uint8, full range."""

    pixels: Bytes


Planes: TypeAlias = Yuv420 | Rgb | Bgr | Gray


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture of a camera, immutable by agreement: nobody writes into its arrays.

    Attributes:
        planes: The pixels.
        width: Pixels across.
        height: Pixels down.
        captured_at_us: Unix microseconds at which it was decoded.
        corrupt: The decoder said that parts are damaged or guessed (lost packets).
    """

    planes: Planes
    width: int
    height: int
    captured_at_us: int
    corrupt: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of pixels, row padding not counted."""
        planes = self.planes
        if isinstance(planes, Yuv420):
            return planes.y.nbytes + planes.u.nbytes + planes.v.nbytes
        return planes.pixels.nbytes

    def to_rgb(self) -> Bytes:
        """Return (H, W, 3) uint8 RGB, C-contiguous."""
        planes = self.planes
        if isinstance(planes, Rgb):
            return np.ascontiguousarray(planes.pixels)
        if isinstance(planes, Bgr):
            return as_bytes(cv2.cvtColor(planes.pixels, cv2.COLOR_BGR2RGB))
        if isinstance(planes, Gray):
            return as_bytes(cv2.cvtColor(planes.pixels, cv2.COLOR_GRAY2RGB))
        chroma = [
            cv2.resize(plane, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
            for plane in (planes.u, planes.v)
        ]
        merged = cv2.merge([planes.y, *(plane[: self.height, : self.width] for plane in chroma)])
        return as_bytes(cv2.transform(merged, YUV_TO_RGB[planes.full_range, planes.matrix]))

    def to_bgr(self) -> Bytes:
        """Return (H, W, 3) uint8 BGR, C-contiguous."""
        if isinstance(self.planes, Bgr):
            return np.ascontiguousarray(self.planes.pixels)
        return as_bytes(cv2.cvtColor(self.to_rgb(), cv2.COLOR_RGB2BGR))


def _matrix(full_range: bool, red: float, blue: float) -> npt.NDArray[np.float32]:
    """Return the (3, 4) affine map from uint8 YUV to RGB for the luma weights of red and blue."""
    green = 1 - red - blue
    luma, chroma, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    weights = np.array(
        [
            [luma, 0, chroma * 2 * (1 - red)],
            [
                luma,
                -chroma * 2 * (1 - blue) * blue / green,
                -chroma * 2 * (1 - red) * red / green,
            ],
            [luma, chroma * 2 * (1 - blue), 0],
        ]
    )
    shift = -weights @ np.array([black, 128.0, 128.0])
    return np.hstack([weights, shift[:, None]]).astype(np.float32)


YUV_TO_RGB: Final = {
    (full_range, matrix): _matrix(full_range, red, blue)
    for full_range in (False, True)
    for matrix, (red, blue) in {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}.items()
}
"""(3, 4) float32 affine maps by (full_range, matrix). Source of the weights: ITU-R BT.601-7
section 2.5 and BT.709-6 section 3."""


def check_size(width: int, height: int) -> None:
    """Raise CameraUnavailable for a size that no camera has.

    A broken stream can announce anything; the size is checked before memory is taken for it.
    """
    if width < 1 or height < 1:
        raise CameraUnavailable(
            f"the camera announces a picture of {width}x{height} pixels: "
            "its stream is broken, restart the camera or choose another of its streams"
        )
    if width > MAX_SIDE or height > MAX_SIDE:
        raise CameraUnavailable(
            f"the camera announces a picture of {width}x{height} pixels, more than "
            f"{MAX_SIDE}x{MAX_SIDE}: choose a smaller stream of the camera"
        )


def as_bytes(array: object) -> Bytes:
    """Narrow for the type checker: cv2 declares any array where bytes in give bytes out."""
    assert isinstance(array, np.ndarray)  # noqa: S101 - for the type checker; cv2 always does
    return array
