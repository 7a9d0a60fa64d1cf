"""Trigger on change: whether a picture differs enough from the last one that was sent."""

from typing import Final

import cv2
import numpy as np

from nxai_capture.core.picture import Bgr, Bytes, Picture, Rgb, Yuv420, as_bytes
from nxai_capture.core.region import pixel_box
from nxai_common.contracts.configuration import ChangeTrigger, RegionOfInterest

THUMBNAIL_WIDTH: Final = 160
"""Pictures are halved until they are less than twice as wide: small enough to be cheap and to
even out the noise of single pixels, large enough to show a part of 1 % of the picture's width."""


def thumbnail(picture: Picture, region: RegionOfInterest | None = None) -> Bytes:
    """Return a small gray version (h, w) uint8, 160 to 319 pixels wide where the region is.

    Args:
        picture: In any layout.
        region: The part of it that counts; None: all of it.
    """
    planes = picture.planes
    box = pixel_box(region, picture.width, picture.height)
    whole = planes.y if isinstance(planes, Yuv420) else planes.pixels
    small = whole[box.top : box.top + box.height, box.left : box.left + box.width]
    while small.shape[1] >= 2 * THUMBNAIL_WIDTH and small.shape[0] > 1:
        height, width = small.shape[0] // 2 * 2, small.shape[1] // 2 * 2
        small = as_bytes(
            cv2.resize(
                small[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA
            )
        )
    if isinstance(planes, Rgb):
        return as_bytes(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
    if isinstance(planes, Bgr):
        return as_bytes(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))
    return np.ascontiguousarray(small)


def changed_percent(before: Bytes, now: Bytes, pixel_threshold: int) -> float:
    """Return how many percent of the pixels differ by more than `pixel_threshold` of 255.

    Pictures of unlike size differ wholly.
    """
    if before.shape != now.shape:
        return 100.0
    difference = cv2.absdiff(before, now)
    _, changed = cv2.threshold(difference, pixel_threshold, 255, cv2.THRESH_BINARY)
    return 100.0 * cv2.countNonZero(changed) / now.size


class ChangeDetector:
    """Compares with the last picture that was sent, so that slow changes add up."""

    def __init__(self, trigger: ChangeTrigger) -> None:
        self.trigger = trigger
        self._sent: Bytes | None = None

    def changed(self, small: Bytes) -> bool:
        """Return whether the thumbnail of a picture differs enough; the first one always does."""
        if self._sent is None:
            return True
        percent = changed_percent(self._sent, small, self.trigger.pixel_threshold)
        return percent > self.trigger.image_threshold

    def sent(self, small: Bytes) -> None:
        """Remember the thumbnail of the picture that was sent."""
        self._sent = small
