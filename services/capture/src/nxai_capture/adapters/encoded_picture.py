"""JPEG, PNG, BMP and WebP files to pictures, over OpenCV."""

import io
import struct
from typing import Final

import cv2
import imagesize
import numpy as np

from nxai_capture.core.picture import Bgr, Bytes, Picture, check_size
from nxai_common.errors import InvalidPayload

LARGEST_FILE_BYTES: Final = 50_000_000
"""An 8K PNG of noise has 100 MB, one of a scene 30; more is a mistake or an attack."""

END_OF_JPEG: Final = b"\xff\xd9"

_CODECS: Final = {b"\xff\xd8\xff": "jpeg", b"\x89PNG\r\n": "png", b"BM": "bmp", b"RIFF": "webp"}

_AS_BASE64: Final = (b"/9j/", b"iVBORw0KGgo", b"data:image/")
"""How JPEG, PNG and data URLs begin."""


def codec_of(data: bytes) -> str | None:
    """Return what the first bytes say it is, None when nothing known."""
    for magic, codec in _CODECS.items():
        if data.startswith(magic):
            return codec
    return None


def decode_picture(data: bytes, captured_at_us: int) -> Picture:
    """Return the picture in a JPEG, PNG, BMP or WebP file, upright as its EXIF says.

    The size is read from the header and judged before memory is taken for the pixels. A JPEG
    without its end marker is decoded as far as it goes and marked `corrupt`.

    Raises:
        InvalidPayload: not such a file, or too damaged.
        CameraUnavailable: no camera has pictures of this size (0x0, 60000x60000).
    """
    codec = codec_of(data)
    if codec is None:
        hint = ": base64? send the bytes themselves" if data.startswith(_AS_BASE64) else ""
        raise InvalidPayload(
            f"{len(data)} bytes that are no JPEG, PNG, BMP or WebP (they begin {data[:8]!r}){hint}"
        )
    try:
        width, height = imagesize.get(io.BytesIO(data))
    except (ValueError, struct.error):
        width, height = -1, -1
    if (width, height) == (-1, -1):
        raise InvalidPayload(f"a {codec} file whose header is damaged")
    check_size(int(width), int(height))
    # Cameras pad behind the mark with zeros; OpenCV 5 refuses a JPEG that has none.
    cut_off = codec == "jpeg" and END_OF_JPEG not in data[-64:]
    pixels = _decode(data + END_OF_JPEG if cut_off else data)
    if pixels is None:
        raise InvalidPayload(f"a {codec} file whose pixels cannot be decoded")
    return Picture(Bgr(pixels), pixels.shape[1], pixels.shape[0], captured_at_us, cut_off)


def _decode(data: bytes) -> Bytes | None:
    """Return (H, W, 3) BGR, or None."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if pixels is None else pixels.astype(np.uint8, copy=False)
