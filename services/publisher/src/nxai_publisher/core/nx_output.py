"""From a result to the Nx output object (topic `output`).

Field by field as the Nx AI Manager prints it. Where its documents leave a choice:

* `output` holds the raw tensors when the result carries them (FOMO, classification). Without
  them, rather than printing nothing or a tensor that we do not have, it holds the detections in
  the form the Nx documents give to bounding boxes: one output named
  ``bboxes-format:xyxysc;0:label;1:label...`` of shape [N, 6], each row x1, y1, x2, y2, score,
  class, in pixels of the original picture; a classifier's probabilities become
  ``scores-0:label;1:label...`` of shape [1, labels].
* `baseRGB` holds the model's input pixels exactly as the model read them, `h` x `w` x `c` bytes:
  a gray model's with `c` 1, not the same byte three times. It is empty when the result carries
  no picture (certain, or switched off); `h`, `w`, `c` are then still the size of the input.
"""

import base64
import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nxai_common.contracts.configuration import NxOutputOptions
from nxai_common.contracts.models import Task
from nxai_common.contracts.outputs import NxOutput, Output
from nxai_common.contracts.results import InferenceResult, Tensor

FLOAT32_CODE: Final = 1
"""ONNX TensorProto.FLOAT."""

Float32 = npt.NDArray[np.float32]


def output_of(
    result: InferenceResult,
    options: NxOutputOptions,
    *,
    device: str,
    camera_index: int,
    camera_name: str,
) -> Output:
    """Return the message for one result (free of contradictions)."""
    named, dims = _raw_tensors(result) if result.tensors else _as_tensors(result)
    ordered = options.format == "orderedArray"
    picture = result.image or result
    captured_ms = result.captured_at_us // 1000
    entry = NxOutput(
        deviceId=options.device_id or device,
        modelId=result.model,
        sourceId=f"input-{camera_index}",
        sourceName=camera_name,
        outputType="json",
        outputFormat=options.format,
        outputDims=dims,
        outputDataTypes=[FLOAT32_CODE] * len(dims),
        output=list(named.values()) if ordered else named,
        timestamp=captured_ms,
        sourceDate=iso_ms(captured_ms),
        uncertain=int(result.uncertain),
        baseRGB=_base_rgb(result),
        h=picture.height,
        w=picture.width,
        c=picture.channels,
    )
    return Output(camera=result.camera, entries=(entry,))


def iso_ms(unix_ms: int) -> str:
    """Return ``2026-11-22T10:00:00.123Z``."""
    seconds, ms = divmod(unix_ms, 1000)
    return f"{_iso_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=8)  # frames of one second share all but the milliseconds
def _iso_second(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _raw_tensors(result: InferenceResult) -> tuple[dict[str, Any], list[list[int]]]:
    """Return name -> flat values, in graph order, and the shapes."""
    named: dict[str, Any] = {}
    for tensor in result.tensors:
        name = tensor.name
        while name in named:  # a graph may name two outputs alike; none may vanish
            name += "'"
        named[name] = _values(tensor, result)
    return named, [list(tensor.shape) for tensor in result.tensors]


def _values(tensor: Tensor, result: InferenceResult) -> Float32:
    count = tensor.length // 4
    if count == 0:
        return np.empty(0, np.float32)
    values = np.frombuffer(result.attachment, "<f4", count, tensor.offset)
    # orjson reads floats through a pointer, which must lie on a multiple of four.
    return values if values.flags.aligned else values.copy()


def _as_tensors(result: InferenceResult) -> tuple[dict[str, Any], list[list[int]]]:
    """Return what was decoded, in the form of a tensor, for a result without raw ones."""
    if result.task is Task.CLASSIFICATION:
        scores = {item.label: item.confidence for item in result.classifications}
        labels = (*result.labels, *(label for label in scores if label not in result.labels))
        values = np.array([scores.get(label, math.nan) for label in labels], np.float32)
        return {_name("scores-", labels): values}, [[1, len(labels)]]
    labels = result.labels
    unknown = {d.label: None for d in result.detections if d.label not in labels}
    if unknown:  # a label the model does not declare: -1 would mean padding, so number it on
        labels = (*labels, *unknown)
    rows = np.empty((len(result.detections), 6), np.float32)
    index = _index(labels)
    for row, item in zip(rows, result.detections, strict=True):
        box = item.box
        row[:] = (
            box.x,
            box.y,
            box.x + box.width,
            box.y + box.height,
            item.confidence,
            index[item.label],
        )
    return {_name("bboxes-format:xyxysc;", labels): rows.ravel()}, [[len(rows), 6]]


@lru_cache(maxsize=64)  # one entry a model
def _index(labels: tuple[str, ...]) -> dict[str, int]:
    return {label: number for number, label in enumerate(labels)}


@lru_cache(maxsize=64)
def _name(prefix: str, labels: tuple[str, ...]) -> str:
    """Return an Nx output name; ``;`` separates its parts, so it cannot be inside one."""
    parts = (f"{n}:{label.replace(';', ',')}" for n, label in enumerate(labels))
    return prefix + ";".join(parts)


def _base_rgb(result: InferenceResult) -> str:
    image = result.image
    if image is None:
        return ""
    pixels = memoryview(result.attachment)[image.offset : image.offset + image.length]
    return base64.b64encode(pixels).decode("ascii")
