"""How the box fares: services, logs, topics, and an archive for who is asked for help."""

import asyncio
import io
import json
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import Field

from nxai_common import logs
from nxai_common.contracts import commands as c
from nxai_common.contracts import topics
from nxai_common.contracts.status import Problem, ServiceState, Status
from nxai_common.contracts.topics import Level
from nxai_common.settings import effective
from nxai_manager.core.accounts import Scope
from nxai_manager.web.answer import Answer, Refused
from nxai_manager.web.box import Box
from nxai_manager.web.endpoint import Call, Endpoint, Form

TAG: Final = "health"
EXPECTED: Final = ("capture", "inference", "publisher", "cloud-sync", "manager")
"""Without one of these the box does not do its work."""
LATE_S: Final = 30.0
"""A service that has told nothing for so long hangs: it tells every 5 s."""
LOG_S: Final = 5.0
LOG_LINES: Final = 2000


class ServiceHealth(Answer):
    """One process."""

    service: Level
    """Its name in topics."""
    role: str
    state: Literal["starting", "running", "degraded", "stopped", "offline", "silent", "missing"]
    """silent: it has told nothing for half a minute. missing: it never told anything."""
    reason: str = ""
    """What to do about it."""
    status: Status | None = None
    age_s: float | None = None
    """Since it told last."""


class Health(Answer):
    """The box as a whole."""

    state: Literal["ok", "attention", "broken"]
    """attention: it works, with problems. broken: a service is away."""
    broker_connected: bool
    services: tuple[ServiceHealth, ...]
    problems: tuple[Problem, ...]
    """Of all services."""
    viewers: int
    version: str
    at: datetime


class LogQuery(Form):
    """Which lines."""

    after: Annotated[int, Field(ge=0)] = 0
    level: Literal["debug", "info", "warning", "error"] = "info"
    limit: Annotated[int, Field(ge=1, le=LOG_LINES)] = 500


class ServiceName(Form):
    """Which service."""

    service: Level


class LogAnswer(Answer):
    """Lines of a log, oldest first."""

    lines: tuple[dict[str, Any], ...]
    next: int
    """`after` of the next question."""


class Topic(Answer):
    """One topic that the world may subscribe to."""

    topic: str
    message: str
    """Its description in docs/messages.md."""
    camera: str = ""
    retained: bool
    qos: int


class TopicList(Answer):
    """What is published, and where."""

    device: str
    port: int
    """Of the broker, for programs outside."""
    topics: tuple[Topic, ...]


async def show_health(call: Call) -> Health:
    """Return how each service fares, and every problem there is."""
    return health(call.box, datetime.now(UTC))


def health(box: Box, now: datetime) -> Health:
    """Judge what the services told."""
    statuses = box.hub.statuses()
    services = tuple(_judged(status, now) for status in statuses.values())
    roles = {each.role for each in services}
    missing = tuple(
        ServiceHealth(
            service=role,
            role=role,
            state="missing",
            reason=f"{role} has not been seen: is its container or program running?",
        )
        for role in EXPECTED
        if role not in roles
    )
    every = tuple(sorted((*services, *missing), key=lambda each: _place(each.role, each.service)))
    problems = tuple(
        problem for each in services if each.status for problem in each.status.problems
    )
    away = [each for each in every if each.state not in ("running", "degraded", "starting")]
    away = [each for each in away if each.role in EXPECTED]
    state: Literal["ok", "attention", "broken"] = "ok"
    if problems:
        state = "attention"
    if not box.bus.connected or any(_alone(each, every) for each in away):
        state = "broken"
    return Health(
        state=state,
        broker_connected=box.bus.connected,
        services=every,
        problems=problems,
        viewers=len(box.hub.viewers),
        version=box.version,
        at=now,
    )


def _alone(service: ServiceHealth, every: Iterable[ServiceHealth]) -> bool:
    """Tell whether no other process does the work of one that is away."""
    return not any(
        other.role == service.role and other.state in ("running", "degraded") for other in every
    )


def _place(role: str, name: str) -> tuple[int, str]:
    return (EXPECTED.index(role) if role in EXPECTED else len(EXPECTED), name)


def _judged(status: Status, now: datetime) -> ServiceHealth:
    age = max(0.0, (now - status.at).total_seconds())
    state: Any = status.state.value
    reason = ""
    if status.state is ServiceState.OFFLINE:
        reason = "its connection broke: it crashed, or its container was killed; its log says why"
    elif status.state is ServiceState.STOPPED:
        reason = "it was stopped; start it again"
    elif age > LATE_S:
        state = "silent"
        reason = f"it has told nothing for {age:.0f} s: it hangs, or the machine is overloaded"
    elif status.problems:
        reason = status.problems[0].reason
    return ServiceHealth(
        service=status.service,
        role=status.role,
        state=state,
        reason=reason,
        status=status,
        age_s=round(age, 1),
    )


async def read_log(call: Call) -> LogAnswer:
    """Return what a service logged lately; no secret is in it."""
    wanted: LogQuery = call.query
    if call.path.service not in {*call.box.hub.statuses(), *EXPECTED}:
        raise Refused(HTTPStatus.NOT_FOUND, f"there is no service {call.path.service!r}")
    told = await _log(call.box, call.path.service, wanted.after, wanted.level, wanted.limit)
    return LogAnswer(lines=tuple(told["lines"]), next=told["next"])


async def _log(box: Box, service: str, after: int, level: Any, limit: int) -> Any:  # noqa: ANN401 - JSON
    command = c.ReadLog(service=service, name="log", after=after, level=level, limit=limit)
    return await box.ask_json(command, LOG_S)


async def list_topics(call: Call) -> TopicList:
    """Return the topics that others may subscribe to."""
    box = call.box
    device = box.bus.device
    settings = box.desk.settings
    cameras = [camera.id for camera in settings.cameras] if settings is not None else []
    told = [
        Topic(
            topic=template.build(device, camera=camera),
            message=message,
            camera=camera,
            retained=retained,
            qos=qos,
        )
        for camera in cameras
        for template, message, retained, qos in (
            (topics.DETECTIONS, "Detections", False, 0),
            (topics.STATE, "CameraState", True, 1),
            (topics.EVENT, "Event", False, 1),
            (topics.ALARM, "Alarm", False, 1),
            (topics.OUTPUT, "Output", False, 0),
            (topics.SNAPSHOT, "Snapshot", True, 1),
        )
    ]
    told += [
        Topic(
            topic=topics.DEPLOYMENT.build(device, model=model),
            message="Deployment",
            retained=True,
            qos=1,
        )
        for model in box.hub.deployments()
    ]
    told += [
        Topic(
            topic=topics.STATUS.build(device, service=service),
            message="Status",
            retained=True,
            qos=1,
        )
        for service in box.hub.statuses()
    ]
    return TopicList(device=device, port=box.settings.mqtt_port, topics=tuple(told))


async def diagnostics(call: Call) -> web.Response:
    """Download an archive for who is asked for help: states, settings, logs, no secrets.

    Passwords are dots in the settings; logs were starred where they were written; whatever is left
    of a known secret is starred here once more.
    """
    box = call.box
    names = tuple(box.hub.statuses())
    answers = await asyncio.gather(
        *(_log(box, name, 0, "debug", LOG_LINES) for name in names), return_exceptions=True
    )
    files = {f"logs/{name}.txt": _log_text(told) for name, told in zip(names, answers, strict=True)}
    now = datetime.now(UTC)
    view = box.desk.current()
    files |= {
        "health.json": health(box, now).model_dump_json(indent=1),
        "settings.json": view.text,
        "settings-problems.txt": "\n".join(str(problem) for problem in view.problems),
        "environment.txt": effective(box.settings),
        "cameras.json": _as_json(box.hub.states()),
        "models.json": _as_json(box.hub.manifests()),
        "deployments.json": _as_json(box.hub.deployments()),
        "README.txt": README.format(device=box.bus.device, at=now.isoformat(timespec="seconds")),
    }
    content = await box.in_thread(_archive, files)
    name = f"nxai-edge-{box.bus.device}-{now:%Y%m%dT%H%M%SZ}.zip"
    return web.Response(
        body=content,
        content_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


README: Final = """\
Diagnostics of nxai-edge, box {device}, {at}.

health.json             how each service fares, its counters and problems
settings.json           the settings; passwords are dots
settings-problems.txt   what is wrong with them
environment.txt         how the manager was started; secrets are stars
cameras.json            what each camera shows
models.json             the models that inference offers
deployments.json        imported models: which version runs where
logs/                   the last lines of each service
"""


def _log_text(told: Any) -> str:  # noqa: ANN401 - JSON, or why there is none
    if isinstance(told, Refused):
        return f"no log: {told.detail}\n"
    if isinstance(told, BaseException):
        return f"no log: {type(told).__name__}\n"
    lines = []
    for line in told["lines"]:
        fields = " ".join(f"{k}={json.dumps(v)}" for k, v in (line.get("fields") or {}).items())
        text = f"{line['at']} {line['level']:<7} {line['logger']} {line['message']} {fields}"
        lines.append(text.rstrip())
        if line.get("trace"):
            lines.append(str(line["trace"]))
    return "\n".join(lines) + "\n"


def _as_json(messages: dict[str, Any]) -> str:
    return json.dumps(
        {name: message.model_dump(mode="json") for name, message in messages.items()}, indent=1
    )


def _archive(files: dict[str, str]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(files.items()):
            archive.writestr(name, logs.redact(text))
    return whole.getvalue()


ENDPOINTS: Final = (
    Endpoint("GET", "/health", show_health, Scope.READ, Health, tag=TAG),
    Endpoint(
        "GET",
        "/services/{service}/log",
        read_log,
        Scope.CONFIGURE,
        LogAnswer,
        query=LogQuery,
        path_model=ServiceName,
        tag=TAG,
    ),
    Endpoint("GET", "/topics", list_topics, Scope.READ, TopicList, tag=TAG),
    Endpoint(
        "GET",
        "/diagnostics",
        diagnostics,
        Scope.CONFIGURE,
        raw_answer="application/zip",
        tag=TAG,
    ),
)
