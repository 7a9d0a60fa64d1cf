"""What the world outside reads: flat JSON for Node-RED, the Nx output object, raw JPEG.

Coordinates are 0..1 of the original picture, with pixels beside them; time is ISO 8601 UTC
and Unix milliseconds.
"""

import enum
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nxai_common.contracts import topics
from nxai_common.contracts.base import Message, Policy, RawMessage, Value, explain
from nxai_common.contracts.topics import Level
from nxai_common.errors import InvalidPayload


class ObjectFound(Value):
    """One object of `Detections`."""

    label: str
    confidence: float
    x: float
    y: float
    width: float
    height: float
    """x, y, width, height: 0..1 of the original picture, origin top left."""
    x_px: int
    y_px: int
    width_px: int
    height_px: int


class Detections(Message):
    """Every processed frame, flat."""

    template: ClassVar = topics.DETECTIONS
    policy: ClassVar = Policy.STREAM
    cloud_event: ClassVar = "io.nxai-edge.detections.v1"

    timestamp: datetime
    timestamp_ms: int
    device: Level
    camera: Level
    camera_name: str = ""
    model: Level
    model_name: str = ""
    model_version: str = ""
    stream: str
    sequence: int
    picture_width: int
    picture_height: int
    count: int
    counts: dict[str, int]
    """Objects per label; every label of the model is there, zero included."""
    objects: tuple[ObjectFound, ...] = ()
    scores: dict[str, float] = Field(default_factory=dict)
    """Probability per label of a classification model."""
    uncertain: bool = False
    latency_ms: float
    """From the decoded picture to this message."""
    inference_ms: float

    def occurrence(self) -> str:
        """Return the frame and the model."""
        return f"{self.stream}-{self.sequence}-{self.model}"

    def occurred_at(self) -> datetime:
        """Return when the picture was decoded."""
        return self.timestamp


class HeldAlarm(Value):
    """An alarm that holds, for whoever came after its start was told."""

    id: str
    rule: Level
    rule_name: str = ""
    model: Level
    started_at: datetime


class CameraState(Message):
    """What a camera sees now: on change and as a heartbeat; retained."""

    template: ClassVar = topics.STATE
    policy: ClassVar = Policy.STATE
    cloud_event: ClassVar = "io.nxai-edge.camera-state.v1"

    timestamp: datetime
    timestamp_ms: int
    device: Level
    camera: Level
    camera_name: str = ""
    count: int
    counts: dict[str, int]
    present: dict[str, bool]
    """Whether an event of that label is under way (steadier than a count)."""
    alarms: tuple[HeldAlarm, ...] = ()
    """Those that hold; none is told again by `alarms` for who begins to listen."""
    last_detection: datetime | None = None
    fps: float = 0.0
    """Results a second, over the last heartbeat."""
    latency_ms: float = 0.0
    """From the decoded picture to the outputs: mean since the last heartbeat."""
    latency_p50_ms: float = 0.0
    """Half of the pictures took no longer."""
    latency_p95_ms: float = 0.0
    """19 of 20 pictures took no longer."""
    uncertain: int = 0
    """Uncertain frames since the start."""

    def occurrence(self) -> str:
        """Return the moment that it is of."""
        return self.timestamp.isoformat()

    def occurred_at(self) -> datetime:
        """Return the moment that it is of."""
        return self.timestamp


class Outgoing(Value):
    """A message that would be sent."""

    topic: str
    payload: str
    """Letter for letter."""


class Rehearsal(Message):
    """What came of the frame of a test: all that would be sent, to be looked at."""

    template: ClassVar = topics.TEST
    policy: ClassVar = Policy.STREAM

    camera: Level
    test: str
    model: Level
    stream: str
    sequence: int
    picture_width: int
    picture_height: int
    latency_ms: float
    inference_ms: float
    error: str = ""
    """Why the model could not look at the frame."""
    messages: tuple[Outgoing, ...] = ()


class EventPhase(enum.StrEnum):
    """Where in its life an event is."""

    START = "start"
    UPDATE = "update"
    END = "end"


class Event(Message):
    """Objects of one label came, are there, went; one id from start to end."""

    template: ClassVar = topics.EVENT
    policy: ClassVar = Policy.RELIABLE
    cloud_event: ClassVar = "io.nxai-edge.event.v1"

    event: EventPhase
    id: str
    device: Level
    camera: Level
    camera_name: str = ""
    model: Level
    label: str
    timestamp: datetime
    timestamp_ms: int
    started_at: datetime
    duration_s: float
    count: int
    max_count: int
    confidence: float
    """Highest so far."""

    def occurrence(self) -> str:
        """Return the event and its phase; of updates there are many."""
        often = f"-{self.timestamp_ms}" if self.event is EventPhase.UPDATE else ""
        return f"{self.id}-{self.event}{often}"

    def occurred_at(self) -> datetime:
        """Return when it was seen."""
        return self.timestamp


class Snapshot(RawMessage):
    """JPEG of the last event of a camera; retained for a day so that a scrapped box vanishes."""

    template: ClassVar = topics.SNAPSHOT
    policy: ClassVar = Policy.STATE
    expires_after_s: ClassVar = 86_400

    camera: Level


class NxOutput(BaseModel):
    """One result as the Nx AI Manager prints it, field for field, in its order.

    The payload of topic `output` is a JSON array of these. Source of each field:
    Nx AI Manager, generation A (v2.3 to 3.1), data logger and HTTP output.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    deviceId: str  # noqa: N815 - their name
    modelId: str  # noqa: N815 - their name
    sourceId: str  # noqa: N815 - their name
    """`input-0` and up: index of the camera."""
    sourceName: str  # noqa: N815 - their name
    """The camera's name, as the user gave it."""
    outputType: str = "json"  # noqa: N815 - their name
    outputFormat: str = "namedObject"  # noqa: N815 - their name
    outputDims: list[list[int]]  # noqa: N815 - their name
    outputDataTypes: list[int]  # noqa: N815 - their name
    """ONNX TensorProto codes; 1 is float32."""
    output: dict[str, Any] | list[Any]
    """Tensor name to flat, row-major values (`namedObject`), or the values in graph order
    (`orderedArray`)."""
    timestamp: int
    """Unix milliseconds."""
    sourceDate: str = ""  # noqa: N815 - their name
    uncertain: int = Field(default=0, ge=0, le=1)
    baseRGB: str = ""  # noqa: N815 - their name
    """Base64 of the raw interleaved RGB of the model's input, or empty when certain."""
    h: int
    w: int
    c: int
    """Size of the picture in `baseRGB`."""


class Output(Message):
    """Results of one camera as the Nx AI Manager prints them: a JSON array, nothing around it.

    The camera is in the topic alone. Tensor values may be one-dimensional, C-contiguous numpy
    arrays of float32: they are printed with the fewest digits that give the same float32 back
    (0.9991597, as Nx prints it), and NaN as null.
    """

    template: ClassVar = topics.OUTPUT
    policy: ClassVar = Policy.STREAM
    cloud_event: ClassVar = "io.nxai-edge.output.v1"

    camera: Level
    entries: tuple[NxOutput, ...]

    def occurrence(self) -> str:
        """Return the first and the last result in it."""
        if len(self.entries) == 1:
            return f"{self.entries[0].modelId}-{self.entries[0].timestamp}"
        ends = (*self.entries[:1], *self.entries[-1:])
        return "-".join(f"{entry.modelId}-{entry.timestamp}" for entry in ends)

    def occurred_at(self) -> datetime | None:
        """Return when the last picture was decoded."""
        if not self.entries:
            return None
        return datetime.fromtimestamp(self.entries[-1].timestamp / 1000, UTC)

    def encode(self) -> bytes:
        """Return the JSON array (orjson: pydantic would print every value of a tensor alone)."""
        return orjson.dumps(
            [entry.__dict__ for entry in self.entries], option=orjson.OPT_SERIALIZE_NUMPY
        )

    @classmethod
    def decode(cls, topic: str, payload: bytes) -> Self:
        """Return the message in `payload`; tensor values come back as lists of float.

        Raises:
            InvalidPayload: another topic, or not an array of such objects.
        """
        levels = cls.template.parse(topic)
        if levels is None:
            raise InvalidPayload(f"{topic!r} is not a topic of {cls.__name__}")
        try:
            entries = _NX_OUTPUTS.validate_json(payload)
        except ValidationError as error:
            raise InvalidPayload(f"{cls.__name__} on {topic!r}: {explain(error)}") from error
        return cls(camera=levels["camera"], entries=entries)


_NX_OUTPUTS = TypeAdapter(tuple[NxOutput, ...])
