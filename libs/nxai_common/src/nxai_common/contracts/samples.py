"""Pictures kept for retraining, with the reason."""

from typing import ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt

from nxai_common.contracts import topics
from nxai_common.contracts.base import AttachedMessage, Policy
from nxai_common.contracts.models import Task
from nxai_common.contracts.results import Classification, Detection
from nxai_common.contracts.topics import Level


class Sample(AttachedMessage):
    """A full-size JPEG of a frame that is worth a person's look (masks burned in)."""

    template: ClassVar = topics.SAMPLE
    policy: ClassVar = Policy.RELIABLE

    camera: Level
    stream: str
    sequence: NonNegativeInt
    captured_at_us: int
    width: PositiveInt
    height: PositiveInt
    model: Level
    model_version: str = ""
    model_digest: str = ""
    task: Task | None = None
    labels: tuple[str, ...] = ()
    """All labels of the model, for the person who corrects the boxes."""
    strategy: str = "uncertain"
    """Which rule asked for the picture; see `CollectStrategy`."""
    reason: str
    value: float = Field(default=0.0, ge=0, le=1)
    """How much a person's look is worth; what is worth least is dropped first."""
    detections: tuple[Detection, ...] = ()
    classifications: tuple[Classification, ...] = ()
