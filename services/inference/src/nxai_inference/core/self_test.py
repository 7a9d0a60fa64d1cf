"""Whether a model gives sensible numbers at all: run before it sees a frame.

The inputs are made here too, so that two engines can be compared on the same ones.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nxai_common.contracts.models import Task
from nxai_common.errors import RejectedError
from nxai_inference.core.model_facts import InputGeometry
from nxai_inference.core.tensors import RawOutput

_SUM_TOLERANCE: Final = 1e-3
"""FOMO ends in a softmax: float32 sums are within 1e-6 of 1, half floats within 1e-3."""
_SUM_TOLERANCE_QUANTISED: Final = 0.02
"""Each of a few channels is rounded to 1/256."""

FLOAT_TOLERANCE: Final = 1e-3
"""Engines that differ by more do not compute the same: measured 3e-5 at most (YOLOv5n)."""
STEPS_TOLERANCE: Final = 0.5
"""Mean distance of quantised outputs, in quantisation steps. 8-bit kernels round in different
places: LiteRT's own two kernel sets are up to 1.2 steps apart on noise, ONNX Runtime 0.2 from
LiteRT's default ones, and both 0 on most photographs (docs/decisions/engines.md)."""


def trial_pictures(geometry: InputGeometry) -> list[NDArray[np.uint8]]:
    """Return pictures that show what a model is worth: black, noise, a gradient, soft blobs."""
    shape = (geometry.height, geometry.width, geometry.channels)
    noise = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    y, x = np.mgrid[0 : geometry.height, 0 : geometry.width].astype(np.float32)
    across = x / max(geometry.width - 1, 1)
    waves = 0.5 + 0.25 * np.sin(x / 7.0) + 0.25 * np.cos(y / 11.0)
    channels = (1,) * geometry.channels
    gradient, blobs = (np.multiply.outer(field, channels) * 255 for field in (across, waves))
    return [np.zeros(shape, np.uint8), noise, gradient.astype(np.uint8), blobs.astype(np.uint8)]


def check_outputs(task: Task, outputs: Sequence[RawOutput]) -> None:
    """Refuse numbers that no working model gives.

    Raises:
        RejectedError: not finite, or FOMO cells whose probabilities do not sum to 1.
    """
    for output in outputs:
        values = output.float32
        if not np.isfinite(values).all():
            raise RejectedError(
                f"output {output.info.name!r} is not finite (NaN or infinite) on a test picture; "
                "the file is damaged or needs another input scaling"
            )
    if task is not Task.FOMO:
        return
    output = outputs[0]
    tolerance = _SUM_TOLERANCE if output.info.scale == 0.0 else _SUM_TOLERANCE_QUANTISED
    sums = output.float32.sum(axis=-1)
    worst = float(sums.ravel()[np.abs(sums - 1).argmax()])
    if abs(worst - 1) > tolerance:
        raise RejectedError(
            f"the probabilities of a cell in output {output.info.name!r} sum to {worst:.4f}, not "
            "1; the file is damaged or not a FOMO model"
        )


def compare(reference: Sequence[RawOutput], other: Sequence[RawOutput]) -> str | None:
    """Return how two engines' outputs for one picture disagree, or None when they agree."""
    if len(reference) != len(other):
        return f"{len(reference)} outputs against {len(other)}"
    for one, two in zip(reference, other, strict=True):
        if one.values.shape != two.values.shape or one.values.dtype != two.values.dtype:
            return (
                f"output {one.info.name!r} is {one.values.dtype} {one.values.shape} "
                f"against {two.values.dtype} {two.values.shape}"
            )
        apart = np.abs(one.values.astype(np.float64) - two.values.astype(np.float64))
        if one.values.dtype.kind in "iu":
            mean = float(apart.mean())
            if mean > STEPS_TOLERANCE:
                return (
                    f"output {one.info.name!r} is {mean:.2g} quantisation steps apart on average, "
                    f"{apart.max():.0f} at worst"
                )
            continue
        allowed = FLOAT_TOLERANCE * np.maximum(1.0, np.abs(one.values))
        if not (apart <= allowed).all():
            return f"output {one.info.name!r} is up to {apart.max():.3g} apart"
    return None
