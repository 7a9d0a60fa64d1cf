"""Threads that hang in a library or a system call, where nothing can wake them."""

import threading


class StuckThreads:
    """Counts the threads of one camera that were left behind. Kept over its connections."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def add(self, thread: threading.Thread) -> None:
        """Remember a thread that did not end in time."""
        with self._lock:
            self._threads.add(thread)

    def alive(self) -> int:
        """Return how many still hang."""
        with self._lock:
            self._threads = {thread for thread in self._threads if thread.is_alive()}
            return len(self._threads)
