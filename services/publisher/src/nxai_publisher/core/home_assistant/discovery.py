"""Discovery messages, and in which steps they take the place of those that are there.

Home Assistant needs pauses: it forgets an entity in a task of its own, and one that comes back
before that would be called `..._2`. So what is to be done is done in rounds, and after each of
them it is looked anew what is to be done next.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from nxai_common.contracts import topics
from nxai_publisher.core.home_assistant.platforms import Origin
from nxai_publisher.core.home_assistant.things import BOX, Thing

Payload = dict[str, Any]

MIGRATE: Final[Payload] = {"migrate_discovery": True}
"""Says that an entity goes on under another message: its history and its settings stay."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A message, or the removal of one."""

    topic: str
    payload: Payload | None

    def encode(self) -> bytes:
        """Return it as it is sent."""
        if self.payload is None:
            return b""
        return json.dumps(self.payload, ensure_ascii=False, separators=(",", ":")).encode(
            errors="replace"
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """All messages that shall be there, in order."""

    payloads: dict[str, Payload]
    """By topic."""
    first: frozenset[str] = frozenset()
    """Those that others refer to."""


NOTHING: Final = Wanted({})


def announcements(
    things: Sequence[Thing],
    origin: Origin,
    *,
    mode: Literal["device", "single"],
    prefix: str,
    device: str,
) -> Wanted:
    """Return what is to be announced.

    Args:
        things: The box, then its cameras.
        origin: Who announces it.
        mode: One message a device, or one an entity.
        prefix: As it is set in Home Assistant.
        device: Name of this box.
    """
    payloads: dict[str, Payload] = {}
    first: set[str] = set()
    for thing in things:
        of_thing = (
            _whole(thing, origin, prefix, device)
            if mode == "device"
            else _each(thing, origin, prefix, device)
        )
        payloads.update(of_thing)
        if thing.name == BOX:
            first.update(of_thing)
    return Wanted(payloads, frozenset(first))


def _whole(thing: Thing, origin: Origin, prefix: str, device: str) -> dict[str, Payload]:
    topic = topics.discovery_topic(prefix, "device", device, thing.name)
    components = {key: part.told() for key, part in thing.components.items()}
    payload = {"device": thing.device.told(), "origin": origin.told(), "components": components}
    return {topic: payload}


def _each(thing: Thing, origin: Origin, prefix: str, device: str) -> dict[str, Payload]:
    payloads = {}
    for key, part in thing.components.items():
        # One capital letter in all of it: what is before it is the thing, and the rest the key.
        name = f"{thing.name}-{key.capitalize()}"
        topic = topics.discovery_topic(prefix, part.platform, device, name)
        payload = part.told() | {"device": thing.device.told(), "origin": origin.told()}
        del payload["platform"]
        payloads[topic] = payload
    return payloads


def read(payload: bytes) -> Payload:
    """Return what a broker kept; empty: nobody can read it."""
    try:
        found = json.loads(payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def next_round(published: Mapping[str, Payload], wanted: Wanted) -> tuple[Announcement, ...]:
    """Return what to send next; then wait, and ask again. Empty: all is as it shall be.

    Args:
        published: What is on the broker.
        wanted: What shall be there.
    """
    leaving = [topic for topic in published if topic not in wanted.payloads]
    new = set().union(*(_ids(p) for topic, p in wanted.payloads.items() if topic not in published))
    unmarked = [topic for topic in leaving if published[topic] != MIGRATE]
    if unmarked:
        # The last first: the box after its cameras.
        return tuple(
            Announcement(topic, MIGRATE if _ids(published[topic]) & new else None)
            for topic in reversed(unmarked)
        )
    changes = tuple(
        Announcement(topic, _step(published.get(topic, {}), payload))
        for topic, payload in wanted.payloads.items()
        if published.get(topic) != payload
    )
    ahead = tuple(change for change in changes if change.topic in wanted.first)
    if any(change.topic not in published for change in ahead):
        return ahead  # a camera that comes before its box would never find it
    return changes or tuple(Announcement(topic, None) for topic in leaving)


def applied(published: Mapping[str, Payload], done: Sequence[Announcement]) -> dict[str, Payload]:
    """Return what is on the broker after a round."""
    after = dict(published)
    for step in done:
        if step.payload is None:
            after.pop(step.topic, None)
        else:
            after[step.topic] = step.payload
    return after


def _step(before: Payload, after: Payload) -> Payload:
    """Return a message on the way to another: entities that go are said to go first."""
    old, new = _components(before), _components(after)
    going = {
        key: {"platform": part["platform"]}
        for key, part in old.items()
        if not _is_gone(part) and part.get("platform") != new.get(key, {}).get("platform")
    }
    if not going:
        return after
    staying = {key: part for key, part in new.items() if key not in going}
    return after | {"components": staying | going}


def _is_gone(part: Payload) -> bool:
    """Tell whether this says only that an entity is no more."""
    return set(part) <= {"platform"}


def _components(payload: Payload) -> dict[str, Payload]:
    found = payload.get("components")
    if not isinstance(found, dict):
        return {}
    return {
        key: part for key, part in found.items() if isinstance(part, dict) and "platform" in part
    }


def _ids(payload: Payload) -> set[str]:
    """Return the entities that a message announces."""
    parts = [payload, *_components(payload).values()]
    return {str(part["unique_id"]) for part in parts if "unique_id" in part}
