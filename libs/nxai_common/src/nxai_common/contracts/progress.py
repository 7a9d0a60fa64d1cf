"""How long jobs go on: what a command started and has not ended yet."""

import enum
from datetime import datetime
from typing import ClassVar

from pydantic import Field, NonNegativeInt

from nxai_common.contracts import topics
from nxai_common.contracts.base import Message, Policy
from nxai_common.contracts.topics import Level


class JobState(enum.StrEnum):
    """Life of a job."""

    WAITING = "waiting"
    """Behind another one, or for the next try."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self in (JobState.DONE, JobState.FAILED)


class Progress(Message):
    """One step of a job."""

    template: ClassVar = topics.PROGRESS
    policy: ClassVar = Policy.RELIABLE
    cloud_event: ClassVar = "io.nxai-edge.progress.v1"

    service: Level
    job: str
    """As the answer to the command said it."""
    command: str
    state: JobState
    text: str = ""
    """What happens now, a log line, or why it failed."""
    done: NonNegativeInt = 0
    total: NonNegativeInt = 0
    """0: not known."""
    at: datetime
    details: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    """With the last step: what came of it."""

    def occurrence(self) -> str:
        """Return the step of the job."""
        return f"{self.job}-{self.state}-{self.done}-{self.at.isoformat()}"

    def occurred_at(self) -> datetime:
        """Return when the step was made."""
        return self.at
