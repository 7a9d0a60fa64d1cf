"""One settings.json, three configurations."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nxai_common.contracts.configuration import RtspSource, UncertainRule
from nxai_common.contracts.models import ResizeMode
from nxai_manager.core.compile import Compiled, Login, compile_settings, logins
from nxai_manager.core.document import DEFAULT, Settings
from nxai_manager.core.problems import check_settings

CAMERAS: list[dict[str, Any]] = [
    {
        "id": "front",
        "name": "Front door",
        "source": {"type": "rtsp", "url": "rtsp://192.0.2.17/1"},
        "username": "joe",
        "password": "hunter2",
        "models": ["m5-nut", {"id": "m5-washer", "threshold": 0.75}],
        "resize_mode": "fit-short",
        "masks": [[[0, 0], [0.5, 0], [0.5, 1]]],
    },
    {
        "id": "back",
        "enabled": False,
        "source": {"type": "demo"},
        "models": [{"id": "m5-nut", "uncertain": {"threshold": 0.4}}],
    },
]
MODELS: list[dict[str, Any]] = [
    {"id": "m5-nut", "path": "a.tflite", "threshold": 0.5},
    {"id": "m5-washer", "path": "b.onnx"},
]


def settings(**changes: Any) -> Settings:
    return check_settings(json.dumps({"cameras": CAMERAS, "models": MODELS} | changes))


def compiled(revision: str = "r1", **changes: Any) -> Compiled:
    wanted = settings(**changes)
    return compile_settings(wanted, dict.fromkeys(logins(wanted), revision))


def revisions(one: Compiled) -> tuple[str, ...]:
    return tuple(part.revision for part in one.parts)


def test_capture_gets_sources_options_and_the_name_of_the_secret() -> None:
    front, back = compiled().capture.cameras
    assert front.source == RtspSource(url="rtsp://192.0.2.17/1")
    assert front.models == ("m5-nut", "m5-washer")
    assert (front.credentials, front.credentials_revision) == ("camera-front", "r1")
    assert front.resize_mode is ResizeMode.FIT_SHORT
    assert front.masks == (((0.0, 0.0), (0.5, 0.0), (0.5, 1.0)),)
    assert (back.id, back.enabled, back.credentials) == ("back", False, None)
    assert back.name == "back"


def test_inference_gets_models_and_the_overrides_of_cameras() -> None:
    inference = compiled().inference
    assert [model.id for model in inference.models] == ["m5-nut", "m5-washer"]
    washer, nut = inference.assignments
    assert (washer.camera, washer.model, washer.threshold) == ("front", "m5-washer", 0.75)
    assert (nut.camera, nut.model, nut.threshold) == ("back", "m5-nut", None)
    assert nut.uncertain == UncertainRule(threshold=0.4)


def test_publisher_gets_names_places_and_options() -> None:
    publisher = compiled(
        outputs={"detections": False, "state_every_s": 3}, logger={"keep_days": 2}
    ).publisher
    assert [(c.id, c.name, c.index, c.enabled) for c in publisher.cameras] == [
        ("front", "Front door", 0, True),
        ("back", "back", 1, False),
    ]
    assert (publisher.detections, publisher.state_every_s) == (False, 3)
    assert publisher.logger.keep_days == 2


def test_no_secret_is_in_any_document() -> None:
    for part in compiled().parts:
        assert b"hunter2" not in part.encode()
        assert b"joe" not in part.encode()


def test_logins_are_named_like_their_files_and_do_not_print_the_password() -> None:
    found = logins(settings())
    assert found == {"camera-front": Login("joe", "hunter2")}
    assert "hunter2" not in repr(found)


def test_user_without_a_password_is_a_login() -> None:
    cameras = [CAMERAS[0] | {"password": ""}]
    assert logins(settings(cameras=cameras)) == {"camera-front": Login("joe", "")}


def test_revision_changes_with_its_document_and_with_nothing_else() -> None:
    before = compiled()
    assert revisions(before) == revisions(compiled())
    changes: dict[str, tuple[Compiled, tuple[bool, bool, bool]]] = {
        "a camera's limit": (
            compiled(cameras=[CAMERAS[0] | {"inference_limit_ms": 9}, CAMERAS[1]]),
            (True, False, False),
        ),
        "a password": (compiled(revision="r2"), (True, False, False)),
        "a model": (
            compiled(models=[MODELS[0] | {"threshold": 0.6}, MODELS[1]]),
            (False, True, False),
        ),
        "the logger": (compiled(logger={"keep_days": 2}), (False, False, True)),
        "a name": (
            compiled(cameras=[CAMERAS[0] | {"name": "x"}, CAMERAS[1]]),
            (True, False, True),
        ),
    }
    for what, (after, expected) in changes.items():
        differs = tuple(
            one != other for one, other in zip(revisions(before), revisions(after), strict=True)
        )
        assert differs == expected, what
        assert (before.revision != after.revision) == any(expected), what


@given(keys=st.permutations(list(CAMERAS[0])))
def test_order_of_keys_does_not_change_the_revision(keys: list[str]) -> None:
    shuffled = compiled(cameras=[{key: CAMERAS[0][key] for key in keys}, CAMERAS[1]])
    assert revisions(shuffled) == revisions(compiled())


def test_default_needs_no_secret() -> None:
    parts = compile_settings(DEFAULT, {})
    assert [camera.id for camera in parts.capture.cameras] == ["demo"]
    assert [model.path for model in parts.inference.models] == ["demo-parts"]
