"""The running services, measured from outside."""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
from benchmarks.bare import BenchModel

from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.configuration import CaptureCamera, DesiredModel, FileSource
from nxai_common.contracts.models import ResizeQuality
from nxai_common.contracts.outputs import Detections, Output
from support.stack import Stack
from support.waiting import wait_for

WARM_UP_S = 3.0
MB = 1024 * 1024


@dataclass
class Measured:
    """What an outside subscriber saw in the measured time, and what it cost."""

    seconds: float = 0.0
    results: int = 0
    outputs: int = 0
    per_camera: dict[str, int] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    """From the decoded picture to the subscriber's hands."""
    cpu_s: dict[str, float] = field(default_factory=dict)
    rss_mb: dict[str, float] = field(default_factory=dict)
    rss_growth_mb: float = 0.0
    dropped: int = 0
    decoded: int = 0
    sent: int = 0

    @property
    def fps(self) -> float:
        """Results a second."""
        return self.results / self.seconds

    @property
    def cpu_total_s(self) -> float:
        """Seconds of CPU of all services and the broker."""
        return sum(self.cpu_s.values())

    @property
    def rss_total_mb(self) -> float:
        """Resident memory of all services and the broker."""
        return sum(self.rss_mb.values())


@dataclass(frozen=True)
class _Seen:
    camera: str
    at: float
    """`time.monotonic()`, which is one clock for all processes of a machine."""
    latency_ms: float


def camera(
    number: int,
    clip: Path,
    model: BenchModel,
    quality: ResizeQuality,
    pace: str = "realtime",
) -> CaptureCamera:
    """Return a camera that plays a clip."""
    return CaptureCamera.model_validate(
        {
            "id": f"cam{number}",
            "source": FileSource.model_validate(
                {"path": str(clip), "pace": pace, "loop": True}
            ).model_dump(),
            "models": (model.id,),
            "resize_quality": quality,
            "snapshots": False,
        }
    )


def desired(model: BenchModel) -> DesiredModel:
    """Return the model as the manager asks for it."""
    return DesiredModel.model_validate(
        {
            "id": model.id,
            "path": str(model.path),
            "labels": model.labels,
            "task": model.task,
            "resize_mode": model.resize_mode,
            "threshold": model.threshold,
        }
    )


def _subscribe(url: str, username: str, password: str, pipe: Connection) -> None:
    """Outside subscriber of `detections` and `output`, in a process of its own."""
    with MqttBus("box", url, "bench-subscriber", username, password) as bus:
        bus.wait_connected(10)
        inbox = bus.subscribe(Subscription(Detections), Subscription(Output), volatile=True)
        detections: list[_Seen] = []
        outputs: list[float] = []
        inbox.receive(60)
        pipe.send("it comes")
        while not pipe.poll(0):
            for delivery in inbox.receive_many(1000, 0.05):
                message = delivery.message
                if isinstance(message, Detections):
                    late = time.monotonic() - delivery.received_at
                    latency = time.time() - late - message.timestamp.timestamp()
                    detections.append(_Seen(message.camera, delivery.received_at, latency * 1000))
                else:
                    outputs.append(delivery.received_at)
        pipe.recv()
        pipe.send((detections, outputs))


class Subscriber:
    """Counts what comes between `__enter__` and `result`."""

    def __init__(self, stack: Stack) -> None:
        self._here, there = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=_subscribe,
            args=(stack.broker.url, stack.broker.username, stack.broker.password, there),
            daemon=True,
        )
        self._process.start()
        self._here.recv()  # it listens

    def result(self) -> tuple[list[_Seen], list[float]]:
        """Stop and return what came."""
        self._here.send(None)
        got: tuple[list[_Seen], list[float]] = self._here.recv()
        self._process.join(10)
        return got


@contextmanager
def running(
    cameras: Sequence[CaptureCamera],
    model: BenchModel,
    *,
    workers: int = 1,
    stagger_s: float = 0.0,
) -> Iterator[Stack]:
    """Start the stack and wait until every camera gives results.

    Args:
        cameras: To run.
        model: For all of them.
        workers: Inference processes.
        stagger_s: Time from one camera's pictures to the next one's. Cameras in the field are
            not in step; files opened in the same instant would be.
    """
    with (
        tempfile.TemporaryDirectory(prefix="nxai-bench-") as folder,
        Stack(Path(folder) / "stack", workers=workers) as stack,
    ):
        stack.wait_running()
        for count in range(1 if stagger_s else len(cameras), len(cameras) + 1):
            stack.configure(cameras[:count], [desired(model)], revision=str(count))
            time.sleep(1.0 + stagger_s if stagger_s else 0.0)
        waiting = {camera.id for camera in cameras}
        inbox = stack.bus.subscribe(Subscription(Detections), volatile=True)

        def all_there() -> bool:
            stack.check_alive()
            for delivery in inbox.receive_many(1000, 0.1):
                if isinstance(delivery.message, Detections):
                    waiting.discard(delivery.message.camera)
            return not waiting

        wait_for(all_there, 60, f"results of {waiting}")
        inbox.close()
        yield stack


def _processes(stack: Stack) -> dict[str, psutil.Process]:
    found = {name: psutil.Process(running.process.pid) for name, running in stack.processes.items()}
    found["broker"] = psutil.Process(stack.broker.pid)
    return found


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(stack: Stack, seconds: float, tick: Callable[[], None] | None = None) -> Measured:
    """Measure a running stack for `seconds` after a warm-up."""
    time.sleep(WARM_UP_S)
    processes = _processes(stack)
    rss_before = sum(p.memory_info().rss for p in processes.values())
    before = stack.status("capture")
    subscriber = Subscriber(stack)
    cpu = {name: _cpu(process) for name, process in processes.items()}
    start = time.monotonic()
    end = start + seconds
    while time.monotonic() < end:
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))
        if tick is not None:
            tick()
    cpu_after = {name: _cpu(process) for name, process in processes.items()}
    end = time.monotonic()
    everything, outputs = subscriber.result()
    seen = [item for item in everything if start <= item.at < end]
    after = stack.status("capture")
    measured = Measured(
        seconds=end - start,
        results=len(seen),
        outputs=sum(start <= at < end for at in outputs),
        latencies_ms=[s.latency_ms for s in seen],
        cpu_s={name: cpu_after[name] - cpu[name] for name in cpu},
        rss_mb={name: p.memory_info().rss / MB for name, p in processes.items()},
    )
    measured.rss_growth_mb = measured.rss_total_mb - rss_before / MB
    for item in seen:
        measured.per_camera[item.camera] = measured.per_camera.get(item.camera, 0) + 1
    for old, new in zip(before.cameras, after.cameras, strict=True):
        measured.dropped += new.dropped - old.dropped
        measured.decoded += new.decoded - old.decoded
        measured.sent += new.sent - old.sent
    return measured


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile; 0 when there is nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values) if values else 0.0
