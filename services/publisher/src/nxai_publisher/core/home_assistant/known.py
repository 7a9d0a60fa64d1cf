"""What is known of the box, gathered from the bus: nothing else is asked."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from nxai_common.contracts.alarms import Alarm, AlarmPhase, AlarmRule
from nxai_common.contracts.base import Message
from nxai_common.contracts.configuration import (
    Assignment,
    CaptureCamera,
    CaptureConfiguration,
    CloudSyncConfiguration,
    DesiredModel,
    HomeAssistantOptions,
    InferenceConfiguration,
    PublisherCamera,
    PublisherConfiguration,
)
from nxai_common.contracts.deployments import Deployment
from nxai_common.contracts.models import ModelManifest
from nxai_common.contracts.outputs import CameraState, Snapshot
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.contracts.status import CameraStatus, LinkState, Problem, ServiceState, Status

ROLES: Final = ("capture", "inference", "publisher", "manager", "cloud-sync")
"""Services that each box has: missed when they say nothing."""
BEATS_MISSED: Final = 3
GRACE_S: Final = 5.0
"""A camera's state is late by so much when the box is busy."""
LABELS: Final = 200
"""Of one camera in Home Assistant: more entities than that nobody looks at, and a message of them
would have more bytes than a broker takes."""

_UNCONFIGURED: Final = PublisherConfiguration(revision="")

RUNS: Final = (ServiceState.RUNNING, ServiceState.DEGRADED)
SHOWS: Final = (LinkState.RUNNING, LinkState.ENDED)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of something that a person asked for in Home Assistant."""

    what: str
    ok: bool
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Installation:
    """A newer model that is fetched, because a person asked for it."""

    job: str
    """Of cloud-sync; empty: it has not answered yet."""
    version: str = ""
    """What is fetched, for a person."""
    percentage: int | None = None
    """None: nobody knows."""


@dataclass(slots=True)
class Box:
    """One box. Moments are seconds of one monotonic clock."""

    device: str
    publisher: PublisherConfiguration | None = None
    capture: CaptureConfiguration | None = None
    inference: InferenceConfiguration | None = None
    cloud_sync: CloudSyncConfiguration | None = None
    manifests: dict[str, ModelManifest] = field(default_factory=dict)
    """The last of each model. One that is taken back, because it is loaded anew or inference
    stopped, goes on to say which labels there are."""
    deployments: dict[str, Deployment] = field(default_factory=dict)
    statuses: dict[str, Status] = field(default_factory=dict)
    states: dict[str, tuple[CameraState, float]] = field(default_factory=dict)
    """And when it was heard."""
    pictures: dict[str, bytes] = field(default_factory=dict)
    alarms: set[tuple[str, str]] = field(default_factory=set)
    """Camera and rule of those that hold."""
    answer: Answer | None = None
    installations: dict[str, Installation] = field(default_factory=dict)
    """By model."""

    # -- learning -------------------------------------------------------------------------------

    def learn(self, message: Message, now: float) -> None:
        """Take note of what a message says."""
        self._learn_desired(message)
        self._learn_reported(message, now)

    def _learn_desired(self, message: Message) -> None:
        match message:
            case PublisherConfiguration():
                self.publisher = message
                self._forget_cameras()
            case CaptureConfiguration():
                self.capture = message
            case InferenceConfiguration():
                self.inference = message
            case CloudSyncConfiguration():
                self.cloud_sync = message
            case _:
                pass

    def _learn_reported(self, message: Message, now: float) -> None:
        match message:
            case ModelManifest():
                self.manifests[message.model] = message
            case Deployment():
                self.deployments[message.model] = message
            case Status():
                self._follow_service(message)
            case CameraState():
                self.states[message.camera] = (message, now)
            case Snapshot():
                self.pictures[message.camera] = bytes(message.attachment)
            case Alarm():
                self._follow_alarm(message)
            case Progress():
                self._follow_job(message)
            case _:
                pass

    def forget(self, kind: type[Message], levels: dict[str, str]) -> None:
        """Take note that a retained message is no more."""
        if kind is Deployment:
            self.deployments.pop(levels["model"], None)
        elif kind is Status:
            self.statuses.pop(levels["service"], None)

    def _forget_cameras(self) -> None:
        known = {camera.id for camera in self.cameras}
        rules = {rule.id for rule in self.rules}
        self.states = {name: state for name, state in self.states.items() if name in known}
        self.pictures = {name: data for name, data in self.pictures.items() if name in known}
        self.alarms = {(c, rule) for c, rule in self.alarms if c in known and rule in rules}

    def _follow_alarm(self, alarm: Alarm) -> None:
        if alarm.alarm is AlarmPhase.END:
            self.alarms.discard((alarm.camera, alarm.rule))
        else:
            self.alarms.add((alarm.camera, alarm.rule))

    def _follow_service(self, status: Status) -> None:
        before = self.statuses.get(status.service)
        self.statuses[status.service] = status
        if status.role == "cloud-sync" and before and before.started_at != status.started_at:
            self.installations.clear()  # its jobs ended with it

    def _follow_job(self, step: Progress) -> None:
        for model, under_way in self.installations.items():
            if under_way.job == step.job:
                share = min(100, 100 * step.done // step.total) if step.total else None
                self.installations[model] = replace(under_way, percentage=share)

    def installed_by(self, step: Progress) -> str:
        """Return the model that a job which ended now was to bring; empty: none, or it goes on.

        The installation of what was fetched goes on until it is in force.
        """
        if not step.state.ended:
            return ""
        for model, under_way in self.installations.items():
            if under_way.job == step.job:
                if step.state is not JobState.DONE:
                    del self.installations[model]
                return model
        return ""

    # -- looking --------------------------------------------------------------------------------

    @property
    def options(self) -> HomeAssistantOptions:
        """How the box shall appear."""
        return (self.publisher or _UNCONFIGURED).home_assistant

    @property
    def name(self) -> str:
        """Name for people."""
        return (self.publisher or _UNCONFIGURED).device_name or self.device

    @property
    def version(self) -> str:
        """Of the software."""
        status = self.statuses.get("publisher")
        return "" if status is None else status.version

    @property
    def cameras(self) -> tuple[PublisherCamera, ...]:
        """All of the settings, also those that are switched off."""
        return (self.publisher or _UNCONFIGURED).cameras

    @property
    def rules(self) -> tuple[AlarmRule, ...]:
        """Alarm rules that are in force."""
        rules = (self.publisher or _UNCONFIGURED).alarms
        return tuple(rule for rule in rules if rule.enabled)

    def rules_of(self, camera: str) -> Iterator[AlarmRule]:
        """Yield the rules that watch a camera."""
        return (rule for rule in self.rules if not rule.cameras or camera in rule.cameras)

    @property
    def services(self) -> tuple[str, ...]:
        """Those that are missed when they say nothing, and further workers that are there."""
        more = (
            name
            for name, status in self.statuses.items()
            if name not in ROLES and status.state is not ServiceState.STOPPED
        )
        return (*ROLES, *sorted(more))

    def problems_of(self, service: str) -> tuple[Problem, ...]:
        """Return why a service does not do all that it should."""
        status = self.statuses.get(service)
        if status is None:
            return (Problem(about=service, reason="it has not said anything yet"),)
        if status.state in (ServiceState.STOPPED, ServiceState.OFFLINE):
            return (Problem(about=service, reason=f"it is {status.state}"), *status.problems)
        return status.problems

    def serves(self, role: str) -> bool:
        """Tell whether a service of this role works."""
        return any(s.role == role and s.state in RUNS for s in self.statuses.values())

    def capture_of(self, camera: str) -> CaptureCamera | None:
        """Return what capture shall do with a camera; None: nobody has said yet."""
        cameras = () if self.capture is None else self.capture.cameras
        return next((wanted for wanted in cameras if wanted.id == camera), None)

    def link_of(self, camera: str) -> CameraStatus | None:
        """Return how a camera's connection is; None: nobody knows."""
        status = self.statuses.get("capture")
        if status is None or status.state not in RUNS:
            return None
        return next((seen for seen in status.cameras if seen.camera == camera), None)

    def state_of(self, camera: str, now: float) -> CameraState | None:
        """Return what a camera sees; None: nobody has looked lately."""
        state, heard_at = self.states.get(camera, (None, 0.0))
        every_s = (self.publisher or _UNCONFIGURED).state_every_s
        if state is None or now - heard_at > BEATS_MISSED * every_s + GRACE_S:
            return None
        return state

    def looks(self, camera: PublisherCamera, now: float) -> bool:
        """Tell whether what a camera counts is what is before it."""
        link = self.link_of(camera.id)
        return (
            camera.enabled
            and link is not None
            and link.state in SHOWS
            and (not self.models_of(camera.id) or self.serves("inference"))
            and self.state_of(camera.id, now) is not None
        )

    def models_of(self, camera: str) -> tuple[str, ...]:
        """Return the models in force on a camera, without those that are only tried."""
        wanted = self.capture_of(camera)
        if wanted is None:
            return ()
        return tuple(model for model in wanted.models if model not in wanted.shadows)

    def labels_of(self, camera: str) -> tuple[str, ...]:
        """Return what may be seen on a camera, in the order of the models' labels."""
        models = self.models_of(camera)
        known = [self.manifests[model].labels for model in models if model in self.manifests]
        if self.capture is None or len(known) < len(models):
            # Until the rest is loaded: what the camera's state tells of.
            state, _ = self.states.get(camera, (None, 0.0))
            known.append(() if state is None else tuple(state.counts))
        return tuple(dict.fromkeys(label for labels in known for label in labels))[:LABELS]

    def threshold_of(self, camera: str) -> float | None:
        """Return the lowest confidence of a detection, of the first model; None: nobody knows."""
        for model in self.models_of(camera):
            assigned, desired = self._assigned(camera, model), self._desired(model)
            manifest = self.manifests.get(model)
            for said in (assigned, desired, manifest):
                if said is not None and said.threshold is not None:
                    return said.threshold
        return None

    def uncertain_of(self, camera: str) -> float | None:
        """Return below what a result counts as doubtful; None: nobody knows."""
        for model in self.models_of(camera):
            assigned, desired = self._assigned(camera, model), self._desired(model)
            if assigned is not None and assigned.uncertain is not None:
                return assigned.uncertain.threshold
            if desired is not None:
                return desired.uncertain.threshold
        return None

    def collects(self, camera: str) -> bool | None:
        """Tell whether pictures of a camera are collected; None: nobody knows."""
        cameras = () if self.cloud_sync is None else self.cloud_sync.cameras
        return next((wanted.collect.enabled for wanted in cameras if wanted.id == camera), None)

    @property
    def runs(self) -> bool | None:
        """Whether frames go to inference, of one camera at least; None: nobody knows."""
        if self.capture is None or not self.capture.cameras:
            return None
        return not all(camera.paused for camera in self.capture.cameras)

    def _assigned(self, camera: str, model: str) -> Assignment | None:
        assignments = () if self.inference is None else self.inference.assignments
        return next((a for a in assignments if a.camera == camera and a.model == model), None)

    def _desired(self, model: str) -> DesiredModel | None:
        models = () if self.inference is None else self.inference.models
        return next((wanted for wanted in models if wanted.id == model), None)
