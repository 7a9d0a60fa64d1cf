from typing import Any

import pytest
from pydantic import TypeAdapter

from nxai_common.contracts.destinations import Destination
from nxai_publisher.core.entries import CONTENTS, Entry, Wanted, pictured_by, unique_id, wanted_by

pytestmark = pytest.mark.unit


def destination(name: str, **fields: Any) -> Destination:
    adapter: TypeAdapter[Destination] = TypeAdapter(Destination)
    return adapter.validate_python({"type": "http", "id": name, "url": "http://x", **fields})


def test_only_what_an_enabled_destination_wants() -> None:
    found = wanted_by(
        (
            destination("shop", what=("detections", "events"), cameras=("front",)),
            destination("off", enabled=False),
            destination("disk", type="file", path="x", only_with_objects=True),
        )
    )
    assert found == (
        Wanted("shop", frozenset({"detections", "events"}), frozenset({"front"})),
        Wanted("disk", frozenset({"detections"}), frozenset(), only_with_objects=True),
    )


def test_of_two_with_one_id_the_first_counts() -> None:
    first, second = destination("shop", what=("events",)), destination("shop", what=("state",))
    assert wanted_by((first, second)) == (Wanted("shop", frozenset({"events"})),)


@pytest.mark.parametrize(
    ("wanted", "content", "camera", "objects", "expected"),
    [
        (Wanted("x", frozenset({"events"})), "events", "front", True, True),
        (Wanted("x", frozenset({"events"})), "state", "front", True, False),
        (Wanted("x", frozenset({"events"}), frozenset({"back"})), "events", "front", True, False),
        (Wanted("x", frozenset({"events"}), frozenset({"back"})), "events", "back", True, True),
        (Wanted("x", frozenset(CONTENTS), frozenset(), True), "detections", "back", False, False),
        (Wanted("x", frozenset(CONTENTS), frozenset(), True), "nx-output", "back", False, False),
        (Wanted("x", frozenset(CONTENTS), frozenset(), True), "nx-output", "back", True, True),
        (Wanted("x", frozenset(CONTENTS), frozenset(), True), "state", "back", False, True),
    ],
)
def test_what_is_wanted(
    wanted: Wanted, content: Any, camera: str, *, objects: bool, expected: bool
) -> None:
    assert wanted.wants(content, camera, objects=objects) is expected


def test_an_id_of_two_cameras_or_boxes_is_two() -> None:
    one = Entry(1, "events", "front", "m5", 0, "event-7", b"{}", 2)
    assert unique_id(one, "box") == "box-front-event-7"


def test_pictures_are_for_those_that_get_alarms() -> None:
    found = pictured_by(
        (
            destination("all", what=("alarms", "events"), picture=True, cameras=("front",)),
            destination("off", what=("alarms",), picture=True, enabled=False),
            destination("without", what=("alarms",)),
            destination("events", what=("events",), picture=True),
            destination("disk", type="file", path="x", what=("alarms",)),
        )
    )
    assert found == (Wanted("all", frozenset({"alarms", "events"}), frozenset({"front"})),)
