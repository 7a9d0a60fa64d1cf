"""Small copies of pictures, made with Pillow (libjpeg), the last ones kept in memory."""

import io
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from PIL import Image

from nxai_cloud_sync.adapters.picture_hash import UNREADABLE
from nxai_common.errors import RejectedError

MOST_BYTES: Final = 8_000_000
"""Kept in memory: some 600 thumbnails of 320 pixels, ten pages of a gallery."""
QUALITY: Final = 80
"""What browsers show as good at this size."""


class PillowThumbnails:
    """Implements the port `Thumbnails`."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        """Guards what is kept; not held while a picture is scaled."""
        self._kept: OrderedDict[tuple[Path, int], bytes] = OrderedDict()
        """The one that was asked for last is the last one."""
        self._bytes = 0

    def of(self, picture: Path, max_width: int) -> bytes:
        """Return a JPEG no wider than this; a picture that is small enough, as it is."""
        key = (picture, max_width)
        with self._lock:
            made = self._kept.get(key)
            if made is not None:
                self._kept.move_to_end(key)
                return made
        made = _scaled(_content(picture), max_width)
        with self._lock:
            self._bytes += len(made) - len(self._kept.pop(key, b""))
            self._kept[key] = made
            while self._bytes > self._most_bytes:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= len(gone)
        return made


def _content(picture: Path) -> bytes:
    try:
        return picture.read_bytes()
    except OSError as error:
        raise RejectedError(f"the picture cannot be read: {error.strerror}") from error


def _scaled(jpeg: bytes, max_width: int) -> bytes:
    """Return a picture scaled down.

    libjpeg decodes it at a half, a quarter or an eighth of its size where that is still larger
    than wanted: 7 ms for 1080p.
    """
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            width, height = picture.size
            if width <= max_width:
                return jpeg
            size = (max_width, max(1, round(height * max_width / width)))
            picture.draft("RGB", size)
            small = picture.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    except UNREADABLE as error:
        raise RejectedError(f"the picture cannot be read: {error}") from error
    file = io.BytesIO()
    # Else a comment is copied: nothing but pixels shall be in there.
    small.save(file, "JPEG", quality=QUALITY, comment=b"")
    return file.getvalue()
