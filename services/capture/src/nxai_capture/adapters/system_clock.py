"""The time of this machine."""

import threading
import time
from typing import Protocol

from nxai_capture.ports import Clock


class WaitingClock(Clock, Protocol):
    """A clock that can also wait, so that a test can play an hour of video in no time."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until `event` is set or `seconds` are over; return whether it is set."""
        ...


class SystemClock:
    """The real one."""

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    def unix(self) -> float:
        """Seconds since 1970 UTC."""
        return time.time()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until `event` is set or `seconds` are over; return whether it is set."""
        return event.wait(max(0.0, seconds))
