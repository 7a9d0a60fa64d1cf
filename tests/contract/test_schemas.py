"""The published schemas and the examples of the messages agree."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from nxai_common.contracts import topics
from nxai_common.contracts.base import AttachedMessage, Message, RawMessage
from nxai_common.contracts.topics import TopicTemplate
from support import golden
from support.shared import ROOT

DOCS = ROOT / "docs"
CLASSES = [kind for kind in golden.message_classes() if not issubclass(kind, RawMessage)]

Errors = Callable[[Any], Iterator[ValidationError]]


@cache
def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
    return document


def published(kind: type[Message]) -> Errors:
    """Return the check of docs/schemas."""
    schema = json.loads((DOCS / "schemas" / f"{kind.__name__}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors


def described(kind: type[Message]) -> Errors:
    """Return the check of the payload (of its first line, if there are bytes) in asyncapi.yaml."""
    document = asyncapi()
    payload = document["components"]["messages"][kind.__name__]["payload"]
    if issubclass(kind, AttachedMessage):
        assert payload["format"] == "binary"
        payload = payload["x-json-line"]
    schema = {**payload, "components": document["components"]}
    # In draft 7 what stands beside a reference is ignored; its target is found all the same.
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema, format_checker=FormatChecker()).iter_errors


def first_line(kind: type[Message]) -> Any:
    payload = golden.file_of(kind).read_bytes()
    return json.loads(payload.partition(b"\n")[0] if kind.has_attachment else payload)


@pytest.mark.parametrize("schema", [published, described])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_golden_file_keeps_its_schema(
    kind: type[Message], schema: Callable[[type[Message]], Errors]
) -> None:
    assert [error.message for error in schema(kind)(first_line(kind))] == []


@pytest.mark.parametrize("schema", [published, described])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_schema_refuses_what_readers_refuse(
    kind: type[Message], schema: Callable[[type[Message]], Errors]
) -> None:
    value = first_line(kind)
    broken = (
        [value[0] | {"h": "high"}] if isinstance(value, list) else value | {"schema_version": 2}
    )
    assert list(schema(kind)(broken))


@pytest.mark.parametrize("schema", [published, described])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_schema_allows_what_is_added_later(
    kind: type[Message], schema: Callable[[type[Message]], Errors]
) -> None:
    value = first_line(kind)
    grown = [value[0] | {"new": 1}] if isinstance(value, list) else value | {"new": 1}
    assert not list(schema(kind)(grown))


def test_every_topic_has_a_message_with_an_example() -> None:
    templates = {t.text for t in vars(topics).values() if isinstance(t, TopicTemplate)}
    # What entities of Home Assistant show is between them and the publisher.
    templates -= {text for text in templates if text.startswith("home-assistant/")}
    assert {type(example).template.text for example in golden.EXAMPLES} == templates


@pytest.mark.parametrize(
    "kind",
    [k for k in golden.message_classes() if issubclass(k, RawMessage)],
    ids=lambda k: k.__name__,
)
def test_bare_bytes_are_called_so(kind: type[Message]) -> None:
    message = asyncapi()["components"]["messages"][kind.__name__]
    assert message["payload"]["format"] == "binary"
    assert message["contentType"] == "image/jpeg"
