"""Which pictures are worth keeping once more: not too soon, and not the same one again."""

import zlib
from typing import Final

import numpy as np

from nxai_capture.core.picture import Picture, Yuv420
from nxai_common.contracts.collecting import (
    IntervalStrategy,
    NothingFoundStrategy,
    RandomStrategy,
)

SPARSE: Final = frozenset(
    kind().strategy for kind in (IntervalStrategy, RandomStrategy, NothingFoundStrategy)
)
"""Strategies whose own settings keep their pictures apart. Among doubtful ones, of which there may
always be one too near, the gap would leave nearly nothing of an hourly picture or a small slice."""


class Spacing:
    """Keeps the pictures of one camera apart that sparse strategies did not ask for.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._last: float | None = None

    def due(self, strategy: str, now: float, gap_s: float) -> bool:
        """Return whether the last one was taken at least `gap_s` ago, or that does not matter."""
        return strategy in SPARSE or self._last is None or now - self._last >= gap_s

    def taken(self, strategy: str, now: float) -> None:
        """Note that one was taken."""
        if strategy not in SPARSE:
            self._last = now


def all_pixels(picture: Picture) -> int:
    """Return a number that is equal for equal pictures, and in four billion for another one.

    Of every pixel, unlike `watchdog.fingerprint`: a small object may be all that changed. Takes
    0.3 ms for 1280 x 720, a twentieth of what encoding it would.
    """
    planes = picture.planes
    arrays = (planes.y, planes.u, planes.v) if isinstance(planes, Yuv420) else (planes.pixels,)
    number = zlib.crc32(repr([array.shape for array in arrays]).encode())
    for array in arrays:
        number = zlib.crc32(np.ascontiguousarray(array).data, number)
    return number
