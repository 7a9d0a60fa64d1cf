"""What a camera sees now, gathered over its models (topic `state`).

Counts of two models that both know a label are not added: they look at the same objects, so the
larger one is the truth nearer at hand.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from nxai_common.contracts.outputs import CameraState, HeldAlarm
from nxai_publisher.core.detections import utc

CHANGE_INTERVAL_S: Final = 0.2
"""At most five states a second and camera: counts flicker at the frame rate, and Home Assistant
writes every state to its database. `detections` has every frame."""
SHORTEST_WINDOW_S: Final = 1.0
"""A rate over less than a second jumps."""
FORGET_AFTER: Final = 6
"""Heartbeats that a model was silent while another spoke: a minute by default, in which one that
is only loaded again is back."""

LATENCIES: Final = 2000
"""Half a minute of two models at 30 frames a second; of a longer heartbeat, the last ones."""

_REMEMBERED: Final = ""
"""Stands for the models of an earlier run; no model has an empty id."""


@dataclass(slots=True)
class _ModelView:
    counts: Mapping[str, int] = field(default_factory=dict)
    present: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Latency:
    mean_ms: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0


def _latency_of(measured_ms: Collection[float]) -> _Latency:
    ordered = sorted(measured_ms)
    last = len(ordered) - 1
    return _Latency(
        sum(ordered) / len(ordered), ordered[round(0.5 * last)], ordered[round(0.95 * last)]
    )


class CameraView:
    """One camera. Times are monotonic seconds unless their name says otherwise."""

    def __init__(self, camera: str, now: float, labels: Iterable[str] = ()) -> None:
        """Start with nothing seen.

        Args:
            camera: Its id.
            now: Monotonic seconds.
            labels: Known from before: they are told as zero, not left out.
        """
        self._camera = camera
        self._models: dict[str, _ModelView] = {}
        self._labels: dict[str, tuple[str, ...]] = {_REMEMBERED: tuple(labels)}
        self._alarms: dict[str, tuple[HeldAlarm, ...]] = {}
        self._silent: dict[str, int] = {}
        """Heartbeats since a model fell silent."""
        self._changed = True
        self._told_at = float("-inf")
        self._beat_at = now
        self._window_since = now
        self._results = 0
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES)
        self._fps = 0.0
        self._latency = _Latency()
        self._uncertain = 0
        self._last_detection_us: int | None = None

    def observe(self, captured_us: int, *, latency_ms: float, uncertain: bool, found: bool) -> None:
        """Count a result of any model."""
        self._results += 1
        self._latencies_ms.append(latency_ms)
        if uncertain:
            self._uncertain += 1
        if found:
            self._last_detection_us = captured_us

    def show(self, model: str, counts: Mapping[str, int], present: frozenset[str]) -> None:
        """Replace what one model shows."""
        self._silent.pop(model, None)
        view = self._models.get(model)
        if view is None:
            view = self._models[model] = _ModelView()
        if counts != view.counts or present != view.present:
            view.counts = counts
            view.present = present
            self._labels[model] = tuple(counts)
            self._changed = True

    def hold(self, model: str, alarms: tuple[HeldAlarm, ...]) -> None:
        """Replace the alarms of one model that hold."""
        if alarms != self._alarms.get(model, ()):
            self._alarms[model] = alarms
            self._changed = True

    def remember(self, labels: Iterable[str]) -> None:
        """Tell these labels as zero until the models have spoken."""
        if not self._models and tuple(labels) != self._labels.get(_REMEMBERED):
            self._labels[_REMEMBERED] = tuple(labels)
            self._changed = True

    def fall_silent(self, model: str) -> None:
        """Forget what a model showed: nobody is looking any more. Its labels stay, as zero."""
        view = self._models.pop(model, None)
        if view is None:
            return
        self._silent[model] = 0
        if any(view.counts.values()) or view.present:
            self._changed = True

    def knows(self, model: str) -> bool:
        """Tell whether a model speaks, or is silent and not forgotten yet."""
        return model in self._models or model in self._silent

    def due(self, now: float, every_s: float) -> bool:
        """Tell whether there is a state to publish: a change, or the heartbeat."""
        if now - self._beat_at >= every_s:
            return True
        return self._changed and now - self._told_at >= CHANGE_INTERVAL_S

    def tell(
        self, now: float, now_us: int, *, every_s: float, device: str, camera_name: str
    ) -> CameraState:
        """Return the state now, and consider it published."""
        self._measure(now, every_s)
        self._changed = False
        self._told_at = now
        counts = {label: 0 for labels in self._labels.values() for label in labels}
        present: set[str] = set()
        for view in self._models.values():
            for label, count in view.counts.items():
                counts[label] = max(counts[label], count)
            present |= view.present
        last = self._last_detection_us
        return CameraState(
            timestamp=utc(now_us),
            timestamp_ms=now_us // 1000,
            device=device,
            camera=self._camera,
            camera_name=camera_name,
            count=sum(counts.values()),
            counts=counts,
            present={label: label in present for label in counts},
            alarms=tuple(alarm for held in self._alarms.values() for alarm in held),
            last_detection=None if last is None else utc(last),
            fps=round(self._fps, 2),
            latency_ms=round(self._latency.mean_ms, 2),
            latency_p50_ms=round(self._latency.p50_ms, 2),
            latency_p95_ms=round(self._latency.p95_ms, 2),
            uncertain=self._uncertain,
        )

    def _measure(self, now: float, every_s: float) -> None:
        """Bring fps and latency up to date; start a new window at each heartbeat."""
        window = now - self._window_since
        beat = now - self._beat_at >= every_s
        if window >= SHORTEST_WINDOW_S or beat:
            self._fps = self._results / window if window > 0 else 0.0
            if self._latencies_ms:
                self._latency = _latency_of(self._latencies_ms)
        if beat:
            self._beat_at = self._window_since = now
            self._results = 0
            self._latencies_ms.clear()
            if self._models:  # all of them have had the time to speak for themselves
                self._labels.pop(_REMEMBERED, None)
                self._forget_silent()

    def _forget_silent(self) -> None:
        """Drop the labels of models that are no longer used."""
        for model in list(self._silent):
            self._silent[model] += 1
            if self._silent[model] >= FORGET_AFTER:
                del self._silent[model]
                self._labels.pop(model, None)
