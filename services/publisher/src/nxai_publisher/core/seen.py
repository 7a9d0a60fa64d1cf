"""Tells results that were seen before: what was not acknowledged is delivered again."""

from collections import deque
from typing import Final

WINDOW: Final = 1024
"""Results of one model on one camera that are remembered. As many as the broker hands out
unacknowledged, so that a reconnect cannot bring back one that was forgotten."""
STREAMS: Final = 64
"""Starts of a camera that are remembered: ten minutes of one that comes and goes."""


class SeenResults:
    """The newest results of one model on one camera."""

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._stream: str | None = None
        self._order: deque[int] = deque()
        self._sequences: set[int] = set()
        self._newest = -1
        self._forgotten = -1
        self._latest_us = 0
        self._earlier: deque[str] = deque(maxlen=STREAMS)

    def admit(self, stream: str, sequence: int, captured_us: int) -> bool:
        """Remember a result; False when it was seen before, or is too old to tell."""
        if stream != self._stream:
            if stream in self._earlier or captured_us < self._latest_us:
                return False  # the camera has been started again since
            self._start(stream)
        if sequence in self._sequences or sequence <= self._forgotten:
            return False
        self._sequences.add(sequence)
        self._order.append(sequence)
        self._newest = max(self._newest, sequence)
        self._latest_us = max(self._latest_us, captured_us)
        if len(self._order) > self._window:
            oldest = self._order.popleft()
            self._sequences.discard(oldest)
            self._forgotten = max(self._forgotten, oldest)
        return True

    def is_newest(self, stream: str, sequence: int) -> bool:
        """Tell whether nothing newer was seen (workers may overtake each other)."""
        return stream == self._stream and sequence >= self._newest

    def rest(self) -> None:
        """Nothing new came for long: what comes next may be of a clock that was set back."""
        self._latest_us = 0

    def _start(self, stream: str) -> None:
        if self._stream is not None:
            self._earlier.append(self._stream)
        self._stream = stream
        self._order.clear()
        self._sequences.clear()
        self._newest = -1
        self._forgotten = -1
