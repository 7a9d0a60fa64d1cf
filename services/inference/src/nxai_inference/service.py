"""The loop: receive a frame, run its models, emit the results, acknowledge."""

import logging
import math
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nxai_common import tracing
from nxai_common.bus.ports import Bus, Inbox, Subscription
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import DetectPicture, TryModel
from nxai_common.contracts.configuration import (
    Assignment,
    DetectionAreas,
    InferenceConfiguration,
)
from nxai_common.contracts.frames import Frame
from nxai_common.contracts.models import ModelManifest
from nxai_common.contracts.results import InferenceResult
from nxai_common.contracts.status import Problem
from nxai_common.errors import NxaiError
from nxai_common.runtime import Beat, Report, Stop
from nxai_common.spans import NOTHING, Steps
from nxai_inference.core.answer import Answer, refusal, timing
from nxai_inference.core.areas import Limit
from nxai_inference.core.collecting import Collector, Subject
from nxai_inference.core.parking import PATIENCE_S, Debt, ParkedFrame, Parking
from nxai_inference.models import Model, Models, Version
from nxai_inference.pictures import Pictures
from nxai_inference.ports import ModelSource, PictureReader

log = logging.getLogger(__name__)

POLL_S: Final = 0.5
"""Longest wait for a message: how late a stop, an expired frame or a heartbeat may be seen."""

TICK_S: Final = 1.0
"""How often old versions, failed loads, parked frames and left-over manifests are looked at."""

REMEMBERED_CAMERAS: Final = 256
"""Cameras a model remembers; a flood of made-up names must not fill the memory."""

TRACE_EVERY_S: Final = 60.0
"""An error that nobody expected may come with every frame: one of a kind is logged so often."""

COUNTED: Final = (
    "frames",
    "results",
    "refused",
    "parked_in_all",
    "shadows_left_out",
    "collect",
    "models_tried",
    "pictures",
)

NO_MODEL: Final = "none"
"""Stands in the result of a frame that names no model at all."""


class InferenceService:
    """Runs the models of the configuration on the frames of the bus."""

    def __init__(  # noqa: PLR0913 - its collaborators, named by keyword
        self,
        bus: Bus,
        source: ModelSource,
        beat: Beat,
        *,
        worker: str,
        pictures: PictureReader,
        share: str = "",
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare the service.

        Args:
            bus: Open.
            source: Loads models.
            beat: Called at least every `POLL_S` seconds.
            worker: Name of this process in its results.
            pictures: Reads the pictures that somebody sends.
            share: Group of workers that share the frames; empty: this one gets all of them.
            folder: Where the models lie.
            clock: Monotonic seconds.
            now_us: Unix microseconds, of the clock that stamps the frames.
            rng: Draws which pictures are collected at random.
        """
        self._bus = bus
        self._beat = beat
        self._worker = worker
        self._share = share
        self._folder = folder
        self._clock = clock
        self._now_us = now_us
        self._models = Models(source, self._wake, clock)
        self._pictures = Pictures(self._models, pictures, self._wake, worker=worker, now_us=now_us)
        self._parking = Parking()
        self._configuration: InferenceConfiguration | None = None
        self._assignments: dict[tuple[str, str], Assignment] = {}
        self._shadows: dict[str, str] = {}
        """Models that are tried, and beside which one."""
        self._areas: dict[str, DetectionAreas] = {}
        """Of each camera: where objects count."""
        self._rng = rng or random.Random()  # noqa: S311 - which pictures are kept is no secret
        self._revision = ""
        self._offered: dict[str, ModelManifest] = {}
        """Manifests as we published them last."""
        self._manifests_seen: set[str] = set()
        self._count = Counter(dict.fromkeys(COUNTED, 0))
        self._next_tick = clock()
        self._arrived: tuple[Frame, float] | None = None
        """The frame in hand, and when it came (`time.monotonic`)."""
        self._inbox: Inbox = self._subscribe(frames=not share)
        self._shares_frames = not share

    # -- the service port -----------------------------------------------------------------------

    def run(self, stop: Stop) -> None:
        """Work until `stop` is set."""
        try:
            with self._models:
                try:
                    while not stop.is_set():
                        self.turn(POLL_S)
                finally:
                    self._inbox.close()
        finally:
            self._pictures.close()

    def turn(self, timeout: float) -> None:
        """Handle one message, or what else is due when none comes within `timeout` seconds."""
        self._beat()
        delivery = self._inbox.receive(timeout)
        for model in self._models.collect():
            self._loaded(model)
        self._pictures.look()
        if self._clock() >= self._next_tick:
            self._tick()
        if delivery is None:
            return
        message = delivery.message
        if isinstance(message, Frame):
            self._arrived = message, delivery.received_at
            self._look(message)
            self._arrived = None
        elif isinstance(message, InferenceConfiguration):
            self._configure(message)
        elif isinstance(message, TryModel):
            self._count["models_tried"] += 1
            self._models.try_out(message.desired, delivery.reply)
        elif isinstance(message, DetectPicture):
            self._count["pictures"] += 1
            self._pictures.ask(message, delivery.reply)
        elif isinstance(message, ModelManifest):
            self._manifests_seen.add(message.model)
        delivery.acknowledge()

    def report(self) -> Report:
        """Return how it goes."""
        models = self._models.all()
        problems: list[Problem] = []
        for model in models:
            current = model.current
            warnings = () if current is None else current.warnings
            problems.extend(
                Problem(about=f"model {model.desired.id}", reason=reason)
                for reason in (model.reason, model.trouble, *warnings)
                if reason
            )
        inbox = self._inbox
        return Report(
            problems=tuple(problems),
            counters={
                **self._count,
                "frames_dropped": inbox.dropped,
                "frames_rejected": inbox.rejected,
            },
            gauges={"parked": len(self._parking)},
            models=tuple(model.status() for model in models),
            configuration_revision=self._revision,
            folder=self._folder,
        )

    # -- configuration --------------------------------------------------------------------------

    def _configure(self, configuration: InferenceConfiguration) -> None:
        # The same one again (after a reconnect) does no harm, and tries again at once what could
        # not be loaded.
        self._configuration = configuration
        self._assignments = {(a.camera, a.model): a for a in configuration.assignments}
        self._shadows = {shadow.model: shadow.of for shadow in configuration.shadows}
        self._areas = {camera.id: camera.areas for camera in configuration.cameras}
        # One thread loads them: what is only tried waits for what is in force.
        wanted = sorted(configuration.models, key=lambda model: model.id in self._shadows)
        for name in self._models.configure(wanted):
            log.info("model %s is no longer offered", name)
            self._withdraw(name)
            self._refuse_parked(name, f"model {name!r} was removed from the configuration")
        for model in self._models.all():
            self._offer(model)  # the threshold may have changed
            if model.loading is None:
                self._answer_parked(model.desired.id)  # a change was taken back
        self._settle()

    def _loaded(self, model: Model) -> None:
        self._offer(model)
        self._answer_parked(model.desired.id)
        self._settle()

    def _settle(self) -> None:
        """Note that everything the configuration asks for has been done or has failed."""
        if self._configuration is None:
            return
        loading = self._models.loading()
        if not self._shares_frames and not loading - self._shadows.keys():
            # A worker joins its group when it can work: until then the others get all frames.
            self._shares_frames = True
            before, self._inbox = self._inbox, self._subscribe(frames=True)
            before.close()
        if not loading:
            self._revision = self._configuration.revision

    def _offer(self, model: Model) -> None:
        manifest = model.manifest()
        if manifest is not None and self._offered.get(manifest.model) != manifest:
            self._offered[manifest.model] = manifest
            self._bus.publish(manifest)

    def _withdraw(self, name: str) -> None:
        self._offered.pop(name, None)
        self._manifests_seen.discard(name)
        self._bus.clear(ModelManifest, model=name)

    def _tick(self) -> None:
        self._next_tick = self._clock() + TICK_S
        self._models.retire()
        for parked in self._parking.expired(self._clock()):
            reason = f"model {parked.model!r} was still loading after {PATIENCE_S:g} s"
            self._refuse(parked.frame, parked.model, reason, returns_credit=_settled(parked.debt))
        if self._configuration is not None:
            for name in list(filter(self._left_over, self._manifests_seen)):
                self._withdraw(name)
        self._models.try_again()

    def _left_over(self, name: str) -> bool:
        """Tell whether the manifest of a model that cannot be used was left from before a start."""
        model = self._models.get(name)
        if model is None:
            return True
        # Of workers that share the frames, a colleague may have loaded what we could not.
        return model.current is None and model.loading is None and not self._share

    # -- frames ---------------------------------------------------------------------------------

    def _look(self, frame: Frame) -> None:
        """Let every model of a frame look at it; the last answer returns the credit.

        What is only tried looks last, so that it delays no result of a model in force.
        """
        self._count["frames"] += 1
        ready: list[str] = []
        waiting: list[str] = []
        tried: list[str] = []
        for name in frame.models:
            if frame.test and name in self._shadows:
                continue  # what is only tried is compared on what the cameras show
            model = self._models.get(name)
            fits = model is not None and model.version_for(frame) is not None
            if name in self._shadows:
                # It never waits: when it is there, a row of old frames would hold up new ones.
                tried += [name] if fits else []
                self._count["shadows_left_out"] += not fits
                continue
            # A colleague may offer a version of another size before it has loaded here.
            loads_first = model is not None and model.loading is not None and not fits
            (waiting if loads_first else ready).append(name)
        ready += tried
        for number, name in enumerate(ready, start=1):
            self._answer(frame, name, returns_credit=number == len(ready))
        debt = None if ready else Debt(len(waiting))
        for name in waiting:
            self._park(frame, name, debt)
        if not ready and not waiting:
            self._refuse_whole(frame)

    def _refuse_whole(self, frame: Frame) -> None:
        """Return the credit of a frame that nobody looks at."""
        if frame.models:
            name = frame.models[-1]
            reason = (
                f"model {name!r} is only tried beside another: it takes part in no test"
                if frame.test and name in self._shadows
                else self._no_version(frame, name)
            )
            self._refuse(frame, name, reason, returns_credit=True)
        else:
            self._refuse(frame, NO_MODEL, "the frame names no model", returns_credit=True)

    def _answer(self, frame: Frame, name: str, *, returns_credit: bool) -> None:
        """Run one model on one frame and publish what it says, or why it says nothing."""
        queue_ms = max(0, self._now_us() - frame.captured_at_us) / 1000
        model = self._models.get(name)
        version = None if model is None else model.version_for(frame)
        if model is None or version is None:
            self._refuse(frame, name, self._no_version(frame, name), returns_credit=returns_credit)
            return
        arrived = self._arrived
        since = arrived[1] if arrived is not None and arrived[0] is frame else None
        steps = tracing.go_on("inference", frame.traceparent, since=since, first="queue")
        try:
            result = self._run(
                frame, model, version, queue_ms, returns_credit=returns_credit, steps=steps
            )
            steps.step("publish")
            self._bus.publish(result)
        except Exception as error:  # noqa: BLE001 - told, counted; the other cameras go on
            model.errors += 1
            model.trouble = self._explain(error, frame, model)
            self._refuse(frame, name, model.trouble, returns_credit=returns_credit)
            steps.close(camera=frame.camera, model=name, error=type(error).__name__)
            return
        steps.close(camera=frame.camera, model=name, objects=len(result.detections))
        model.trouble = ""
        model.processed += 1
        model.uncertain += result.uncertain
        self._count["results"] += 1
        self._count["collect"] += result.collect is not None

    def _run(
        self,
        frame: Frame,
        model: Model,
        version: Version,
        queue_ms: float,
        *,
        returns_credit: bool,
        steps: Steps = NOTHING,
    ) -> InferenceResult:
        version.last_used = self._clock()
        answer = version.answers.get(frame.camera)
        if answer is None:
            answer = self._prepare(frame, model, version)
        steps.step("run")
        began = time.perf_counter()
        outputs = version.engine.run(_pixels(frame))
        inferred = time.perf_counter()
        steps.step("decode")
        decoded = version.decoder.decode(outputs, answer.threshold)
        done = time.perf_counter()
        spent = timing(queue_ms, (inferred - began) * 1000, (done - inferred) * 1000)
        steps.step("answer")
        result = answer.result(frame, outputs, decoded, spent=spent, returns_credit=returns_credit)
        if steps.traceparent:
            return result.model_copy(update={"traceparent": steps.traceparent})
        return result

    def _prepare(self, frame: Frame, model: Model, version: Version) -> Answer:
        if len(version.answers) >= REMEMBERED_CAMERAS:
            version.answers.clear()
        name, camera = model.desired.id, frame.camera
        assignment = self._assignments.get((camera, name))
        manifest = model.configured(version.manifest)
        answer = Answer.build(
            manifest, model.desired, assignment, version.engine.outputs, self._worker, frame
        )
        limit = Limit.of(self._areas.get(camera, DetectionAreas()), version.decoder)
        answer = answer.within(limit)
        beside = self._shadows.get(name)
        if beside is not None:
            answer = answer.beside(beside)
        elif assignment is not None and assignment.collect:
            subject = Subject(version.decoder, manifest.labels, answer.threshold, self._rng)
            earlier = model.collectors.get(camera)
            model.collectors[camera] = Collector(assignment.collect, subject, earlier)
            answer = answer.collecting(model.collectors[camera])
        else:
            model.collectors.pop(camera, None)
        version.answers[camera] = answer
        return answer

    def _no_version(self, frame: Frame, name: str) -> str:
        """Say why no version of a model can look at a frame."""
        model = self._models.get(name)
        if model is None or model.current is None:
            return self._models.missing(name)
        width, height, channels = model.current.size
        return (
            f"model {name!r} reads {width}x{height}x{channels}, "
            f"the frame is {frame.width}x{frame.height}x{frame.channels}"
        )

    def _explain(self, error: Exception, frame: Frame, model: Model) -> str:
        if isinstance(error, NxaiError):
            return str(error)
        kind, now = type(error), self._clock()
        if now - model.traced.get(kind, -math.inf) >= TRACE_EVERY_S:
            model.traced[kind] = now
            log.error(
                "model %s on a frame of camera %s (%d frames failed so far)",
                model.desired.id,
                frame.camera,
                model.errors,
                exc_info=error,
            )
        return f"{type(error).__name__}: {error}"

    def _park(self, frame: Frame, name: str, debt: Debt | None) -> None:
        self._count["parked_in_all"] += 1
        replaced = self._parking.park(
            ParkedFrame(frame, name, self._clock() + PATIENCE_S, debt),
        )
        if replaced is not None:
            reason = f"model {name!r} is loading; newer frames wait for it"
            self._refuse(replaced.frame, name, reason, returns_credit=_settled(replaced.debt))

    def _answer_parked(self, name: str) -> None:
        for parked in self._parking.release(name):
            self._answer(parked.frame, name, returns_credit=_settled(parked.debt))

    def _refuse_parked(self, name: str, reason: str) -> None:
        for parked in self._parking.release(name):
            self._refuse(parked.frame, name, reason, returns_credit=_settled(parked.debt))

    def _refuse(self, frame: Frame, name: str, reason: str, *, returns_credit: bool) -> None:
        """Answer a frame without having looked at it: capture needs its credit back."""
        self._count["refused"] += 1
        log.debug("frame %d of camera %s: %s", frame.sequence, frame.camera, reason)
        result = refusal(frame, name, self._worker, reason, returns_credit=returns_credit)
        beside = self._shadows.get(name)
        if beside is not None:
            result = result.model_copy(update={"shadow_of": beside})
        self._bus.publish(result)

    # -- the bus --------------------------------------------------------------------------------

    def _subscribe(self, *, frames: bool) -> Inbox:
        wanted: list[Subscription[Message]] = [
            Subscription(InferenceConfiguration),
            Subscription(ModelManifest),
            # The broker hands each to one of the workers that share: one answer is asked for.
            Subscription(TryModel, share=self._share or None),
            Subscription(DetectPicture, share=self._share or None),
        ]
        if frames:
            wanted.append(Subscription(Frame, share=self._share or None))
        return self._bus.subscribe(*wanted)

    def _wake(self) -> None:
        self._inbox.wake()


def _pixels(frame: Frame) -> NDArray[np.uint8]:
    return np.frombuffer(frame.attachment, np.uint8).reshape(
        frame.height, frame.width, frame.channels
    )


def _settled(debt: Debt | None) -> bool:
    return debt is not None and debt.settle()
