"""Edge Impulse's post-processing, restated line by line from the pseudo code of the reference.

Slow on purpose: scalar loops in float32, nothing shared with the service, so that a mistake in
one is not a mistake in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F = np.float32


@dataclass
class SdkBox:
    """One box of the SDK's result."""

    label: int
    x: int
    y: int
    width: int
    height: int
    value: float

    @property
    def row(self) -> tuple[int, int, int, int, int, float]:
        return (self.label, self.x, self.y, self.width, self.height, float(F(self.value)))


def _touches(cube: SdkBox, x: int, y: int, w: int, h: int) -> bool:
    if cube.x + cube.width < x:
        return False
    if cube.y + cube.height < y:
        return False
    if cube.x > x + w:
        return False
    return not cube.y > y + h


def _grow(cube: SdkBox, x: int, y: int, w: int, h: int, value: float) -> None:
    if x < cube.x:
        cube.x = x
        cube.width += cube.x - x
    if y < cube.y:
        cube.y = y
        cube.height += cube.y - y
    if x + w > cube.x + cube.width:
        cube.width = x + w - cube.x
    if y + h > cube.y + cube.height:
        cube.height = y + h - cube.y
    cube.value = max(cube.value, value)


def _cubes(cells: NDArray[np.float32], threshold: float) -> list[SdkBox]:
    cubes: list[SdkBox] = []
    rows, columns, classes = cells.shape
    for row in range(rows):
        for column in range(columns):
            for k in range(1, classes):
                value = F(cells[row, column, k])
                if value < F(threshold):
                    continue
                for cube in cubes:
                    if cube.label == k - 1 and _touches(cube, column, row, 1, 1):
                        _grow(cube, column, row, 1, 1, float(value))
                        break
                else:
                    cubes.append(SdkBox(k - 1, column, row, 1, 1, float(value)))
    return cubes


def fomo(cells: NDArray[np.float32], threshold: float, factor: int) -> list[SdkBox]:
    """Decode a (rows, columns, classes) map."""
    cubes = _cubes(cells, threshold)
    accepted: list[SdkBox] = []
    found: list[SdkBox] = []
    for cube in cubes:
        taken = False
        for other in accepted:
            if other.label == cube.label and _touches(
                other, cube.x, cube.y, cube.width, cube.height
            ):
                _grow(other, cube.x, cube.y, cube.width, cube.height, cube.value)
                taken = True
                break
        if not taken:
            accepted.append(cube)
            found.append(
                SdkBox(
                    cube.label,
                    cube.x * factor,
                    cube.y * factor,
                    cube.width * factor,
                    cube.height * factor,
                    cube.value,
                )
            )
    return found


def iou(a: Sequence[np.float32], b: Sequence[np.float32]) -> np.float32:
    """Overlap of two boxes given as y1, x1, y2, x2."""
    area_a = (a[2] - a[0]) * (a[3] - a[1])
    area_b = (b[2] - b[0]) * (b[3] - b[1])
    if area_a <= 0 or area_b <= 0:
        return F(0)
    height = max(F(min(a[2], b[2]) - max(a[0], b[0])), F(0))
    width = max(F(min(a[3], b[3]) - max(a[1], b[1])), F(0))
    intersection = F(height * width)
    return F(intersection / F(F(area_a + area_b) - intersection))


def nms(boxes: list[SdkBox], threshold: float, width: int, height: int) -> list[SdkBox]:
    """Suppress, clip and sort; equal scores stay in order."""
    candidates = [box for box in boxes if box.value > 0]
    candidates.sort(key=lambda box: -box.value)
    kept: list[SdkBox] = []
    for box in candidates:
        corners = [F(box.y), F(box.x), F(box.y + box.height), F(box.x + box.width)]
        if all(
            iou(corners, [F(k.y), F(k.x), F(k.y + k.height), F(k.x + k.width)]) < F(threshold)
            for k in kept
        ):
            kept.append(box)
    clipped = []
    for box in kept:
        y1 = min(max(box.y, 0), height)
        x1 = min(max(box.x, 0), width)
        y2 = min(max(box.y + box.height, 0), height)
        x2 = min(max(box.x + box.width, 0), width)
        clipped.append(SdkBox(box.label, x1, y1, x2 - x1, y2 - y1, box.value))
    return clipped


def yolov5(
    rows: NDArray[np.float32],
    threshold: float,
    *,
    version: int,
    width: int,
    height: int,
    nms_iou: float,
) -> list[SdkBox]:
    """Decode (candidates, 5 + labels) rows."""
    boxes = []
    for row in rows:
        xc, yc, w, h, score = (F(v) for v in row[:5])
        x = F(xc - F(w / F(2)))
        y = F(yc - F(h / F(2)))
        x = max(x, F(0))
        y = max(y, F(0))
        if F(x + w) > width:
            w = F(width - x)
        if F(y + h) > height:
            h = F(height - y)
        if w < 0 or h < 0:
            continue
        label = 0
        best = F(0)
        for k, value in enumerate(row[5:]):
            if value > best:
                best = value
                label = k
        if F(threshold) <= score <= 1:
            if version != 5:
                x, y, w, h = F(x * width), F(y * height), F(w * width), F(h * height)
            boxes.append(SdkBox(label, int(x), int(y), int(w), int(h), float(score)))
    return nms(boxes, nms_iou, width, height)
