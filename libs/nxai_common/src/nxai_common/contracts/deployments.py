"""Which imported models run where: what shall be, and how it goes.

cloud-sync owns both. The manager makes the first a part of the configurations, as it does with
settings.json, so that each service still has one document with all that it shall do.
"""

import enum
from datetime import datetime
from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from nxai_common.contracts import topics
from nxai_common.contracts.base import Message, Policy, Value
from nxai_common.contracts.collecting import Fraction
from nxai_common.contracts.models import Digest
from nxai_common.contracts.topics import Level


class DeployedModel(Value):
    """One imported model that shall run."""

    model: Level
    """Its name in topics; stays the same over all its versions."""
    name: str = ""
    cameras: tuple[Level, ...] = ()
    digest: Digest
    """The version in force."""
    candidate: Digest | None = None
    """The version that is tried beside it."""
    candidate_model: Level | None = None
    """Name under which the candidate runs meanwhile."""
    threshold: Fraction | None = None
    """Lowest confidence of a detection; None: as the project says."""

    @model_validator(mode="after")
    def _check_candidate(self) -> Self:
        if (self.candidate is None) != (self.candidate_model is None):
            raise ValueError("candidate and candidate_model belong together")
        return self


class Deployments(Message):
    """Desired state of all imported models."""

    template: ClassVar = topics.DEPLOYMENTS
    policy: ClassVar = Policy.STATE

    service: Literal["cloud-sync"] = "cloud-sync"
    revision: str
    models: tuple[DeployedModel, ...] = ()


class Phase(enum.StrEnum):
    """Where a deployed model stands."""

    STARTING = "starting"
    """Put in force; inference has not said yet that it runs."""
    RUNNING = "running"
    SHADOW = "shadow"
    """Runs, and a new version is tried beside it."""
    PROBATION = "probation"
    """A new version was put in force and is watched."""
    FAILED = "failed"
    """Cannot run, and there is nothing to go back to."""


class LabelCounts(Value):
    """How often a label was found by each of the two, in the same frames."""

    label: str
    before: NonNegativeInt = 0
    after: NonNegativeInt = 0


class ShadowReport(Value):
    """Two versions on the same live frames."""

    frames: NonNegativeInt = 0
    """Frames that both looked at."""
    agreeing: NonNegativeInt = 0
    """Frames in which both found the same: as many of each label, in the same places."""
    labels: tuple[LabelCounts, ...] = ()
    labels_added: tuple[str, ...] = ()
    """Labels that only the new version has."""
    labels_removed: tuple[str, ...] = ()
    matched: NonNegativeInt = 0
    """Objects that both found."""
    only_before: NonNegativeInt = 0
    only_after: NonNegativeInt = 0
    confidence_shift: float = 0.0
    """Mean of new minus old confidence over the objects that both found."""
    engine_ms_before: float | None = None
    engine_ms_after: float | None = None
    """Median of a run."""
    load_before: float | None = None
    load_after: float | None = None
    """Time that the runs need of the time there is, at the cameras' rate; above 1 frames are
    left out."""
    errors: NonNegativeInt = 0
    """Frames that the new version could not look at."""

    @property
    def agreement(self) -> float:
        """Share of the frames in which both found the same; 0 without a frame."""
        return self.agreeing / self.frames if self.frames else 0.0


class Version(Value):
    """One version of a model, for a person."""

    digest: Digest
    version: str = ""
    created_at: datetime | None = None
    """When Edge Impulse trained it."""


class Deployment(Message):
    """Reported state of one deployed model."""

    template: ClassVar = topics.DEPLOYMENT
    policy: ClassVar = Policy.STATE
    cloud_event: ClassVar = "io.nxai-edge.deployment.v1"

    model: Level
    name: str = ""
    cameras: tuple[Level, ...] = ()
    phase: Phase
    reason: str = ""
    """Why it is as it is: a roll-back, a failure."""
    since: datetime
    installed: Version
    """In force, as inference reports it."""
    latest: Version | None = None
    """The newest one that was imported."""
    offered: str = ""
    """A newer version that the project has and the box has not; empty: none is known."""
    candidate: Version | None = None
    progress: Fraction = Field(default=0.0)
    """Of the trial."""
    report: ShadowReport | None = None
    """Of the trial under way or of the last one."""
    promotable: bool = False
    """The trial under way has seen enough, and its outcome keeps the rules."""
