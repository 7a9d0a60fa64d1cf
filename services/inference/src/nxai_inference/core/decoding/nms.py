"""Non-maximum suppression as Edge Impulse's SDK v1.93 does it (classifier/ei_nms.h).

The classes are not looked at: the box of a cat suppresses the box of a dog behind it.
"""

import numpy as np
from numpy.typing import NDArray


def suppress(
    boxes: NDArray[np.int32],
    scores: NDArray[np.float32],
    *,
    iou: float,
    confidence: float = 0.0,
) -> NDArray[np.intp]:
    """Return the rows to keep, best score first.

    Greedy: from the best score down, a box goes when its overlap with a kept one is `iou` or
    more. All arithmetic in float32. Equal scores stay in the order given (the SDK takes them
    from a binary heap, whose order among equals is nobody's promise).

    Args:
        boxes: (N, 4) x, y, width, height.
        scores: (N,)
        iou: Intersection over union from which the weaker box goes.
        confidence: Boxes whose score is not above this are not looked at.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > np.float32(confidence)]
    corners = boxes[order].astype(np.float32)
    corners[:, 2:] += corners[:, :2]
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    limit = np.float32(iou)
    kept: list[int] = []
    candidates = np.arange(len(order))
    while candidates.size:
        best, candidates = candidates[0], candidates[1:]
        kept.append(int(best))
        overlaps = _overlaps(corners[best], areas[best], corners[candidates], areas[candidates])
        candidates = candidates[~(overlaps >= limit)]
    return order[kept]


def _overlaps(
    box: NDArray[np.float32],
    area: np.float32,
    others: NDArray[np.float32],
    areas: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return intersection over union of one box with others; 0 where a box has no area."""
    near = np.maximum(others[:, :2], box[:2])
    far = np.minimum(others[:, 2:], box[2:])
    sides = np.maximum(far - near, np.float32(0))
    intersection = sides[:, 0] * sides[:, 1]
    real = (areas > 0) & (area > 0)
    union = np.where(real, area + areas - intersection, np.float32(1))
    return np.where(real, intersection / union, np.float32(0))
