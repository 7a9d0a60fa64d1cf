"""What every decoder gives: one validated value of parallel arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nxai_common.errors import RejectedError
from nxai_inference.core.tensors import RawOutput


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a model found in one picture; row i of each array is one finding."""

    labels: NDArray[np.intp]
    """(N,) index into the model's labels (FOMO's background is not one of them)."""
    scores: NDArray[np.float32]
    """(N,) confidence."""
    boxes: NDArray[np.int32] | None
    """(N, 4) x, y, width, height in model pixels, origin top left, the integers of Edge Impulse's
    SDK. None: the labels belong to the whole picture (classification)."""
    cells: NDArray[np.float32] | None = None
    """FOMO only: (rows * columns, classes) probabilities, background first. May be a view of the
    engine's output."""
    counted: NDArray[np.bool_] | None = None
    """FOMO only: (rows * columns,) the cells that lie where objects count; None: all do."""

    def __post_init__(self) -> None:
        """Refuse arrays that are not parallel, and scores that are not numbers."""
        count = len(self.labels)
        if self.scores.shape != (count,) or (
            self.boxes is not None and self.boxes.shape != (count, 4)
        ):
            raise ValueError(
                f"labels {self.labels.shape}, scores {self.scores.shape} and boxes "
                f"{None if self.boxes is None else self.boxes.shape} are not parallel"
            )
        if count and not np.isfinite(self.scores).all():
            raise RejectedError(
                f"the model gave a score that is not a number: {self.scores.tolist()[:10]}"
            )

    def __len__(self) -> int:
        """Return the number of findings."""
        return len(self.labels)


class Decoder(Protocol):
    """Reads a model's raw outputs. Pure: the same outputs and threshold give the same value."""

    def decode(self, outputs: Sequence[RawOutput], threshold: float) -> Decoded:
        """Return what the outputs say.

        Args:
            outputs: The model's output tensors, in graph order.
            threshold: Lowest confidence of a detection; compared in float32, inclusive.

        Raises:
            RejectedError: an output has another shape than the model promised, or no numbers.
        """
        ...


def no_findings(cells: NDArray[np.float32] | None = None) -> Decoded:
    """Return the value for a picture with nothing in it."""
    return Decoded(_NO_LABELS, _NO_SCORES, _NO_BOXES, cells)


_NO_LABELS = np.empty(0, np.intp)
_NO_SCORES = np.empty(0, np.float32)
_NO_BOXES = np.empty((0, 4), np.int32)
for _shared in (_NO_LABELS, _NO_SCORES, _NO_BOXES):
    _shared.flags.writeable = False
