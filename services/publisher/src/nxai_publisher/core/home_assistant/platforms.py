"""Discovery messages of Home Assistant, with exactly its names of fields.

Only what this project sends, and no value that Home Assistant would refuse. Never `object_id`: it
is gone since 2026.4; `default_entity_id` stands for it.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from nxai_publisher.core.home_assistant.naming import LONGEST_STATE

Topic = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^+#\x00]+$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_STATE)]
Category = Literal["config", "diagnostic"]


class Part(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def told(self) -> dict[str, Any]:
        """Return it as it is sent."""
        return self.model_dump(mode="json", exclude_none=True)


class Device(Part):
    """What entities belong to."""

    identifiers: tuple[Text, ...] = Field(min_length=1)
    name: Text
    manufacturer: Text
    model: Text
    sw_version: Text | None = None
    via_device: Text | None = None
    configuration_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+")] | None = None


class Origin(Part):
    """Who sends it."""

    name: Text
    sw_version: Text | None = None


class Availability(Part):
    """A topic that says `online` or `offline`."""

    topic: Topic


class Entity(Part):
    """What all have."""

    unique_id: Text
    name: Text
    default_entity_id: Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.[a-z0-9_]+$")]
    availability: tuple[Availability, ...] = Field(min_length=1)
    availability_mode: Literal["all"] = "all"
    icon: Annotated[str, StringConstraints(pattern=r"^mdi:[a-z0-9-]+$")] | None = None
    enabled_by_default: bool | None = None
    entity_category: Category | None = None
    json_attributes_topic: Topic | None = None
    json_attributes_template: str | None = None

    @model_validator(mode="after")
    def _check_domain(self) -> Self:
        platform = getattr(self, "platform", "")
        if not self.default_entity_id.startswith(f"{platform}."):
            raise ValueError(f"{self.default_entity_id} is no entity of platform {platform}")
        return self


class Sensor(Entity):
    """A value."""

    platform: Literal["sensor"] = "sensor"
    # Home Assistant refuses `config` here.
    entity_category: Literal["diagnostic"] | None = None
    state_topic: Topic
    value_template: str
    device_class: Literal["timestamp", "duration", "data_size"] | None = None
    unit_of_measurement: Literal["ms", "MiB", "fps"] | None = None
    state_class: Literal["measurement"] | None = None
    suggested_display_precision: Annotated[int, Field(ge=0)] | None = None
    expire_after: Annotated[int, Field(gt=0)]

    @model_validator(mode="after")
    def _check_unit(self) -> Self:
        if self.unit_of_measurement not in _UNITS[self.device_class]:
            raise ValueError(f"{self.device_class} in {self.unit_of_measurement}")
        if self.device_class == "timestamp" and self.state_class is not None:
            raise ValueError("a moment is no measurement")
        return self


_UNITS: Final = {
    None: (None, "fps"),
    "timestamp": (None,),
    "duration": ("ms",),
    "data_size": ("MiB",),
}


class BinarySensor(Entity):
    """Yes or no."""

    platform: Literal["binary_sensor"] = "binary_sensor"
    entity_category: Literal["diagnostic"] | None = None
    state_topic: Topic
    value_template: str
    device_class: Literal["connectivity", "occupancy", "problem"] | None = None
    expire_after: Annotated[int, Field(gt=0)]


class Image(Entity):
    """A picture."""

    platform: Literal["image"] = "image"
    image_topic: Topic
    content_type: Literal["image/jpeg"] = "image/jpeg"


class Event(Entity):
    """Something that happened."""

    platform: Literal["event"] = "event"
    state_topic: Topic
    event_types: tuple[Text, ...] = Field(min_length=1)
    qos: Literal[1] = 1


class Switch(Entity):
    """On or off, for a person to say."""

    platform: Literal["switch"] = "switch"
    state_topic: Topic
    value_template: str
    command_topic: Topic
    retain: Literal[False] = False
    qos: Literal[1] = 1


class Number(Entity):
    """A number, for a person to say."""

    platform: Literal["number"] = "number"
    state_topic: Topic
    value_template: str
    command_topic: Topic
    min: float
    max: float
    step: Annotated[float, Field(ge=0.001)]
    mode: Literal["box", "slider"]
    retain: Literal[False] = False
    qos: Literal[1] = 1


class Button(Entity):
    """Something to be done."""

    platform: Literal["button"] = "button"
    command_topic: Topic
    device_class: Literal["restart", "update"] | None = None
    retain: Literal[False] = False
    qos: Literal[1] = 1


class Update(Entity):
    """A version in force, and a newer one."""

    platform: Literal["update"] = "update"
    state_topic: Topic
    value_template: str
    command_topic: Topic | None = None
    payload_install: Text
    """Always: Home Assistant reads it unasked."""
    retain: Literal[False] = False
    qos: Literal[1] = 1


Component = Sensor | BinarySensor | Image | Event | Switch | Number | Button | Update


class UpdateState(Part):
    """What an update entity shows."""

    installed_version: Text
    latest_version: Text
    title: Text
    release_summary: Annotated[str, StringConstraints(max_length=LONGEST_STATE)]
    in_progress: bool
    update_percentage: Annotated[int, Field(ge=0, le=100)] | None = None

    def told(self) -> dict[str, Any]:
        """Return it as it is sent; no percentage is told, too: it takes back the last one."""
        return self.model_dump(mode="json")
