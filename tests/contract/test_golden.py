"""How every message looks on the wire, byte for byte."""

import json

import pytest

from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import Reply
from support import golden

CLASSES = golden.message_classes()


def decode(kind: type[Message], payload: bytes) -> Message:
    if kind is Reply:  # answers have no topic of their own; the bus reads them like this
        head, _, body = payload.partition(b"\n")
        return Reply.model_validate_json(head).model_copy(update={"attachment": body})
    return kind.decode(golden.topic(golden.example(kind)), payload)


def test_every_class_has_an_example_and_a_file() -> None:
    assert {type(example) for example in golden.EXAMPLES} == set(CLASSES)
    expected = {golden.file_of(kind).name for kind in CLASSES} | {"topics.json"}
    assert {path.name for path in golden.GOLDEN.iterdir()} == expected


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_golden_file_decodes_and_encodes_to_itself(kind: type[Message]) -> None:
    payload = golden.file_of(kind).read_bytes()
    message = decode(kind, payload)
    assert message == golden.example(kind)
    assert message.encode() == payload


def test_topics_are_pinned() -> None:
    pinned = json.loads((golden.GOLDEN / "topics.json").read_text())
    assert pinned == {type(m).__name__: golden.topic(m) for m in golden.EXAMPLES}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_only_state_is_retained_and_only_what_matters_is_acknowledged(kind: type[Message]) -> None:
    assert kind.policy.retained == (kind.policy.value == "state")
    assert kind.policy.qos == (1 if kind.policy.value in {"state", "reliable"} else 0)
