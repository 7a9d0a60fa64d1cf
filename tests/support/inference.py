"""The inference service on a bus in memory, with engines that do as they are told."""

import itertools
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Bus, Inbox, Subscription
from nxai_common.contracts.configuration import (
    Assignment,
    DesiredModel,
    InferenceCamera,
    InferenceConfiguration,
    Shadow,
)
from nxai_common.contracts.frames import Frame, Transform
from nxai_common.contracts.models import ModelManifest, Task, TensorInfo
from nxai_common.contracts.results import InferenceResult
from nxai_common.errors import ConfigurationError
from nxai_common.runtime import Stop
from nxai_inference.adapters.sent_picture import PillowReader
from nxai_inference.core.engine_trial import EngineTrial
from nxai_inference.core.tensors import RawOutput
from nxai_inference.ports import LoadedModel
from nxai_inference.service import InferenceService
from support.waiting import wait_for

SIDE = 32
"""Input side of the made-up models; FOMO maps have 4 x 4 cells then."""


def fomo_map(*cells: tuple[int, int, int, float], side: int = SIDE) -> NDArray[np.float32]:
    """Return a (1, n, n, 3) map that is background but for (row, column, label, score)."""
    values = np.zeros((1, side // 8, side // 8, 3), np.float32)
    values[..., 0] = 1
    for row, column, label, score in cells:
        values[0, row, column] = 0
        values[0, row, column, 0] = 1 - score
        values[0, row, column, 1 + label] = score
    return values


class ScriptedEngine:
    """Gives the same outputs for each picture, or what a function makes of it."""

    name = "scripted"

    def __init__(
        self,
        outputs: list[NDArray[Any]] | None = None,
        *,
        react: Callable[[NDArray[np.uint8]], list[NDArray[Any]]] | None = None,
        side: int = SIDE,
    ) -> None:
        self._outputs = outputs if outputs is not None else [fomo_map((1, 2, 0, 0.75), side=side)]
        self._react = react
        self._side = side
        self.inputs = (TensorInfo(name="input", shape=(1, side, side, 3), dtype="uint8"),)
        self.outputs = tuple(
            TensorInfo(name=f"output{index}", shape=values.shape, dtype=values.dtype.name)
            for index, values in enumerate(self._outputs)
        )
        self.runs = 0
        self.closed = False

    def run(self, pixels: NDArray[np.uint8]) -> list[RawOutput]:
        assert not self.closed, "a closed engine was run"
        self.runs += 1
        # The first run is the service's own trial on a blank picture.
        react = self._react if self.runs > 1 else None
        values = self._outputs if react is None else react(pixels)
        return [RawOutput(info, found) for info, found in zip(self.outputs, values, strict=True)]

    def close(self) -> None:
        self.closed = True

    def twin(self) -> "ScriptedEngine":
        """Return a second engine of the same model."""
        return type(self)(self._outputs, react=self._react, side=self._side)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ScriptedSource:
    """Loads what was put on the shelf under a path; may be told to wait."""

    def __init__(self) -> None:
        self.shelf: dict[str, Callable[[DesiredModel], LoadedModel]] = {}
        self.loads: list[DesiredModel] = []
        self.anew: list[bool] = []
        """Of each load, whether what is known of the engines was to be left aside."""
        self.stamps: dict[str, Hashable] = {}
        self.looks = 0
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()
        """Set while a load waits at the closed gate."""

    def put(
        self,
        path: str,
        engine: ScriptedEngine | None = None,
        *,
        side: int = SIDE,
        warnings: tuple[str, ...] = (),
        trials: tuple[EngineTrial, ...] = (),
        **manifest: Any,
    ) -> ScriptedEngine:
        """Offer a model under a path; its version is the path. The first load gets the engine."""
        offered = engine or ScriptedEngine(side=side)
        engines = itertools.chain([offered], iter(offered.twin, None))

        def load(desired: DesiredModel) -> LoadedModel:
            about: dict[str, Any] = {
                "task": Task.FOMO,
                "labels": ("nut", "bolt"),
                "width": side,
                "height": side,
                "channels": 3,
                "digest": f"digest of {path}",
                "version": path,
                "engine": offered.name,
                "engine_ms": 0.1,
                **manifest,
            }
            return LoadedModel(
                ModelManifest(model=desired.id, **about),
                next(engines),
                warnings,
                trials,
            )

        self.shelf[path] = load
        return offered

    def stamp(self, desired: DesiredModel) -> Hashable:
        self.looks += 1
        return self.stamps.get(desired.path, "as it was")

    def load(self, desired: DesiredModel, *, anew: bool = False) -> LoadedModel:
        self.loads.append(desired)
        self.anew.append(anew)
        if not self.gate.is_set():
            self.waiting.set()
            assert self.gate.wait(20)
        if desired.path not in self.shelf:
            raise ConfigurationError(f"{desired.path}: no such file")
        return self.shelf[desired.path](desired)


class Clock:
    """Monotonic seconds that move when they are told to."""

    def __init__(self) -> None:
        self._now = 1000.0

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


def frame(  # noqa: PLR0913 - what a test may want of it, by keyword
    sequence: int = 0,
    *,
    models: tuple[str, ...] = ("m",),
    camera: str = "front",
    side: int = SIDE,
    channels: Literal[1, 3] = 3,
    transform: Transform | None = None,
    captured_at_us: int = 0,
    test: str = "",
) -> Frame:
    """Return a frame whose original picture has twice the sides of the model's input."""
    return Frame(
        camera=camera,
        input=f"{side}x{side}",
        models=models,
        stream="s1",
        sequence=sequence,
        captured_at_us=captured_at_us,
        width=side,
        height=side,
        channels=channels,
        source_width=2 * side,
        source_height=2 * side,
        transform=transform or Transform(scale_x=2, scale_y=2),
        test=test,
        attachment=bytes(side * side * channels),
    )


class Line:
    """What capture, the manager and the publisher see of a running service."""

    def __init__(self, bus: Bus, service: InferenceService, source: ScriptedSource) -> None:
        self.bus = bus
        self.service = service
        self.source = source
        self.results: Inbox = bus.subscribe(Subscription(InferenceResult), bound=100_000)
        self.manifests: Inbox = bus.subscribe(Subscription(ModelManifest))
        self._revision = 0

    def configure(
        self,
        *models: DesiredModel,
        assignments: tuple[Assignment, ...] = (),
        shadows: tuple[Shadow, ...] = (),
        cameras: tuple[InferenceCamera, ...] = (),
        settle: bool = True,
    ) -> None:
        """Publish a configuration and wait until it is in force."""
        self._revision += 1
        revision = f"r{self._revision}"
        self.bus.publish(
            InferenceConfiguration(
                revision=revision,
                models=models,
                assignments=assignments,
                shadows=shadows,
                cameras=cameras,
            )
        )
        if settle:
            wait_for(lambda: self.service.report().configuration_revision == revision)

    def send(self, *frames: Frame) -> None:
        for each in frames:
            self.bus.publish(each)

    def result(self, timeout: float = 10) -> InferenceResult:
        """Return the next result."""
        delivery = self.results.receive(timeout)
        assert delivery is not None, "no result came"
        delivery.acknowledge()
        message = delivery.message
        assert isinstance(message, InferenceResult)
        return message

    def ask(self, asked: Frame) -> InferenceResult:
        """Send a frame and return its result."""
        self.send(asked)
        found = self.result()
        assert (found.camera, found.sequence) == (asked.camera, asked.sequence)
        return found

    def manifest(self) -> ModelManifest:
        delivery = self.manifests.receive(10)
        assert delivery is not None, "no manifest came"
        assert isinstance(delivery.message, ModelManifest)
        return delivery.message

    def status_of(self, model: str) -> Any:
        return next(m for m in self.service.report().models if m.model == model)


def nothing() -> None:
    """Beat, in tests that do not look at it."""


@contextmanager
def running(service: InferenceService) -> Iterator[None]:
    """Run a service on a thread of its own."""
    stop = Stop()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            service.run(stop)
        except BaseException as error:  # noqa: BLE001 - handed to the test below
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        service._wake()  # not half a second later
        thread.join(20)
        assert not thread.is_alive()
    assert not failures, failures


@contextmanager
def line(
    *, clock: Clock | None = None, broker: MemoryBroker | None = None, **options: Any
) -> Iterator[Line]:
    """Run one service on a bus in memory; without a clock, no time passes."""
    broker = broker or MemoryBroker()
    source = ScriptedSource()
    extra = {"clock": clock or Clock(), "pictures": PillowReader()}
    with MemoryBus(broker) as inner, MemoryBus(broker) as outer:
        service = InferenceService(
            inner, source, nothing, **{"worker": "inference", **extra, **options}
        )
        with running(service):
            yield Line(outer, service, source)
