"""What a service is really doing (retained, and the will)."""

import enum
from datetime import datetime
from typing import ClassVar

from pydantic import Field

from nxai_common.contracts import topics
from nxai_common.contracts.base import Message, Policy, Value
from nxai_common.contracts.topics import Level


class ServiceState(enum.StrEnum):
    """Life of a service."""

    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    """Running, with `problems`."""
    STOPPED = "stopped"
    """Said goodbye."""
    OFFLINE = "offline"
    """The broker says so: the connection broke."""


class Problem(Value):
    """Something a person should know: what, why, what to do."""

    about: str
    """`camera front`, `model m5-nut`, `configuration`, `disk` ..."""
    reason: str


class LinkState(enum.StrEnum):
    """State of one camera's connection."""

    DISABLED = "disabled"
    CONNECTING = "connecting"
    RUNNING = "running"
    WAITING = "waiting"
    """Failed; waiting before the next try."""
    ENDED = "ended"
    """A file or folder played once came to its end."""


class CameraStatus(Value):
    """One camera, as capture sees it."""

    camera: Level
    state: LinkState
    reason: str = ""
    """Plain words: `401: check user and password`."""
    since: datetime
    width: int | None = None
    height: int | None = None
    fps: float = 0.0
    """Decoded pictures a second, over the last heartbeat."""
    codec: str = ""
    transport: str = ""
    """RTSP over `tcp` or `udp`: what worked."""
    last_picture_at: datetime | None = None
    decoded: int = 0
    """Pictures that came to be looked at; each is then sent, dropped or skipped."""
    damaged: int = 0
    """What gave no picture: broken packets, files and payloads, videos that ended early."""
    replaced: int = 0
    """Pictures that a newer one replaced before they came to be looked at: not in `decoded`."""
    sent: int = 0
    dropped: int = 0
    """Decoded but not sent: newest wins, no credit left, or the broker away."""
    skipped: int = 0
    """Not sent on purpose: inference limit, or nothing changed in the picture."""
    credits_lost: int = 0
    """Frames whose result never came."""
    reconnects: int = 0
    stalls: int = 0
    models: tuple[Level, ...] = ()


class ModelStatus(Value):
    """One model, as inference sees it."""

    model: Level
    state: str
    """`loading`, `ready` or `failed`."""
    reason: str = ""
    wanted: str = ""
    """Path of the model file or package that the configuration asks for."""
    failed: str = ""
    """Why that one could not be loaded; empty while it loads and once it is in force."""
    digest: str = ""
    """Of the file in force, which may be an older one."""
    path: str = ""
    """Where the one in force was loaded from."""
    engine: str = ""
    engine_ms: float | None = None
    processed: int = 0
    errors: int = 0
    """Frames that it could not look at."""
    uncertain: int = 0


class Status(Message):
    """Sent at every change and as a heartbeat; the will says `offline`."""

    template: ClassVar = topics.STATUS
    policy: ClassVar = Policy.STATE
    cloud_event: ClassVar = "io.nxai-edge.status.v1"
    expires_after_s: ClassVar = 86_400  # the status of a scrapped worker vanishes after a day

    service: Level
    """Instance: `capture`, `inference`, `inference-2` ..."""
    role: Level
    """`capture`, `inference`, `publisher`, `manager` ..."""
    state: ServiceState
    version: str = ""
    at: datetime
    started_at: datetime
    pid: int = 0
    host: str = ""
    configuration_revision: str = ""
    """Revision in force, as the service applied it."""
    problems: tuple[Problem, ...] = ()
    counters: dict[str, int | float] = Field(default_factory=dict)
    """Ever-growing counts: received, sent, dropped, rejected ..."""
    gauges: dict[str, int | float] = Field(default_factory=dict)
    """What is now: `memory_mb`, `disk_free_mb`, what waits in which queue ..."""
    cameras: tuple[CameraStatus, ...] = ()
    models: tuple[ModelStatus, ...] = ()

    def occurrence(self) -> str:
        """Return the moment that it is of, in the life of one process."""
        return f"{self.host}-{self.pid}-{self.at.isoformat()}-{self.state}"

    def occurred_at(self) -> datetime:
        """Return the moment that it is of."""
        return self.at
