"""FOMO: a coarse map of class probabilities; neighbouring cells of a class become one box.

As Edge Impulse's inferencing SDK v1.93 does it (classifier/postprocessing/
ei_postprocessing_common.h, `process_fomo_f32` and `process_fomo_i8`), quirks included.
FOMO finds centroids: the centre of a box is where the object is, its size only says how many
cells fired.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nxai_common.contracts.models import TensorInfo
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.core.decoding.decoded import Decoded, no_findings
from nxai_inference.core.tensors import RawOutput


@dataclass(slots=True)
class Cube:
    """A rectangle of cells of one class while it grows (the SDK's word for it)."""

    label: int
    x: int
    y: int
    score: float
    width: int = 1
    height: int = 1

    def touches(self, x: int, y: int, width: int, height: int) -> bool:
        """Tell whether a rectangle overlaps this one or shares an edge or a corner with it."""
        return not (
            self.x + self.width < x
            or self.y + self.height < y
            or self.x > x + width
            or self.y > y + height
        )

    def grow(self, x: int, y: int, width: int, height: int, score: float) -> None:
        """Take in a rectangle.

        The quirk: growing to the left or upwards moves the corner but does not widen the cube,
        because the SDK adds ``cube.x - x`` to the width after it has set ``cube.x = x``. A FOMO
        decoder without it gives other boxes for about 62 % of random maps.
        """
        self.x = min(self.x, x)
        self.y = min(self.y, y)
        self.width = max(self.width, x + width - self.x)
        self.height = max(self.height, y + height - self.y)
        self.score = max(self.score, score)


@dataclass(frozen=True, slots=True)
class FomoDecoder:
    """Decodes one output of shape (1, rows, columns, 1 + labels), background first.

    Maps that are not square are read row by row. (The SDK swaps the two loop bounds, which is
    the same thing for the square maps that Edge Impulse's Studio makes.)
    """

    rows: int
    columns: int
    classes: int
    """With the background."""
    cell: int
    """Model pixels a cell, on both axes: input width // columns."""
    shape: tuple[int, ...] = field(repr=False)

    @classmethod
    def build(cls, outputs: Sequence[TensorInfo], *, labels: int, width: int) -> Self:
        """Return the decoder for a model.

        Args:
            outputs: The model's output tensors.
            labels: How many labels it has, without the background.
            width: Of the input, in pixels.

        Raises:
            ConfigurationError: these outputs are not a FOMO map for so many labels.
        """
        shape = outputs[0].shape if outputs else ()
        if len(outputs) != 1 or len(shape) != 4 or shape[0] != 1 or min(shape) < 1:  # noqa: PLR2004 - 1, rows, columns, classes
            raise ConfigurationError(
                "a FOMO model has one output of shape (1, rows, columns, classes), this one has "
                f"{[info.shape for info in outputs]}; choose another task"
            )
        _, rows, columns, classes = shape
        if classes != labels + 1:
            raise ConfigurationError(
                f"the model's output {shape} has {classes - 1} classes besides the background, but "
                f"{labels} labels are given; give one label for each class, in the model's order"
            )
        return cls(rows, columns, classes, width // columns, tuple(shape))

    def decode(self, outputs: Sequence[RawOutput], threshold: float) -> Decoded:
        """Return the cubes as boxes, in the SDK's order."""
        values = outputs[0].float32
        if values.shape != self.shape:
            raise RejectedError(f"the model gave a FOMO map {values.shape}, expected {self.shape}")
        cells = values.reshape(-1, self.classes)
        foreground = cells[:, 1:]
        hits = np.flatnonzero(foreground >= np.float32(threshold))
        if hits.size == 0:
            return no_findings(cells)
        scores = foreground.reshape(-1)[hits] if hits.size > _MANY else foreground.flat[hits]
        cubes = self._gather(hits.tolist(), scores.tolist())
        return _as_decoded(_merge(cubes), self.cell, cells)

    def _gather(self, hits: list[int], scores: list[float]) -> list[Cube]:
        """Let each cell join the first cube of its class that it touches, or start a new one."""
        cubes: list[Cube] = []
        by_label: dict[int, list[Cube]] = {}
        labels = self.classes - 1
        for hit, score in zip(hits, scores, strict=True):
            cell, label = divmod(hit, labels)
            y, x = divmod(cell, self.columns)
            same = by_label.setdefault(label, [])
            for cube in same:
                if cube.touches(x, y, 1, 1):
                    cube.grow(x, y, 1, 1, score)
                    break
            else:
                cube = Cube(label, x, y, score)
                same.append(cube)
                cubes.append(cube)
        return cubes


_MANY = 256
"""From here on copying the foreground once is cheaper than `flat`, which visits hit by hit."""


def _merge(cubes: list[Cube]) -> list[tuple[int, int, int, int, int, float]]:
    """Drop cubes that touch an earlier accepted one of their class.

    The accepted one grows, but it has been reported already: only the tests of later cubes see
    its new size (the SDK's second pass).
    """
    reported: list[tuple[int, int, int, int, int, float]] = []
    by_label: dict[int, list[Cube]] = {}
    for cube in cubes:
        same = by_label.setdefault(cube.label, [])
        for earlier in same:
            if earlier.touches(cube.x, cube.y, cube.width, cube.height):
                earlier.grow(cube.x, cube.y, cube.width, cube.height, cube.score)
                break
        else:
            same.append(cube)
            reported.append((cube.label, cube.x, cube.y, cube.width, cube.height, cube.score))
    return reported


def _as_decoded(
    reported: list[tuple[int, int, int, int, int, float]], cell: int, cells: NDArray[np.float32]
) -> Decoded:
    labels = np.array([row[0] for row in reported], np.intp)
    boxes = np.array([[side * cell for side in row[1:5]] for row in reported], np.int32)
    scores = np.array([row[5] for row in reported], np.float32)
    return Decoded(labels, scores, boxes, cells)
