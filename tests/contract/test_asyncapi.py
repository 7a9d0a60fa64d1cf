"""docs/asyncapi.yaml: what the official parser says of it, and that it tells of every message."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import Command, Reply
from support import golden
from support.asyncapi import diagnostics_of
from support.shared import ROOT

DOCUMENT = ROOT / "docs" / "asyncapi.yaml"
CLASSES = golden.message_classes()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    whole = yaml.safe_load(DOCUMENT.read_text())
    assert isinstance(whole, dict)
    return whole


def at(document: dict[str, Any], reference: dict[str, str]) -> Any:
    """Return what a `$ref` within the document stands for."""
    place: Any = document
    for name in reference["$ref"].removeprefix("#/").split("/"):
        place = place[name]
    return place


def operations_of(document: dict[str, Any], kind: type[Message]) -> list[dict[str, Any]]:
    message = document["components"]["messages"][kind.__name__]
    return [
        operation
        for operation in document["operations"].values()
        if at(document, at(document, operation["messages"][0])) is message
    ]


def test_official_parser_has_nothing_to_say() -> None:
    assert diagnostics_of(DOCUMENT) == []


def test_official_parser_finds_a_mistake(tmp_path: Path) -> None:
    """A parser that says nothing of anything would pass above."""
    broken = yaml.safe_load(DOCUMENT.read_text())
    broken["operations"]["sendDetections"]["channel"]["$ref"] = "#/channels/nowhere"
    path = tmp_path / "asyncapi.yaml"
    path.write_text(yaml.safe_dump(broken))
    found = diagnostics_of(path)
    assert {d["severity"] for d in found} == {0}
    assert any("operations/sendDetections/channel" in d["where"] for d in found)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_topic_of_every_message_is_that_of_its_channel(
    document: dict[str, Any], kind: type[Message]
) -> None:
    [channel] = [
        channel for channel in document["channels"].values() if kind.__name__ in channel["messages"]
    ]
    if kind is Reply:
        assert channel["address"] is None
        return
    example = golden.example(kind)
    levels = {"device": golden.DEVICE} | {n: getattr(example, n) for n in kind.template.names}
    assert set(channel["parameters"]) <= set(levels)
    wanted = {name: levels[name] for name in channel["parameters"]}
    assert channel["address"].format(**wanted) == golden.topic(example)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_operations_of_every_message_say_how_it_is_carried(
    document: dict[str, Any], kind: type[Message]
) -> None:
    operations = operations_of(document, kind)
    if kind is Reply:
        assert operations == []  # it is the reply of others
        return
    assert operations
    for operation in operations:
        binding = operation["bindings"]["mqtt"]
        assert binding["qos"] == kind.policy.qos
        if operation["action"] == "send":
            assert binding["retain"] is kind.policy.retained
            assert binding.get("messageExpiryInterval") == kind.expires_after_s
        if issubclass(kind, Command):
            assert list(at(document, operation["reply"]["channel"])["messages"]) == ["Reply"]
        else:
            assert "reply" not in operation


def test_commands_and_answers_say_what_belongs_together(document: dict[str, Any]) -> None:
    for kind in CLASSES:
        binding = document["components"]["messages"][kind.__name__]["bindings"]["mqtt"]
        assert ("responseTopic" in binding) == issubclass(kind, Command)
        assert ("correlationData" in binding) == issubclass(kind, Command | Reply)


def test_account_is_asked_for_on_every_server(document: dict[str, Any]) -> None:
    assert document["servers"]
    for server in document["servers"].values():
        [scheme] = server["security"]
        assert at(document, scheme)["type"] == "userPassword"
