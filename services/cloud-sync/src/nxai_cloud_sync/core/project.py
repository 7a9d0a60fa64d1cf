"""What Edge Impulse tells of a project: keys, impulses, learn blocks, models, jobs.

Shapes follow the Studio API (`/v1/api/...`); what this project does not use is left out.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nxai_common.contracts.models import InputScaling, ResizeMode, Task


class Role(enum.StrEnum):
    """What an API key may do."""

    ADMIN = "admin"
    READ_ONLY = "readonly"
    INGESTION_ONLY = "ingestiononly"
    INGESTION_DEPLOYMENT = "ingestion_deployment"
    UNKNOWN = "unknown"
    """Of a server that does not tell, or a role of a later version: the server decides."""

    @property
    def reads_models(self) -> bool:
        """Whether models can be imported with it (`ingestion_deployment` is not documented)."""
        return self is not Role.INGESTION_ONLY

    @property
    def uploads(self) -> bool:
        """Whether pictures can be uploaded with it."""
        return self is not Role.READ_ONLY

    @property
    def trains(self) -> bool:
        """Whether jobs can be started with it."""
        return self in (Role.ADMIN, Role.UNKNOWN)


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What a key belongs to."""

    project: int
    role: Role


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    """One project."""

    id: int
    name: str
    description: str = ""
    owner: str = ""
    compute_ms_left: int | None = None
    """Compute time of the account; None: not told."""
    job_limit_minutes: int | None = None
    studio_url: str = ""
    """For a person's browser."""


class BlockKind(enum.StrEnum):
    """What a learn block does, as far as it matters here."""

    OBJECT_DETECTION = "object-detection"
    CLASSIFICATION = "classification"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class LearnBlock:
    """One learn block of an impulse."""

    id: int
    kind: BlockKind
    title: str
    type: str
    """`keras-object-detection`, `keras-transfer-image` ..."""


@dataclass(frozen=True, slots=True)
class Impulse:
    """One impulse whose input is an image."""

    id: int
    name: str
    width: int
    height: int
    resize_mode: ResizeMode
    crop_anchor: str
    """`middle-center` is what frames are cropped around here."""
    learn_blocks: tuple[LearnBlock, ...]
    default: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure about a trained model, such as `f1` on the validation set."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """Metadata of a trained learn block (`/training/keras/{id}/metadata`)."""

    created_at: str
    """ISO 8601, as the server wrote it: the best sign of a new training."""
    labels: tuple[str, ...]
    """In tensor order, without FOMO's background."""
    task: Task
    input_scaling: InputScaling
    threshold: float | None
    """`min_score` of an object detection block; None: not told."""
    available: tuple[str, ...]
    """`float32`, `int8` ...; `requiresRetrain` means that the impulse was edited since."""
    variant: str = ""
    """`FOMO MobileNetV2 0.1` and the like, for a person; empty: not told."""
    metrics: tuple[Metric, ...] = ()


@dataclass(frozen=True, slots=True)
class Download:
    """One entry of the list of downloads."""

    name: str
    type: str
    link: str
    """Relative to the host, or absolute."""
    size: int | None = None
    id: str = ""


class TrainingState(enum.StrEnum):
    """Life of a job at Edge Impulse."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self in (TrainingState.SUCCEEDED, TrainingState.FAILED)


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A job at Edge Impulse."""

    id: int
    state: TrainingState
    category: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a job printed."""

    at: datetime | None
    text: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What a person chose, or what is chosen when they did not."""

    impulse: Impulse
    block: LearnBlock


ARTEFACTS: Final = ("float32", "int8")


def choose(
    impulses: Sequence[Impulse], impulse: int | None = None, block: int | None = None
) -> Selection:
    """Return the impulse and learn block to use: those named, or the first that detects objects.

    The default impulse comes first; without one that detects objects, one that classifies.

    Raises:
        ConfigurationError: nothing fits; lists what there is.
    """
    raise NotImplementedError


def choose_download(downloads: Sequence[Download], artefact: str) -> Download:
    """Return the model file of a kind ("float32", "int8") from the list of downloads.

    TensorFlow Lite is preferred, an ONNX entry is taken where the list has one and no float32
    TensorFlow Lite. Types are matched without regard to case, as their exact texts are nowhere
    documented.

    Raises:
        RejectedError: it is not in the list (trained but not built, ...); says what is.
    """
    raise NotImplementedError
