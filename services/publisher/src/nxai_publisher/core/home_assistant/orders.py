"""What a person asks for in Home Assistant, as commands to the services."""

import math
import re
from dataclasses import dataclass
from typing import Final, Literal

from nxai_common.contracts import topics
from nxai_common.contracts.commands import (
    AdjustCamera,
    CheckUpdates,
    Command,
    DeployModel,
    PromoteModel,
    PullModel,
    RestartService,
    RunCameras,
    TriggerCamera,
    UploadSamples,
)
from nxai_common.contracts.configuration import PublisherCamera
from nxai_common.contracts.status import ServiceState
from nxai_common.errors import RejectedError
from nxai_publisher.core.home_assistant.known import Box
from nxai_publisher.core.home_assistant.naming import cut, shown

PRESSED: Final = "PRESS"
LONGEST_SHOWN: Final = 40

_NUMBER = re.compile(r"[0-9]{1,4}(\.[0-9]{0,20})?")


@dataclass(frozen=True, slots=True)
class Order:
    """Something to be done."""

    what: str
    """For people."""
    commands: tuple[Command, ...]
    fetches: str = ""
    """A model that is put in force once it is here."""
    version: str = ""
    """What is fetched, for a person."""
    installs: str = ""
    """A model that was fetched for that."""


def order_of(box: Box, topic: str, payload: bytes) -> Order:
    """Return what a message of an entity asks for.

    Raises:
        RejectedError: nothing that can be done; says why.
    """
    if not box.options.commands:
        raise RejectedError(
            "commands are switched off: outputs.home_assistant.commands is false in the settings"
        )
    text = payload[: 4 * LONGEST_SHOWN].decode(errors="replace").strip()
    if (levels := topics.HOME_BOX_SET.parse(topic)) is not None:
        return _for_box(box, levels["entity"], text)
    if (levels := topics.HOME_CAMERA_SET.parse(topic)) is not None:
        return _for_camera(box, levels["camera"], levels["entity"], text)
    raise RejectedError(f"{_short(topic)} is nothing that can be set")


def install_fetched(model: str, digest: str | None) -> Order:
    """Return what puts a version in force that was fetched for it.

    Args:
        model: Which model.
        digest: Which version; one that did not pass its test is refused, and that is the answer.
            None: the newest one that did.
    """
    deploy = DeployModel(model=model, digest=digest, how="at-once")
    return Order(f"Install {model}", (deploy,), installs=model)


def _for_box(box: Box, entity: str, text: str) -> Order:
    match entity:
        case "run":
            running = _on(text)
            return Order(f"Detection {_word(on=running)}", (RunCameras(running=running),))
        case "upload":
            _check_press(text)
            return Order("Upload pictures", (UploadSamples(),))
        case "check-updates":
            _check_press(text)
            return Order("Look for a new model", (CheckUpdates(),))
        case "restart":
            _check_press(text)
            return Order("Restart", tuple(_restarts(box)))
        case "install":
            return _install(box, text)
    raise RejectedError(f"the box has nothing called {_short(entity)} that can be set")


def _for_camera(box: Box, name: str, entity: str, text: str) -> Order:
    camera = next((camera for camera in box.cameras if camera.id == name), None)
    if camera is None:
        raise RejectedError(f"there is no camera {_short(name)}")
    called = shown(camera.name or camera.id)
    match entity:
        case "enabled" | "run" | "collect":
            return _switched(camera, called, entity, on=_on(text))
        case "threshold" | "uncertain":
            return _set(camera, called, entity, _fraction(text))
        case "test":
            _check_press(text)
            return Order(f"{called}, test", (TriggerCamera(camera=name),))
    raise RejectedError(f"a camera has nothing called {_short(entity)} that can be set")


def _switched(
    camera: PublisherCamera, called: str, entity: Literal["enabled", "run", "collect"], *, on: bool
) -> Order:
    words = {"enabled": "camera", "run": "detection", "collect": "collect pictures"}
    return Order(
        f"{called}, {words[entity]} {_word(on=on)}",
        (AdjustCamera.model_validate({"camera": camera.id, entity: on}),),
    )


def _set(
    camera: PublisherCamera, called: str, entity: Literal["threshold", "uncertain"], value: float
) -> Order:
    words = {"threshold": "lowest confidence", "uncertain": "doubtful below"}
    return Order(
        f"{called}, {words[entity]} {value:g}",
        (AdjustCamera.model_validate({"camera": camera.id, entity: value}),),
    )


def _install(box: Box, model: str) -> Order:
    deployment = box.deployments.get(model)
    if deployment is None:
        raise RejectedError(f"there is no model {_short(model)} that could be updated")
    what = f"Install {cut(shown(deployment.name or model), LONGEST_SHOWN)}"
    if model in box.installations:
        raise RejectedError(f"{what} is under way already")
    if deployment.candidate is not None:
        return Order(what, (PromoteModel(model=model),))
    if deployment.offered:
        return Order(what, (PullModel(model=model),), fetches=model, version=deployment.offered)
    latest = deployment.latest
    if latest is None or latest.digest == deployment.installed.digest:
        raise RejectedError(f"{what}: there is no newer version")
    deploy = DeployModel(model=model, digest=latest.digest, how="at-once")
    return Order(what, (deploy,))


def _restarts(box: Box) -> list[RestartService]:
    """Return what ends each service that is there, this one last."""
    alive = [
        name
        for name, status in box.statuses.items()
        if status.state not in (ServiceState.STOPPED, ServiceState.OFFLINE)
    ]
    return [
        RestartService(service=name)
        for name in sorted(alive, key=lambda name: (name == "publisher", name))
    ]


def _on(text: str) -> bool:
    if text not in ("ON", "OFF"):
        raise RejectedError(f"{_short(text)} is neither ON nor OFF")
    return text == "ON"


def _fraction(text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not 0 <= value <= 1:
        raise RejectedError(f"{_short(text)} is no number from 0 to 1")
    return value


def _check_press(text: str) -> None:
    if text != PRESSED:
        raise RejectedError(f"{_short(text)} is not {PRESSED}")


def _word(*, on: bool) -> str:
    return "on" if on else "off"


def _short(text: str) -> str:
    return repr(cut(shown(text), LONGEST_SHOWN))
