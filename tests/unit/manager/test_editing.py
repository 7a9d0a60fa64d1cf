"""Changes of a settings document, and how it is written."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_manager.core.document import DEFAULT_TEXT
from nxai_manager.core.editing import (
    LINE_CHARACTERS,
    CameraExists,
    NoSuchCamera,
    arranged,
    changed,
    merged,
    with_camera,
    with_camera_adjusted,
    with_camera_changed,
    with_camera_replaced,
    with_run,
    without_camera,
    written,
)
from nxai_manager.core.json_text import read_json

FRONT = {"id": "front", "source": {"type": "demo"}, "zone": 1}
BACK = {"source": {"type": "push"}, "id": "back"}
DOCUMENT: dict[str, Any] = {"models": [], "cameras": [FRONT, BACK], "version": 1}


@pytest.fixture(autouse=True)
def _nothing_is_changed_in_place() -> Any:
    before = copy.deepcopy(DOCUMENT)
    yield
    assert before == DOCUMENT


def same(found: Any, wanted: Any) -> bool:
    """Return whether two values are equal, the order of their keys too."""
    return json.dumps(found) == json.dumps(wanted)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # the examples of RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_does_what_its_document_says(target: Any, patch: Any, result: Any) -> None:
    assert merged(target, patch) == result


def test_new_part_stands_where_the_documentation_has_it() -> None:
    ordered = {"version": 1, "cameras": [], "models": []}
    assert list(changed(ordered, {"run": False})) == ["version", "run", "cameras", "models"]
    assert list(changed(ordered, {"logger": {}})) == ["version", "cameras", "models", "logger"]
    assert list(changed(ordered, {"$schema": "x"})) == ["$schema", "version", "cameras", "models"]
    assert list(changed(ordered, {"other": 1})) == ["version", "cameras", "models", "other"]
    assert list(changed(DOCUMENT, {"device": {"name": "x"}, "logger": {}})) == [
        "models",
        "cameras",
        "version",
        "device",
        "logger",
    ]


def test_camera_is_added_at_the_end() -> None:
    found = with_camera(DOCUMENT, {"id": "side", "source": {"type": "push"}})
    assert [camera["id"] for camera in found["cameras"]] == ["front", "back", "side"]
    assert with_camera({}, FRONT) == {"cameras": [FRONT]}
    with pytest.raises(CameraExists, match="there is a camera 'back' already; give the new one"):
        with_camera(DOCUMENT, {"id": "back"})


def test_camera_is_replaced_in_its_place_and_keeps_the_order_of_its_keys() -> None:
    new = {"id": "back", "name": "Yard", "source": {"width": 640, "type": "demo"}}
    found = with_camera_replaced(DOCUMENT, "back", new)
    expected = {"source": {"type": "demo", "width": 640}, "id": "back", "name": "Yard"}
    assert same(found["cameras"], [FRONT, expected])


def test_camera_is_changed_by_a_patch() -> None:
    found = with_camera_changed(DOCUMENT, "back", {"name": "Yard", "source": {"x": 1}})
    expected = {"source": {"type": "push", "x": 1}, "id": "back", "name": "Yard"}
    assert same(found["cameras"], [FRONT, expected])
    assert with_camera_changed(DOCUMENT, "front", {"zone": None})["cameras"][0] == {
        "id": "front",
        "source": {"type": "demo"},
    }


@pytest.mark.parametrize("short", [True, False])
def test_patch_of_collect_keeps_what_its_short_form_said(short: bool) -> None:
    document = {"cameras": [FRONT | {"collect": short}]}
    found = with_camera_changed(document, "front", {"collect": {"min_gap_s": 1}})
    assert found["cameras"][0]["collect"] == {"enabled": short, "min_gap_s": 1}
    found = with_camera_changed(document, "front", {"collect": {"enabled": not short}})
    assert found["cameras"][0]["collect"] == {"enabled": not short}
    assert (
        with_camera_changed(document, "front", {"collect": True})["cameras"][0]["collect"] is True
    )


def test_camera_is_removed() -> None:
    assert without_camera(DOCUMENT, "front")["cameras"] == [BACK]


def test_box_and_cameras_run_and_stop() -> None:
    assert with_run(DOCUMENT, running=True, cameras=None) == DOCUMENT
    stopped = with_run(DOCUMENT, running=False, cameras=None)
    assert stopped == DOCUMENT | {"run": False}
    assert with_run(stopped, running=True, cameras=None) == DOCUMENT | {"run": True}
    one = with_run(DOCUMENT, running=False, cameras=["back"])
    assert one["cameras"] == [FRONT, BACK | {"run": False}]
    assert with_run(DOCUMENT, running=True, cameras=["front", "back"]) == DOCUMENT
    assert with_run(DOCUMENT, running=False, cameras=[]) == DOCUMENT


def adjusted(camera: dict[str, Any], models: tuple[Any, ...] = (), **wanted: Any) -> dict[str, Any]:
    """Return a camera of a document after an adjustment."""
    document = {"models": list(models), "cameras": [BACK, camera]}
    before = copy.deepcopy(document)
    changed = with_camera_adjusted(document, camera["id"], **wanted)
    assert document == before
    assert changed["cameras"][0] == BACK
    found: dict[str, Any] = changed["cameras"][1]
    return found


def test_what_people_change_often_of_a_camera() -> None:
    assert adjusted(FRONT) == FRONT
    assert adjusted(FRONT, enabled=False, run=False) == FRONT | {"enabled": False, "run": False}
    assert adjusted(FRONT, collect=True) == FRONT | {"collect": {"enabled": True}}
    on = FRONT | {"collect": {"enabled": True, "min_gap_s": 3}}
    assert adjusted(on, collect=False) == on | {"collect": {"enabled": False, "min_gap_s": 3}}
    assert adjusted(FRONT | {"collect": True}, collect=False)["collect"] == {"enabled": False}


def test_a_threshold_holds_for_every_model_of_the_camera() -> None:
    camera = FRONT | {
        "models": ["nut", {"id": "bolt", "threshold": 0.9, "uncertain": {"threshold": 0.2}}]
    }
    found = adjusted(camera, threshold=0.6)
    assert found["threshold"] == 0.6
    assert found["models"] == ["nut", {"id": "bolt", "uncertain": {"threshold": 0.2}}]
    only = FRONT | {"models": [{"id": "bolt", "threshold": 0.9}]}
    assert adjusted(only, threshold=0.6)["models"] == [{"id": "bolt"}]
    assert adjusted(only, run=True)["models"] == only["models"]


def test_a_certainty_threshold_goes_before_what_a_model_says_itself() -> None:
    models = ({"id": "nut", "uncertain": {"threshold": 0.1}}, {"id": "bolt"})
    camera = FRONT | {"models": ["nut", {"id": "bolt", "uncertain": {"threshold": 0.9}}]}
    found = adjusted(camera, models, uncertain=0.7)
    assert found["uncertain"] == {"threshold": 0.7}
    assert found["models"] == [{"id": "nut", "uncertain": {"threshold": 0.7}}, {"id": "bolt"}]
    again = adjusted(found, models, uncertain=0.5)
    assert again["models"] == [{"id": "nut", "uncertain": {"threshold": 0.5}}, {"id": "bolt"}]


def test_camera_that_there_is_not_is_named_with_the_nearest() -> None:
    edits: list[Callable[[], Any]] = [
        lambda: with_camera_replaced(DOCUMENT, "frnt", {}),
        lambda: with_camera_changed(DOCUMENT, "frnt", {}),
        lambda: without_camera(DOCUMENT, "frnt"),
        lambda: with_camera_adjusted(DOCUMENT, "frnt", run=True),
        lambda: with_run(DOCUMENT, running=True, cameras=["back", "frnt"]),
    ]
    for edit in edits:
        with pytest.raises(NoSuchCamera, match=r"no camera 'frnt'; did you mean 'front'\?"):
            edit()
    with pytest.raises(NoSuchCamera, match="no camera 'x'; none is known"):
        without_camera({}, "x")


def test_arranging_changes_no_value() -> None:
    assert arranged([1], {"a": 1}) == [1]
    assert same(
        arranged({"b": {"y": 1, "x": 2}, "a": 3}, {"a": 0, "b": {"x": 0}}),
        {"a": 3, "b": {"x": 2, "y": 1}},
    )


def test_default_is_written_as_a_person_wrote_it() -> None:
    assert written(read_json(DEFAULT_TEXT).value) == DEFAULT_TEXT


def test_long_polygon_fills_its_lines() -> None:
    document = {"cameras": [{"masks": [[[0.125, 0.25]] * 40, [[0, 0], [1, 0], [1, 1]]]}]}
    text = written(document)
    assert json.loads(text) == document
    lines = text.splitlines()
    assert max(map(len, lines)) <= LINE_CHARACTERS
    assert len(lines) < 20
    assert "        [[0, 0], [1, 0], [1, 1]]" in lines


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=120),
    lambda inner: (
        st.lists(inner, max_size=30) | st.dictionaries(st.text('ab\u00e4"'), inner, max_size=4)
    ),
    max_leaves=40,
)


@given(document=st.dictionaries(st.text("ab"), json_values, max_size=4))
def test_what_is_written_is_read_again(document: dict[str, Any]) -> None:
    text = written(document)
    assert same(read_json(text).value, document)
    assert text.endswith("}\n")
    assert written(json.loads(text)) == text
