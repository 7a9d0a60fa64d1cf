"""How often: the inference limit, and the pictures that a viewer is shown."""

from typing import Final

JITTER_S: Final = 0.002
"""Cameras are not punctual: with a limit of exactly two picture intervals, half the pictures
would come a moment too early and be skipped for a whole interval more."""
SENT_MISSED: Final = 2
"""A rate that swings a little stays above half of itself; at a third, a viewer sees it jump."""


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
    come up to one interval early, and the ones after it come so much later; and another one is
    shown only where none that was sent came for two intervals. Where frames are sent at half the
    wished rate or more, all that is shown was sent; where they are sent less often than wished,
    all that were sent are shown. On the average it is never more than wished.
    """

    def __init__(self) -> None:
        self._shown_at = self._sent_shown_at = float("-inf")
        self._early = 0.0
        """By how many intervals the last one came early."""

    def due(self, now: float, interval_s: float, *, sent: bool) -> bool:
        """Return whether a picture may be shown now, one that was sent or another."""
        intervals = self._early if sent else 1 + self._early
        waited_s = now - self._shown_at
        missed_s = now - self._sent_shown_at
        return waited_s >= intervals * interval_s - JITTER_S and (
            sent or missed_s >= SENT_MISSED * interval_s - JITTER_S
        )

    def shown(self, now: float, interval_s: float, *, sent: bool) -> None:
        """Remember that one was shown."""
        late = (now - self._shown_at) / interval_s
        self._early = min(1.0, max(0.0, 1 + self._early - late))
        self._shown_at = now
        if sent:
            self._sent_shown_at = now
