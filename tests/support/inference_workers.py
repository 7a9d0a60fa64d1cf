"""Inference as real processes on a real broker, and a capture of the simplest kind."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np

from nxai_common.bus.ports import Bus, Subscription
from nxai_common.contracts.configuration import DesiredModel, InferenceConfiguration
from nxai_common.contracts.frames import Frame, Transform
from nxai_common.contracts.models import ModelManifest
from nxai_common.contracts.results import InferenceResult
from nxai_common.contracts.status import Status
from support.broker import Broker
from support.shared import SHARED, shared
from support.waiting import wait_for

STREAM = "s1"


class Worker:
    """One inference process."""

    def __init__(self, broker: Broker, folder: Path, name: str, **settings: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        environment = {key: value for key, value in os.environ.items() if "NXAI" not in key}  # noqa: TID251 - test support, not a service
        environment |= broker.environment | {
            "NXAI_INSTANCE": name,
            "NXAI_RUN_DIR": str(folder),
            "NXAI_HEARTBEAT_S": "1",
            "NXAI_INFERENCE_MODELS_DIR": str(SHARED / "models"),
            **settings,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nxai_inference"], env=environment, stdout=log, stderr=log
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)


def desired(file: str, name: str = "m", **options: object) -> DesiredModel:
    """Return a shared model as a configuration wants it."""
    about = json.loads(shared(f"models/{file}").with_suffix(".json").read_text())
    wish = {"id": name, "path": file, "labels": about["labels"], "engine": "litert", **options}
    return DesiredModel.model_validate(wish)


def configure(bus: Bus, revision: str, *models: DesiredModel, workers: int = 1) -> None:
    """Publish a configuration and wait until so many workers have it in force."""
    with_it: set[str] = set()
    inbox = bus.subscribe(Subscription(Status))
    bus.publish(InferenceConfiguration(revision=revision, models=models))
    deadline = time.monotonic() + 60
    while len(with_it) < workers:
        assert time.monotonic() < deadline, f"only {with_it} have {revision}"
        delivery = inbox.receive(1)
        if delivery is None or not isinstance(delivery.message, Status):
            continue
        status = delivery.message
        if status.role == "inference" and status.configuration_revision == revision:
            assert not status.problems, status.problems
            with_it.add(status.service)
    inbox.close()


@dataclass
class Tally:
    """What came back."""

    results: list[InferenceResult] = field(default_factory=list)
    lost: list[tuple[str, int]] = field(default_factory=list)
    """Camera and sequence of frames whose result never came."""
    sent: int = 0

    def workers(self) -> Counter[str]:
        return Counter(result.worker for result in self.results)


class SimpleCapture:
    """Sends one frame of each camera at a time; a lost one is given up after a while."""

    def __init__(
        self,
        bus: Bus,
        *,
        cameras: int,
        side: int = 96,
        channels: Literal[1, 3] = 1,
        patience_s: float = 20.0,
    ) -> None:
        self._bus = bus
        self._inbox = bus.subscribe(Subscription(InferenceResult), volatile=True)
        self._patience_s = patience_s
        self._blank = Frame(
            camera="c0",
            input="small",
            models=("m",),
            stream=STREAM,
            sequence=0,
            captured_at_us=0,
            width=side,
            height=side,
            channels=channels,
            source_width=side,
            source_height=side,
            transform=Transform(scale_x=1, scale_y=1),
            attachment=np.random.default_rng(1)
            .integers(0, 256, side * side * channels, np.uint8)
            .tobytes(),
        )
        self._cameras = [f"c{number}" for number in range(cameras)]

    def run(
        self,
        frames: int,
        after_each: Callable[[int], None] = lambda _: None,
        enough: Callable[[Tally], bool] = lambda _: True,
    ) -> Tally:
        """Send `frames` of each camera, and more until it is `enough`.

        `after_each` is called with the number of results so far.
        """
        tally = Tally()

        def send_next(camera: str) -> None:
            sent[camera] += 1
            if sent[camera] < frames or not enough(tally):
                in_flight[camera] = self._send(camera, sent[camera])
            else:
                del in_flight[camera]

        in_flight = {camera: self._send(camera, 0) for camera in self._cameras}
        sent = dict.fromkeys(self._cameras, 0)
        while in_flight:
            delivery = self._inbox.receive(0.1)
            now = time.monotonic()
            if delivery is not None and isinstance(delivery.message, InferenceResult):
                result = delivery.message
                tally.results.append(result)
                after_each(len(tally.results))
                if sent[result.camera] == result.sequence:
                    send_next(result.camera)
            for camera, since in list(in_flight.items()):
                if now - since > self._patience_s:
                    tally.lost.append((camera, sent[camera]))
                    send_next(camera)
        tally.sent = sum(sent.values())
        return tally

    def _send(self, camera: str, sequence: int) -> float:
        frame = self._blank.model_copy(
            update={
                "camera": camera,
                "sequence": sequence,
                "captured_at_us": time.time_ns() // 1000,
            }
        )
        self._bus.publish(frame)
        return time.monotonic()


class PacedCapture:
    """One camera at a fixed rate, which sends the size that the newest manifest asks for."""

    def __init__(self, bus: Bus, *, fps: float = 30.0) -> None:
        self._bus = bus
        self._interval_s = 1 / fps
        self._results = bus.subscribe(Subscription(InferenceResult), volatile=True)
        self._manifests = bus.subscribe(Subscription(ModelManifest))
        self._rng = np.random.default_rng(1)
        self.sent = 0
        self.results: list[InferenceResult] = []
        self.waits_s: list[float] = []
        """From sending a frame to its result."""
        self._sent_at: dict[int, float] = {}
        self._manifest: ModelManifest | None = None

    def run(self, enough: Callable[[], bool], *, at_most_s: float = 60.0) -> None:
        """Send until it is `enough`, then wait for what is still on its way."""
        next_at = time.monotonic()
        deadline = next_at + at_most_s
        while not enough():
            assert time.monotonic() < deadline, "it was never enough"
            self._receive(next_at)
            self._send()
            next_at += self._interval_s
        until = time.monotonic() + 20
        while len(self.results) < self.sent and time.monotonic() < until:
            self._receive(time.monotonic() + self._interval_s)

    def digests(self) -> list[str]:
        """Return the models that answered, in the order in which they came into force."""
        return [digest for digest, _ in groupby(result.model_digest for result in self.results)]

    def _receive(self, until: float) -> None:
        while True:
            delivery = self._results.receive(max(0.0, until - time.monotonic()))
            if delivery is None:
                return
            assert isinstance(delivery.message, InferenceResult)
            self.results.append(delivery.message)
            self.waits_s.append(time.monotonic() - self._sent_at[delivery.message.sequence])

    def _send(self) -> None:
        while (delivery := self._manifests.receive(0)) is not None:
            assert isinstance(delivery.message, ModelManifest)
            self._manifest = delivery.message
        about = self._manifest
        if about is None:
            return
        pixels = self._rng.integers(0, 256, about.width * about.height * about.channels, np.uint8)
        self._sent_at[self.sent] = time.monotonic()
        self._bus.publish(
            Frame(
                camera="belt",
                input=f"{about.width}x{about.height}x{about.channels}",
                models=(about.model,),
                stream=STREAM,
                sequence=self.sent,
                captured_at_us=time.time_ns() // 1000,
                width=about.width,
                height=about.height,
                channels=about.channels,
                source_width=about.width,
                source_height=about.height,
                transform=Transform(scale_x=1, scale_y=1),
                attachment=pixels.tobytes(),
            )
        )
        self.sent += 1


def connected(bus: Bus) -> None:
    """Wait until a bus is connected."""
    wait_for(lambda: bus.connected, 20, "the bus")
