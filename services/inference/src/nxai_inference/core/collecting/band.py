"""Candidates close to the threshold, on either side of it.

The decoder returns only what reaches the threshold, so a missed object can be seen in the raw
tensor alone. How close a candidate is says `doubt.undecided`: its value is 1 at the threshold and
falls to 0 towards a confidence of 0 or 1, whatever the width of the band.
"""

from typing import Final

import numpy as np

from nxai_common.contracts.results import CollectReason
from nxai_inference.core.collecting.doubt import undecided
from nxai_inference.core.collecting.look import Look
from nxai_inference.core.collecting.places import Places

WEAKEST: Final = 0.05
"""No candidate is weaker: a softmax or a sigmoid is never 0, and every cell would be one."""


class Band:
    """Wants frames with a candidate within `width` of the threshold."""

    def __init__(
        self, places: Places, labels: tuple[str, ...], threshold: float, width: float
    ) -> None:
        self._places = places
        self._labels = labels
        self._threshold = threshold
        self._width = width
        # As float32, as confidences are: what lies on an end is in the band.
        self._low = float(np.float32(max(threshold - width, min(WEAKEST, threshold))))
        self._high = float(np.float32(threshold + width))

    def judge(self, look: Look) -> CollectReason | None:
        """Return why the frame is wanted, or None."""
        low, high = self._low, self._high
        found = self._places.candidates(look, low, high)
        if found is None:
            return None
        confidences = found.confidences
        inside = ((confidences >= low) & (confidences <= high)).nonzero()[0]
        if not inside.size:
            return None
        doubts = [undecided(c, self._threshold) for c in confidences[inside].tolist()]
        closest = int(np.argmax(doubts))
        place = int(inside[closest])
        number, confidence = int(found.labels[place]), float(confidences[place])
        label = self._labels[number] if number >= 0 else "an object without a label"
        side = "" if confidence >= np.float32(self._threshold) else ", below it: not reported"
        return CollectReason(
            strategy="band",
            reason=f"{label} {confidence:.3f} is within {self._width:g} of the threshold "
            f"{self._threshold:g}{side}",
            value=doubts[closest],
        )
