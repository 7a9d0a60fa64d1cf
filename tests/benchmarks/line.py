"""The running services, measured from outside."""

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil
from benchmarks.bare import BenchModel

from nxai_common.bus.ports import Subscription
from nxai_common.contracts.collecting import CollectPolicy, Quotas
from nxai_common.contracts.configuration import (
    Assignment,
    CaptureCamera,
    CloudSyncCamera,
    CloudSyncConfiguration,
    DesiredModel,
    FileSource,
)
from nxai_common.contracts.models import ResizeQuality
from nxai_common.contracts.outputs import Detections, Output
from support.stack import SERVICES, Stack
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
    """Unix seconds."""
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


UNLIMITED: Quotas = Quotas(per_minute=0, per_hour=0, per_day=0, label_per_day=0)
"""For a policy whose strategies alone decide how many pictures there are."""


class Subscriber:
    """Two outside programs, `mosquitto_sub` on `detections` and on `output`, writing to files."""

    def __init__(self, stack: Stack) -> None:
        broker = stack.broker
        self._processes: list[subprocess.Popen[bytes]] = []
        self._files: list[Path] = []
        # %U: Unix seconds with nanoseconds at arrival; %p: payload; %l: its length.
        for kind, what in ((Detections, "%U %p"), (Output, "%U %l")):
            file = stack.folder / f"{kind.__name__}.lines"
            with file.open("wb") as output:
                process = subprocess.Popen(
                    [
                        *("mosquitto_sub", "-V", "5", "-h", broker.host, "-p", str(broker.port)),
                        *("-u", broker.username, "-P", broker.password, "-F", what),
                        *("-t", kind.filter("box")),
                    ],
                    stdout=output,
                )
            self._processes.append(process)
            self._files.append(file)
        wait_for(lambda: all(file.stat().st_size for file in self._files), 30, "it comes")

    def result(self) -> tuple[list[_Seen], list[float]]:
        """Stop and return what came, with Unix seconds."""
        for process in self._processes:
            process.terminate()
            process.wait(10)
        detections, outputs = self._files
        seen = []
        for line in _whole_lines(detections):
            at, _, payload = line.partition(b" ")
            message = json.loads(payload)
            captured = datetime.fromisoformat(message["timestamp"]).timestamp()
            seen.append(_Seen(message["camera"], float(at), (float(at) - captured) * 1000))
        return seen, [float(line.split()[0]) for line in _whole_lines(outputs)]


def _whole_lines(file: Path) -> list[bytes]:
    return file.read_bytes().rpartition(b"\n")[0].splitlines()


@contextmanager
def running(
    cameras: Sequence[CaptureCamera],
    model: BenchModel,
    *,
    workers: int = 1,
    stagger_s: float = 0.0,
    collect: CollectPolicy | None = None,
) -> Iterator[Stack]:
    """Start the stack and wait until every camera gives results.

    Args:
        cameras: To run.
        model: For all of them.
        workers: Inference processes.
        stagger_s: Time from one camera's pictures to the next one's. Cameras in the field are
            not in step; files opened in the same instant would be.
        collect: What is collected, by cloud-sync beside the line; None: it does not run.
    """
    services = SERVICES if collect is None else (*SERVICES, "cloud-sync")
    assignments: list[Assignment] = []
    if collect is not None:
        on = {"samples": collect.enabled, "samples_gap_s": collect.min_gap_s}
        cameras = [camera.model_copy(update=on) for camera in cameras]
        assignments = [
            Assignment(camera=camera.id, model=model.id, collect=collect.strategies)
            for camera in cameras
            if collect.enabled
        ]
    with (
        tempfile.TemporaryDirectory(prefix="nxai-bench-") as folder,
        Stack(Path(folder) / "stack", services=services, workers=workers) as stack,
    ):
        stack.wait_running()
        if collect is not None:
            wanted = [CloudSyncCamera(id=camera.id, collect=collect) for camera in cameras]
            stack.bus.publish(CloudSyncConfiguration(revision="1", cameras=tuple(wanted)))
        for count in range(1 if stagger_s else len(cameras), len(cameras) + 1):
            stack.configure(
                cameras[:count], [desired(model)], assignments=assignments, revision=str(count)
            )
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
    start = time.time()
    end = start + seconds
    while time.time() < end:
        time.sleep(min(1.0, max(0.0, end - time.time())))
        if tick is not None:
            tick()
    cpu_after = {name: _cpu(process) for name, process in processes.items()}
    end = time.time()
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
