"""What inference found in a frame."""

from typing import ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt

from nxai_common.contracts import topics
from nxai_common.contracts.base import AttachedMessage, Policy, TraceParent, Value
from nxai_common.contracts.frames import Transform
from nxai_common.contracts.models import Task
from nxai_common.contracts.topics import Level
from nxai_common.errors import InvalidPayload


class Box(Value):
    """A rectangle in pixels, origin top left. In `Detection.box`: of the original picture."""

    x: float
    y: float
    width: float = Field(ge=0)
    height: float = Field(ge=0)


class Detection(Value):
    """One object."""

    label: str
    confidence: float
    box: Box
    """In pixels of the original picture, clamped to it, not rounded."""
    model_box: tuple[int, int, int, int]
    """x, y, width, height in model pixels: the integers that Edge Impulse's own SDK gives."""


class Classification(Value):
    """The probability of one label for the whole picture."""

    label: str
    confidence: float


class Tensor(Value):
    """Describes one raw output; its values lie in the attachment as little-endian float32."""

    name: str
    shape: tuple[NonNegativeInt, ...]
    offset: NonNegativeInt
    """First byte in the attachment."""
    length: NonNegativeInt
    """Bytes in the attachment."""


class InputImage(Value):
    """Where the model's input pixels lie in the attachment (uint8 HWC), for doubtful frames."""

    width: PositiveInt
    height: PositiveInt
    channels: PositiveInt
    offset: NonNegativeInt
    length: NonNegativeInt


class CollectReason(Value):
    """Why the picture of a result is worth keeping for retraining."""

    strategy: str
    """Which rule asked for it: `uncertain`, `margin`, `interval` ..."""
    reason: str
    """In plain words, with the numbers."""
    value: float = Field(default=0.0, ge=0, le=1)
    """How much a person's look at it is worth; what is worth least is dropped first."""


class Timing(Value):
    """Milliseconds spent, measured by the inference process."""

    queue_ms: float = 0.0
    """From decoding the picture to taking the frame in hand."""
    engine_ms: float = 0.0
    decode_ms: float = 0.0
    """From raw tensors to detections."""


class InferenceResult(AttachedMessage):
    """What one model found in one frame; for capture it is the credit for the next frame."""

    template: ClassVar = topics.RESULT
    policy: ClassVar = Policy.RELIABLE

    camera: Level
    input: Level
    model: Level
    model_name: str = ""
    model_version: str = ""
    model_digest: str = ""
    task: Task
    worker: Level
    """Instance of the inference service."""
    stream: str
    sequence: NonNegativeInt
    captured_at_us: int
    width: PositiveInt
    height: PositiveInt
    channels: PositiveInt
    source_width: PositiveInt
    source_height: PositiveInt
    transform: Transform
    labels: tuple[str, ...]
    """All labels of the model, so that a count of zero can be told."""
    detections: tuple[Detection, ...] = ()
    classifications: tuple[Classification, ...] = ()
    uncertain: bool = False
    """The documented rule (`UncertainRule`), whether pictures are collected or not."""
    uncertain_reason: str = ""
    collect: CollectReason | None = None
    """Set when capture shall keep the full-size picture; see `CollectStrategy`."""
    shadow_of: str = ""
    """The model that this one is tried beside: the result is for the comparison alone, and no
    output shows it. Empty: a model in force."""
    test: str = ""
    """As in the frame: no output but topic `test` shows it, nor does the data logger keep it."""
    returns_credit: bool = True
    """True on the last result of a frame: capture may send another."""
    error: str = ""
    """Why the model could not look at this frame; such a result still returns the credit."""
    traceparent: TraceParent = ""
    timing: Timing = Timing()
    tensors: tuple[Tensor, ...] = ()
    image: InputImage | None = None

    def check(self) -> None:
        """Refuse descriptors that point outside the attachment."""
        size = len(self.attachment)
        parts: list[Tensor | InputImage] = [*self.tensors]
        if self.image is not None:
            parts.append(self.image)
        for part in parts:
            if part.offset + part.length > size:
                raise InvalidPayload(
                    f"result {self.sequence} of camera {self.camera!r} describes bytes "
                    f"{part.offset}..{part.offset + part.length} but carries {size}"
                )
