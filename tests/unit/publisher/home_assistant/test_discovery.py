import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nxai_common.contracts.status import ServiceState
from nxai_publisher.core.home_assistant.discovery import (
    MIGRATE,
    NOTHING,
    Announcement,
    Payload,
    Wanted,
    announcements,
    applied,
    next_round,
    read,
)
from nxai_publisher.core.home_assistant.known import Box
from nxai_publisher.core.home_assistant.platforms import (
    Availability,
    BinarySensor,
    Device,
    Sensor,
    Update,
)
from nxai_publisher.core.home_assistant.things import origin_of, page_problem, things_of
from support.known_box import capture, deployment, known_box, manifest, publisher, status

Mode = Literal["device", "single"]
BOX = "homeassistant/device/nxai-box/_box/config"
FRONT = "homeassistant/device/nxai-box/front/config"


def wanted(box: Box, mode: Mode = "device", prefix: str = "homeassistant") -> Wanted:
    return announcements(
        things_of(box), origin_of(box), mode=mode, prefix=prefix, device=box.device
    )


def settle(published: dict[str, Payload], goal: Wanted) -> list[tuple[Announcement, ...]]:
    """Return all rounds; `published` is what is there in the end."""
    rounds = []
    while steps := next_round(published, goal):
        rounds.append(steps)
        after = applied(published, steps)
        published.clear()
        published.update(after)
        assert len(rounds) < 10, "it does not come to an end"
    return rounds


def parts(payload: Payload) -> dict[str, Any]:
    found: dict[str, Any] = payload["components"]
    return found


# -- messages -----------------------------------------------------------------------------------


def test_a_device_a_message() -> None:
    goal = wanted(known_box())
    assert list(goal.payloads) == [BOX, FRONT]
    assert goal.first == {BOX}
    box, front = goal.payloads.values()
    assert box["device"] == {
        "identifiers": ["nxai.box"],
        "name": "Workshop",
        "manufacturer": "nxai-edge",
        "model": "Edge box",
        "sw_version": "1.2.3",
    }
    assert front["device"]["via_device"] == "nxai.box"
    assert front["origin"] == {"name": "nxai-edge", "sw_version": "1.2.3"}
    assert set(parts(front)) == {
        "count",
        "count-nut",
        "occupancy-nut",
        "count-grosse_2-152a455316",
        "occupancy-grosse_2-152a455316",
        "last-detection",
        "event",
        "picture",
        "alarm-busy",
        "connection",
        "fps",
        "latency-p50",
        "latency-p95",
        "enabled",
        "run",
        "collect",
        "threshold",
        "uncertain",
        "test",
    }
    assert parts(front)["count-nut"] == {
        "platform": "sensor",
        "unique_id": "nxai.box.front.count-nut",
        "name": "nut count",
        "default_entity_id": "sensor.front_nut_count",
        "availability": [
            {"topic": "nxai/v1/box/home-assistant/_box/availability"},
            {"topic": "nxai/v1/box/home-assistant/front/availability"},
        ],
        "availability_mode": "all",
        "icon": "mdi:counter",
        "state_topic": "nxai/v1/box/home-assistant/front/state",
        "value_template": "{{ value_json['counts']['nut'] | default('None') }}",
        "state_class": "measurement",
        "expire_after": 75,
    }
    assert parts(box)["model-nuts"]["payload_install"] == "nuts"


def test_what_tells_of_the_connection_hangs_on_the_box_alone() -> None:
    front = parts(wanted(known_box()).payloads[FRONT])
    for key in ("connection", "enabled", "run", "test", "picture", "event"):
        assert front[key]["availability"] == [
            {"topic": "nxai/v1/box/home-assistant/_box/availability"}
        ]


def test_an_entity_a_message() -> None:
    goal = wanted(known_box(), "single")
    topic = "homeassistant/sensor/nxai-box/front-Count-nut/config"
    assert goal.payloads[topic]["unique_id"] == "nxai.box.front.count-nut"
    assert goal.payloads[topic]["device"]["via_device"] == "nxai.box"
    assert "platform" not in goal.payloads[topic]
    assert goal.first == {name for name in goal.payloads if "/_box-" in name}
    whole = wanted(known_box())
    assert len(goal.payloads) == sum(len(parts(p)) for p in whole.payloads.values())


def test_without_commands_and_pictures_there_is_less() -> None:
    box = known_box()
    box.learn(publisher(home_assistant={"commands": False, "pictures": False}), 0)
    told = json.dumps(wanted(box).payloads)
    assert "command_topic" not in told
    assert '"picture"' not in told
    assert "payload_install" in told


def test_two_cameras_never_share_an_entity() -> None:
    cameras = ("a", "a-", "a--count", "a_b", "a-b")
    box = known_box()
    box.learn(publisher(cameras=cameras), 0)
    modes: tuple[Mode, ...] = ("device", "single")
    for mode in modes:
        goal = wanted(box, mode)
        ids = [
            part["unique_id"]
            for payload in goal.payloads.values()
            for part in payload.get("components", {"": payload}).values()
        ]
        assert len(ids) == len(set(ids))
        assert mode == "device" or len(ids) == len(goal.payloads)


def test_no_name_begins_with_that_of_its_device() -> None:
    box = known_box()
    box.learn(publisher(cameras=("nut",)), 0)
    box.learn(capture("parts", camera="nut"), 0)
    payload = wanted(box).payloads["homeassistant/device/nxai-box/nut/config"]
    assert payload["device"]["name"] == "Nut"
    assert parts(payload)["count-nut"]["name"] == "· nut count"


def test_the_page_can_be_visited() -> None:
    box = known_box()
    box.learn(publisher(home_assistant={"page": "http://192.168.1.5:8081"}), 0)
    assert wanted(box).payloads[BOX]["device"]["configuration_url"] == "http://192.168.1.5:8081"


@pytest.mark.parametrize(
    "page", ["box", "ftp://box", "http://", "http://box:port", "http://box /", "http://[box"]
)
def test_an_address_that_is_none_is_told_and_left_out(page: str) -> None:
    box = known_box()
    box.learn(publisher(home_assistant={"page": page}), 0)
    assert "configuration_url" not in wanted(box).payloads[BOX]["device"]
    assert repr(page) in page_problem(page)
    assert page_problem("") == page_problem("https://box.lan/") == ""


def test_further_workers_come_and_go() -> None:
    box = known_box()
    box.learn(status("inference-2"), 0)
    assert "service-inference-2" in parts(wanted(box).payloads[BOX])
    box.learn(status("inference-2", ServiceState.STOPPED), 0)
    assert "service-inference-2" not in parts(wanted(box).payloads[BOX])


def test_a_message_is_one_line_of_json_or_nothing() -> None:
    assert Announcement("a", {"b": "ä"}).encode() == '{"b":"ä"}'.encode()
    assert Announcement("a", None).encode() == b""


def test_what_nobody_can_read_is_nothing() -> None:
    assert read(b'{"a": 1}') == {"a": 1}
    assert read(b"[1]") == read(b"\xff") == read(b"") == {}


# -- what would be refused ------------------------------------------------------------------------

COMMON: dict[str, Any] = {
    "unique_id": "a",
    "name": "A",
    "default_entity_id": "sensor.a",
    "availability": (Availability(topic="a"),),
    "state_topic": "a",
    "value_template": "{{ 1 }}",
    "expire_after": 60,
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"default_entity_id": "binary_sensor.a"},
        {"default_entity_id": "sensor.A"},
        {"entity_category": "config"},
        {"device_class": "duration", "unit_of_measurement": "fps"},
        {"device_class": "timestamp", "state_class": "measurement"},
        {"unit_of_measurement": "MiB"},
        {"state_topic": "a/+"},
        {"availability": ()},
        {"expire_after": 0},
        {"name": ""},
        {"object_id": "a"},
        {"icon": "counter"},
    ],
    ids=str,
)
def test_a_sensor_that_would_be_refused_is_not_made(wrong: dict[str, Any]) -> None:
    assert Sensor(**COMMON).told()["platform"] == "sensor"
    with pytest.raises(ValidationError):
        Sensor(**COMMON | wrong)


def test_other_things_that_would_be_refused_are_not_made() -> None:
    common = COMMON | {"default_entity_id": "binary_sensor.a"}
    with pytest.raises(ValidationError):
        BinarySensor.model_validate(common | {"device_class": "person"})
    with pytest.raises(ValidationError):
        Device(identifiers=(), name="a", manufacturer="a", model="a")
    update = {k: v for k, v in COMMON.items() if k != "expire_after"}
    with pytest.raises(ValidationError, match="payload_install"):
        Update.model_validate(update | {"default_entity_id": "update.a"})


# -- steps ----------------------------------------------------------------------------------------


def test_the_box_comes_before_its_cameras() -> None:
    published: dict[str, Payload] = {}
    goal = wanted(known_box())
    rounds = settle(published, goal)
    assert [[step.topic for step in steps] for steps in rounds] == [[BOX], [FRONT]]
    assert published == goal.payloads


def test_an_entity_that_goes_is_said_to_go_first() -> None:
    box = known_box()
    published: dict[str, Payload] = {}
    settle(published, wanted(box))
    before = set(parts(published[FRONT]))
    box.learn(manifest(labels=("nut", "bolt")), 0)
    rounds = settle(published, wanted(box))
    assert [[step.topic for step in steps] for steps in rounds] == [[FRONT], [FRONT]]
    first, second = (steps[0].payload or {} for steps in rounds)
    going = {key for key, part in parts(first).items() if list(part) == ["platform"]}
    assert going == before - set(parts(second))
    assert {key.split("-")[0] for key in going} == {"count", "occupancy"}
    assert len(going) == 2
    assert "count-bolt" in parts(first)


def test_an_entity_that_comes_back_meanwhile_comes_after_the_pause() -> None:
    box = known_box()
    published: dict[str, Payload] = {}
    settle(published, wanted(box))
    goal = wanted(box)
    box.learn(manifest(labels=("bolt",)), 0)
    published = applied(published, next_round(published, wanted(box)))
    assert parts(published[FRONT])["count-nut"] == {"platform": "sensor"}
    (step,) = next_round(published, goal)
    assert step.payload == applied(published, (step,))[FRONT]
    assert len(parts(step.payload or {})["count-nut"]) > 1
    settle(published, goal)
    assert published == goal.payloads


def test_an_entity_of_another_platform_is_another_one() -> None:
    old = {"components": {"a": {"platform": "sensor", "unique_id": "a"}}}
    new = {"components": {"a": {"platform": "number", "unique_id": "a"}}}
    published: dict[str, Payload] = {"t": old}
    rounds = settle(published, Wanted({"t": new}))
    assert [steps[0].payload for steps in rounds] == [
        {"components": {"a": {"platform": "sensor"}}},
        new,
    ]


def test_a_camera_that_is_gone_is_taken_away_before_anything_is_new() -> None:
    box = known_box()
    published: dict[str, Payload] = {}
    settle(published, wanted(box))
    box.learn(publisher(cameras=("back",)), 0)
    rounds = settle(published, wanted(box))
    assert rounds[0] == (Announcement(FRONT, None),)
    assert rounds[1][0].topic == FRONT.replace("front", "back")


def test_switched_off_nothing_is_left_and_the_box_goes_last() -> None:
    published: dict[str, Payload] = {}
    settle(published, wanted(known_box()))
    (only,) = settle(published, NOTHING)
    assert only == (Announcement(FRONT, None), Announcement(BOX, None))
    assert published == {}


def test_ghosts_of_earlier_runs_are_taken_away() -> None:
    goal = wanted(known_box())
    ghost = "homeassistant/sensor/nxai-box/gone-Count/config"
    published: dict[str, Payload] = {
        **goal.payloads,
        ghost: {"unique_id": "nxai.box.gone.count"},
        ghost + "x": {},
    }
    (only,) = settle(published, goal)
    assert {step.topic for step in only} == {ghost, ghost + "x"}
    assert {step.payload for step in only} == {None}


@pytest.mark.parametrize(("before", "after"), [("single", "device"), ("device", "single")])
def test_from_one_form_to_the_other_entities_stay(before: Mode, after: Mode) -> None:
    box = known_box()
    published: dict[str, Payload] = {}
    settle(published, wanted(box, before))
    old = set(published)
    rounds = settle(published, wanted(box, after))
    assert {step.topic for step in rounds[0]} == old
    assert all(step.payload == MIGRATE for step in rounds[0])
    assert {step.topic for step in rounds[-1]} == old
    assert all(step.payload is None for step in rounds[-1])
    assert published == wanted(box, after).payloads


def test_what_goes_with_the_change_of_form_is_taken_away() -> None:
    box = known_box()
    published: dict[str, Payload] = {}
    settle(published, wanted(box, "single"))
    box.learn(manifest(labels=("bolt",)), 0)
    rounds = settle(published, wanted(box))
    gone = {step.topic for step in rounds[0] if step.payload is None}
    assert "homeassistant/sensor/nxai-box/front-Count-nut/config" in gone
    assert len(gone) == 4


def test_a_change_of_form_that_was_broken_off_is_finished() -> None:
    box = known_box()
    single: dict[str, Payload] = {}
    settle(single, wanted(box, "single"))
    published: dict[str, Payload] = dict.fromkeys(single, MIGRATE)
    settle(published, wanted(box))
    assert published == wanted(box).payloads


def test_strange_messages_of_ours_are_replaced() -> None:
    goal = wanted(known_box())
    published: dict[str, Payload] = {
        BOX: {"components": "no"},
        FRONT: {"components": {"a": "no", "b": {}, "c": {"platform": "sensor", "name": "C"}}},
    }
    settle(published, goal)
    assert published == goal.payloads


@given(
    data=st.data(),
    modes=st.lists(st.sampled_from(["device", "single", "off"]), min_size=2, max_size=4),
)
def test_from_anywhere_it_comes_to_what_is_wanted(data: st.DataObject, modes: list[str]) -> None:
    published: dict[str, Payload] = {}
    box = known_box()
    for mode in modes:
        cameras = data.draw(st.lists(st.sampled_from(["front", "back", "side"]), unique=True))
        labels = data.draw(st.lists(st.sampled_from(["nut", "Bolt", "🔩"]), unique=True))
        box.learn(publisher(cameras=tuple(cameras)), 0)
        box.learn(manifest(labels=tuple(labels)), 0)
        box.learn(deployment(model=data.draw(st.sampled_from(["nuts", "bolts"]))), 0)
        goal = NOTHING if mode == "off" else wanted(box, "device" if mode == "device" else "single")
        if data.draw(st.booleans()):
            published = applied(published, next_round(published, goal))  # and then interrupted
        else:
            settle(published, goal)
            assert published == goal.payloads
