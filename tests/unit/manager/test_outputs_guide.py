"""The guide's examples of destinations are complete, and their templates fit real messages."""

import json
import re
from datetime import UTC, datetime
from typing import Any, get_args

import orjson
import pytest

from nxai_common.contracts.alarms import Alarm, AlarmPhase
from nxai_common.contracts.base import Message
from nxai_common.contracts.destinations import (
    Destination,
    DestinationOptions,
    HttpDestination,
    OutboxOptions,
)
from nxai_common.contracts.outputs import Event, EventPhase
from nxai_manager.core.problems import check_settings
from nxai_publisher.core.templates import Filling
from support.shared import ROOT

pytestmark = pytest.mark.unit

GUIDE = (ROOT / "docs" / "guides" / "outputs.md").read_text()
EXAMPLES: list[dict[str, Any]] = [
    destination
    for text in re.findall(r"^```json\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    for destination in json.loads(text)["outputs"].get("destinations", [])
]
KINDS = get_args(get_args(Destination)[0])
AT = datetime(2026, 11, 22, tzinfo=UTC)


def taken(example: dict[str, Any]) -> Destination:
    cameras = [{"id": "front", "source": {"type": "demo"}}]
    outputs = {"destinations": [example]}
    settings = check_settings(json.dumps({"cameras": cameras, "outputs": outputs}))
    (found,) = settings.outputs.destinations
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["id"]))
def test_an_example_is_taken(example: dict[str, Any]) -> None:
    assert taken(example).id == example["id"]


def test_every_kind_has_an_example_and_every_option_is_named() -> None:
    assert {example["type"] for example in EXAMPLES} == {
        kind.model_fields["type"].default for kind in KINDS
    }
    for kind in (*KINDS, OutboxOptions):
        for name in kind.model_fields:
            assert re.search(rf'[`"]{name}[`"]', GUIDE), (kind.__name__, name)
    assert set(DestinationOptions.model_fields) <= set(
        re.findall(r"^\| `(\w+)`", GUIDE, re.MULTILINE)
    )


def message(content: str) -> Message:
    common: dict[str, Any] = {
        "id": "x", "device": "box", "camera": "front", "camera_name": 'Front "door"',
        "model": "m5", "timestamp": AT, "timestamp_ms": 0, "started_at": AT, "duration_s": 1.5,
        "count": 2,
    }  # fmt: skip
    if content == "alarms":
        return Alarm(alarm=AlarmPhase.START, rule="jam", rule_name="Jam", **common)
    return Event(event=EventPhase.START, label="nut", max_count=3, confidence=0.5, **common)


@pytest.mark.parametrize("name", ["telegram", "slack"])
def test_a_body_is_json(name: str) -> None:
    (example,) = (one for one in EXAMPLES if one["id"] == name)
    options = taken(example)
    assert isinstance(options, HttpDestination)
    fields = orjson.loads(message(options.what[0]).encode())
    body = Filling(options.body, "the body").fill(fields, lambda _: "S3CRET").text
    text = orjson.loads(body)["text"]
    assert 'on Front "door": start' in text
    url = Filling(options.url, "the url").fill(fields, lambda _: "S3CRET")
    assert "S3CRET" in url.text


def test_a_bulk_is_a_line_each() -> None:
    (example,) = (one for one in EXAMPLES if one["id"] == "elastic")
    options = taken(example)
    assert isinstance(options, HttpDestination)
    several = [orjson.loads(message("events").encode()) for _ in range(3)]
    variables = {"messages": several, "ids": ["a", "b", "c"]}
    body = Filling(options.body, "the body").fill(variables, str).text
    assert body.endswith("\n")
    lines = [orjson.loads(line) for line in body.splitlines()]
    assert lines[::2] == [{"index": {"_id": name}} for name in "abc"]
    assert lines[1::2] == several
