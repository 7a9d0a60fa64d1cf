"""Models: a model file and its manifest, and what one input of a model looks like."""

import enum
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, PositiveInt, StringConstraints

from nxai_common.contracts import topics
from nxai_common.contracts.base import Message, Policy, Value
from nxai_common.contracts.topics import Level


class ResizeMode(enum.StrEnum):
    """How a picture is fitted to a model's input (Edge Impulse's names)."""

    SQUASH = "squash"
    """Both axes scaled on their own; the closed system's "stretch"."""
    FIT_SHORT = "fit-short"
    """Cropped to the target's aspect, then scaled; the closed system's "crop"."""
    FIT_LONG = "fit-long"
    """Scaled to fit whole, black bars; the closed system's "letterbox"."""


class ResizeQuality(enum.StrEnum):
    """How much care the resampler takes."""

    EXACT = "exact"
    """Close to what Edge Impulse Studio trained on (libvips lanczos3)."""
    FAST = "fast"
    """Area average (cv2 INTER_AREA)."""


class InputScaling(enum.StrEnum):
    """Edge Impulse's `imageInputScaling`: what the exported model expects of a pixel."""

    ZERO_TO_ONE = "0..1"
    MINUS_ONE_TO_ONE = "-1..1"
    MINUS_128_TO_127 = "-128..127"
    ZERO_TO_255 = "0..255"
    TORCH = "torch"
    BGR_SUBTRACT_IMAGENET_MEAN = "bgr-subtract-imagenet-mean"


class Task(enum.StrEnum):
    """Which decoder reads a model's output (Edge Impulse's `objectDetectionLastLayer`)."""

    FOMO = "fomo"
    YOLOV5 = "yolov5"
    """Ultralytics v6 export, coordinates 0..1 (pixels in the ONNX export: found out by range)."""
    YOLOV5_V5 = "yolov5v5-drpai"
    """Version 5 export, coordinates in pixels."""
    MOBILENET_SSD = "mobilenet-ssd"
    CLASSIFICATION = "classification"


class InputSpec(Value):
    """The pixels a model reads: uint8, height x width x channels, RGB or gray."""

    width: PositiveInt
    height: PositiveInt
    channels: Literal[1, 3]
    resize_mode: ResizeMode = ResizeMode.SQUASH
    resize_quality: ResizeQuality = ResizeQuality.EXACT

    @property
    def id(self) -> str:
        """Name of this input as a topic level: cameras with equal inputs share the frames."""
        return (
            f"{self.width}x{self.height}x{self.channels}_{self.resize_mode}_{self.resize_quality}"
        )


class TensorInfo(Value):
    """One tensor of a model file."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    """Quantisation step; 0 means not quantised. real = (stored - zero_point) * scale"""
    zero_point: int = 0


CATALOGUE: Final = "catalogue:"
"""How the path of an imported model begins; its digest follows."""

DIGEST_PATTERN: Final = r"^[0-9a-f]{64}$"
Digest = Annotated[str, StringConstraints(pattern=DIGEST_PATTERN)]
"""SHA-256 of a model file, hex: what identifies a version."""


class ModelManifest(Message):
    """A model that the inference service has loaded, tested and offers (retained)."""

    template: ClassVar = topics.MODEL
    policy: ClassVar = Policy.STATE
    cloud_event: ClassVar = "io.nxai-edge.model.v1"

    model: Level
    name: str = ""
    task: Task
    labels: tuple[str, ...]
    """Labels in tensor order, without FOMO's background."""
    width: PositiveInt
    height: PositiveInt
    channels: Literal[1, 3]
    resize_mode: ResizeMode = ResizeMode.SQUASH
    input_scaling: InputScaling = InputScaling.ZERO_TO_ONE
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Lowest confidence of a detection (`min_score` of Edge Impulse)."""
    nms_iou: float = Field(default=0.2, ge=0, le=1)
    """0.2 is what generated Edge Impulse exports use; it is not exposed by their API."""
    version: str = ""
    source: str = ""
    """Where the model comes from, for a person: a project, a file name."""
    digest: str
    """SHA-256 of the model file, hex."""
    engine: str = ""
    """Engine that runs it here and now, such as `litert` or `onnx:CPUExecutionProvider`."""
    engine_ms: float | None = None
    """Median milliseconds of one run on this machine, one thread."""
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()


class PackageManifest(Value):
    """`manifest.json` of a model package: a folder with this file and the model file beside it.

    Only the `labels` of detectors are needed; what is left out is read from the model file or has
    the default of `ModelManifest`. A `ModelManifest` written as JSON is one of these, too.
    """

    file: str = ""
    """Name of the model file in the same folder; empty: the only .tflite, .lite or .onnx there."""
    digest: str | None = None
    """SHA-256 of the model file, hex; a file with another one is refused."""
    name: str = ""
    labels: tuple[str, ...] | None = None
    """In tensor order, without FOMO's background."""
    task: Task | None = None
    resize_mode: ResizeMode | None = None
    input_scaling: InputScaling | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)
    nms_iou: float | None = Field(default=None, ge=0, le=1)
    version: str = ""
    source: str = ""
