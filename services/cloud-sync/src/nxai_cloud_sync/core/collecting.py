"""Whether a picture is kept, and why not; and whether the clock says for how long it has been.

Two clocks tell how long ago a picture was taken: when the camera's box says it was captured, and
how long this process has known of it. The larger of both counts. Capture times alone would lock a
camera out when the clock is set back; the time of arrival alone would leave out all but one of
what waited while the service was away. As it is, a step of the clock makes a picture look older,
never younger, than this process has known it: nothing is locked out for longer than the window of
a quota, and each step grants one more quota at most.
"""

import bisect
import enum
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nxai_cloud_sync.core.perceptual_hash import distance
from nxai_common.contracts.collecting import MOST_A_DAY, CollectPolicy

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0
MICROSECONDS: Final = 1_000_000

HASHES: Final = 64
"""Kept pictures of a camera that a new one is compared with: more than a scene has places for one
thing to be in, and a microsecond's work each."""

NO_LABEL: Final = ""
"""Stands for the pictures on which nothing was found."""


class LeftOut(enum.StrEnum):
    """Why a picture is not kept."""

    UNKNOWN_CAMERA = "unknown-camera"
    SWITCHED_OFF = "switched-off"
    TOO_SOON = "too-soon"
    PER_MINUTE = "per-minute"
    PER_HOUR = "per-hour"
    PER_DAY = "per-day"
    LABEL_PER_DAY = "label-per-day"
    NEAR_DUPLICATE = "near-duplicate"
    NO_ROOM = "no-room"
    """Too many waited to be stored, and others were worth more."""


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """What the decision about the next picture needs to know of one that was kept."""

    captured_at_us: int
    labels: tuple[str, ...]
    """Those that it shows."""
    hash: int


@dataclass(frozen=True, slots=True)
class _Noted:
    at_s: float
    captured_at_us: int
    labels: tuple[str, ...]


class CameraHistory:
    """What was kept of one camera within a day, as far as it counts."""

    def __init__(self, earlier: Iterable[KeptPicture] = (), now_s: float = 0.0) -> None:
        """Begin.

        Args:
            earlier: Kept before this process began, oldest first.
            now_s: Monotonic seconds.
        """
        self._noted: list[_Noted] = []
        self._hashes: deque[int] = deque(maxlen=HASHES)
        for kept in earlier:
            self.note(kept, now_s)

    def note(self, kept: KeptPicture, now_s: float) -> None:
        """Take note of a picture that was kept."""
        forgotten = max(self._first(now_s, DAY_S), len(self._noted) + 1 - MOST_A_DAY)
        del self._noted[:forgotten]
        self._noted.append(_Noted(now_s, kept.captured_at_us, kept.labels or (NO_LABEL,)))
        self._hashes.append(kept.hash)

    def count(self, captured_at_us: int, now_s: float, within_s: float) -> int:
        """Return how many are less than `within_s` away from a moment."""
        return len(self._near(captured_at_us, now_s, within_s))

    def full_labels(self, captured_at_us: int, now_s: float, most: int) -> frozenset[str]:
        """Return the labels of which `most` pictures or more were kept within a day."""
        counts: dict[str, int] = {}
        for noted in self._near(captured_at_us, now_s, DAY_S):
            for label in noted.labels:
                counts[label] = counts.get(label, 0) + 1
        return frozenset(label for label, count in counts.items() if count >= most)

    def nearest_bits(self, hash_: int) -> int | None:
        """Return in how many bits the most similar one of the last pictures differs."""
        return min((distance(hash_, other) for other in self._hashes), default=None)

    def _near(self, captured_at_us: int, now_s: float, within_s: float) -> list[_Noted]:
        within_us = within_s * MICROSECONDS
        return [
            noted
            for noted in self._noted[self._first(now_s, within_s) :]
            if abs(captured_at_us - noted.captured_at_us) < within_us
        ]

    def _first(self, now_s: float, within_s: float) -> int:
        """Return the place of the first that this process has known for less than `within_s`."""
        return bisect.bisect_right(self._noted, now_s - within_s, key=_at_s)


def _at_s(noted: _Noted) -> float:
    return noted.at_s


def left_out(
    policy: CollectPolicy | None,
    history: CameraHistory,
    captured_at_us: int,
    labels: Sequence[str],
    now_s: float,
) -> LeftOut | None:
    """Return why a picture is not kept, or None when it is, but for near duplicates.

    Args:
        policy: Of its camera; None: no such camera.
        history: Of its camera.
        captured_at_us: Of the picture.
        labels: Those that it shows.
        now_s: Monotonic seconds.
    """
    if policy is None:
        return LeftOut.UNKNOWN_CAMERA
    if not policy.enabled:
        return LeftOut.SWITCHED_OFF
    if history.count(captured_at_us, now_s, policy.min_gap_s) > 0:
        return LeftOut.TOO_SOON
    quotas = policy.quotas
    for most, within_s, reason in (
        (quotas.per_minute, MINUTE_S, LeftOut.PER_MINUTE),
        (quotas.per_hour, HOUR_S, LeftOut.PER_HOUR),
        (quotas.per_day, DAY_S, LeftOut.PER_DAY),
    ):
        if most and history.count(captured_at_us, now_s, within_s) >= most:
            return reason
    if quotas.label_per_day:
        full = history.full_labels(captured_at_us, now_s, quotas.label_per_day)
        if full.issuperset(labels or (NO_LABEL,)):
            return LeftOut.LABEL_PER_DAY
    return None


def near_duplicate(policy: CollectPolicy, history: CameraHistory, hash_: int) -> LeftOut | None:
    """Return that a picture looks like one of the last that were kept of its camera, if so."""
    nearest = history.nearest_bits(hash_)
    if nearest is not None and nearest <= policy.near_duplicate_bits:
        return LeftOut.NEAR_DUPLICATE
    return None


EARLIEST_US: Final = 1_735_689_600 * MICROSECONDS
"""2025-01-01, before this program was written: an earlier time is that of a box that does not know
the time, such as 1970 after a start without a battery-backed clock."""
STEP_S: Final = 60.0
"""The clock was set, not adjusted: daemons that adjust it move it by less than a second a minute,
and a process that is held up for so long has other worries."""
TRUST_AFTER_S: Final = 3600.0
"""A clock that was wrong at the start is put right by then, if there is a network."""


class ClockWatch:
    """Tells whether the wall clock can be trusted to say that a picture is too old to be kept.

    Nothing is deleted for its age by a clock that was only just set, or has not been set yet: a
    box that comes up with the year 2038 would lose everything before the network puts it right.
    """

    def __init__(self, monotonic_s: float, wall_us: int) -> None:
        self._last = (monotonic_s, wall_us)
        self._steady_since_s = monotonic_s

    def known(self, monotonic_s: float, wall_us: int) -> int | None:
        """Return `wall_us` when it has gone steadily for long enough; else None."""
        last_s, last_us = self._last
        self._last = (monotonic_s, wall_us)
        moved_s = (wall_us - last_us) / MICROSECONDS
        if abs(moved_s - (monotonic_s - last_s)) > STEP_S:
            self._steady_since_s = monotonic_s
        steady = monotonic_s - self._steady_since_s >= TRUST_AFTER_S
        return wall_us if steady and wall_us >= EARLIEST_US else None
