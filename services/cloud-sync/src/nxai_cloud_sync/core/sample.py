"""One collected picture: what is known of it, and what becomes of it."""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from nxai_common.contracts.samples import Sample
from nxai_common.errors import RejectedError


class SampleState(enum.StrEnum):
    """Where a picture stands.

    New, then approved or discarded; approved, uploading, uploaded or failed. What failed or was
    discarded may be approved again.
    """

    NEW = "new"
    APPROVED = "approved"
    DISCARDED = "discarded"
    UPLOADING = "uploading"
    """In a request that was begun. After a crash it is what it was before: the far side knows the
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
    """Found by the model or confirmed by a person."""
    strategy: str = ""
    since: datetime | None = None
    """Captured then or later."""
    until: datetime | None = None
    """Captured earlier."""


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


@dataclass(frozen=True, slots=True)
class SampleCounts:
    """How many pictures there are of what."""

    by_camera: dict[str, int]
    by_strategy: dict[str, int]
    last_day: dict[str, int]
    """Kept within the last 24 hours, by camera; removed ones too, as quotas count them."""
    today: dict[str, int]
    """Of those, the ones kept since midnight."""


END_OF_TIME_US: Final = 253_402_300_800_000_000
"""The year 10000, which no date can be written for."""
END_OF_NUMBERS: Final = 2**63
"""What a database keeps as a whole number."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
CAMERA_LETTERS: Final = 32
"""Of a camera in an id, so that it has 60 letters at most; the random part tells the rest."""


def sample_id(camera: str, captured_at_us: int, random: int) -> str:
    """Return the name of a picture: lower-case letters, digits and `-`, 64 at most.

    Args:
        camera: Its camera.
        captured_at_us: Unix microseconds, 0 to `END_OF_TIME_US`.
        random: 32 bits.
    """
    time = _EPOCH + timedelta(microseconds=captured_at_us)
    name = camera.replace("_", "-")[:CAMERA_LETTERS]
    return f"{name}-{time:%Y%m%dt%H%M%S}{time.microsecond // 1000:03d}-{random:08x}"


def new_sample(message: Sample, hash_: int, stored_at_us: int) -> NewSample:
    """Return what is kept of a message.

    What the model found is clamped to the picture; what is no rectangle in it is left out.

    Raises:
        RejectedError: it cannot be kept: a time or number that no computer means.
    """
    if not 0 <= message.captured_at_us < END_OF_TIME_US:
        raise RejectedError(f"captured at {message.captured_at_us} us, which is no time")
    if message.sequence >= END_OF_NUMBERS:
        raise RejectedError(f"sequence {message.sequence} is too large a number")
    found = (
        LabelledBox(d.label, d.box.x, d.box.y, d.box.width, d.box.height, d.confidence)
        for d in message.detections
        if math.isfinite(d.confidence)
    )
    inside = (clamped(box, message.width, message.height) for box in found)
    return NewSample(
        camera=message.camera,
        stream=message.stream,
        sequence=message.sequence,
        captured_at_us=message.captured_at_us,
        stored_at_us=stored_at_us,
        width=message.width,
        height=message.height,
        model=message.model,
        model_version=message.model_version,
        model_digest=message.model_digest,
        labels=message.labels,
        strategy=message.strategy,
        reason=message.reason,
        value=message.value,
        predictions=tuple(box for box in inside if box is not None),
        scores=tuple(
            (c.label, c.confidence) for c in message.classifications if math.isfinite(c.confidence)
        ),
        hash=hash_,
        jpeg=bytes(message.attachment),
    )


def clamped(box: LabelledBox, width: int, height: int) -> LabelledBox | None:
    """Return the part of a rectangle that lies in the picture, or None when none does."""
    if not all(map(math.isfinite, (box.x, box.y, box.width, box.height))):
        return None
    left, top = max(0.0, box.x), max(0.0, box.y)
    right, bottom = min(float(width), box.x + box.width), min(float(height), box.y + box.height)
    if right <= left or bottom <= top:
        return None
    return replace(box, x=left, y=top, width=right - left, height=bottom - top)


def shown_labels(
    predictions: Sequence[LabelledBox],
    scores: Sequence[tuple[str, float]],
    boxes: Sequence[LabelledBox] | None = None,
) -> tuple[str, ...]:
    """Return the labels that a picture shows, as the model or a person sees it, sorted.

    Of a classifier that is the likeliest one.
    """
    labels = {box.label for box in (*predictions, *(boxes or ()))}
    if scores:
        labels.add(max(scores, key=lambda score: score[1])[0])
    return tuple(sorted(labels))


DISCARDED_BY: Final = "by a person"


def reviewed(
    sample: StoredSample,
    decision: SampleState,
    boxes: Sequence[LabelledBox] | None = None,
    *,
    confirm_predictions: bool = False,
) -> StoredSample:
    """Return a picture after a person's decision: approved, discarded, or new again.

    Args:
        sample: As it was.
        decision: What it shall be.
        boxes: Its true rectangles, when it is approved; None: it goes up without labels.
        confirm_predictions: What the model found is true.

    Raises:
        RejectedError: it cannot be; says why.
    """
    if decision not in (SampleState.APPROVED, SampleState.DISCARDED, SampleState.NEW):
        raise RejectedError(f"nobody can decide that a picture is {decision.value}")
    if sample.state is SampleState.UPLOADING:
        raise RejectedError("it is being uploaded; try again when that has ended")
    if sample.state is SampleState.UPLOADED:
        raise RejectedError("it was uploaded; change it at Edge Impulse")
    if decision is not SampleState.APPROVED and (boxes is not None or confirm_predictions):
        raise RejectedError("only an approved picture has boxes")
    if confirm_predictions:
        boxes = _confirmed(sample, boxes)
    return replace(
        sample,
        state=decision,
        state_reason=DISCARDED_BY if decision is SampleState.DISCARDED else "",
        boxes=None if boxes is None else tuple(_checked(sample, box) for box in boxes),
    )


def _confirmed(
    sample: StoredSample, boxes: Sequence[LabelledBox] | None
) -> tuple[LabelledBox, ...]:
    if boxes is not None:
        raise RejectedError("either the model's boxes are confirmed or others are given, not both")
    if sample.scores:
        raise RejectedError("its model names the whole picture: there are no boxes to confirm")
    return sample.predictions


def _checked(sample: StoredSample, box: LabelledBox) -> LabelledBox:
    label = box.label.strip()
    where = f"the box at {box.x:g}, {box.y:g} of {box.width:g} x {box.height:g}"
    if not label:
        raise RejectedError(f"{where} has no label")
    inside = clamped(box, sample.width, sample.height)
    if inside is None:
        raise RejectedError(
            f"{where} ({label}) covers nothing of the picture of {sample.width} x {sample.height}"
        )
    return replace(inside, label=label, confidence=None)
