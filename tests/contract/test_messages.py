"""What a reader may rely on: contradictions are refused by name, unknown fields are not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from nxai_common.contracts.base import MAX_PAYLOAD_BYTES, Message, RawMessage, explain
from nxai_common.contracts.configuration import (
    CaptureConfiguration,
    InferenceConfiguration,
    PublisherConfiguration,
)
from nxai_common.contracts.deployments import DeployedModel
from nxai_common.contracts.frames import Frame, Picture
from nxai_common.contracts.models import InputSpec, ResizeMode, ResizeQuality
from nxai_common.contracts.outputs import Output
from nxai_common.contracts.results import InferenceResult
from nxai_common.contracts.status import Status
from nxai_common.contracts.topics import check_level
from nxai_common.errors import InvalidPayload
from nxai_manager.core.document import Settings
from support import golden

JSON_CLASSES = [
    kind
    for kind in golden.message_classes()
    if not issubclass(kind, RawMessage) and kind.__name__ not in {"Reply", "Output"}
]
"""Of one shape: JSON object, perhaps an attachment, a topic of their own."""


def changed(kind: type[Message], **fields: Any) -> tuple[str, bytes]:
    """Return topic and payload of the class's example with some fields replaced."""
    message = golden.example(kind)
    head, separator, body = (
        message.encode().partition(b"\n") if kind.has_attachment else (message.encode(), b"", b"")
    )
    head = json.dumps(json.loads(head) | fields).encode()
    return golden.topic(message), head + separator + body


FREE_MAPS = {"headers", "settings"}
"""Fields whose keys a person chooses."""


def nested(value: Any) -> Any:
    """Return the JSON value with an unknown field in every object that is a message part."""
    if isinstance(value, list):
        return [nested(item) for item in value]
    if isinstance(value, dict):
        grown = {key: nested(item) for key, item in value.items()}
        # Objects without text-valued fields may be free maps (counts per label): leave them.
        free = all(isinstance(item, bool | int) for item in value.values())
        grown |= {name: value[name] for name in FREE_MAPS & value.keys()}
        return grown if free else grown | {"from_the_future": {"x": [1]}}
    return value


@pytest.mark.parametrize("kind", JSON_CLASSES, ids=lambda kind: kind.__name__)
def test_unknown_fields_are_ignored_at_every_depth(kind: type[Message]) -> None:
    message = golden.example(kind)
    head, separator, body = (
        message.encode().partition(b"\n") if kind.has_attachment else (message.encode(), b"", b"")
    )
    grown = json.dumps(nested(json.loads(head))).encode() + separator + body
    assert b"from_the_future" in grown
    assert kind.decode(golden.topic(message), grown) == message


def test_unknown_fields_of_an_nx_output_object_are_ignored() -> None:
    message = golden.example(Output)
    [entry] = json.loads(message.encode())
    payload = json.dumps([entry | {"from_the_future": 1}]).encode()
    assert Output.decode(golden.topic(message), payload) == message


@pytest.mark.parametrize("kind", JSON_CLASSES, ids=lambda kind: kind.__name__)
def test_unknown_schema_version_is_refused_by_name(kind: type[Message]) -> None:
    topic, payload = changed(kind, schema_version=2)
    with pytest.raises(InvalidPayload, match=r"schema_version: Input should be 1 \(got 2\)"):
        kind.decode(topic, payload)


@pytest.mark.parametrize("kind", golden.message_classes(), ids=lambda kind: kind.__name__)
def test_foreign_topic_is_refused(kind: type[Message]) -> None:
    payload = golden.example(kind).encode()
    with pytest.raises(InvalidPayload, match=f"'a/b' is not a topic of {kind.__name__}"):
        kind.decode("a/b", payload)


def test_message_that_contradicts_its_topic_is_refused() -> None:
    topic, payload = changed(Frame, camera="back")
    with pytest.raises(InvalidPayload, match="says camera 'back'"):
        Frame.decode(topic, payload)


@pytest.mark.parametrize("surplus", [-1, 1])
def test_frame_whose_byte_count_is_not_its_shape_is_refused(surplus: int) -> None:
    topic, payload = changed(Frame)
    payload = payload + b"\0" if surplus == 1 else payload[:-1]
    with pytest.raises(
        InvalidPayload, match=rf"camera 'front' says 4x2x3 = 24 bytes but carries {24 + surplus}"
    ):
        Frame.decode(topic, payload)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"width": 0}, "width"),
        ({"width": 4097}, "width"),
        ({"channels": 4}, "channels"),
        ({"transform": {"scale_x": 0, "scale_y": 1}}, "scale_x"),
        ({"camera": "Front"}, "camera"),
    ],
)
def test_frame_field_out_of_range_is_named(fields: dict[str, Any], reason: str) -> None:
    topic, payload = changed(Frame, **fields)
    with pytest.raises(InvalidPayload, match=reason):
        Frame.decode(topic, payload)


@pytest.mark.parametrize(
    ("fields", "there"),
    [
        ({"tensors": [{"name": "o", "shape": [9], "offset": 0, "length": 36}]}, r"0\.\.36"),
        (
            {"image": {"width": 4, "height": 2, "channels": 3, "offset": 9, "length": 24}},
            r"9\.\.33",
        ),
    ],
)
def test_result_that_describes_bytes_it_does_not_carry_is_refused(
    fields: dict[str, Any], there: str
) -> None:
    topic, payload = changed(InferenceResult, **fields)
    with pytest.raises(InvalidPayload, match=f"describes bytes {there} but carries 32"):
        InferenceResult.decode(topic, payload)


def test_result_without_attachment_needs_no_newline() -> None:
    message = golden.example(InferenceResult).model_copy(
        update={"tensors": (), "image": None, "attachment": b""}
    )
    assert InferenceResult.decode(golden.topic(message), message.encode().rstrip(b"\n")) == message


def test_attachment_may_be_any_bytes_like_thing() -> None:
    message = golden.example(Frame)
    assert isinstance(message, Frame)
    for kind in (bytearray, memoryview):
        same = message.model_copy(update={"attachment": kind(bytes(message.attachment))})
        assert same.encode() == message.encode()


@given(payload=st.binary(max_size=200))
def test_no_payload_raises_anything_but_invalid_payload(payload: bytes) -> None:
    for kind in golden.message_classes():
        try:
            kind.decode("nxai/v1/box/cameras/front/picture", payload)
        except InvalidPayload:
            assert kind is not Picture


@given(payload=st.binary(max_size=200))
def test_malformed_payload_on_its_own_topic_is_invalid(payload: bytes) -> None:
    for kind in (Status, Frame, Output):
        with pytest.raises(InvalidPayload, match=kind.__name__):
            kind.decode(golden.topic(golden.example(kind)), payload)


def test_message_is_immutable() -> None:
    message = golden.example(Status)
    with pytest.raises(ValidationError, match="frozen"):
        message.schema_version = 1  # type: ignore[misc]  # that is the point


class Wanted(BaseModel):
    size: int
    parts: list[int] = []


def fault(value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Wanted.model_validate(value)
    return explain(caught.value)


def test_explain_names_field_value_and_reason() -> None:
    assert fault({"size": "big", "parts": [1, "two"]}) == (
        "size: Input should be a valid integer, unable to parse string as an integer (got 'big'); "
        "parts.1: Input should be a valid integer, unable to parse string as an integer "
        "(got 'two')"
    )


def test_explain_names_the_payload_when_no_field_is_to_blame() -> None:
    assert fault(7).startswith("payload: Input should be a valid dictionary")


def test_explain_is_one_short_line_whatever_the_value() -> None:
    for value in (
        "x" * MAX_PAYLOAD_BYTES,
        b"\0" * MAX_PAYLOAD_BYTES,
        {str(i): i for i in range(999)},
    ):
        text = fault({"size": value})
        assert len(text) < 200
        assert "..." in text
        assert "\n" not in text


def test_explain_counts_what_it_does_not_show() -> None:
    text = fault({"size": 1, "parts": ["x"] * 9})
    assert text.count("parts.") == 5
    assert text.endswith("; and 4 more")


@pytest.mark.parametrize("mode", list(ResizeMode))
@pytest.mark.parametrize("quality", list(ResizeQuality))
def test_inputs_that_differ_have_names_that_differ_and_are_levels(
    mode: ResizeMode, quality: ResizeQuality
) -> None:
    spec = InputSpec(width=96, height=64, channels=1, resize_mode=mode, resize_quality=quality)
    assert check_level(spec.id, "input") == f"96x64x1_{mode.value}_{quality.value}"


def numbers(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every number in a JSON schema, with the name it is found under."""
    parts = [("", schema)]
    while parts:
        name, part = parts.pop()
        if part.get("type") in ("number", "integer") and "const" not in part:
            yield name, part
        for key, below in part.items():
            if isinstance(below, dict):
                parts.append((f"{name}.{key}", below))
            elif isinstance(below, list):
                parts += [(name, item) for item in below if isinstance(item, dict)]


@pytest.mark.parametrize(
    "kind", [CaptureConfiguration, InferenceConfiguration, PublisherConfiguration, Settings]
)
def test_every_number_of_a_configuration_has_bounds(kind: type[BaseModel]) -> None:
    found = list(numbers(kind.model_json_schema()))
    assert found
    for name, part in found:
        assert {"minimum", "exclusiveMinimum"} & part.keys(), f"{name} may be any negative number"
        assert "maximum" in part, f"{name} may be any large number"


@pytest.mark.parametrize("half", [{"candidate": "b" * 64}, {"candidate_model": "nuts-next"}])
def test_a_candidate_has_a_digest_and_a_name_or_is_none(half: dict[str, str]) -> None:
    whole = {"model": "nuts", "digest": "a" * 64}
    DeployedModel.model_validate(whole)
    with pytest.raises(ValidationError, match="belong together"):
        DeployedModel.model_validate(whole | half)
