"""What takes longer than a moment: one thread a lane, one job after the other, told as it goes."""

import logging
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from nxai_cloud_sync.core.job_record import Details, JobRecord
from nxai_cloud_sync.job_log import JobLog, Listed
from nxai_common.bus.ports import Bus
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.errors import NxaiError, RejectedError

log = logging.getLogger(__name__)

LONGEST_QUEUE: Final = 8
"""Jobs that wait in a lane; a person who asks for more has pressed a button too often."""
TELL_EVERY_S: Final = 0.5
"""Between two messages about the same step: a person sees no more, and a fast download would send
hundreds."""
GOODBYE_S: Final = 10.0
"""A job that is under way at the end is waited for so long; it then ends with the process, which
leaves nothing half-done (it could as well be a power cut)."""
WRITTEN_EVERY_S: Final = 5.0
"""What came of a job so far is written down no more often; a crash loses the rest of the story."""
REMEMBERED: Final = 50
"""Jobs that have ended and can still be asked about."""


def _now_us() -> int:
    return time.time_ns() // 1000


class Cancelled(NxaiError):  # noqa: N818 - what happened, not a fault
    """Somebody asked the job to stop, or the service ends."""


@dataclass(slots=True, eq=False)
class Job:
    """One piece of work. Handed to the function that does it."""

    id: str
    command: str
    tell: Callable[["Job", JobState, str, int, int, Details], None] = field(repr=False)
    about: str = ""
    """What it is about, for a person; empty: the command says all."""
    state: JobState = JobState.WAITING
    text: str = ""
    done: int = 0
    total: int = 0
    details: Details = field(default_factory=dict)
    """What came of it, also so far."""
    passing: bool = False
    """Nothing came of it that anybody will look for: once it is done, it is remembered no more."""
    started_at_us: int = field(default_factory=_now_us)
    """When it was asked for, in Unix microseconds."""
    at_us: int = field(default_factory=_now_us)
    """When it said the last."""
    ended_at_us: int | None = None
    left: str = ""
    """Why it was cancelled, where that was no person's wish: what goes on elsewhere may go on."""
    when_cancelled: Callable[["Job"], None] | None = field(default=None, repr=False)
    """Called on the thread of who cancels it."""
    remember: Callable[[JobRecord], None] = field(default=lambda _record: None, repr=False)
    """Writes down how it stands."""
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    _told_at: float = float("-inf")
    _told_text: str = ""
    _written_at: float = float("-inf")

    def step(self, text: str, done: int = 0, total: int | None = 0) -> None:
        """Say what happens now; the place to be cancelled at.

        Raises:
            Cancelled: somebody asked for it.
        """
        self.check()
        self.done, self.total, self.at_us = done, total or 0, _now_us()
        now = time.monotonic()
        if text == self._told_text and now - self._told_at < TELL_EVERY_S:
            return
        self._told_at, self._told_text, self.text = now, text, text
        self.tell(self, JobState.RUNNING, text, done, total or 0, {})

    def so_far(self, details: Details) -> None:
        """Say what came of it so far: that is known also of a job that fails, or is broken off."""
        self.details = details
        now = time.monotonic()
        if now - self._written_at >= WRITTEN_EVERY_S:
            self._written_at = now
            self.remember(self.record)

    @property
    def record(self) -> JobRecord:
        """What is told of it now."""
        return JobRecord(
            job=self.id,
            command=self.command,
            what=self.about,
            state=self.state,
            text=self.text,
            done=self.done,
            total=self.total,
            started_at_us=self.started_at_us,
            at_us=self.at_us,
            ended_at_us=self.ended_at_us,
            details=self.details,
        )

    def check(self) -> None:
        """Stop here when somebody asked for it.

        Raises:
            Cancelled: they did.
        """
        if self._cancelled.is_set():
            raise self.why_cancelled()

    def why_cancelled(self) -> Cancelled:
        """Return what a cancelled job fails of."""
        return Cancelled(self.left or "cancelled")

    def wait(self, seconds: float) -> None:
        """Wait between two tries.

        Raises:
            Cancelled: somebody asked for it meanwhile.
        """
        self._cancelled.wait(seconds)
        self.check()

    def cancel(self, *, left: str = "") -> None:
        """Ask it to stop (from any thread); the first who asks gives the reason.

        Args:
            left: Why it is left where it is; empty: a person does not want it any more.
        """
        if not self._cancelled.is_set():
            self.left = left
            self._cancelled.set()
        if self.when_cancelled is not None:
            self.when_cancelled(self)


Work = Callable[[Job], Details]
"""Does the job; returns what came of it."""
Ended = Callable[[Job, NxaiError | None], None]
"""Called when a job has ended, with what it failed of: on the lane's thread, or on that of who
cancelled it while it waited."""


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    """A job that waits."""

    job: Job
    work: Work
    ended: Ended | None


class Lane:
    """One thread that does one job after the other."""

    def __init__(
        self, name: str, bus: Bus, service: str, wake: Callable[[], None], remembers: JobLog
    ) -> None:
        self._name = name
        self._bus = bus
        self._service = service
        self._wake = wake
        self._log = remembers
        self._changed = threading.Condition()
        """Guards all below."""
        self._waiting: deque[_Order] = deque()
        self._jobs: dict[str, Job] = {}
        self._ended: deque[str] = deque()
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
        """Stop the job under way, end those that wait; wait for the thread, but not for ever."""
        with self._changed:
            self._closing = True
            jobs = [job for job in self._jobs.values() if not job.state.ended]
            self._changed.notify_all()
        for job in jobs:
            job.cancel(left="the service ends")
        self._thread.join(GOODBYE_S)
        if self._thread.is_alive():
            log.warning("lane %s: its job does not stop; the service ends without it", self._name)

    def submit(
        self, command: str, work: Work, ended: Ended | None = None, *, about: str = ""
    ) -> Job | None:
        """Queue a job; None when too many wait, or at the end."""
        # The clock may begin anew with each start of a box: the time alone names no job.
        name = f"{command}-{int(time.time())}-{secrets.token_hex(3)}"
        job = Job(
            name, command, self._tell, about, when_cancelled=self._drop, remember=self._log.keep
        )
        with self._changed:
            if not self._has_room():
                return None
        # Before anybody hears of it, and before it can end; without the lock, as it may take long.
        self._log.keep(job.record)
        with self._changed:
            if not self._has_room():
                self._log.forget(job.record)
                return None
            ahead = next((other for other in self._jobs.values() if not other.state.ended), None)
            self._jobs[job.id] = job
            self._waiting.append(_Order(job, work, ended))
            if ahead is not None:
                job.text = f"waits until {ahead.command} is done"
                self._tell(job, JobState.WAITING, job.text, 0, 0, {})
            self._changed.notify_all()
        return job

    def _has_room(self) -> bool:
        return not self._closing and len(self._waiting) < LONGEST_QUEUE

    def active(self, command: str) -> Job | None:
        """Return a job of a command that waits or runs."""
        with self._changed:
            for job in self._jobs.values():
                if job.command == command and not job.state.ended:
                    return job
        return None

    @property
    def idle(self) -> bool:
        """Whether nothing waits or runs."""
        with self._changed:
            return all(job.state.ended for job in self._jobs.values())

    def get(self, job: str) -> Job | None:
        """Return a job by its id."""
        with self._changed:
            return self._jobs.get(job)

    def _work(self) -> None:
        while (order := self._next()) is not None:
            job = order.job
            failure: NxaiError | None = None
            try:
                job.check()
                job.details = order.work(job)
            except NxaiError as error:
                failure = error
            except Exception as error:  # the jobs after this one must still be done
                log.exception("job %s", job.id)
                failure = NxaiError(f"unexpected {type(error).__name__}; see the log")
            self._end(order, failure)

    def _next(self) -> _Order | None:
        """Return the next job, once there is one; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if self._closing:
                return None
            order = self._waiting.popleft()
            order.job.state = JobState.RUNNING
            order.job.text = ""
            return order

    def _drop(self, job: Job) -> None:
        """End a cancelled job that still waits; one that runs ends itself."""
        with self._changed:
            order = next((order for order in self._waiting if order.job is job), None)
            if order is None:
                return
            self._waiting.remove(order)
        self._end(order, job.why_cancelled())

    def _end(self, order: _Order, failure: NxaiError | None) -> None:
        job = order.job
        state = JobState.DONE if failure is None else JobState.FAILED
        job.text = job.text if failure is None else str(failure)
        job.at_us = job.ended_at_us = _now_us()
        self._note_end(replace(job.record, state=state), passing=job.passing)
        with self._changed:
            job.state = state
            self.done += failure is None
            self.failed += failure is not None and not isinstance(failure, Cancelled)
            self._ended.append(job.id)
            while len(self._ended) > REMEMBERED:
                del self._jobs[self._ended.popleft()]
        level = logging.WARNING if failure is not None else logging.INFO
        log.log(level, "%s %s: %s", job.id, state.value, job.text)
        self._tell(job, state, job.text, 0, 0, job.details)
        if order.ended is not None:
            try:
                order.ended(job, failure)
            except Exception:  # the jobs after this one must still be done
                log.exception("the end of job %s", job.id)
        self._wake()

    def _note_end(self, record: JobRecord, *, passing: bool) -> None:
        """Write down what became of a job, before anybody hears of it."""
        try:
            if passing and record.state is JobState.DONE:
                self._log.forget(record)
            else:
                self._log.keep(record)
        except Exception:  # the jobs after this one must still be done
            log.exception("the end of job %s is not written down", record.job)

    def _tell(
        self, job: Job, state: JobState, text: str, done: int, total: int, details: Details
    ) -> None:
        try:
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
        except Exception:  # what cannot be told must be done all the same
            log.exception("job %s cannot be told", job.id)


Started = tuple[Job, bool]
"""A job, and whether it was under way already."""


class Jobs:
    """All lanes, the newest job of each command, and what jobs leave for the loop to do."""

    def __init__(self, bus: Bus, service: str, wake: Callable[[], None], remembers: JobLog) -> None:
        self._log = remembers
        self.models = Lane("models", bus, service, wake, remembers)
        self.uploads = Lane("uploads", bus, service, wake, remembers)
        # A training is followed for hours: nothing waits behind it.
        self.trainings = Lane("trainings", bus, service, wake, remembers)
        self.lanes = (self.models, self.uploads, self.trainings)
        self.left: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        """What ended jobs leave for the loop to do; at most one a job."""
        self._jobs: tuple[Job, ...] = ()
        """Those that wait or run, and some that have just ended."""
        self._newest: dict[str, tuple[Job, Hashable]] = {}
        """The newest job of each name, and what was wanted of it."""

    @property
    def done(self) -> int:
        """How many went well."""
        return sum(lane.done for lane in self.lanes)

    @property
    def failed(self) -> int:
        """How many did not."""
        return sum(lane.failed for lane in self.lanes)

    def start(
        self,
        lane: Lane,
        name: str,
        work: Work,
        ended: Ended | None = None,
        *,
        what: Hashable = None,
        about: str = "",
    ) -> Started:
        """Queue a job.

        Who asks for the very same that was asked for last and is under way gets that job.

        Args:
            lane: Where it waits.
            name: The command it belongs to.
            work: Does it, on the lane's thread.
            ended: Called by the loop once it is over.
            what: Tells this job from others of that name.
            about: What it is about, for a person.

        Returns:
            The job, and whether it was under way already.

        Raises:
            RejectedError: too many wait already.
        """
        newest = self._newest.get(name)
        if newest is not None and newest[1] == what and not newest[0].state.ended:
            return newest[0], True

        def leave(job: Job, failure: NxaiError | None) -> None:
            if ended is not None:
                self.left.put(lambda: ended(job, failure))

        def done(job: Job) -> Details:
            try:
                return work(job)
            except Cancelled:
                raise
            except NxaiError:
                job.check()  # whatever it failed of since: it was cancelled
                raise

        job = lane.submit(name, done, leave, about=about)
        if job is None:
            raise RejectedError("too many jobs wait already; ask again later")
        self._newest[name] = (job, what)
        self._jobs = (*(other for other in self._jobs if not other.state.ended), job)
        return job, False

    def under_way(self, commands: Iterable[str]) -> tuple[Job, ...]:
        """Return the jobs of some commands that wait or run."""
        wanted = frozenset(commands)
        return tuple(job for job in self._jobs if job.command in wanted and not job.state.ended)

    def newest(self, command: str, limit: int) -> Listed:
        """Return the jobs of a command (empty: of all), also those of processes before this one."""
        under_way = [job.record for job in self._jobs if not job.state.ended]
        return self._log.newest(under_way, command, limit)

    def cancel(self, name: str) -> Job:
        """Ask a job to stop; return it.

        Raises:
            RejectedError: there is none of that name, or it is over.
        """
        for lane in self.lanes:
            job = lane.get(name)
            if job is None:
                continue
            if job.state.ended:
                raise RejectedError(f"job {name!r} is over: {job.text or job.state.value}")
            job.cancel()
            return job
        raise RejectedError(f"there is no job {name!r}")
