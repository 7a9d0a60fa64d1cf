"""The loop: receive results, decide what they mean, emit it, hand them to the data logger."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nxai_common import tracing
from nxai_common.bus.ports import Bus, Cleared, Delivery, Inbox, Subscription
from nxai_common.contracts.alarms import Alarm, AlarmPhase
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import LogQuery, ShowLogger
from nxai_common.contracts.configuration import PublisherCamera, PublisherConfiguration
from nxai_common.contracts.outputs import CameraState, Event, Output
from nxai_common.contracts.processors import Done, ProcessorManifest
from nxai_common.contracts.results import InferenceResult
from nxai_common.errors import InvalidPayload
from nxai_common.runtime import Beat, Report, Stop
from nxai_publisher.answers import QUESTIONS
from nxai_publisher.core.alarms import AlarmChange, AlarmWatch
from nxai_publisher.core.detections import latency_ms, objects_among, utc
from nxai_publisher.core.drafts import Draft, occasional, of_frame
from nxai_publisher.core.events import MICROSECONDS, EventChange, EventTracker
from nxai_publisher.core.frame_outputs import frame_detections, frame_output, rehearsal_of
from nxai_publisher.core.gathering import Gathered
from nxai_publisher.core.observation import Observation, contradiction, observe
from nxai_publisher.core.processing import Asked, Processing
from nxai_publisher.core.rows import logged
from nxai_publisher.core.seen import SeenResults
from nxai_publisher.core.state import CameraView
from nxai_publisher.despatch import Despatch
from nxai_publisher.joint import parts_of
from nxai_publisher.ports import Besides, Desk, ResultLog
from nxai_publisher.settings import PublisherSettings

log = logging.getLogger(__name__)

TICK_S: Final = 0.1
"""How often silence and heartbeats are looked for; an event ends at most so much too late."""
BATCH: Final = 64
"""Results taken before looking at the clock and the configuration again: a few milliseconds."""
LIVE_BOUND: Final = 2000
"""Results waiting for the live outputs while nothing is stored, in two copies each: some seconds
of four cameras, and at most 60 MB when every one of them carries a doubtful picture."""
REMEMBER_S: Final = 5.0
"""Since the broker answers: retained states of an earlier run arrive within a second."""
REHEARSED: Final = 64
"""Tests that are remembered: while nothing is stored each result comes twice."""
COMPLAIN_EVERY_S: Final = 10.0
"""A broken model at 30 results a second must not fill the disk with log lines."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from."""

    monotonic: Callable[[], float] = time.monotonic
    wall_us: Callable[[], int] = lambda: time.time_ns() // 1000


@dataclass(slots=True)
class _Lane:
    """One model on one camera."""

    tracker: EventTracker
    alarms: AlarmWatch
    seen: SeenResults = field(default_factory=SeenResults)
    heard_at: float | None = None
    """Monotonic seconds of the last result; None: silent."""


@dataclass(slots=True)
class _Camera:
    settings: PublisherCamera
    view: CameraView
    lanes: dict[str, _Lane] = field(default_factory=dict)
    gathered: Gathered = field(default_factory=Gathered)

    def lane(self, model: str) -> _Lane:
        lane = self.lanes.get(model)
        if lane is None:
            camera = self.settings.id
            lane = self.lanes[model] = _Lane(EventTracker(camera, model), AlarmWatch(camera, model))
        return lane


class Publisher:
    """Implements the runtime's `Service`."""

    def __init__(  # noqa: PLR0913 - all that it works with
        self,
        settings: PublisherSettings,
        bus: Bus,
        beat: Beat,
        result_log: ResultLog,
        desk: Desk,
        clock: Clock = Clock(),
        *,
        despatch: Despatch,
        folder: Path | None = None,
        besides: Sequence[Besides] = (),
    ) -> None:
        """Prepare.

        Args:
            settings: As the service was started.
            bus: Open.
            beat: To be called now and then while all is well.
            result_log: Stores results.
            desk: Answers questions to the data logger.
            clock: Where time comes from.
            despatch: Sends to destinations.
            folder: Of the data logger, when it is a file: its disk is the one that may fill up.
            besides: What works beside the loop, to be reported of.
        """
        self._settings = settings
        self._bus = bus
        self._beat = beat
        self._log = result_log
        self._desk = desk
        self._clock = clock
        self._despatch = despatch
        self._drafts: list[Draft] = []
        """For destinations: what was said since the last were posted, but for what frames give."""
        self._folder = folder
        self._besides = tuple(besides)
        self._configuration = PublisherConfiguration(revision="")
        self._configured = False
        self._revision = self._configuration.revision
        self._cameras: dict[str, _Camera] = {}
        self._left: dict[str, CameraState] = {}
        """States on the broker of cameras that do not run (any more)."""
        self._processing: Processing[_Received] = Processing()
        self._counters: Counter[str] = Counter()
        self._rehearsed: deque[tuple[object, ...]] = deque(maxlen=REHEARSED)
        self._complained_at = float("-inf")
        self._tick_at = float("-inf")

    # -- the loop -----------------------------------------------------------------------------

    def run(self, stop: Stop) -> None:
        """Receive, decide, emit, hand over; until stopped."""
        with (
            closing(_Intake(self._bus, self._settings.instance)) as intake,
            closing(_Earlier(self._bus)) as earlier,
        ):
            early = self._await_configuration(stop, intake, earlier)
            while not stop.is_set():
                self._beat()
                trouble = self._log.problem is not None or self._despatch.stuck
                wait_s = self._patience_s()
                for received in early or intake.receive(trouble=trouble, wait_s=wait_s):
                    if self._handle(received):
                        intake.caught_up()
                early = []
                if self._let_go():
                    intake.caught_up()
                self._tick(earlier)
                self._post_loose()
            for result, (delivery, live_only) in self._processing.flush():
                self._settle(result, delivery, live_only=live_only)
        self._say_goodbye()
        self._post_loose()

    def report(self) -> Report:
        """Return how it goes."""
        stored = self._log.statistics
        problem = self._log.problem
        processed = self._processing.counts
        return Report(
            problems=(
                *(() if problem is None else (problem,)),
                *self._despatch.problems,
                *self._processing.problems(),
                *(problem for part in self._besides for problem in part.problems),
            ),
            counters={
                **{name: self._counters[name] for name in _COUNTERS},
                "log_stored": stored.stored,
                "log_duplicates": stored.duplicates,
                "log_refused": stored.refused,
                "log_left_out": stored.left_out,
                "log_pruned": stored.pruned,
                "log_failures": stored.failures,
                "questions": self._desk.answered,
                "questions_refused": self._desk.refused,
                **self._despatch.counters,
                "processors_asked": processed.asked,
                "processors_answered": processed.answered,
                "processors_late": processed.late,
                "processors_strange": processed.strange,
                "processors_passed": processed.passed,
                **{name: n for part in self._besides for name, n in part.counters.items()},
            },
            gauges=self._gauges(),
            configuration_revision=self._revision,
            folder=self._folder,
        )

    def _gauges(self) -> dict[str, int | float]:
        gauges: dict[str, int | float] = {
            "results_held": self._log.held,
            "questions_waiting": self._desk.waiting,
            "processors_waiting": self._processing.held,
            **self._despatch.gauges,
        }
        holding = self._log.holding
        if holding is not None:
            gauges["log_rows"] = holding.rows
            gauges["log_mb"] = round(holding.size_mb, 1)
        return gauges

    # -- one result -----------------------------------------------------------------------------

    def _handle(self, received: "_Received") -> bool:
        """Take what came; return whether it was the newest result that anybody knows."""
        delivery, live_only = received
        result = delivery.message
        if not isinstance(result, InferenceResult):
            self._take(delivery)
            return False
        if self._goes_round(result):
            asked = self._processing.put(result, received, self._clock.monotonic())
            self._ask(asked)
            return False
        return self._settle(result, delivery, live_only=live_only)

    def _settle(
        self, result: InferenceResult, delivery: Delivery[Message], *, live_only: bool
    ) -> bool:
        """Emit what a result means; return whether it is the newest that anybody knows."""
        if result.test:
            self._rehearse(result)
        if result.test or not self._admit(result):
            delivery.acknowledge()
            return False
        steps = tracing.go_on(
            "publisher", result.traceparent, since=delivery.received_at, first="queue"
        )
        steps.step("decide")
        seen = observe(result)
        now_us = self._clock.wall_us()
        steps.step("emit")
        newest = self._go_live(result, seen, now_us)
        steps.step("log")
        if live_only:
            self._post_loose()
            return False
        self._keep(result, seen, delivery, now_us)
        steps.close(camera=result.camera, model=result.model, objects=seen.total)
        return newest

    def _keep(
        self, result: InferenceResult, seen: Observation, delivery: Delivery[Message], now_us: int
    ) -> None:
        """Hand a result to the data logger and to the outbox, as far as they want it."""
        drafts, self._drafts = self._drafts, []
        camera = self._camera(result.camera)
        if camera is not None:
            wants, device = self._despatch.wants, self._bus.device
            wanted, settings = self._configuration, camera.settings
            drafts[:0] = of_frame(
                result, seen, wanted, settings, wants, device=device, now_us=now_us
            )
        stores = self._configuration.logger.enabled
        kept = self._despatch.active
        parts = parts_of(delivery, stores + kept)
        if stores:
            latency = latency_ms(result.captured_at_us, now_us)
            self._log.offer(logged(result, seen, latency), next(parts))
        if kept:
            key = (result.camera, result.model, result.stream, result.sequence)
            self._despatch.post(drafts, (*key, result.captured_at_us), next(parts))

    def _post_loose(self) -> None:
        """Hand to the outbox what was said for no result in hand."""
        if self._drafts:
            drafts, self._drafts = self._drafts, []
            self._despatch.post_loose(drafts)

    # -- external processors --------------------------------------------------------------------

    def _goes_round(self, result: InferenceResult) -> bool:
        """Tell whether a result goes to external processors first."""
        return (
            self._processing.minds(result.camera)
            and not result.shadow_of
            and not result.error
            and not contradiction(result)
        )

    def _ask(self, questions: Iterable[Asked]) -> None:
        for asked in questions:
            camera = self._cameras.get(asked.result.camera)
            self._publish("work", asked.work("" if camera is None else camera.settings.name))

    def _patience_s(self) -> float:
        """Return how long may be waited for what comes next."""
        deadline = self._processing.deadline
        if deadline is None:
            return TICK_S
        return min(TICK_S, max(0.0, deadline - self._clock.monotonic()))

    def _let_go(self) -> bool:
        """Emit the results that have been everywhere; as `_settle` returns."""
        if not self._processing.held:
            return False
        self._ask(self._processing.late(self._clock.monotonic()))
        newest = False
        for result, (delivery, live_only) in self._processing.ready():
            newest |= self._settle(result, delivery, live_only=live_only)
        return newest

    # -- what a result means ----------------------------------------------------------------------

    def _admit(self, result: InferenceResult) -> bool:
        """Count a result; tell whether the outputs and the data logger shall have it."""
        self._counters["results"] += 1
        if result.shadow_of:
            # For the comparison of two versions alone: neither shown nor stored, errors included.
            self._counters["shadows"] += 1
            return False
        if result.error:
            # Capture got its credit back by it, and inference reports the reason in its status.
            self._counters["errors"] += 1
            return False
        reason = contradiction(result)
        if reason:
            self._refuse(result, reason)
        return not reason

    def _go_live(self, result: InferenceResult, seen: Observation, now_us: int) -> bool:
        camera = self._camera(result.camera)
        if camera is None:
            self._counters["unknown_camera"] += 1
            return False
        lane = camera.lane(result.model)
        if not lane.seen.admit(result.stream, result.sequence, result.captured_at_us):
            self._counters["duplicates"] += 1
            return lane.seen.is_newest(result.stream, result.sequence)
        with self._bus.together():
            self._emit_frame(result, seen, camera, now_us)
        camera.view.observe(
            result.captured_at_us,
            latency_ms=latency_ms(result.captured_at_us, now_us),
            uncertain=result.uncertain,
            found=seen.total > 0,
        )
        if not lane.seen.is_newest(result.stream, result.sequence):
            self._counters["overtaken"] += 1
            return False
        self._follow(result, seen, camera, lane)
        now = lane.heard_at = self._clock.monotonic()
        if camera.view.due(now, self._configuration.state_every_s):
            self._emit_state(camera, now, now_us)
        return True

    def _emit_frame(
        self, result: InferenceResult, seen: Observation, camera: _Camera, now_us: int
    ) -> None:
        wanted, device = self._configuration, self._bus.device
        detections = frame_detections(
            result, seen, wanted, camera.settings, device=device, now_us=now_us
        )
        if detections is not None:
            self._publish("detections", detections)
        output = frame_output(result, wanted, camera.settings, device=device)
        if output is None:
            return
        if wanted.nx_output.every_s > 0:
            self._gather(output, camera)
        else:
            self._publish("outputs", output)

    def _gather(self, output: Output, camera: _Camera) -> None:
        """Keep an output until its array is due."""
        now = self._clock.monotonic()
        for entry in output.entries:
            if not camera.gathered.fits(entry):
                self._send_gathered(camera)
            camera.gathered.add(entry, now)

    def _send_gathered(self, camera: _Camera) -> None:
        entries = camera.gathered.take()
        if entries:
            self._publish("outputs", Output(camera=camera.settings.id, entries=entries))

    def _rehearse(self, result: InferenceResult) -> None:
        """Tell what would be sent of the frame of a test; nothing else comes of it."""
        key = (result.camera, result.model, result.stream, result.sequence, result.test)
        if key in self._rehearsed:
            return
        self._rehearsed.append(key)
        now_us = self._clock.wall_us()
        messages, error = self._would_send(result, now_us)
        device = self._bus.device
        rehearsal = rehearsal_of(result, messages, device=device, now_us=now_us, error=error)
        if not self._publish("tests", rehearsal):
            error = "what would be sent is larger than a message can be"
            self._publish(
                "tests", rehearsal_of(result, (), device=device, now_us=now_us, error=error)
            )

    def _would_send(self, result: InferenceResult, now_us: int) -> tuple[list[Message], str]:
        """Return what would be sent of a result, or nothing and why."""
        wanted, device = self._configuration, self._bus.device
        known = self._cameras.get(result.camera)
        if known is not None:
            camera = known.settings
        elif self._configured:
            return [], f"the publisher has no camera {result.camera!r} in its configuration"
        else:
            camera = PublisherCamera(id=result.camera, index=len(self._cameras))
        reason = contradiction(result)
        if reason:
            return [], f"the result would be refused: {reason}"
        if result.error or result.shadow_of:
            return [], result.error
        seen = observe(result)
        messages = (
            frame_detections(result, seen, wanted, camera, device=device, now_us=now_us),
            frame_output(result, wanted, camera, device=device),
        )
        return [message for message in messages if message is not None], ""

    def _follow(
        self, result: InferenceResult, seen: Observation, camera: _Camera, lane: _Lane
    ) -> None:
        changes = lane.tracker.observe(
            result.captured_at_us, seen.counts, seen.confidences, self._configuration.events
        )
        self._emit_events(camera.settings, result.model, changes)
        camera.view.show(result.model, seen.counts, lane.tracker.present)
        alarms = lane.alarms.observe(result, self._configuration.alarms)
        self._emit_alarms(camera, result.model, alarms, result)

    def _emit_events(self, camera: PublisherCamera, model: str, changes: list[EventChange]) -> None:
        if not self._configuration.events.enabled:
            return
        for change in changes:
            self._publish(
                "events",
                Event(
                    event=change.phase,
                    id=change.id,
                    device=self._bus.device,
                    camera=camera.id,
                    camera_name=camera.name,
                    model=model,
                    label=change.label,
                    timestamp=utc(change.at_us),
                    timestamp_ms=change.at_us // 1000,
                    started_at=utc(change.started_at_us),
                    duration_s=change.duration_s,
                    count=change.count,
                    max_count=change.max_count,
                    confidence=change.confidence,
                ),
            )

    def _emit_alarms(
        self,
        camera: _Camera,
        model: str,
        changes: list[AlarmChange],
        result: InferenceResult | None = None,
    ) -> None:
        if changes:
            camera.view.hold(model, camera.lane(model).alarms.held)
        for change in changes:
            begins = change.phase is AlarmPhase.START and result is not None
            self._publish(
                "alarms",
                Alarm(
                    alarm=change.phase,
                    id=change.id,
                    rule=change.rule.id,
                    rule_name=change.rule.name or change.rule.id,
                    device=self._bus.device,
                    camera=camera.settings.id,
                    camera_name=camera.settings.name,
                    model=model,
                    timestamp=utc(change.at_us),
                    timestamp_ms=change.at_us // 1000,
                    started_at=utc(change.started_at_us),
                    duration_s=change.duration_s,
                    count=change.sight.count,
                    counts=dict(change.sight.counts),
                    objects=objects_among(change.sight.detections, result)
                    if begins and result is not None
                    else (),
                    stream=result.stream if result is not None else "",
                    sequence=result.sequence if result is not None else 0,
                    picture=begins and change.rule.picture,
                ),
            )

    def _emit_state(self, camera: _Camera, now: float, now_us: int) -> CameraState:
        state = camera.view.tell(
            now,
            now_us,
            every_s=self._configuration.state_every_s,
            device=self._bus.device,
            camera_name=camera.settings.name,
        )
        self._publish("states", state)
        return state

    def _publish(self, counter: str, message: Message) -> bool:
        try:
            self._bus.publish(message)
        except InvalidPayload as error:  # larger than the bus carries
            self._counters["too_large"] += 1
            self._complain(str(error))
            return False
        self._counters[counter] += 1
        draft = occasional(message, self._clock.wall_us(), self._despatch.wants)
        if draft is not None:
            self._drafts.append(draft)
        return True

    def _refuse(self, result: InferenceResult, reason: str) -> None:
        self._counters["refused"] += 1
        self._complain(
            f"refused result {result.sequence} of model {result.model!r} on camera "
            f"{result.camera!r}: {reason}"
        )

    def _complain(self, text: str) -> None:
        now = self._clock.monotonic()
        if now - self._complained_at >= COMPLAIN_EVERY_S:
            self._complained_at = now
            log.warning("%s", text)

    # -- time passes ----------------------------------------------------------------------------

    def _tick(self, earlier: "_Earlier") -> None:
        """Look for silence and due states; ten times a second is enough."""
        now = self._clock.monotonic()
        if now < self._tick_at:
            return
        self._tick_at = now + TICK_S
        self._recall(earlier)
        now_us = self._clock.wall_us()
        for camera in self._cameras.values():
            for model, lane in camera.lanes.items():
                if lane.heard_at is not None and self._is_silent(lane, now):
                    self._fall_silent(camera, model, lane, now_us)
            if camera.view.due(now, self._configuration.state_every_s):
                self._emit_state(camera, now, now_us)
            if camera.gathered.due(now, self._configuration.nx_output.every_s):
                self._send_gathered(camera)
            for model in [name for name in camera.lanes if not camera.view.knows(name)]:
                del camera.lanes[model]

    def _is_silent(self, lane: _Lane, now: float) -> bool:
        patience_us = lane.tracker.patience_us(self._configuration.events, self._settings.silence_s)
        return lane.heard_at is not None and now - lane.heard_at > patience_us / MICROSECONDS

    def _fall_silent(self, camera: _Camera, model: str, lane: _Lane, now_us: int) -> None:
        lane.heard_at = None
        lane.seen.rest()
        self._emit_events(camera.settings, model, lane.tracker.end_all(now_us))
        self._emit_alarms(camera, model, lane.alarms.end_all(now_us))
        camera.view.fall_silent(model)
        if all(other.heard_at is None for other in camera.lanes.values()):
            self._send_gathered(camera)

    def _end_events(self) -> None:
        now_us = self._clock.wall_us()
        for camera in self._cameras.values():
            for model, lane in camera.lanes.items():
                self._emit_events(camera.settings, model, lane.tracker.end_all(now_us))

    def _keep_alarms(self) -> None:
        """End the alarms of rules that are gone."""
        now_us = self._clock.wall_us()
        for camera in self._cameras.values():
            for model, lane in camera.lanes.items():
                ended = lane.alarms.keep(self._configuration.alarms, now_us)
                self._emit_alarms(camera, model, ended)

    def _say_goodbye(self) -> None:
        """End what is under way: a retained state must not claim what nobody looks at."""
        for camera in self._cameras.values():
            self._retire(camera)

    def _retire(self, camera: _Camera) -> CameraState:
        now_us = self._clock.wall_us()
        for model, lane in camera.lanes.items():
            self._fall_silent(camera, model, lane, now_us)
        return self._emit_state(camera, self._clock.monotonic(), now_us)

    # -- configuration ----------------------------------------------------------------------------

    def _await_configuration(
        self, stop: Stop, intake: "_Intake", earlier: "_Earlier"
    ) -> "list[_Received]":
        """Let results wait for the first configuration, so that each camera has its name.

        Returns:
            The results that came meanwhile; the broker bounds their number.
        """
        early: list[_Received] = []
        deadline: float | None = None
        while not stop.is_set() and not self._configured:
            self._beat()
            self._recall(earlier)
            now = self._clock.monotonic()
            if deadline is None and self._bus.connected:
                deadline = now + self._settings.configuration_wait_s
            if deadline is not None and now >= deadline:
                log.warning(
                    "no configuration yet; until it comes each camera goes by its id, and no "
                    "stored result is deleted"
                )
                self._log.configure(self._configuration.logger, prune=False)
                break
            for item in intake.receive(trouble=False, wait_s=TICK_S):
                if isinstance(item[0].message, InferenceResult):
                    early.append(item)
                else:
                    self._take(item[0])
        return early

    def _take(self, delivery: Delivery[Message]) -> None:
        """Take what is no result."""
        match delivery.message:
            case PublisherConfiguration() as wanted:
                self._apply(wanted)
            case LogQuery() | ShowLogger():
                self._desk.ask(delivery)
            case Done() as done:
                self._ask(self._processing.answer(done, self._clock.monotonic()))
            case ProcessorManifest() as manifest:
                self._processing.introduce(manifest)
            case Cleared(kind=kind, levels=levels) if kind is ProcessorManifest:
                self._processing.dismiss(levels["processor"])
            case other:
                log.error("no handler for %s", type(other).__name__)

    def _apply(self, wanted: PublisherConfiguration) -> None:
        """Put a configuration in force."""
        for camera in self._cameras.values():
            self._send_gathered(camera)  # as it was configured when it was seen
        if wanted.events.enabled != self._configuration.events.enabled:
            self._end_events()  # as still configured: nobody hears of what came while they were off
        self._configuration = wanted
        self._configured = True
        self._log.configure(wanted.logger)
        self._post_loose()  # as they were configured when it was said
        self._despatch.configure(wanted.destinations, wanted.outbox)
        self._processing.configure(wanted.processors)
        self._keep_alarms()
        cameras = {camera.id: camera for camera in wanted.cameras if camera.enabled}
        for name in [name for name in self._cameras if name not in cameras]:
            self._left[name] = self._retire(self._cameras.pop(name))
        for name, settings in cameras.items():
            if name in self._cameras:
                self._cameras[name].settings = settings
            else:
                self._cameras[name] = self._new_camera(settings)
        self._tidy_up()
        self._revision = wanted.revision
        log.info("configuration %s in force", wanted.revision)

    def _camera(self, name: str) -> _Camera | None:
        camera = self._cameras.get(name)
        if camera is None and not self._configured:
            # Run without a manager: cameras are numbered as they appear.
            settings = PublisherCamera(id=name, index=len(self._cameras))
            camera = self._cameras[name] = self._new_camera(settings)
        return camera

    def _new_camera(self, settings: PublisherCamera) -> _Camera:
        left = self._left.pop(settings.id, None)
        labels = () if left is None else left.counts
        return _Camera(settings, CameraView(settings.id, self._clock.monotonic(), labels))

    def _recall(self, earlier: "_Earlier") -> None:
        """Take note of the states that an earlier run left on the broker."""
        found = earlier.states(self._clock.monotonic())
        for state in found:
            camera = self._cameras.get(state.camera)
            if camera is None:
                self._left[state.camera] = state
            else:
                camera.view.remember(state.counts)
        if found and self._configured:
            self._tidy_up()

    def _tidy_up(self) -> None:
        """Clear the states of cameras that are gone; those of disabled ones claim nothing."""
        wanted = {camera.id: camera for camera in self._configuration.cameras}
        for name, state in list(self._left.items()):
            if name not in wanted:
                self._bus.clear(CameraState, camera=name)
                del self._left[name]
            elif state.count or any(state.present.values()):  # left by a run that was killed
                self._left[name] = self._retire(self._new_camera(wanted[name]))


_COUNTERS: Final = (
    "results",
    "tests",
    "shadows",
    "errors",
    "refused",
    "duplicates",
    "overtaken",
    "unknown_camera",
    "too_large",
    "work",
    "alarms",
    "detections",
    "outputs",
    "events",
    "states",
)


class _Earlier:
    """Camera states that an earlier run left on the broker: read for a while after the start.

    Our own come here too in that time.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._inbox: Inbox | None = bus.subscribe(Subscription(CameraState))
        self._until: float | None = None

    def states(self, now: float) -> list[CameraState]:
        """Return what came since the last call."""
        found: list[CameraState] = []
        if self._inbox is not None:
            if self._until is None and self._bus.connected:
                self._until = now + REMEMBER_S
            while (delivery := self._inbox.receive(0)) is not None:
                if isinstance(delivery.message, CameraState):
                    found.append(delivery.message)
            if self._until is not None and now >= self._until:
                self.close()
        return found

    def close(self) -> None:
        """Stop listening."""
        if self._inbox is not None:
            self._inbox.close()
            self._inbox = None


class _Intake:
    """Where results come from.

    Usually one inbox, of results, the configuration and questions. Results that are not
    acknowledged stop the broker from sending more, and while the data logger cannot store any,
    none are. So that the live outputs go on, a second, volatile inbox is opened then. It is a
    shared subscription of one member, because a second plain one to the same topics would
    replace the first.

    While the broker knows both it sends each result twice, and both copies come to both inboxes.
    """

    def __init__(self, bus: Bus, instance: str) -> None:
        self._bus = bus
        self._usual = bus.subscribe(
            Subscription(PublisherConfiguration),
            Subscription(InferenceResult),
            Subscription(ProcessorManifest, cleared=True),
            Subscription(Done),
            *(Subscription(question) for question in QUESTIONS),
        )
        self._group = f"live-{instance}"
        self._live: Inbox | None = None
        self._forgotten = False
        self._storing = True

    def receive(self, *, trouble: bool, wait_s: float) -> "list[_Received]":
        """Return what is there, configuration first; wait so long for the first."""
        self._storing = not trouble
        if not self._forgotten and self._bus.connected:
            self._forget_earlier()
        if trouble and self._live is None:
            self._live = self._open_live()
        if self._live is None:
            return [(item, False) for item in self._usual.receive_many(BATCH, wait_s)]
        usual = [
            (item, False)
            for item in self._usual.receive_many(BATCH, 0)
            # A result that is not owed is the live inbox's copy.
            if item.owed or not isinstance(item.message, InferenceResult)
        ]
        live = self._live.receive_many(BATCH, 0 if usual else wait_s)
        return usual + [(item, True) for item in live]

    def caught_up(self) -> None:
        """Say that the usual inbox brings the newest results again."""
        if self._live is not None and self._storing:
            self._live.close()
            self._live = None

    def close(self) -> None:
        """Close both."""
        self._usual.close()
        if self._live is not None:
            self._live.close()
            self._live = None

    def _open_live(self) -> Inbox:
        return self._bus.subscribe(
            Subscription(InferenceResult, share=self._group), volatile=True, bound=LIVE_BOUND
        )

    def _forget_earlier(self) -> None:
        """End the live subscription of a run that was killed: its session goes on in ours."""
        self._forgotten = True
        if self._live is None:
            self._open_live().close()


_Received = tuple[Delivery[Message], bool]
"""What came, and whether it is for the live outputs only."""
