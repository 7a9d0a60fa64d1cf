"""Decoded frames of PyAV to pictures, without copying where the layout allows."""

from typing import Final

import numpy as np
from av import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter

from nxai_capture.core.picture import Bytes, Gray, Picture, Planes, Rgb, Yuv420, check_size

AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG = 1, 2
BT709_LIKE: Final = frozenset({1, 9, 10})
"""AVCOL_SPC_BT709 and the two BT2020, whose weights are nearer to 709 than to 601. A stream that
does not say (2) counts as BT.601 whatever its size: so do ffmpeg and OpenCV, with which training
pictures are made."""
FULL_RANGE_FORMATS: Final = frozenset({"yuvj420p", "yuvj422p", "yuvj440p", "yuvj444p"})
MIDDLE: Final = 128
"""Chroma of no colour."""


class FrameConverter:
    """Makes pictures of frames; one for each stream, because swscale keeps its tables in it."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def picture(self, frame: VideoFrame, captured_at_us: int, corrupt: bool) -> Picture:
        """Return a picture that shares the frame's memory if it is 8 bit YUV 4:2:0.

        The arrays keep the frame alive. Other layouts are converted by swscale: RGB and palettes
        to RGB, the rest to YUV 4:2:0. A turned picture (phones) is turned upright.

        Raises:
            CameraUnavailable: no camera has pictures of this size.
        """
        check_size(frame.width, frame.height)
        planes = self._planes(frame)
        width, height = frame.width, frame.height
        quarters = round(frame.rotation / 90) % 4
        if quarters:
            planes = _turn(planes, quarters)
            if quarters % 2:
                width, height = height, width
        return Picture(planes, width, height, captured_at_us, corrupt)

    def _planes(self, frame: VideoFrame) -> Planes:
        name = frame.format.name
        full_range = name in FULL_RANGE_FORMATS or frame.color_range == AVCOL_RANGE_JPEG
        if name in ("yuv420p", "yuvj420p"):
            return _yuv420(frame, full_range)
        if name == "gray":
            y = _pixels(frame.planes[0])
            if frame.color_range != AVCOL_RANGE_MPEG:
                return Gray(y)  # gray that does not say is full range, for swscale and OpenCV too
            chroma = np.full(((frame.height + 1) // 2, (frame.width + 1) // 2), MIDDLE, np.uint8)
            return Yuv420(y, chroma, chroma, full_range=False)
        if frame.format.is_rgb or frame.format.has_palette:
            rgb = self._reformatter.reformat(frame, format="rgb24")
            return Rgb(_pixels(rgb.planes[0], channels=3))
        converted = self._reformatter.reformat(
            frame, format="yuvj420p" if full_range else "yuv420p"
        )
        return _yuv420(converted, full_range, colorspace=frame.colorspace)


def _yuv420(frame: VideoFrame, full_range: bool, colorspace: int | None = None) -> Yuv420:
    y, u, v = frame.planes
    return Yuv420(
        _pixels(y),
        _pixels(u),
        _pixels(v),
        full_range=full_range,
        matrix="bt709"
        if (frame.colorspace if colorspace is None else colorspace) in BT709_LIKE
        else "bt601",
    )


def _pixels(plane: VideoPlane, channels: int = 1) -> Bytes:
    """Return (H, W) or (H, W, channels) over the plane's own memory."""
    stride = plane.line_size
    rows: Bytes = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, abs(stride))
    if stride < 0:  # stored bottom up; OpenCV takes no negative strides, so this one is copied
        rows = np.ascontiguousarray(rows[::-1])
    pixels = rows[:, : plane.width * channels]
    return pixels.reshape(plane.height, plane.width, channels) if channels > 1 else pixels


def _turn(planes: Planes, quarters: int) -> Planes:
    """Return the planes turned counter-clockwise by so many quarters."""
    if isinstance(planes, Yuv420):
        y, u, v = (
            np.ascontiguousarray(np.rot90(p, quarters)) for p in (planes.y, planes.u, planes.v)
        )
        return Yuv420(y, u, v, full_range=planes.full_range, matrix=planes.matrix)
    return type(planes)(np.ascontiguousarray(np.rot90(planes.pixels, quarters)))
