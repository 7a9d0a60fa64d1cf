"""What a model is, read from its tensors alone, and whether that fits what a person says of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from nxai_common.contracts.frames import MAX_PIXEL_BYTES, MAX_SIDE
from nxai_common.contracts.models import Task, TensorInfo
from nxai_common.errors import ConfigurationError

FOMO_FACTORS: Final = (8, 4, 16, 2, 32)
"""Input pixels per cell and axis. Edge Impulse's default cuts MobileNetV2 at 8; the others
come from moving the cut point in its expert mode."""

_CHANNELS: Final[tuple[Literal[1, 3], ...]] = (1, 3)
_YOLOV5_STRIDES: Final = (8, 16, 32)
_YOLOV5_ANCHORS: Final = 3
_YOLOV5_FIELDS: Final = 5
"""x, y, width, height and objectness stand before the classes of a row."""


@dataclass(frozen=True, slots=True)
class InputGeometry:
    """The picture that a model reads."""

    width: int
    height: int
    channels: Literal[1, 3]
    channels_first: bool
    """NCHW (PyTorch, Ultralytics' ONNX export) instead of NHWC (TensorFlow)."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """All that the tensors tell."""

    geometry: InputGeometry
    task: Task
    label_count: int | None
    """How many labels the output has room for; None: the output does not tell (SSD)."""
    tensor: TensorInfo
    """The output that told."""


def input_geometry(inputs: Sequence[TensorInfo]) -> InputGeometry:
    """Return what picture the model reads.

    Args:
        inputs: The model's input tensors.

    Raises:
        ConfigurationError: not one picture of known size, gray or RGB, that a frame can carry.
    """
    if len(inputs) != 1:
        raise ConfigurationError(
            f"the model has {len(inputs)} inputs ({_named(inputs)}); "
            "only models that read one picture can be used"
        )
    tensor = inputs[0]
    check_dimensions(tensor, "input")
    if len(tensor.shape) == 4 and tensor.shape[0] == 1:  # noqa: PLR2004 - batch, height, width, channels
        _, first, second, third = tensor.shape
        for channels in _CHANNELS:
            if third == channels:
                return _carried(InputGeometry(second, first, channels, channels_first=False))
        for channels in _CHANNELS:
            if first == channels:
                return _carried(InputGeometry(third, second, channels, channels_first=True))
    raise ConfigurationError(
        f"input {tensor.name!r} has shape {list(tensor.shape)}; a picture is [1, height, width, "
        "channels] or [1, channels, height, width] with 1 or 3 channels"
    )


def _carried(geometry: InputGeometry) -> InputGeometry:
    width, height, channels = geometry.width, geometry.height, geometry.channels
    size = f"the model reads pictures of {width}x{height}x{channels}"
    smaller = "export the model with a smaller input"
    if max(width, height) > MAX_SIDE:
        raise ConfigurationError(
            f"{size}; a frame has at most {MAX_SIDE} pixels a side, so {smaller}"
        )
    needed = width * height * channels
    if needed > MAX_PIXEL_BYTES:
        raise ConfigurationError(
            f"{size} = {needed} bytes; a frame carries at most {MAX_PIXEL_BYTES}, so {smaller}"
        )
    return geometry


def check_dimensions(tensor: TensorInfo, what: str) -> None:
    """Refuse dynamic and empty dimensions.

    Raises:
        ConfigurationError: names the tensor and its shape.
    """
    if min(tensor.shape, default=1) < 1:
        shown = ", ".join("?" if n < 0 else str(n) for n in tensor.shape)
        raise ConfigurationError(
            f"{what} {tensor.name!r} has shape [{shown}] with a dynamic or empty dimension; "
            "export the model with a fixed input size"
        )


def find_facts(
    inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo], task: Task | None = None
) -> ModelFacts:
    """Tell what a model is from the shapes of its tensors.

    Args:
        inputs: Its input tensors.
        outputs: Its output tensors in graph order, with the shapes that a run really gives.
        task: What a person says it is; needed only to tell YOLOv5's versions 5 and 6 apart.

    Raises:
        ConfigurationError: nothing known, or not the task that was said.
    """
    geometry = input_geometry(inputs)
    for tensor in outputs:
        check_dimensions(tensor, "output")
    found = _recognise(geometry, outputs)
    if found is None:
        raise ConfigurationError(
            f"the outputs of the model ({_named(outputs)}) with an input of "
            f"{geometry.width}x{geometry.height} are none of FOMO, YOLOv5, MobileNet-SSD or image "
            "classification"
        )
    if task is None or task is found.task:
        return found
    if {task, found.task} == {Task.YOLOV5, Task.YOLOV5_V5}:
        return ModelFacts(geometry, task, found.label_count, found.tensor)
    raise ConfigurationError(
        f"the model is said to be {task.value}, but its outputs ({_named(outputs)}) are those of "
        f"{found.task.value}; correct the task or leave it out"
    )


def check_labels(facts: ModelFacts, labels: Sequence[str] | None) -> tuple[str, ...]:
    """Return the labels of the model, numbered where a classifier came without.

    Args:
        facts: Of the model.
        labels: In tensor order, without background; None when nobody named them.

    Raises:
        ConfigurationError: missing, twice the same, or not as many as the tensor has room for.
    """
    room = facts.label_count
    where = f"output {facts.tensor.name!r} of shape {list(facts.tensor.shape)}"
    if not labels:
        if facts.task is Task.CLASSIFICATION and room is not None:
            return numbered_labels(facts)
        wanted = "its labels" if room is None else f"{room} label{'s'[: room != 1]}"
        raise ConfigurationError(
            f"the model has no labels; name {wanted} in tensor order "
            f"({where}), in manifest.json, in the settings or with --labels a,b"
        )
    twice = sorted({label for label in labels if list(labels).count(label) > 1})
    if twice or not all(label.strip() for label in labels):
        raise ConfigurationError(f"labels {list(labels)} must all differ and not be empty")
    if room is not None and len(labels) != room:
        hint = ""
        if facts.task is Task.FOMO and len(labels) == room + 1:
            hint = "; leave out the background, it is not a label"
        raise ConfigurationError(
            f"{len(labels)} labels are given ({', '.join(labels)}), but {where} is of a "
            f"{facts.task.value} model with {room}{hint}"
        )
    return tuple(labels)


def numbered_labels(facts: ModelFacts) -> tuple[str, ...]:
    """Return stand-ins for labels that nobody named: ``class 0``, ``class 1`` ..."""
    return tuple(f"class {index}" for index in range(facts.label_count or 0))


def _recognise(geometry: InputGeometry, outputs: Sequence[TensorInfo]) -> ModelFacts | None:
    boxes = _ssd_boxes(outputs)
    if boxes is not None:
        return ModelFacts(geometry, Task.MOBILENET_SSD, None, boxes)
    match [tensor.shape for tensor in outputs]:
        case [(1, rows, columns, channels)] if channels > 1 and _is_cells(geometry, rows, columns):
            return ModelFacts(geometry, Task.FOMO, channels - 1, outputs[0])
        # Older Ultralytics exports give the three raw feature maps (five dimensions) as well.
        case [(1, rows, fields), *maps] if (
            fields > _YOLOV5_FIELDS
            and rows == yolov5_rows(geometry)
            and all(len(shape) == 5 for shape in maps)  # noqa: PLR2004 - said above
        ):
            return ModelFacts(geometry, Task.YOLOV5, fields - _YOLOV5_FIELDS, outputs[0])
        case [(1, labels)]:
            return ModelFacts(geometry, Task.CLASSIFICATION, labels, outputs[0])
        case _:
            return None


def yolov5_rows(geometry: InputGeometry) -> int:
    """Return how many candidate boxes a YOLOv5 gives: three per cell of three grids."""
    cells = ((geometry.width // n) * (geometry.height // n) for n in _YOLOV5_STRIDES)
    return _YOLOV5_ANCHORS * sum(cells)


def _is_cells(geometry: InputGeometry, rows: int, columns: int) -> bool:
    """Whether the grid is the input divided by one of FOMO's factors, rounded either way."""
    return any(
        rows in (geometry.height // factor, -(-geometry.height // factor))
        and columns in (geometry.width // factor, -(-geometry.width // factor))
        for factor in FOMO_FACTORS
    )


def _ssd_boxes(outputs: Sequence[TensorInfo]) -> TensorInfo | None:
    """Return the boxes of a detection operator, or None when these are not its outputs.

    Edge Impulse exports scores, boxes, count, classes; TensorFlow's own operator gives boxes,
    classes, scores, count.
    """
    match [tensor.shape for tensor in outputs]:
        case [(1, scores), (1, rows, 4), (1,) | (), (1, classes)] if scores == rows == classes:
            return outputs[1]
        case [(1, rows, 4), (1, classes), (1, scores), (1,) | ()] if scores == rows == classes:
            return outputs[0]
        case _:
            return None


def _named(tensors: Sequence[TensorInfo]) -> str:
    return ", ".join(f"{t.name!r} {list(t.shape)}" for t in tensors) or "none"
