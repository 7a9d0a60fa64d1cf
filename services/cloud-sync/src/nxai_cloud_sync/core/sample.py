"""One collected picture: what is known of it, and what becomes of it."""

import enum
from dataclasses import dataclass
from datetime import datetime


class SampleState(enum.StrEnum):
    """Where a picture stands.

    New, then approved or discarded; approved, uploading, uploaded or failed. What failed or was
    discarded may be approved again.
    """

    NEW = "new"
    APPROVED = "approved"
    DISCARDED = "discarded"
    UPLOADING = "uploading"
    """In a request that was begun. After a crash it is `approved` again: the far side knows the
    picture by its content, so nothing is doubled."""
    UPLOADED = "uploaded"
    FAILED = "failed"
    """The far side refused it for good; a person may approve it again."""


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """A rectangle in pixels of the picture, origin top left."""

    label: str
    x: float
    y: float
    width: float
    height: float
    confidence: float | None = None
    """Of a prediction; None: a person drew or confirmed it."""


@dataclass(frozen=True, slots=True)
class NewSample:
    """A picture that was decided to be kept."""

    camera: str
    stream: str
    sequence: int
    captured_at_us: int
    stored_at_us: int
    width: int
    height: int
    model: str
    model_version: str
    model_digest: str
    labels: tuple[str, ...]
    """All labels of the model."""
    strategy: str
    reason: str
    value: float
    """0..1; see `CollectReason.value`."""
    predictions: tuple[LabelledBox, ...]
    scores: tuple[tuple[str, float], ...]
    """Of a classifier: label and probability."""
    hash: int
    """64-bit perceptual hash."""
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A kept picture, without its pixels."""

    id: str
    """`{camera}-{utc time}-{random}`: sorts by time, is a file name anywhere."""
    camera: str
    captured_at_us: int
    stored_at_us: int
    width: int
    height: int
    bytes: int
    model: str
    model_version: str
    model_digest: str
    labels: tuple[str, ...]
    strategy: str
    reason: str
    value: float
    predictions: tuple[LabelledBox, ...]
    scores: tuple[tuple[str, float], ...]
    state: SampleState
    state_reason: str = ""
    """Why it failed, or who discarded it."""
    attempts: int = 0
    boxes: tuple[LabelledBox, ...] | None = None
    """What a person confirmed; None: nobody did."""
    remote_id: int | None = None
    """Of the sample at Edge Impulse."""
    uploaded_at_us: int | None = None
    duplicate: bool = False
    """The far side had it already."""

    @property
    def file_name(self) -> str:
        """Name of the picture at Edge Impulse and on the disk."""
        return f"{self.id}.jpg"


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """Which pictures; what is left empty fits all."""

    state: str = ""
    camera: str = ""
    label: str = ""
    strategy: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SamplePage:
    """A part of a list."""

    samples: tuple[StoredSample, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What the store holds."""

    pictures: int
    bytes: int
    by_state: dict[str, int]
    dropped: int
    """Removed for want of room or for age, ever; only what had not been uploaded."""
