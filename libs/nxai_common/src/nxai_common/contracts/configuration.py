"""Desired state: one whole, validated document per service (retained).

The manager writes them from settings.json; every service reports in its status which
revision it has in force. No secret is ever in here: passwords lie in files that only the
service that needs them can read (`credentials` is the name of such a file).
"""

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from nxai_common.contracts import topics
from nxai_common.contracts.alarms import AlarmRule
from nxai_common.contracts.base import Message, Policy, Value
from nxai_common.contracts.collecting import (
    CollectPolicy,
    CollectStrategy,
    Fraction,
    RollbackOptions,
    SampleLimits,
    ShadowOptions,
    UpdateOptions,
    UploadOptions,
)
from nxai_common.contracts.destinations import (
    Certificate,
    Destination,
    OutboxOptions,
    SecretReference,
)
from nxai_common.contracts.geometry import Polygon
from nxai_common.contracts.models import InputScaling, ResizeMode, ResizeQuality, Task
from nxai_common.contracts.processors import ProcessorOptions
from nxai_common.contracts.topics import Level

# Every number has an upper bound, so that no slip of a key (or of a unit) overflows a clock, a
# database or the memory of a service later on.

DAY_S: Final = 86_400
"""Nothing here is waited for longer: a larger number was meant in another unit."""

Seconds = Annotated[float, Field(gt=0, le=DAY_S)]
SecondsOrOff = Annotated[float, Field(ge=0, le=DAY_S)]
MillisecondsOrOff = Annotated[float, Field(ge=0, le=DAY_S * 1000)]

MAX_CAMERA_SIDE: Final = 16_384
"""Twice 8K; no camera that Linux knows has more."""
FramesPerSecond = Annotated[float, Field(ge=0.001, le=1000)]
"""From a picture in a quarter of an hour to the fastest industrial cameras."""

DEMO_SIDES: Final = ((160, 3840), (120, 2160))
"""Of width and height. Smaller, and a part is a blob that no model can name; 4K takes 900 MB and
six seconds to draw the first picture of, 8K three times as much."""
MAX_SEED: Final = 2**53
"""Beyond, programs that read JSON numbers as floating point see another seed."""
MAX_CREDITS: Final = 256
"""16 for each of 16 workers; the bus drops what a worker has waiting beyond (`Frame.depth`)."""
MAX_CAMERAS: Final = 200_000
"""More than the largest settings file (4 million characters) can name."""
MAX_RESULTS_IN_A_ROW: Final = 10_000
"""Ten minutes at 15 a second; an event that needs longer to begin was meant otherwise."""
ROUNDING: Final = 1e-6
"""A region drawn to the edge of the picture may lie past it by what rounding does."""
MAX_KEEP_DAYS: Final = 36_500
"""A century. SQLite counts microseconds in 64 bits, which end after 292,000 years."""
MAX_KEEP_MB: Final = 100_000_000
"""100 TB; SQLite's largest file is 281 TB."""


class RtspSource(Value):
    """A network camera or recorder."""

    type: Literal["rtsp"] = "rtsp"
    url: str
    """rtsp:// or rtsps://, without user and password."""
    transport: Literal["auto", "tcp", "udp"] = "auto"
    """auto: TCP first, UDP when the camera refuses TCP; what worked is remembered."""


class MjpegSource(Value):
    """An endless HTTP answer of JPEG pictures (multipart/x-mixed-replace)."""

    type: Literal["mjpeg"] = "mjpeg"
    url: str
    certificate: Literal["verify", "any"] = "verify"
    """Of an https:// URL. any: do not check it (most cameras sign their own)."""


class StillSource(Value):
    """A picture behind a URL, fetched again and again."""

    type: Literal["still"] = "still"
    url: str
    interval_ms: PositiveInt = Field(default=1000, le=DAY_S * 1000)
    certificate: Literal["verify", "any"] = "verify"
    """Of an https:// URL. any: do not check it (most cameras sign their own)."""


class V4l2Source(Value):
    """A USB or built-in camera."""

    type: Literal["v4l2"] = "v4l2"
    device: str
    """/dev/v4l/by-id/... survives replugging; /dev/video0 may be another camera tomorrow."""
    width: PositiveInt | None = Field(default=None, le=MAX_CAMERA_SIDE)
    height: PositiveInt | None = Field(default=None, le=MAX_CAMERA_SIDE)
    fps: FramesPerSecond | None = None


class FileSource(Value):
    """A video file."""

    type: Literal["file"] = "file"
    path: str
    pace: Literal["realtime", "fast"] = "realtime"
    """realtime: at the file's own speed, newest frame wins. fast: every frame, none dropped."""
    loop: bool = True


class FolderSource(Value):
    """Pictures in a folder, in the order of their names."""

    type: Literal["folder"] = "folder"
    path: str
    interval_ms: MillisecondsOrOff = 1000
    """0: as fast as possible, none dropped."""
    loop: bool = True


class PushSource(Value):
    """Another program publishes JPEG or PNG on this camera's `picture` topic."""

    type: Literal["push"] = "push"


class DemoSource(Value):
    """The built-in synthetic camera: parts riding on a belt."""

    type: Literal["demo"] = "demo"
    width: int = Field(default=640, ge=DEMO_SIDES[0][0], le=DEMO_SIDES[0][1])
    height: int = Field(default=480, ge=DEMO_SIDES[1][0], le=DEMO_SIDES[1][1])
    fps: FramesPerSecond = 15
    seed: int = Field(default=1, ge=-MAX_SEED, le=MAX_SEED)


CameraSource = Annotated[
    RtspSource
    | MjpegSource
    | StillSource
    | V4l2Source
    | FileSource
    | FolderSource
    | PushSource
    | DemoSource,
    Field(discriminator="type"),
]


class ChangeTrigger(Value):
    """Send a frame only when the picture changed since the last one sent."""

    enabled: bool = False
    pixel_threshold: PositiveInt = Field(default=20, le=255)
    """A pixel has changed when its brightness differs by more than this (of 255)."""
    image_threshold: float = Field(default=1.0, ge=0, le=100)
    """The picture has changed when more than this percentage of its pixels have."""


class Watchdog(Value):
    """When a silent camera counts as broken, in seconds. Slow cameras need larger numbers."""

    open_timeout_s: Seconds = 10
    """Cheap cameras need 3 to 6 s to start a stream."""
    read_timeout_s: Seconds = 10
    """No packet for so long: reconnect."""
    picture_timeout_s: Seconds = 20
    """Packets but no decoded picture for so long: reconnect (long GOPs reach 10 s)."""
    frozen_timeout_s: SecondsOrOff = 0
    """The very same picture for so long: reconnect. 0: off, a still scene from a noiseless
    source is not a fault."""


class RegionOfInterest(Value):
    """The part of the picture that models look at, in 0..1 of it."""

    x: Fraction = 0.0
    y: Fraction = 0.0
    width: float = Field(default=1.0, gt=0, le=1)
    height: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _check_inside(self) -> Self:
        if self.x + self.width > 1 + ROUNDING or self.y + self.height > 1 + ROUNDING:
            raise PydanticCustomError(
                "region", "must lie within the picture: x + width and y + height at most 1"
            )
        return self


class DetectionAreas(Value):
    """Where objects count. An object is where the middle of its lower edge is: on the floor."""

    include: tuple[Polygon, ...] = ()
    """Only objects in one of these; empty: everywhere."""
    exclude: tuple[Polygon, ...] = ()
    """No objects in these."""


class CameraOptions(Value):
    """What a person may say of a camera; read from settings.json and passed on to capture."""

    id: Level
    """Name in topics and URLs; do not change it later, charts and entities hang on it."""
    name: str = ""
    """Name for people; the id when left out."""
    enabled: bool = True
    source: CameraSource
    resize_mode: ResizeMode | None = None
    """None: as each model's manifest says."""
    resize_quality: ResizeQuality = ResizeQuality.EXACT
    inference_limit_ms: MillisecondsOrOff = 0
    """At least so long between two frames; 0: every frame that can be processed."""
    on_change: ChangeTrigger = ChangeTrigger()
    masks: tuple[tuple[tuple[Fraction, Fraction], ...], ...] = ()
    """Privacy masks: polygons in 0..1 of the picture, blackened before any pixel leaves."""
    region: RegionOfInterest | None = None
    """The part of the picture that models look at; None: all of it."""
    snapshots: bool = True
    """Publish a retained JPEG when an event starts."""
    credit_window: PositiveInt | None = Field(default=None, le=MAX_CREDITS)
    """Frames in flight at most; None: 2 x inference workers."""
    watchdog: Watchdog = Watchdog()


class CaptureCamera(CameraOptions):
    """One camera, as capture shall run it."""

    credentials: str | None = None
    """Name of the secret file that holds user and password."""
    credentials_revision: str = ""
    """Changes when the secret does, so that capture reconnects."""
    paused: bool = False
    """Open, but no frame goes to inference unless a command asks for it."""
    models: tuple[Level, ...] = ()
    shadows: tuple[Level, ...] = ()
    """Those of `models` that are only tried: nothing waits for them and nobody misses them."""
    samples: bool = False
    """Publish the full-size JPEG of frames whose result says `collect`."""
    samples_gap_s: SecondsOrOff = 0
    """At least so long between two of them, but for those of `interval`, `random` and
    `nothing-found`."""


class CaptureConfiguration(Message):
    """Desired cameras."""

    template: ClassVar = topics.CONFIGURATION
    policy: ClassVar = Policy.STATE

    service: Literal["capture"] = "capture"
    revision: str
    cameras: tuple[CaptureCamera, ...] = ()


class UncertainRule(Value):
    """When a result counts as doubtful."""

    threshold: Fraction = 0.0
    """0: never. The documented rule: any FOMO cell (background included) whose highest
    probability is below it; for other tasks any detection (or the best class) below it."""


class DesiredModel(Value):
    """A model that inference shall offer. Unset fields come from the model's own package."""

    id: Level
    path: str
    """A package folder (manifest.json beside the model file) or a .tflite / .onnx file;
    relative paths are below the models folder of the service. `catalogue:DIGEST` is a model that
    cloud-sync imported."""
    digest: str | None = None
    """SHA-256 the file must have; None: whatever is there."""
    name: str | None = None
    labels: tuple[str, ...] | None = None
    task: Task | None = None
    resize_mode: ResizeMode | None = None
    input_scaling: InputScaling | None = None
    threshold: Fraction | None = None
    nms_iou: Fraction | None = None
    engine: Literal["auto", "onnx", "litert"] = "auto"
    tensors: Literal["auto", "always", "never"] = "auto"
    """Whether results carry the raw tensors; auto: when they are small (FOMO, classification)."""
    uncertain: UncertainRule = UncertainRule()
    uncertain_image: bool = True
    """Doubtful results carry the model's input pixels (`baseRGB` of the Nx output object)."""


class Assignment(Value):
    """Overrides for one model on one camera."""

    camera: Level
    model: Level
    threshold: Fraction | None = None
    uncertain: UncertainRule | None = None
    """None: as the model says. Where that is never, and `collect` asks for uncertain pictures,
    inference takes what fits the model."""
    collect: tuple[CollectStrategy, ...] = ()
    """When a frame's picture is worth keeping; empty: never."""


class InferenceCamera(Value):
    """What holds for a camera, whatever model looks at it."""

    id: Level
    areas: DetectionAreas = DetectionAreas()


class Shadow(Value):
    """A model that is tried beside another one: its results are for the comparison alone."""

    model: Level
    of: Level


class InferenceConfiguration(Message):
    """Desired models."""

    template: ClassVar = topics.CONFIGURATION
    policy: ClassVar = Policy.STATE

    service: Literal["inference"] = "inference"
    revision: str
    models: tuple[DesiredModel, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    cameras: tuple[InferenceCamera, ...] = ()
    """Those of which something is to be said."""
    shadows: tuple[Shadow, ...] = ()


class PublisherCamera(Value):
    """What the outputs need to know of a camera."""

    id: Level
    name: str = ""
    index: int = Field(ge=0, le=MAX_CAMERAS)
    """Place in settings.json, from 0: `sourceId` of the Nx output object is `input-{index}`."""
    enabled: bool = True


class NxOutputOptions(Value):
    """The Nx output object on topic `output`."""

    enabled: bool = True
    format: Literal["namedObject", "orderedArray"] = "namedObject"
    device_id: str = ""
    """`deviceId`; empty: the device's topic name."""
    every_s: SecondsOrOff = 0
    """Results of a camera are gathered for so long, and sent as one array; 0: each by itself."""


class EventOptions(Value):
    """How detections become events."""

    enabled: bool = True
    start_after: PositiveInt = Field(default=2, le=MAX_RESULTS_IN_A_ROW)
    """Results in a row that show the label before an event starts: one is often a flicker."""
    end_after_s: Seconds = 2.0
    """Seconds without the label before the event ends."""
    update_every_s: Seconds = 1.0
    """At most one update so often, and only when the count or the best confidence changed."""


class LoggerOptions(Value):
    """The data logger."""

    enabled: bool = True
    keep_days: float = Field(default=30, gt=0, le=MAX_KEEP_DAYS)
    keep_mb: float = Field(default=2000, gt=0, le=MAX_KEEP_MB)
    """Oldest rows go first when the database is larger."""


class OtherBroker(Value):
    """The broker that Home Assistant uses, where it is not ours."""

    url: str
    """mqtt://HOST:PORT or mqtts://HOST:PORT, without user and password."""
    username: str = ""
    password_secret: SecretReference = ""
    certificate: Certificate = "verify"
    authority: str = ""
    """File with the certificate (PEM) of the authority that signed the broker's; empty: those
    that the system trusts."""


class HomeAssistantOptions(Value):
    """How the box appears in Home Assistant (MQTT discovery)."""

    mode: Literal["device", "single", "off"] = "device"
    """device: one message a device (Home Assistant 2024.11 and later). single: one an entity, for
    older ones and for programs that know only that."""
    prefix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+){0,5}$")] = (
        "homeassistant"
    )
    """Discovery prefix, as set in Home Assistant."""
    broker: OtherBroker | None = None
    """None: it is connected to the broker of this box."""
    pictures: bool = True
    """Show the picture of the last event."""
    commands: bool = True
    """Switches, numbers and buttons; without them Home Assistant only reads."""
    page: str = ""
    """Address of the page, for the "Visit" button, such as http://192.168.1.5:8081; empty: none."""


class PublisherConfiguration(Message):
    """Desired outputs."""

    template: ClassVar = topics.CONFIGURATION
    policy: ClassVar = Policy.STATE

    service: Literal["publisher"] = "publisher"
    revision: str
    cameras: tuple[PublisherCamera, ...] = ()
    detections: bool = True
    nx_output: NxOutputOptions = NxOutputOptions()
    events: EventOptions = EventOptions()
    state_every_s: Seconds = 10
    """Heartbeat of the retained camera state."""
    logger: LoggerOptions = LoggerOptions()
    device_name: str = ""
    """For people; empty: the device's topic name."""
    alarms: tuple[AlarmRule, ...] = ()
    processors: tuple[ProcessorOptions, ...] = ()
    destinations: tuple[Destination, ...] = ()
    outbox: OutboxOptions = OutboxOptions()
    home_assistant: HomeAssistantOptions = HomeAssistantOptions()


class CloudSyncCamera(Value):
    """What becomes of the pictures of one camera."""

    id: Level
    name: str = ""
    enabled: bool = True
    collect: CollectPolicy = CollectPolicy()


class CloudSyncConfiguration(Message):
    """Desired exchange with Edge Impulse. The key and the project are no part of it."""

    template: ClassVar = topics.CONFIGURATION
    policy: ClassVar = Policy.STATE

    service: Literal["cloud-sync"] = "cloud-sync"
    revision: str
    cameras: tuple[CloudSyncCamera, ...] = ()
    limits: SampleLimits = SampleLimits()
    upload: UploadOptions = UploadOptions()
    updates: UpdateOptions = UpdateOptions()
    shadow: ShadowOptions = ShadowOptions()
    rollback: RollbackOptions = RollbackOptions()
