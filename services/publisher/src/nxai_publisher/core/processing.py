"""The way of a result through external processors: asked, waited for, and never for long.

A pure state machine; it knows no clock, the time comes in as monotonic seconds. Each result goes
through the processors of its camera, one after the other: the second sees what the first made of
it. Results of a camera come out in the order in which they went in. A processor that is late
three times in a row is left alone for a while, so that one that crashed costs three time-outs and
not one a result.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from nxai_common.contracts.processors import Done, ProcessorManifest, ProcessorOptions, Work
from nxai_common.contracts.results import Box, Detection, InferenceResult
from nxai_common.contracts.status import Problem
from nxai_publisher.core.detections import objects_of

T = TypeVar("T")

LATE_IN_A_ROW: Final = 3
"""Once may be a hiccup, twice two; a third time in a row nobody is there."""
LEFT_ALONE_S: Final = (5.0, 15.0, 60.0, 300.0)
"""How long, each time that one result has shown that it is still late."""
MOST_HELD: Final = 500
"""Results that wait, of all cameras: four at 25 a second for the longest time-out. Beyond, the
oldest goes out as it is."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to be sent to a processor."""

    processor: str
    id: str
    result: InferenceResult
    settings: Mapping[str, str | int | float | bool | None]

    def work(self, camera_name: str) -> Work:
        """Return the message."""
        result = self.result
        return Work(
            processor=self.processor,
            id=self.id,
            camera=result.camera,
            camera_name=camera_name,
            model=result.model,
            stream=result.stream,
            sequence=result.sequence,
            timestamp_ms=result.captured_at_us // 1000,
            picture_width=result.source_width,
            picture_height=result.source_height,
            objects=objects_of(result),
            scores={item.label: item.confidence for item in result.classifications},
            settings=dict(self.settings),
        )


@dataclass(slots=True)
class _Processor:
    """What is known of one."""

    options: ProcessorOptions
    manifest: ProcessorManifest | None = None
    late: int = 0
    """In a row."""
    rests: int = 0
    """How often in a row it was left alone."""
    until: float = 0.0
    """It is left alone until then."""
    on_trial: str = ""
    """After a rest one result finds out; its id."""

    def minds(self, camera: str) -> bool:
        return self.options.enabled and (not self.options.cameras or camera in self.options.cameras)

    def may_be_asked(self, now: float) -> bool:
        if self.manifest is None:
            return False
        return self.late < LATE_IN_A_ROW or (now >= self.until and not self.on_trial)


@dataclass(slots=True)
class _Held(Generic[T]):
    """A result on its way."""

    token: T
    result: InferenceResult
    to_ask: deque[str]
    """Processors it has still to go to."""
    processor: str = ""
    """The one that was asked; empty: none, it is ready."""
    id: str = ""
    deadline: float = 0.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Ever-growing."""

    asked: int = 0
    answered: int = 0
    late: int = 0
    """Answers that did not come in time."""
    strange: int = 0
    """Answers that nobody waits for: too late, or made up."""
    passed: int = 0
    """Results that did not wait, because too many did."""


@dataclass(slots=True)
class Processing(Generic[T]):
    """All results on their way, each with a token of the caller's."""

    _processors: dict[str, _Processor] = field(default_factory=dict)
    _manifests: dict[str, ProcessorManifest] = field(default_factory=dict)
    _lines: dict[str, deque[_Held[T]]] = field(default_factory=dict)
    """Of each camera, in order."""
    _numbers: int = 0
    counts: Counts = Counts()

    def configure(self, options: Iterable[ProcessorOptions]) -> None:
        """Take which processors results shall go through, in this order."""
        before, self._processors = self._processors, {}
        for option in options:
            known = before.get(option.id)
            if known is not None and known.options == option:
                self._processors[option.id] = known
            else:
                self._processors[option.id] = _Processor(option, self._manifests.get(option.id))

    def introduce(self, manifest: ProcessorManifest) -> None:
        """Take note that a processor is there; one that started anew gets another chance."""
        self._manifests[manifest.processor] = manifest
        known = self._processors.get(manifest.processor)
        if known is not None:
            self._processors[manifest.processor] = _Processor(known.options, manifest)

    def dismiss(self, processor: str) -> None:
        """Take note that a processor is gone."""
        self._manifests.pop(processor, None)
        known = self._processors.get(processor)
        if known is not None:
            known.manifest = None

    def minds(self, camera: str) -> bool:
        """Tell whether results of a camera have to come here at all."""
        return bool(self._lines.get(camera)) or any(
            processor.minds(camera) for processor in self._processors.values()
        )

    def put(self, result: InferenceResult, token: T, now: float) -> Iterator[Asked]:
        """Take a result; yield what is to be asked."""
        names = [name for name, known in self._processors.items() if known.minds(result.camera)]
        line = self._lines.setdefault(result.camera, deque())
        line.append(_Held(token, result, deque(names)))
        yield from self._next(line[-1], now)
        if self.held > MOST_HELD:
            oldest = min(
                (held for line in self._lines.values() for held in line if held.processor),
                key=lambda held: held.deadline,
                default=None,
            )
            if oldest is not None:
                self._leave(oldest)
                self._count(passed=1)

    def answer(self, done: Done, now: float) -> Iterator[Asked]:
        """Take an answer; yield what is to be asked next."""
        held = self._asked(done)
        if held is None:
            self._count(strange=1)
            return
        self._count(answered=1)
        known = self._processors.get(done.processor)
        if known is not None:
            known.late = known.rests = 0
            known.on_trial = ""
        held.result = processed(held.result, done)
        yield from self._next(held, now)

    def late(self, now: float) -> Iterator[Asked]:
        """Give up those who are late; yield what is to be asked instead."""
        for line in self._lines.values():
            for held in line:
                if held.processor and now >= held.deadline:
                    self._count(late=1)
                    self._note_late(held, now)
                    yield from self._next(held, now)

    def ready(self) -> Iterator[tuple[InferenceResult, T]]:
        """Yield what has been everywhere, of each camera in order."""
        for camera, line in list(self._lines.items()):
            while line and not line[0].processor:
                held = line.popleft()
                yield self._with_labels(held.result), held.token
            if not line:
                del self._lines[camera]

    def flush(self) -> Iterator[tuple[InferenceResult, T]]:
        """Yield all that waits, as it is."""
        for line in self._lines.values():
            for held in line:
                self._leave(held)
        yield from self.ready()

    @property
    def held(self) -> int:
        """Results that wait."""
        return sum(map(len, self._lines.values()))

    @property
    def deadline(self) -> float | None:
        """When somebody will be late, the earliest; None: nobody is asked."""
        waiting = (h.deadline for line in self._lines.values() for h in line if h.processor)
        return min(waiting, default=None)

    def problems(self) -> Iterator[Problem]:
        """Yield which processors results go out without, and why."""
        for name, known in self._processors.items():
            if not known.options.enabled:
                continue
            about = f"processor {name}"
            if known.manifest is None:
                reason = (
                    "is not there: no manifest of it is on the broker; results go out without it. "
                    "Start it, or take it out of outputs.processors"
                )
                yield Problem(about=about, reason=reason)
            elif known.late >= LATE_IN_A_ROW:
                reason = (
                    f"did not answer within {known.options.timeout_ms:g} ms, {LATE_IN_A_ROW} times "
                    "in a row; results go out without it, and now and then one finds out whether "
                    "it answers again"
                )
                yield Problem(about=about, reason=reason)

    # -- one result ---------------------------------------------------------------------------

    def _next(self, held: _Held[T], now: float) -> Iterator[Asked]:
        """Send a result to the next processor that may be asked."""
        held.processor = ""
        while held.to_ask:
            name = held.to_ask.popleft()
            known = self._processors.get(name)
            if known is None or not known.may_be_asked(now):
                continue
            self._numbers += 1
            held.processor, held.id = name, f"{held.result.stream[:32].lower()}-{self._numbers}"
            held.id = "".join(c if c in _PLAIN else "-" for c in held.id)
            held.deadline = now + known.options.timeout_ms / 1000
            if known.late >= LATE_IN_A_ROW:
                known.on_trial = held.id
            self._count(asked=1)
            yield Asked(name, held.id, held.result, known.options.settings)
            return

    def _asked(self, done: Done) -> _Held[T] | None:
        return next(
            (
                held
                for line in self._lines.values()
                for held in line
                if held.id == done.id and held.processor == done.processor
            ),
            None,
        )

    def _note_late(self, held: _Held[T], now: float) -> None:
        known = self._processors.get(held.processor)
        if known is None:
            return
        if known.late >= LATE_IN_A_ROW and known.on_trial != held.id:
            return  # asked before it was left alone
        known.on_trial = ""
        known.late += 1
        if known.late >= LATE_IN_A_ROW:
            known.until = now + LEFT_ALONE_S[min(known.rests, len(LEFT_ALONE_S) - 1)]
            known.rests += 1

    def _leave(self, held: _Held[T]) -> None:
        """Let a result go as it is."""
        known = self._processors.get(held.processor)
        if known is not None and known.on_trial == held.id:
            known.on_trial = ""
        held.processor = ""
        held.to_ask.clear()

    def _with_labels(self, result: InferenceResult) -> InferenceResult:
        """Return the result with the labels that its processors may add, so that zero is told."""
        more = [
            label
            for known in self._processors.values()
            if known.manifest is not None and known.minds(result.camera)
            for label in known.manifest.labels
        ]
        labels = tuple(dict.fromkeys((*result.labels, *more)))
        return result if labels == result.labels else result.model_copy(update={"labels": labels})

    def _count(self, **more: int) -> None:
        now = self.counts
        self.counts = Counts(
            **{name: getattr(now, name) + more.get(name, 0) for name in Counts.__slots__}
        )


_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def processed(result: InferenceResult, done: Done) -> InferenceResult:
    """Return a result as a processor wants it.

    Its objects come in 0..1 of the original picture and become pixels of it, and of the model's
    input; what lies outside of the picture is cut off.
    """
    if done.objects is None:
        return result
    width, height, transform = result.source_width, result.source_height, result.transform
    detections = []
    for item in done.objects:
        left, top = item.x * width, item.y * height
        right, bottom = min(item.x + item.width, 1) * width, min(item.y + item.height, 1) * height
        box = Box(x=left, y=top, width=right - left, height=bottom - top)
        detections.append(
            Detection(
                label=item.label,
                confidence=item.confidence,
                box=box,
                model_box=(
                    round((box.x - transform.offset_x) / transform.scale_x),
                    round((box.y - transform.offset_y) / transform.scale_y),
                    round(box.width / transform.scale_x),
                    round(box.height / transform.scale_y),
                ),
            )
        )
    new = dict.fromkeys((*result.labels, *(item.label for item in done.objects)))
    return result.model_copy(update={"detections": tuple(detections), "labels": tuple(new)})
