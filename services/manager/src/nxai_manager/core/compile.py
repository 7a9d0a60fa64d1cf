"""Settings in, one configuration per service out."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from nxai_common.contracts.configuration import (
    Assignment,
    CameraOptions,
    CaptureCamera,
    CaptureConfiguration,
    CloudSyncCamera,
    CloudSyncConfiguration,
    DesiredModel,
    DetectionAreas,
    InferenceCamera,
    InferenceConfiguration,
    PublisherCamera,
    PublisherConfiguration,
    Shadow,
)
from nxai_common.contracts.deployments import DeployedModel
from nxai_common.contracts.models import CATALOGUE
from nxai_manager.core.deployed import NOTHING, Deployed
from nxai_manager.core.document import Camera, Settings
from nxai_manager.core.doubt import NEVER, rule_of_use

ANYWHERE = DetectionAreas()
REVISION_CHARACTERS = 12
"""48 bits: two documents of one box never meet, and a person can compare them by eye."""

Configuration = (
    CaptureConfiguration | InferenceConfiguration | PublisherConfiguration | CloudSyncConfiguration
)
C = TypeVar(
    "C",
    CaptureConfiguration,
    InferenceConfiguration,
    PublisherConfiguration,
    CloudSyncConfiguration,
)


@dataclass(frozen=True, slots=True)
class Compiled:
    """The desired state of every service."""

    capture: CaptureConfiguration
    inference: InferenceConfiguration
    publisher: PublisherConfiguration
    cloud_sync: CloudSyncConfiguration

    @property
    def parts(self) -> tuple[Configuration, ...]:
        """The documents, one per service."""
        return (self.capture, self.inference, self.publisher, self.cloud_sync)

    @property
    def revision(self) -> str:
        """Of everything together."""
        joined = ".".join(part.revision for part in self.parts)
        return hashlib.sha256(joined.encode()).hexdigest()[:REVISION_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Login:
    """User and password of one camera."""

    username: str
    password: str

    def __repr__(self) -> str:
        """Without the password."""
        return f"Login(username={self.username!r}, password='***')"


def credentials_name(camera: str) -> str:
    """Return the name of the secret file of a camera."""
    return f"camera-{camera}"


def logins(settings: Settings) -> dict[str, Login]:
    """Return user and password of each camera that has them, by name of the secret file."""
    return {
        credentials_name(camera.id): Login(camera.username, camera.password.get_secret_value())
        for camera in settings.cameras
        if _has_login(camera)
    }


def compile_settings(
    settings: Settings, secret_revisions: Mapping[str, str], deployed: Deployed = NOTHING
) -> Compiled:
    """Return the configurations that `settings` and the imported models ask for.

    Args:
        settings: Checked by `check_settings`.
        secret_revisions: For each name in `logins(settings)` a text that changes whenever the
            secret does, and says nothing about it.
        deployed: Imported models that run beside those of the settings.
    """
    return Compiled(
        capture=_revised(
            CaptureConfiguration(
                revision="",
                cameras=tuple(
                    _camera(camera, secret_revisions, deployed, paused=not settings.run)
                    for camera in settings.cameras
                ),
            )
        ),
        inference=_revised(
            InferenceConfiguration(
                revision="",
                models=(*settings.models, *_imported(deployed)),
                assignments=tuple(filter(_says_something, _assignments(settings, deployed))),
                cameras=tuple(
                    InferenceCamera(id=camera.id, areas=camera.areas)
                    for camera in settings.cameras
                    if camera.areas != ANYWHERE
                ),
                shadows=tuple(
                    Shadow(model=model.candidate_model, of=model.model)
                    for model in deployed.models
                    if model.candidate_model is not None
                ),
            )
        ),
        publisher=_revised(
            PublisherConfiguration(
                revision="",
                cameras=tuple(
                    PublisherCamera(
                        id=camera.id,
                        name=camera.name or camera.id,
                        index=index,
                        enabled=camera.enabled,
                    )
                    for index, camera in enumerate(settings.cameras)
                ),
                detections=settings.outputs.detections,
                nx_output=settings.outputs.nx_output,
                events=settings.outputs.events,
                state_every_s=settings.outputs.state_every_s,
                logger=settings.logger,
                device_name=settings.device.name,
                alarms=settings.outputs.alarms,
                processors=settings.outputs.processors,
                destinations=settings.outputs.destinations,
                outbox=settings.outputs.outbox,
                home_assistant=settings.outputs.home_assistant,
            )
        ),
        cloud_sync=_revised(
            CloudSyncConfiguration(
                revision="",
                cameras=tuple(
                    CloudSyncCamera(
                        id=camera.id,
                        name=camera.name or camera.id,
                        enabled=camera.enabled,
                        collect=camera.collect,
                    )
                    for camera in settings.cameras
                ),
                limits=settings.edge_impulse.limits,
                upload=settings.edge_impulse.upload,
                updates=settings.edge_impulse.updates,
                shadow=settings.edge_impulse.shadow,
                rollback=settings.edge_impulse.rollback,
            )
        ),
    )


def _imported(deployed: Deployed) -> Iterator[DesiredModel]:
    """Yield the imported models and, behind each, its candidate."""
    for model in deployed.models:
        yield _desired(model, model.model, model.digest)
        if model.candidate is not None and model.candidate_model is not None:
            yield _desired(model, model.candidate_model, model.candidate)


def _desired(model: DeployedModel, name: str, digest: str) -> DesiredModel:
    return DesiredModel(
        id=name,
        path=f"{CATALOGUE}{digest}",
        name=model.name or None,
        threshold=model.threshold,
    )


def _assignments(settings: Settings, deployed: Deployed) -> Iterator[Assignment]:
    """Yield for each model on each camera what is its own there, and what is collected.

    A candidate has the threshold of the camera alone, so that it is compared as it would run: what
    it finds is for the comparison, and the model in force asks for the same pictures.
    """
    own = {model.id: model for model in settings.models}
    for camera in settings.cameras:
        collect = camera.collect.strategies if camera.collect.enabled else ()
        for use in camera.models:
            rule = rule_of_use(camera, use, own[use.id])
            # "Never" is said in any case: inference chooses a rule where it hears of none.
            told = rule != own[use.id].uncertain or rule == NEVER
            yield Assignment(
                camera=camera.id,
                model=use.id,
                threshold=camera.threshold if use.threshold is None else use.threshold,
                uncertain=rule if told else None,
                collect=collect,
            )
        for model in deployed.models:
            if camera.id in model.cameras:
                yield Assignment(
                    camera=camera.id,
                    model=model.model,
                    threshold=camera.threshold,
                    uncertain=camera.uncertain,
                    collect=collect,
                )
                if model.candidate_model is not None:
                    yield Assignment(
                        camera=camera.id, model=model.candidate_model, threshold=camera.threshold
                    )


def _says_something(assignment: Assignment) -> bool:
    return (
        assignment.threshold is not None
        or assignment.uncertain is not None
        or bool(assignment.collect)
    )


def _camera(
    camera: Camera, secret_revisions: Mapping[str, str], deployed: Deployed, *, paused: bool
) -> CaptureCamera:
    options = {name: getattr(camera, name) for name in CameraOptions.model_fields}
    options["name"] = camera.name or camera.id
    options["paused"] = paused or not camera.run
    options["models"] = (
        *(use.id for use in camera.models),
        *(
            name
            for model in deployed.models
            if camera.id in model.cameras
            for name in (model.model, model.candidate_model)
            if name is not None
        ),
    )
    options["shadows"] = tuple(
        model.candidate_model
        for model in deployed.models
        if camera.id in model.cameras and model.candidate_model is not None
    )
    if camera.collect.enabled:
        options["samples"] = True
        options["samples_gap_s"] = camera.collect.min_gap_s
    if _has_login(camera):
        secret = credentials_name(camera.id)
        options["credentials"] = secret
        options["credentials_revision"] = secret_revisions[secret]
    return CaptureCamera(**options)


def _has_login(camera: Camera) -> bool:
    return bool(camera.username or camera.password.get_secret_value())


def _revised(configuration: C) -> C:
    """Return the configuration with a revision that only its content decides."""
    content = configuration.model_dump(mode="json", exclude={"revision"})
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return configuration.model_copy(update={"revision": digest[:REVISION_CHARACTERS]})
