"""Lets Edge Impulse train the project again, and follows it to the end."""

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from nxai_cloud_sync.core.job_record import Details
from nxai_cloud_sync.core.project import LogLine, TrainingJob, TrainingState
from nxai_cloud_sync.jobs import Cancelled, Job
from nxai_cloud_sync.ports import Remembered, StorageUnavailable, Studio
from nxai_common.errors import CloudRejected, CloudUnavailable, KeyRefused, NxaiError
from nxai_common.retry import RetryPolicy

log = logging.getLogger(__name__)

POLL_S: Final = 5.0
"""As often as Edge Impulse's own command line asks."""
RETRY: Final = RetryPolicy(first_s=5, factor=2, longest_s=120)
"""The internet may be away for hours: the job goes on there, and is asked about again here."""
LONGEST_WAIT_S: Final = 3600.0
"""However long a server asks to be left alone."""
LINES_TOLD: Final = 1000
"""Of a job's log, at each look; as many as Edge Impulse keeps."""
LONGEST_LINE: Final = 500
"""Characters of a line that a person reads."""
NO_REASON: Final = "job failed"
"""How the line begins that only says so; the one before says why."""


@dataclass(frozen=True, slots=True)
class TrainingUnderWay:
    """What is followed; kept on the disk, so that a restart goes on following it."""

    project: int
    job: int
    ours: bool = True
    """Started here. What somebody started elsewhere is not ours to stop."""


TRAINING: Final = TypeAdapter(TrainingUnderWay)


class Trainer:
    """One training at a time."""

    def __init__(
        self,
        state: Remembered[TrainingUnderWay],
        rng: random.Random | None = None,
        poll_s: float = POLL_S,
        retry: RetryPolicy = RETRY,
    ) -> None:
        self._state = state
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._poll_s = poll_s
        self._retry = retry

    def left_over(self) -> TrainingUnderWay | None:
        """Return the training that was followed when the service ended, if that can be read."""
        try:
            return self._state.read()
        except StorageUnavailable as error:
            log.warning("%s", error)
            return None

    def run(
        self, job: Job, open_studio: Callable[[], Studio], project: int, impulse: int
    ) -> Details:
        """Start a training, or take up the one that runs, and follow it.

        Raises:
            NxaiError: it could not be started, or failed.
        """
        studio = open_studio()
        try:
            job.step("asking whether a training runs already")
            active = studio.active_training(project)
            if active is None:
                job.step("starting the training")
                followed = TrainingUnderWay(project, _start(studio, project, impulse))
            else:
                followed = TrainingUnderWay(project, active.id, ours=False)
            return self._take_up(job, studio, followed)
        finally:
            studio.close()

    def go_on(
        self, job: Job, open_studio: Callable[[], Studio], under_way: TrainingUnderWay
    ) -> Details:
        """Follow a training that was started before.

        Raises:
            NxaiError: it failed.
        """
        studio = open_studio()
        try:
            return self._take_up(job, studio, under_way)
        finally:
            studio.close()

    def _take_up(self, job: Job, studio: Studio, followed: TrainingUnderWay) -> Details:
        """Follow a training; remember it as long as there is something to follow."""
        try:
            self._remember(followed)
            job.step(
                f"job {followed.job} trains the project"
                if followed.ours
                else f"a training runs already: following job {followed.job}"
            )
            return self._follow(job, studio, followed)
        except Cancelled:
            if job.left:  # it goes on there, and is taken up once the project is linked again
                raise Cancelled(
                    f"{job.left}; job {followed.job} goes on at Edge Impulse, and is followed "
                    "again later"
                ) from None
            self._forget()
            raise _call_off(studio, followed) from None
        except KeyRefused:  # with another key it can be followed again
            raise
        except CloudRejected:
            self._forget()
            raise

    def _follow(self, job: Job, studio: Studio, followed: TrainingUnderWay) -> Details:
        """Return once a training has ended well.

        Raises:
            NxaiError: it failed, is gone, or the key is refused.
        """
        before: tuple[LogLine, ...] = ()
        failures = 0
        last = ""
        while True:
            try:
                now, lines = _look(studio, followed)
            except CloudUnavailable as error:
                failures += 1
                _say(job, f"{error}; the training goes on there, and is asked about again")
                job.wait(self._delay(error, failures))
                continue
            failures = 0
            for text in _texts(_fresh(lines, before)):
                last = last if text.lower().startswith(NO_REASON) else text
                job.step(text)
            before = lines or before
            if now.state is TrainingState.FAILED:
                raise CloudRejected(f"the training failed: {last or 'no reason was given'}")
            if now.state is TrainingState.SUCCEEDED:
                self._forget()
                job.text = f"job {followed.job} is done"
                return {"training": followed.job}
            if not lines:
                _say(job, f"job {followed.job} is {now.state.value}")
            job.wait(self._poll_s)

    def _delay(self, error: CloudUnavailable, failures: int) -> float:
        delay = self._retry.delay(failures, self._rng)
        return max(delay, min(error.retry_after_s or 0.0, LONGEST_WAIT_S))

    def _remember(self, followed: TrainingUnderWay) -> None:
        try:
            self._state.write(followed)
        except StorageUnavailable as error:  # it is trained and paid for all the same
            log.warning("job %d is not followed after a restart: %s", followed.job, error)

    def _forget(self) -> None:
        try:
            self._state.forget()
        except StorageUnavailable as error:  # it is followed once more after a restart
            log.warning("%s", error)


def _start(studio: Studio, project: int, impulse: int) -> int:
    """Start a training; return its job, also where the answer was lost on the way."""
    try:
        return studio.start_training(project, impulse)
    except CloudUnavailable:
        started = studio.active_training(project)
        if started is None:
            raise
        return started.id


def _look(studio: Studio, followed: TrainingUnderWay) -> tuple[TrainingJob, tuple[LogLine, ...]]:
    """Return how a job stands and what it said; the state first, so that no line is missed."""
    now = studio.training(followed.project, followed.job)
    try:
        lines = studio.training_log(followed.project, followed.job)
    except KeyRefused:
        raise
    except CloudRejected as error:  # the job is what counts, not what it says
        log.info("job %d: %s", followed.job, error)
        lines = ()
    return now, lines[-LINES_TOLD:]


def _fresh(lines: Iterable[LogLine], before: Iterable[LogLine]) -> Iterator[LogLine]:
    """Yield the lines that were not there at the look before, also those that say the same."""
    known = Counter(before)
    for line in lines:
        if known[line] > 0:
            known[line] -= 1
        else:
            yield line


def _texts(lines: Iterable[LogLine]) -> Iterator[str]:
    for line in lines:
        text = line.text.strip()
        if text:
            yield text[:LONGEST_LINE]


def _say(job: Job, text: str) -> None:
    """Say something that may be so for hours: once."""
    if job.text != text:
        job.step(text)


def _call_off(studio: Studio, followed: TrainingUnderWay) -> Cancelled:
    """Stop a training that a person does not want any more; return what to say of it."""
    if not followed.ours:
        return Cancelled(
            f"cancelled; job {followed.job} was started elsewhere and goes on there: to stop it, "
            "use Edge Impulse Studio"
        )
    try:
        studio.cancel_training(followed.project, followed.job)
    except NxaiError as error:
        return Cancelled(
            f"job {followed.job} goes on, it could not be cancelled: {error}; to stop it, use Edge "
            "Impulse Studio"
        )
    return Cancelled(f"job {followed.job} was cancelled")
