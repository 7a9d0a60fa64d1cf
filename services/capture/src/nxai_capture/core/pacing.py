"""Inference limit: at least so long between two frames of a camera."""

from typing import Final

JITTER_S: Final = 0.002
"""Cameras are not punctual: with a limit of exactly two picture intervals, half the pictures
would come a moment too early and be skipped for a whole interval more."""


class Pacer:
    """Says when the next frame may be sent. Times are monotonic seconds."""

    def __init__(self, limit_ms: float) -> None:
        self.limit_ms = limit_ms
        self._sent_at = float("-inf")

    def due(self, now: float) -> bool:
        """Return whether the limit allows a frame now."""
        return self.limit_ms == 0 or now - self._sent_at >= self.limit_ms / 1000 - JITTER_S

    def sent(self, now: float) -> None:
        """Remember that a frame was sent."""
        self._sent_at = now
