"""The settings file of the closed manager becomes ours, and every key of it is accounted for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_manager.core.consistency import PLACEHOLDER
from nxai_manager.core.document import DEFAULT_TEXT
from nxai_manager.core.editing import written
from nxai_manager.core.nx_settings import (
    CAMERA_KEYS,
    Outcome,
    Row,
    Translated,
    is_nx_settings,
    translate,
)
from nxai_manager.core.problems import RefusedSettings, check_settings

DONE, NOT_HERE, LOOK, UNKNOWN = (
    Outcome.TRANSLATED,
    Outcome.NOT_APPLICABLE,
    Outcome.NEEDS_YOU,
    Outcome.UNKNOWN,
)

SETTINGS: dict[str, Any] = {
    "AdminLocation": "https://admin.sclbl.net",
    "AuthenticationUrl": "https://api.sclbl.net/auth",
    "DeamonSocketName": "../sockets/sclbld_%d.sock",
    "DeviceApiUrl": "https://api.sclbl.net/dev",
    "DeviceId": "",
    "DeviceName": "",
    "DeviceSerial": "",
    "DeviceType": "CPU",
    "LicenseKey": "",
    "LogLevel": 3,
    "ModuleSocketName": "../sockets/sclblmod.sock",
    "OutputDistributorPort": 8012,
    "RefreshToken": "",
    "SettingsSection": 1,
    "WebPort": 8081,
    "WebPortSecure": 8443,
}
"""As documented, with their defaults."""

MODULE: dict[str, Any] = {
    "AlwaysOffline": 0,
    "AssignedModels": [],
    "Clients": "",
    "EmailOnAlarm": 0,
    "EnableLocalPassword": 0,
    "ExternalTrigger": 0,
    "GeneralFrameRate": 0,
    "ImageEndpoint": 1,
    "InputDriver": "VIDEO",
}

CAMERA: dict[str, Any] = {
    "AspectRatio": 1,
    "AssignedModels": [0],
    "Format": "",
    "IP": "",
    "LineCrossingDistanceThreshold": 100,
    "LineCrossingKeepTrackOfCentroidWhenDisappearedStep": 2,
    "LineCrossingMaxFollowPathOfOneCentroidStep": 4,
    "LineCrossingMaxNoCentroidsFollowingAtSameTime": 5,
    "LineCrossingTopBottomMarginsOfThreshold": 10,
    "LineCrossingX1": 0,
    "LineCrossingX2": 0,
    "LineCrossingY1": 0,
    "LineCrossingY2": 0,
    "Location": "",
    "Mask": "",
    "MaskInvert": 0,
    "Name": "",
    "Pass": "",
    "RoiH": 0,
    "RoiW": 0,
    "RoiX": 0,
    "RoiY": 0,
    "ShmF": 25,
    "ShmH": 360,
    "ShmW": 640,
    "Username": "",
}

MODEL: dict[str, Any] = {
    "AssignedInputC": 3,
    "AssignedInputH": 128,
    "AssignedInputMeans": [0, 0, 0],
    "AssignedInputO": 0,
    "AssignedInputVars": [1, 1, 1],
    "AssignedInputW": 256,
    "AssignedModelCFID": "31107bd7-0000-0000-0000-000000000000",
    "AssignedModelDetails": {},
    "AssignedModelFileName": "31107bd7.wasm.abc.x86_64.aot",
    "AssignedModelInput": "image",
    "AssignedModelLastModified": "2023-02-06",
    "AssignedModelName": "Boxes",
    "AssignedModelNamedInput": [{"DataType": "float", "Name": "image-", "Shape": [1, 3, 128, 128]}],
    "AssignedModelPostProcessors": [],
}
BASE: dict[str, Any] = json.loads(DEFAULT_TEXT)


def camera(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {f"InputCamera{number}{key}": value for key, value in (CAMERA | fields).items()}


def file(*cameras: dict[str, Any], settings: Any = None, **module: Any) -> dict[str, Any]:
    found = MODULE | module
    for each in cameras:
        found |= each
    return {"settings": SETTINGS | (settings or {}), "module": found}


def rows(translated: Translated) -> dict[str, Row]:
    return {row.key: row for row in translated.rows}


def one(**fields: Any) -> tuple[dict[str, Any], dict[str, Row]]:
    """Return what a file with one camera became: the camera, and the rows of its keys."""
    models = fields.pop("models", [MODEL])
    translated = translate(file(camera(**fields), AssignedModels=models), BASE)
    [found] = translated.document["cameras"]
    told = {
        key.removeprefix("module.InputCamera1"): row
        for key, row in rows(translated).items()
        if key.startswith("module.InputCamera1")
    }
    return found, told


RTSP = "rtsp://192.0.2.1:554/stream1"


# -- what such a file is --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (file(), True),
        ({"settings": {}}, True),
        ({"module": {}}, True),
        ({"InputCamera1Location": "x"}, True),
        ({"cameras": [], "settings": {}}, False),
        ({"settings": 1}, False),
        ({"version": 1}, False),
        ({}, False),
    ],
)
def test_file_is_recognised(value: dict[str, Any], is_one: bool) -> None:
    assert is_nx_settings(value) == is_one


def test_every_documented_key_has_a_fate_and_a_reason() -> None:
    value = file(camera(Location=RTSP), AssignedModels=[MODEL])
    value["externalPostprocessors"] = []
    told = rows(translate(value, BASE))
    wanted = [f"settings.{key}" for key in SETTINGS]
    wanted += [f"module.{key}" for key in MODULE if key != "AssignedModels"]
    wanted += [f"module.AssignedModels[0].{key}" for key in MODEL]
    wanted += [f"module.InputCamera1{key}" for key in CAMERA]
    assert set(told) == {*wanted, "externalPostprocessors"}
    assert CAMERA.keys() == CAMERA_KEYS
    assert [key for key, row in told.items() if row.outcome is UNKNOWN] == ["module.Clients"]
    assert [key for key, row in told.items() if not row.note and row.outcome is not DONE] == []


def test_default_file_sets_nothing_and_needs_nobody() -> None:
    value = file(*(camera(number) for number in range(1, 9)))
    translated = translate(value, BASE)
    assert translated.document == BASE | {"cameras": []}
    assert {row.outcome for row in translated.rows if row.key != "module.InputDriver"} == {
        NOT_HERE,
        UNKNOWN,  # Clients
    }
    assert rows(translated)["module.InputCamera8Location"].note == "input 8 has no address"


def test_keys_that_nobody_knows_are_listed_with_a_hint() -> None:
    value = file(
        camera(Location=RTSP, Foo=1),
        OutputLocation="x",
        UploadImages=1,
        AlarmThreshold=2,
        TriggerOnChange=1,
        Whatever={"a": 1},
        InputCameraNumber=3,
    )
    value["other"] = [1]
    value["module"]["InputCamera2Bar"] = 1
    told = rows(translate(value, BASE))
    for key, hint in [
        ("module.OutputLocation", "what is sent is set in Output; results are on MQTT already"),
        ("module.UploadImages", "collecting doubtful pictures is set in Output"),
        ("module.AlarmThreshold", "events begin and end on MQTT; see Output"),
        ("module.TriggerOnChange", "triggering on change is set in Input"),
        ("module.InputCamera1Foo", "see Input"),
        ("module.InputCamera2Bar", "see Input"),
        ("module.InputCameraNumber", "see Input"),
    ]:
        assert (told[key].outcome, told[key].note) == (UNKNOWN, f"not documented; {hint}")
    assert (told["module.Whatever"].outcome, told["module.Whatever"].note) == (
        UNKNOWN,
        "not documented",
    )
    assert told["module.Whatever"].value == '{"a": 1}'
    assert told["other"].outcome is UNKNOWN


def test_keys_without_their_sections_are_understood_too() -> None:
    translated = translate({"InputCamera01Location": RTSP, "DeviceName": "Box"}, {})
    assert translated.document["cameras"][0]["source"]["url"] == RTSP
    assert translated.document["device"] == {"name": "Box"}
    assert [row.key for row in translated.rows] == ["InputCamera01Location", "DeviceName"]


def test_what_the_file_says_nothing_of_is_kept() -> None:
    base = BASE | {"logger": {"keep_days": 3}, "outputs": {"detections": False}}
    translated = translate(file(camera(Location=RTSP), settings={"DeviceSerial": "0ec6-2"}), base)
    document = translated.document
    assert document["models"] == BASE["models"]
    assert document["logger"] == {"keep_days": 3}
    assert document["outputs"] == {"detections": False, "nx_output": {"device_id": "0ec6-2"}}
    assert [c["id"] for c in document["cameras"]] == ["camera-1"]
    check_settings(written(document))


# -- the box --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "key", "value", "outcome", "patch"),
    [
        ("settings", "DeviceName", " Line 3 ", DONE, {"device": {"name": "Line 3"}}),
        ("settings", "DeviceName", "x" * 101, LOOK, {}),
        ("settings", "DeviceId", "abc", NOT_HERE, {}),
        ("settings", "DeviceSerial", 7, NOT_HERE, {}),
        ("settings", "WebPort", 9000, LOOK, {}),
        ("settings", "WebPort", "8081", NOT_HERE, {}),
        ("settings", "WebPortSecure", 9443, LOOK, {}),
        ("module", "AlwaysOffline", 1, DONE, {"edge_impulse": {"updates": {"policy": "off"}}}),
        ("module", "AlwaysOffline", "1", DONE, {"edge_impulse": {"updates": {"policy": "off"}}}),
        ("module", "AlwaysOffline", "0", NOT_HERE, {}),
        ("module", "EmailOnAlarm", 1, LOOK, {}),
        ("module", "EmailOnAlarm", "0", NOT_HERE, {}),
        ("module", "InputDriver", "TELEPATHY", UNKNOWN, {}),
        ("module", "InputDriver", "video", DONE, {}),
        ("module", "GeneralFrameRate", "x", LOOK, {}),
        ("module", "GeneralFrameRate", -1, LOOK, {}),
        ("module", "GeneralFrameRate", 1e12, LOOK, {}),
        ("module", "AssignedModels", {"a": 1}, UNKNOWN, {}),
    ],
)
def test_key_of_the_box(
    section: str, key: str, value: Any, outcome: Outcome, patch: dict[str, Any]
) -> None:
    translated = translate({section: {key: value}}, {})
    [row] = translated.rows
    assert row.outcome is outcome
    assert translated.document == {"version": 1, "cameras": [], **patch}


def test_limit_and_trigger_are_of_every_camera() -> None:
    translated = translate(
        file(
            camera(1, Location=RTSP),
            camera(2, Location=RTSP),
            GeneralFrameRate=250,
            ExternalTrigger=1,
        ),
        BASE,
    )
    for found in translated.document["cameras"]:
        assert (found["inference_limit_ms"], found["run"]) == (250, False)
    told = rows(translated)
    assert told["module.GeneralFrameRate"].where == "cameras.*.inference_limit_ms"
    assert told["module.ExternalTrigger"].where == "cameras.*.run"
    check_settings(written(translated.document))


def test_model_is_to_be_brought_along_and_put_on_its_cameras() -> None:
    other = MODEL | {"AssignedModelName": "Lids", "AssignedModelPostProcessors": ["mine"]}
    value = file(
        camera(1, Location=RTSP, AssignedModels=[0, "1", 2, None, 0.5]),
        camera(2, Location=RTSP, AssignedModels=[]),
        AssignedModels=[MODEL, other, "odd", {}],
    )
    value["externalPostprocessors"] = [{"Name": "x"}]
    told = rows(translate(value, BASE))
    assert told["module.InputCamera1AssignedModels"].outcome is LOOK
    assert told["module.InputCamera1AssignedModels"].note == (
        "'Boxes', 'Lids' looked at this camera: put it on this camera once it is here (Model)"
    )
    assert told["module.InputCamera2AssignedModels"].outcome is NOT_HERE
    assert told["module.AssignedModels[1].AssignedModelName"].outcome is LOOK
    assert told["module.AssignedModels[1].AssignedModelPostProcessors"].outcome is LOOK
    assert told["module.AssignedModels[2]"].outcome is UNKNOWN
    assert told["externalPostprocessors"].outcome is LOOK


# -- cameras --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "source", "outcome"),
    [
        ({"Location": RTSP}, {"type": "rtsp", "url": RTSP}, DONE),
        ({"Location": "rtsps://h/1"}, {"type": "rtsp", "url": "rtsps://h/1"}, DONE),
        ({"Location": "http://h/a.jpg?x=1"}, {"type": "still", "url": "http://h/a.jpg?x=1"}, DONE),
        ({"Location": "http://h/a", "Format": "jpg"}, {"type": "still", "url": "http://h/a"}, DONE),
        ({"Location": "http://h/", "Format": "MJPG"}, {"type": "mjpeg", "url": "http://h/"}, DONE),
        ({"Location": "http://h/a"}, {"type": "still", "url": "http://h/a"}, LOOK),
        ({"Location": "http:///a.jpg"}, {"type": "still", "url": "http:///a.jpg"}, LOOK),
        ({"Location": "/dev/video0"}, {"type": "v4l2", "device": "/dev/video0"}, DONE),
        ({"Location": "file:///dev/video1"}, {"type": "v4l2", "device": "/dev/video1"}, DONE),
        ({"Location": "file:///a/v1.mp4"}, {"type": "file", "path": "/a/v1.mp4"}, DONE),
        ({"Location": "/a/v1.MP4"}, {"type": "file", "path": "/a/v1.MP4"}, DONE),
        ({"Location": "file:///a/b/t.jpg"}, {"type": "folder", "path": "/a/b"}, LOOK),
        ({"Location": "arv://auto"}, {"type": "push"}, LOOK),
        ({"Location": "nonsense"}, {"type": "push"}, LOOK),
        ({"Location": "rtsp://[h/1"}, {"type": "rtsp", "url": "rtsp://[h/1"}, LOOK),
        ({"IP": "192.0.2.5"}, {"type": "rtsp", "url": "rtsp://192.0.2.5/"}, LOOK),
        ({"Location": RTSP, "IP": "192.0.2.5"}, {"type": "rtsp", "url": RTSP}, DONE),
    ],
)  # fmt: skip
def test_source_is_what_the_location_says(
    fields: dict[str, Any], source: dict[str, Any], outcome: Outcome
) -> None:
    found, told = one(**fields)
    assert found["source"] == source
    row = told["Location" if "Location" in fields else "IP"]
    assert (row.outcome, row.where) == (outcome, "cameras.camera-1.source")
    assert bool(row.note) == (outcome is LOOK)


def test_tensors_from_a_socket_become_pictures_that_are_pushed() -> None:
    translated = translate(file(camera(Name="Belt"), InputDriver="SOCKET"), BASE)
    [found] = translated.document["cameras"]
    assert found["source"] == {"type": "push"}
    assert rows(translated)["module.InputDriver"].outcome is LOOK
    check_settings(written(translated.document))


def test_login_is_taken_over_and_the_password_is_not_shown() -> None:
    found, told = one(Location=RTSP, Username="joe", Pass=" p@ss/1")
    assert (found["username"], found["password"]) == ("joe", " p@ss/1")
    assert (told["Username"].outcome, told["Username"].where) == (DONE, "cameras.camera-1.username")
    assert (told["Pass"].outcome, told["Pass"].value) == (DONE, f'"{PLACEHOLDER}"')
    found, told = one(Location="rtsp://jim:p%40ss@192.0.2.1/1")
    assert found["source"]["url"] == "rtsp://192.0.2.1/1"
    assert (found["username"], found["password"]) == ("jim", "p@ss")
    assert told["Location"].value == f'"rtsp://{PLACEHOLDER}@192.0.2.1/1"'
    found, told = one(Location="rtsp://jim:x@192.0.2.1/1", Username="joe", Pass="y")
    assert (found["username"], found["password"]) == ("joe", "y")
    found, told = one(Location=RTSP, Pass="hunter2")
    assert (told["Pass"].outcome, told["Pass"].where) == (LOOK, "cameras.camera-1.username")
    found, told = one(Location="/dev/video0", Username="joe", Pass="hunter2")
    assert "password" not in found
    assert told["Pass"].outcome is NOT_HERE


def test_no_secret_is_in_a_row() -> None:
    value = file(
        camera(1, Location="joe:hunter2@192.0.2.1/1", Pass="hunter2", Token="hunter2"),
        camera(2, Location="http://192.0.2.1/?user=a&pwd=hunter2"),
        camera(3, Pass="hunter2"),
        settings={"LicenseKey": "hunter2", "RefreshToken": "hunter2", "ApiKey": "hunter2"},
        Secret={"a": ["hunter2"]},
        AssignedModels=[MODEL | {"AssignedModelDetails": {"apiKey": "hunter2"}}],
    )
    translated = translate(value, BASE)
    assert "hunter2" not in repr(translated)
    assert len(rows(translated)) == len(translated.rows)


def test_cameras_are_named_after_what_they_are_called() -> None:
    translated = translate(
        file(
            camera(1, Location=RTSP, Name="Front  door!"),
            camera(2, Location=RTSP, Name="front door"),
            camera(3),
            camera(4, Location=RTSP, Name="\u00e4\u00f6"),
            camera(10, Location=RTSP, Name="x" * 99),
        ),
        BASE,
    )
    cameras = translated.document["cameras"]
    assert [c["id"] for c in cameras] == ["front-door", "camera-2", "camera-4", "x" * 40]
    assert cameras[0]["name"] == "Front  door!"
    assert rows(translated)["module.InputCamera1Name"].where == "cameras.front-door.name"
    check_settings(written(translated.document))


def test_only_the_default_of_the_aspect_ratio_is_known() -> None:
    found, told = one(Location=RTSP)
    assert found["resize_mode"] == "fit-short"
    assert (told["AspectRatio"].outcome, told["AspectRatio"].where) == (
        DONE,
        "cameras.camera-1.resize_mode",
    )
    found, told = one(Location=RTSP, AspectRatio=2)
    assert "resize_mode" not in found
    assert told["AspectRatio"].outcome is LOOK
    assert told["AspectRatio"].value == "2"


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize(("invert", "kind"), [(0, "include"), (1, "exclude"), ("1", "exclude")])
def test_mask_becomes_areas_in_shares_of_the_model_size(
    as_text: bool, invert: Any, kind: str
) -> None:
    mask: Any = {"masks": [[10, 10, 118, 10, 118, 118, 10, 118], [0, 0, 300, -5, 256, 128]]}
    found, told = one(Location=RTSP, Mask=json.dumps(mask) if as_text else mask, MaskInvert=invert)
    assert found["areas"] == {
        kind: [
            [
                [0.039062, 0.078125],
                [0.460938, 0.078125],
                [0.460938, 0.921875],
                [0.039062, 0.921875],
            ],
            [[0, 0], [1, 0], [1, 1]],
        ]
    }
    assert (told["Mask"].outcome, told["Mask"].where) == (LOOK, f"cameras.camera-1.areas.{kind}")
    check_settings(json.dumps({"cameras": [found]}))


@pytest.mark.parametrize(
    ("mask", "models"),
    [
        ({"masks": [[0, 0, 9, 0, 9, 9]]}, []),
        ({"masks": [[0, 0, 9, 0, 9, 9]]}, [MODEL | {"AssignedInputW": 0}]),
        ({"masks": [[0, 0, 9, 0, 9, 9]]}, [MODEL | {"AssignedInputH": "x"}]),
        ({"masks": [[0, 0, 9, 0]]}, [MODEL]),
        ({"masks": [[0, 0, 9, 0, 9]]}, [MODEL]),
        ({"masks": [[0, 0, 9, 0, "x", 9]]}, [MODEL]),
        ({"masks": [[0, 0, 5, 5, 9, 9]]}, [MODEL]),
        ({"masks": [[0, 9] * 201]}, [MODEL]),
        ({"masks": [[0, 0, 9, 0, 9, int("9" * 400)]]}, [MODEL]),
        ({"masks": [7]}, [MODEL]),
        ({"masks": 7}, [MODEL]),
        ("{", [MODEL]),
        ("[" * 100_000, [MODEL]),
        (7, [MODEL]),
    ],
)
def test_mask_that_cannot_be_placed_is_to_be_drawn_again(mask: Any, models: list[Any]) -> None:
    found, told = one(Location=RTSP, Mask=mask, models=models)
    assert "areas" not in found
    assert told["Mask"].outcome is LOOK
    assert "draw it again" in told["Mask"].note


def test_empty_mask_is_none() -> None:
    masks: list[Any] = ["", {"masks": []}]
    for mask in masks:
        found, told = one(Location=RTSP, Mask=mask)
        assert "areas" not in found
        assert told["Mask"].outcome is NOT_HERE


@pytest.mark.parametrize(
    ("fields", "region", "outcome"),
    [
        ({"RoiX": 0.25, "RoiY": "0.5", "RoiW": 0.5, "RoiH": 0.5},
         {"x": 0.25, "y": 0.5, "width": 0.5, "height": 0.5}, DONE),
        ({"RoiX": 100, "RoiY": 100, "RoiW": 640, "RoiH": 360}, None, LOOK),
        ({"RoiX": 0.5, "RoiY": 0, "RoiW": 0.75, "RoiH": 0.5}, None, LOOK),
        ({"RoiX": -0.5, "RoiY": 0, "RoiW": 0.75, "RoiH": 0.5}, None, LOOK),
        ({"RoiX": 5}, None, NOT_HERE),
    ],
)  # fmt: skip
def test_region_is_taken_over_when_its_unit_is_known(
    fields: dict[str, Any], region: dict[str, float] | None, outcome: Outcome
) -> None:
    found, told = one(Location=RTSP, **fields)
    assert found.get("region") == region
    assert told["RoiX"].outcome is outcome


def test_line_that_was_used_is_missed() -> None:
    _, told = one(Location=RTSP, LineCrossingX2=100)
    assert told["LineCrossingX1"].outcome is LOOK
    _, told = one(Location=RTSP)
    assert told["LineCrossingX1"].outcome is NOT_HERE


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(
        ["1", "rtsp://h/1", "file:///a.mp4", '{"masks":[[0,0,9,0,9,9]]}', "http://["]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
names = st.sampled_from(
    [*SETTINGS, *MODULE, *(f"InputCamera{n}{key}" for n in (1, 2) for key in CAMERA), "Other"]
)
models = st.lists(
    st.dictionaries(st.sampled_from([*MODEL, "Odd"]), json_values) | json_values, max_size=3
)


@given(
    module=st.dictionaries(names, json_values, max_size=12),
    assigned=models,
    root=st.dictionaries(st.sampled_from(["settings", "externalPostprocessors", "x"]), json_values),
)
def test_whatever_stands_in_a_file_is_accounted_for(
    module: dict[str, Any], assigned: list[Any], root: dict[str, Any]
) -> None:
    translated = translate(root | {"module": module | {"AssignedModels": assigned}}, BASE)
    told = [row.key for row in translated.rows]
    assert len(told) == len(set(told))
    for key in module:
        assert any(row.startswith(f"module.{key}") for row in told) or key == "AssignedModels"
    # Only what a person is asked to look at may be wrong with the settings.
    looked = {row.where.removesuffix(".username") for row in translated.rows if row.outcome is LOOK}
    wrong = mistakes(written(translated.document))
    assert not [w for w in wrong if not any(w.startswith(where) for where in looked if where)]


def mistakes(text: str) -> list[str]:
    try:
        check_settings(text)
    except RefusedSettings as error:
        return [problem.where for problem in error.problems]
    return []
