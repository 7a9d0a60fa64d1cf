"""Lets Edge Impulse train the project again, and follows it to the end."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from nxai_cloud_sync.core.project import LogLine, TrainingJob, TrainingState
from nxai_cloud_sync.jobs import Cancelled, Details, Job
from nxai_cloud_sync.ports import Remembered, Studio
from nxai_common.errors import CloudRejected, CloudUnavailable
from nxai_common.retry import RetryPolicy

log = logging.getLogger(__name__)

POLL_S: Final = 5.0
"""As often as Edge Impulse's own command line asks."""
RETRY: Final = RetryPolicy(first_s=5, factor=2, longest_s=120)
"""The internet may be away for hours: the job goes on there, and is asked about again here."""
LINES_TOLD: Final = 1000
"""Of a job's log; as many as Edge Impulse keeps."""


@dataclass(frozen=True, slots=True)
class TrainingUnderWay:
    """What is followed; kept on the disk, so that a restart goes on following it."""

    project: int
    job: int


TRAINING: Final = TypeAdapter(TrainingUnderWay)


class Trainer:
    """One training at a time."""

    def __init__(
        self,
        state: Remembered[TrainingUnderWay],
        rng: random.Random | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self._state = state
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._poll_s = poll_s

    def left_over(self) -> TrainingUnderWay | None:
        """Return the training that was followed when the service ended.

        Raises:
            StorageUnavailable: it cannot be read.
        """
        return self._state.read()

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
                number = studio.start_training(project, impulse)
            else:
                number = active.id
                job.step(f"a training runs already: following job {number}")
            self._state.write(TrainingUnderWay(project, number))
            return self._follow(job, studio, project, number)
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
            return self._follow(job, studio, under_way.project, under_way.job)
        finally:
            studio.close()

    def _follow(self, job: Job, studio: Studio, project: int, number: int) -> Details:
        told: set[LogLine] = set()
        failures = 0
        last = ""
        while True:
            try:
                now, lines = self._look(studio, project, number)
            except CloudUnavailable as error:
                failures += 1
                self._pause(job, studio, project, number, self._delay(error, failures))
                job.step(f"{error}; trying again")
                continue
            except CloudRejected:  # the job is gone, or the key
                self._state.forget()
                raise
            failures = 0
            for line in lines:
                if line not in told and line.text.strip():
                    told.add(line)
                    last = line.text.strip()
                    job.step(last)
            if now.state.ended:
                self._state.forget()
                if now.state is TrainingState.FAILED:
                    raise CloudRejected(f"the training failed: {last or 'no reason was given'}")
                job.text = f"job {number} is done"
                return {"training": number}
            if not lines:
                job.step(f"job {number} is {now.state.value}")
            self._pause(job, studio, project, number, self._poll_s)

    def _look(
        self, studio: Studio, project: int, number: int
    ) -> tuple[TrainingJob, tuple[LogLine, ...]]:
        """Return how a job stands and what it said; the state first, so that no line is missed."""
        now = studio.training(project, number)
        return now, studio.training_log(project, number)[-LINES_TOLD:]

    def _delay(self, error: CloudUnavailable, failures: int) -> float:
        delay = RETRY.delay(failures, self._rng)
        return delay if error.retry_after_s is None else max(delay, error.retry_after_s)

    def _pause(self, job: Job, studio: Studio, project: int, number: int, seconds: float) -> None:
        try:
            job.wait(seconds)
        except Cancelled:
            if not job.service_ends:  # else it goes on there, and is taken up at the next start
                studio.cancel_training(project, number)
                self._state.forget()
            raise
