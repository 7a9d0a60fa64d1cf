"""Topics: the only place where a topic string is built or taken apart.

All topics have a fixed depth, so that Node-RED and Telegraf can split them::

    nxai/v1/{device}/cameras/{camera}/frame/{input}
    nxai/v1/{device}/services/{service}/command/{name}
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final

from pydantic import StringConstraints

ROOT: Final = "nxai/v1"
"""Name and major version of the contract. An incompatible change is a new root."""

LEVEL_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""One topic level: what Home Assistant, Node-RED and a URL all take unquoted."""

Level = Annotated[str, StringConstraints(pattern=LEVEL_PATTERN)]
"""A value that may stand as one level of a topic (a camera id, a model id ...)."""

_LEVEL = re.compile(LEVEL_PATTERN.replace("$", r"\Z"))
"""`$` also matches before a newline at the end, and a topic with a newline is nobody's."""
_PLACEHOLDER = re.compile(r"^\{([a-z_]+)\}$")


def check_level(value: str, what: str) -> str:
    """Return `value`, or raise ValueError that names `what` when it cannot be a topic level."""
    if _LEVEL.match(value) is None:
        raise ValueError(
            f"{what} {value!r} cannot be used in a topic: use 1 to 64 of a-z, 0-9, '_' and '-', "
            "starting with a letter or digit"
        )
    return value


@dataclass(frozen=True, slots=True)
class TopicTemplate:
    """A topic below ``nxai/v1/{device}/`` whose ``{name}`` levels are filled by a message."""

    text: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the placeholder levels, left to right."""
        return _names(self.text)

    def build(self, device: str, **levels: str) -> str:
        """Return the topic of one message."""
        return _build(self.text, device, tuple(sorted(levels.items())))

    def filter(self, device: str, **levels: str) -> str:
        """Return a subscription filter: levels that are not given match anything.

        Raises:
            ValueError: a value that is no level, or a name this template does not have (a
                misspelt one would match everything).
        """
        check_level(device, "device")
        for name, value in levels.items():
            if name not in self.names:
                raise ValueError(f"{self.text!r} has no level {name!r}; it has {self.names}")
            check_level(value, name)
        wanted = {name: levels.get(name, "+") for name in self.names}
        return f"{ROOT}/{device}/{self.text.format(**wanted)}"

    def parse(self, topic: str) -> dict[str, str] | None:
        """Return the placeholder levels of `topic`, or None when it is not of this template."""
        return _parse(self.text, topic)


@lru_cache(maxsize=64)
def _names(text: str) -> tuple[str, ...]:
    matches = (_PLACEHOLDER.match(level) for level in text.split("/"))
    return tuple(match.group(1) for match in matches if match is not None)


@lru_cache(maxsize=4096)  # a box has tens of topics; frames come thousands of times a second
def _build(text: str, device: str, levels: tuple[tuple[str, str], ...]) -> str:
    check_level(device, "device")
    for name, value in levels:
        check_level(value, name)
    return f"{ROOT}/{device}/{text.format(**dict(levels))}"


@lru_cache(maxsize=4096)
def _parse(text: str, topic: str) -> dict[str, str] | None:
    expected = [*ROOT.split("/"), "{device}", *text.split("/")]
    actual = topic.split("/")
    if len(expected) != len(actual):
        return None
    levels: dict[str, str] = {}
    for want, have in zip(expected, actual, strict=True):
        placeholder = _PLACEHOLDER.match(want)
        if placeholder is not None:
            if _LEVEL.match(have) is None:
                return None
            levels[placeholder.group(1)] = have
        elif want != have:
            return None
    return levels


FRAME = TopicTemplate("cameras/{camera}/frame/{input}")
RESULT = TopicTemplate("cameras/{camera}/result")
SAMPLE = TopicTemplate("cameras/{camera}/sample")
PREVIEW = TopicTemplate("cameras/{camera}/preview")
PICTURE = TopicTemplate("cameras/{camera}/picture")
OUTPUT = TopicTemplate("cameras/{camera}/output")
DETECTIONS = TopicTemplate("cameras/{camera}/detections")
STATE = TopicTemplate("cameras/{camera}/state")
TEST = TopicTemplate("cameras/{camera}/test")
EVENT = TopicTemplate("cameras/{camera}/event")
ALARM = TopicTemplate("cameras/{camera}/alarm")
SNAPSHOT = TopicTemplate("cameras/{camera}/snapshot")
STATUS = TopicTemplate("services/{service}/status")
CONFIGURATION = TopicTemplate("services/{service}/configuration")
COMMAND = TopicTemplate("services/{service}/command/{name}")
PROGRESS = TopicTemplate("services/{service}/progress")
MODEL = TopicTemplate("models/{model}")
PROCESSOR = TopicTemplate("processors/{processor}/manifest")
WORK = TopicTemplate("processors/{processor}/work")
DONE = TopicTemplate("processors/{processor}/done")
DEPLOYMENTS = TopicTemplate("services/{service}/deployments")
DEPLOYMENT = TopicTemplate("deployments/{model}")

# What Home Assistant's entities show, and what is asked for with them. No camera is called `_box`.
HOME_BOX_AVAILABILITY = TopicTemplate("home-assistant/_box/availability")
HOME_BOX_ANNOUNCED = TopicTemplate("home-assistant/_box/announced")
HOME_BOX_STATE = TopicTemplate("home-assistant/_box/state")
HOME_BOX_SET = TopicTemplate("home-assistant/_box/{entity}/set")
HOME_CAMERA_AVAILABILITY = TopicTemplate("home-assistant/{camera}/availability")
HOME_CAMERA_STATE = TopicTemplate("home-assistant/{camera}/state")
HOME_CAMERA_EVENT = TopicTemplate("home-assistant/{camera}/event")
HOME_CAMERA_PICTURE = TopicTemplate("home-assistant/{camera}/picture")
HOME_CAMERA_SET = TopicTemplate("home-assistant/{camera}/{entity}/set")

BIRTH: Final = "homeassistant/status"
"""Where Home Assistant says that it is there, unless somebody changed that: whatever the prefix."""

_NODE: Final = "nxai-"
"""Begins the level that tells our discovery messages from others; the device follows."""


def discovery_topic(prefix: str, kind: str, device: str, thing: str) -> str:
    """Return where Home Assistant looks for a discovery message.

    Args:
        prefix: As it is set in Home Assistant.
        kind: `device`, or the platform of an entity.
        device: Name of this box.
        thing: Name of the thing or entity, of `a-z`, `A-Z`, `0-9`, `_` and `-`.
    """
    return f"{prefix}/{kind}/{_NODE}{check_level(device, 'device')}/{thing}/config"


def discovery_filter(prefix: str, device: str) -> str:
    """Return a filter for all discovery messages of this box, of both forms."""
    return discovery_topic(prefix, "+", device, "+")


def is_discovery(topic: str, prefix: str, device: str) -> bool:
    """Tell whether a topic is that of a discovery message of this box."""
    levels = topic.removeprefix(f"{prefix}/").split("/")
    return topic.startswith(f"{prefix}/") and levels[1:] == [
        f"{_NODE}{device}",
        *levels[2:3],
        "config",
    ]


def births(prefix: str) -> tuple[str, ...]:
    """Return where Home Assistant may say that it is there."""
    return tuple(dict.fromkeys((f"{prefix}/status", BIRTH)))
