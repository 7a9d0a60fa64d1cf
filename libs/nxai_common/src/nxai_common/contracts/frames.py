"""Frames (exactly the pixels a model reads), previews, and pictures pushed from outside."""

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from nxai_common.contracts import topics
from nxai_common.contracts.base import (
    MAX_PAYLOAD_BYTES,
    AttachedMessage,
    Policy,
    RawMessage,
    TraceParent,
    Value,
)
from nxai_common.contracts.topics import Level
from nxai_common.errors import InvalidPayload

MAX_SIDE = 4096
"""Longest side of a model input; 4096 x 4096 x 3 is beyond what any bus should carry."""

MAX_PIXEL_BYTES = MAX_PAYLOAD_BYTES - 65_536
"""Of a frame; the rest is for its JSON line, a hundred bytes a model."""


class Transform(Value):
    """Maps model pixels back to the original picture: ``original = model * scale + offset``.

    Both sides measure in pixels from the top left corner of the picture, edges (not pixel
    centres) as coordinates, x and y apart, so that all three resize modes are of one kind.
    """

    scale_x: float = Field(gt=0)
    scale_y: float = Field(gt=0)
    offset_x: float = 0.0
    offset_y: float = 0.0


class Frame(AttachedMessage):
    """One picture, resized for one kind of input; the attachment is its raw uint8 HWC pixels."""

    template: ClassVar = topics.FRAME
    policy: ClassVar = Policy.LATEST
    depth: ClassVar = 16
    """Credits bound the frames on their way, to 2 a worker and camera, 16 for files read without
    loss. With a depth of 1 the bus would drop a frame that had been paid for whenever a worker
    takes its next frame a moment late, and its credit would be missing for seconds."""

    camera: Level
    input: Level
    """`InputSpec.id` of the pixels."""
    models: tuple[Level, ...]
    """Models that shall look at this frame."""
    stream: str
    """Names one run of one camera: (camera, stream, sequence) is unique for ever."""
    sequence: NonNegativeInt
    """Counts the decoded pictures of the stream, so that gaps show dropped ones."""
    captured_at_us: int
    """Unix microseconds at which the picture was decoded."""
    width: PositiveInt = Field(le=MAX_SIDE)
    height: PositiveInt = Field(le=MAX_SIDE)
    channels: Literal[1, 3]
    source_width: PositiveInt
    source_height: PositiveInt
    transform: Transform
    test: str = ""
    """Of the `TriggerCamera` that asked for it; what comes of it is for the asker alone."""
    traceparent: TraceParent = ""

    def check(self) -> None:
        """Refuse a frame whose byte count is not its shape."""
        expected = self.width * self.height * self.channels
        if len(self.attachment) != expected:
            raise InvalidPayload(
                f"frame {self.sequence} of camera {self.camera!r} says "
                f"{self.width}x{self.height}x{self.channels} = {expected} bytes "
                f"but carries {len(self.attachment)}"
            )


class Preview(RawMessage):
    """A JPEG of a camera, only while somebody watches.

    Its first comment (JPEG marker COM) is JSON that tells which frame it shows, so that boxes can
    be drawn on the very picture they belong to: ``{"stream", "sequence", "captured_at_us", "width",
    "height"}``, width and height of the original picture.
    """

    template: ClassVar = topics.PREVIEW
    policy: ClassVar = Policy.LATEST

    camera: Level


class Picture(RawMessage):
    """A JPEG or PNG pushed to a camera of type `push` by another program."""

    template: ClassVar = topics.PICTURE
    policy: ClassVar = Policy.STREAM

    camera: Level
