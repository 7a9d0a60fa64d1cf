"""Requests to a service; the answer goes to the MQTT 5 response topic of the request."""

from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from nxai_common.contracts import topics
from nxai_common.contracts.base import AttachedMessage, Message, Policy
from nxai_common.contracts.collecting import Fraction
from nxai_common.contracts.configuration import (
    CameraSource,
    DesiredModel,
    RegionOfInterest,
    Watchdog,
)
from nxai_common.contracts.models import Digest, InputScaling, InputSpec, ResizeMode, Task
from nxai_common.contracts.results import Box
from nxai_common.contracts.topics import Level


class Command(Message):
    """Base of all commands: `services/{service}/command/{name}`."""

    template: ClassVar = topics.COMMAND
    policy: ClassVar = Policy.STREAM

    service: Level
    name: Level


TestId = Annotated[str, Field(pattern=r"^[0-9a-z-]{0,64}$")]
Cursor = Annotated[str, Field(pattern=r"^[A-Za-z0-9_=-]{0,600}$")]
"""Where the next page begins; only who made it can read it."""
SecretName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,79}$")]
"""Of a file in the folder that the manager and capture share; never a path."""


class ReadLog(Command):
    """Answer with what a service logged lately, as JSON in the attachment; no secret is in it.

    ``{"lines": [{"number", "at", "level", "logger", "message", "fields", "trace"}], "next": n}``,
    oldest first. Every instance of every service answers.
    """

    name: Literal["log"] = "log"
    after: NonNegativeInt = 0
    """Only lines with a higher number: `next` of the answer before."""
    level: Literal["debug", "info", "warning", "error"] = "debug"
    """The least important that is wanted."""
    limit: PositiveInt = Field(default=500, le=2000)
    """The newest of those."""


class RestartService(Command):
    """End the process of a service, so that whoever started it starts it anew."""

    name: Literal["restart"] = "restart"


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
    max_width: PositiveInt | None = None
    """Scaled down to it; None: full size."""
    as_input: InputSpec | None = None
    """Answer with what a model with this input reads of the picture, as PNG, instead."""
    region: RegionOfInterest | None = None
    """With `as_input`: as if the camera had this region of interest. None: as it is set."""


class TriggerCamera(Command):
    """Send one frame to inference now, whatever the limits say, and when the camera is paused."""

    service: Literal["capture"] = "capture"
    name: Literal["trigger"] = "trigger"
    camera: Level
    test: TestId = ""
    """Name of a test: what comes of the frame is published on topic `test` alone. Empty: none."""


class ProbeSource(Command):
    """Open a source that no camera uses yet, and answer with its first picture (JPEG).

    Details: `width`, `height`, `codec`, `fps`, `transport`, `seconds` it took. Not ok: why not, in
    the words of a camera's state.
    """

    service: Literal["capture"] = "capture"
    name: Literal["probe"] = "probe"
    source: CameraSource
    credentials: SecretName | None = None
    """Name of the secret file that holds user and password."""
    masks: tuple[tuple[tuple[Fraction, Fraction], ...], ...] = ()
    watchdog: Watchdog = Watchdog()


class FindCameras(Command):
    """Look for cameras on the network (WS-Discovery of ONVIF) and on USB.

    The answer carries `{"network": [...], "usb": [...]}` as JSON in its attachment.
    """

    service: Literal["capture"] = "capture"
    name: Literal["find"] = "find"
    seconds: float = Field(default=4, gt=0, le=30)


class ListStreams(Command):
    """Ask a camera that was found (ONVIF) for the addresses of its streams.

    The answer carries `{"streams": [...]}` as JSON in its attachment.
    """

    service: Literal["capture"] = "capture"
    name: Literal["streams"] = "streams"
    address: Annotated[str, Field(pattern=r"^https?://[^\s@]{1,500}$")]
    """Of its ONVIF device service, as `FindCameras` told it."""
    credentials: SecretName | None = None
    """Name of the secret file that holds user and password."""


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


class DetectPicture(Command, AttachedMessage):
    """Look at a picture (attachment: JPEG or PNG) with a model, as with a frame of a camera.

    The answer carries the `InferenceResult` without tensors as JSON in its attachment.
    """

    service: Literal["inference"] = "inference"
    name: Literal["detect"] = "detect"
    model: Level | None = None
    """One that inference offers."""
    desired: DesiredModel | None = None
    """Or one that is loaded for this alone: an imported version, say."""
    threshold: Fraction | None = None


# -- publisher --------------------------------------------------------------------------------


class LogQuery(Command):
    """Base of the questions to the data logger."""

    service: Literal["publisher"] = "publisher"
    since: datetime
    """Captured then or later."""
    until: datetime
    """Captured earlier."""
    camera: Level | None = None
    model: Level | None = None
    label: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class ListResults(LogQuery):
    """Answer with a page of the stored results as JSON in the attachment.

    ``{"results": [...], "next": "...", "searched_to": "..."}``; `next` is null on the last page. A
    page that is hard to fill comes short, or empty, with `searched_to`: go on with `next`.
    """

    name: Literal["results"] = "results"
    uncertain: bool | None = None
    """Only those that were, or were not."""
    with_objects: bool | None = None
    """Only those that show something, or nothing."""
    newest_first: bool = True
    limit: PositiveInt = Field(default=100, le=1000)
    after: Cursor = ""
    """`next` of the page before."""


class ExportResults(LogQuery):
    """Answer with a part of an export as text in the attachment; details: `next` and `rows`.

    `next` is null with the last part. The first part of CSV begins with a header.
    """

    name: Literal["export"] = "export"
    what: Literal["results", "counts"] = "results"
    format: Literal["csv", "jsonl"] = "csv"
    limit: PositiveInt = Field(default=5000, le=20_000)
    after: Cursor = ""


class ChartResults(LogQuery):
    """Answer with sums over time as JSON in the attachment, for a chart.

    ``{"step_s": n, "times": [Unix ms], "series": [{...}]}``. Of counts: camera, model, label and
    lists mean, max, objects; of confidence: label, bins (ten), mean; of latency: camera and lists
    mean_ms, max_ms, inference_ms, results; of certainty: model, version and lists results,
    uncertain. Null in a list: there was no result in that step.
    """

    name: Literal["chart"] = "chart"
    chart: Literal["counts", "confidence", "latency", "certainty"]
    """counts: objects over time, per camera and label. confidence: a histogram per label.
    latency: per camera. certainty: share of doubtful results per model version."""
    points: PositiveInt = Field(default=300, le=2000)
    """About so many steps of time."""


class ShowLogger(Command):
    """Answer with what the data logger holds, as JSON in the attachment."""

    service: Literal["publisher"] = "publisher"
    name: Literal["logger"] = "logger"


# -- manager ----------------------------------------------------------------------------------


class RunCameras(Command):
    """Run or stop inference: a change of settings.json, as a person would make it."""

    service: Literal["manager"] = "manager"
    name: Literal["run"] = "run"
    running: bool
    cameras: tuple[Level, ...] | None = None
    """None: the whole box."""


class AdjustCamera(Command):
    """Change what people change often of a camera, in settings.json; None: as it is."""

    service: Literal["manager"] = "manager"
    name: Literal["adjust"] = "adjust"
    camera: Level
    enabled: bool | None = None
    run: bool | None = None
    collect: bool | None = None
    threshold: Fraction | None = None
    """Lowest confidence of a detection, for every model that looks at it."""
    uncertain: Fraction | None = None
    """Below it a result counts as doubtful."""


# -- cloud-sync -------------------------------------------------------------------------------
# What takes longer than a moment is a job: the answer names it (`details.job`), and `Progress`
# messages tell how it goes.

SampleId = Annotated[str, Field(pattern=r"^[0-9a-z-]{1,64}$")]
MAX_IDS = 1000
"""Of one command; more are several commands."""
MAX_PAGE = 1000
MAX_INCOMING_BYTES: Final = 300 * 1024 * 1024
"""Of a file that is to be imported; the largest model seen has 60 MB."""


class CloudSyncCommand(Command):
    """Base of the commands of cloud-sync."""

    service: Literal["cloud-sync"] = "cloud-sync"


class LinkProject(CloudSyncCommand):
    """Link an Edge Impulse project. The API key is not in here: it lies in a file of the service.

    A key that was left in the folder which the service shares with the manager is taken first.

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


class ReceiveFile(CloudSyncCommand, AttachedMessage):
    """Add bytes (attachment) to a file in the folder of incoming files.

    Details: `size`, what the file has now. A part that was sent before is taken again without
    harm; one that leaves a gap is refused, with `size` in the details.
    """

    name: Literal["receive"] = "receive"
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ ()-]{0,120}$")]
    offset: NonNegativeInt = Field(le=MAX_INCOMING_BYTES)
    """Where the bytes belong; 0 begins anew."""


class DiscardFile(CloudSyncCommand):
    """Remove a file from the folder of incoming files: its sender went away."""

    name: Literal["discard-file"] = "discard-file"
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ ()-]{0,120}$")]


class ListJobs(CloudSyncCommand):
    """Answer with the jobs under way and those that ended lately, as JSON in the attachment.

    ``{"jobs": [{...}]}``, newest first.
    """

    name: Literal["jobs"] = "jobs"
    command: str = ""
    """Only those of this command: `upload`, `pull` ..."""
    limit: PositiveInt = Field(default=50, le=MAX_PAGE)


class CountSamples(CloudSyncCommand):
    """Answer with how many pictures there are in which state, and room used, as JSON."""

    name: Literal["sample-counts"] = "sample-counts"


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
    max_width: PositiveInt | None = None
    """Scaled down to it; None: as it was captured."""


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
