"""Waiting for an outcome instead of sleeping."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LOOK_EVERY_S = 0.01


def wait_for(condition: Callable[[], T], deadline: float = 15.0, what: str = "") -> T:
    """Return the first true value of `condition`, or fail after `deadline` seconds."""
    end = time.monotonic() + deadline
    pause = threading.Event()
    while True:
        late = time.monotonic() > end  # asked first: after a long pause we look once more
        value = condition()
        if value:
            return value
        if late:
            raise AssertionError(f"{what or condition} did not come true in {deadline} s")
        pause.wait(_LOOK_EVERY_S)
