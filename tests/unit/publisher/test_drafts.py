from datetime import UTC, datetime
from typing import Any

import pytest

from nxai_common.contracts.alarms import Alarm, AlarmPhase
from nxai_common.contracts.base import Message
from nxai_common.contracts.configuration import PublisherCamera, PublisherConfiguration
from nxai_common.contracts.destinations import Content
from nxai_common.contracts.outputs import CameraState, Detections, Event, EventPhase, Output
from nxai_publisher.core.drafts import KINDS, Draft, occasional, of_frame
from nxai_publisher.core.entries import CONTENTS
from nxai_publisher.core.observation import observe
from support.results import result

pytestmark = pytest.mark.unit

CAMERA = PublisherCamera(id="front", name="Front door", index=3)
AT = datetime(2026, 11, 22, tzinfo=UTC)


class Wish:
    """Wants some contents, and remembers what it was asked."""

    def __init__(self, *contents: Content) -> None:
        self.contents = contents
        self.asked: list[tuple[Content, str, bool]] = []

    def __call__(self, content: Content, camera: str, *, objects: bool) -> bool:
        self.asked.append((content, camera, objects))
        return content in self.contents


def drafts(wish: Wish, *, found: Any = None, **wanted: Any) -> list[Draft]:
    one = result(7, found)
    configuration = PublisherConfiguration(revision="1", **wanted)
    return list(
        of_frame(one, observe(one), configuration, CAMERA, wish, device="box", now_us=1_000)
    )


def test_every_content_has_its_message() -> None:
    assert set(KINDS) == set(CONTENTS)


def test_a_frame_gives_what_is_wanted_of_it() -> None:
    found = drafts(Wish("detections", "nx-output", "events"))
    assert [(d.content, type(d.message)) for d in found] == [
        ("detections", Detections),
        ("nx-output", Output),
    ]
    assert {(d.camera, d.model, d.objects, d.at_us) for d in found} == {
        ("front", "m5-nut", True, 1_000)
    }
    assert [d.frame for d in found] == ["", "run-1-7-m5-nut"]
    assert drafts(Wish()) == []


def test_it_is_asked_whether_the_frame_shows_something() -> None:
    wish = Wish()
    drafts(wish, found=())
    assert wish.asked == [("detections", "front", False), ("nx-output", "front", False)]


def test_an_output_that_is_off_gives_nothing() -> None:
    wish = Wish("detections", "nx-output")
    assert [d.content for d in drafts(wish, detections=False)] == ["nx-output"]
    assert [d.content for d in drafts(wish, nx_output={"enabled": False})] == ["detections"]


def test_an_output_that_is_gathered_over_mqtt_is_one_draft_a_frame() -> None:
    (found,) = drafts(Wish("nx-output"), nx_output={"every_s": 60})
    assert isinstance(found.message, Output)
    assert len(found.message.entries) == 1


def event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "event": EventPhase.START, "id": "e1", "device": "box", "camera": "front", "model": "m5",
        "label": "nut", "timestamp": AT, "timestamp_ms": 0, "started_at": AT, "duration_s": 0.0,
        "count": 1, "max_count": 1, "confidence": 0.5,
    }  # fmt: skip
    return Event(**{**fields, **changes})


def alarm() -> Alarm:
    return Alarm(
        alarm=AlarmPhase.START, id="a1", rule="many", device="box", camera="front", model="m5",
        timestamp=AT, timestamp_ms=0, started_at=AT, duration_s=0.0, count=3,
    )  # fmt: skip


def state() -> CameraState:
    return CameraState(
        timestamp=AT, timestamp_ms=0, device="box", camera="front", count=0, counts={}, present={}
    )


@pytest.mark.parametrize(
    ("message", "content", "model"),
    [(event(), "events", "m5"), (alarm(), "alarms", "m5"), (state(), "state", "")],
)
def test_what_happens_now_and_then(message: Message, content: Content, model: str) -> None:
    draft = occasional(message, 5, Wish(content))
    assert draft == Draft(content, message, "front", model, objects=True, at_us=5)
    assert occasional(message, 5, Wish("detections")) is None


def test_what_a_frame_gives_is_not_among_it() -> None:
    wish = Wish(*CONTENTS)
    (detections, output) = drafts(wish)
    assert occasional(detections.message, 5, wish) is None
    assert occasional(output.message, 5, wish) is None
