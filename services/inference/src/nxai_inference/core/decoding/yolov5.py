"""YOLOv5: one row a candidate: centre x, centre y, width, height, objectness, classes.

As Edge Impulse's inferencing SDK v1.93 does it (classifier/postprocessing/
ei_postprocessing_common.h, `process_yolov5_f32` and its quantised twin): the score is the
objectness alone, and the suppression does not look at classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from nxai_common.contracts.models import TensorInfo
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.core.decoding.decoded import Decoded, no_findings
from nxai_inference.core.decoding.nms import suppress
from nxai_inference.core.tensors import RawOutput

OBJECTNESS: Final = 4
BEFORE_CLASSES: Final = 5

CENTRE_IN_PIXELS: Final = np.float32(2)
"""A centre beyond this is measured in pixels. Normalised centres end at 1 + half a grid cell
(1.2 at most), pixel centres of the last grid row begin at half the input size. Widths do not
tell: a normalised one may reach 4.7."""

LARGEST: Final = np.float32(2**24)
"""Coordinates beyond this are cut: float32 counts whole pixels no further, int32 stays safe."""


@dataclass(frozen=True, slots=True)
class YoloV5Decoder:
    """Decodes a first output of shape (1, candidates, 5 + labels), float32, int8 or uint8.

    Further ones, the raw maps of older Ultralytics exports, hold the same once more.
    """

    labels: int
    width: int
    """Of the input, in pixels."""
    height: int
    pixels: bool
    """Coordinates are always in pixels (version 5). Otherwise (version 6) they are 0..1, or in
    pixels as the ONNX export of Ultralytics has them: told apart by their range."""
    iou: float
    shape: tuple[int, ...] = field(repr=False)

    @classmethod
    def build(
        cls,
        outputs: Sequence[TensorInfo],
        *,
        labels: int,
        width: int,
        height: int,
        pixels: bool,
        iou: float,
    ) -> Self:
        """Return the decoder for a model.

        Raises:
            ConfigurationError: the outputs are not YOLOv5 rows for so many labels.
        """
        shape = outputs[0].shape if outputs else ()
        if len(shape) != 3 or shape[0] != 1 or min(shape) < 1:  # noqa: PLR2004 - 1, candidates, 5 + labels
            raise ConfigurationError(
                "a YOLOv5 model has a first output of shape (1, candidates, 5 + labels), this one "
                f"has {[info.shape for info in outputs]}; choose another task"
            )
        if shape[2] != BEFORE_CLASSES + labels:
            raise ConfigurationError(
                f"the model's output {shape} has {shape[2] - BEFORE_CLASSES} classes, but {labels} "
                "labels are given; give one label for each class, in the model's order"
            )
        return cls(labels, width, height, pixels, iou, tuple(shape))

    def decode(self, outputs: Sequence[RawOutput], threshold: float) -> Decoded:
        """Return the boxes that survive the suppression, best first."""
        return self.survivors(outputs, threshold)[0]

    def survivors(
        self, outputs: Sequence[RawOutput], threshold: float
    ) -> tuple[Decoded, NDArray[np.float32]]:
        """Return what `decode` does, and the row of the output behind each box.

        A row has centre x and y, width, height, the objectness, and a score for each label.
        """
        output = outputs[0]
        if output.values.shape != self.shape:
            raise RejectedError(
                f"the model gave YOLOv5 rows {output.values.shape}, expected {self.shape}"
            )
        stored = output.values[0]
        # One copied column, twice compared, costs half of two strided comparisons.
        objectness = RawOutput(output.info, np.ascontiguousarray(stored[:, OBJECTNESS])).float32
        chosen = np.flatnonzero((objectness >= np.float32(threshold)) & (objectness <= 1))
        if chosen.size == 0:
            return no_findings(), np.empty((0, self.shape[2]), np.float32)
        rows = RawOutput(output.info, stored[chosen]).float32
        in_pixels = self.pixels or _centres_in_pixels(output)
        boxes, sound = self._boxes(rows, in_pixels=in_pixels)
        boxes, scores = boxes[sound], objectness[chosen][sound]
        # fmax ignores what is not a number and lets a row without a positive class be label 0
        labels = np.fmax(rows[sound, BEFORE_CLASSES:], np.float32(0)).argmax(axis=1)
        kept = suppress(boxes, scores, iou=self.iou)
        decoded = Decoded(labels[kept], scores[kept], self._clip(boxes[kept]))
        return decoded, rows[sound][kept]

    def _boxes(
        self, rows: NDArray[np.float32], *, in_pixels: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return x, y, width, height in whole model pixels, and which rows are boxes at all."""
        size = np.array([self.width, self.height], np.float32)
        sides = rows[:, 2:4].copy()
        corners = rows[:, :2] - sides / np.float32(2)
        corners[corners < 0] = 0  # the sides stay: the box moves, it is not cut
        # Compares with pixels even where coordinates are 0..1: another quirk of the SDK.
        sides = np.where(corners + sides > size, size - corners, sides)
        boxes = np.concatenate((corners, sides), axis=1)
        # The SDK skips negative sides; what is not a number would be undefined there.
        sound = ~(sides < 0).any(axis=1) & np.isfinite(boxes).all(axis=1)
        if not in_pixels:
            boxes *= np.tile(size, 2)
        boxes = np.where(sound[:, None], boxes, np.float32(0))
        return np.minimum(boxes, LARGEST).astype(np.int32), sound

    def _clip(self, boxes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Cut boxes at the edges of the input."""
        size = np.array([self.width, self.height], np.int32)
        near = np.minimum(boxes[:, :2], size)
        far = np.minimum(boxes[:, :2] + boxes[:, 2:], size)
        return np.concatenate((near, far - near), axis=1)


def _centres_in_pixels(output: RawOutput) -> bool:
    """Tell whether any candidate, however weak, lies where no normalised one can."""
    farthest = output.values[0, :, 0].max(keepdims=True)
    return bool(RawOutput(output.info, farthest).float32[0] > CENTRE_IN_PIXELS)
