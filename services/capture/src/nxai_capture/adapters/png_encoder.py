"""The pixels that a model reads to PNG, over OpenCV: nothing is lost."""

import cv2

from nxai_capture.core.picture import Bytes
from nxai_common.errors import InvalidPayload


def encode_png(pixels: Bytes) -> bytes:
    """Return a PNG of pixels (height, width, 1 or 3) uint8, gray or RGB.

    Implements `nxai_capture.ports.EncodePixels`.

    Raises:
        InvalidPayload: OpenCV cannot.
    """
    height, width, channels = pixels.shape
    try:
        ordered = pixels if channels == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".png", ordered)
    except cv2.error as error:
        raise InvalidPayload(f"{width}x{height} pixels cannot be a PNG: {error}") from error
    if not done:
        raise InvalidPayload(f"{width}x{height} pixels cannot be a PNG")
    return data.tobytes()
