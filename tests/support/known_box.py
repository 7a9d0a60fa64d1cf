"""A box of which all is known, as messages on the bus tell it."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nxai_common.contracts.alarms import Alarm, AlarmPhase
from nxai_common.contracts.configuration import (
    CaptureConfiguration,
    CloudSyncConfiguration,
    InferenceConfiguration,
    PublisherConfiguration,
)
from nxai_common.contracts.deployments import Deployment, Phase, Version
from nxai_common.contracts.models import ModelManifest, Task
from nxai_common.contracts.outputs import CameraState, Event, EventPhase, Snapshot
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.contracts.status import CameraStatus, LinkState, Problem, ServiceState, Status
from nxai_publisher.core.home_assistant.known import ROLES, Box

START: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LABELS: Final = ("nut", "Größe/2+ 🔩")
OLD, NEW = "a" * 64, "b" * 64


def publisher(cameras: tuple[str, ...] = ("front",), **rest: Any) -> PublisherConfiguration:
    return PublisherConfiguration.model_validate(
        {
            "revision": "1",
            "device_name": "Workshop",
            "cameras": [
                {"id": camera, "name": camera.capitalize(), "index": index}
                for index, camera in enumerate(cameras)
            ],
            "alarms": [{"id": "busy", "name": "Busy"}],
            **rest,
        }
    )


def capture(*models: str, camera: str = "front", **rest: Any) -> CaptureConfiguration:
    about = {"id": camera, "source": {"type": "demo"}, "models": models, **rest}
    return CaptureConfiguration.model_validate({"revision": "1", "cameras": [about]})


def inference(**rest: Any) -> InferenceConfiguration:
    return InferenceConfiguration.model_validate({"revision": "1", **rest})


def cloud_sync(*, collect: bool, camera: str = "front") -> CloudSyncConfiguration:
    return CloudSyncConfiguration.model_validate(
        {"revision": "1", "cameras": [{"id": camera, "collect": {"enabled": collect}}]}
    )


def manifest(model: str = "parts", labels: tuple[str, ...] = LABELS) -> ModelManifest:
    return ModelManifest(
        model=model, task=Task.FOMO, labels=labels, width=96, height=96, channels=3, digest=OLD
    )


def status(service: str, state: ServiceState = ServiceState.RUNNING, **rest: Any) -> Status:
    return Status.model_validate(
        {
            "service": service,
            "role": service.removesuffix("-2"),
            "state": state,
            "version": "1.2.3",
            "at": START,
            "started_at": START,
            "gauges": {"memory_mb": 100.4, "disk_free_mb": 5000},
            **rest,
        }
    )


def link(state: LinkState = LinkState.RUNNING, reason: str = "") -> CameraStatus:
    return CameraStatus(
        camera="front", state=state, reason=reason, since=START, width=640, height=480
    )


def seen(counts: dict[str, int] | None = None, camera: str = "front") -> CameraState:
    counts = {"nut": 2, LABELS[1]: 0} if counts is None else counts
    return CameraState(
        timestamp=START,
        timestamp_ms=0,
        device="box",
        camera=camera,
        count=sum(counts.values()),
        counts=counts,
        present={label: count > 0 for label, count in counts.items()},
        last_detection=START if any(counts.values()) else None,
        fps=12.5,
        latency_ms=45.0,
        latency_p50_ms=42.0,
        latency_p95_ms=80.0,
    )


def event(phase: EventPhase, camera: str = "front", label: str = "nut") -> Event:
    return Event(
        event=phase,
        id="front-parts-nut-1",
        device="box",
        camera=camera,
        model="parts",
        label=label,
        timestamp=START,
        timestamp_ms=0,
        started_at=START,
        duration_s=1.23,
        count=1,
        max_count=2,
        confidence=0.98765,
    )


def alarm(phase: AlarmPhase, camera: str = "front", rule: str = "busy", name: str = "") -> Alarm:
    return Alarm(
        alarm=phase,
        id="busy-1",
        rule=rule,
        rule_name=name,
        device="box",
        camera=camera,
        model="parts",
        timestamp=START,
        timestamp_ms=0,
        started_at=START,
        duration_s=0.5,
        count=3,
        counts={"nut": 3},
    )


def deployment(**rest: Any) -> Deployment:
    return Deployment.model_validate(
        {
            "model": "nuts",
            "name": "Nuts",
            "cameras": ["front"],
            "phase": Phase.RUNNING,
            "since": START,
            "installed": Version(digest=OLD, version="2026-11-01"),
            **rest,
        }
    )


def step(state: JobState, job: str = "job-1", **rest: Any) -> Progress:
    return Progress.model_validate(
        {
            "service": "cloud-sync",
            "job": job,
            "command": "pull",
            "state": state,
            "at": START + timedelta(seconds=1),
            **rest,
        }
    )


def known_box() -> Box:
    """Return a box that works, with one camera that sees two nuts."""
    box = Box("box")
    for message in (
        publisher(),
        capture("parts"),
        inference(models=[{"id": "parts", "path": "parts"}]),
        cloud_sync(collect=True),
        manifest(),
        deployment(),
        *(status(service) for service in ROLES if service not in ("capture", "cloud-sync")),
        status("capture", cameras=[link()]),
        status(
            "cloud-sync",
            gauges={"samples_new": 4, "samples_approved": 3, "memory_mb": 50, "disk_free_mb": 900},
        ),
        seen(),
        Snapshot(camera="front", attachment=b"\xff\xd8 a picture"),
    ):
        box.learn(message, 100.0)
    return box


def problem(reason: str) -> Problem:
    return Problem(about="disk", reason=reason)
