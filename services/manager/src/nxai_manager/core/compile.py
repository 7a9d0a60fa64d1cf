"""Settings in, one configuration per service out."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from nxai_common.contracts.configuration import (
    Assignment,
    CameraOptions,
    CaptureCamera,
    CaptureConfiguration,
    InferenceConfiguration,
    PublisherCamera,
    PublisherConfiguration,
)
from nxai_manager.core.document import Camera, Settings

REVISION_CHARACTERS = 12
"""48 bits: two documents of one box never meet, and a person can compare them by eye."""

Configuration = CaptureConfiguration | InferenceConfiguration | PublisherConfiguration
C = TypeVar("C", CaptureConfiguration, InferenceConfiguration, PublisherConfiguration)


@dataclass(frozen=True, slots=True)
class Compiled:
    """The desired state of every service."""

    capture: CaptureConfiguration
    inference: InferenceConfiguration
    publisher: PublisherConfiguration

    @property
    def parts(self) -> tuple[Configuration, ...]:
        """The documents, one per service."""
        return (self.capture, self.inference, self.publisher)

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


def compile_settings(settings: Settings, secret_revisions: Mapping[str, str]) -> Compiled:
    """Return the configurations that `settings` asks for.

    Args:
        settings: Checked by `check_settings`.
        secret_revisions: For each name in `logins(settings)` a text that changes whenever the
            secret does, and says nothing about it.
    """
    return Compiled(
        capture=_revised(
            CaptureConfiguration(
                revision="",
                cameras=tuple(_camera(camera, secret_revisions) for camera in settings.cameras),
            )
        ),
        inference=_revised(
            InferenceConfiguration(
                revision="",
                models=settings.models,
                assignments=tuple(
                    Assignment(
                        camera=camera.id,
                        model=use.id,
                        threshold=use.threshold,
                        uncertain=use.uncertain,
                    )
                    for camera in settings.cameras
                    for use in camera.models
                    if use.threshold is not None or use.uncertain is not None
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
            )
        ),
    )


def _camera(camera: Camera, secret_revisions: Mapping[str, str]) -> CaptureCamera:
    options = {name: getattr(camera, name) for name in CameraOptions.model_fields}
    options["name"] = camera.name or camera.id
    options["models"] = tuple(use.id for use in camera.models)
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
