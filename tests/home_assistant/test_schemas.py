"""Each message, as Home Assistant's own schemas see it."""

import json
from typing import Any

import pytest

from nxai_publisher.core.home_assistant.discovery import announcements
from nxai_publisher.core.home_assistant.known import Box
from nxai_publisher.core.home_assistant.states import box_state
from nxai_publisher.core.home_assistant.things import origin_of, things_of
from support.home_assistant import complaints_of_schemas
from support.known_box import deployment, known_box, manifest, publisher, status

pytestmark = pytest.mark.timeout(600)

STRANGE = ("nut", "Größe/2+ 🔩", "\x00", "x" * 200, "a#b", " ", "'\"}}{{ 1 }}", "ラベル")


def boxes() -> list[Box]:
    """Return boxes with all that there may be."""
    full, reading, strange = known_box(), known_box(), known_box()
    full.learn(publisher(home_assistant={"page": "https://box.lan:8081/"}), 0)
    full.learn(status("inference-2"), 0)
    reading.learn(publisher(home_assistant={"commands": False, "pictures": False}), 0)
    rules = [{"id": f"rule-{n}", "name": name} for n, name in enumerate(STRANGE)]
    strange.learn(publisher(cameras=("front", "front-", "f_1"), alarms=rules), 0)
    strange.learn(manifest(labels=STRANGE), 0)
    strange.learn(publisher(device_name="🏠" * 300, alarms=rules), 0)
    strange.learn(deployment(name="y" * 300, offered="z" * 300, reason="w" * 300), 0)
    return [full, reading, strange]


def messages() -> dict[str, list[Any]]:
    devices: list[Any] = []
    entities: list[Any] = []
    for box in boxes():
        for mode in ("device", "single"):
            wanted = announcements(
                things_of(box),
                origin_of(box),
                mode=mode,
                prefix="homeassistant",
                device=box.device,
            )
            for topic, payload in wanted.payloads.items():
                platform = topic.split("/")[1]
                if mode == "device":
                    devices.append(payload)
                else:
                    entities.append([platform, payload])
    updates = [state for box in boxes() for state in box_state(box)["models"].values()]
    return {"devices": devices, "entities": entities, "updates": updates}


def test_home_assistants_schemas_take_every_message() -> None:
    told = messages()
    assert len(told["entities"]) > 100
    assert complaints_of_schemas(json.dumps(told)) == []


def test_home_assistants_schemas_refuse_what_is_wrong() -> None:
    (platform, good), *_ = messages()["entities"]
    wrong = [[platform, good | {"object_ids": "a"}], [platform, good | {"expire_after": -1}]]
    found = complaints_of_schemas(json.dumps({"devices": [], "entities": wrong, "updates": []}))
    assert any("object_ids" in text for text in found)
    assert any("expire_after" in text for text in found)
