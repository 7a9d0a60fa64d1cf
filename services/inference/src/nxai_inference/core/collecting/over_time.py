"""Strategies that remember: a label that comes and goes, and a picture every so often.

Time is that of the frames: the clock of the box, which may be set at any moment. A step of it
costs a picture at most, or brings one too early; it never holds a strategy up for longer than the
time that the strategy waits for anyway.
"""

from collections import Counter, deque
from typing import Final

from nxai_common.contracts.results import CollectReason
from nxai_inference.core.collecting.look import Look
from nxai_inference.core.collecting.slices import UNSELECTED

SECOND_US: Final = 1_000_000


class Flicker:
    """Wants the frame in which a label's count has changed `changes` times within `within_s`.

    The value grows with the haste: one half when the changes took all of `within_s`, towards 1
    when they came at once. A new start of the camera, or a clock that was set back, begins anew.
    """

    def __init__(self, labels: tuple[str, ...], changes: int, within_s: float) -> None:
        self._labels = labels
        self._changes = changes
        self._within_s = within_s
        self._stream: str | None = None
        self._at_us = 0
        self._seen: list[int] = []
        self._times: dict[int, deque[int]] = {}
        """When the count of a label changed: the newest `changes` times."""
        self._changed: list[int] = []
        """Labels whose count changed with the newest frame."""

    def watch(self, look: Look) -> None:
        """Note what changed since the frame before."""
        seen = sorted(look.seen())
        if look.stream != self._stream or look.at_us < self._at_us:
            self._stream = look.stream
            self._times.clear()
            self._changed = []
        elif seen == self._seen:
            self._changed = []
        else:
            before, now = Counter(self._seen), Counter(seen)
            self._changed = [n for n in before.keys() | now.keys() if before[n] != now[n]]
            for label in self._changed:
                times = self._times.setdefault(label, deque(maxlen=self._changes))
                times.append(look.at_us)
        self._at_us, self._seen = look.at_us, seen

    def judge(self, look: Look) -> CollectReason | None:
        """Return why the frame is wanted, or None."""
        for label in sorted(self._changed):
            times = self._times[label]
            took_s = (look.at_us - times[0]) / SECOND_US
            if len(times) < self._changes or took_s > self._within_s:
                continue
            times.clear()  # so many changes again, not the next one
            return CollectReason(
                strategy="flicker",
                reason=f"the count of {self._labels[label]} changed {self._changes} times within "
                f"{took_s:.2f} s (at most {self._within_s:g} s)",
                value=round(1 - took_s / self._within_s / 2, 4),
            )
        return None


class Interval:
    """Wants a frame every so often, beginning with the first."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_us: int | None = None

    def watch(self, look: Look) -> None:
        """Begin to wait anew when the clock was set back."""
        if self._last_us is not None and look.at_us < self._last_us:
            self._last_us = look.at_us

    def judge(self, look: Look) -> CollectReason | None:
        """Return why the frame is wanted, or None."""
        if self._last_us is None:
            since = "this is the first"
        elif look.at_us - self._last_us >= self._every_s * SECOND_US:
            since = f"the last was {(look.at_us - self._last_us) / SECOND_US:.1f} s ago"
        else:
            return None
        self._last_us = look.at_us
        return CollectReason(
            strategy="interval",
            reason=f"a picture every {self._every_s:g} s: {since}",
            value=UNSELECTED,
        )
