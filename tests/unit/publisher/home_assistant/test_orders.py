from typing import Any

import pytest

from nxai_common.contracts import commands as c
from nxai_common.contracts import topics
from nxai_common.contracts.deployments import Version
from nxai_common.contracts.status import ServiceState
from nxai_common.errors import RejectedError
from nxai_publisher.core.home_assistant.known import Box, Installation
from nxai_publisher.core.home_assistant.orders import Order, install_fetched, order_of
from support.known_box import NEW, deployment, known_box, publisher, status


def of_box(entity: str, payload: str, box: Box | None = None) -> Order:
    topic = topics.HOME_BOX_SET.build("box", entity=entity)
    return order_of(box or known_box(), topic, payload.encode())


def of_camera(entity: str, payload: str, camera: str = "front") -> Order:
    topic = topics.HOME_CAMERA_SET.build("box", camera=camera, entity=entity)
    return order_of(known_box(), topic, payload.encode())


@pytest.mark.parametrize(
    ("entity", "payload", "what", "command"),
    [
        ("run", "OFF", "Detection off", c.RunCameras(running=False)),
        ("run", "ON", "Detection on", c.RunCameras(running=True)),
        ("upload", "PRESS", "Upload pictures", c.UploadSamples()),
        ("check-updates", "PRESS", "Look for a new model", c.CheckUpdates()),
    ],
)
def test_the_box_is_asked(entity: str, payload: str, what: str, command: c.Command) -> None:
    assert of_box(entity, payload) == Order(what, (command,))


@pytest.mark.parametrize(
    ("entity", "payload", "what", "change"),
    [
        ("enabled", "OFF", "Front, camera off", {"enabled": False}),
        ("run", "ON", "Front, detection on", {"run": True}),
        ("collect", "ON", "Front, collect pictures on", {"collect": True}),
        ("threshold", "0.35", "Front, lowest confidence 0.35", {"threshold": 0.35}),
        ("uncertain", "1", "Front, doubtful below 1", {"uncertain": 1.0}),
    ],
)
def test_a_camera_is_adjusted(entity: str, payload: str, what: str, change: dict[str, Any]) -> None:
    command = c.AdjustCamera.model_validate({"camera": "front", **change})
    assert of_camera(entity, payload) == Order(what, (command,))


def test_a_camera_is_tested() -> None:
    assert of_camera("test", "PRESS") == Order("Front, test", (c.TriggerCamera(camera="front"),))


def test_all_services_are_restarted_and_the_own_one_last() -> None:
    box = known_box()
    box.learn(status("capture", ServiceState.OFFLINE), 0)
    box.learn(status("zoo"), 0)
    order = of_box("restart", "PRESS", box)
    assert [command.service for command in order.commands] == [
        "cloud-sync",
        "inference",
        "manager",
        "zoo",
        "publisher",
    ]
    assert all(isinstance(command, c.RestartService) for command in order.commands)


def test_a_newer_version_is_put_in_force() -> None:
    box = known_box()
    box.learn(deployment(latest=Version(digest=NEW)), 0)
    assert of_box("install", "nuts", box) == Order(
        "Install Nuts", (c.DeployModel(model="nuts", digest=NEW, how="at-once"),)
    )


def test_one_that_is_tried_is_promoted() -> None:
    box = known_box()
    box.learn(deployment(candidate=Version(digest=NEW), latest=Version(digest=NEW)), 0)
    assert of_box("install", "nuts", box).commands == (c.PromoteModel(model="nuts"),)


def test_one_that_only_the_project_has_is_fetched_first() -> None:
    box = known_box()
    box.learn(deployment(offered="2026-11-22", name=""), 0)
    assert of_box("install", "nuts", box) == Order(
        "Install nuts", (c.PullModel(model="nuts"),), fetches="nuts", version="2026-11-22"
    )
    for digest in (NEW, None):
        order = install_fetched("nuts", digest)
        assert order.installs == "nuts"
        assert order.commands == (c.DeployModel(model="nuts", digest=digest, how="at-once"),)


@pytest.mark.parametrize(
    ("model", "reason"),
    [("nuts", "no newer version"), ("bolts", "no model 'bolts'"), ("", "no model '\\?'")],
)
def test_where_there_is_nothing_newer_nothing_is_installed(model: str, reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        of_box("install", model)


def test_nothing_is_fetched_twice() -> None:
    box = known_box()
    box.learn(deployment(offered="2026-11-22"), 0)
    box.installations["nuts"] = Installation("job-1")
    with pytest.raises(RejectedError, match="under way"):
        of_box("install", "nuts", box)


@pytest.mark.parametrize(
    ("entity", "payload", "reason"),
    [
        ("run", "on", "'on' is neither ON nor OFF"),
        ("upload", "", "'\\?' is not PRESS"),
        ("restart", "x" * 5000, "xx…' is not PRESS"),
        ("format", "PRESS", "'format'"),
    ],
)
def test_the_box_does_not_do_anything(entity: str, payload: str, reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        of_box(entity, payload)


@pytest.mark.parametrize(
    ("entity", "payload", "reason"),
    [
        ("run", "", "neither ON nor OFF"),
        ("test", "ON", "is not PRESS"),
        ("threshold", "1.01", "no number from 0 to 1"),
        ("threshold", "nan", "no number from 0 to 1"),
        ("threshold", "-0.1", "no number from 0 to 1"),
        ("uncertain", "0_1", "no number from 0 to 1"),
        ("uncertain", "1e-1", "no number from 0 to 1"),
        ("masks", "[]", "'masks'"),
    ],
)
def test_a_camera_does_not_do_anything(entity: str, payload: str, reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        of_camera(entity, payload)


def test_a_camera_that_is_gone_is_not_asked() -> None:
    with pytest.raises(RejectedError, match="no camera 'back'"):
        of_camera("run", "ON", "back")


def test_bytes_that_are_no_text_are_refused() -> None:
    topic = topics.HOME_BOX_SET.build("box", entity="run")
    with pytest.raises(RejectedError, match="neither ON nor OFF"):
        order_of(known_box(), topic, b"\xff\xfe")


def test_other_topics_are_refused() -> None:
    with pytest.raises(RejectedError, match="nothing that can be set"):
        order_of(known_box(), "nxai/v1/box/home-assistant/a/b/c/set", b"ON")


def test_where_commands_are_switched_off_nothing_is_done() -> None:
    box = known_box()
    box.learn(publisher(home_assistant={"commands": False}), 0)
    with pytest.raises(RejectedError, match="switched off"):
        of_box("run", "ON", box)
