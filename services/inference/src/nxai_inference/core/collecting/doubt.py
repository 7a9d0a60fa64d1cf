"""Least confidence, margin and entropy: how undecided a model was, from its raw probabilities.

As in Settles, "Active Learning Literature Survey" (2009), section 3.1. Here p1 and p2 are the
probabilities of the two likeliest classes of a place and n is the number of classes. The place
about which the model was least decided speaks for the picture. For the value each measure is
brought to 0 (sure) .. 1 (all classes alike), so that they can be compared:

====================  ==========================  ======================
strategy              wants the frame when        value
====================  ==========================  ======================
``least-confidence``  1 - p1 > `above`            (1 - p1) / (1 - 1 / n)
``margin``            p1 - p2 < `below`           1 - (p1 - p2)
``entropy``           entropy / log n > `above`   entropy / log n
====================  ==========================  ======================
"""

import math
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from nxai_common.contracts.results import CollectReason
from nxai_inference.core.collecting.look import Look
from nxai_inference.core.collecting.places import Places, Probabilities
from nxai_inference.core.uncertainty import least_sure

BISECTIONS: Final = 40
"""Halving 1 so often leaves nothing that float64 could not hold."""


class Measure(Protocol):
    """How undecided a model was about a place."""

    @property
    def name(self) -> str:
        """Of the strategy."""
        ...

    def figures(self, rows: Probabilities) -> NDArray[np.float64]:
        """Return the figure of each place; the highest is that of the least decided."""
        ...

    def wants(self, figure: float) -> bool:
        """Tell whether a picture with such a figure is wanted."""
        ...

    def value(self, figure: float, classes: int) -> float:
        """Return the figure as 0 .. 1."""
        ...

    def sure(self, classes: int) -> float:
        """Return the p1 from which on no place is wanted, whatever the other classes have."""
        ...

    def explain(self, figure: float, first: str, second: str) -> str:
        """Return why a picture is wanted, from its figure and its two likeliest classes."""
        ...


@dataclass(frozen=True, slots=True)
class LeastConfidence:
    """The likeliest class is not likely. The figure: 1 - p1."""

    above: float
    name: str = "least-confidence"

    def figures(self, rows: Probabilities) -> NDArray[np.float64]:
        """Return 1 - p1 of each place."""
        return np.asarray(1 - rows.max(axis=1), np.float64)

    def wants(self, figure: float) -> bool:
        """Tell whether a picture with such a figure is wanted."""
        return figure > self.above

    def value(self, figure: float, classes: int) -> float:
        """Return the figure, of the most it can be."""
        return figure / (1 - 1 / classes)

    def sure(self, classes: int) -> float:  # noqa: ARG002 - the same for any number
        """Return the p1 from which on no place is wanted."""
        return 1 - self.above

    def explain(self, figure: float, first: str, second: str) -> str:  # noqa: ARG002 - part of the port
        """Return why a picture is wanted."""
        return f"{first} at best, which leaves {figure:.3f} > {self.above:g}"


@dataclass(frozen=True, slots=True)
class Margin:
    """The two likeliest classes are close. The figure: p2 - p1."""

    below: float
    name: str = "margin"

    def figures(self, rows: Probabilities) -> NDArray[np.float64]:
        """Return p2 - p1 of each place."""
        best = np.partition(rows, (-2, -1), axis=1)
        return np.asarray(best[:, -2] - best[:, -1], np.float64)

    def wants(self, figure: float) -> bool:
        """Tell whether a picture with such a figure is wanted."""
        return -figure < self.below

    def value(self, figure: float, classes: int) -> float:  # noqa: ARG002 - the same for any number
        """Return 1 - (p1 - p2)."""
        return 1 + figure

    def sure(self, classes: int) -> float:  # noqa: ARG002 - the same for any number
        """Return the p1 from which on no place is wanted: p2 is at most 1 - p1."""
        return (1 + self.below) / 2

    def explain(self, figure: float, first: str, second: str) -> str:
        """Return why a picture is wanted."""
        return f"{first} and {second} are {abs(figure):.3f} apart < {self.below:g}"


@dataclass(frozen=True, slots=True)
class Entropy:
    """The classes are evenly likely. The figure: entropy / log n."""

    above: float
    name: str = "entropy"

    def figures(self, rows: Probabilities) -> NDArray[np.float64]:
        """Return the entropy of each place, of the most it can be."""
        logs = np.log(rows, out=np.zeros_like(rows), where=rows > 0)
        return np.asarray((rows * logs).sum(axis=1) / -math.log(rows.shape[1]), np.float64)

    def wants(self, figure: float) -> bool:
        """Tell whether a picture with such a figure is wanted."""
        return figure > self.above

    def value(self, figure: float, classes: int) -> float:  # noqa: ARG002 - the figure knows it
        """Return the figure."""
        return figure

    def sure(self, classes: int) -> float:
        """Return the p1 from which on no place is wanted: the others share the rest evenly."""
        low, high = 1 / classes, 1.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            rest = (1 - middle) / (classes - 1)
            row = np.array([[middle, *[rest] * (classes - 1)]])
            if self.wants(float(self.figures(row)[0])):
                low = middle
            else:
                high = middle
        return high

    def explain(self, figure: float, first: str, second: str) -> str:
        """Return why a picture is wanted."""
        return f"entropy {figure:.3f} of 1 > {self.above:g}, ahead {first} and {second}"


class UnsurePlaces:
    """The unsure places of the newest frame, worked out once for all measures."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._sure = 0.0
        self._look: Look | None = None
        self._rows: Probabilities | None = None

    def include(self, measure: Measure) -> None:
        """Also return the places that this measure may want."""
        self._sure = max(self._sure, measure.sure(max(len(self.places.classes), 2)))

    def of(self, look: Look) -> Probabilities | None:
        """Return the probabilities of the places that may be doubtful; None when none is."""
        if look is not self._look:
            self._look, self._rows = look, self.places.unsure(look, self._sure)
        return self._rows


@dataclass(frozen=True, slots=True)
class Doubtful:
    """Wants frames about which the model was undecided."""

    measure: Measure
    unsure: UnsurePlaces

    def judge(self, look: Look) -> CollectReason | None:
        """Return why the frame is wanted, or None."""
        rows = self.unsure.of(look)
        if rows is None:
            return None
        figures = self.measure.figures(rows)
        worst = figures.argmax()
        figure = float(figures[worst])
        if not self.measure.wants(figure):
            return None
        places, row = self.unsure.places, rows[worst]
        first, second = (f"{places.classes[at]} {row[at]:.3f}" for at in row.argsort()[:-3:-1])
        return CollectReason(
            strategy=self.measure.name,
            reason=f"{places.what}: {self.measure.explain(figure, first, second)}",
            value=as_value(self.measure.value(figure, len(row))),
        )


@dataclass(frozen=True, slots=True)
class FlaggedByRule:
    """Wants what the documented rule says is uncertain.

    Where the rule looks at the best of several classes, the value is that of least confidence;
    where it looks at a detection, that of `band`.
    """

    threshold: float
    """Lowest confidence of a detection."""

    def judge(self, look: Look) -> CollectReason | None:
        """Return why the frame is wanted, or None."""
        if not look.uncertain:
            return None
        return CollectReason(strategy="uncertain", reason=look.uncertain, value=self._value(look))

    def _value(self, look: Look) -> float:
        decoded = look.decoded
        best = least_sure(decoded)
        if best is None:
            return 0.0
        if decoded.cells is None and decoded.boxes is not None:
            return undecided(float(best), self.threshold)
        classes = len(decoded) if decoded.cells is None else decoded.cells.shape[1]
        return as_value((1 - float(best)) / (1 - 1 / max(classes, 2)))


def undecided(confidence: float, threshold: float) -> float:
    """Return how undecided a model is about a candidate: 1 at the threshold.

    It falls to 0 where the confidence is 0 or 1. At a threshold of 0.5 that is the least
    confidence of the two answers "an object" and "nothing".
    """
    if confidence == threshold:
        return 1.0
    if confidence > threshold:
        return as_value((1 - confidence) / (1 - threshold))
    return as_value(confidence / threshold)


def as_value(number: float) -> float:
    """Return a number as a value: 0 .. 1, rounded, as the digits beyond mean nothing."""
    return round(min(max(number, 0.0), 1.0), 4)
