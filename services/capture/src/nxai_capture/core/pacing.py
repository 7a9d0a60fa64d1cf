"""How often: the inference limit, and the pictures that a viewer is shown."""

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


class PreviewPacer:
    """Says which pictures a viewer is shown, at a wished rate. Times are monotonic seconds.

    Boxes can be drawn only on a picture that inference has seen. So a picture that was sent may
    come up to one interval early, and the ones after it come so much later: where frames are sent
    as often as somebody looks, all that is shown was sent; where they are sent less often, all
    that were sent are shown, and others in between. On the average it is the wished rate.
    """

    def __init__(self) -> None:
        self._shown_at = float("-inf")
        self._early = 0.0
        """By how many intervals the last one came early."""

    def due(self, now: float, interval_s: float, *, sent: bool) -> bool:
        """Return whether a picture may be shown now, one that was sent or another."""
        intervals = self._early if sent else 1 + self._early
        return now - self._shown_at >= intervals * interval_s - JITTER_S

    def shown(self, now: float, interval_s: float) -> None:
        """Remember that one was shown."""
        late = (now - self._shown_at) / interval_s
        self._early = min(1.0, max(0.0, 1 + self._early - late))
        self._shown_at = now
