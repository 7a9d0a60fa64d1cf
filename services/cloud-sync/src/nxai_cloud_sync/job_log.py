"""What is remembered of jobs, as far as the disk does: a job is done all the same."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nxai_cloud_sync.core.job_record import JobRecord, newest
from nxai_cloud_sync.ports import JobHistory, StorageUnavailable

log = logging.getLogger(__name__)

UNWRITTEN: Final = 50
"""Jobs that ended while the disk took nothing, and are written down once it does."""
COMPLAIN_EVERY_S: Final = 60.0
"""A full disk must not be filled with log lines about it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A part of the list of jobs."""

    jobs: tuple[JobRecord, ...]
    incomplete: str = ""
    """Why those of processes before this one are not in it; empty: they are."""


class JobLog:
    """Keeps records of jobs. May be used from several threads."""

    def __init__(self, history: JobHistory, clock: Callable[[], float] = time.monotonic) -> None:
        self._history = history
        self._clock = clock
        self._lock = threading.Lock()
        self._unwritten: deque[JobRecord] = deque(maxlen=UNWRITTEN)
        """Oldest first."""
        self._complained_at = float("-inf")

    def keep(self, record: JobRecord) -> None:
        """Write a job down, or what became of it: on the disk when this returns, if it can be."""
        with self._lock:
            if record.state.ended:
                self._unwritten.append(record)
            try:
                if not record.state.ended:
                    self._history.keep(record)
                while self._unwritten:
                    self._history.keep(self._unwritten[0])
                    self._unwritten.popleft()
            except StorageUnavailable as error:
                self._complain(record, error)

    def forget(self, record: JobRecord) -> None:
        """Remember a job no longer."""
        with self._lock:
            try:
                self._history.forget(record.job)
            except StorageUnavailable as error:
                self._complain(record, error)

    def newest(self, under_way: Sequence[JobRecord], command: str, limit: int) -> Listed:
        """Return the jobs of a command (empty: of all), newest first.

        Args:
            under_way: Those that wait or run, in the order in which they were asked for.
            command: Their command.
            limit: So many at most.
        """
        incomplete = ""
        kept: tuple[JobRecord, ...] = ()
        try:
            kept = self._history.newest(command, limit)
        except StorageUnavailable as error:
            incomplete = str(error)
        with self._lock:
            unwritten = tuple(reversed(self._unwritten))
        return Listed(newest(under_way, (*unwritten, *kept), command, limit), incomplete)

    def _complain(self, record: JobRecord, error: StorageUnavailable) -> None:
        now = self._clock()
        if now - self._complained_at >= COMPLAIN_EVERY_S:
            self._complained_at = now
            log.warning("job %s is not written down: %s", record.job, error)
