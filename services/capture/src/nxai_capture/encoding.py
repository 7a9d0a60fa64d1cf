"""Encodes JPEGs beside the line, so that a picture for a person never delays a frame."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

from nxai_common.errors import NxaiError

log = logging.getLogger(__name__)

LONGEST_QUEUE: Final = 16
"""Each waiting job holds a full-size picture: 16 of 1280 x 720 are 22 MB and 0.2 s of work."""

Job: TypeAlias = Callable[[], None]


class EncodingDesk:
    """One thread and a bounded queue of jobs; what does not fit is counted and refused."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Job | None] = queue.Queue(LONGEST_QUEUE)
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="jpeg", daemon=True)
        self.dropped = 0
        self.failed = 0

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, job: Job) -> bool:
        """Queue a job; False when the queue is full."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self.dropped += 1
            return False
        return True

    @property
    def waiting(self) -> int:
        """Jobs not begun yet."""
        return self._jobs.qsize()

    def close(self, timeout_s: float) -> None:
        """Drop what waits, finish the job in hand, end."""
        self._closing = True
        with contextlib.suppress(queue.Full):  # the thread looks at `_closing` after each job
            self._jobs.put_nowait(None)
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None and not self._closing:
            try:
                job()
            except NxaiError as error:
                self.failed += 1
                log.warning("a picture could not be published: %s", error)
            except Exception:
                # A library's surprise must not end all encoding for good.
                self.failed += 1
                log.exception("a picture could not be published")
            del job  # it holds a picture, and the next `get` may wait for hours
