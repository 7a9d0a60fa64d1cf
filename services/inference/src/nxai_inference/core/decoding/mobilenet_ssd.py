"""MobileNet-SSD: the suppression is inside the model; its four outputs are final boxes.

As Edge Impulse's inferencing SDK v1.93 does it (classifier/postprocessing/
ei_postprocessing_common.h, `process_object_detection`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from nxai_common.contracts.models import TensorInfo
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.core.decoding.decoded import Decoded
from nxai_inference.core.tensors import RawOutput

OUTPUTS: Final = 4
CORNERS: Final = 4


@dataclass(frozen=True, slots=True)
class MobileNetSsdDecoder:
    """Decodes scores (1, N), boxes (1, N, 4) and classes (1, N).

    A box is y start, x start, y end, x end in 0..1 of the input. The output that counts the boxes
    is not read, as in the SDK: a row that is not filled has a score of zero.
    """

    labels: int
    width: int
    """Of the input, in pixels."""
    height: int
    scores_at: int
    boxes_at: int
    classes_at: int
    rows: int

    @classmethod
    def build(cls, outputs: Sequence[TensorInfo], *, labels: int, width: int, height: int) -> Self:
        """Return the decoder for a model.

        Edge Impulse exports scores, boxes, count, classes; TensorFlow's own operator gives boxes,
        classes, scores, count. The place of the boxes tells which one it is.

        Raises:
            ConfigurationError: these are not the four outputs of a detection operator.
        """
        shapes = [info.shape for info in outputs]
        boxes_at = next((i for i, s in enumerate(shapes) if len(s) == 3 and s[2] == CORNERS), -1)  # noqa: PLR2004 - 1, N, 4
        places = {1: (0, 3), 0: (2, 1)}.get(boxes_at)
        if len(shapes) != OUTPUTS or places is None:
            raise ConfigurationError(
                "a MobileNet-SSD model has the outputs scores (1, N), boxes (1, N, 4), count and "
                f"classes (1, N), this one has {shapes}; choose another task"
            )
        rows = shapes[boxes_at][1]
        if any(shapes[place] != (1, rows) for place in places):
            raise ConfigurationError(
                f"the model's outputs {shapes} do not hold a score and a class for {rows} boxes"
            )
        return cls(labels, width, height, places[0], boxes_at, places[1], rows)

    def decode(self, outputs: Sequence[RawOutput], threshold: float) -> Decoded:
        """Return the boxes whose score reaches the threshold, in the model's order.

        Raises:
            RejectedError: an output changed its shape, or a class has no label.
        """
        scores = outputs[self.scores_at].float32
        boxes = outputs[self.boxes_at].values
        classes = outputs[self.classes_at].float32
        if (scores.shape, boxes.shape, classes.shape) != (
            (1, self.rows),
            (1, self.rows, CORNERS),
            (1, self.rows),
        ):
            raise RejectedError(
                f"the model gave scores {scores.shape}, boxes {boxes.shape}, classes "
                f"{classes.shape} for {self.rows} rows"
            )
        # A score of zero means "nothing here" in the SDK's result, whatever the threshold.
        chosen = np.flatnonzero((scores[0] >= np.float32(threshold)) & (scores[0] > 0))
        numbers = classes[0, chosen]
        if not ((numbers >= 0) & (numbers < self.labels)).all():
            raise RejectedError(
                f"the model found the classes {numbers.tolist()}, but has {self.labels} labels; "
                "give one label for each class, in the model's order"
            )
        found = self.boxes(outputs, chosen)
        return Decoded(numbers.astype(np.intp), scores[0, chosen], found)

    def boxes(self, outputs: Sequence[RawOutput], rows: NDArray[np.intp]) -> NDArray[np.int32]:
        """Return the boxes of some rows, in model pixels."""
        # Clamped, and what is not a number is the edge.
        corners = np.nan_to_num(outputs[self.boxes_at].float32[0, rows], nan=0.0).clip(0, 1)
        size = np.array([self.height, self.width], np.float32)
        starts = corners[:, :2] * size
        extents = np.maximum(corners[:, 2:] - corners[:, :2], np.float32(0)) * size
        found = np.stack((starts[:, 1], starts[:, 0], extents[:, 1], extents[:, 0]), axis=1)
        return found.astype(np.int32)
