"""Pictures kept for retraining, with the reason."""

from typing import ClassVar

from pydantic import NonNegativeInt, PositiveInt

from nxai_common.contracts import topics
from nxai_common.contracts.base import AttachedMessage, Policy
from nxai_common.contracts.results import Detection
from nxai_common.contracts.topics import Level


class Sample(AttachedMessage):
    """A full-size JPEG of a frame that a model was unsure of (masks burned in)."""

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
    reason: str
    detections: tuple[Detection, ...] = ()
