"""A box in a real Home Assistant: what it shows, what it is asked for, and what happens to it."""

import re

import pytest
import yaml

from nxai_common.contracts import commands as c
from nxai_common.contracts.outputs import CameraState
from nxai_common.contracts.topics import discovery_topic
from nxai_common.runtime import EXIT_RESTART
from support.edge_impulse import Training, downloads
from support.home import FOMO, OUTPUTS, PARTS, SIDE, Home
from support.retrained import retrained
from support.shared import ROOT, shared
from support.stack import listening
from support.waiting import wait_for

pytestmark = pytest.mark.timeout(500)


def test_all_entities_are_there_and_show_what_is(home: Home) -> None:
    home.check_entities(120)
    shown = {
        "binary_sensor.belt_connection": "on",
        "binary_sensor.side_door_2_connection": "on",
        "binary_sensor.box_service_capture": "off",
        "binary_sensor.box_service_manager": "off",
        "sensor.side_door_2_objects": "0",
        "sensor.box_pictures_to_review": "0",
        "switch.belt_camera": "on",
        "switch.belt_detection": "on",
        "switch.belt_collect_pictures": "off",
        "switch.box_detection": "on",
        "sensor.box_last_answer": "unknown",
    }
    for entity, state in shown.items():
        home.ha.wait_state(entity, state)
    assert float(home.ha.state("sensor.box_disk_free")) > 0
    assert float(home.ha.state("sensor.box_memory_used")) > 100


def test_devices_belong_together(home: Home) -> None:
    devices = home.ha.devices()
    assert set(devices) == {"Workshop", "Belt", "Side door"}
    box = devices["Workshop"]
    assert [devices[name]["via_device_id"] for name in ("Belt", "Side door")] == [box["id"]] * 2
    assert box["manufacturer"] == "nxai-edge"
    assert box["sw_version"]
    names = {e["entity_id"]: e["original_name"] for e in home.ha.entities().values()}
    assert names["sensor.belt_nut_count"] == "nut count"
    assert not [name for name in names.values() if name.startswith(tuple(devices))]


def test_what_many_never_look_at_is_there_but_switched_off(home: Home) -> None:
    off = {name for name, entity in home.ha.entities().items() if entity["disabled_by"]}
    assert off == {
        f"{kind}.{camera}_{name}"
        for camera in ("belt", "side_door_2")
        for kind, name in (
            ("sensor", "fps"),
            ("sensor", "latency_p50"),
            ("sensor", "latency_p95"),
            ("number", "lowest_confidence"),
            ("number", "doubtful_below"),
        )
    }


def test_counts_follow_the_camera(home: Home) -> None:
    with listening(home.stack, CameraState) as states:

        def same() -> bool:
            state = states.next()
            assert isinstance(state, CameraState)
            if state.camera != "belt":
                return False
            shown = {label: home.ha.state(f"sensor.belt_{label}_count") for label in state.counts}
            return any(state.counts.values()) and shown == {
                label: str(count) for label, count in state.counts.items()
            }

        wait_for(same, 60, "the counts are those of the camera")
    home.ha.wait_state("binary_sensor.belt_nut_occupancy", "on")


def test_an_event_comes_with_its_picture(home: Home) -> None:
    home.ha.wait_state("event.belt_event", lambda s: s.startswith("20"))
    told = home.ha.attributes("event.belt_event")
    assert told["event_type"] in told["event_types"]
    assert told["model"] == "parts"
    home.ha.wait_state("image.belt_last_event", lambda s: s.startswith("20"))
    address = home.ha.attributes("image.belt_last_event")["entity_picture"]
    picture = home.ha.get(address)
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8")


def test_a_switch_changes_the_settings(home: Home) -> None:
    home.ha.call("switch", "turn_off", "switch.belt_detection")
    home.ha.wait_state("switch.belt_detection", "off")
    assert home.camera("belt")["run"] is False
    home.ha.wait_state("sensor.belt_objects", "0")
    home.ha.wait_state("binary_sensor.belt_nut_occupancy", "off")
    home.ha.wait_state("binary_sensor.belt_alarm_busy", "off")
    home.ha.wait_state("sensor.box_last_answer", "Belt, detection off: done")
    home.ha.call("switch", "turn_on", "switch.belt_detection")
    home.ha.wait_state("switch.belt_detection", "on")
    home.ha.wait_state("sensor.belt_objects", lambda s: s not in ("0", "unavailable"))
    home.ha.wait_state("binary_sensor.belt_alarm_busy", "on")


def test_a_camera_that_is_off_can_be_switched_on_again(home: Home) -> None:
    home.ha.call("switch", "turn_off", "switch.side_door_2_camera")
    home.ha.wait_state("switch.side_door_2_camera", "off")
    home.ha.wait_state("binary_sensor.side_door_2_connection", "off")
    home.ha.wait_state("sensor.side_door_2_objects", "unavailable")
    assert home.camera("side_door-2")["enabled"] is False
    home.ha.call("switch", "turn_on", "switch.side_door_2_camera")
    home.ha.wait_state("switch.side_door_2_camera", "on")
    home.ha.wait_state("sensor.side_door_2_objects", "0")


def test_collecting_is_switched_on_and_off(home: Home) -> None:
    home.ha.call("switch", "turn_on", "switch.side_door_2_collect_pictures")
    home.ha.wait_state("switch.side_door_2_collect_pictures", "on")
    assert home.camera("side_door-2")["collect"]["enabled"] is True
    home.ha.call("switch", "turn_off", "switch.side_door_2_collect_pictures")
    home.ha.wait_state("switch.side_door_2_collect_pictures", "off")


def test_a_number_changes_the_settings(home: Home) -> None:
    entity = "number.belt_lowest_confidence"
    home.ha.ask("config/entity_registry/update", entity_id=entity, disabled_by=None)
    home.ha.post(f"/api/config/config_entries/entry/{home.entry}/reload", {})
    home.ha.wait_state(entity, "0.5")
    home.ha.call("number", "set_value", entity, value=0.35)
    home.ha.wait_state(entity, "0.35")
    assert home.camera("belt")["threshold"] == 0.35
    home.check_entities()


def test_a_button_tests_a_camera(home: Home) -> None:
    home.ha.call("button", "press", "button.belt_test")
    home.ha.wait_state("sensor.box_last_answer", "Belt, test: done")


def test_why_something_was_not_done_is_told(home: Home) -> None:
    home.ha.call("button", "press", "button.box_check_updates")
    home.ha.wait_state(
        "sensor.box_last_answer", lambda s: "Look for a new model" in s and "link" in s
    )
    about = home.ha.attributes("sensor.box_last_answer")
    assert about["ok"] is False
    assert "link" in about["reason"]


def test_what_a_broker_kept_is_not_done(home: Home) -> None:
    before = home.stack.status("publisher").counters["ha_commands"]
    topic = "nxai/v1/box/home-assistant/_box/run/set"
    publish = {"topic": topic, "payload": "OFF", "retain": True}
    home.ha.ask("call_service", domain="mqtt", service="publish", service_data=publish)
    # This one was heard at once, as any other; on the next connection it is not.
    home.ha.wait_state("switch.box_detection", "off")
    home.ha.call("switch", "turn_on", "switch.box_detection")
    home.ha.wait_state("switch.box_detection", "on")
    home.stack.processes["publisher"].kill()
    home.stack.start("publisher", "publisher")
    home.ha.wait_state("switch.box_detection", "on")
    status = home.stack.status("publisher")
    wait_for(lambda: home.stack.status("publisher").counters["ha_dropped"] > 0, 30)
    assert home.ha.state("switch.box_detection") == "on"
    assert (before, status.counters["ha_commands"]) == (before, 0)
    home.ha.ask(
        "call_service", domain="mqtt", service="publish", service_data=publish | {"payload": ""}
    )
    home.check_entities()


def test_a_newer_model_is_installed(home: Home) -> None:
    loop, entity = home.loop, "update.box_model_nuts"
    loop.link()
    loop.do(c.PullModel())
    (version,) = loop.ask_json(c.ListModels())["versions"]
    home.models = [version["model"]]
    assert home.models == ["nuts"]
    loop.ask(c.DeployModel(model="nuts", cameras=("side_door-2",)))
    home.labels["side_door_2"] = ("m5_nut",)
    home.check_entities()
    home.ha.wait_state(entity, "off")
    first = home.ha.attributes(entity)["installed_version"]
    content = shared(FOMO).read_bytes()
    loop.project.train(Training(artefacts=downloads(int8=retrained(content, 1))))
    home.ha.call("button", "press", "button.box_check_updates")
    home.ha.wait_state(entity, "on")
    home.ha.call("update", "install", entity)
    home.ha.wait_state(entity, "off", 90)
    newer = home.ha.attributes(entity)
    assert newer["installed_version"] == newer["latest_version"] != first
    assert not newer["in_progress"]
    home.check_entities()


def test_a_model_with_other_labels(home: Home) -> None:
    home.write(models=[PARTS | {"labels": ["bolt", "Größe/2+ 🔩", "ring"]}])
    home.labels["belt"] = ("bolt", "grosse_2", "ring")
    home.check_entities()
    home.fresh(["sensor.belt_ring_count", "sensor.belt_grosse_2_count"])
    names = {e["entity_id"]: e["original_name"] for e in home.ha.entities().values()}
    assert names["sensor.belt_grosse_2_count"] == "Größe/2+ 🔩 count"
    kept = home.ha.entities()["sensor.belt_bolt_count"]["id"]
    home.write(models=[PARTS])
    home.labels["belt"] = ("bolt", "nut", "washer")
    home.check_entities()
    home.fresh(["sensor.belt_nut_count"])
    assert home.ha.entities()["sensor.belt_bolt_count"]["id"] == kept


def test_a_camera_goes_and_comes_back(home: Home) -> None:
    home.write(cameras=[home.camera("belt")])
    gone = home.labels.pop("side_door_2")
    home.check_entities()
    assert set(home.ha.devices()) == {"Workshop", "Belt"}
    home.write(cameras=[home.camera("belt"), SIDE])
    home.labels["side_door_2"] = gone
    home.check_entities()
    home.fresh(["sensor.side_door_2_objects"])


def test_home_assistant_restarts(home: Home) -> None:
    home.ha.restart()
    home.check_entities()
    home.fresh(["sensor.belt_nut_count", "switch.belt_detection", "binary_sensor.belt_connection"])
    home.ha.wait_state("switch.belt_detection", "on")


@pytest.mark.parametrize("store", ["kept", "lost"])
def test_the_broker_restarts(home: Home, store: str) -> None:
    broker = home.stack.broker
    broker.stop()
    home.ha.wait_state("sensor.belt_objects", "unavailable")
    if store == "lost":
        for file in (broker.folder / "data").iterdir():
            file.unlink()
    broker.start()
    home.fresh(["sensor.belt_objects", "switch.belt_detection", "image.belt_last_event"])
    home.check_entities()


def test_the_publisher_is_killed(home: Home) -> None:
    home.stack.processes["publisher"].kill()
    home.ha.wait_state("sensor.belt_objects", "unavailable")
    home.ha.wait_state("switch.belt_detection", "unavailable")
    home.stack.start("publisher", "publisher")
    home.fresh(["sensor.belt_objects", "switch.belt_detection"])
    home.check_entities()


def test_inference_is_missed(home: Home) -> None:
    inference = home.stack.processes["inference"]
    inference.kill()
    home.ha.wait_state("binary_sensor.box_service_inference", "on")
    assert "offline" in home.ha.attributes("binary_sensor.box_service_inference")["reason"]
    home.ha.wait_state("sensor.belt_objects", "unavailable")
    home.stack.start("inference", "inference")
    home.ha.wait_state("binary_sensor.box_service_inference", "off")
    home.fresh(["sensor.belt_objects"])
    home.check_entities()


def test_all_services_are_restarted(home: Home) -> None:
    running = dict(home.stack.processes)
    home.ha.call("button", "press", "button.box_restart")
    wait_for(lambda: all(p.process.poll() is not None for p in running.values()), 60, "all ended")
    assert {name: p.process.returncode for name, p in running.items()} == dict.fromkeys(
        running, EXIT_RESTART
    )
    for name in running:
        home.stack.start(name, name)
    home.stack.wait_running()
    home.fresh(["sensor.belt_objects", "switch.belt_detection"])
    home.check_entities()


def test_an_automation_tells_of_an_alarm_with_its_picture(home: Home) -> None:
    blueprints = home.ha.ask("blueprint/list", domain="automation")
    assert "metadata" in blueprints["nxai_edge/picture_on_event.yaml"]
    home.ha.wait_state("automation.tell_of_the_belt", "on")
    with home.ha.happened("belt_told") as told:
        home.ha.call("switch", "turn_off", "switch.belt_detection")
        home.ha.wait_state("binary_sensor.belt_alarm_busy", "off")
        home.ha.call("switch", "turn_on", "switch.belt_detection")
        event = told()
    assert event["title"] == "Belt"
    assert re.fullmatch(r"Alarm: Something there \(\d+\)", event["message"])
    assert home.ha.get(event["image"]).content.startswith(b"\xff\xd8")


def test_automations_of_the_guide_are_valid(home: Home) -> None:
    guide = (ROOT / "docs/guides/home-assistant.md").read_text()
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)]
    automations = [block for block in blocks if "triggers" in block]
    assert len(automations) == 3
    for automation in automations:
        parts = {key: automation[key] for key in ("triggers", "actions")}
        checked = home.ha.ask("validate_config", **parts)
        assert all(part == {"valid": True, "error": None} for part in checked.values()), checked


def test_from_one_message_a_device_to_one_an_entity_and_back(home: Home) -> None:
    before = {name: entity["id"] for name, entity in home.ha.entities().items()}
    for mode in ("single", "device"):
        home.write(outputs=OUTPUTS | {"home_assistant": {"mode": mode}})
        single = discovery_topic("homeassistant", "switch", "box", "_box-Run")
        whole = discovery_topic("homeassistant", "device", "box", "_box")
        there, gone = (single, whole) if mode == "single" else (whole, single)

        def moved(there: str = there, gone: str = gone) -> bool:
            kept = home.retained()
            return there in kept and gone not in kept

        wait_for(moved, 60, mode)
        home.check_entities()
        home.fresh(["sensor.belt_objects", "switch.belt_detection"])
        after = {name: entity["id"] for name, entity in home.ha.entities().items()}
        assert after == before


def test_without_commands_it_only_reads(home: Home) -> None:
    home.write(outputs=OUTPUTS | {"home_assistant": {"commands": False, "pictures": False}})
    reads = {
        entity
        for entity in home.expected()
        if not entity.startswith(("switch.", "button.", "number.", "image."))
        and entity != "sensor.box_last_answer"
    }
    # Home Assistant keeps what was never switched on in its registry, switched off.
    sleeping = {
        name for name in home.expected() if name.startswith("number.") and "belt_low" not in name
    }
    home.ha.wait_entities(reads | sleeping)
    home.write(outputs=OUTPUTS)
    home.check_entities()


def test_another_prefix_and_off(home: Home) -> None:
    # Another prefix needs another word in the broker's rules; without it, that is told.
    home.write(outputs=OUTPUTS | {"home_assistant": {"prefix": "other"}})
    home.ha.wait_entities(set())
    wait_for(
        lambda: any(
            problem.about == "Home Assistant" and "other/" in problem.reason
            for problem in home.stack.status("publisher").problems
        ),
        30,
        "the refusal is told",
    )
    home.write(outputs=OUTPUTS)
    home.check_entities()
    home.write(outputs=OUTPUTS | {"home_assistant": {"mode": "off"}})
    home.ha.wait_entities(set())
    wait_for(lambda: not home.retained(), 30, "nothing is left on the broker")
    assert home.ha.devices() == {}
    assert not [p for p in home.stack.status("publisher").problems if p.about == "Home Assistant"]
    home.write(outputs=OUTPUTS)
    home.check_entities()


def test_home_assistant_has_nothing_to_complain_of(home: Home) -> None:
    found = home.ha.complaints("mqtt", "automation", "template", "nxai")
    expected = (
        # It clears what belongs to a device that is gone, and hears that itself.
        "No device components to cleanup",
        # The broker was away.
        "The connection was lost",
        "failed to receive on socket",
        # 200 entities that say good morning together, after the broker's restart.
        "is logging too frequently",
    )
    assert [line for line in found if not any(text in line for text in expected)] == []
