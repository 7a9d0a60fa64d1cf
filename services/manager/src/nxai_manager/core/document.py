"""What settings.json may say.

The sources and options are the contract's own classes, so that the file and the bus cannot
drift apart; `check_settings` refuses the keys that messages would ignore.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from nxai_common.contracts.alarms import AlarmRule
from nxai_common.contracts.base import Value
from nxai_common.contracts.collecting import (
    CollectPolicy,
    Fraction,
    RollbackOptions,
    SampleLimits,
    ShadowOptions,
    UpdateOptions,
    UploadOptions,
)
from nxai_common.contracts.configuration import (
    CameraOptions,
    DemoSource,
    DesiredModel,
    DetectionAreas,
    EventOptions,
    HomeAssistantOptions,
    LoggerOptions,
    NxOutputOptions,
    Seconds,
    UncertainRule,
)
from nxai_common.contracts.destinations import Destination, OutboxOptions
from nxai_common.contracts.processors import ProcessorOptions
from nxai_common.contracts.topics import Level


class ModelUse(Value):
    """A model that looks at a camera; its id alone will do: `"models": ["m5-nut"]`."""

    id: Level
    """`id` of one of the `models`."""
    threshold: Fraction | None = None
    """Lowest confidence of a detection from this camera; left out: as the model says."""
    uncertain: UncertainRule | None = None
    """When a result from this camera counts as doubtful; left out: as the model says, or else the
    camera."""


def _id_alone(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over anything
    return {"id": value} if isinstance(value, str) else value


def _collect(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over anything
    """Take the short forms: `true` for the whole, its name for a strategy."""
    if isinstance(value, bool):
        return {"enabled": value}
    if not isinstance(value, dict | CollectPolicy):
        raise PydanticCustomError("collect", "must be true, false or an object {...}")
    if isinstance(value, dict) and isinstance(value.get("strategies"), list):
        named = ({"strategy": s} if isinstance(s, str) else s for s in value["strategies"])
        return value | {"strategies": tuple(named)}  # of Python, no list passes for a tuple
    return value


class Camera(CameraOptions):
    """One camera."""

    username: str = ""
    """User name at the camera. Never part of the URL."""
    password: SecretStr = SecretStr("")
    """Password at the camera, any characters. It goes to a file that capture alone reads, never
    over MQTT."""
    models: tuple[Annotated[ModelUse, BeforeValidator(_id_alone)], ...] = ()
    """Models that look at this camera. Those imported from Edge Impulse are not listed here: a
    command puts them on cameras."""
    run: bool = True
    """Whether its pictures go to inference. A camera that does not run is open all the same, for
    its preview and for tests; one that is not `enabled` is closed."""
    threshold: Fraction | None = None
    """Lowest confidence of a detection from this camera, for models without one of their own in
    `models`, and for those imported from Edge Impulse. Left out: as each model says."""
    areas: DetectionAreas = DetectionAreas()
    """Where objects count; elsewhere they are left out of every result."""
    uncertain: UncertainRule | None = None
    """When a result counts as doubtful, for models without a rule of their own: those imported
    from Edge Impulse, and those in `models` that say nothing. Left out: while `collect` asks for
    uncertain pictures, a probability below 0.6 (for YOLOv5 and MobileNet-SSD, which report nothing
    below their `threshold`, at least that + 0.1); else never."""
    collect: Annotated[CollectPolicy, BeforeValidator(_collect)] = CollectPolicy()
    """Keep pictures for retraining; `true` will do. A strategy without options may be given as
    its name: `"strategies": ["uncertain", "random"]`."""


class Device(Value):
    """This box."""

    name: str = Field(default="", max_length=100)
    """For people; its name in topics (`NXAI_DEVICE`) when left out."""


class Outputs(Value):
    """What the world outside gets."""

    detections: bool = True
    """Flat JSON of every processed frame on topic `detections`."""
    nx_output: NxOutputOptions = NxOutputOptions()
    events: EventOptions = EventOptions()
    state_every_s: Seconds = 10
    """Heartbeat of the retained camera state."""
    home_assistant: HomeAssistantOptions = HomeAssistantOptions()
    alarms: tuple[AlarmRule, ...] = ()
    destinations: tuple[Destination, ...] = ()
    """Where results go besides the broker of this box."""
    outbox: OutboxOptions = OutboxOptions()
    """What waits for destinations that are away."""
    processors: tuple[ProcessorOptions, ...] = ()
    """Programs that look at each result before it goes out."""


class EdgeImpulse(Value):
    """Exchange with Edge Impulse. The project and its key are linked by command, not here."""

    limits: SampleLimits = SampleLimits()
    upload: UploadOptions = UploadOptions()
    updates: UpdateOptions = UpdateOptions()
    shadow: ShadowOptions = ShadowOptions()
    rollback: RollbackOptions = RollbackOptions()


class Settings(Value):
    """settings.json: cameras, models, who looks at what, and what becomes of the results."""

    schema_: str | None = Field(default=None, alias="$schema")
    """For editors; ignored."""
    version: Literal[1] = 1
    """Of this format."""
    device: Device = Device()
    run: bool = True
    """Whether inference runs; false stops it for all cameras, whatever they say themselves."""
    cameras: tuple[Camera, ...] = ()
    models: tuple[DesiredModel, ...] = ()
    outputs: Outputs = Outputs()
    logger: LoggerOptions = LoggerOptions()
    edge_impulse: EdgeImpulse = EdgeImpulse()


DEMO_MODEL: Final = "demo-parts"

DEFAULT: Final = Settings(
    cameras=(
        Camera(
            id="demo",
            name="Demo belt",
            source=DemoSource(),
            models=(ModelUse(id=DEMO_MODEL),),
        ),
    ),
    models=(DesiredModel(id=DEMO_MODEL, path=DEMO_MODEL),),
)
"""What a box without settings runs: the demo camera and the model trained for it."""

DEFAULT_TEXT: Final = """\
{
  "version": 1,
  "cameras": [
    {
      "id": "demo",
      "name": "Demo belt",
      "source": {"type": "demo"},
      "models": ["demo-parts"]
    }
  ],
  "models": [
    {"id": "demo-parts", "path": "demo-parts"}
  ]
}
"""
"""`DEFAULT` as a person would write it."""
