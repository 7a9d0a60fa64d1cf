"""Where a model had to decide: cells, candidate boxes, or the whole picture.

Each kind of model gives two things that its decoder does not return: the probabilities of the
classes wherever it was not sure, and the candidates down to a confidence below the threshold.
When nothing is doubtful they cost about a microsecond, because one comparison tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from nxai_inference.core.collecting.look import Look
from nxai_inference.core.decoding import (
    ClassificationDecoder,
    Decoded,
    Decoder,
    FomoDecoder,
    MobileNetSsdDecoder,
    YoloV5Decoder,
)
from nxai_inference.core.decoding.yolov5 import BEFORE_CLASSES, OBJECTNESS

SHARE_OF_THRESHOLD: Final = 0.5
"""From this share of the threshold on something may be an object that the model missed."""

ROUNDING: Final = 0.02
"""Probabilities of a quantised model sum to 1 only within this (see `core/self_test`)."""

FEW: Final = 16
"""So many rows Python looks through faster than numpy begins."""

BACKGROUND: Final = "background"
NOTHING: Final = "nothing"

Probabilities = NDArray[np.float64]
"""(places, classes), each row sums to 1."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What may be an object."""

    labels: Sequence[int] | NDArray[np.intp]
    confidences: NDArray[np.float32]


class Places(Protocol):
    """Where one model decides."""

    @property
    def what(self) -> str:
        """One place in words, with its article."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes between which is decided, in the order of the probabilities."""
        ...

    def unsure(self, look: Look, sure: float) -> Probabilities | None:
        """Return the probabilities of places whose likeliest class is below `sure`, at least.

        None when there is none.
        """
        ...

    def candidates(self, look: Look, low: float, high: float) -> Candidates | None:
        """Return what may be an object with a confidence of `low` or more.

        None when no confidence lies from `low` to `high`, at the least.
        """
        ...


def places_of(decoder: Decoder, labels: tuple[str, ...], threshold: float) -> Places:
    """Return where a model decides.

    Args:
        decoder: Of the model.
        labels: Of the model, without a background.
        threshold: Lowest confidence of a detection.
    """
    match decoder:
        case FomoDecoder():
            return Cells(decoder, (BACKGROUND, *labels), threshold)
        case YoloV5Decoder():
            return Boxes(decoder, (NOTHING, *labels), threshold)
        case MobileNetSsdDecoder():
            return Rows(decoder, threshold)
        case ClassificationDecoder():
            return Whole(labels)
        case _:
            raise TypeError(f"no places are known of {type(decoder).__name__}")


@dataclass(frozen=True, slots=True)
class Cells:
    """FOMO: each cell is a softmax over the background and the labels.

    Most cells show background, and some of them always waver a little. So a cell is left out
    when the background is its winner and no label reaches half of the threshold in it. The closed
    system's rule looks at every cell (see `core/uncertainty`), and a smudge on the floor keeps it
    busy. Cells that touch are one object, and the sides of the surest object lie between it and
    the background: a cell is left out as well when a label is likelier in one of its eight
    neighbours. So the peak of an object speaks for it. Both exemptions are ours: without the second
    one, least confidence wants 24 % of the frames of Edge Impulse's own conveyor clip, with it 1 %
    (`tests/integration/inference/test_collecting_clip.py`). The worst peak speaks for the picture,
    as in Brust, Kaeding and Denzler, "Active Learning for Deep Object Detection" (VISAPP 2019),
    who call that the maximum aggregation.
    """

    decoder: FomoDecoder
    classes: tuple[str, ...]
    threshold: float

    @property
    def what(self) -> str:
        """A cell."""
        return "a cell"

    @property
    def _object_from(self) -> np.float32:
        return np.float32(SHARE_OF_THRESHOLD * self.threshold)

    def unsure(self, look: Look, sure: float) -> Probabilities | None:
        """Return the cells that are not sure and not left out."""
        cells = look.decoded.cells
        assert cells is not None  # noqa: S101 - a FOMO decoder always gives them
        enough = sure + ROUNDING
        # Nearly all cells are background: one comparison of one column passes them over.
        below = cells[:, 0] < enough
        if look.decoded.counted is not None:
            below &= look.decoded.counted
        places = below.nonzero()[0]
        if not places.size:
            return None
        found = cells.take(places, 0)
        if places.size <= FEW and all(max(row) >= enough for row in found.tolist()):
            return None  # sure objects
        unsure = found.max(axis=1) < enough
        places, found = places[unsure], found[unsure]
        best = found[:, 1:].max(axis=1)
        kept = (best > found[:, 0]) | (best >= self._object_from)
        if kept.any():
            kept &= self._peaks(cells)[places]
        return _distributions(found[kept])

    def candidates(self, look: Look, low: float, high: float) -> Candidates | None:
        """Decode once more, at the lower threshold, when a cell calls for it."""
        cells = look.decoded.cells
        assert cells is not None  # noqa: S101 - a FOMO decoder always gives them
        places = (cells[:, 0] < 1 - low + ROUNDING).nonzero()[0]
        if not places.size or not _any_between(cells.take(places, 0)[:, 1:], low, high):
            return None
        # Cells that touch are one object: the sides of a sure one are no candidates.
        return _counted(look, self.decoder.decode(look.outputs, low))

    def _peaks(self, cells: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return for each cell whether no neighbour has a label that is likelier than its own."""
        rows, columns = self.decoder.rows, self.decoder.columns
        best = np.zeros((rows + 2, columns + 2), np.float32)
        inside = best[1:-1, 1:-1]
        inside[:] = cells[:, 1:].max(axis=1).reshape(rows, columns)
        across = np.fmax(np.fmax(best[:, :-2], best[:, 2:]), best[:, 1:-1])
        around = np.fmax(np.fmax(across[:-2], across[2:]), across[1:-1])
        return np.asarray(inside >= around, np.bool_).reshape(-1)


@dataclass(frozen=True, slots=True)
class Boxes:
    """YOLOv5: a row has an objectness and a score for each label, each a sigmoid of its own.

    Edge Impulse's decoding takes the objectness alone for the confidence. So that is the
    probability that there is an object at all, and the scores of the labels divide it among them:
    ``1 - objectness``, then ``objectness * score / sum of scores`` for each label. Looked at are
    the rows that survive the suppression when the threshold is half of what it is: the weaker
    boxes around a sure object are no decisions of their own.
    """

    decoder: YoloV5Decoder
    classes: tuple[str, ...]
    threshold: float

    @property
    def what(self) -> str:
        """A box."""
        return "a box"

    def unsure(self, look: Look, sure: float) -> Probabilities | None:  # noqa: ARG002 - the rows that could be are few
        """Return the probabilities of the boxes."""
        found, rows = self.decoder.survivors(look.outputs, SHARE_OF_THRESHOLD * self.threshold)
        if look.ground is not None and found.boxes is not None:
            rows = rows[look.ground.inside(found.boxes)]
        if not len(rows):
            return None
        objectness = rows[:, OBJECTNESS:BEFORE_CLASSES]
        scores = np.fmax(rows[:, BEFORE_CLASSES:], 0).astype(np.float64)
        total = scores.sum(axis=1, keepdims=True)
        shares = np.divide(
            scores, total, out=np.full_like(scores, 1 / scores.shape[1]), where=total > 0
        )
        return _distributions(np.hstack((1 - objectness, objectness * shares)))

    def candidates(self, look: Look, low: float, high: float) -> Candidates | None:  # noqa: ARG002 - the decoder looks itself
        """Decode once more, at the lower threshold."""
        return _counted(look, self.decoder.decode(look.outputs, low))


@dataclass(frozen=True, slots=True)
class Rows:
    """MobileNet-SSD: the model suppresses inside and gives one score and one class a row.

    So there is an object or there is none; other classes of the same place are not told.
    """

    decoder: MobileNetSsdDecoder
    threshold: float

    @property
    def what(self) -> str:
        """A box."""
        return "a box"

    @property
    def classes(self) -> tuple[str, ...]:
        """Something or nothing."""
        return (NOTHING, "an object")

    def unsure(self, look: Look, sure: float) -> Probabilities | None:  # noqa: ARG002 - as for YOLOv5
        """Return the probabilities of the rows."""
        found = self.candidates(look, SHARE_OF_THRESHOLD * self.threshold, 1)
        if found is None:
            return None
        scores = found.confidences.astype(np.float64)
        return _distributions(np.stack((1 - scores, scores), axis=1))

    def candidates(self, look: Look, low: float, high: float) -> Candidates | None:  # noqa: ARG002 - the rows are few
        """Return the rows from `low` on.

        Not through the decoder: a row without an object may hold a class that has no label.
        """
        scores = look.outputs[self.decoder.scores_at].float32[0]
        places = ((scores >= low) & (scores > 0) & (scores <= 1)).nonzero()[0]
        if look.ground is not None:
            places = places[look.ground.inside(self.decoder.boxes(look.outputs, places))]
        if not places.size:
            return None
        numbers = look.outputs[self.decoder.classes_at].float32[0, places]
        known = (numbers >= 0) & (numbers < self.decoder.labels)
        return Candidates(np.where(known, numbers, -1).astype(np.intp), scores[places])


@dataclass(frozen=True, slots=True)
class Whole:
    """A classifier decides once, for the whole picture."""

    classes: tuple[str, ...]

    @property
    def what(self) -> str:
        """The picture."""
        return "the picture"

    def unsure(self, look: Look, sure: float) -> Probabilities | None:  # noqa: ARG002 - there is one place
        """Return the one vector; a single label leaves nothing to decide."""
        if len(self.classes) < 2:  # noqa: PLR2004 - nothing to choose from
            return None
        return _distributions(look.decoded.scores[np.newaxis])

    def candidates(self, look: Look, low: float, high: float) -> Candidates | None:  # noqa: ARG002 - there is one place
        """Return the best label."""
        scores = look.decoded.scores
        best = int(scores.argmax())
        return Candidates((best,), scores[best : best + 1])


def _counted(look: Look, decoded: Decoded) -> Candidates | None:
    if look.ground is not None:
        decoded = look.ground.limit(decoded)
    return Candidates(decoded.labels, decoded.scores) if len(decoded) else None


def _distributions(rows: NDArray[np.float32] | NDArray[np.float64]) -> Probabilities | None:
    """Return rows that sum to 1, without those that are no probabilities at all."""
    values = rows.astype(np.float64).clip(0, None)
    totals = values.sum(axis=1, keepdims=True)
    sound = (totals[:, 0] > 0) & np.isfinite(totals[:, 0])
    if not sound.any():
        return None
    return np.asarray(values[sound] / totals[sound], np.float64)


def _any_between(values: NDArray[np.float32], low: float, high: float) -> bool:
    if len(values) <= FEW:
        return any(low <= value <= high for row in values.tolist() for value in row)
    return bool(((values >= low) & (values <= high)).any())
