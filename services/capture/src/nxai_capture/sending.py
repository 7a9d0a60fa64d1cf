"""Turns the pictures of one camera into frames: newest wins, limits, credits, resize, publish."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import ValidationError

from nxai_capture.core.change import ChangeDetector, thumbnail
from nxai_capture.core.credits import CreditWindow, FrameKey
from nxai_capture.core.masks import Masks
from nxai_capture.core.pacing import Pacer, PreviewPacer
from nxai_capture.core.picture import Bytes, Picture
from nxai_capture.core.resizing import Resizer
from nxai_capture.core.ring import PictureRing
from nxai_capture.core.routing import Route, Routes
from nxai_capture.ports import Answer, Clock
from nxai_capture.reading import Captured
from nxai_common import tracing
from nxai_common.bus.ports import Bus
from nxai_common.contracts.base import explain
from nxai_common.contracts.commands import Reply, WatchCamera
from nxai_common.contracts.configuration import CaptureCamera
from nxai_common.contracts.frames import Frame
from nxai_common.errors import NxaiError

log = logging.getLogger(__name__)

KEPT_AFTERWARDS: Final = 8
"""Full-size pictures whose frame is not in flight any more: of results that came too late, and for
those who ask for the picture of a result."""
LONGEST_WAIT_S: Final = 1.0
"""Between two looks at credits that are overdue."""
BROKER_AWAY_WAIT_S: Final = 0.1
"""A file read without loss waits so long before it offers a refused frame again."""
MOST_WATCHES: Final = 32
"""Viewers ask again before their time is over, so each may have two."""
MOST_TESTS: Final = 8
"""Waiting for the sending thread, which takes milliseconds for each."""
LOG_EVERY: Final = 100
"""What fails with one picture mostly fails with all: the first and each hundredth is told."""


@dataclass(slots=True)
class _Pending:
    """A picture and the inputs it still has to be sent to."""

    captured: Captured
    forced: bool
    """A command asked for it: limits, credits and a pause do not matter."""
    undecided: bool = True
    """Nobody has asked yet whether it shall be sent: it is of a source that waits."""
    routes: list[tuple[str, Route]] = field(default_factory=list)
    """With the id of each input, which is too dear to compute for every frame."""
    small: Bytes | None = None
    """Its thumbnail, when the camera triggers on change."""
    models: set[str] = field(default_factory=set)
    """Those it was sent to. One that is replaced meanwhile has seen this picture all the same."""
    sent: bool = False


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to do with pictures; replaced as a whole."""

    camera: CaptureCamera
    routes: tuple[tuple[str, Route], ...]
    waiting_for: tuple[str, ...]
    """Models not on offer. A lossless source waits for them: nothing of it is skipped."""
    pacer: Pacer
    change: ChangeDetector | None

    def holds(self, pending: _Pending) -> bool:
        """Return whether a picture must wait: its source does, and loses nothing."""
        paused = self.camera.paused and not pending.forced
        return pending.captured.lossless and (paused or bool(self.waiting_for))


@dataclass(frozen=True, slots=True)
class _Test:
    """Somebody wants to see what comes of the newest picture."""

    name: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class _Watch:
    """Somebody looks at previews."""

    until: float
    interval_s: float
    max_width: int


@dataclass(frozen=True, slots=True)
class Sending:
    """What was sent so far. Pictures: decoded = sent + dropped + skipped (+ one in hand)."""

    sent: int
    dropped: int
    skipped: int
    credits_lost: int


Fate = Literal["sent", "dropped", "skipped"]

ShowPreview = Callable[[CaptureCamera, Captured, int], None]
"""Encodes and publishes a preview of at most so many pixels across; returns at once. The options
are those under which the picture was masked."""


class FrameSender:
    """One camera's thread between the decoder and the bus.

    Args:
        camera: Its options.
        routes: Its inputs.
        bus: Where frames go.
        clock: Time.
        show_preview: Takes pictures while somebody watches.
    """

    def __init__(
        self,
        camera: CaptureCamera,
        routes: Routes,
        *,
        bus: Bus,
        clock: Clock,
        show_preview: ShowPreview,
    ) -> None:
        self._id: Final = camera.id
        self._bus = bus
        self._clock = clock
        self._show_preview = show_preview
        self._changed = threading.Condition()
        self._stopped = False
        self._slot: Captured | None = None
        self._newest: Captured | None = None
        self._fate: tuple[FrameKey, Fate] | None = None  # of the last one that is done with
        self._forced = False
        self._tests: deque[_Test] = deque()
        self._tested: Captured | None = None
        self._windows: dict[str, CreditWindow] = {}
        self._ring = PictureRing(KEPT_AFTERWARDS, self._in_flight)
        self._watches: tuple[_Watch, ...] = ()
        self._previews = PreviewPacer()
        self._shown: FrameKey | None = None
        self._sent = self._dropped = self._skipped = 0
        self._credits_lost_before = 0
        self._failures: dict[str, str] = {}
        self._surprises = 0
        self._masks: Masks | None = None
        # Used by the sending thread alone:
        self._pending: _Pending | None = None
        self._refused = False
        self._resizers: dict[str, Resizer] = {}
        self._plan = self._in_use = self._plan_for(camera, routes, None)
        self._thread = self._new_thread()

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def supervise(self) -> None:
        """Start the thread again should it have died."""
        if self._thread.is_alive() or self._stopped:
            return
        log.error("the sending thread of camera %s died: it is started again", self._id)
        self._thread = self._new_thread()
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; returns at once."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(timeout_s)

    def update(self, camera: CaptureCamera, routes: Routes) -> None:
        """Put new options in force without touching the connection."""
        with self._changed:
            before, self._plan = self._plan, self._plan_for(camera, routes, self._plan)
            if before.routes != self._plan.routes:
                self._failures.clear()
            if camera.masks != before.camera.masks:
                # What was kept without the new masks must not go out any more.
                self._ring.clear()
                self._tested = None
                if self._newest is not None:
                    self._newest = self._mask(self._newest)
            self._changed.notify_all()

    def deliver(self, captured: Captured) -> bool:
        """Offer a picture; replaces one not taken yet, or waits when the source is lossless.

        Returns:
            False when this camera was stopped.
        """
        with self._changed:
            if captured.lossless:
                self._changed.wait_for(lambda: self._slot is None or self._stopped)
            elif self._slot is not None:
                self._dropped += 1
            if self._stopped:
                return False
            self._slot = captured
            self._changed.notify_all()
            return True

    def ran(self, input_id: str, key: FrameKey, run_s: float) -> None:
        """Note how long a model ran on a frame that others still look at."""
        with self._changed:
            window = self._windows.get(input_id)
            if window is not None:
                window.ran(key, run_s)

    def give_back(self, input_id: str, key: FrameKey, worker: str, run_s: float) -> None:
        """Take the credit that the last result of a frame brings."""
        with self._changed:
            window = self._windows.get(input_id)
            if window is None:
                return
            window.give_back(key, worker, self._clock.monotonic(), run_s)
            self._changed.notify_all()

    def trigger(self, *, ended: bool) -> str:
        """Send the newest picture whatever the limits say, or the next when it was sent already.

        Args:
            ended: There will be no next one.

        Returns:
            Why not, in plain words; empty: it will be sent.
        """
        with self._changed:
            if refusal := self._refusal():
                return refusal
            newest = self._newest
            waits = self._slot is not None or self._pending is not None
            fate = None
            if self._fate is not None and newest is not None and self._fate[0] == _key(newest):
                fate = self._fate[1]
            if ended and not waits and fate == "sent":
                return "it was played to its end, and its last picture was sent already"
            self._forced = True
            if not waits and fate in ("skipped", "dropped"):
                self._count(fate, -1)  # it was, and is taken up again
                self._slot = newest
            self._changed.notify_all()
        return ""

    def test(self, name: str, answer: Answer) -> str:
        """Send the newest picture for a test, besides all others: it counts nowhere.

        Args:
            name: Of the test.
            answer: Called from the sending thread, once the picture was sent or could not be.

        Returns:
            Why not, in plain words, and `answer` is never called; empty: it will be.
        """
        with self._changed:
            if refusal := self._refusal():
                return refusal
            if len(self._tests) == MOST_TESTS:
                return f"{MOST_TESTS} tests of it wait already: ask again in a second"
            self._tests.append(_Test(name, answer))
            self._changed.notify_all()
        return ""

    def _refusal(self) -> str:
        """Return why no frame can be sent; empty when nothing is known against it."""
        plan, newest = self._plan, self._newest
        if not plan.camera.models:
            return "no model is assigned to it: choose one first"
        if not plan.routes or (newest is not None and newest.lossless and plan.waiting_for):
            names = ", ".join(plan.waiting_for or plan.camera.models)
            return (
                f"inference does not offer its model {names} (yet): wait until it is loaded, or "
                "see why it is not"
            )
        if newest is None:
            return "it has not given a picture yet"
        failures = [self._failures.get(input_id, "") for input_id, _ in plan.routes]
        return failures[0] if all(failures) else ""

    def watch(self, command: WatchCamera) -> None:
        """Show previews for a while."""
        with self._changed:
            now = self._clock.monotonic()
            watch = _Watch(now + command.seconds, 1 / command.fps, command.max_width)
            living = [w for w in self._watches if w.until > now]
            wider = all(w.max_width < watch.max_width for w in living)
            living = sorted((*living, watch), key=lambda w: w.until)
            self._watches = tuple(living[-MOST_WATCHES:])
            newest, options = self._newest, self._plan.camera
            if newest is None or not (
                wider or self._previews.due(now, watch.interval_s, sent=False)
            ):
                return  # the others' next picture comes within its interval
            self._shown = _key(newest)
            self._previews.shown(now, watch.interval_s, sent=False)
        self._show_preview(options, newest, command.max_width)

    def picture_of(self, key: FrameKey) -> Picture | None:
        """Return the full-size picture of a frame, masks burned in; None when it is gone."""
        with self._changed:
            tested = self._tested
            if tested is not None and _key(tested) == key:
                return tested.picture
            return self._ring.get(key)

    def newest_picture(self) -> Picture | None:
        """Return the newest picture, masks burned in."""
        with self._changed:
            return None if self._newest is None else self._newest.picture

    def newest_sent_picture(self) -> Picture | None:
        """Return the newest picture that went to inference."""
        with self._changed:
            return self._ring.newest

    def sending(self) -> Sending:
        """Return what was sent so far."""
        with self._changed:
            lost = self._credits_lost_before + sum(w.lost for w in self._windows.values())
            return Sending(self._sent, self._dropped, self._skipped, lost)

    def failures(self) -> tuple[str, ...]:
        """Return why pictures cannot be sent, one reason for each input that is concerned."""
        with self._changed:
            return tuple(self._failures.values())

    # -- plan -------------------------------------------------------------------------------

    def _plan_for(self, camera: CaptureCamera, routes: Routes, before: _Plan | None) -> _Plan:
        """Return the plan for new options, keeping what did not change."""
        inputs = tuple((route.spec.id, route) for route in routes.inputs)
        windows = {}
        for input_id, _ in inputs:
            kept = self._windows.get(input_id)
            if (
                kept is None
                or before is None
                or before.camera.credit_window != camera.credit_window
            ):
                windows[input_id] = CreditWindow(camera.credit_window)
            else:
                windows[input_id] = kept
        gone = [w for w in self._windows.values() if w not in windows.values()]
        self._credits_lost_before += sum(w.lost for w in gone)
        self._windows = windows
        pacer = Pacer(camera.inference_limit_ms)
        if before is not None and before.pacer.limit_ms == camera.inference_limit_ms:
            pacer = before.pacer
        change = ChangeDetector(camera.on_change) if camera.on_change.enabled else None
        if (
            change is not None
            and before is not None
            and before.change is not None
            and before.change.trigger == change.trigger
            and before.camera.region == camera.region
        ):
            change = before.change
        return _Plan(camera, inputs, routes.waiting_for, pacer, change)

    def _in_flight(self, key: FrameKey) -> bool:
        return any(key in window for window in self._windows.values())

    # -- on the sending thread --------------------------------------------------------------

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name=f"send-{self._id}", daemon=True)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    self._has_work, BROKER_AWAY_WAIT_S if self._refused else LONGEST_WAIT_S
                )
                if self._stopped:
                    return
                self._refused = False
                now = self._clock.monotonic()
                for window in self._windows.values():
                    window.expire(now)
                if self._in_use is not self._plan:
                    self._take_over_plan()
                plan, captured = self._in_use, None
                if self._may_take():
                    captured, self._slot = self._slot, None
                    self._changed.notify_all()  # a lossless reader waits for the slot
                elif self._forced and self._pending is not None:
                    self._forced, self._pending.forced = False, True
            try:
                if captured is not None:
                    self._take_up(captured)
                self._decide(plan)
                self._send_pending(plan)
            except Exception as error:  # noqa: BLE001 - logged whole in there
                self._give_up(error)
            self._send_tests(plan)
            self._preview()
            del captured  # a picture not sent need not be kept until the next one comes

    def _take_over_plan(self) -> None:
        """Work by the plan in force from now on, with the picture in hand too."""
        before, plan = self._in_use, self._plan
        self._in_use = plan
        self._resizers.clear()  # models, qualities or the region changed: rebuilt in a millisecond
        pending = self._pending
        if pending is None:
            return
        if before.camera.masks != plan.camera.masks:
            pending.captured = self._mask(pending.captured)
        if pending.undecided:
            return
        if plan.camera.paused and not (pending.forced or pending.captured.lossless):
            self._pending = None
            self._done(pending.captured, "sent" if pending.sent else "skipped")
            return
        pending.routes = []
        for input_id, route in plan.routes:
            models = tuple(model for model in route.models if model not in pending.models)
            if models:
                pending.routes.append((input_id, Route(route.spec, models)))

    def _has_work(self) -> bool:
        if self._stopped or self._may_take() or self._tests:
            return True
        pending = self._pending
        if pending is None:
            return False
        if self._in_use is not self._plan or self._forced:
            return True
        if pending.undecided:
            return not self._plan.holds(pending)
        return not self._refused and self._may_send(pending)

    def _may_take(self) -> bool:
        if self._slot is None:
            return False
        return not self._slot.lossless or self._pending is None

    def _may_send(self, pending: _Pending) -> bool:
        if self._plan.holds(pending):
            return False
        return pending.forced or (
            self._has_room(pending.captured)
            and any(self._windows[input_id].available for input_id, _ in pending.routes)
        )

    def _has_room(self, captured: Captured) -> bool:
        """Return whether the picture can be kept beside those in flight, where that matters.

        A source that waits sends no more at once than can become samples.
        """
        if not captured.lossless or not self._plan.camera.samples:
            return True
        return self._ring.has_room(_key(captured), captured.picture)

    def _take_up(self, captured: Captured) -> None:
        """Take a picture in hand; the one that still waited for a credit goes."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._settle(pending)
        with self._changed:  # masks and all: `update` must find it masked, or not here yet
            if captured is not self._newest:  # else taken up again by `trigger`: masked already
                captured = self._mask(captured)
            self._newest = captured
            forced, self._forced = self._forced, False
            for window in self._windows.values():
                window.lossless = captured.lossless
        if pending is not None and not pending.sent:
            forced = forced or pending.forced
        self._pending = _Pending(captured, forced)

    def _decide(self, plan: _Plan) -> None:
        """Decide whether the picture in hand shall be sent."""
        pending = self._pending
        if pending is None or not pending.undecided or plan.holds(pending):
            return
        camera, picture = plan.camera, pending.captured.picture
        if plan.change is not None:
            pending.small = thumbnail(picture, camera.region)
        wanted = pending.forced or (
            not camera.paused
            and plan.pacer.due(self._clock.monotonic())
            and (plan.change is None or pending.small is None or plan.change.changed(pending.small))
        )
        if plan.routes and wanted:
            pending.routes, pending.undecided = list(plan.routes), False
            return
        self._pending = None
        self._done(pending.captured, "skipped")

    def _preview(self) -> None:
        """Show the newest picture to those who watch, when it is time for one."""
        with self._changed:
            newest, options = self._newest, self._plan.camera
            now = self._clock.monotonic()
            watching = [watch for watch in self._watches if now < watch.until]
            if newest is None or not watching or _key(newest) == self._shown:
                return
            pending, interval_s = self._pending, min(watch.interval_s for watch in watching)
            sent = self._fate == (_key(newest), "sent") or (pending is not None and pending.sent)
            if not self._previews.due(now, interval_s, sent=sent):
                return
            self._shown = _key(newest)
            self._previews.shown(now, interval_s, sent=sent)
        # Several people at once: suit them all.
        self._show_preview(options, newest, max(watch.max_width for watch in watching))

    def _mask(self, captured: Captured) -> Captured:
        """Burn in the masks that are in force; called with the lock held."""
        polygons, picture = self._plan.camera.masks, captured.picture
        if not polygons:
            return captured
        masks = self._masks
        if masks is None or not masks.fits(polygons, picture):
            masks = self._masks = Masks(polygons, picture.width, picture.height)
        return Captured(captured.stream, captured.sequence, masks(picture), captured.lossless)

    def _send_pending(self, plan: _Plan) -> None:
        """Send the picture in hand to every input that has a credit."""
        pending = self._pending
        if pending is None or pending.undecided or plan.holds(pending):
            return
        pending.routes = [
            (input_id, route)
            for input_id, route in pending.routes
            if not self._send(pending, input_id, route, plan)
        ]
        with self._changed:
            if pending.routes or self._plan is not plan:
                return  # what a new plan wants of it, the next round sees
            self._pending = None
        self._settle(pending)

    def _send(self, pending: _Pending, input_id: str, route: Route, plan: _Plan) -> bool:
        """Send a picture to one input; False when it has to wait for a credit (or the broker)."""
        captured = pending.captured
        key = _key(captured)
        with self._changed:
            if self._plan is not plan:
                return False  # it may be for another input by now, or want new masks
            window = self._windows[input_id]
            if not pending.forced and not (window.available and self._has_room(captured)):
                return False
            window.take(key, self._clock.monotonic())
            self._ring.put(key, captured.picture)
        published = False
        steps = tracing.begin("capture", since_us=captured.picture.captured_at_us, first="wait")
        try:
            steps.step("resize")
            frame = self._frame(captured, input_id, route, traceparent=steps.traceparent)
            steps.step("publish")
            published = self._bus.publish(frame)
            steps.close(
                camera=self._id,
                input=input_id,
                stream=captured.stream,
                sequence=captured.sequence,
                published=published,
            )
        except (NxaiError, ValidationError) as error:
            with self._changed:
                if input_id in self._windows:  # else it was mended meanwhile
                    self._failures[input_id] = _why_not(route, error)
            return True
        finally:
            if not published:
                with self._changed:
                    window.cancel(key)
        if published:
            pending.models.update(route.models)
            if not pending.sent:
                pending.sent = True
                plan.pacer.sent(self._clock.monotonic())
                if plan.change is not None and pending.small is not None:
                    plan.change.sent(pending.small)
            if self._failures:
                with self._changed:
                    self._failures.pop(input_id, None)
                    self._failures.pop("", None)
            return True
        self._refused = captured.lossless
        return not captured.lossless

    def _send_tests(self, plan: _Plan) -> None:
        """Send the newest picture to every input, for each test that waits."""
        while True:
            with self._changed:
                newest = self._newest
                if not self._tests or newest is None or self._plan is not plan:
                    return  # with a new plan it may be for another input, or want new masks
                test = self._tests.popleft()
                self._tested = newest
            try:
                reply = self._send_test(test, newest, plan)
            except Exception as error:
                log.exception("a picture of camera %s could not be sent for a test", self._id)
                reply = Reply(ok=False, reason=f"unexpected {type(error).__name__}; see the log")
            test.answer(reply)

    def _send_test(self, test: _Test, captured: Captured, plan: _Plan) -> Reply:
        models: list[str] = []
        reasons = []
        for input_id, route in plan.routes:
            try:
                if self._bus.publish(self._frame(captured, input_id, route, test.name)):
                    models += route.models
                else:
                    reasons.append("the broker is away: ask again")
            except (NxaiError, ValidationError) as error:
                reasons.append(_why_not(route, error))
        picture = captured.picture
        return Reply(
            ok=bool(models),
            reason="; ".join(reasons) if plan.routes else "no model is offered for it any more",
            details={
                "stream": captured.stream,
                "sequence": captured.sequence,
                "captured_at_us": picture.captured_at_us,
                "width": picture.width,
                "height": picture.height,
                "models": ", ".join(models),
            },
        )

    def _frame(
        self,
        captured: Captured,
        input_id: str,
        route: Route,
        test: str = "",
        *,
        traceparent: str = "",
    ) -> Frame:
        picture, spec = captured.picture, route.spec
        resizer = self._resizers.get(input_id)
        if resizer is None or (resizer.source_width, resizer.source_height) != (
            picture.width,
            picture.height,
        ):
            region = self._in_use.camera.region
            resizer = Resizer(spec, picture.width, picture.height, region)
            self._resizers[input_id] = resizer
        return Frame(
            camera=self._id,
            input=input_id,
            models=route.models,
            stream=captured.stream,
            sequence=captured.sequence,
            captured_at_us=picture.captured_at_us,
            width=spec.width,
            height=spec.height,
            channels=spec.channels,
            source_width=picture.width,
            source_height=picture.height,
            transform=resizer.transform,
            test=test,
            traceparent=traceparent,
            attachment=resizer(picture).reshape(-1).data,
        )

    def _give_up(self, error: Exception) -> None:
        """Let go of the picture in hand: a library's surprise must not end this camera for good."""
        self._surprises += 1
        if self._surprises % LOG_EVERY == 1:
            log.error("a picture of camera %s could not be sent", self._id, exc_info=error)
        pending, self._pending = self._pending, None
        with self._changed:
            self._failures[""] = f"unexpected {type(error).__name__} while sending; see the log"
            if pending is None:
                self._count("dropped")
        if pending is not None:
            self._settle(pending)

    def _settle(self, pending: _Pending) -> None:
        """Count a picture that is done with."""
        with self._changed:
            self._done(pending.captured, "sent" if pending.sent else "dropped")

    def _done(self, captured: Captured, fate: Fate) -> None:
        with self._changed:
            self._fate = _key(captured), fate
            self._count(fate)

    def _count(self, fate: Fate, more: int = 1) -> None:
        match fate:
            case "sent":
                self._sent += more
            case "dropped":
                self._dropped += more
            case "skipped":
                self._skipped += more


def _why_not(route: Route, error: NxaiError | ValidationError) -> str:
    spec, models = route.spec, ", ".join(route.models)
    why = explain(error) if isinstance(error, ValidationError) else str(error)
    return (
        f"no frame of {spec.width}x{spec.height} pixels for model {models} can be sent: "
        f"{why}. Give the camera a model with a smaller input"
    )


def _key(captured: Captured) -> FrameKey:
    return FrameKey(captured.stream, captured.sequence)
