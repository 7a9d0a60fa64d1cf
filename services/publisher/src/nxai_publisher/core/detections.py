"""From a result to the flat JSON of topic `detections`."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from nxai_common.contracts.outputs import Detections, ObjectFound
from nxai_common.contracts.results import Detection, InferenceResult
from nxai_publisher.core.observation import Observation


def detections_of(
    result: InferenceResult,
    seen: Observation,
    *,
    device: str,
    camera_name: str,
    now_us: int,
) -> Detections:
    """Return the message for one processed frame.

    Args:
        result: Of a model on a frame; free of contradictions (`observation.contradiction`).
        seen: What `observe` says of it.
        device: Name of the box in the topics.
        camera_name: As the user gave it.
        now_us: Unix microseconds; with `captured_at_us` the latency. Clocks that were set back
            in between give 0, not a negative latency.
    """
    captured_us = result.captured_at_us
    width, height = result.source_width, result.source_height
    return Detections(
        timestamp=utc(captured_us),
        timestamp_ms=captured_us // 1000,
        device=device,
        camera=result.camera,
        camera_name=camera_name,
        model=result.model,
        model_name=result.model_name,
        model_version=result.model_version,
        stream=result.stream,
        sequence=result.sequence,
        picture_width=width,
        picture_height=height,
        count=seen.total,
        counts=seen.counts,
        objects=objects_of(result),
        scores={item.label: item.confidence for item in result.classifications},
        uncertain=result.uncertain,
        latency_ms=latency_ms(captured_us, now_us),
        inference_ms=inference_ms(result),
    )


def objects_of(result: InferenceResult) -> tuple[ObjectFound, ...]:
    """Return the objects of a result for a message, in 0..1 of the picture and in pixels.

    They are the fields of `ObjectFound` only: the message makes objects of them.
    """
    return objects_among(result.detections, result)


def objects_among(
    detections: Iterable[Detection], result: InferenceResult
) -> tuple[ObjectFound, ...]:
    """Return some of the objects of a result, as `objects_of` does."""
    width, height = result.source_width, result.source_height
    return tuple(
        _object_of(item, width, height)  # type: ignore[misc] # pydantic makes objects of them
        for item in detections
    )


def inference_ms(result: InferenceResult) -> float:
    """Return milliseconds that the model and the reading of its output took."""
    return round(result.timing.engine_ms + result.timing.decode_ms, 3)


def latency_ms(captured_us: int, now_us: int) -> float:
    """Return milliseconds from the decoded picture to now; never negative."""
    return max(0, now_us - captured_us) / 1000


def utc(unix_us: int) -> datetime:
    """Return an aware datetime; exact to the microsecond up to the year 2255."""
    return datetime.fromtimestamp(unix_us / 1e6, UTC)


def _object_of(detection: Detection, width: int, height: int) -> dict[str, Any]:
    """Return a detection in 0..1 of the original picture, and in whole pixels inside it.

    The fields of an `ObjectFound`; pydantic makes those out of dictionaries twice as fast as out
    of calls from here.
    """
    box = detection.box
    left = _within(round(box.x), width)
    top = _within(round(box.y), height)
    return {
        "label": detection.label,
        "confidence": detection.confidence,
        "x": box.x / width,
        "y": box.y / height,
        "width": box.width / width,
        "height": box.height / height,
        "x_px": left,
        "y_px": top,
        # From the rounded edges, so that the box ends where the object does.
        "width_px": _within(round(box.x + box.width), width) - left,
        "height_px": _within(round(box.y + box.height), height) - top,
    }


def _within(value: int, limit: int) -> int:
    return min(max(value, 0), limit)
