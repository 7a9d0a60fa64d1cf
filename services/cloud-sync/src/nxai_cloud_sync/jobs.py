"""What takes longer than a moment: one thread a lane, one job after the other, told as it goes."""

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from nxai_common.bus.ports import Bus
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.errors import NxaiError

log = logging.getLogger(__name__)

LONGEST_QUEUE: Final = 8
"""Jobs that wait in a lane; a person who asks for more has pressed a button too often."""
TELL_EVERY_S: Final = 0.5
"""Between two messages about the same step: a person sees no more, and a fast download would send
hundreds."""
GOODBYE_S: Final = 10.0
"""A job that is under way at the end is waited for so long; it then ends with the process, which
leaves nothing half-done (it could as well be a power cut)."""
REMEMBERED: Final = 50
"""Jobs that have ended and can still be asked about."""

Details = Mapping[str, str | int | float | bool | None]


class Cancelled(NxaiError):  # noqa: N818 - what happened, not a fault
    """Somebody asked the job to stop, or the service ends."""


@dataclass(slots=True)
class Job:
    """One piece of work. Handed to the function that does it."""

    id: str
    command: str
    tell: Callable[["Job", JobState, str, int, int, Details], None] = field(repr=False)
    state: JobState = JobState.WAITING
    text: str = ""
    details: Details = field(default_factory=dict)
    service_ends: bool = False
    """Why it was cancelled: not a person's wish. What goes on elsewhere may go on."""
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    _told_at: float = float("-inf")
    _told_text: str = ""

    def step(self, text: str, done: int = 0, total: int | None = 0) -> None:
        """Say what happens now; the place to be cancelled at.

        Raises:
            Cancelled: somebody asked for it.
        """
        self.check()
        now = time.monotonic()
        if text == self._told_text and now - self._told_at < TELL_EVERY_S:
            return
        self._told_at, self._told_text, self.text = now, text, text
        self.tell(self, JobState.RUNNING, text, done, total or 0, {})

    def check(self) -> None:
        """Stop here when somebody asked for it.

        Raises:
            Cancelled: they did.
        """
        if self._cancelled.is_set():
            raise Cancelled("cancelled")

    def wait(self, seconds: float) -> None:
        """Wait between two tries.

        Raises:
            Cancelled: somebody asked for it meanwhile.
        """
        self._cancelled.wait(seconds)
        self.check()

    def cancel(self, *, service_ends: bool = False) -> None:
        """Ask it to stop (from any thread)."""
        self.service_ends = self.service_ends or service_ends
        self._cancelled.set()


Work = Callable[[Job], Details]
"""Does the job; returns what came of it."""
Ended = Callable[[Job, NxaiError | None], None]
"""Called on the lane's thread when a job has ended, with what it failed of."""


class Lane:
    """One thread that does one job after the other."""

    def __init__(self, name: str, bus: Bus, service: str, wake: Callable[[], None]) -> None:
        self._name = name
        self._bus = bus
        self._service = service
        self._wake = wake
        self._lock = threading.Lock()
        self._number = 0
        self._jobs: dict[str, Job] = {}
        self._ended: deque[str] = deque()
        self._queue: queue.Queue[tuple[Job, Work, Ended | None] | None] = queue.Queue(LONGEST_QUEUE)
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=f"jobs-{name}", daemon=True)
        self.failed = 0
        self.done = 0

    def __enter__(self) -> Self:
        """Begin to work."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the job under way and end."""
        self._closing = True
        with self._lock:
            for job in self._jobs.values():
                job.cancel(service_ends=True)
        with contextlib.suppress(queue.Full):  # then it looks at `_closing` after the next job
            self._queue.put_nowait(None)
        self._thread.join(GOODBYE_S)

    def submit(self, command: str, work: Work, ended: Ended | None = None) -> Job | None:
        """Queue a job; None when too many wait."""
        with self._lock:
            self._number += 1
            job = Job(f"{command}-{int(time.time())}-{self._number}", command, self._tell)
            try:
                self._queue.put_nowait((job, work, ended))
            except queue.Full:
                return None
            self._jobs[job.id] = job
            return job

    def active(self, command: str) -> Job | None:
        """Return a job of a command that waits or runs."""
        with self._lock:
            for job in self._jobs.values():
                if job.command == command and not job.state.ended:
                    return job
        return None

    @property
    def idle(self) -> bool:
        """Whether nothing waits or runs."""
        with self._lock:
            return all(job.state.ended for job in self._jobs.values())

    def get(self, job: str) -> Job | None:
        """Return a job by its id."""
        with self._lock:
            return self._jobs.get(job)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None and not self._closing:
            job, work, ended = item
            failure: NxaiError | None = None
            try:
                job.check()
                job.state = JobState.RUNNING
                job.details = work(job)
            except NxaiError as error:
                failure = error
                self._end(job, JobState.FAILED, str(error), {})
            except Exception as error:  # the jobs after this one must still be done
                log.exception("job %s", job.id)
                failure = NxaiError(f"unexpected {type(error).__name__}; see the log")
                self._end(job, JobState.FAILED, str(failure), {})
            else:
                self._end(job, JobState.DONE, job.text, job.details)
            if ended is not None:
                ended(job, failure)
            self._wake()

    def _end(self, job: Job, state: JobState, text: str, details: Details) -> None:
        job.text = text
        with self._lock:
            job.state = state
            self.done += state is JobState.DONE
            self.failed += state is JobState.FAILED
            self._ended.append(job.id)
            while len(self._ended) > REMEMBERED:
                del self._jobs[self._ended.popleft()]
        log.log(
            logging.INFO if state is JobState.DONE else logging.WARNING,
            "%s %s: %s",
            job.id,
            state.value,
            text,
        )
        self._tell(job, state, text, 0, 0, details)

    def _tell(
        self, job: Job, state: JobState, text: str, done: int, total: int, details: Details
    ) -> None:
        self._bus.publish(
            Progress(
                service=self._service,
                job=job.id,
                command=job.command,
                state=state,
                text=text,
                done=done,
                total=total,
                at=datetime.now(UTC),
                details=dict(details),
            )
        )
