import math
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_common.contracts.alarms import Alarm, AlarmPhase
from nxai_common.contracts.configuration import NxOutputOptions
from nxai_common.contracts.destinations import Content
from nxai_common.contracts.outputs import CameraState, Event, EventPhase
from nxai_publisher.core.detections import detections_of
from nxai_publisher.core.line_protocol import line, lines_of
from nxai_publisher.core.nx_output import output_of
from nxai_publisher.core.observation import observe
from support.results import classified, detection, result

pytestmark = pytest.mark.unit

AT = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
AT_US = 1_795_341_600_123_456


def lines(content: Content, message: Any) -> list[str]:
    read = orjson.loads(message.encode())
    return lines_of(content, read, device="box", camera="front")


def detections(one: Any) -> Any:
    return detections_of(
        one, observe(one), device="box", camera_name="Front", now_us=one.captured_at_us + 5000
    )


def test_detections() -> None:
    shown = [detection(confidence=confidence) for confidence in (0.5, 0.75, 0.6)]
    found = lines("detections", detections(result(3, shown)))
    at = 1_795_341_600_300_000
    tags = "device=box,camera=front,model=m5-nut"
    assert found == [
        (
            f"detections,{tags} count=3i,confidence=0.75,latency_ms=5.0,inference_ms=0.75,"
            f"uncertain=false {at}"
        ),
        f"objects,{tags},label=nut count=3i,confidence=0.75 {at}",
        f"objects,{tags},label=bolt count=0i {at}",
    ]


def test_a_classifier() -> None:
    found = lines("detections", detections(classified(3, good=0.9, bad=math.nan)))
    assert [text.split()[:2] for text in found][-1:] == [
        ["scores,device=box,camera=front,model=m5-nut,label=good", "probability=0.9"]
    ]


def test_a_confidence_that_is_none_is_left_out() -> None:
    found = lines("detections", detections(result(3, [detection("nut", math.nan)])))
    assert found[0].split()[1].startswith("count=1i,latency_ms=")
    assert found[1].endswith("label=nut count=1i 1795341600300000")


def test_events() -> None:
    event = Event(
        event=EventPhase.START, id="front-nut-1", device="box", camera="front", model="m5",
        label="big nut", timestamp=AT, timestamp_ms=0, started_at=AT, duration_s=1.5, count=1,
        max_count=2, confidence=1.0,
    )  # fmt: skip
    assert lines("events", event) == [
        (
            "events,device=box,camera=front,model=m5,label=big\\ nut,event=start "
            f'id="front-nut-1",count=1i,max_count=2i,confidence=1.0,duration_s=1.5 {AT_US}'
        )
    ]


def test_alarms() -> None:
    alarm = Alarm(
        alarm=AlarmPhase.END, id="a1", rule="many", device="box", camera="front", model="m5",
        timestamp=AT, timestamp_ms=0, started_at=AT, duration_s=2, count=3,
    )  # fmt: skip
    assert lines("alarms", alarm) == [
        (
            "alarms,device=box,camera=front,model=m5,rule=many,alarm=end "
            f'id="a1",count=3i,duration_s=2.0 {AT_US}'
        )
    ]


def test_state() -> None:
    state = CameraState(
        timestamp=AT, timestamp_ms=0, device="box", camera="front", count=1,
        counts={"nut": 1, "bolt": 0}, present={"nut": True}, fps=15, latency_ms=4.5, uncertain=2,
    )  # fmt: skip
    assert lines("state", state) == [
        f"state,device=box,camera=front count=1i,fps=15.0,latency_ms=4.5,uncertain=2i {AT_US}",
        f"presence,device=box,camera=front,label=nut count=1i,present=true {AT_US}",
        f"presence,device=box,camera=front,label=bolt count=0i {AT_US}",
    ]


def test_nx_output() -> None:
    output = output_of(
        result(3), NxOutputOptions(), device="box", camera_index=0, camera_name="Front"
    )
    assert lines("nx-output", output) == [
        "outputs,device=box,camera=front,model=m5-nut entries=1i,uncertain=0i 1795341600300000"
    ]


@pytest.mark.parametrize(
    ("tag", "field", "expected"),
    [
        ("a b,c=d", 'say "hi"\\', 'm,t=a\\ b\\,c\\=d f="say \\"hi\\"\\\\" 1'),
        ("ends with\\", "", 'm,t=ends\\ with\\_ f="" 1'),
        ("two\nlines\t", "two\nlines", 'm,t=two\\ lines\\  f="two lines" 1'),
        ("", 1, "m f=1i 1"),
        (None, True, "m f=true 1"),
        ("x", 2**63 - 1, f"m,t=x f={2**63 - 1}i 1"),
        ("x", 2**63, ""),
        ("x", math.inf, ""),
        ("x", None, ""),
        ("x", [1], ""),
    ],
)
def test_what_is_escaped_and_what_is_left_out(tag: object, field: object, expected: str) -> None:
    assert line("m", [("t", tag)], [("f", field)], 1) == expected


def unescaped(text: str, at: str) -> list[str]:
    """Split where a character is not escaped, as InfluxDB does."""
    parts, current, escaped = [], "", False
    for character in text:
        if character == at and not escaped:
            parts.append(current)
            current = ""
        else:
            current += character
        escaped = character == "\\"  # a pair of them is two, and the second escapes
    return [*parts, current]


@given(st.text(min_size=1))
def test_a_label_of_anything_is_one_tag_on_one_line(label: str) -> None:
    found = line("objects", [("label", label), ("last", "x")], [("count", 1)], 7)
    assert len(found.splitlines()) == 1
    head, fields, at = unescaped(found, " ")
    measurement, first, last = unescaped(head, ",")
    assert (measurement, last, fields, at) == ("objects", "last=x", "count=1i", "7")
    assert len(unescaped(first, "=")) == 2
