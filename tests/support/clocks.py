"""A clock whose hands a test turns."""

import threading


class FakeClock:
    """Time passes only while somebody waits; implements capture's `WaitingClock`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return 1_700_000_000.0 + self.now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if event.is_set():
            return True
        self.waits.append(max(0.0, seconds))
        self.now += max(0.0, seconds)
        return False
