"""The devices and entities that the box has in Home Assistant."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from nxai_common.contracts import topics
from nxai_common.contracts.configuration import PublisherCamera
from nxai_publisher.core.home_assistant.known import Box
from nxai_publisher.core.home_assistant.naming import (
    cut,
    label_key,
    label_slugs,
    named,
    shown,
    slug,
)
from nxai_publisher.core.home_assistant.platforms import (
    Availability,
    BinarySensor,
    Button,
    Component,
    Device,
    Event,
    Image,
    Number,
    Origin,
    Sensor,
    Switch,
    Update,
)

BOX: Final = "_box"
"""Stands where a camera's id stands; no camera is called so."""
MAKER: Final = "nxai-edge"
HEARTBEAT_S: Final = 20.0
"""States are told again so often, changed or not."""
EXPIRE_AFTER_S: Final = 75
"""More than three heartbeats: what nobody tells any more is not shown any longer."""

EVENT_TYPES: Final = ("appeared", "left", "alarm", "alarm_again", "alarm_ended")
"""What automations wait for. How an event goes on meanwhile is on the camera's own topic alone:
Home Assistant would write each step to its database."""


@dataclass(frozen=True, slots=True)
class Thing:
    """A device and its entities."""

    name: str
    """`_box`, or a camera's id."""
    device: Device
    components: dict[str, Component]
    """By a key that stays."""


def things_of(box: Box) -> tuple[Thing, ...]:
    """Return all that is to be announced, the box before its cameras."""
    return (_box(box), *(_camera(box, camera) for camera in box.cameras))


def origin_of(box: Box) -> Origin:
    """Return who announces it."""
    return Origin(name=MAKER, sw_version=box.version or None)


def identifier(device: str, thing: str) -> str:
    """Return what a device is recognised by; no other one has it."""
    return f"nxai.{device}" if thing == BOX else f"nxai.{device}.{thing}"


def page_problem(page: str) -> str:
    """Say what is wrong with the page's address; empty: nothing."""
    if not page or _is_page(page):
        return ""
    return (
        f"outputs.home_assistant.page {page!r} is no address of a page; write it as "
        "http://192.168.1.5:8081"
    )


def _is_page(page: str) -> bool:
    try:
        parts = urlsplit(page)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port or 1) > 0
            and not any(letter.isspace() for letter in page)
        )
    except ValueError:
        return False


class _Entities:
    """Entities of one device."""

    def __init__(
        self, box: Box, thing: str, device: str, *, set_topic: topics.TopicTemplate
    ) -> None:
        self._box = box
        self._thing = thing
        self._device = device
        self._set = set_topic
        self.found: dict[str, Component] = {}

    def common(
        self,
        key: str,
        name: str,
        *,
        domain: str,
        entity: str,
        always: bool = True,
    ) -> dict[str, Any]:
        """Return what all entities have.

        Args:
            key: Of the entity; stays.
            name: For people.
            domain: Platform.
            entity: End of the id that Home Assistant gives it at first.
            always: Whether it says something while the camera gives no picture.
        """
        shown_as = cut(shown(name))
        own = "box" if self._thing == BOX else self._thing
        beginning = slug(self._box.device if self._thing == BOX else own) or "camera"
        return {
            "unique_id": f"nxai.{self._box.device}.{self._thing}.{key}",
            "name": named(self._device, shown_as, cut(f"· {shown_as}")),
            "default_entity_id": f"{domain}.{beginning}_{entity}",
            "availability": _availability(self._box, self._thing, always=always),
        }

    def command(self, key: str, **levels: str) -> str:
        """Return where it is said what shall be."""
        return self._set.build(self._box.device, entity=key, **levels)


def _availability(box: Box, thing: str, *, always: bool) -> tuple[Availability, ...]:
    """Return the topics that must all say `online`.

    What tells of the connection itself, or switches it on, hangs on the box alone: else it could
    never say that there is none.
    """
    whole = Availability(topic=topics.HOME_BOX_AVAILABILITY.build(box.device))
    if always or thing == BOX:
        return (whole,)
    own = topics.HOME_CAMERA_AVAILABILITY.build(box.device, camera=thing)
    return (whole, Availability(topic=own))


def value(*path: str) -> str:
    """Return a template that reads a value out of a state."""
    return "{{ " + _place(path) + " | default('None') }}"


def attributes(*path: str) -> str:
    """Return a template that reads an object out of a state."""
    return "{{ " + _place(path) + " | default({}) | tojson }}"


def _place(path: tuple[str, ...]) -> str:
    # With brackets: `value_json.update` would be the method of that name.
    return "value_json" + "".join(f"['{name}']" for name in path)


# -- the box --------------------------------------------------------------------------------------


def _box(box: Box) -> Thing:
    name = cut(shown(box.name))
    page = box.options.page
    device = Device(
        identifiers=(identifier(box.device, BOX),),
        name=name,
        manufacturer=MAKER,
        model="Edge box",
        sw_version=box.version or None,
        configuration_url=page if page and _is_page(page) else None,
    )
    entities = _Entities(box, BOX, name, set_topic=topics.HOME_BOX_SET)
    components: dict[str, Component] = {}
    components.update(_services(box, entities))
    components.update(_measures(box, entities))
    components.update(_models(box, entities))
    if box.options.commands:
        components.update(_box_commands(box, entities))
    return Thing(BOX, device, components)


def _services(box: Box, entities: _Entities) -> Iterator[tuple[str, Component]]:
    state = topics.HOME_BOX_STATE.build(box.device)
    for service in box.services:
        key = f"service-{service}"
        yield (
            key,
            BinarySensor(
                **entities.common(
                    key,
                    f"Service {service}",
                    domain="binary_sensor",
                    entity=f"service_{slug(service)}",
                ),
                entity_category="diagnostic",
                device_class="problem",
                state_topic=state,
                value_template=value("services", service, "problem"),
                json_attributes_topic=state,
                json_attributes_template=attributes("services", service, "about"),
                expire_after=EXPIRE_AFTER_S,
            ),
        )


def _measures(box: Box, entities: _Entities) -> Iterator[tuple[str, Component]]:
    state = topics.HOME_BOX_STATE.build(box.device)
    told: dict[str, Any] = {"state_topic": state, "expire_after": EXPIRE_AFTER_S}
    for key, name, icon in (
        ("samples-new", "Pictures to review", "mdi:image-search"),
        ("samples-approved", "Pictures to upload", "mdi:image-move"),
    ):
        yield (
            key,
            Sensor(
                **entities.common(key, name, domain="sensor", entity=slug(name)),
                **told,
                icon=icon,
                state_class="measurement",
                value_template=value(key),
            ),
        )
    for key, name, icon in (
        ("disk-free", "Disk free", "mdi:harddisk"),
        ("memory", "Memory used", "mdi:memory"),
    ):
        yield (
            key,
            Sensor(
                **entities.common(key, name, domain="sensor", entity=slug(name)),
                **told,
                icon=icon,
                entity_category="diagnostic",
                device_class="data_size",
                unit_of_measurement="MiB",
                state_class="measurement",
                suggested_display_precision=0,
                value_template=value(key),
            ),
        )
    if box.options.commands:
        key = "answer"
        yield (
            key,
            Sensor(
                **entities.common(key, "Last answer", domain="sensor", entity="last_answer"),
                **told,
                icon="mdi:message-reply-text",
                entity_category="diagnostic",
                value_template=value(key, "text"),
                json_attributes_topic=state,
                json_attributes_template=attributes(key, "about"),
            ),
        )


def _models(box: Box, entities: _Entities) -> Iterator[tuple[str, Component]]:
    for name, deployment in sorted(box.deployments.items()):
        key = f"model-{name}"
        title = deployment.name or name
        yield (
            key,
            Update(
                **entities.common(
                    key, f"Model {title}", domain="update", entity=f"model_{slug(name)}"
                ),
                state_topic=topics.HOME_BOX_STATE.build(box.device),
                value_template=attributes("models", name),
                command_topic=entities.command("install") if box.options.commands else None,
                payload_install=name,
            ),
        )


def _box_commands(box: Box, entities: _Entities) -> Iterator[tuple[str, Component]]:
    yield (
        "run",
        Switch(
            **entities.common("run", "Detection", domain="switch", entity="detection"),
            icon="mdi:eye",
            state_topic=topics.HOME_BOX_STATE.build(box.device),
            value_template=value("run"),
            command_topic=entities.command("run"),
        ),
    )
    yield (
        "upload",
        Button(
            **entities.common(
                "upload", "Upload pictures", domain="button", entity="upload_pictures"
            ),
            icon="mdi:cloud-upload",
            command_topic=entities.command("upload"),
        ),
    )
    yield (
        "check-updates",
        Button(
            **entities.common(
                "check-updates", "Look for a new model", domain="button", entity="check_updates"
            ),
            device_class="update",
            entity_category="config",
            command_topic=entities.command("check-updates"),
        ),
    )
    yield (
        "restart",
        Button(
            **entities.common("restart", "Restart", domain="button", entity="restart"),
            device_class="restart",
            entity_category="config",
            command_topic=entities.command("restart"),
        ),
    )


# -- a camera -------------------------------------------------------------------------------------


def _camera(box: Box, camera: PublisherCamera) -> Thing:
    name = cut(shown(camera.name or camera.id))
    device = Device(
        identifiers=(identifier(box.device, camera.id),),
        name=name,
        manufacturer=MAKER,
        model="Camera",
        via_device=identifier(box.device, BOX),
    )
    entities = _Entities(box, camera.id, name, set_topic=topics.HOME_CAMERA_SET)
    components: dict[str, Component] = {}
    components.update(_counts(box, camera.id, entities))
    components.update(_happenings(box, camera.id, entities))
    components.update(_alarms(box, camera.id, entities))
    components.update(_condition(box, camera.id, entities))
    if box.options.commands:
        components.update(_camera_commands(box, camera.id, entities))
    return Thing(camera.id, device, components)


def _counts(box: Box, camera: str, entities: _Entities) -> Iterator[tuple[str, Component]]:
    state = topics.HOME_CAMERA_STATE.build(box.device, camera=camera)
    told: dict[str, Any] = {"state_topic": state, "expire_after": EXPIRE_AFTER_S}
    yield (
        "count",
        Sensor(
            **entities.common("count", "Objects", domain="sensor", entity="objects", always=False),
            **told,
            icon="mdi:counter",
            state_class="measurement",
            value_template=value("count"),
        ),
    )
    labels = box.labels_of(camera)
    slugs = label_slugs(labels)
    for label in labels:
        key, part = label_key(label), slugs[label]
        yield (
            f"count-{key}",
            Sensor(
                **entities.common(
                    f"count-{key}",
                    f"{label} count",
                    domain="sensor",
                    entity=f"{part}_count",
                    always=False,
                ),
                **told,
                icon="mdi:counter",
                state_class="measurement",
                value_template=value("counts", key),
            ),
        )
        yield (
            f"occupancy-{key}",
            BinarySensor(
                **entities.common(
                    f"occupancy-{key}",
                    label,
                    domain="binary_sensor",
                    entity=f"{part}_occupancy",
                    always=False,
                ),
                **told,
                device_class="occupancy",
                value_template=value("present", key),
            ),
        )


def _happenings(box: Box, camera: str, entities: _Entities) -> Iterator[tuple[str, Component]]:
    yield (
        "last-detection",
        Sensor(
            **entities.common(
                "last-detection", "Last detection", domain="sensor", entity="last_detection"
            ),
            device_class="timestamp",
            state_topic=topics.HOME_CAMERA_STATE.build(box.device, camera=camera),
            value_template=value("last-detection"),
            expire_after=EXPIRE_AFTER_S,
        ),
    )
    yield (
        "event",
        Event(
            **entities.common("event", "Event", domain="event", entity="event"),
            icon="mdi:motion-sensor",
            state_topic=topics.HOME_CAMERA_EVENT.build(box.device, camera=camera),
            event_types=EVENT_TYPES,
        ),
    )
    if box.options.pictures:
        yield (
            "picture",
            Image(
                **entities.common("picture", "Last event", domain="image", entity="last_event"),
                image_topic=topics.HOME_CAMERA_PICTURE.build(box.device, camera=camera),
            ),
        )


def _alarms(box: Box, camera: str, entities: _Entities) -> Iterator[tuple[str, Component]]:
    for rule in box.rules_of(camera):
        key = f"alarm-{rule.id}"
        yield (
            key,
            BinarySensor(
                **entities.common(
                    key,
                    f"Alarm {rule.name or rule.id}",
                    domain="binary_sensor",
                    entity=f"alarm_{slug(rule.id)}",
                    always=False,
                ),
                icon="mdi:bell-alert",
                state_topic=topics.HOME_CAMERA_STATE.build(box.device, camera=camera),
                value_template=value("alarms", rule.id),
                expire_after=EXPIRE_AFTER_S,
            ),
        )


def _condition(box: Box, camera: str, entities: _Entities) -> Iterator[tuple[str, Component]]:
    state = topics.HOME_CAMERA_STATE.build(box.device, camera=camera)
    told: dict[str, Any] = {
        "state_topic": state,
        "expire_after": EXPIRE_AFTER_S,
        "entity_category": "diagnostic",
    }
    yield (
        "connection",
        BinarySensor(
            **entities.common(
                "connection", "Connection", domain="binary_sensor", entity="connection"
            ),
            **told,
            device_class="connectivity",
            value_template=value("connection", "connected"),
            json_attributes_topic=state,
            json_attributes_template=attributes("connection", "about"),
        ),
    )
    yield (
        "fps",
        Sensor(
            **entities.common("fps", "Frame rate", domain="sensor", entity="fps", always=False),
            **told,
            enabled_by_default=False,
            icon="mdi:speedometer",
            unit_of_measurement="fps",
            state_class="measurement",
            suggested_display_precision=1,
            value_template=value("fps"),
        ),
    )
    for key, name in (("latency-p50", "Latency, median"), ("latency-p95", "Latency, 95 %")):
        yield (
            key,
            Sensor(
                **entities.common(key, name, domain="sensor", entity=slug(key), always=False),
                **told,
                enabled_by_default=False,
                device_class="duration",
                unit_of_measurement="ms",
                state_class="measurement",
                suggested_display_precision=0,
                value_template=value(key),
            ),
        )


def _camera_commands(box: Box, camera: str, entities: _Entities) -> Iterator[tuple[str, Component]]:
    state = topics.HOME_CAMERA_STATE.build(box.device, camera=camera)
    category: Literal["config"] | None
    for key, name, icon, category in (
        ("enabled", "Camera", "mdi:cctv", "config"),
        ("run", "Detection", "mdi:eye", None),
        ("collect", "Collect pictures", "mdi:image-plus", "config"),
    ):
        yield (
            key,
            Switch(
                **entities.common(key, name, domain="switch", entity=slug(name)),
                entity_category=category,
                icon=icon,
                state_topic=state,
                value_template=value(key),
                command_topic=entities.command(key, camera=camera),
            ),
        )
    for key, name, icon in (
        ("threshold", "Lowest confidence", "mdi:filter"),
        ("uncertain", "Doubtful below", "mdi:help-circle"),
    ):
        yield (
            key,
            Number(
                **entities.common(key, name, domain="number", entity=slug(name)),
                entity_category="config",
                enabled_by_default=False,
                icon=icon,
                state_topic=state,
                value_template=value(key),
                command_topic=entities.command(key, camera=camera),
                min=0.0,
                max=1.0,
                step=0.01,
                mode="slider",
            ),
        )
    yield (
        "test",
        Button(
            **entities.common("test", "Test", domain="button", entity="test"),
            entity_category="diagnostic",
            icon="mdi:play-circle",
            command_topic=entities.command("test", camera=camera),
        ),
    )
