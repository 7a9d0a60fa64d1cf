"""Looks into a JPEG with Pillow (libjpeg): whether it is whole, its size, its fingerprint."""

import io
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from nxai_cloud_sync.core.perceptual_hash import COLUMNS, ROWS, difference_hash
from nxai_common.errors import RejectedError

MOST_PIXELS: Final = 80_000_000
"""Twice 8K. At an eighth of the size, as it is decoded here, that takes 1.3 MB."""

UNREADABLE: Final = (
    OSError,  # cut short, no JPEG at all
    SyntaxError,  # broken markers
    ValueError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # where warnings are errors
)


class JpegHasher:
    """Implements the port `PictureHasher`."""

    def hash_of(self, jpeg: bytes, width: int, height: int) -> int:
        """Return the difference hash; the picture is decoded at an eighth of its size, in gray.

        All of it is read, so that one that was cut short is noticed.
        """
        if width * height > MOST_PIXELS:
            raise RejectedError(
                f"a picture of {width} x {height}; those of up to {MOST_PIXELS:,} pixels are kept"
            )
        try:
            with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
                if picture.size != (width, height):
                    raise RejectedError(
                        "the JPEG is {} x {}, but its message says {} x {}".format(
                            *picture.size, width, height
                        )
                    )
                picture.draft("L", (2 * COLUMNS, 2 * ROWS))
                gray = picture.convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX)
        except UnidentifiedImageError as error:
            raise RejectedError("no whole JPEG: it does not begin as one") from error
        except UNREADABLE as error:
            raise RejectedError(f"no whole JPEG: {error}") from error
        return difference_hash(np.asarray(gray))
