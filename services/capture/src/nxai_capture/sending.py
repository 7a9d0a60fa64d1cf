"""Turns the pictures of one camera into frames: newest wins, limits, credits, resize, publish."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from nxai_capture.core.change import ChangeDetector, thumbnail
from nxai_capture.core.credits import CreditWindow, FrameKey
from nxai_capture.core.masks import Masks
from nxai_capture.core.pacing import Pacer
from nxai_capture.core.picture import Bytes, Picture
from nxai_capture.core.resizing import Resizer
from nxai_capture.core.ring import PictureRing
from nxai_capture.core.routing import Route, Routes
from nxai_capture.ports import Clock
from nxai_capture.reading import Captured
from nxai_common.bus.ports import Bus
from nxai_common.contracts.base import explain
from nxai_common.contracts.commands import WatchCamera
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
LOG_EVERY: Final = 100
"""What fails with one picture mostly fails with all: the first and each hundredth is told."""


@dataclass(slots=True)
class _Pending:
    """A picture and the inputs it still has to be sent to."""

    captured: Captured
    routes: list[tuple[str, Route]]
    """With the id of each input, which is too dear to compute for every frame."""
    small: Bytes | None
    """Its thumbnail, when the camera triggers on change."""
    models: set[str] = field(default_factory=set)
    """Those it was sent to. One that is replaced meanwhile has seen this picture all the same."""
    sent: bool = False


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to do with pictures; replaced as a whole."""

    camera: CaptureCamera
    routes: tuple[tuple[str, Route], ...]
    pacer: Pacer
    change: ChangeDetector | None
    complete: bool
    """All its models are on offer. A lossless source waits for that: nothing of it is skipped."""


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


ShowPreview = Callable[[CaptureCamera, Picture, int], None]
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
        self._forced = False
        self._windows: dict[str, CreditWindow] = {}
        self._ring = PictureRing(KEPT_AFTERWARDS, self._in_flight)
        self._watches: tuple[_Watch, ...] = ()
        self._sent = self._dropped = self._skipped = 0
        self._credits_lost_before = 0
        self._failures: dict[str, str] = {}
        self._surprises = 0
        self._masks: Masks | None = None
        # Used by the sending thread alone:
        self._pending: _Pending | None = None
        self._refused = False
        self._resizers: dict[str, Resizer] = {}
        self._previewed_at = float("-inf")
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

    def trigger(self) -> None:
        """Send the next picture whatever the limits say, or the newest when it was not sent."""
        with self._changed:
            self._forced = True
            newest = self._newest
            if (
                newest is not None
                and self._slot is None
                and self._ring.get(_key(newest)) is None
                and self._pending is None
            ):
                self._skipped -= 1  # it was, and is taken up again
                self._slot = newest
            self._changed.notify_all()

    def watch(self, command: WatchCamera) -> None:
        """Show previews for a while."""
        with self._changed:
            now = self._clock.monotonic()
            watch = _Watch(now + command.seconds, 1 / command.fps, command.max_width)
            living = [w for w in (*self._watches, watch) if w.until > now]
            living.sort(key=lambda w: w.until)
            self._watches = tuple(living[-MOST_WATCHES:])
            newest, options = self._newest, self._plan.camera
        if newest is not None:
            self._show_preview(options, newest.picture, command.max_width)

    def picture_of(self, key: FrameKey) -> Picture | None:
        """Return the full-size picture of a frame, masks burned in; None when it is gone."""
        with self._changed:
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
        earlier = None if before is None else before.change
        if change is not None and earlier is not None and earlier.trigger == change.trigger:
            change = earlier
        return _Plan(camera, inputs, pacer, change, complete=not routes.waiting_for)

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
            try:
                if captured is not None:
                    self._take_up(captured, plan)
                self._send_pending(plan)
            except Exception as error:  # noqa: BLE001 - logged whole in there
                self._give_up(error)
            del captured  # a picture not sent need not be kept until the next one comes

    def _take_over_plan(self) -> None:
        """Work by the plan in force from now on, with the picture in hand too."""
        before, plan = self._in_use, self._plan
        self._in_use = plan
        self._resizers.clear()  # models and qualities changed: rebuilt in a millisecond
        pending = self._pending
        if pending is None:
            return
        if before.camera.masks != plan.camera.masks:
            pending.captured = self._mask(pending.captured)
        pending.routes = []
        for input_id, route in plan.routes:
            models = tuple(model for model in route.models if model not in pending.models)
            if models:
                pending.routes.append((input_id, Route(route.spec, models)))

    def _has_work(self) -> bool:
        if self._stopped or self._may_take():
            return True
        pending = self._pending
        if pending is None:
            return False
        if self._in_use is not self._plan:
            return True
        return not self._refused and self._may_send(pending)

    def _may_take(self) -> bool:
        if self._slot is None:
            return False
        return not self._slot.lossless or (self._pending is None and self._plan.complete)

    def _may_send(self, pending: _Pending) -> bool:
        if pending.captured.lossless and not self._plan.complete:
            return False
        return self._has_room(pending.captured) and any(
            self._windows[input_id].available for input_id, _ in pending.routes
        )

    def _has_room(self, captured: Captured) -> bool:
        """Return whether the picture can be kept beside those in flight, where that matters.

        A source that waits sends no more at once than can become samples.
        """
        if not captured.lossless or not self._plan.camera.samples:
            return True
        return self._ring.has_room(_key(captured), captured.picture)

    def _take_up(self, captured: Captured, plan: _Plan) -> None:
        """Decide whether a picture shall be sent; the one that still waited for a credit goes."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._settle(pending)
        with self._changed:  # masks and all: `update` must find it masked, or not here yet
            if captured is not self._newest:  # else taken up again by `trigger`: masked already
                captured = self._mask(captured)
            picture, options = captured.picture, self._plan.camera
            self._newest = captured
            forced, self._forced = self._forced, False
            watches = self._watches
            for window in self._windows.values():
                window.lossless = captured.lossless
        now = self._clock.monotonic()
        watching = [watch for watch in watches if now < watch.until]
        if watching:  # several people at once: suit them all
            self._preview(options, picture, watching, now)
        small = None if plan.change is None else thumbnail(picture)
        wanted = forced or (
            plan.pacer.due(now)
            and (plan.change is None or small is None or plan.change.changed(small))
        )
        if plan.routes and wanted:
            self._pending = _Pending(captured, list(plan.routes), small)
        else:
            with self._changed:
                self._skipped += 1

    def _preview(
        self, options: CaptureCamera, picture: Picture, watching: list[_Watch], now: float
    ) -> None:
        if now - self._previewed_at >= min(watch.interval_s for watch in watching):
            self._previewed_at = now
            self._show_preview(options, picture, max(watch.max_width for watch in watching))

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
        if pending is None or (pending.captured.lossless and not plan.complete):
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
            if not window.available or not self._has_room(captured):
                return False
            window.take(key, self._clock.monotonic())
            self._ring.put(key, captured.picture)
        published = False
        try:
            published = self._bus.publish(self._frame(captured, input_id, route))
        except (NxaiError, ValidationError) as error:
            self._tell_failure(input_id, route, error)
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

    def _frame(self, captured: Captured, input_id: str, route: Route) -> Frame:
        picture, spec = captured.picture, route.spec
        resizer = self._resizers.get(input_id)
        if resizer is None or (resizer.source_width, resizer.source_height) != (
            picture.width,
            picture.height,
        ):
            resizer = self._resizers[input_id] = Resizer(spec, picture.width, picture.height)
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
            attachment=resizer(picture).reshape(-1).data,
        )

    def _tell_failure(
        self, input_id: str, route: Route, error: NxaiError | ValidationError
    ) -> None:
        spec, models = route.spec, ", ".join(route.models)
        why = explain(error) if isinstance(error, ValidationError) else str(error)
        with self._changed:
            if input_id not in self._windows:  # mended meanwhile
                return
            self._failures[input_id] = (
                f"no frame of {spec.width}x{spec.height} pixels for model {models} can be sent: "
                f"{why}. Give the camera a model with a smaller input"
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
                self._dropped += 1
        if pending is not None:
            self._settle(pending)

    def _settle(self, pending: _Pending) -> None:
        """Count a picture that is done with."""
        with self._changed:
            if pending.sent:
                self._sent += 1
            else:
                self._dropped += 1


def _key(captured: Captured) -> FrameKey:
    return FrameKey(captured.stream, captured.sequence)
