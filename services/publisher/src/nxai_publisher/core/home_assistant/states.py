"""What the entities show, and what has happened."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from nxai_common.contracts import topics
from nxai_common.contracts.alarms import Alarm, AlarmPhase
from nxai_common.contracts.configuration import PublisherCamera
from nxai_common.contracts.deployments import Deployment, Phase, Version
from nxai_common.contracts.outputs import Event, EventPhase
from nxai_publisher.core.home_assistant.known import RUNS, Box
from nxai_publisher.core.home_assistant.naming import LONGEST_TEXT, cut, label_key
from nxai_publisher.core.home_assistant.platforms import UpdateState

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"
SHOWN_DIGEST: Final = 8
"""Characters of a digest: versions of one model that are called alike are told apart by it."""

DISK_STEP: Final = 100
MEMORY_STEP: Final = 10
"""MiB. They never stand still, and Home Assistant writes each value to its database."""

_APPEARED: Final = {EventPhase.START: "appeared", EventPhase.END: "left"}
_ALARM: Final = {
    AlarmPhase.START: "alarm",
    AlarmPhase.AGAIN: "alarm_again",
    AlarmPhase.END: "alarm_ended",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What is to be on a topic."""

    payload: bytes
    is_picture: bool = False
    """Not told again for its own sake: Home Assistant takes each for a new one."""


def states_of(box: Box, now: float) -> dict[str, Shown]:
    """Return what is to be on each topic of the entities, the box last: then all is there."""
    told: dict[str, Shown] = {}
    for camera in box.cameras:
        online = topics.HOME_CAMERA_AVAILABILITY.build(box.device, camera=camera.id)
        state = topics.HOME_CAMERA_STATE.build(box.device, camera=camera.id)
        told[online] = Shown(ONLINE if box.looks(camera, now) else OFFLINE)
        told[state] = Shown(_json(camera_state(box, camera, now)))
        data = box.pictures.get(camera.id)
        if data and box.options.pictures:
            picture = topics.HOME_CAMERA_PICTURE.build(box.device, camera=camera.id)
            told[picture] = Shown(data, is_picture=True)
    told[topics.HOME_BOX_STATE.build(box.device)] = Shown(_json(box_state(box)))
    return told


def camera_state(box: Box, camera: PublisherCamera, now: float) -> dict[str, Any]:
    """Return what the entities of a camera show."""
    seen = box.state_of(camera.id, now)
    counts = {} if seen is None else seen.counts
    present = {} if seen is None else seen.present
    labels = box.labels_of(camera.id)
    wanted = box.capture_of(camera.id)
    last = None if seen is None else seen.last_detection
    return {
        "count": sum(counts.get(label, 0) for label in labels),
        "counts": {label_key(label): counts.get(label, 0) for label in labels},
        "present": {label_key(label): _switch(on=present.get(label, False)) for label in labels},
        "last-detection": None if last is None else last.isoformat(),
        "alarms": {
            rule.id: _switch(on=(camera.id, rule.id) in box.alarms)
            for rule in box.rules_of(camera.id)
        },
        "fps": None if seen is None else seen.fps,
        "latency-p50": None if seen is None else seen.latency_p50_ms,
        "latency-p95": None if seen is None else seen.latency_p95_ms,
        "connection": _connection(box, camera.id),
        "enabled": _switch(on=camera.enabled),
        "run": None if wanted is None else _switch(on=not wanted.paused),
        "collect": _switch(on=box.collects(camera.id)),
        "threshold": box.threshold_of(camera.id),
        "uncertain": box.uncertain_of(camera.id),
    }


def box_state(box: Box) -> dict[str, Any]:
    """Return what the entities of the box show."""
    alive = [status for status in box.statuses.values() if status.state in RUNS]
    disks = [s.gauges["disk_free_mb"] for s in alive if s.gauges.get("disk_free_mb")]
    memory = [s.gauges["memory_mb"] for s in alive if s.gauges.get("memory_mb")]
    samples = box.statuses["cloud-sync"].gauges if box.serves("cloud-sync") else {}
    return {
        "services": {service: _service(box, service) for service in box.services},
        "models": {name: update_state(box, told) for name, told in box.deployments.items()},
        "samples-new": samples.get("samples_new"),
        "samples-approved": samples.get("samples_approved"),
        "disk-free": _rounded(min(disks), DISK_STEP) if disks else None,
        "memory": _rounded(sum(memory), MEMORY_STEP) if memory else None,
        "run": _switch(on=box.runs),
        "answer": _answer(box),
    }


def update_state(box: Box, deployment: Deployment) -> dict[str, Any]:
    """Return what the update entity of a model shows."""
    under_way = box.installations.get(deployment.model)
    starting = deployment.phase is Phase.STARTING
    newest = deployment.latest or deployment.installed
    # Between the fetching and the swap a newer version is neither offered nor the latest here; to
    # say "up to date" for that moment would end the update in Home Assistant.
    offered = deployment.offered or (under_way.version if under_way is not None else "")
    return UpdateState(
        installed_version=version_text(deployment.installed),
        latest_version=cut(offered) if offered else version_text(newest),
        title=cut(deployment.name or deployment.model),
        release_summary=cut(_summary(deployment)),
        in_progress=under_way is not None or starting,
        update_percentage=None if under_way is None else under_way.percentage,
    ).told()


def version_text(version: Version) -> str:
    """Return the name of a version; no other one of the model has it."""
    digest = version.digest[:SHOWN_DIGEST]
    if not version.version or version.digest.startswith(version.version):
        return digest
    return f"{cut(version.version, 200)} ({digest})"


def event_told(box: Box, event: Event) -> tuple[str, bytes] | None:
    """Return topic and payload of what happened; None: Home Assistant need not know."""
    kind = _APPEARED.get(event.event)
    if kind is None or all(event.camera != camera.id for camera in box.cameras):
        return None
    told = {
        "event_type": kind,
        "label": event.label,
        "id": event.id,
        "model": event.model,
        "count": event.count,
        "max_count": event.max_count,
        "confidence": round(event.confidence, 3),
        "started_at": _moment(event.started_at),
        "duration_s": round(event.duration_s, 1),
    }
    return _event_topic(box, event.camera), _json(told)


def alarm_told(box: Box, alarm: Alarm) -> tuple[str, bytes] | None:
    """Return topic and payload of an alarm; None: Home Assistant need not know."""
    if all(alarm.camera != camera.id for camera in box.cameras):
        return None
    told = {
        "event_type": _ALARM[alarm.alarm],
        "rule": alarm.rule,
        "rule_name": alarm.rule_name or alarm.rule,
        "id": alarm.id,
        "model": alarm.model,
        "count": alarm.count,
        "counts": alarm.counts,
        "started_at": _moment(alarm.started_at),
        "duration_s": round(alarm.duration_s, 1),
    }
    return _event_topic(box, alarm.camera), _json(told)


def _event_topic(box: Box, camera: str) -> str:
    return topics.HOME_CAMERA_EVENT.build(box.device, camera=camera)


def _connection(box: Box, camera: str) -> dict[str, Any]:
    link = box.link_of(camera)
    if link is None:
        reason = "; ".join(problem.reason for problem in box.problems_of("capture"))
        return {"connected": "OFF", "about": {"reason": cut(reason, LONGEST_TEXT)}}
    connected = link.state in ("running", "ended")
    about = {
        "state": str(link.state),
        "reason": cut(link.reason, LONGEST_TEXT),
        "since": _moment(link.since),
        "width": link.width,
        "height": link.height,
        "reconnects": link.reconnects,
    }
    return {"connected": _switch(on=connected), "about": about}


def _service(box: Box, service: str) -> dict[str, Any]:
    problems = box.problems_of(service)
    status = box.statuses.get(service)
    reason = "; ".join(f"{problem.about}: {problem.reason}" for problem in problems)
    about = {"reason": cut(reason, LONGEST_TEXT)}
    if status is not None:
        about |= {"state": str(status.state), "version": status.version}
    return {"problem": _switch(on=bool(problems)), "about": about}


def _answer(box: Box) -> dict[str, Any]:
    answer = box.answer
    if answer is None:
        return {}
    text = answer.reason or ("done" if answer.ok else "refused")
    return {
        "text": cut(f"{answer.what}: {text}"),
        "about": {
            "ok": answer.ok,
            "asked": answer.what,
            "reason": cut(answer.reason, LONGEST_TEXT),
            "at": _moment(answer.at),
        },
    }


def _summary(deployment: Deployment) -> str:
    if deployment.phase is Phase.SHADOW and deployment.report is not None:
        report = deployment.report
        return (
            f"A new version is tried beside it: {report.frames} frames, "
            f"{report.agreement:.0%} the same"
        )
    return deployment.reason


def _rounded(value: float, step: int) -> int:
    return round(value / step) * step


def _switch(*, on: bool | None) -> str | None:
    return None if on is None else "ON" if on else "OFF"


def _moment(moment: datetime) -> str:
    return moment.isoformat()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(
        errors="replace"
    )
