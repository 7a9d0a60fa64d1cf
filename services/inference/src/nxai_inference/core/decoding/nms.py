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
    more. All arithmetic in float32. Among equal scores the order is that of the SDK's priority
    queue, because it decides which of two overlapping boxes stays.

    Args:
        boxes: (N, 4) x, y, width, height.
        scores: (N,)
        iou: Intersection over union from which the weaker box goes.
        confidence: Boxes whose score is not above this are not looked at.
    """
    eligible = np.flatnonzero(scores > np.float32(confidence))
    order = eligible[_best_first(scores[eligible])]
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


def _best_first(scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the SDK's order of candidates: best first, equals as its heap has them."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    if (ranked[1:] != ranked[:-1]).all():
        return order
    heap: list[tuple[float, int]] = []
    for index, score in enumerate(scores.tolist()):
        heap.append((score, index))
        _sift_up(heap, len(heap) - 1)
    return np.array([_pop(heap) for _ in range(len(heap))], np.intp)


def _sift_up(heap: list[tuple[float, int]], hole: int) -> None:
    """Let the value at `hole` rise above smaller parents (libstdc++ `std::__push_heap`)."""
    value = heap[hole]
    while hole > 0:
        parent = (hole - 1) // 2
        if heap[parent][0] >= value[0]:
            break
        heap[hole] = heap[parent]
        hole = parent
    heap[hole] = value


def _pop(heap: list[tuple[float, int]]) -> int:
    """Take the best off the heap, as libstdc++ `std::pop_heap` does and `heapq` does not.

    The hole sinks to the bottom along the larger children (the right one of two equals); only
    then the last value is put there and rises.
    """
    best = heap[0][1]
    last = heap.pop()
    size = len(heap)
    if size == 0:
        return best
    hole, right = 0, 2
    while right < size:
        child = right - 1 if heap[right][0] < heap[right - 1][0] else right
        heap[hole] = heap[child]
        hole, right = child, 2 * child + 2
    if right == size:  # a last parent with a left child only
        heap[hole] = heap[right - 1]
        hole = right - 1
    heap[hole] = last
    _sift_up(heap, hole)
    return best
