"""Reads the Studio API's JSON: one function an answer, from parsed JSON to values of ours.

What is not used is not looked at (a server adds fields as it likes, and some hold megabytes);
what is missing or has another type is named, with the request that brought it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from nxai_cloud_sync.core.project import (
    BlockKind,
    Download,
    Impulse,
    KeyInfo,
    LearnBlock,
    LogLine,
    Metric,
    ProjectInfo,
    Role,
    TrainedModel,
    TrainingJob,
    TrainingState,
)
from nxai_common.contracts.base import explain
from nxai_common.contracts.models import InputScaling, ResizeMode, Task
from nxai_common.errors import CloudRejected

MOST_METRICS: Final = 40
"""Of one artefact; custom blocks report one a label and more."""

SUPPORTED: Final = "fomo, yolov5, yolov5v5-drpai, mobilenet-ssd, and classification"

_KINDS: Final = {
    "keras-object-detection": BlockKind.OBJECT_DETECTION,
    "keras-akida-object-detection": BlockKind.OBJECT_DETECTION,
    "keras-transfer-image": BlockKind.CLASSIFICATION,
    "keras-akida-transfer-image": BlockKind.CLASSIFICATION,
    "keras": BlockKind.CLASSIFICATION,
    "keras-akida": BlockKind.CLASSIFICATION,
}

_VARIANTS: Final = {
    "fomo_mobilenet_v2_a01": "FOMO MobileNetV2 0.1",
    "fomo_mobilenet_v2_a35": "FOMO MobileNetV2 0.35",
    "fomo_akidanet_a50": "FOMO AkidaNet 0.5",
    "object_ssd_mobilenet_v2_fpnlite_320x320": "MobileNetV2 SSD FPN-Lite 320x320",
}
"""Visual layers for a person; others are shown by their own names."""

_TASKS_OF_LAYERS: Final = (
    ("fomo_mobilenet", Task.FOMO),
    ("fomo_akidanet", Task.FOMO),
    ("object_ssd_", Task.MOBILENET_SSD),
)
"""For servers that do not name the last layer: how the names of visual layers begin."""


class _Answer(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", hide_input_in_errors=True, frozen=True
    )


A = TypeVar("A", bound=_Answer)
E = TypeVar("E", bound=StrEnum)


def _read(kind: type[A], answer: object, request: str) -> A:
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        raise CloudRejected(
            f"the answer to {request} is not as Edge Impulse describes it: {explain(error)}"
        ) from None


# -- key and project ------------------------------------------------------------------------------


class _KeyInfo(_Answer):
    project_id: int
    role: str = ""


def key_info(answer: object, request: str) -> KeyInfo:
    """Return what `/projects/api-key-info` says.

    Raises:
        CloudRejected: the answer lacks something, as with all functions here.
    """
    read = _read(_KeyInfo, answer, request)
    return KeyInfo(read.project_id, _known(Role, read.role) or Role.UNKNOWN)


class _Project(_Answer):
    id: int
    name: str
    description: str | None = None
    owner: str | None = None


class _Projects(_Answer):
    projects: list[_Project]


def key_info_of_projects(answer: object, request: str) -> KeyInfo:
    """Return the one project that `/projects` shows to a key; older servers tell no role."""
    projects = _read(_Projects, answer, request).projects
    if len(projects) != 1:
        shown = ", ".join(f"{each.id} ({each.name})" for each in projects[:5]) or "none"
        raise CloudRejected(
            f"the key shows {len(projects)} projects ({shown}), but a project's key shows one: "
            "use a key of the project (Studio: Dashboard > Keys)"
        )
    return KeyInfo(projects[0].id, Role.UNKNOWN)


class _ComputeTime(_Answer):
    time_left_ms: float | None = None


class _Performance(_Answer):
    job_limit_m: float | None = Field(default=None, alias="jobLimitM")


class _ProjectInfo(_Answer):
    project: _Project
    compute_time: _ComputeTime | None = None
    performance: _Performance | None = None
    studio_url: str | None = None


def project(answer: object, request: str) -> ProjectInfo:
    """Return what `/{project}` says."""
    read = _read(_ProjectInfo, answer, request)
    left = read.compute_time.time_left_ms if read.compute_time else None
    limit = read.performance.job_limit_m if read.performance else None
    return ProjectInfo(
        id=read.project.id,
        name=read.project.name,
        description=read.project.description or "",
        owner=read.project.owner or "",
        compute_ms_left=_whole(left),
        job_limit_minutes=_whole(limit),
        studio_url=read.studio_url or "",
    )


class _PublicProject(_Project):
    studio_url: str | None = None


def public_project(answer: object, request: str) -> ProjectInfo:
    """Return what `/{project}/public-info` says."""
    read = _read(_PublicProject, answer, request)
    return ProjectInfo(
        id=read.id,
        name=read.name,
        description=read.description or "",
        owner=read.owner or "",
        studio_url=read.studio_url or "",
    )


class _LastModification(_Answer):
    last_modification_date: str | None = None
    last_version_date: str | None = None


def last_modification(answer: object, request: str) -> str:
    """Return what `/{project}/last-modification` says, as one text."""
    read = _read(_LastModification, answer, request)
    text = f"{read.last_modification_date or ''} {read.last_version_date or ''}".strip()
    if not text:
        raise CloudRejected(f"the answer to {request} lacks lastModificationDate")
    return text


# -- impulses -------------------------------------------------------------------------------------


class _InputBlock(_Answer):
    type: str
    image_width: int | None = None
    image_height: int | None = None
    resize_mode: str | None = None
    resize_method: str | None = None
    crop_anchor: str | None = None


class _LearnBlock(_Answer):
    id: int
    type: str
    title: str | None = None
    name: str | None = None


class _Impulse(_Answer):
    id: int
    name: str | None = None
    input_blocks: list[_InputBlock] | None = None
    learn_blocks: list[_LearnBlock] | None = None


class _Impulses(_Answer):
    impulses: list[_Impulse]


class _OneImpulse(_Answer):
    impulse: _Impulse | None = None


def default_impulse(answer: object, request: str) -> int | None:
    """Return which impulse `/{project}/impulse` shows, or None when there is none yet."""
    read = _read(_OneImpulse, answer, request).impulse
    return None if read is None else read.id


def impulses(answer: object, request: str, default: int | None) -> tuple[Impulse, ...]:
    """Return the impulses of `/{project}/impulses` that read images, the default one first."""
    return _image_impulses(_read(_Impulses, answer, request).impulses, request, default)


def impulses_of_one(answer: object, request: str) -> tuple[Impulse, ...]:
    """Return the impulse of `/{project}/impulse`, where a server knows no list of them."""
    read = _read(_OneImpulse, answer, request).impulse
    return () if read is None else _image_impulses([read], request, read.id)


def _image_impulses(
    found: Sequence[_Impulse], request: str, default: int | None
) -> tuple[Impulse, ...]:
    made = []
    for impulse in found:
        for block in impulse.input_blocks or ():
            if block.type == "image":
                made.append(_image_impulse(impulse, block, request, default))
                break
    return tuple(sorted(made, key=lambda each: not each.default))


def _image_impulse(
    impulse: _Impulse, block: _InputBlock, request: str, default: int | None
) -> Impulse:
    width, height = block.image_width, block.image_height
    if not width or not height or width < 0 or height < 0:
        raise CloudRejected(
            f"the answer to {request} says for impulse {impulse.id} imageWidth {width} and "
            f"imageHeight {height}: set the size of its input in Studio"
        )
    mode = _known(ResizeMode, block.resize_mode or "") or ResizeMode.SQUASH
    anchor = block.crop_anchor or "middle-center"
    return Impulse(
        id=impulse.id,
        name=impulse.name or f"impulse {impulse.id}",
        width=width,
        height=height,
        resize_mode=mode,
        crop_anchor=anchor,
        learn_blocks=tuple(
            LearnBlock(
                id=each.id,
                kind=_KINDS.get(each.type, BlockKind.OTHER),
                title=each.title or each.name or each.type,
                type=each.type,
            )
            for each in impulse.learn_blocks or ()
        ),
        default=impulse.id == default,
        warnings=_warnings(block, mode, anchor),
    )


def _warnings(block: _InputBlock, mode: ResizeMode, anchor: str) -> tuple[str, ...]:
    warnings = []
    if block.resize_mode and block.resize_mode != mode:
        warnings.append(
            f"the impulse resizes by {block.resize_mode!r}, which is not known here: frames are "
            "squashed, as Edge Impulse's own runner does; set the resize mode to one of "
            f"{', '.join(ResizeMode)} in Studio and train again"
        )
    if mode is ResizeMode.FIT_SHORT and anchor != "middle-center":
        warnings.append(
            f"the impulse crops pictures around {anchor!r}, but frames are cropped around their "
            "centre here: the model sees another part of the picture than it was trained on; set "
            "the crop anchor to middle-center in Studio and train again"
        )
    if block.resize_method == "nearest":
        warnings.append(
            "the impulse resizes with 'nearest', frames are resized with Lanczos here: confidence "
            "may be lower than in Studio; set the resize method to lanczos3 and train again"
        )
    return tuple(warnings)


# -- trained models -------------------------------------------------------------------------------


class _Layer(_Answer):
    type: str = ""


class _Keras(_Answer):
    trained: bool | None = None
    visual_layers: list[_Layer] | None = None


def visual_layers(answer: object, request: str) -> tuple[bool, tuple[str, ...]]:
    """Return what `/{project}/training/keras/{block}` says: whether it is trained, its layers."""
    read = _read(_Keras, answer, request)
    layers = tuple(layer.type for layer in read.visual_layers or () if layer.type)
    return read.trained is not False, layers


class _Threshold(_Answer):
    key: str
    value: float | str | None = None


class _AdditionalMetric(_Answer):
    name: str
    value: float | str | None = None
    full_precision_value: float | None = None


class _Metrics(_Answer):
    type: str = ""
    loss: float | None = None
    accuracy: float | None = None
    report: Any = None
    additional_metrics: list[_AdditionalMetric] | None = None


class _Metadata(_Answer):
    has_trained_model: bool | None = None
    created: str
    class_names: list[str]
    mode: str
    object_detection_last_layer: str | None = None
    image_input_scaling: str | None = None
    available_model_types: list[str] | None = None
    thresholds: list[_Threshold] | None = None
    model_validation_metrics: list[_Metrics] | None = None


class _Trained(_Answer):
    has_trained_model: bool | None = None


def trained_model(answer: object, request: str, layers: Sequence[str]) -> TrainedModel | None:
    """Return what `/{project}/training/keras/{block}/metadata` says; None: it is not trained.

    Args:
        answer: Parsed JSON.
        request: For messages.
        layers: Of `visual_layers`.

    Raises:
        CloudRejected: the model is of a kind that nothing here decodes; names it.
    """
    if _read(_Trained, answer, request).has_trained_model is False:
        return None
    read = _read(_Metadata, answer, request)
    task = _task(read, layers)
    if not read.class_names:
        raise CloudRejected(f"the answer to {request} says that the model has no classNames")
    return TrainedModel(
        created_at=read.created,
        labels=tuple(read.class_names),
        task=task,
        input_scaling=_scaling(read.image_input_scaling),
        threshold=_threshold(read.thresholds or ()),
        available=tuple(read.available_model_types or ()),
        variant=", ".join(_VARIANTS.get(name, name) for name in layers if name in _VARIANTS),
        metrics=tuple(
            metric for each in read.model_validation_metrics or () for metric in _metrics(each)
        ),
    )


def _task(read: _Metadata, layers: Sequence[str]) -> Task:
    if read.mode == "classification":
        return Task.CLASSIFICATION
    if read.mode != "object-detection":
        raise CloudRejected(
            f"the learn block does {read.mode!r}, which nothing here decodes; supported are "
            f"{SUPPORTED}"
        )
    named = read.object_detection_last_layer
    if named is None:
        for layer in layers:
            for start, task in _TASKS_OF_LAYERS:
                if layer.startswith(start):
                    return task
        raise CloudRejected(
            "Edge Impulse does not say what the model's last layer is "
            f"(objectDetectionLastLayer); supported are {SUPPORTED}"
        )
    known = _known(Task, named)
    if known in (None, Task.CLASSIFICATION):
        raise CloudRejected(
            f"the model's last layer is {named!r}, which nothing here decodes; supported are "
            f"{SUPPORTED}"
        )
    return known


def _scaling(text: str | None) -> InputScaling:
    if text is None:
        return InputScaling.ZERO_TO_ONE
    known = _known(InputScaling, text)
    if known is None:
        raise CloudRejected(
            f"the model reads pixels scaled as {text!r} (imageInputScaling), which is not known "
            f"here; known are {', '.join(InputScaling)}"
        )
    return known


def _threshold(thresholds: Sequence[_Threshold]) -> float | None:
    for each in thresholds:
        value = _number(each.value)
        if each.key == "min_score" and value is not None and 0 <= value <= 1:
            return value
    return None


def _metrics(read: _Metrics) -> list[Metric]:
    named: dict[str, float | None] = {"accuracy": read.accuracy, "loss": read.loss}
    for each in read.additional_metrics or ():
        exact = each.full_precision_value
        named[each.name[:100]] = _number(each.value) if exact is None else exact
    if not any("f1" in name.lower() for name in named):
        named["f1"] = _f1(read.report)
    finite = [
        Metric(name, value, read.type)
        for name, value in named.items()
        if value is not None and math.isfinite(value)
    ]
    return finite[:MOST_METRICS]


def _f1(report: object) -> float | None:
    """Return the mean F1 score of a report such as scikit-learn writes."""
    if isinstance(report, Mapping):
        for kind in ("weighted avg", "macro avg"):
            row = report.get(kind)
            if isinstance(row, Mapping):
                return _number(row.get("f1-score"))
    return None


# -- downloads ------------------------------------------------------------------------------------


class _Download(_Answer):
    name: str | None = None
    type: str
    link: str
    size: int | float | str | None = None
    id: str | int | None = None


class _Downloads(_Answer):
    downloads: list[_Download]


def downloads(answer: object, request: str) -> tuple[Download, ...]:
    """Return the list of `/{project}/downloads`."""
    return tuple(
        Download(
            name=each.name or each.type,
            type=each.type,
            link=each.link,
            # Mostly a text such as "57 KB" or "120 windows".
            size=each.size if isinstance(each.size, int) else None,
            id="" if each.id is None else str(each.id),
        )
        for each in _read(_Downloads, answer, request).downloads
    )


# -- jobs -----------------------------------------------------------------------------------------


class _Job(_Answer):
    id: int
    category: str | None = None
    category_key: str | None = None
    key: str | None = None
    started: str | None = None
    finished: str | None = None
    finished_successful: bool | None = None


class _OneJob(_Answer):
    job: _Job


class _Jobs(_Answer):
    jobs: list[_Job]


class _Started(_Answer):
    id: int


def started_job(answer: object, request: str) -> int:
    """Return the job that a request started."""
    return _read(_Started, answer, request).id


def job(answer: object, request: str) -> TrainingJob:
    """Return what `/{project}/jobs/{job}/status` says."""
    return _job(_read(_OneJob, answer, request).job)


def active_training(answer: object, request: str) -> TrainingJob | None:
    """Return the training among the active jobs of `/{project}/jobs`."""
    for each in _read(_Jobs, answer, request).jobs:
        made = _job(each)
        texts = (each.category, each.category_key, each.key)
        if not made.state.ended and any("train" in (text or "").lower() for text in texts):
            return made
    return None


def _job(read: _Job) -> TrainingJob:
    if read.finished_successful is not None:
        ended = TrainingState.SUCCEEDED if read.finished_successful else TrainingState.FAILED
        state = ended
    elif read.finished:
        state = TrainingState.FAILED  # ended, and nobody says that it went well
    else:
        state = TrainingState.RUNNING if read.started else TrainingState.QUEUED
    return TrainingJob(read.id, state, read.category or read.category_key or "")


class _Line(_Answer):
    created: str | None = None
    data: str | None = None


class _Lines(_Answer):
    stdout: list[_Line]


def log_lines(answer: object, request: str) -> tuple[LogLine, ...]:
    """Return the lines of `/{project}/jobs/{job}/stdout`, oldest first."""
    newest_first = _read(_Lines, answer, request).stdout
    return tuple(
        LogLine(_time(each.created), text)
        for each in reversed(newest_first)
        for text in (each.data or "").splitlines()
        if text.strip()
    )


# -- samples --------------------------------------------------------------------------------------


class _Sample(_Answer):
    id: int
    filename: str | None = None


class _Samples(_Answer):
    samples: list[_Sample]


def sample(answer: object, request: str, file_name: str) -> int | None:
    """Return the id of the sample of this name in `/{project}/raw-data`, or None.

    Servers leave the ending of a name out, or put an id before it.
    """
    stem = file_name.rpartition(".")[0] or file_name
    for each in _read(_Samples, answer, request).samples:
        name = each.filename or ""
        if name == stem or name.startswith(f"{stem}."):
            return each.id
    return None


# -- parts ----------------------------------------------------------------------------------------


def _known(kind: type[E], text: str) -> E | None:
    return kind(text) if text in {member.value for member in kind} else None


def _number(value: object) -> float | None:
    """Return a number, also one that is written as "0.91" or "91.0%"."""
    if isinstance(value, int | float):
        return float(value)
    found = re.fullmatch(r"\s*([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(%?)\s*", str(value))
    return None if found is None else float(found[1]) / (100 if found[2] else 1)


def _whole(value: float | None) -> int | None:
    return int(value) if value is not None and math.isfinite(value) else None


def _time(text: str | None) -> datetime | None:
    try:
        made = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return made if made.tzinfo else made.replace(tzinfo=UTC)
