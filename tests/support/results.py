"""Results for tests of everything behind inference."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nxai_common.contracts.frames import Transform
from nxai_common.contracts.models import Task
from nxai_common.contracts.results import (
    Box,
    Classification,
    Detection,
    InferenceResult,
    InputImage,
    Tensor,
    Timing,
)

START_US = 1_795_341_600_000_000
"""2026-11-22T10:00:00Z."""

SECOND_US = 1_000_000


def detection(
    label: str = "nut",
    confidence: float = 0.75,
    box: tuple[float, float, float, float] = (64.0, 48.0, 32.0, 24.0),
) -> Detection:
    x, y, width, height = box
    return Detection(
        label=label,
        confidence=confidence,
        box=Box(x=x, y=y, width=width, height=height),
        model_box=(8, 8, 8, 8),
    )


def result(
    sequence: int = 0, detections: Sequence[Detection] | None = None, **changes: Any
) -> InferenceResult:
    """Return a FOMO result of a 640x480 camera at 10 fps; by default it shows one nut."""
    fields: dict[str, Any] = {
        "camera": "front",
        "input": "96x96x3_squash_exact",
        "model": "m5-nut",
        "model_name": "M5 nut",
        "model_version": "3",
        "task": Task.FOMO,
        "worker": "inference",
        "stream": "run-1",
        "sequence": sequence,
        "captured_at_us": START_US + sequence * SECOND_US // 10,
        "width": 96,
        "height": 96,
        "channels": 3,
        "source_width": 640,
        "source_height": 480,
        "transform": Transform(scale_x=640 / 96, scale_y=5.0),
        "labels": ("nut", "bolt"),
        "detections": (detection(),) if detections is None else tuple(detections),
        "timing": Timing(queue_ms=1.0, engine_ms=0.5, decode_ms=0.25),
        **changes,
    }
    return InferenceResult(**fields)


def with_tensors(base: InferenceResult, **tensors: Any) -> InferenceResult:
    """Return the result with raw outputs: name -> array of any shape."""
    body = b""
    described = []
    for name, values in tensors.items():
        array = np.ascontiguousarray(values, dtype="<f4")
        raw = array.tobytes()
        described.append(Tensor(name=name, shape=array.shape, offset=len(body), length=len(raw)))
        body += raw
    return base.model_copy(update={"tensors": tuple(described), "attachment": body})


def with_image(base: InferenceResult, pixels: Any) -> InferenceResult:
    """Return the result with the model's input pixels (uint8, height x width x channels)."""
    height, width, channels = pixels.shape
    raw = pixels.tobytes()
    body = bytes(base.attachment)
    image = InputImage(
        width=width, height=height, channels=channels, offset=len(body), length=len(raw)
    )
    return base.model_copy(update={"image": image, "attachment": body + raw})


def classified(sequence: int = 0, **scores: float) -> InferenceResult:
    """Return the result of a classifier."""
    return result(
        sequence,
        detections=(),
        task=Task.CLASSIFICATION,
        labels=tuple(scores),
        classifications=tuple(
            Classification(label=label, confidence=value) for label, value in scores.items()
        ),
    )
