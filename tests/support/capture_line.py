"""A running capture service on a bus in memory, and everybody around it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from pydantic import SecretStr

from nxai_capture.core.picture import Bytes, Picture
from nxai_capture.ports import (
    AskForStreams,
    Credentials,
    FindOnNetwork,
    NetworkCamera,
    PictureFormat,
    Stream,
    UsbCamera,
)
from nxai_capture.scouting import Scout
from nxai_capture.service import CaptureService, TooManyStuckDecoders
from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Inbox, Subscription
from nxai_common.contracts.configuration import CaptureCamera, CaptureConfiguration
from nxai_common.contracts.frames import Frame, Preview
from nxai_common.contracts.models import ModelManifest, Task
from nxai_common.contracts.results import InferenceResult
from nxai_common.contracts.status import CameraStatus
from nxai_common.retry import RetryPolicy
from nxai_common.runtime import Stop
from support.scripted_source import ScriptedCameras, ScriptedSource
from support.waiting import wait_for

SOON = RetryPolicy(first_s=0.001, longest_s=0.001, floor_s=0.001)
SILENCE = 0.15
WEBCAM = UsbCamera("/dev/v4l/by-id/usb-C920", "C920", (PictureFormat("MJPG", ((1280, 720),)),))


class TurnedClock:
    """Stands still but for what a test adds: no credit is overdue because this machine is slow."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return 1000.0 + self.ahead

    def unix(self) -> float:
        return time.time() + self.ahead


def encode(picture: Picture, *, max_width: int | None = None, comment: bytes = b"") -> bytes:
    """Stand for a JPEG: size and brightness."""
    return b"%d %d %d%s" % (
        picture.width,
        int(picture.to_rgb().mean()),
        0 if max_width is None else max_width,
        comment,
    )


def shown(preview: Preview) -> bytes:
    """Return what `encode` made of a preview, without the comment."""
    return bytes(preview.attachment).partition(b"{")[0]


def comment(preview: Preview) -> dict[str, Any]:
    """Return what a preview says of itself."""
    return json.loads(b"{" + bytes(preview.attachment).partition(b"{")[2])  # type: ignore[no-any-return]  # JSON


def encode_pixels(pixels: Bytes) -> bytes:
    """Stand for a PNG: shape and pixels."""
    return repr(pixels.shape).encode() + pixels.tobytes()


def read_credentials(name: str) -> Credentials:
    return Credentials(name, SecretStr("secret"))


class Line:
    """A running service and everybody around it."""

    def __init__(self, mend: RetryPolicy = SOON) -> None:
        self.broker = MemoryBroker()
        self.bus, self.outside = MemoryBus(self.broker), MemoryBus(self.broker)
        self.cameras, self.tried = ScriptedCameras(), ScriptedCameras()
        self.find_on_network: FindOnNetwork = lambda _: ([], [])
        self.ask: AskForStreams = lambda _address, _credentials: []
        self.clock = TurnedClock()
        self.stop = Stop()
        self.failure: BaseException | None = None
        self.beats = 0
        self.may_encode = threading.Event()
        self.may_encode.set()
        self.shown: list[dict[str, Any]] = []
        """What each preview said of itself."""
        self.service = CaptureService(
            bus=self.bus,
            beat=self._beat,
            clock=self.clock,
            open_source=self.cameras.open,
            read_credentials=read_credentials,
            encode=self._encode,
            encode_pixels=encode_pixels,
            scout=Scout(
                clock=self.clock,
                try_out=self.tried.open,
                read_credentials=read_credentials,
                encode=self._encode,
                find_on_network=self._find,
                find_on_usb=lambda: ([WEBCAM], ["video7 may not be used"]),
                ask_for_streams=self._ask,
            ),
            push_picture=self.cameras.push,
            forget_camera=self.cameras.forget,
            retry=SOON,
            mend=mend,
        )
        self.thread = threading.Thread(target=self._run)

    def _beat(self) -> None:
        self.beats += 1

    def _encode(
        self, picture: Picture, *, max_width: int | None = None, comment: bytes = b""
    ) -> bytes:
        assert self.may_encode.wait(30)
        if comment:
            self.shown.append(json.loads(comment))
        return encode(picture, max_width=max_width, comment=comment)

    def _find(self, seconds: float) -> tuple[list[NetworkCamera], list[str]]:
        return self.find_on_network(seconds)

    def _ask(self, address: str, credentials: Credentials | None) -> list[Stream]:
        return self.ask(address, credentials)

    def _run(self) -> None:
        try:
            self.service.run(self.stop)
        except TooManyStuckDecoders as error:
            self.failure = error

    def offer(self, *models: str, side: int = 96) -> None:
        for model in models:
            self.outside.publish(
                ModelManifest(
                    model=model,
                    task=Task.FOMO,
                    labels=("nut",),
                    width=side,
                    height=side,
                    channels=3,
                    digest="0" * 64,
                )
            )

    def configure(self, *cameras: dict[str, Any], revision: str = "1") -> None:
        options = [
            CaptureCamera.model_validate(
                {"id": "front", "source": {"type": "demo"}, "models": ("m",), **camera}
            )
            for camera in cameras
        ]
        self.outside.publish(CaptureConfiguration(revision=revision, cameras=tuple(options)))
        wait_for(lambda: self.service.report().configuration_revision == revision, what=revision)

    def source(self, number: int = 0) -> ScriptedSource:
        wait_for(lambda: len(self.cameras.opened) > number, what=f"source {number}")
        source = self.cameras.opened[number]
        assert source.entered.wait(10)
        return source

    def retained(self, kind: type[Any]) -> list[bytes]:
        """Return what somebody who comes now is told."""
        with (
            MemoryBus(self.broker) as bus,
            closing(bus.subscribe(Subscription(kind))) as inbox,
        ):
            deliveries: list[Any] = inbox.receive_many(9, 0)
            return [bytes(delivery.message.attachment) for delivery in deliveries]

    def listen(self, *kinds: type[Any]) -> Inbox:
        return self.outside.subscribe(*(Subscription(kind) for kind in kinds))

    def status(self, camera: str = "front") -> CameraStatus:
        return next(c for c in self.service.report().cameras if c.camera == camera)

    def reaches(self, condition: Callable[[CameraStatus], bool], camera: str = "front") -> None:
        try:
            wait_for(lambda: condition(self.status(camera)))
        except AssertionError:
            raise AssertionError(self.status(camera)) from None

    def looks_again(self) -> None:
        """Wait until all cameras were looked after, wholly, since now."""
        beats = self.beats
        wait_for(lambda: self.beats >= beats + 2)

    def answer(self, frame: Frame, **more: Any) -> None:
        self.outside.publish(result(frame, **more))


def result(frame: Frame, **more: Any) -> InferenceResult:
    fields = {
        "camera": frame.camera,
        "input": frame.input,
        "model": frame.models[0],
        "task": Task.FOMO,
        "worker": "inference",
        "stream": frame.stream,
        "sequence": frame.sequence,
        "captured_at_us": frame.captured_at_us,
        "width": frame.width,
        "height": frame.height,
        "channels": frame.channels,
        "source_width": frame.source_width,
        "source_height": frame.source_height,
        "transform": frame.transform,
        "labels": ("nut",),
        **more,
    }
    return InferenceResult.model_validate(fields)


@contextmanager
def running(made: Line) -> Iterator[Line]:
    with made.bus, made.outside:
        made.thread.start()
        try:
            yield made
        finally:
            made.may_encode.set()
            made.stop.set()
            made.cameras.release_all()
            made.tried.release_all()
            made.thread.join(20)
        assert not made.thread.is_alive()


def take(inbox: Inbox) -> Any:
    delivery = inbox.receive(10)
    assert delivery is not None, "nothing came"
    return delivery.message
