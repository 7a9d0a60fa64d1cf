"""Detections become events: objects of one label came, are there, went.

A pure state machine, one per model and camera. It is fed with what each result shows and with
silence; it knows no clock. All times are Unix microseconds of the capture.

An event starts when `start_after` results in a row show the label (one is often a flicker) and
ends when it was missing for `end_after_s`; it keeps its id from start to end. Its duration runs
from the first to the last result that showed the label.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nxai_common.contracts.configuration import EventOptions
from nxai_common.contracts.outputs import EventPhase

MICROSECONDS: Final = 1_000_000
LONGEST_RHYTHM_US: Final = 60 * MICROSECONDS
"""A camera that looks once a minute is slow, one that looks less often is followed as if it
were silent in between: nobody wants to hear of an object's leaving five minutes late."""
MISSED: Final = 3
"""One result may be late and one lost; after three times its rhythm a camera is silent."""

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class EventChange:
    """One step in the life of an event."""

    phase: EventPhase
    id: str
    label: str
    at_us: int
    """When the step was noticed: the result that showed it, or the silence."""
    started_at_us: int
    seen_at_us: int
    """Last result that showed the label."""
    count: int
    """Objects now; 0 at the end."""
    max_count: int
    confidence: float
    """Highest so far."""

    @property
    def duration_s(self) -> float:
        """From the first to the last result that showed the label."""
        return max(0, self.seen_at_us - self.started_at_us) / MICROSECONDS


@dataclass(slots=True)
class _Track:
    """One label: on probation while `id` is empty, an event under way afterwards."""

    started_at_us: int
    seen_at_us: int
    count: int = 0
    max_count: int = 0
    confidence: float = 0.0
    in_a_row: int = 0
    id: str = ""
    told_at_us: int = 0
    told: tuple[int, float] = (0, 0.0)
    """Count and confidence that the world knows."""


class EventTracker:
    """Events of all labels of one model on one camera."""

    def __init__(self, camera: str, model: str) -> None:
        self._camera = camera
        self._model = model
        self._tracks: dict[str, _Track] = {}
        self._last_us: int | None = None
        self._rhythm_us = 0

    @property
    def present(self) -> frozenset[str]:
        """Labels whose event is under way."""
        return frozenset(label for label, track in self._tracks.items() if track.id)

    def observe(
        self,
        at_us: int,
        counts: Mapping[str, int],
        confidences: Mapping[str, float],
        options: EventOptions,
    ) -> list[EventChange]:
        """Take what one result shows; return what changed.

        Args:
            at_us: Capture time. Results come in order; when a clock was set back in between,
                the waiting times start again from the new time.
            counts: Objects per label; a label that is missing counts as zero.
            confidences: Highest per label that is seen.
            options: How patient to be; may differ from one call to the next.
        """
        self._keep_time(at_us)
        changes: list[EventChange] = []
        for label, count in counts.items():
            if count > 0:
                track = self._tracks.get(label)
                if track is None:
                    track = self._tracks[label] = _Track(at_us, at_us)
                change = self._see(label, track, at_us, count, confidences.get(label, 0.0), options)
                if change is not None:
                    changes.append(change)
        for label, track in list(self._tracks.items()):
            if counts.get(label, 0) > 0:
                continue
            if not track.id:
                del self._tracks[label]  # a flicker
            elif at_us - track.seen_at_us >= options.end_after_s * MICROSECONDS:
                changes.append(self._end(label, track, at_us))
        return changes

    def patience_us(self, options: EventOptions, silence_s: float) -> int:
        """Return how long without any result means that nobody is looking any more."""
        shortest = int(max(options.end_after_s, silence_s) * MICROSECONDS)
        return max(shortest, MISSED * self._rhythm_us)

    def end_all(self, at_us: int) -> list[EventChange]:
        """End what is under way: the camera fell silent or was removed, or we stop."""
        changes = [
            self._end(label, track, at_us)
            for label, track in list(self._tracks.items())
            if track.id
        ]
        self._tracks.clear()
        return changes

    def _keep_time(self, at_us: int) -> None:
        if self._last_us is not None:
            gap = at_us - self._last_us
            if gap < 0:
                for track in self._tracks.values():
                    track.seen_at_us = min(track.seen_at_us, at_us)
                    track.told_at_us = min(track.told_at_us, at_us)
            else:
                self._rhythm_us = min(gap, LONGEST_RHYTHM_US)
        self._last_us = at_us

    def _see(
        self,
        label: str,
        track: _Track,
        at_us: int,
        count: int,
        confidence: float,
        options: EventOptions,
    ) -> EventChange | None:
        track.seen_at_us = at_us
        track.count = count
        track.max_count = max(track.max_count, count)
        track.confidence = max(track.confidence, confidence)
        if not track.id:
            track.in_a_row += 1
            if track.in_a_row < options.start_after:
                return None
            track.id = event_id(self._camera, self._model, label, track.started_at_us)
            return _tell(EventPhase.START, label, track, at_us)
        news = (count, track.confidence) != track.told
        if news and at_us - track.told_at_us >= options.update_every_s * MICROSECONDS:
            return _tell(EventPhase.UPDATE, label, track, at_us)
        return None

    def _end(self, label: str, track: _Track, at_us: int) -> EventChange:
        del self._tracks[label]
        track.count = 0
        return _tell(EventPhase.END, label, track, at_us)


def event_id(camera: str, model: str, label: str, started_at_us: int) -> str:
    """Return ``front-m5-nut-nut-mi9u2v3k``: unique on the box, of ``[a-z0-9_-]`` only.

    The model is part of it because two models may see the same label in the same frame. A label
    that cannot stand as it is gets its CRC, so that "Nut" and "nut" stay two.
    """
    plain = re.sub(r"[^a-z0-9_-]+", "-", label.lower()).strip("-")
    if plain != label:
        plain = f"{plain}-{zlib.crc32(label.encode('utf-8', 'replace')):08x}".lstrip("-")
    return f"{camera}-{model}-{plain}-{base36(started_at_us // 1000)}"


def base36(number: int) -> str:
    """Return a non-negative number in base 36, lower case."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if number == 0:
            return digits


def _tell(phase: EventPhase, label: str, track: _Track, at_us: int) -> EventChange:
    track.told_at_us = at_us
    track.told = (track.count, track.confidence)
    return EventChange(
        phase=phase,
        id=track.id,
        label=label,
        at_us=at_us,
        started_at_us=track.started_at_us,
        seen_at_us=track.seen_at_us,
        count=track.count,
        max_count=track.max_count,
        confidence=track.confidence,
    )
