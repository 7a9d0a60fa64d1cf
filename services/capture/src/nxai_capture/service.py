"""The capture service: configuration in, frames out, results back as credits."""

import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from nxai_capture.camera import RunningCamera, Surroundings
from nxai_capture.core.credits import FrameKey
from nxai_capture.core.picture import Picture
from nxai_capture.core.privacy import before_this_run, may_show
from nxai_capture.core.resizing import Resizer
from nxai_capture.core.routing import route, same_connection
from nxai_capture.core.sampling import Spacing, all_pixels
from nxai_capture.encoding import EncodingDesk
from nxai_capture.ports import Clock, EncodePicture, EncodePixels, OpenSource, ReadCredentials
from nxai_capture.reading import MEND, RECONNECT, Captured
from nxai_capture.scouting import Scout
from nxai_capture.stuck import StuckThreads
from nxai_common.bus.ports import Bus, Cleared, Delivery, Inbox, Subscription
from nxai_common.contracts import frames
from nxai_common.contracts.alarms import Alarm
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import (
    FindCameras,
    ListStreams,
    ProbeSource,
    Reply,
    TakeSnapshot,
    TriggerCamera,
    WatchCamera,
)
from nxai_common.contracts.configuration import CaptureCamera, CaptureConfiguration
from nxai_common.contracts.frames import Preview
from nxai_common.contracts.models import ModelManifest
from nxai_common.contracts.outputs import Event, EventPhase, Snapshot
from nxai_common.contracts.results import CollectReason, InferenceResult
from nxai_common.contracts.samples import Sample
from nxai_common.contracts.status import CameraStatus, LinkState
from nxai_common.errors import NxaiError, RejectedError
from nxai_common.retry import RetryPolicy
from nxai_common.runtime import Beat, Report, Stop

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
"""How often cameras are looked after; a stuck one is noticed within its time-out and this."""
MOST_HANGING: Final = 8
"""Cameras with threads left behind, each with a decoder of some 30 MB. One that hangs is its own
affair, or that of the share it is read from: a fresh process would interrupt all others, and hang
again. So many: it may be this process."""
INBOX_BOUND: Final = 256
"""Results, events and pushed pictures waiting at most. Handling one takes 0.1 ms, so more is a
burst after a pause, and only the newest matter then."""
FAREWELL_S: Final = 3.0
"""For all cameras together to close; what hangs ends with the process."""


class PushPicture(Protocol):
    """Hands a picture that another program published to its camera."""

    def __call__(self, camera_id: str, data: bytes) -> None:
        """Hand it over; returns at once. Pictures for unknown cameras are dropped."""
        ...


class TooManyStuckDecoders(NxaiError):  # noqa: N818 - named for the state
    """So many threads hang that only a fresh process helps; the runner starts one."""


class CaptureService:
    """Runs all cameras. `nxai_common.runtime.Service`."""

    def __init__(  # noqa: PLR0913 - its collaborators, named by keyword
        self,
        *,
        bus: Bus,
        beat: Beat,
        clock: Clock,
        open_source: OpenSource,
        read_credentials: ReadCredentials,
        encode: EncodePicture,
        encode_pixels: EncodePixels,
        scout: Scout,
        push_picture: PushPicture,
        forget_camera: Callable[[str], None],
        retry: RetryPolicy = RECONNECT,
        mend: RetryPolicy = MEND,
    ) -> None:
        self._bus = bus
        self._beat = beat
        self._clock = clock
        self._encode = encode
        self._encode_pixels = encode_pixels
        self._scout = scout
        self._push_picture = push_picture
        self._forget_camera = forget_camera
        self._surroundings = Surroundings(
            bus, clock, open_source, read_credentials, retry=retry, mend=mend
        )
        self._desk = EncodingDesk()
        self._revision = ""
        self._configuration: dict[str, CaptureCamera] = {}
        # Held while a picture goes out and while other options come into force: a picture with the
        # masks of before goes out before the new ones are in force, or never.
        self._showing = threading.Lock()
        self._manifests: dict[str, ModelManifest] = {}
        self._stuck: defaultdict[str, StuckThreads] = defaultdict(StuckThreads)
        self._cameras: dict[str, RunningCamera] = {}  # replaced, never changed: read by `report`
        self._abandoned_before = 0
        self._spacing: defaultdict[str, Spacing] = defaultdict(Spacing)
        self._samples_missed = self._samples_spaced = 0
        # By the thread that encodes:
        self._samples = self._samples_repeated = self._samples_withheld = 0
        self._last_samples: dict[str, int] = {}
        self._started_at = datetime.fromtimestamp(clock.unix(), UTC)

    def run(self, stop: Stop) -> None:
        """Receive, decide, emit until `stop` is set."""
        inbox = self._subscribe()
        self._desk.start()
        look_at = 0.0
        try:
            while not stop.is_set():
                delivery = inbox.receive(LOOK_S)
                if delivery is not None:
                    self._handle(delivery)
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + LOOK_S
                    self._look_after_cameras()
                    self._beat()
        finally:
            inbox.close()
            self._scout.close()
            self._stop_cameras(list(self._cameras.values()))
            self._desk.close(FAREWELL_S)

    def report(self) -> Report:
        """Return how it goes."""
        revision = self._revision  # first: what it brought is then in the rest
        cameras = self._cameras
        configuration = self._configuration
        statuses = [camera.status() for camera in cameras.values()]
        statuses += [
            CameraStatus(camera=name, state=LinkState.DISABLED, since=self._started_at)
            for name in configuration
            if name not in cameras
        ]
        problems = tuple(p for camera in cameras.values() for p in camera.problems())
        return Report(
            problems=problems,
            counters={
                "samples": self._samples,
                "samples_missed": self._samples_missed + self._samples_withheld,
                "samples_spaced": self._samples_spaced,
                "samples_repeated": self._samples_repeated,
                "encodings_dropped": self._desk.dropped,
                "encodings_failed": self._desk.failed,
                "decoders_abandoned": self._abandoned(),
            },
            gauges={
                "cameras_running": sum(s.state is LinkState.RUNNING for s in statuses),
                "encodings_waiting": self._desk.waiting,
                "searches_running": self._scout.running,
            },
            cameras=tuple(statuses),
            configuration_revision=revision,
        )

    # -- receive ----------------------------------------------------------------------------

    def _subscribe(self) -> Inbox:
        def mine(name: str) -> dict[str, str]:
            return {"service": "capture", "name": name}

        return self._bus.subscribe(
            Subscription(CaptureConfiguration, {"service": "capture"}),
            Subscription(ModelManifest, cleared=True),
            Subscription(WatchCamera, mine("watch")),
            Subscription(TakeSnapshot, mine("snapshot")),
            Subscription(TriggerCamera, mine("trigger")),
            Subscription(ProbeSource, mine("probe")),
            Subscription(FindCameras, mine("find")),
            Subscription(ListStreams, mine("streams")),
            Subscription(InferenceResult),
            Subscription(Event),
            Subscription(Alarm),
            Subscription(frames.Picture),
            volatile=True,
            bound=INBOX_BOUND,
        )

    def _handle(self, delivery: Delivery[Message]) -> None:
        match delivery.message:
            case InferenceResult() as result:
                self._handle_result(result)
            case CaptureConfiguration() as configuration:
                self._configure(configuration)
            case ModelManifest() as manifest:
                self._manifests[manifest.model] = manifest
                self._reroute()
            case Cleared(kind=kind, levels=levels) if kind is ModelManifest:
                self._manifests.pop(levels["model"], None)
                self._reroute()
            case Event() as event:
                self._handle_event(event)
            case Alarm() as alarm:
                self._handle_alarm(alarm)
            case frames.Picture() as picture:
                self._push_picture(picture.camera, bytes(picture.attachment))
            case WatchCamera() | TakeSnapshot() | TriggerCamera() as command:
                self._handle_command(command, delivery)
            case ProbeSource() | FindCameras() | ListStreams() as command:
                running = [camera.options for camera in self._cameras.values()]
                self._scout.begin(command, delivery.reply, running)
            case _:
                log.error("no handler for %s", type(delivery.message).__name__)

    def _handle_result(self, result: InferenceResult) -> None:
        camera = self._cameras.get(result.camera)
        if camera is None or result.test:  # a test's frame took no credit, and is for nobody else
            return
        key = FrameKey(result.stream, result.sequence)
        if result.collect is not None and not result.shadow_of and camera.options.samples:
            self._take_sample(camera, key, result, result.collect)
        run_s = result.timing.engine_ms / 1000
        if result.returns_credit:
            camera.sender.give_back(result.input, key, result.worker, run_s)
        else:
            camera.sender.ran(result.input, key, run_s)

    def _handle_event(self, event: Event) -> None:
        camera = self._cameras.get(event.camera)
        if event.event is not EventPhase.START or camera is None or not camera.options.snapshots:
            return
        picture = camera.sender.newest_sent_picture()
        if picture is not None:
            self._publish_snapshot(camera.options, picture)

    def _handle_alarm(self, alarm: Alarm) -> None:
        camera = self._cameras.get(alarm.camera)
        if not alarm.picture or camera is None or not camera.options.snapshots:
            return
        key = FrameKey(alarm.stream, alarm.sequence)
        picture = camera.sender.picture_of(key) or camera.sender.newest_sent_picture()
        if picture is not None:
            self._publish_snapshot(camera.options, picture)

    def _handle_command(
        self, command: WatchCamera | TakeSnapshot | TriggerCamera, delivery: Delivery[Message]
    ) -> None:
        camera = self._cameras.get(command.camera)
        if camera is None:
            known = ", ".join(self._cameras) or "none"
            reason = f"no camera {command.camera!r} is running here (running: {known})"
            delivery.reply(Reply(ok=False, reason=reason))
            return
        match command:
            case TakeSnapshot():
                self._answer_snapshot(camera, command, delivery)
            case WatchCamera():
                camera.sender.watch(command)
                delivery.reply(Reply(ok=True))
            case TriggerCamera():
                camera.trigger(command, delivery.reply)

    # -- decide -----------------------------------------------------------------------------

    def _configure(self, configuration: CaptureConfiguration) -> None:
        """Put a configuration in force; only cameras whose connection changed start anew."""
        wanted = {camera.id: camera for camera in configuration.cameras}
        stopped = {
            name: running
            for name, running in self._cameras.items()
            if name not in wanted or not same_connection(running.options, wanted[name])
        }
        cameras = {}
        started = []
        for name, options in wanted.items():
            if not options.enabled:
                continue
            routes = route(options, self._manifests)
            running = self._cameras.get(name)
            if running is not None and name not in stopped:
                running.update(options, routes)
            else:
                running = RunningCamera(
                    options, routes, self._surroundings, self._show_preview, self._stuck[name]
                )
                started.append((name, running))
            cameras[name] = running
        for running in stopped.values():
            running.stop()
            self._abandoned_before += running.abandoned
        for name in stopped.keys() - wanted.keys():
            self._forget_camera(name)
            self._spacing.pop(name, None)
            self._last_samples.pop(name, None)
        for name in [n for n in self._stuck if n not in wanted and not self._stuck[n].alive()]:
            del self._stuck[name]
        self._cameras = cameras
        self._put_in_force(wanted)
        for name, running in started:
            running.start(after=stopped.get(name))
        self._revision = configuration.revision
        log.info(
            "configuration %s: %d cameras, %d started, %d stopped",
            configuration.revision,
            len(cameras),
            len(started),
            len(stopped),
        )

    def _put_in_force(self, wanted: dict[str, CaptureCamera]) -> None:
        """Change what may be shown, and take back the snapshots that show too much now."""
        with self._showing:
            before, self._configuration = self._configuration, wanted
            for name in before.keys() | wanted.keys():
                then = before.get(name) or before_this_run(wanted[name])
                if not may_show(then, wanted.get(name)):
                    self._bus.clear(Snapshot, camera=name)

    def _reroute(self) -> None:
        for camera in self._cameras.values():
            routes = route(camera.options, self._manifests)
            if routes != camera.routes:
                camera.update(camera.options, routes)

    def _look_after_cameras(self) -> None:
        for camera in self._cameras.values():
            camera.supervise()
        self._scout.supervise()
        hanging = [name for name, stuck in self._stuck.items() if stuck.alive()]
        if len(hanging) >= MOST_HANGING:
            raise TooManyStuckDecoders(
                f"cameras {', '.join(hanging)} hang, and so do threads that were left behind: "
                "a fresh process is needed"
            )

    def _abandoned(self) -> int:
        return self._abandoned_before + sum(c.abandoned for c in self._cameras.values())

    def _stop_cameras(self, cameras: list[RunningCamera]) -> None:
        for camera in cameras:
            camera.stop()
        deadline = time.monotonic() + FAREWELL_S
        for camera in cameras:
            camera.join(deadline)
        self._scout.join(deadline)

    # -- emit pictures for people -------------------------------------------------------------

    def _take_sample(
        self, camera: RunningCamera, key: FrameKey, result: InferenceResult, why: CollectReason
    ) -> None:
        options, now = camera.options, self._clock.monotonic()
        spacing = self._spacing[options.id]
        if not spacing.due(why.strategy, now, options.samples_gap_s):
            self._samples_spaced += 1
            return
        picture = camera.sender.picture_of(key)
        if picture is None or picture.corrupt:
            self._samples_missed += 1
            return

        def publish() -> None:
            number = all_pixels(picture)
            if number == self._last_samples.get(options.id):  # the camera hangs, or another model
                self._samples_repeated += 1
                return
            if self._show(options, self._sample(picture, result, why)):
                self._last_samples[options.id] = number
                self._samples += 1
            else:
                self._samples_withheld += 1

        if self._desk.submit(publish):
            spacing.taken(why.strategy, now)
        else:
            self._samples_missed += 1

    def _sample(self, picture: Picture, result: InferenceResult, why: CollectReason) -> Sample:
        return Sample(
            camera=result.camera,
            stream=result.stream,
            sequence=result.sequence,
            captured_at_us=result.captured_at_us,
            width=picture.width,
            height=picture.height,
            model=result.model,
            model_version=result.model_version,
            model_digest=result.model_digest,
            task=result.task,
            labels=result.labels,
            strategy=why.strategy,
            reason=why.reason,
            value=why.value,
            detections=result.detections,
            classifications=result.classifications,
            attachment=self._encode(picture),
        )

    def _publish_snapshot(self, options: CaptureCamera, picture: Picture) -> None:
        def publish() -> None:
            self._show(options, Snapshot(camera=options.id, attachment=self._encode(picture)))

        self._desk.submit(publish)

    def _show_preview(self, options: CaptureCamera, captured: Captured, max_width: int) -> None:
        def publish() -> None:
            data = self._encode(
                captured.picture, max_width=max_width, comment=_about_picture(captured)
            )
            self._show(options, Preview(camera=options.id, attachment=data))

        self._desk.submit(publish)

    def _show(self, then: CaptureCamera, message: Message) -> bool:
        """Publish a picture taken under the options `then`; False: it shows too much by now."""
        with self._showing:
            if not may_show(then, self._configuration.get(then.id)):
                return False
            self._bus.publish(message)
            return True

    def _answer_snapshot(
        self, camera: RunningCamera, command: TakeSnapshot, delivery: Delivery[Message]
    ) -> None:
        options = camera.options

        def refuse(reason: str) -> None:
            delivery.reply(Reply(ok=False, reason=reason))

        try:
            picture = _picture_for(camera, command)
        except RejectedError as error:
            refuse(str(error))
            return

        def answer() -> None:
            try:
                give(self._snapshot(picture, command, options))
            except Exception as error:
                known = isinstance(error, NxaiError)
                refuse(str(error) if known else f"unexpected {type(error).__name__}; see the log")
                raise

        def give(reply: Reply) -> None:
            with self._showing:
                if not may_show(options, self._configuration.get(options.id)):
                    raise RejectedError(
                        f"what may be shown of camera {options.id!r} was changed while its "
                        "picture was encoded: ask again"
                    )
                delivery.reply(reply)
                if command.publish:
                    self._bus.publish(Snapshot(camera=options.id, attachment=reply.attachment))

        if not self._desk.submit(answer):
            refuse("too many pictures are being encoded: ask again in a second")

    def _snapshot(self, picture: Picture, command: TakeSnapshot, options: CaptureCamera) -> Reply:
        """Return the answer with the picture, or with what a model reads of it."""
        width, height = picture.width, picture.height
        if command.as_input is None:
            attachment = self._encode(picture, max_width=command.max_width)
        else:
            region = options.region if command.region is None else command.region
            pixels = Resizer(command.as_input, width, height, region)(picture)
            attachment = self._encode_pixels(pixels)
            height, width = pixels.shape[:2]
        return Reply(
            ok=True,
            details={
                "width": width,
                "height": height,
                "captured_at_us": picture.captured_at_us,
            },
            attachment=attachment,
        )


def _picture_for(camera: RunningCamera, command: TakeSnapshot) -> Picture:
    """Return the picture that a snapshot is made of.

    Raises:
        RejectedError: there is none, or nobody can have it as it is wanted.
    """
    spec = command.as_input
    if spec is not None and max(spec.width, spec.height) > frames.MAX_SIDE:
        raise RejectedError(
            f"no model reads {spec.width}x{spec.height} pixels: "
            f"at most {frames.MAX_SIDE}x{frames.MAX_SIDE}"
        )
    if spec is not None and command.publish:
        raise RejectedError(
            "what a model reads is no snapshot to be published: leave out publish or as_input"
        )
    if command.stream is not None and command.sequence is not None:
        picture = camera.sender.picture_of(FrameKey(command.stream, command.sequence))
        missing = f"picture {command.sequence} of stream {command.stream!r} is no longer kept"
    else:
        picture = camera.sender.newest_picture()
        missing = f"camera {command.camera!r} has not given a picture yet"
    if picture is None:
        raise RejectedError(missing)
    return picture


def _about_picture(captured: Captured) -> bytes:
    """Return the comment of a preview: which frame it shows."""
    picture = captured.picture
    return json.dumps(
        {
            "stream": captured.stream,
            "sequence": captured.sequence,
            "captured_at_us": picture.captured_at_us,
            "width": picture.width,
            "height": picture.height,
        }
    ).encode()
