"""Pictures in every layout, made by hand."""

from typing import Literal

import cv2
import numpy as np

from nxai_capture.core.picture import Bgr, Bytes, Gray, Picture, Rgb, Yuv420

CAPTURED_AT_US = 1_700_000_000_000_000


def flat(width: int = 64, height: int = 48, luma: int = 100) -> Picture:
    """Return a gray picture in YUV."""
    half = ((height + 1) // 2, (width + 1) // 2)
    planes = Yuv420(
        np.full((height, width), luma, np.uint8),
        np.full(half, 128, np.uint8),
        np.full(half, 128, np.uint8),
    )
    return Picture(planes, width, height, CAPTURED_AT_US)


def in_layout(
    rgb: Bytes, layout: Literal["rgb", "bgr", "gray", "yuv", "yuv709", "yuvj"]
) -> Picture:
    """Return an RGB picture (H, W, 3) as a decoder of that layout would give it."""
    height, width = rgb.shape[:2]
    if layout == "rgb":
        return Picture(Rgb(rgb), width, height, CAPTURED_AT_US)
    if layout == "bgr":
        return Picture(Bgr(rgb[:, :, ::-1].copy()), width, height, CAPTURED_AT_US)
    if layout == "gray":
        gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        return Picture(Gray(gray), width, height, CAPTURED_AT_US)
    red, blue = (0.2126, 0.0722) if layout == "yuv709" else (0.299, 0.114)
    r, g, b = (rgb[:, :, i].astype(np.float64) for i in range(3))
    y = red * r + (1 - red - blue) * g + blue * b
    u, v = (b - y) / (2 * (1 - blue)), (r - y) / (2 * (1 - red))
    full = layout == "yuvj"
    luma, chroma, black = (1.0, 1.0, 0.0) if full else (219 / 255, 224 / 255, 16.0)
    even = ((0, height % 2), (0, width % 2))
    u, v = (
        np.pad(plane, even, mode="edge")
        .reshape((height + 1) // 2, 2, (width + 1) // 2, 2)
        .mean((1, 3))
        for plane in (u, v)
    )
    planes = Yuv420(
        np.rint(y * luma + black).astype(np.uint8),
        np.rint(u * chroma + 128).clip(0, 255).astype(np.uint8),
        np.rint(v * chroma + 128).clip(0, 255).astype(np.uint8),
        full_range=full,
        matrix="bt709" if layout == "yuv709" else "bt601",
    )
    return Picture(planes, width, height, CAPTURED_AT_US)


def soft(width: int, height: int) -> Bytes:
    """Return a soft, colourful RGB picture that any good resizer and layout keeps."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    rgb = np.stack([60 + 130 * x, 60 + 130 * y, 190 - 65 * (x + y)], axis=2)
    return np.rint(rgb).astype(np.uint8)
