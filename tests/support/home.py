"""A box beside a real Home Assistant, and what it is to have there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nxai_common.bus.outside import OutsideBroker
from nxai_common.contracts import topics
from support.guarded_stack import GuardedStack
from support.home_assistant import HomeAssistant
from support.loop import SERVICES, Loop
from support.shared import ROOT

FOMO = "models/ei_fomo_mnv2_035_96x96x3_m5_nut_i8.tflite"
BLUEPRINT = ROOT / "deploy/home-assistant/blueprints/automation/nxai_edge/picture_on_event.yaml"
AUTOMATION = """\
- id: belt
  alias: Tell of the belt
  use_blueprint:
    path: nxai_edge/picture_on_event.yaml
    input:
      event_entity: event.belt_event
      image_entity: image.belt_last_event
      kinds: [alarm]
      wait: 1
      pause: 0
      then:
        - event: belt_told
          event_data: {title: "{{ title }}", message: "{{ message }}", image: "{{ image }}"}
"""

CAMERA_ENTITIES = (
    "binary_sensor.{}_connection",
    "button.{}_test",
    "event.{}_event",
    "image.{}_last_event",
    "number.{}_doubtful_below",
    "number.{}_lowest_confidence",
    "sensor.{}_fps",
    "sensor.{}_last_detection",
    "sensor.{}_latency_p50",
    "sensor.{}_latency_p95",
    "sensor.{}_objects",
    "switch.{}_camera",
    "switch.{}_collect_pictures",
    "switch.{}_detection",
)
LABEL_ENTITIES = ("sensor.{}_{}_count", "binary_sensor.{}_{}_occupancy")
BOX_ENTITIES = (
    *(f"binary_sensor.box_service_{name.replace('-', '_')}" for name in SERVICES),
    "button.box_check_updates",
    "button.box_restart",
    "button.box_upload_pictures",
    "sensor.box_disk_free",
    "sensor.box_last_answer",
    "sensor.box_memory_used",
    "sensor.box_pictures_to_review",
    "sensor.box_pictures_to_upload",
    "switch.box_detection",
)


@dataclass
class Home:
    """A box, Home Assistant, and the settings of the box."""

    ha: HomeAssistant
    stack: GuardedStack
    loop: Loop
    entry: str = ""
    models: list[str] = field(default_factory=list)
    """Imported ones that are deployed."""
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What is to be seen on each camera, as ids name it."""
    rules: list[str] = field(default_factory=lambda: ["busy"])
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.stack.folder / "settings.json"

    def write(self, **changes: Any) -> None:
        """Change the settings as an editor does."""
        kept: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {}
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps({**kept, **changes}))
        fresh.replace(self.file)

    def camera(self, name: str) -> dict[str, Any]:
        """Return what the settings say of a camera."""
        cameras = json.loads(self.file.read_text())["cameras"]
        found: dict[str, Any] = next(camera for camera in cameras if camera["id"] == name)
        return found

    def expected(self) -> set[str]:
        """Return exactly the entities that there are to be."""
        found = {*BOX_ENTITIES, *(f"update.box_model_{name}" for name in self.models)}
        for camera, labels in self.labels.items():
            found |= {entity.format(camera) for entity in CAMERA_ENTITIES}
            found |= {entity.format(camera, label) for entity in LABEL_ENTITIES for label in labels}
            found |= {f"binary_sensor.{camera}_alarm_{rule}" for rule in self.rules}
        return found

    def check_entities(self, deadline: float = 60) -> None:
        """Wait until there are the expected entities, each in its place, and no other."""
        self.ha.wait_entities(self.expected(), deadline)

    def retained(self) -> set[str]:
        """Return the topics for Home Assistant on which the broker keeps something of the box."""
        broker = self.stack.broker
        found: set[str] = set()
        with OutsideBroker(broker.url, "onlooker", broker.username, broker.password) as onlooker:
            assert onlooker.wait_connected(10)
            onlooker.subscribe(topics.discovery_filter("homeassistant", "box"))
            onlooker.subscribe(topics.HOME_BOX_ANNOUNCED.build("box"))
            for template in (
                topics.HOME_CAMERA_STATE,
                topics.HOME_CAMERA_PICTURE,
                topics.HOME_CAMERA_AVAILABILITY,
            ):
                onlooker.subscribe(template.filter("box"))
            while (received := onlooker.receive(0.5)) is not None:
                if received.retained:
                    found.add(received.topic)
        return found

    def fresh(self, entities: Sequence[str], deadline: float = 60) -> None:
        """Wait until these show something."""
        for entity in entities:
            self.ha.wait_state(entity, lambda s: s not in ("", "unknown", "unavailable"), deadline)


BELT: dict[str, Any] = {
    "id": "belt",
    "name": "Belt",
    "source": {"type": "demo", "fps": 5},
    "models": ["parts"],
}
SIDE: dict[str, Any] = {
    "id": "side_door-2",
    "name": "Side door",
    "source": {"type": "demo", "fps": 2},
}
PARTS: dict[str, Any] = {"id": "parts", "path": "demo-parts"}
OUTPUTS: dict[str, Any] = {"alarms": [{"id": "busy", "name": "Something there"}]}
