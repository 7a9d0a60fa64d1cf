"""Asks the strategies of one model on one camera, in their order."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nxai_common.contracts.collecting import (
    BandStrategy,
    CollectStrategy,
    EntropyStrategy,
    FlickerStrategy,
    IntervalStrategy,
    LeastConfidenceStrategy,
    MarginStrategy,
    NothingFoundStrategy,
    RandomStrategy,
    UncertainStrategy,
)
from nxai_common.contracts.results import CollectReason
from nxai_inference.core.collecting.band import Band
from nxai_inference.core.collecting.doubt import (
    Doubtful,
    Entropy,
    FlaggedByRule,
    LeastConfidence,
    Margin,
    Measure,
    UnsurePlaces,
)
from nxai_inference.core.collecting.look import Look
from nxai_inference.core.collecting.over_time import Flicker, Interval
from nxai_inference.core.collecting.places import Places, places_of
from nxai_inference.core.collecting.slices import NothingFoundSlice, RandomSlice
from nxai_inference.core.decoding import Decoder

Key = tuple[CollectStrategy, tuple[str, ...]]
"""What a memory is of: the strategy, and the labels where it counts them."""


class Strategy(Protocol):
    """Wants some frames."""

    def judge(self, look: Look) -> CollectReason | None:
        """Return why the frame is wanted, or None."""
        ...


class Memory(Strategy, Protocol):
    """A strategy that remembers earlier frames."""

    def watch(self, look: Look) -> None:
        """Take note of a frame, whoever wants it. Called before `judge`, for every frame."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: one model on one camera."""

    decoder: Decoder
    labels: tuple[str, ...]
    """In tensor order, without a background."""
    threshold: float
    """Lowest confidence of a detection on this camera."""
    rng: random.Random
    """Draws the random slices."""


class Collector:
    """The strategies of one model on one camera, and what they remember."""

    def __init__(
        self,
        wanted: Sequence[CollectStrategy],
        subject: Subject,
        earlier: "Collector | None" = None,
    ) -> None:
        """Put the strategies of a configuration together.

        Args:
            wanted: In the order in which they are asked.
            subject: The model and the camera.
            earlier: The one before: what a strategy remembers stays, unless its configuration (or
                the labels that it counts) changed.
        """
        self.memories: dict[Key, Memory] = {}
        known: Mapping[Key, Memory] = {} if earlier is None else earlier.memories
        places = places_of(subject.decoder, subject.labels, subject.threshold)
        unsure = UnsurePlaces(places)
        strategies: list[Strategy] = []
        for each in wanted:
            measure = _measure(each)
            memory = _memory(each, subject.labels)
            if measure is not None:
                unsure.include(measure)
                strategies.append(Doubtful(measure, unsure))
            elif memory is not None:
                key, fresh = memory
                strategies.append(self.memories.setdefault(key, known.get(key, fresh)))
            else:
                strategies.append(_other(each, subject, places))
        self._strategies = tuple(strategies)

    def judge(self, look: Look) -> CollectReason | None:
        """Return why the picture of a frame shall be kept, or None."""
        for memory in self.memories.values():
            memory.watch(look)
        for strategy in self._strategies:
            reason = strategy.judge(look)
            if reason is not None:
                return reason
        return None


def _measure(wanted: CollectStrategy) -> Measure | None:
    match wanted:
        case LeastConfidenceStrategy():
            return LeastConfidence(wanted.above)
        case MarginStrategy():
            return Margin(wanted.below)
        case EntropyStrategy():
            return Entropy(wanted.above)
        case _:
            return None


def _memory(wanted: CollectStrategy, labels: tuple[str, ...]) -> tuple[Key, Memory] | None:
    match wanted:
        case FlickerStrategy():
            return (wanted, labels), Flicker(labels, wanted.changes, wanted.within_s)
        case IntervalStrategy():
            return (wanted, ()), Interval(wanted.every_s)
        case _:
            return None


def _other(wanted: CollectStrategy, subject: Subject, places: Places) -> Strategy:
    match wanted:
        case UncertainStrategy():
            return FlaggedByRule(subject.threshold)
        case BandStrategy():
            return Band(places, subject.labels, subject.threshold, wanted.width)
        case RandomStrategy():
            return RandomSlice(wanted.fraction, subject.rng)
        case NothingFoundStrategy():
            return NothingFoundSlice(wanted.fraction, subject.rng)
        case _:
            raise TypeError(f"no strategy is known for {type(wanted).__name__}")
