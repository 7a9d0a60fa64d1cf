"""deploy/telegraf and its dashboard read what the contract has (Debian has no Telegraf)."""

import fnmatch
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from nxai_common.bus.routing import matches
from nxai_common.contracts.base import Message
from nxai_common.contracts.outputs import CameraState, Detections, Event
from support import golden
from support.monitoring import DETECTIONS, dashboard, queries, telegraf
from support.shared import ROOT

INPUTS = telegraf()["inputs"]["mqtt_consumer"]
TAKEN = {"_", "measurement"}


def topic_of(source: dict[str, Any]) -> str:
    [topic] = source["topics"]
    assert isinstance(topic, str)
    return topic


def message_of(source: dict[str, Any]) -> Message:
    """Return the example of the message that an input reads."""
    [found] = [m for m in golden.EXAMPLES if matches(topic_of(source), golden.topic(m))]
    return found


def flattened(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what Telegraf's `json` makes of a value: names joined by `_`, lists by position."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from flattened(f"{name}_{key}" if name else key, below)
    elif isinstance(value, list):
        for position, below in enumerate(value):
            yield from flattened(f"{name}_{position}" if name else str(position), below)
    else:
        yield name, value


def fields_of(source: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that come of the example: numbers, and text where it is asked for."""
    text = source.get("json_string_fields", [])
    left_out = {*source.get("tag_keys", ()), source["json_time_key"]}
    return {
        name: value
        for name, value in flattened("", json.loads(message_of(source).encode()))
        if name not in left_out
        and any(fnmatch.fnmatch(name, wanted) for wanted in source["fieldinclude"])
        and ((isinstance(value, int | float) and not isinstance(value, bool)) or name in text)
    }


def tags_of(source: dict[str, Any]) -> set[str]:
    [parsing] = source["topic_parsing"]
    return {*source.get("tag_keys", ()), *parsing["tags"].split("/")} - TAKEN


def measurement_of(source: dict[str, Any]) -> str:
    [parsing] = source["topic_parsing"]
    levels = golden.topic(message_of(source)).split("/")
    position: int = parsing["measurement"].split("/").index("measurement")
    return levels[position]


def test_detections_states_and_events_are_read() -> None:
    assert {type(message_of(source)) for source in INPUTS} >= {Detections, CameraState, Event}


@pytest.mark.parametrize("source", INPUTS, ids=topic_of)
def test_topics_are_taken_apart_where_their_levels_are(source: dict[str, Any]) -> None:
    message = message_of(source)
    [parsing] = source["topic_parsing"]
    levels = golden.topic(message).split("/")
    assert parsing["topic"] == topic_of(source)
    for pattern in (parsing["measurement"], parsing["tags"]):
        assert len(pattern.split("/")) == len(levels)
    named = dict(zip(parsing["tags"].split("/"), levels, strict=True))
    assert named["device"] == golden.DEVICE
    assert named["camera"] == getattr(message, "camera", None)


@pytest.mark.parametrize("source", INPUTS, ids=topic_of)
def test_every_field_and_tag_is_in_the_message(source: dict[str, Any]) -> None:
    message = json.loads(message_of(source).encode())
    fields = fields_of(source)
    optional = {"scores_*"}  # of classification models alone
    for wanted in set(source["fieldinclude"]) - optional:
        assert fnmatch.filter(fields, wanted), wanted
    for tag in source.get("tag_keys", ()):
        assert isinstance(message[tag], str)
    for name in source.get("json_string_fields", ()):
        assert isinstance(message[name], str)
    assert source["json_time_format"] == "unix_ms"
    assert message[source["json_time_key"]] == golden.AT_MS


@pytest.mark.parametrize("source", INPUTS, ids=topic_of)
def test_a_message_is_asked_for_as_carefully_as_it_is_sent(source: dict[str, Any]) -> None:
    policy = message_of(source).policy
    assert source["qos"] == policy.qos
    assert bool(source.get("persistent_session")) == (policy.qos == 1 and not policy.retained)
    if source.get("persistent_session"):
        assert source["client_id"]


@pytest.mark.parametrize("source", INPUTS, ids=topic_of)
def test_the_account_may_read_it(source: dict[str, Any]) -> None:
    rights = (ROOT / "deploy" / "mosquitto" / "acl").read_text().split("user ")
    [mine] = [part for part in rights if part.startswith(f"{source['username']}\n")]
    assert f"topic read {topic_of(source)}\n" in mine


def test_sessions_are_told_apart() -> None:
    names = [source["client_id"] for source in INPUTS if "client_id" in source]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("title", "query"), list(queries(dashboard(DETECTIONS))), ids=lambda text: str(text)[:30]
)
def test_the_dashboard_asks_for_what_is_stored(title: str, query: str) -> None:
    if "schema.tagValues" in query:
        tags = re.findall(r'tag: "(\w+)"', query)
        assert tags
        assert all(tag in tags_of(source) for tag in tags for source in INPUTS)
        return
    [measurement] = re.findall(r'_measurement == "([\w-]+)"', query)
    [source] = [source for source in INPUTS if measurement_of(source) == measurement]
    fields = fields_of(source)
    asked = re.findall(r'_field == "(\w+)"', query)
    patterns = re.findall(r"_field =~ /(.+?)/", query)
    assert asked or patterns, title
    assert set(asked) <= set(fields)
    for pattern in patterns:
        assert any(re.search(pattern, name) for name in fields)
    columns = set(re.findall(r"columns: \[(.+?)\]", query)) | set(
        re.findall(r"rowKey: \[(.+?)\]", query)
    )
    for name in re.findall(r'"(\w+)"', " ".join(columns)):
        assert name == "_time" or name in tags_of(source)
    bucket = telegraf()["outputs"]["influxdb_v2"][0]["bucket"]
    assert f'from(bucket: "{bucket}")' in query
