"""One settings.json and what is deployed, four configurations."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_common.contracts.collecting import (
    BandStrategy,
    CollectPolicy,
    Quotas,
    RollbackOptions,
    SampleLimits,
    ShadowOptions,
    UncertainStrategy,
    UpdateOptions,
    UploadOptions,
)
from nxai_common.contracts.configuration import (
    Assignment,
    CloudSyncCamera,
    DesiredModel,
    RtspSource,
    Shadow,
    UncertainRule,
)
from nxai_common.contracts.deployments import DeployedModel
from nxai_common.contracts.models import ResizeMode
from nxai_manager.core.compile import Compiled, Login, compile_settings, logins
from nxai_manager.core.deployed import NOTHING, Deployed
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


def compiled(
    revision: str = "r1", deployed: tuple[DeployedModel, ...] = (), **changes: Any
) -> Compiled:
    wanted = settings(**changes)
    return compile_settings(wanted, dict.fromkeys(logins(wanted), revision), Deployed(deployed))


def assignments(**changes: Any) -> dict[tuple[str, str], Assignment]:
    return {(a.camera, a.model): a for a in compiled(**changes).inference.assignments}


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


def test_cloud_sync_gets_what_becomes_of_the_pictures_of_every_camera() -> None:
    policy = {"enabled": True, "strategies": ["uncertain", "band"], "quotas": {"per_day": 50}}
    cloud_sync = compiled(
        cameras=[CAMERAS[0] | {"collect": policy}, CAMERAS[1]],
        edge_impulse={
            "limits": {"keep_mb": 5},
            "upload": {"mode": "automatic", "window": "22:00-06:00"},
            "updates": {"policy": "off"},
            "shadow": {"frames": 7},
            "rollback": {"errors": 7},
        },
    ).cloud_sync
    assert cloud_sync.cameras == (
        CloudSyncCamera(
            id="front",
            name="Front door",
            collect=CollectPolicy(
                enabled=True,
                strategies=(UncertainStrategy(), BandStrategy()),
                quotas=Quotas(per_day=50),
            ),
        ),
        CloudSyncCamera(id="back", name="back", enabled=False),
    )
    assert cloud_sync.limits == SampleLimits(keep_mb=5)
    assert cloud_sync.upload == UploadOptions(mode="automatic", window="22:00-06:00")
    assert cloud_sync.updates == UpdateOptions(policy="off")
    assert cloud_sync.shadow == ShadowOptions(frames=7)
    assert cloud_sync.rollback == RollbackOptions(errors=7)


def test_collecting_reaches_capture_and_every_model_of_the_camera() -> None:
    policy = {"enabled": True, "strategies": ["band", "uncertain"], "min_gap_s": 3}
    cameras = [CAMERAS[0] | {"collect": policy}, CAMERAS[1]]
    front, back = compiled(cameras=cameras).capture.cameras
    assert (front.samples, front.samples_gap_s) == (True, 3)
    assert (back.samples, back.samples_gap_s) == (False, 0)
    found = assignments(cameras=cameras)
    assert {key: a.collect for key, a in found.items()} == {
        ("front", "m5-nut"): (BandStrategy(), UncertainStrategy()),
        ("front", "m5-washer"): (BandStrategy(), UncertainStrategy()),
        ("back", "m5-nut"): (),
    }
    assert found["front", "m5-washer"].threshold == 0.75


def test_collecting_that_is_switched_off_reaches_nobody_but_cloud_sync() -> None:
    policy = {"enabled": False, "strategies": ["random"], "min_gap_s": 3}
    before, after = compiled(), compiled(cameras=[CAMERAS[0] | {"collect": policy}, CAMERAS[1]])
    assert before.capture == after.capture
    assert before.inference == after.inference
    assert before.cloud_sync != after.cloud_sync


Rule = float | None


@pytest.mark.parametrize(
    ("model", "use", "camera", "expected"),
    [
        # model's own rule, use's own rule, the camera's fields, threshold that the camera gets
        (None, None, {}, None),
        (None, None, {"collect": True}, None),  # inference chooses
        (None, None, {"collect": {"enabled": True, "strategies": ["random"]}}, None),
        (None, None, {"uncertain": {"threshold": 0.7}}, 0.7),
        (None, None, {"uncertain": {"threshold": 0.7}, "collect": True}, 0.7),
        (0.3, None, {"uncertain": {"threshold": 0.7}, "collect": True}, None),
        (0.0, 0.4, {"uncertain": {"threshold": 0.7}, "collect": True}, 0.4),
        (0.3, 0.0, {"uncertain": {"threshold": 0.7}, "collect": True}, 0.0),
        (0.3, 0.3, {}, None),  # as the model says
        (0.0, None, {"collect": True}, 0.0),  # and not as inference would choose
        (None, None, {"uncertain": {"threshold": 0}, "collect": True}, 0.0),
    ],
)
def test_nearest_rule_that_was_set_says_what_is_doubtful(
    model: Rule, use: Rule, camera: dict[str, Any], expected: Rule
) -> None:
    def rule(threshold: Rule) -> dict[str, Any]:
        return {} if threshold is None else {"uncertain": {"threshold": threshold}}

    found = assignments(
        cameras=[CAMERAS[1] | {"models": [{"id": "m"} | rule(use), "n"]} | camera],
        # The other one has a rule, so that collecting makes sense whatever `m` says.
        models=[{"id": "m", "path": "m"} | rule(model), {"id": "n", "path": "n"} | rule(0.9)],
    )
    got = found["back", "m"].uncertain if ("back", "m") in found else None
    assert got == (None if expected is None else UncertainRule(threshold=expected))


OLD, NEW = "a" * 64, "b" * 64
PARTS = DeployedModel(model="parts", name="Parts", cameras=("front",), digest=OLD, threshold=0.4)
TRIED = PARTS.model_copy(update={"candidate": NEW, "candidate_model": "parts-new"})


def test_imported_model_runs_behind_those_of_the_settings() -> None:
    found = compiled(deployed=(PARTS,))
    assert found.inference.models[-1] == DesiredModel(
        id="parts", path=f"catalogue:{OLD}", name="Parts", threshold=0.4
    )
    assert found.inference.models[:-1] == compiled().inference.models
    front, back = found.capture.cameras
    assert front.models == ("m5-nut", "m5-washer", "parts")
    assert back.models == ("m5-nut",)
    assert found.inference.shadows == ()
    assert found.inference.assignments == compiled().inference.assignments


def test_imported_model_without_a_name_and_threshold_keeps_its_own() -> None:
    model = DeployedModel(model="parts", digest=OLD)
    assert compiled(deployed=(model,)).inference.models[-1] == DesiredModel(
        id="parts", path=f"catalogue:{OLD}"
    )


def test_candidate_runs_beside_its_model_on_the_same_cameras() -> None:
    found = compiled(deployed=(TRIED,))
    parts, tried = found.inference.models[-2:]
    assert (parts.id, parts.path) == ("parts", f"catalogue:{OLD}")
    assert tried == DesiredModel(
        id="parts-new", path=f"catalogue:{NEW}", name="Parts", threshold=0.4
    )
    assert found.inference.shadows == (Shadow(model="parts-new", of="parts"),)
    front, back = found.capture.cameras
    assert front.models == ("m5-nut", "m5-washer", "parts", "parts-new")
    assert front.shadows == ("parts-new",)
    assert (back.models, back.shadows) == (("m5-nut",), ())


def test_pictures_are_collected_for_an_imported_model_and_not_for_its_candidate() -> None:
    cameras = [CAMERAS[0] | {"collect": True}, CAMERAS[1]]
    found = assignments(deployed=(TRIED,), cameras=cameras)
    assert found["front", "parts"] == Assignment(
        camera="front",
        model="parts",
        collect=(UncertainStrategy(),),
    )
    assert {model for _, model in found} == {"m5-nut", "m5-washer", "parts"}


@pytest.mark.parametrize("threshold", [0.0, 0.7])
def test_imported_model_is_doubtful_as_the_camera_says(threshold: float) -> None:
    cameras = [CAMERAS[0] | {"uncertain": {"threshold": threshold}}, CAMERAS[1]]
    found = assignments(deployed=(PARTS,), cameras=cameras)
    assert found["front", "parts"].uncertain == UncertainRule(threshold=threshold)


def test_threshold_of_a_camera_is_for_models_without_one_there() -> None:
    cameras = [CAMERAS[0] | {"threshold": 0.6}, CAMERAS[1]]
    found = assignments(deployed=(TRIED,), cameras=cameras)
    assert {key: a.threshold for key, a in found.items()} == {
        ("front", "m5-nut"): 0.6,
        ("front", "m5-washer"): 0.75,
        ("front", "parts"): 0.6,
        ("front", "parts-new"): 0.6,
        ("back", "m5-nut"): None,
    }


def test_publisher_gets_all_outputs_and_the_name_of_the_box() -> None:
    outputs = {
        "alarms": [{"id": "jam", "count": 5}],
        "destinations": [{"id": "disk", "type": "file", "path": "a.jsonl"}],
        "outbox": {"keep_days": 3},
        "processors": [{"id": "plates"}],
        "home_assistant": {"prefix": "ha"},
    }
    publisher = compiled(outputs=outputs, device={"name": "Hall 7"}).publisher
    wanted = settings(outputs=outputs).outputs
    for name in outputs:
        assert getattr(publisher, name) == getattr(wanted, name), name
        assert getattr(publisher, name) != getattr(compiled().publisher, name), name
    assert publisher.device_name == "Hall 7"


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
    changes: dict[str, tuple[Compiled, tuple[bool, bool, bool, bool]]] = {
        "a camera's limit": (
            compiled(cameras=[CAMERAS[0] | {"inference_limit_ms": 9}, CAMERAS[1]]),
            (True, False, False, False),
        ),
        "a password": (compiled(revision="r2"), (True, False, False, False)),
        "a model": (
            compiled(models=[MODELS[0] | {"threshold": 0.6}, MODELS[1]]),
            (False, True, False, False),
        ),
        "the logger": (compiled(logger={"keep_days": 2}), (False, False, True, False)),
        "a name": (
            compiled(cameras=[CAMERAS[0] | {"name": "x"}, CAMERAS[1]]),
            (True, False, True, True),
        ),
        "collecting": (
            compiled(cameras=[CAMERAS[0] | {"collect": True}, CAMERAS[1]]),
            (True, True, False, True),
        ),
        "a quota": (
            compiled(
                cameras=[
                    CAMERAS[0] | {"collect": {"enabled": False, "quotas": {"per_day": 1}}},
                    CAMERAS[1],
                ]
            ),
            (False, False, False, True),
        ),
        "a limit of the disk": (
            compiled(edge_impulse={"limits": {"keep_mb": 5}}),
            (False, False, False, True),
        ),
        "an imported model": (compiled(deployed=(PARTS,)), (True, True, False, False)),
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
    parts = compile_settings(DEFAULT, {}, NOTHING)
    assert parts == compile_settings(DEFAULT, {})
    assert [camera.id for camera in parts.capture.cameras] == ["demo"]
    assert [model.path for model in parts.inference.models] == ["demo-parts"]
