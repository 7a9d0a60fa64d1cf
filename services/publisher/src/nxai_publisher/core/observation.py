"""What one result says about its camera: how many of each label, and how sure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from nxai_common.contracts.models import Task
from nxai_common.contracts.results import InferenceResult

LATEST_CAPTURE_US: Final = 253_402_300_800_000_000
"""The year 10000, where `datetime` ends; a camera clock cannot be right beyond it."""

LARGEST_INTEGER: Final = 2**63 - 1
"""What a database column and orjson hold."""

LARGEST_COORDINATE: Final = 1e9
"""Far beyond any picture, and far below where float32 ends."""

MAJORITY: Final = 0.5
"""A class with at least half of the probability is what the picture shows: no other class can
have more. Below it, a classifier of many classes would "see" something in every picture."""

FLOAT32_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Observation:
    """What is seen in one frame, label by label."""

    counts: dict[str, int]
    """Objects per label; every label of the model is there, zero included."""
    confidences: dict[str, float]
    """Highest confidence per label seen."""
    total: int
    """Objects of all labels."""


def observe(result: InferenceResult) -> Observation:
    """Count the objects of a result.

    For a classifier the most probable label counts as seen once when it has the majority.
    """
    counts = dict.fromkeys(result.labels, 0)
    confidences: dict[str, float] = {}
    for detection in result.detections:
        label = detection.label
        counts[label] = counts.get(label, 0) + 1
        if detection.confidence > confidences.get(label, -1.0):
            confidences[label] = detection.confidence
    total = len(result.detections)
    if result.task is Task.CLASSIFICATION and result.classifications:
        best = max(result.classifications, key=lambda item: item.confidence)
        if best.confidence >= MAJORITY:
            counts[best.label] = counts.get(best.label, 0) + 1
            confidences[best.label] = best.confidence
            total += 1
    return Observation(counts, confidences, total)


def contradiction(result: InferenceResult) -> str:
    """Return why a result cannot be true, or an empty string.

    The contract lets numbers pass that no clock, database or picture can have; one of them must
    not stop the results that follow it.
    """
    doubts = chain(_impossible_numbers(result), _impossible_shapes(result))
    return next(doubts, "")


def _impossible_numbers(result: InferenceResult) -> Iterator[str]:
    if not 0 <= result.captured_at_us < LATEST_CAPTURE_US:
        yield f"captured_at_us {result.captured_at_us} is not a time between 1970 and 9999"
    if (
        max(result.sequence, result.width, result.height, result.source_width, result.source_height)
        > LARGEST_INTEGER
    ):
        yield "its sequence or one of its sizes does not fit in 64 bits"
    for detection in result.detections:
        box = detection.box
        size = abs(box.x) + abs(box.y) + box.width + box.height + abs(detection.confidence)
        if not size < LARGEST_COORDINATE:  # NaN is not less than anything
            yield f"detection {detection.label!r} has a number that no picture has: {box!r}"
    for item in result.classifications:
        if not abs(item.confidence) < LARGEST_COORDINATE:
            yield f"confidence {item.confidence} of {item.label!r} is not a probability"
    if not abs(result.timing.engine_ms) + abs(result.timing.decode_ms) < LARGEST_COORDINATE:
        yield f"no model needs that long: {result.timing!r}"


def _impossible_shapes(result: InferenceResult) -> Iterator[str]:
    for tensor in result.tensors:
        if math.prod(tensor.shape) * FLOAT32_BYTES != tensor.length:
            yield (
                f"tensor {tensor.name!r} of shape {list(tensor.shape)} float32 "
                f"cannot have {tensor.length} bytes"
            )
    image = result.image
    if image is not None and image.width * image.height * image.channels != image.length:
        yield (
            f"image of {image.width}x{image.height}x{image.channels} "
            f"cannot have {image.length} bytes"
        )
