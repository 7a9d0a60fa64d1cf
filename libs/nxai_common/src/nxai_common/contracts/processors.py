"""External processors: programs that look at each result before it goes out.

A processor publishes its manifest (retained), receives `Work` and answers with `Done` on time.
One that is late or gone costs a bounded wait, then nothing: the result goes out as it was.
"""

from typing import Annotated, ClassVar, Final

from pydantic import Field

from nxai_common.contracts import topics
from nxai_common.contracts.base import Message, Policy, Value
from nxai_common.contracts.outputs import ObjectFound
from nxai_common.contracts.topics import Level

MOST_OBJECTS: Final = 10_000
"""In an answer; no picture shows more."""
WorkId = Annotated[str, Field(pattern=r"^[0-9a-z-]{1,64}$")]
LARGEST: Final = 2**53
"""Beyond, programs that read JSON numbers as floating point see another number."""
SettingValue = (
    bool
    | Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
    | Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
    | Annotated[str, Field(max_length=10_000)]
    | None
)


class ProcessorManifest(Message):
    """What a processor is. It clears this when it goes, or lets its will do so."""

    template: ClassVar = topics.PROCESSOR
    policy: ClassVar = Policy.STATE

    processor: Level
    name: str = ""
    version: str = ""
    description: str = ""
    labels: tuple[str, ...] = ()
    """Of objects that it may add."""
    settings: dict[str, SettingValue] = Field(default_factory=dict)
    """What it can be told, with the value it takes when it is told nothing."""


class Work(Message):
    """One result for a processor to look at."""

    template: ClassVar = topics.WORK
    policy: ClassVar = Policy.STREAM

    processor: Level
    id: WorkId
    """To be repeated in the answer."""
    camera: Level
    camera_name: str = ""
    model: Level
    stream: str
    sequence: int
    timestamp_ms: int
    """Of the picture."""
    picture_width: int
    picture_height: int
    objects: tuple[ObjectFound, ...] = ()
    scores: dict[str, float] = Field(default_factory=dict)
    settings: dict[str, SettingValue] = Field(default_factory=dict)
    """As settings.json says, for this processor alone."""


class ProcessedObject(Value):
    """An object as a processor wants it, in 0..1 of the picture."""

    label: Annotated[str, Field(min_length=1, max_length=200)]
    confidence: float = Field(default=1.0, ge=0, le=1)
    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)
    width: float = Field(ge=0, le=1)
    height: float = Field(ge=0, le=1)


class Done(Message):
    """What a processor makes of a result."""

    template: ClassVar = topics.DONE
    policy: ClassVar = Policy.STREAM

    processor: Level
    id: WorkId
    objects: Annotated[tuple[ProcessedObject, ...], Field(max_length=MOST_OBJECTS)] | None = None
    """All that shall count, instead of what the model found; None: as it was."""


class ProcessorOptions(Value):
    """A processor that results go through."""

    id: Level
    """As its manifest says."""
    enabled: bool = True
    cameras: tuple[Level, ...] = ()
    """Whose results; empty: all."""
    timeout_ms: float = Field(default=200, gt=0, le=5000)
    """A result waits so long at most. One late three times in a row is left alone for a while."""
    settings: dict[str, SettingValue] = Field(default_factory=dict)
