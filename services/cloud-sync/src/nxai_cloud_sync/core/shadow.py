"""Two versions of a model on the same live frames: where they agree, and where not."""

import statistics
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from nxai_common.contracts.deployments import LabelCounts, ShadowReport
from nxai_common.contracts.results import Box, Classification, Detection, InferenceResult

WAITING: Final = 256
"""Halves of a pair that wait for the other half, of one camera: eight seconds at 30 pictures a
second. Both come within milliseconds where both models read the same input, and within a credit
window of the slower one where they do not."""
TIMES: Final = 999
"""Run times that the median is taken of: the newest, so that a slow start is forgotten."""
SAME_PLACE_IOU: Final = 0.3
"""Two boxes of one object. Low, because FOMO draws cells and another training moves them by one;
boxes whose centres lie in one another count as well."""

Picture: TypeAlias = tuple[str, int]
"""Stream and sequence: one picture of a camera."""


@dataclass(frozen=True, slots=True)
class _Half:
    """What one of the two found in a picture; no pixels, no tensors."""

    model: str
    detections: tuple[Detection, ...]
    classifications: tuple[Classification, ...]


class ShadowComparison:
    """Adds up the differences of two models, frame by frame.

    The sums survive a restart of the service by `ShadowReport`, which it can begin with; times
    begin anew.
    """

    def __init__(
        self,
        model: str,
        candidate: str,
        begun: ShadowReport | None = None,
        digests: tuple[str, str] = ("", ""),
    ) -> None:
        """Prepare.

        Args:
            model: Name of the model in force.
            candidate: Name of the one that is tried.
            begun: What was seen before.
            digests: Versions of the two: a worker may still run another one. Empty: whichever.
        """
        self._model = model
        self._candidate = candidate
        self._digests = dict(zip((model, candidate), digests, strict=True))
        begun = begun or ShadowReport()
        self._begun = begun
        self._waiting: defaultdict[str, OrderedDict[Picture, _Half]] = defaultdict(OrderedDict)
        """By camera."""
        self._frames_of: Counter[str] = Counter()
        self._frames = begun.frames
        self._agreeing = begun.agreeing
        self._before = Counter({count.label: count.before for count in begun.labels})
        self._after = Counter({count.label: count.after for count in begun.labels})
        self._matched = begun.matched
        self._only_before = begun.only_before
        self._only_after = begun.only_after
        self._shift_sum = begun.confidence_shift * begun.matched
        self._errors = begun.errors
        self._labels: dict[str, tuple[str, ...]] = {}
        self._times: dict[str, deque[float]] = {
            model: deque(maxlen=TIMES),
            candidate: deque(maxlen=TIMES),
        }

    @property
    def frames(self) -> int:
        """How many frames both have looked at."""
        return self._frames

    def share(self, cameras: Collection[str], frames: int) -> float:
        """Return which part of so many frames of each camera was seen, by the slowest camera.

        1 or more: enough. Frames from before this object was made do not count.
        """
        return min((self._frames_of[camera] / frames for camera in cameras), default=0.0)

    def fail(self, frames: int) -> None:
        """Note frames that the new version could not look at.

        Results do not tell: one with an error may only say that a worker has not loaded it yet.
        """
        self._errors += frames

    def see(self, result: InferenceResult) -> None:
        """Take one result; those of other models and versions are left alone."""
        if result.model not in self._times or result.error:
            return
        if self._digests[result.model] not in ("", result.model_digest):
            return
        self._times[result.model].append(result.timing.engine_ms)
        self._labels[result.model] = result.labels
        waiting = self._waiting[result.camera]
        picture = (result.stream, result.sequence)
        half = _Half(result.model, result.detections, result.classifications)
        other = waiting.get(picture)
        if other is None or other.model == half.model:
            waiting[picture] = half
            while len(waiting) > WAITING:
                waiting.popitem(last=False)
            return
        del waiting[picture]
        self._frames_of[result.camera] += 1
        if half.model == self._candidate:
            self._compare(other, half)
        else:
            self._compare(half, other)

    def report(self, frames_a_second: float | None = None) -> ShadowReport:
        """Return what was seen so far.

        Args:
            frames_a_second: What each worker got through with the model in force before the trial
                began, of all its cameras; None: not known.
        """
        before = self._median(self._model, self._begun.engine_ms_before)
        after = self._median(self._candidate, self._begun.engine_ms_after)
        added, removed = self._label_changes()
        labels = sorted(self._before.keys() | self._after.keys())
        return ShadowReport(
            frames=self._frames,
            agreeing=self._agreeing,
            labels=tuple(
                LabelCounts(label=label, before=self._before[label], after=self._after[label])
                for label in labels
            ),
            labels_added=added,
            labels_removed=removed,
            matched=self._matched,
            only_before=self._only_before,
            only_after=self._only_after,
            confidence_shift=self._shift_sum / self._matched if self._matched else 0.0,
            engine_ms_before=before,
            engine_ms_after=after,
            load_before=_load(before, frames_a_second),
            load_after=_load(after, frames_a_second),
            errors=self._errors,
        )

    def _median(self, model: str, begun: float | None) -> float | None:
        times = self._times[model]
        return round(statistics.median(times), 3) if times else begun

    def _label_changes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the labels that only the new version has, and those that only the old one has."""
        known, new = (self._labels.get(name, ()) for name in (self._model, self._candidate))
        if not (known and new):
            return self._begun.labels_added, self._begun.labels_removed
        return (
            tuple(label for label in new if label not in known),
            tuple(label for label in known if label not in new),
        )

    def _compare(self, before: _Half, after: _Half) -> None:
        self._frames += 1
        if before.classifications or after.classifications:
            self._compare_classes(before, after)
            return
        self._before.update(found.label for found in before.detections)
        self._after.update(found.label for found in after.detections)
        pairs = match(before.detections, after.detections)
        self._matched += len(pairs)
        self._shift_sum += sum(new.confidence - old.confidence for old, new in pairs)
        only_before = len(before.detections) - len(pairs)
        only_after = len(after.detections) - len(pairs)
        self._only_before += only_before
        self._only_after += only_after
        self._agreeing += only_before == 0 and only_after == 0

    def _compare_classes(self, before: _Half, after: _Half) -> None:
        """A classifier says one thing of the whole picture: its best label."""
        old, new = (
            max(half.classifications, key=lambda c: c.confidence, default=None)
            for half in (before, after)
        )
        if old is not None:
            self._before[old.label] += 1
        if new is not None:
            self._after[new.label] += 1
        if old is not None and new is not None and old.label == new.label:
            self._agreeing += 1
            self._matched += 1
            self._shift_sum += new.confidence - old.confidence
        else:
            self._only_before += old is not None
            self._only_after += new is not None


def match(
    before: Sequence[Detection], after: Sequence[Detection]
) -> list[tuple[Detection, Detection]]:
    """Return the objects that both found, each once: same label, same place, the closest first."""
    candidates = [
        (distance(old.box, new.box), i, j)
        for i, old in enumerate(before)
        for j, new in enumerate(after)
        if old.label == new.label and same_place(old.box, new.box)
    ]
    taken_before: set[int] = set()
    taken_after: set[int] = set()
    pairs = []
    for _, i, j in sorted(candidates):
        if i not in taken_before and j not in taken_after:
            taken_before.add(i)
            taken_after.add(j)
            pairs.append((before[i], after[j]))
    return pairs


def same_place(one: Box, other: Box) -> bool:
    """Tell whether two boxes, in pixels of the same picture, may be one object's."""
    left, top = max(one.x, other.x), max(one.y, other.y)
    right = min(one.x + one.width, other.x + other.width)
    bottom = min(one.y + one.height, other.y + other.height)
    shared = max(0.0, right - left) * max(0.0, bottom - top)
    union = one.width * one.height + other.width * other.height - shared
    if union > 0 and shared / union >= SAME_PLACE_IOU:
        return True
    return _holds_centre(one, other) and _holds_centre(other, one)


def distance(one: Box, other: Box) -> float:
    """Return the squared distance of two boxes' centres, in pixels."""
    across = (one.x + one.width / 2) - (other.x + other.width / 2)
    down = (one.y + one.height / 2) - (other.y + other.height / 2)
    return across * across + down * down


def _holds_centre(outer: Box, inner: Box) -> bool:
    x, y = inner.x + inner.width / 2, inner.y + inner.height / 2
    return outer.x <= x <= outer.x + outer.width and outer.y <= y <= outer.y + outer.height


def _load(engine_ms: float | None, frames_a_second: float | None) -> float | None:
    if engine_ms is None or frames_a_second is None:
        return None
    return round(engine_ms * frames_a_second / 1000, 3)


def verdict(
    report: ShadowReport,
    *,
    min_agreement: float,
    max_slowdown: float,
) -> str:
    """Return why a trial's outcome forbids promoting by itself; empty when it does not."""
    return "; ".join(_objections(report, min_agreement, max_slowdown))


KEEPS_UP: Final = 0.8
"""Load up to which a slower model does not matter: a fifth is left for everything else."""


def _objections(report: ShadowReport, min_agreement: float, max_slowdown: float) -> Iterable[str]:
    if report.errors:
        yield f"the new version failed on {report.errors} frames"
    if report.frames == 0:
        yield "no frame was looked at by both"
        return
    if report.labels_removed:
        yield f"it no longer knows {', '.join(report.labels_removed)}"
    if report.agreement < min_agreement:
        yield (
            f"both found the same in {100 * report.agreement:.4g}% of {report.frames} frames only, "
            f"less than {100 * min_agreement:.4g}%"
        )
    before, after = report.engine_ms_before, report.engine_ms_after
    if before and after and after > before * max_slowdown:
        load = report.load_after
        if load is None or load > KEEPS_UP:
            yield (
                f"a run takes {after:g} ms instead of {before:g} ms, more than {max_slowdown:g} "
                "times as long" + ("" if load is None else f", {load:.0%} of the time there is")
            )
