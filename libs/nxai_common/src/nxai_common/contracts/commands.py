"""Requests to a service; the answer goes to the MQTT 5 response topic of the request."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from nxai_common.contracts import topics
from nxai_common.contracts.base import AttachedMessage, Message, Policy
from nxai_common.contracts.topics import Level


class Command(Message):
    """Base of all commands: `services/{service}/command/{name}`."""

    template: ClassVar = topics.COMMAND
    policy: ClassVar = Policy.STREAM

    service: Level
    name: Level


class WatchCamera(Command):
    """Send previews of a camera for a while; ask again to go on watching."""

    service: Literal["capture"] = "capture"
    name: Literal["watch"] = "watch"
    camera: Level
    seconds: float = Field(default=10, gt=0, le=60)
    fps: float = Field(default=5, gt=0, le=30)
    max_width: PositiveInt = 960


class TakeSnapshot(Command):
    """Answer with a full-size JPEG of the newest picture, or of one frame still in the ring."""

    service: Literal["capture"] = "capture"
    name: Literal["snapshot"] = "snapshot"
    camera: Level
    stream: str | None = None
    sequence: int | None = None
    publish: bool = False
    """Also publish it, retained, on the camera's `snapshot` topic."""


class TriggerCamera(Command):
    """Send one frame to inference now, whatever the limits say."""

    service: Literal["capture"] = "capture"
    name: Literal["trigger"] = "trigger"
    camera: Level


class Reply(AttachedMessage):
    """Answer to a command; travels on the response topic of the request, not on its own."""

    template: ClassVar = topics.COMMAND  # never used to build a topic
    policy: ClassVar = Policy.STREAM

    ok: bool
    reason: str = ""
    """Why not, in plain words."""
    details: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
