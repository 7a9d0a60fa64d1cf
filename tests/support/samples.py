"""Collected pictures for tests of cloud-sync: messages, JPEGs, and what is known of them."""

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from nxai_cloud_sync.core.sample import LabelledBox, NewSample
from nxai_common.contracts.models import Task
from nxai_common.contracts.samples import Sample
from support.results import SECOND_US, START_US, detection

WIDTH, HEIGHT = 64, 48


@lru_cache(maxsize=4096)
def jpeg(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Return a picture that differs for each seed, also to the eye of a perceptual hash."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 9), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST).save(
        file, "JPEG", quality=90
    )
    return file.getvalue()


def message(sequence: int = 0, *labels: str, **changes: Any) -> Sample:
    """Return what capture sends of a frame that shows some labels, a second after the last."""
    fields: dict[str, Any] = {
        "camera": "front",
        "stream": "run-1",
        "sequence": sequence,
        "captured_at_us": START_US + sequence * SECOND_US,
        "width": WIDTH,
        "height": HEIGHT,
        "model": "m5-nut",
        "model_version": "3",
        "model_digest": "ab" * 32,
        "task": Task.FOMO,
        "labels": ("nut", "bolt"),
        "reason": "nut 0.41 is below 0.5",
        "value": 0.5,
        "detections": tuple(detection(label, 0.41, (8, 8, 16, 12)) for label in labels),
        "attachment": jpeg(sequence),
        **changes,
    }
    return Sample(**fields)


def sample(sequence: int = 0, *labels: str, **changes: Any) -> NewSample:
    """Return a picture to be kept that shows some labels, captured a second after the last."""
    fields: dict[str, Any] = {
        "camera": "front",
        "stream": "run-1",
        "sequence": sequence,
        "captured_at_us": START_US + sequence * SECOND_US,
        "stored_at_us": START_US + sequence * SECOND_US + 1000,
        "width": WIDTH,
        "height": HEIGHT,
        "model": "m5-nut",
        "model_version": "3",
        "model_digest": "ab" * 32,
        "labels": ("nut", "bolt"),
        "strategy": "uncertain",
        "reason": "nut 0.41 is below 0.5",
        "value": 0.5,
        "predictions": tuple(LabelledBox(label, 8, 8, 16, 12, 0.41) for label in labels),
        "scores": (),
        "hash": sequence,
        "jpeg": b"picture %d" % sequence,
        **changes,
    }
    return NewSample(**fields)
