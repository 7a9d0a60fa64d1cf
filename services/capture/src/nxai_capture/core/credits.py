"""Credit window: how many frames of a camera may be on their way to inference at once.

Without it a slow consumer would fall behind for ever; with it the age of a result is bounded
by the window. A frame's result is its credit coming back. A credit whose result does not come
(a worker died, a message was lost) comes back by time-out, and is counted.
"""

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Final

FRAMES_PER_WORKER: Final = 2
"""One in the worker's hands and one on its way; a third only grows older."""
FRAMES_WHEN_CROWDED: Final = 1
"""Where other cameras keep the workers busy, a second frame of this one would only wait and age:
with four cameras at 12 ms a frame, results are 50 ms old instead of 100, and none is lost by it."""
CROWDED_RUNS: Final = 3.0
CROWDED_S: Final = 0.030
"""Crowded: a frame waited longer than three runs of its models and 30 ms. One camera alone, however
fast, waits one run (its own other frame); a hiccup of a busy box is shorter than 30 ms."""
FREE_RUNS: Final = 1.0
FREE_S: Final = 0.015
"""No longer crowded: a frame waited less than one run, or 15 ms. Between the two nothing changes,
or the window would swing with every result."""
LOSSLESS_WINDOW: Final = 16
"""Files read as fast as possible: the line stays full when one stage pauses for some
milliseconds, and nothing grows stale because decoding waits."""
SHORTEST_TIMEOUT_S: Final = 2.0
"""A model being loaded on the same cores delays results by a second; that is not a loss."""
TIMEOUT_FACTOR: Final = 10
"""Times the 95th percentile of the recent times to a result."""
REMEMBERED_TIMES: Final = 64
WORKER_MEMORY_S: Final = 10.0
"""A worker that gave no result for so long is gone (or not needed)."""


@dataclass(frozen=True, slots=True)
class FrameKey:
    """Names one frame of one camera's input."""

    stream: str
    sequence: int


class CreditWindow:
    """The frames in flight of one camera and one input. Times are monotonic seconds.

    Args:
        size: Frames at most; None: twice the workers seen lately, or once when they are crowded.
        lossless: The source waits; a larger window keeps the line full.
    """

    def __init__(self, size: int | None, *, lossless: bool = False) -> None:
        self._size = size
        self.lossless = lossless
        self._sent_at: dict[FrameKey, float] = {}
        self._ran_s: defaultdict[FrameKey, float] = defaultdict(float)
        self._times: deque[float] = deque(maxlen=REMEMBERED_TIMES)
        self._workers: dict[str, float] = {}
        self._crowded = False
        self.lost = 0

    @property
    def in_flight(self) -> int:
        """Frames whose result has not come yet."""
        return len(self._sent_at)

    @property
    def size(self) -> int:
        """Frames in flight at most."""
        if self._size is not None:
            return self._size
        workers = max(1, len(self._workers))
        if self.lossless:
            return max(LOSSLESS_WINDOW, FRAMES_PER_WORKER * workers)
        return workers * (FRAMES_WHEN_CROWDED if self._crowded else FRAMES_PER_WORKER)

    @property
    def timeout_s(self) -> float:
        """After how long a credit counts as lost."""
        if not self._times:
            return SHORTEST_TIMEOUT_S
        slow = sorted(self._times)[int(0.95 * (len(self._times) - 1))]
        return max(SHORTEST_TIMEOUT_S, TIMEOUT_FACTOR * slow)

    @property
    def available(self) -> bool:
        """Whether another frame may be sent."""
        return len(self._sent_at) < self.size

    def __contains__(self, key: FrameKey) -> bool:
        return key in self._sent_at

    def take(self, key: FrameKey, now: float) -> None:
        """Note that a frame was sent."""
        self._sent_at[key] = now

    def cancel(self, key: FrameKey) -> None:
        """Note that a frame could not be sent after all."""
        self._sent_at.pop(key, None)

    def ran(self, key: FrameKey, run_s: float) -> None:
        """Note that a model ran on a frame, and that others will."""
        if key in self._sent_at:
            self._ran_s[key] += run_s

    def give_back(self, key: FrameKey, worker: str, now: float, run_s: float = 0.0) -> bool:
        """Note a frame's last result; False when it is none of ours or came after its time-out.

        Args:
            key: Of the frame.
            worker: That looked at it.
            now: Monotonic seconds.
            run_s: How long the last model ran on it. When none ran, it says nothing of a crowd.
        """
        run_s += self._ran_s.pop(key, 0.0)
        self._workers[worker] = now
        for name in [n for n, seen in self._workers.items() if now - seen > WORKER_MEMORY_S]:
            del self._workers[name]
        sent_at = self._sent_at.pop(key, None)
        if sent_at is None:
            return False
        self._times.append(now - sent_at)
        waited_s = now - sent_at - run_s
        if run_s > 0 and waited_s > max(CROWDED_RUNS * run_s, CROWDED_S):
            self._crowded = True
        elif run_s > 0 and waited_s < max(FREE_RUNS * run_s, FREE_S):
            self._crowded = False
        return True

    def expire(self, now: float) -> int:
        """Take back credits whose result is overdue; return how many."""
        timeout = self.timeout_s
        overdue = [key for key, sent_at in self._sent_at.items() if now - sent_at >= timeout]
        for key in overdue:
            del self._sent_at[key]
            self._ran_s.pop(key, None)
        self.lost += len(overdue)
        return len(overdue)

    def expires_at(self) -> float | None:
        """Return when the oldest credit will be overdue; None without frames in flight."""
        return min(self._sent_at.values()) + self.timeout_s if self._sent_at else None
