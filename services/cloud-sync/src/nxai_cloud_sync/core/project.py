"""What Edge Impulse tells of a project: keys, impulses, learn blocks, models, jobs.

Shapes follow the Studio API (`/v1/api/...`); what this project does not use is left out.
"""

import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nxai_common.contracts.models import InputScaling, ResizeMode, Task
from nxai_common.errors import ConfigurationError, RejectedError


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
    warnings: tuple[str, ...] = ()
    """How frames are prepared otherwise here than the model was trained, in plain words."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure about a trained model, such as `f1` on the validation set."""

    name: str
    value: float
    artefact: str = ""
    """`float32`, `int8`: what was measured; empty: not told."""


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
    """Of all artefacts."""

    def metrics_of(self, artefact: str) -> tuple[Metric, ...]:
        """Return the figures of one artefact; where none has any, those of another."""
        own = tuple(metric for metric in self.metrics if metric.artefact == artefact)
        if own or not self.metrics:
            return own
        other = self.metrics[0].artefact
        return tuple(metric for metric in self.metrics if metric.artefact == other)


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

_LEARN_DATA: Final = re.compile(r"/learn-data/(\d+)/")
"""The learn block in the link of a download."""


def choose(
    impulses: Sequence[Impulse], impulse: int | None = None, block: int | None = None
) -> Selection:
    """Return the impulse and learn block to use: those named, or the first that detects objects.

    The default impulse comes first; without one that detects objects, one that classifies.

    Raises:
        ConfigurationError: nothing fits; lists what there is.
    """
    if not impulses:
        raise ConfigurationError(
            "the project has no impulse that reads images: create one in Edge Impulse Studio, "
            "with an image input and an object detection block"
        )
    default_first = sorted(impulses, key=lambda each: not each.default)
    within = [each for each in default_first if impulse is None or each.id == impulse]
    if not within:
        raise ConfigurationError(
            f"the project has no impulse {impulse} that reads images; it has {_listed(impulses)}"
        )
    wanted = [
        Selection(each, candidate)
        for each in within
        for candidate in each.learn_blocks
        if block is None or candidate.id == block
    ]
    for kind in (BlockKind.OBJECT_DETECTION, BlockKind.CLASSIFICATION):
        for selection in wanted:
            if selection.block.kind is kind:
                return selection
    if block is None:
        problem = "no learn block detects objects or classifies pictures"
    elif wanted:
        problem = (
            f"learn block {block} ({wanted[0].block.type}) neither detects objects nor "
            "classifies pictures"
        )
    else:
        problem = f"there is no learn block {block}"
    raise ConfigurationError(f"{problem}; there is {_listed(within)}")


def choose_download(
    downloads: Sequence[Download], artefact: str, block: int | None = None
) -> Download:
    """Return the model file of a kind ("float32", "int8") from the list of downloads.

    TensorFlow Lite is preferred, an ONNX entry is taken where the list has one and no float32
    TensorFlow Lite. Types are matched without regard to case, as their exact texts are nowhere
    documented.

    Args:
        downloads: The list.
        artefact: One of `ARTEFACTS`.
        block: Learn block whose model it shall be, where links tell; None: the first model.

    Raises:
        RejectedError: it is not in the list (trained but not built, ...); says what is.
    """
    own = [each for each in downloads if block is None or _block_of(each) in (None, block)]
    for fits in _PREFERRED[artefact]:
        for each in own:
            if fits(each.type.lower()):
                return each
    models = [
        each.type for each in own if re.search("tensorflow lite|onnx", each.type, re.IGNORECASE)
    ]
    if models:
        raise RejectedError(
            f"Edge Impulse has no {artefact} TensorFlow Lite model to download; it has "
            f"{', '.join(models)}: choose another artefact, or train again in Studio"
        )
    raise RejectedError(
        "Edge Impulse has no model to download: train the impulse in Studio (after an edit it "
        "has to be trained again)"
    )


_PREFERRED: Final[dict[str, tuple[Callable[[str], bool], ...]]] = {
    # Some servers list "int8 quantized with float32 input and output", too.
    "float32": (
        lambda text: "tensorflow lite" in text and "float32" in text and "int8" not in text,
        lambda text: "onnx" in text and "int8" not in text,
    ),
    "int8": (
        lambda text: "tensorflow lite" in text and "int8" in text and "float32" not in text,
        lambda text: "tensorflow lite" in text and "int8" in text,
    ),
}
"""What the type of a download says, in lower case; the best one first."""


def _block_of(download: Download) -> int | None:
    """Return the learn block in the link of a download, where there is one."""
    found = _LEARN_DATA.search(download.link)
    return None if found is None else int(found[1])


def _listed(impulses: Sequence[Impulse]) -> str:
    texts = []
    for impulse in impulses:
        blocks = ", ".join(
            f"learn block {block.id} {block.title!r} ({block.type})"
            for block in impulse.learn_blocks
        )
        texts.append(f"impulse {impulse.id} {impulse.name!r} with {blocks or 'no learn block'}")
    return "; ".join(texts)
