"""What lies in the outbox, and what each destination wants of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, get_args

from nxai_common.contracts.destinations import Content, Destination

CONTENTS: Final[tuple[Content, ...]] = get_args(Content)
OF_FRAMES: Final[frozenset[Content]] = frozenset({"detections", "nx-output"})
"""Of these a destination may want only what shows something."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as it lies in the outbox."""

    number: int
    """Its place; grows."""
    content: Content
    camera: str
    model: str
    at_us: int
    """When it was said, in Unix microseconds."""
    id: str
    """Of every copy the same, and of no other entry of its camera."""
    payload: bytes
    """JSON, as it travels over MQTT."""
    size: int
    """Bytes that it takes in the outbox."""
    picture: bytes = b""
    """Of an alarm: JPEG of its frame, for those that want it."""
    edition: int = 0
    """Of the outbox: another file numbers anew."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that a destination will never take."""

    entry: Entry
    reason: str


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the outbox is to keep."""

    enabled: bool
    """Whether there is a destination (or something of one that is gone)."""
    keep_days: float
    keep_mb: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one destination is to get."""

    destination: str
    contents: frozenset[Content]
    cameras: frozenset[str] = frozenset()
    """Empty: all."""
    only_with_objects: bool = False

    def wants(self, content: Content, camera: str, *, objects: bool) -> bool:
        """Tell whether this is for it."""
        return (
            content in self.contents
            and (not self.cameras or camera in self.cameras)
            and (objects or not self.only_with_objects or content not in OF_FRAMES)
        )


def wanted_by(destinations: Iterable[Destination]) -> tuple[Wanted, ...]:
    """Return what those that are enabled want; a second one of the same id wants nothing."""
    found = {
        one.id: Wanted(one.id, frozenset(one.what), frozenset(one.cameras), one.only_with_objects)
        for one in reversed(tuple(destinations))
        if one.enabled
    }
    return tuple(reversed(found.values()))


def pictured_by(destinations: Iterable[Destination]) -> tuple[Wanted, ...]:
    """Return who of those that are enabled wants alarms with pictures."""
    with_picture = (one for one in destinations if getattr(one, "picture", False))
    return tuple(one for one in wanted_by(with_picture) if "alarms" in one.contents)


def unique_id(entry: Entry, device: str) -> str:
    """Return what no other entry has, of whatever camera and box."""
    return f"{device}-{entry.camera}-{entry.id}"
