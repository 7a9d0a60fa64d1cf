"""What a list tells of each picture: all of it, or as much as a message may hold."""

import json
from collections.abc import Sequence
from typing import Any, Final

from nxai_cloud_sync.core.sample import LabelledBox, StoredSample, shown_labels

LARGEST: Final = 950_000
"""Bytes of a list of `PAGE` pictures as JSON: a message over the bus that no browser waits for."""
PAGE: Final = 200
"""Pictures of a page of a gallery; a longer list may be as much larger."""
MOST: Final = (1_000_000, 100, 30, 10, 3, 0)
"""Boxes, scores and labels of each picture, tried one after the other until the list fits."""


def listed(samples: Sequence[StoredSample]) -> list[dict[str, Any]]:
    """Return what is told of pictures, ready for JSON.

    Of each: all fields of `StoredSample`, numbers rounded as a picture shows them, and `left_out`:
    how many boxes, scores and labels are missing, those that say least. That happens where there
    are very many; of one picture alone all is told.
    """
    largest = LARGEST * max(1.0, len(samples) / PAGE)
    told: list[dict[str, Any]] = []
    for most in MOST:
        told = [_told(sample, most) for sample in samples]
        if len(json.dumps(told, separators=(",", ":"))) <= largest:
            break
    return told


def _told(sample: StoredSample, most: int) -> dict[str, Any]:
    predictions = _surest(sample.predictions, most)
    scores = sorted(sample.scores, key=lambda score: -score[1])[:most]
    boxes = None if sample.boxes is None else sample.boxes[:most]
    labels = sample.labels
    if len(labels) > most:
        shown = shown_labels(predictions, scores, boxes)
        labels = tuple(dict.fromkeys((*shown, *labels)))[:most]
    left_out = (
        (len(sample.predictions) - len(predictions))
        + (len(sample.scores) - len(scores))
        + (len(sample.boxes or ()) - len(boxes or ()))
        + max(0, len(sample.labels) - len(labels))
    )
    return {
        "id": sample.id,
        "camera": sample.camera,
        "captured_at_us": sample.captured_at_us,
        "stored_at_us": sample.stored_at_us,
        "width": sample.width,
        "height": sample.height,
        "bytes": sample.bytes,
        "model": sample.model,
        "model_version": sample.model_version,
        "model_digest": sample.model_digest,
        "labels": list(labels),
        "strategy": sample.strategy,
        "reason": sample.reason,
        "value": round(sample.value, 4),
        "predictions": [_box(box) for box in predictions],
        "scores": [[label, round(score, 4)] for label, score in scores],
        "state": sample.state.value,
        "state_reason": sample.state_reason,
        "attempts": sample.attempts,
        "boxes": None if boxes is None else [_box(box) for box in boxes],
        "remote_id": sample.remote_id,
        "uploaded_at_us": sample.uploaded_at_us,
        "duplicate": sample.duplicate,
        "left_out": left_out,
    }


def _surest(boxes: Sequence[LabelledBox], most: int) -> Sequence[LabelledBox]:
    """Return the surest ones in the order in which all were."""
    if len(boxes) <= most:
        return boxes
    places = sorted(range(len(boxes)), key=lambda place: -(boxes[place].confidence or 0.0))
    return [boxes[place] for place in sorted(places[:most])]


def _box(box: LabelledBox) -> dict[str, Any]:
    return {
        "label": box.label,
        "x": round(box.x, 2),
        "y": round(box.y, 2),
        "width": round(box.width, 2),
        "height": round(box.height, 2),
        "confidence": None if box.confidence is None else round(box.confidence, 4),
    }
