"""JPEG, PNG, BMP and WebP files to pictures, over OpenCV; JPEGs over libjpeg-turbo itself.

Both give the very same pixels, but OpenCV keeps to itself that parts of a JPEG were damaged.
"""

import io
import re
import struct
from typing import Final

import cv2
import imagesize
import numpy as np
from simplejpeg import decode_jpeg  # type: ignore[import-untyped]  # its types are not published

from nxai_capture.core.picture import Bgr, Bytes, Picture, check_size
from nxai_common.errors import InvalidPayload

LARGEST_FILE_BYTES: Final = 50_000_000
"""An 8K PNG of noise has 100 MB, one of a scene 30; more is a mistake or an attack."""

END_OF_JPEG: Final = b"\xff\xd9"

EXIF: Final = b"Exif\0\0"
UPRIGHT: Final = 1
"""The orientation in EXIF that needs no turning."""

_HARMLESS: Final = (
    "Warning: unknown JFIF revision",
    "Unknown Adobe color transform",
    "Corrupt JPEG data: bad ICC marker",
    # Unusual, and no more is known then: OpenCV reads it.
    "tjDecompressHeader3(): Could not determine subsampling",
)
"""What libjpeg-turbo remarks on that says nothing of the pixels; it may be in all pictures of a
camera, which would then never give a sample."""
_LEFT_OVER: Final = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_PADDING: Final = frozenset(b"\0\xff")
"""With what cameras fill up the pixels to a round number of bytes."""

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

    The size is read from the header and judged before memory is taken for the pixels. A JPEG that
    is cut off or damaged inside is decoded as far as it goes and marked `corrupt`. JPEGs have no
    checksums: a changed bit that only makes other pixels is not noticed.

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
    pixels, corrupt = _decode_jpeg(data) if codec == "jpeg" else (_decode(data), False)
    if pixels is None:
        raise InvalidPayload(f"a {codec} file whose pixels cannot be decoded")
    return Picture(Bgr(pixels), pixels.shape[1], pixels.shape[0], captured_at_us, corrupt)


def _decode_jpeg(data: bytes) -> tuple[Bytes | None, bool]:
    """Return (H, W, 3) BGR, or None; and whether it is damaged."""
    turned = EXIF in data and imagesize.get_info(io.BytesIO(data)).rotation != UPRIGHT
    try:
        if not turned:
            pixels: Bytes = decode_jpeg(data, "BGR")
            return pixels, False
        # OpenCV turns it. Looked at for damage alone, an eighth as large it takes half the time.
        decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        # Cameras pad behind the mark with zeros; OpenCV 5 refuses a JPEG that has none.
        cut_off = END_OF_JPEG not in data[-64:]
        pixels_anyhow = _decode(data + END_OF_JPEG if cut_off else data)
        return pixels_anyhow, cut_off or not _is_harmless(str(error), data)
    return _decode(data), False


def _is_harmless(remark: str, data: bytes) -> bool:
    """Return whether what libjpeg-turbo remarked on leaves the pixels as they were."""
    left_over = _LEFT_OVER.match(remark)
    if left_over is None:
        return remark.startswith(_HARMLESS)
    end = data.rfind(END_OF_JPEG)
    return _PADDING.issuperset(data[max(0, end - int(left_over[1])) : end])


def _decode(data: bytes) -> Bytes | None:
    """Return (H, W, 3) BGR, or None."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if pixels is None else pixels.astype(np.uint8, copy=False)
