"""Detection areas: where objects count.

An object is where the middle of its lower edge is: where it stands, and not where its shadow or
its upper half reaches to. A polygon may cross itself; then, as for privacy masks, what its lines
go round an even number of times is outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nxai_common.contracts.configuration import DetectionAreas
from nxai_common.contracts.frames import Frame, Transform
from nxai_common.contracts.geometry import Corners, holds
from nxai_inference.core.decoding import ClassificationDecoder, Decoded, Decoder, FomoDecoder
from nxai_inference.core.geometry import to_original


@dataclass(frozen=True, slots=True)
class Areas:
    """The areas of one camera."""

    include: tuple[Corners, ...]
    exclude: tuple[Corners, ...]

    @classmethod
    def of(cls, wanted: DetectionAreas) -> Self | None:
        """Return the areas of a configuration; None: objects count everywhere."""
        if not wanted.include and not wanted.exclude:
            return None
        return cls(wanted.include, wanted.exclude)

    def hold(self, x: float, y: float) -> bool:
        """Tell whether an object that stands at this point counts."""
        if self.include and not any(holds(corners, x, y) for corners in self.include):
            return False
        return not any(holds(corners, x, y) for corners in self.exclude)


@dataclass(frozen=True, slots=True)
class Ground:
    """The areas of one camera under the input of one model."""

    areas: Areas
    transform: Transform
    width: int
    """Of the original picture."""
    height: int
    cells: NDArray[np.bool_] | None = None
    """FOMO only: (rows * columns,) the cells that count."""

    @classmethod
    def build(cls, areas: Areas, decoder: Decoder, frame: Frame) -> Self:
        """Return the ground of a model under frames like this one."""
        ground = cls(areas, frame.transform, frame.source_width, frame.source_height)
        if not isinstance(decoder, FomoDecoder):
            return ground
        side = decoder.cell
        # An object of one cell would stand there.
        boxes = [
            (column * side, row * side, side, side)
            for row in range(decoder.rows)
            for column in range(decoder.columns)
        ]
        return replace(ground, cells=np.array([ground.counts(box) for box in boxes], np.bool_))

    def lies_under(self, frame: Frame) -> bool:
        """Tell whether this is the ground under a frame."""
        return (
            frame.transform == self.transform
            and frame.source_width == self.width
            and frame.source_height == self.height
        )

    def counts(self, box: Sequence[int]) -> bool:
        """Tell whether the object in a box (x, y, width, height in model pixels) counts."""
        x, y, width, height = to_original(box, self.transform, self.width, self.height)
        return self.areas.hold((x + width / 2) / self.width, (y + height) / self.height)

    def inside(self, boxes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return which of (N, 4) boxes in model pixels count."""
        return np.array([self.counts(box) for box in boxes.tolist()], np.bool_)

    def limit(self, decoded: Decoded) -> Decoded:
        """Return what counts of what a detector found."""
        assert decoded.boxes is not None  # noqa: S101 - of a detector, as `Limit.of` sees to
        kept = self.inside(decoded.boxes)
        return Decoded(
            decoded.labels[kept],
            decoded.scores[kept],
            decoded.boxes[kept],
            decoded.cells,
            self.cells,
        )


class Limit:
    """Finds the ground under each frame of one camera; it changes when the picture's size does."""

    def __init__(self, areas: Areas, decoder: Decoder) -> None:
        self._areas = areas
        self._decoder = decoder
        self._ground: Ground | None = None

    @classmethod
    def of(cls, wanted: DetectionAreas, decoder: Decoder) -> Self | None:
        """Return the limit that areas are to a model; None: none.

        A classifier's labels belong to the whole picture: no area holds them.
        """
        areas = Areas.of(wanted)
        if areas is None or isinstance(decoder, ClassificationDecoder):
            return None
        return cls(areas, decoder)

    def ground(self, frame: Frame) -> Ground:
        """Return the ground under a frame."""
        if self._ground is None or not self._ground.lies_under(frame):
            self._ground = Ground.build(self._areas, self._decoder, frame)
        return self._ground
