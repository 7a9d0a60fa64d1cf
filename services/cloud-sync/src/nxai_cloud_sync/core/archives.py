"""What Edge Impulse puts into its archives: which files matter, and what they say.

Names and forms are those of real exports of the years 2021 to 2026. A form that is not known is
not guessed: what it would have said is missing, and `Stated.notes` says so.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Final

from nxai_cloud_sync.core.catalogue import Origin
from nxai_cloud_sync.core.importing import Stated
from nxai_common.contracts.models import InputScaling, ResizeMode, Task
from nxai_common.errors import RejectedError

MAX_ENTRIES: Final = 20_000
"""A C++ library of Edge Impulse has about 3,000 files."""
MAX_TEXT_BYTES: Final = 4 * 1024 * 1024
"""Of a header, a list of labels, a manifest; the largest real ones have 30 kB."""
MAX_SOURCE_BYTES: Final = 96 * 1024 * 1024
"""Of a C array: six characters a byte, so a model of 16 MB; three times as much memory is used
for a moment. Libraries since 2025 have the model itself."""
MAX_LABELS: Final = 10_000
LONGEST_LABEL: Final = 200
"""Characters."""

MODEL_SUFFIXES: Final = (".tflite", ".lite", ".onnx")
MANIFEST: Final = "manifest.json"
LABELS: Final = ("labels.txt", "labels.csv")
_SOURCE_SUFFIXES: Final = (".h", ".hpp", ".c", ".cc", ".cpp")
_MODEL_FOLDER: Final = "tflite-model"
_PARAMETER_FOLDER: Final = "model-parameters"
_METADATA: Final = "model_metadata.h"
_VARIABLES: Final = "model_variables.h"
_COMPILED: Final = "_compiled"
_SHOWN: Final = 5

NOT_EON: Final = (
    "build the deployment 'C++ library' again with the engine 'TensorFlow Lite' (not 'EON "
    "Compiler'), or download 'TensorFlow Lite (float32)' from the Dashboard of the project"
)


@dataclass(frozen=True, slots=True)
class Contents:
    """Which files of an archive matter; empty: there is none."""

    models: tuple[str, ...] = ()
    """Model files, one of which is to be taken."""
    sources: tuple[str, ...] = ()
    """C sources, one of which holds the model."""
    manifest: str = ""
    metadata: str = ""
    variables: str = ""
    labels: str = ""
    detects: bool | None = None
    """Whether the example beside it detects objects (or classifies); None: it does not tell."""


def look_through(names: Sequence[str]) -> Contents:
    """Find what matters among the names of an archive's files.

    Raises:
        RejectedError: no model in a form that can be used; says what to choose instead.
    """
    paths = [PurePosixPath(name) for name in names if not name.endswith("/")]
    paths = [path for path in paths if "__MACOSX" not in path.parts]
    manifests = [path for path in paths if path.name == MANIFEST]
    models = [path for path in paths if path.suffix.lower() in MODEL_SUFFIXES]
    for manifest in sorted(manifests, key=_depth):
        beside = [path for path in models if path.parent == manifest.parent]
        if beside:
            return Contents(models=_names(beside), manifest=str(manifest))
    parameters = _first(
        path for path in paths if path.name == _VARIABLES and path.parent.name == _PARAMETER_FOLDER
    ) or _first(
        path for path in paths if path.name == _METADATA and path.parent.name == _PARAMETER_FOLDER
    )
    if parameters is not None:
        return _export(paths, parameters.parent)
    if models:
        labels = _first(path for path in paths if path.name.lower() in LABELS)
        return Contents(
            models=_names(models),
            labels=str(labels) if labels else "",
            detects=_example(paths),
        )
    raise RejectedError(_nothing(paths))


def _export(paths: Sequence[PurePosixPath], parameters: PurePosixPath) -> Contents:
    """Look through a C++ or Arduino library."""
    folder = parameters.parent / _MODEL_FOLDER
    inside = [path for path in paths if path.parent == folder]
    models = [path for path in inside if path.suffix.lower() in MODEL_SUFFIXES]
    sources = [
        path
        for path in inside
        if path.suffix.lower() in _SOURCE_SUFFIXES and _COMPILED not in path.stem
    ]
    named = {path.name: str(path) for path in paths if path.parent == parameters}
    if not models and not sources:
        compiled = any(_COMPILED in path.stem for path in inside)
        reason = (
            "it was built with the EON Compiler, which turns the model into program code"
            if compiled
            else f"its folder {folder} has no model file: it was built for one kind of chip"
        )
        raise RejectedError(f"the library has no model in it: {reason}; {NOT_EON}")
    return Contents(
        models=_names(models),
        sources=_names(sources),
        metadata=named.get(_METADATA, ""),
        variables=named.get(_VARIABLES, ""),
    )


def _nothing(paths: Sequence[PurePosixPath]) -> str:
    if any(path.suffix.lower() == ".eim" for path in paths):
        return (
            "the archive has an .eim file, an executable for one kind of machine, which is not "
            f"executed here; {NOT_EON}"
        )
    inner = [str(path) for path in paths if path.suffix.lower() == ".zip"]
    if inner:
        return f"the archive has another archive in it ({inner[0]}); unpack it and import that one"
    if any(path.name in ("saved_model.pb", "keras_metadata.pb") for path in paths):
        return f"the archive has a TensorFlow SavedModel, which cannot be run here; {NOT_EON}"
    shown = ", ".join(str(path) for path in paths[:_SHOWN]) or "nothing"
    return (
        f"the archive has no model file ({', '.join(MODEL_SUFFIXES)}) and is no library of Edge "
        f"Impulse; it has: {shown}; {NOT_EON}"
    )


def _example(paths: Sequence[PurePosixPath]) -> bool | None:
    names = " ".join(path.name.lower() for path in paths if path.suffix.lower() == ".py")
    if "object_detection" in names or "fomo" in names:
        return True
    return False if "classification" in names else None


def _first(paths: Iterable[PurePosixPath]) -> PurePosixPath | None:
    return min(paths, key=_depth, default=None)


def _depth(path: PurePosixPath) -> tuple[int, str]:
    return len(path.parts), str(path)


def _names(paths: Sequence[PurePosixPath]) -> tuple[str, ...]:
    return tuple(str(path) for path in sorted(paths, key=_depth))


def only(names: Sequence[str], prefer: str = "") -> str:
    """Return the one model file of an archive, the one called `prefer` where there are several.

    Raises:
        RejectedError: several, and none is preferred.
    """
    wanted = [name for name in names if PurePosixPath(name).name == prefer] or list(names)
    if len(wanted) == 1:
        return wanted[0]
    raise RejectedError(
        f"the archive has {len(wanted)} model files ({', '.join(wanted[:_SHOWN])}); import the one "
        "that is meant by itself"
    )


# -- labels ---------------------------------------------------------------------------------------


def read_labels(text: str, *, detects: bool | None, fomo: bool = False) -> Stated:
    """Return the labels of a text with one a line.

    Edge Impulse lists FOMO's background in `labels.txt`, although it is no label.

    Args:
        text: Of the file.
        detects: Whether the model detects objects; None: not known.
        fomo: Whether it is known to be FOMO.

    Raises:
        RejectedError: none, or no list of labels.
    """
    labels = tuple(line.strip() for line in text.strip("\ufeff\r\n\t ").splitlines())
    if not any(labels):
        raise RejectedError("the list of labels is empty; write one label a line")
    if "" in labels or len(labels) > MAX_LABELS or max(map(len, labels)) > LONGEST_LABEL:
        raise RejectedError(
            "the list of labels is none: it has empty lines, more than "
            f"{MAX_LABELS} labels or one with more than {LONGEST_LABEL} characters"
        )
    notes: tuple[str, ...] = ()
    if labels[0].lower() == "background" and len(labels) > 1 and (fomo or detects is not False):
        labels = labels[1:]
        notes = ("the first line of the labels, 'background', is none of FOMO's and was left out",)
    return Stated(labels=labels, notes=notes)


# -- the headers of a library ---------------------------------------------------------------------


def read_export(metadata: str, variables: str) -> Stated:
    """Return what `model_metadata.h` and `model_variables.h` say of the model.

    Raises:
        RejectedError: it is none for pictures, or of a kind that cannot be run here.
    """
    defines = _defines(metadata)
    _refuse_other_sensors(defines)
    notes: list[str] = []
    project = _number(defines.get("EI_CLASSIFIER_PROJECT_ID")) or 0
    name = _string(defines.get("EI_CLASSIFIER_PROJECT_NAME", "")) or _member_string(
        variables, "project_name"
    )
    deployment = defines.get("EI_CLASSIFIER_PROJECT_DEPLOY_VERSION", "").strip()
    labels = _categories(variables)
    if labels is None:
        notes.append("the library does not name the labels")
    resize_mode = _RESIZE_MODES.get(_last(defines.get("EI_CLASSIFIER_RESIZE_MODE", "")))
    if resize_mode is None:
        notes.append(
            "the library does not say how pictures are resized; squash is assumed, say another "
            "resize mode if the impulse has one"
        )
    task = _task(defines, variables)
    threshold = _threshold(defines, variables)
    if threshold is None and task is not Task.CLASSIFICATION:
        notes.append("the library does not state a threshold; 0.5 is assumed")
    scaling = _scaling(variables)
    if scaling is None:
        notes.append("the library does not say how pixels are scaled; 0..1 is assumed")
    said_by = f"Edge Impulse project {name} ({project})" if name else "Edge Impulse"
    return Stated(
        title=name,
        labels=labels,
        task=task,
        width=_number(defines.get("EI_CLASSIFIER_INPUT_WIDTH")) or 0,
        height=_number(defines.get("EI_CLASSIFIER_INPUT_HEIGHT")) or 0,
        resize_mode=resize_mode,
        input_scaling=scaling,
        threshold=threshold,
        nms_iou=_nms_iou(variables),
        version=f"deployment {deployment}" if deployment else "",
        source=f"{said_by}, deployment {deployment}" if deployment else said_by,
        origin=Origin(project=project, project_name=name, artefact=_artefact(defines)),
        notes=tuple(notes),
    )


_RESIZE_MODES: Final = {
    "EI_CLASSIFIER_RESIZE_NONE": ResizeMode.SQUASH,
    "EI_CLASSIFIER_RESIZE_FIT_SHORTEST": ResizeMode.FIT_SHORT,
    "EI_CLASSIFIER_RESIZE_FIT_LONGEST": ResizeMode.FIT_LONG,
    "EI_CLASSIFIER_RESIZE_SQUASH": ResizeMode.SQUASH,
}
_SCALINGS: Final = {
    "NONE": InputScaling.ZERO_TO_ONE,
    "0_255": InputScaling.ZERO_TO_255,
    "TORCH": InputScaling.TORCH,
    "MIN1_1": InputScaling.MINUS_ONE_TO_ONE,
    "MIN128_127": InputScaling.MINUS_128_TO_127,
    "BGR_SUBTRACT_IMAGENET_MEAN": InputScaling.BGR_SUBTRACT_IMAGENET_MEAN,
}
_LAST_LAYERS: Final = {
    "SSD": Task.MOBILENET_SSD,
    "FOMO": Task.FOMO,
    "YOLOV5": Task.YOLOV5,
    "YOLOV5_V5_DRPAI": Task.YOLOV5_V5,
}
_DEFINE: Final = re.compile(
    r"^[ \t]{0,40}#[ \t]{0,40}define[ \t]{1,40}(EI_\w{1,200})[ \t]{1,200}(\S.*)$", re.MULTILINE
)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.){0,1000})"')
_CATEGORIES: Final = re.compile(
    r"ei_classifier_inferencing_categories\w{0,80}\s{0,9}\[[^\]]{0,40}\]\s{0,9}=\s{0,9}\{"
)
_GAP: Final = re.compile(r"[ \t\r\n,]*")
_NUMBER: Final = r"([0-9]{1,9}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})"
"""All repetitions here have an end: a text made for it would else be searched for hours."""


def _defines(text: str) -> dict[str, str]:
    """Return the macros of a header; of one that is defined twice the first."""
    found: dict[str, str] = {}
    for name, value in _DEFINE.findall(text):
        found.setdefault(name, value)
    return found


def _refuse_other_sensors(defines: dict[str, str]) -> None:
    sensor = _last(defines.get("EI_CLASSIFIER_SENSOR", ""))
    if sensor and not sensor.endswith("_CAMERA"):
        raise RejectedError(
            f"the library is for another kind of sensor ({sensor}), not for pictures of a camera"
        )
    if (_number(defines.get("EI_CLASSIFIER_INPUT_FRAMES")) or 1) > 1:
        raise RejectedError("the model reads several pictures at once; only one can be given")
    if _number(defines.get("EI_CLASSIFIER_HAS_VISUAL_ANOMALY")):
        raise RejectedError(
            "the model finds visual anomalies; FOMO, YOLOv5, MobileNet-SSD and classification can "
            "be run here"
        )


def _task(defines: dict[str, str], variables: str) -> Task | None:
    """Return what the output is.

    Raises:
        RejectedError: of a kind that cannot be run here.
    """
    if defines.get("EI_CLASSIFIER_OBJECT_DETECTION", "").strip() == "0":
        return Task.CLASSIFICATION
    stated = _last(defines.get("EI_CLASSIFIER_OBJECT_DETECTION_LAST_LAYER", ""))
    layer = stated.removeprefix("EI_CLASSIFIER_LAST_LAYER_")
    if not layer:
        named = re.search(r"EI_CLASSIFIER_LAST_LAYER_(\w+)", variables)
        layer = named.group(1) if named else ""
    if layer in ("", "UNKNOWN"):
        return None
    if layer not in _LAST_LAYERS:
        raise RejectedError(
            f"the model is of the kind {layer}; FOMO, YOLOv5, MobileNet-SSD and classification can "
            "be run here"
        )
    return _LAST_LAYERS[layer]


def _threshold(defines: dict[str, str], variables: str) -> float | None:
    texts = re.findall(
        rf"\.(?:object_detection_)?threshold\s{{0,9}}=\s{{0,9}}{_NUMBER}f?\s{{0,9}},", variables
    )
    texts.append(defines.get("EI_CLASSIFIER_OBJECT_DETECTION_THRESHOLD", ""))
    for text in texts:
        value = _fraction(text)
        if value:  # 0 stands where a classifier has none
            return value
    return None


def _nms_iou(variables: str) -> float | None:
    found = re.search(rf"{_NUMBER}f?\s{{0,9}}/\*\s{{0,9}}NMS IOU threshold", variables)
    return _fraction(found.group(1)) if found else None


def _scaling(variables: str) -> InputScaling | None:
    found = re.search(r"EI_CLASSIFIER_IMAGE_SCALING_(\w+)", variables)
    return _SCALINGS.get(found.group(1)) if found else None


def _artefact(defines: dict[str, str]) -> str:
    kind = _last(defines.get("EI_CLASSIFIER_TFLITE_INPUT_DATATYPE", ""))
    if kind.endswith("_FLOAT32"):
        return "float32"
    return "int8" if kind.endswith("INT8") else ""


def _categories(variables: str) -> tuple[str, ...] | None:
    begin = _CATEGORIES.search(variables)
    if begin is None:
        return None
    labels = []
    place = begin.end()
    while (quoted := _QUOTED.match(variables, _after_gap(variables, place))) is not None:
        labels.append(_unescape(quoted.group(1)))
        place = quoted.end()
        if len(labels) > MAX_LABELS:
            raise RejectedError(f"model_variables.h names more than {MAX_LABELS} labels")
    return tuple(labels) or None


def _after_gap(text: str, place: int) -> int:
    gap = _GAP.match(text, place)
    return place if gap is None else gap.end()


def _member_string(variables: str, member: str) -> str:
    found = re.search(rf"\.{member}\s{{0,9}}=\s{{0,9}}", variables)
    quoted = _QUOTED.match(variables, found.end()) if found else None
    return _unescape(quoted.group(1)) if quoted else ""


def _string(text: str) -> str:
    quoted = _QUOTED.fullmatch(text.strip())
    return _unescape(quoted.group(1)) if quoted else ""


_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match.group(1), match.group(1)), text)


def _last(text: str) -> str:
    return text.split(maxsplit=1)[0].strip("()") if text.strip() else ""


def _number(text: str | None) -> int | None:
    shown = _last(text or "")
    return int(shown) if re.fullmatch(r"[0-9]{1,9}", shown) else None


def _fraction(text: str) -> float | None:
    shown = _last(text).rstrip("fF")
    if re.fullmatch(_NUMBER, shown) is None:
        return None
    value = float(shown)
    return value if 0 <= value <= 1 else None


# -- a model as a C array -------------------------------------------------------------------------

_ARRAY: Final = re.compile(rb"\{\s{0,9}(?=[0-9])")
_HEAD_TOKENS: Final = re.compile(rb"[0-9A-Fa-fxX]{1,4}")
_LENGTH: Final = re.compile(rb"_len\s{0,9}=\s{0,9}([0-9]{1,12})")
_MAX_ARRAYS: Final = 1000
"""Looked at in one source; a source with a model has one."""
_HEAD: Final = 200
"""Characters that hold the first eight numbers of an array, or the length behind it."""
_MAX_ODD_BYTES: Final = 8 * 1024 * 1024
"""Of an array that is not written as Edge Impulse does: fifty times as much memory is used."""
_GAPS: Final = b" \t\r\n,"


def read_array(source: bytes, name: str) -> bytes | None:
    """Return the TensorFlow Lite model that a C source holds as an array; None: it holds none.

    Args:
        source: Text of the file.
        name: Of the file, for messages.

    Raises:
        RejectedError: damaged, or several models.
    """
    found: list[int] = []
    for begin in islice(_ARRAY.finditer(source), _MAX_ARRAYS):
        head = _HEAD_TOKENS.findall(source, begin.end(), begin.end() + _HEAD)[:8]
        if [_byte(token) for token in head[4:8]] == [*b"TFL3"]:
            found.append(begin.end())
    if not found:
        return None
    if len(found) > 1:
        raise RejectedError(f"{name} holds {len(found)} models; only one can be imported")
    first = found[0]
    last = source.find(b"}", first)
    if last < 0:
        raise RejectedError(f"{name} is cut off within its array; get it again")
    content = _bytes_of(source[first:last], name)
    if content[4:8] != b"TFL3":  # the array ends, or is no array, before what was found above
        raise RejectedError(f"{name} is damaged at the beginning of its array; get it again")
    stated = _LENGTH.search(source, last, last + _HEAD)
    if stated is not None and int(stated.group(1)) != len(content):
        raise RejectedError(
            f"{name} holds {len(content)} bytes, but says that it is {int(stated.group(1))}; "
            "get it again"
        )
    return content


def _byte(token: bytes) -> int:
    try:
        return int(token, 0)
    except ValueError:
        return -1


def _bytes_of(text: bytes, name: str) -> bytes:
    """Return the numbers of an array: two hexadecimal digits each, or whatever C allows."""
    compact = text.translate(None, _GAPS)
    count, rest = divmod(len(compact), 4)
    usual = compact[0::4] == b"0" * count and compact[1::4].lower() == b"x" * count
    try:
        if rest == 0 and usual:
            digits = bytearray(2 * count)
            digits[0::2], digits[1::2] = compact[2::4], compact[3::4]
            return bytes.fromhex(digits.decode("ascii"))
        if len(text) <= _MAX_ODD_BYTES:
            return bytes(int(token, 0) for token in text.translate(_COMMAS_TO_SPACES).split())
    except ValueError:  # of bytes(): numbers beyond 255; of decode(): no ASCII
        pass
    raise RejectedError(
        f"{name} holds an array that is not written as Edge Impulse writes it; get it again"
    )


_COMMAS_TO_SPACES: Final = bytes.maketrans(b",", b" ")
