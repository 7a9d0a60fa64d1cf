"""Requests to a service; the answer goes to the MQTT 5 response topic of the request."""

from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from nxai_common.contracts import topics
from nxai_common.contracts.base import AttachedMessage, Message, Policy
from nxai_common.contracts.collecting import Fraction
from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.models import Digest, InputScaling, ResizeMode, Task
from nxai_common.contracts.results import Box
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


BUSY: Final = "busy"
"""In the details of an answer: not a verdict, too much waits already."""


class TryModel(Command):
    """Load, convert, self-test and time a model without offering it to cameras.

    The answer carries the `ModelManifest` as JSON in its attachment, or says why not; `busy` in
    its details: nothing was tried, ask again.
    """

    service: Literal["inference"] = "inference"
    name: Literal["try"] = "try"
    desired: DesiredModel


# -- cloud-sync -------------------------------------------------------------------------------
# What takes longer than a moment is a job: the answer names it (`details.job`), and `Progress`
# messages tell how it goes.

SampleId = Annotated[str, Field(pattern=r"^[0-9a-z-]{1,64}$")]
MAX_IDS = 1000
"""Of one command; more are several commands."""
MAX_PAGE = 1000


class CloudSyncCommand(Command):
    """Base of the commands of cloud-sync."""

    service: Literal["cloud-sync"] = "cloud-sync"


class LinkProject(CloudSyncCommand):
    """Link an Edge Impulse project. The API key is not in here: it lies in a file of the service.

    The answer carries the project's impulses and learn blocks as JSON in its attachment.
    """

    name: Literal["link"] = "link"
    project: PositiveInt | None = None
    """None: the one that the key belongs to."""
    impulse: int | None = None
    """None: the project's default impulse."""
    learn_block: int | None = None
    """None: the first that detects objects."""
    studio: str = ""
    """Base URL of the Studio API; empty: as before, or Edge Impulse's own."""
    ingestion: str = ""
    """Base URL of the ingestion API; empty: as before, or Edge Impulse's own."""


class UnlinkProject(CloudSyncCommand):
    """Forget the project and its key; models and samples stay."""

    name: Literal["unlink"] = "unlink"


class ShowLink(CloudSyncCommand):
    """Answer with what is linked."""

    name: Literal["show-link"] = "show-link"


class PullModel(CloudSyncCommand):
    """Import the newest model of the linked project (a job)."""

    name: Literal["pull"] = "pull"
    artefact: Literal["float32", "int8"] | None = None
    """None: as the configuration says."""
    model: Level | None = None
    """Name in topics; None: the one it had before, or made of the project's name."""


class ImportModel(CloudSyncCommand):
    """Import a model file or an archive that lies in the service's folder of incoming files."""

    name: Literal["import"] = "import"
    file: str
    """Name in that folder."""
    model: Level | None = None
    title: str = ""
    labels: tuple[str, ...] | None = None
    task: Task | None = None
    resize_mode: ResizeMode | None = None
    input_scaling: InputScaling | None = None
    threshold: Fraction | None = None


class ListModels(CloudSyncCommand):
    """Answer with the catalogue as JSON in the attachment."""

    name: Literal["models"] = "models"


class EditModel(CloudSyncCommand):
    """Change what people read of a version."""

    name: Literal["edit-model"] = "edit-model"
    digest: Digest
    title: str | None = None
    documentation: str | None = None


class DeleteModel(CloudSyncCommand):
    """Delete a version that is not in use."""

    name: Literal["delete-model"] = "delete-model"
    digest: Digest


class DeployModel(CloudSyncCommand):
    """Let a model run on cameras."""

    name: Literal["deploy"] = "deploy"
    model: Level
    digest: Digest | None = None
    """None: the newest version that passed its test."""
    cameras: tuple[Level, ...] | None = None
    """None: those it has."""
    threshold: Fraction | None = None
    how: Literal["shadow", "at-once"] = "shadow"
    """How another version takes over from one that runs."""


class UndeployModel(CloudSyncCommand):
    """Take a model from all cameras, or from some."""

    name: Literal["undeploy"] = "undeploy"
    model: Level
    cameras: tuple[Level, ...] | None = None


class PromoteModel(CloudSyncCommand):
    """Put the version that is tried beside the model in force."""

    name: Literal["promote"] = "promote"
    model: Level


class EndShadow(CloudSyncCommand):
    """End a trial; the model in force stays."""

    name: Literal["end-shadow"] = "end-shadow"
    model: Level


class RollBackModel(CloudSyncCommand):
    """Put the version before in force again."""

    name: Literal["roll-back"] = "roll-back"
    model: Level


class ListSamples(CloudSyncCommand):
    """Answer with a page of the collected pictures as JSON in the attachment, newest first."""

    name: Literal["samples"] = "samples"
    state: str = ""
    camera: str = ""
    label: str = ""
    strategy: str = ""
    since: datetime | None = None
    until: datetime | None = None
    limit: PositiveInt = Field(default=100, le=MAX_PAGE)
    offset: NonNegativeInt = 0
    by_value: bool = False
    """The most valuable first, instead of the newest."""


class ShowSample(CloudSyncCommand):
    """Answer with the picture (attachment: JPEG)."""

    name: Literal["show-sample"] = "show-sample"
    sample: SampleId


class LabelledBox(Box):
    """A rectangle that a person confirmed, in pixels of the picture."""

    label: Annotated[str, Field(min_length=1, max_length=200)]


class ReviewSamples(CloudSyncCommand):
    """Say what shall become of pictures."""

    name: Literal["review"] = "review"
    samples: tuple[SampleId, ...] = Field(max_length=MAX_IDS)
    decision: Literal["approved", "discarded", "new"]
    boxes: tuple[LabelledBox, ...] | None = None
    """Corrected or confirmed boxes, of one picture: they go up as its labels. None: it goes up
    without labels. Empty: a person saw that nothing is on it."""
    confirm_predictions: bool = False
    """The boxes that the model found are right: they go up as the labels."""


class UploadSamples(CloudSyncCommand):
    """Send what was approved to Edge Impulse (a job)."""

    name: Literal["upload"] = "upload"
    samples: tuple[SampleId, ...] = Field(default=(), max_length=MAX_IDS)
    """Empty: all that were approved, and those that failed for a reason that may have passed."""
    include_new: bool = False
    """Also those that nobody has looked at."""


class RetrainModel(CloudSyncCommand):
    """Train the linked project again (a job). It uses compute minutes of the account."""

    name: Literal["retrain"] = "retrain"
    confirm: bool = False
    """Without it the answer says what it would use, and nothing is started."""


class CheckUpdates(CloudSyncCommand):
    """Look now whether the project has a new model (a job)."""

    name: Literal["check-updates"] = "check-updates"


class CancelJob(CloudSyncCommand):
    """Stop a job."""

    name: Literal["cancel"] = "cancel"
    job: str


class Reply(AttachedMessage):
    """Answer to a command; travels on the response topic of the request, not on its own."""

    template: ClassVar = topics.COMMAND  # never used to build a topic
    policy: ClassVar = Policy.STREAM

    ok: bool
    reason: str = ""
    """Why not, in plain words."""
    details: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
