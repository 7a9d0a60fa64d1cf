"""Which of the results that wait leave together (`GatheringOptions.gather`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from nxai_publisher.core.entries import Entry

MICROSECONDS: Final = 1_000_000

_Source = tuple[str, str, str]


@dataclass(slots=True)
class Grouping:
    """How one destination wants its results, and what it needs to remember for it.

    A group is always the oldest that wait, in order.
    """

    kind: Literal["each", "batch", "loop", "interval"] = "each"
    size: int = 1
    """At most so many in a group."""
    patience_s: float = 0.0
    """batch: wait so long for a full one. loop: for the other cameras. interval: its length."""
    _circle: frozenset[_Source] = frozenset()
    """loop: whoever was in the last group."""

    @property
    def most(self) -> int:
        """Entries that are needed to tell a group."""
        return 1 if self.kind == "each" else self.size

    def take(self, waiting: Sequence[Entry], now_us: int, waited_s: float) -> int:
        """Return how many of the entries that wait leave now; 0: none yet.

        Args:
            waiting: The oldest ones, at least `most` of them where there are so many.
            now_us: Unix microseconds.
            waited_s: How long the first one has been the first.
        """
        if not waiting:
            return 0
        match self.kind:
            case "each":
                return 1
            case "batch":
                full = len(waiting) >= self.size
                return min(len(waiting), self.size) if full or self._late(waited_s) else 0
            case "loop":
                return self._loop(waiting, waited_s)
            case _:
                return self._interval(waiting, now_us, waited_s)

    def pause_s(self, waited_s: float) -> float:
        """Return after how long a group leaves that is not complete."""
        return max(0.0, self.patience_s - waited_s)

    def _late(self, waited_s: float) -> bool:
        return waited_s >= self.patience_s

    def _loop(self, waiting: Sequence[Entry], waited_s: float) -> int:
        """One of each camera: until one comes again, or all that came the last time are there."""
        seen: set[_Source] = set()
        for count, entry in enumerate(waiting):
            source = (entry.camera, entry.model, entry.content)
            if source in seen or count == self.size:
                return self._close(seen, count)
            seen.add(source)
            if self._circle and seen >= self._circle:
                return self._close(seen, count + 1)
        if len(waiting) >= self.size or self._late(waited_s):
            return self._close(seen, len(waiting))
        return 0

    def _close(self, seen: set[_Source], count: int) -> int:
        self._circle = frozenset(seen)
        return count

    def _interval(self, waiting: Sequence[Entry], now_us: int, waited_s: float) -> int:
        """Those of so many seconds, by their own time: also when they come late, all at once."""
        first_us = waiting[0].at_us
        end_us = first_us + max(1, int(self.patience_s * MICROSECONDS))
        count = 0
        for entry in waiting[: self.size]:
            # A clock that was set back: what was said before the first one does not belong to it.
            if not first_us <= entry.at_us < end_us:
                return count
            count += 1
        over = count == self.size or now_us >= end_us or self._late(waited_s)
        return count if over else 0
