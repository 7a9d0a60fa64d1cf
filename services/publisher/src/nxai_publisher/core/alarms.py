"""Results become alarms: a rule begins to hold, goes on, holds no more.

A pure state machine, one per model and camera, fed with what each result shows and with silence;
it knows no clock. All times are Unix microseconds of the capture.

An alarm starts when its rule held for `for_s`, and ends when it did not for `clear_after_s`;
breaks that are shorter do not count at either end, because a detector misses an object now and
then. It keeps its id from start to end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nxai_common.contracts.alarms import AlarmPhase, AlarmRule
from nxai_common.contracts.geometry import holds
from nxai_common.contracts.models import Task
from nxai_common.contracts.outputs import HeldAlarm
from nxai_common.contracts.results import Detection, InferenceResult
from nxai_publisher.core.detections import utc
from nxai_publisher.core.events import MICROSECONDS, base36
from nxai_publisher.core.observation import MAJORITY


@dataclass(frozen=True, slots=True)
class Sight:
    """What the rule counts in one result."""

    counts: Mapping[str, int] = field(default_factory=dict)
    """Per label; only those seen."""
    detections: tuple[Detection, ...] = ()

    @property
    def count(self) -> int:
        """Of all labels."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """One step in the life of an alarm."""

    phase: AlarmPhase
    id: str
    rule: AlarmRule
    at_us: int
    """When the step was noticed: the result that showed it, or the silence."""
    started_at_us: int
    """First result for which the rule held."""
    held_us: int
    """Last one."""
    sight: Sight

    @property
    def duration_s(self) -> float:
        """From the first to the last result for which the rule held."""
        return max(0, self.held_us - self.started_at_us) / MICROSECONDS


@dataclass(slots=True)
class _Track:
    """One rule that holds: on probation while `id` is empty, an alarm afterwards."""

    rule: AlarmRule
    started_at_us: int
    held_us: int
    id: str = ""
    told_at_us: int = 0


class AlarmWatch:
    """Alarms of one model on one camera."""

    def __init__(self, camera: str, model: str) -> None:
        self._camera = camera
        self._model = model
        self._tracks: dict[str, _Track] = {}
        self._last_us: int | None = None

    @property
    def held(self) -> tuple[HeldAlarm, ...]:
        """Alarms that are under way, the first one first."""
        return tuple(
            HeldAlarm(
                id=track.id,
                rule=track.rule.id,
                rule_name=track.rule.name or track.rule.id,
                model=self._model,
                started_at=utc(track.started_at_us),
            )
            for track in self._tracks.values()
            if track.id
        )

    def observe(self, result: InferenceResult, rules: Iterable[AlarmRule]) -> list[AlarmChange]:
        """Take what one result shows; return what changed.

        Args:
            result: In order of capture; when a clock was set back in between, the waiting times
                start again from the new time.
            rules: Those of now; what was raised by one that is gone or was changed ends.
        """
        at_us = result.captured_at_us
        self._keep_time(at_us)
        applying = [rule for rule in rules if _applies(rule, self._camera, result.labels)]
        changes = self.keep(applying, at_us)
        for rule in applying:
            sight = sight_of(result, rule)
            if _holds(rule, sight.count):
                changes += self._hold(rule, at_us, sight)
            else:
                changes += self._break(rule, at_us, sight)
        return changes

    def keep(self, rules: Iterable[AlarmRule], at_us: int) -> list[AlarmChange]:
        """End what was raised by other rules than these."""
        kept = {rule.id: rule for rule in rules if rule.enabled}
        return [
            change
            for name, track in list(self._tracks.items())
            if kept.get(name) != track.rule
            for change in self._end(name, at_us)
        ]

    def end_all(self, at_us: int) -> list[AlarmChange]:
        """End what is under way: the camera fell silent or was removed, or we stop."""
        return [change for name in list(self._tracks) for change in self._end(name, at_us)]

    def _keep_time(self, at_us: int) -> None:
        if self._last_us is not None and at_us < self._last_us:
            for track in self._tracks.values():
                track.held_us = min(track.held_us, at_us)
                track.told_at_us = min(track.told_at_us, at_us)
                if not track.id:
                    track.started_at_us = min(track.started_at_us, at_us)
        self._last_us = at_us

    def _hold(self, rule: AlarmRule, at_us: int, sight: Sight) -> list[AlarmChange]:
        track = self._tracks.get(rule.id)
        if track is None:
            track = self._tracks[rule.id] = _Track(rule, at_us, at_us)
        track.held_us = at_us
        if not track.id:
            if at_us - track.started_at_us < rule.for_s * MICROSECONDS:
                return []
            moment = base36(track.started_at_us // 1000)
            track.id = f"{rule.id}-{self._camera}-{self._model}-{moment}"
            return [_tell(AlarmPhase.START, track, at_us, sight)]
        again_us = rule.again_every_s * MICROSECONDS
        if again_us and at_us - track.told_at_us >= again_us:
            return [_tell(AlarmPhase.AGAIN, track, at_us, sight)]
        return []

    def _break(self, rule: AlarmRule, at_us: int, sight: Sight) -> list[AlarmChange]:
        track = self._tracks.get(rule.id)
        if track is None or at_us - track.held_us < rule.clear_after_s * MICROSECONDS:
            return []
        return self._end(rule.id, at_us, sight)

    def _end(self, name: str, at_us: int, sight: Sight = Sight()) -> list[AlarmChange]:
        track = self._tracks.pop(name)
        return [_tell(AlarmPhase.END, track, at_us, sight)] if track.id else []


def sight_of(result: InferenceResult, rule: AlarmRule) -> Sight:
    """Return what a rule counts in a result.

    A detection is where the middle of its lower edge is. Of a classifier the most probable label
    counts once when it has the majority; it has no place, and so lies in every area.
    """
    found = [item for item in result.detections if _counts(rule, item.label, item.confidence)]
    area = rule.area
    if area is not None:
        found = [item for item in found if holds(area, *_foot(item, result))]
    counts: dict[str, int] = {}
    for item in found:
        counts[item.label] = counts.get(item.label, 0) + 1
    if result.task is Task.CLASSIFICATION and result.classifications:
        best = max(result.classifications, key=lambda item: item.confidence)
        if best.confidence >= MAJORITY and _counts(rule, best.label, best.confidence):
            counts[best.label] = counts.get(best.label, 0) + 1
    return Sight(counts, tuple(found))


def _applies(rule: AlarmRule, camera: str, labels: Sequence[str]) -> bool:
    """Tell whether a rule says something of results with these labels.

    "No person" must not be raised by a model that knows no persons.
    """
    if not rule.enabled or (rule.cameras and camera not in rule.cameras):
        return False
    return not rule.labels or not set(rule.labels).isdisjoint(labels)


def _counts(rule: AlarmRule, label: str, confidence: float) -> bool:
    return confidence >= rule.min_confidence and (not rule.labels or label in rule.labels)


def _holds(rule: AlarmRule, count: int) -> bool:
    return count >= rule.count if rule.compare == "at-least" else count <= rule.count


def _foot(detection: Detection, result: InferenceResult) -> tuple[float, float]:
    """Return where an object stands, in 0..1 of the original picture."""
    box = detection.box
    return (
        (box.x + box.width / 2) / result.source_width,
        (box.y + box.height) / result.source_height,
    )


def _tell(phase: AlarmPhase, track: _Track, at_us: int, sight: Sight) -> AlarmChange:
    track.told_at_us = at_us
    return AlarmChange(
        phase=phase,
        id=track.id,
        rule=track.rule,
        at_us=at_us,
        started_at_us=track.started_at_us,
        held_us=track.held_us,
        sight=sight,
    )
