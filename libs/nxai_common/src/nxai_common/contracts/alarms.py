"""Alarms: a rule over what a camera sees, and the message when it holds."""

import enum
from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from nxai_common.contracts import topics
from nxai_common.contracts.base import Message, Policy, Value
from nxai_common.contracts.collecting import Fraction
from nxai_common.contracts.geometry import Polygon
from nxai_common.contracts.outputs import ObjectFound
from nxai_common.contracts.topics import Level

DAY_S: Final = 86_400
MOST_OBJECTS: Final = 100_000
"""More than any model finds."""


class AlarmRule(Value):
    """When to raise an alarm."""

    id: Level
    name: str = ""
    """For people; the id when left out."""
    enabled: bool = True
    cameras: tuple[Level, ...] = ()
    """Those it watches, each by itself; empty: all."""
    labels: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    """Objects that count, together; empty: all."""
    min_confidence: Fraction = 0.0
    area: Polygon | None = None
    """Only objects in it count: those whose lower edge has its middle there. None: everywhere."""
    compare: Literal["at-least", "at-most"] = "at-least"
    """at-most with `count` 0: when nothing is there (any more)."""
    count: int = Field(default=1, ge=0, le=MOST_OBJECTS)
    for_s: float = Field(default=0, ge=0, le=DAY_S)
    """It must hold for so long."""
    clear_after_s: float = Field(default=2, ge=0, le=DAY_S)
    """Breaks that are shorter do not count, neither before an alarm nor at its end."""
    again_every_s: float = Field(default=0, ge=0, le=DAY_S)
    """Tell again while it holds; 0: only at the start and at the end."""
    picture: bool = True
    """Publish a picture of the frame on the camera's `snapshot` topic when it starts, unless the
    camera publishes none at all (`snapshots`)."""


class AlarmPhase(enum.StrEnum):
    """Where in its life an alarm is."""

    START = "start"
    AGAIN = "again"
    END = "end"


class Alarm(Message):
    """A rule holds, still holds, holds no more; one id from start to end."""

    template: ClassVar = topics.ALARM
    policy: ClassVar = Policy.RELIABLE
    cloud_event: ClassVar = "io.nxai-edge.alarm.v1"

    alarm: AlarmPhase
    id: str
    rule: Level
    rule_name: str = ""
    device: Level
    camera: Level
    camera_name: str = ""
    model: Level
    timestamp: datetime
    timestamp_ms: int
    started_at: datetime
    duration_s: float
    count: int
    """Objects that the rule counts now."""
    counts: dict[str, int] = Field(default_factory=dict)
    """Of those, per label."""
    objects: tuple[ObjectFound, ...] = ()
    """Those that count, at the start; empty later."""
    stream: str = ""
    sequence: int = 0
    """The frame."""
    picture: bool = False
    """Capture shall publish its picture."""

    def occurrence(self) -> str:
        """Return the alarm and its phase; it may be told again many times."""
        often = f"-{self.timestamp_ms}" if self.alarm is AlarmPhase.AGAIN else ""
        return f"{self.id}-{self.alarm}{often}"

    def occurred_at(self) -> datetime:
        """Return when it was seen."""
        return self.timestamp
