"""What every message is: a validated value that owns its topic and its policy.

On the wire a message is one of three:

* one line of JSON;
* one line of JSON, a newline, then raw bytes, the *attachment* (25 times cheaper to encode
  than base64 in JSON, and a shell can read it: ``head -1``);
* raw bytes alone, for pictures that other programs read or send (`RawMessage`).
"""

import enum
import operator
import reprlib
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema, ValidationError
from pydantic_core.core_schema import any_schema

from nxai_common.contracts.topics import TopicTemplate
from nxai_common.errors import InvalidPayload

SCHEMA_VERSION: Final = 1

MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
"""Larger than any picture we send (8K JPEG: 12 MB), small enough that ten fit in a small box."""


class Policy(enum.Enum):
    """How a class of messages behaves when somebody is slow or away."""

    LATEST = "latest"
    """Only the newest matters. QoS 0; a slow consumer skips to the newest and counts the rest."""
    STREAM = "stream"
    """Every one matters a little. QoS 0; a slow consumer loses the oldest of a bounded queue."""
    RELIABLE = "reliable"
    """Every one matters. QoS 1; acknowledged after the work is safe, sent again otherwise."""
    STATE = "state"
    """The last one is the truth. QoS 1, retained; sent again after a reconnect."""

    @property
    def qos(self) -> Literal[0, 1]:
        """MQTT quality of service."""
        return 1 if self in (Policy.RELIABLE, Policy.STATE) else 0

    @property
    def retained(self) -> bool:
        """Whether the broker keeps the last message for late subscribers."""
        return self is Policy.STATE


class Value(BaseModel):
    """A part of a message: immutable, unknown fields ignored."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", ser_json_inf_nan="null", use_attribute_docstrings=True
    )


Attachment = Annotated[
    bytes | bytearray | memoryview, GetPydanticSchema(lambda _type, _next: any_schema())
]
"""Raw bytes behind the JSON line. Not validated by pydantic (which has no schema for bytearray
and would copy): `Message.check` looks at it."""


class Message(Value):
    """A JSON message, with or without an attachment.

    Subclasses set `template` and `policy`; the levels of the topic are fields of the message.
    """

    template: ClassVar[TopicTemplate]
    policy: ClassVar[Policy]
    expires_after_s: ClassVar[int | None] = None
    """MQTT 5 message expiry, for retained messages that must not outlive their box."""
    has_attachment: ClassVar[bool] = False
    depth: ClassVar[int] = 1
    """LATEST only: how many of one topic may wait for a slow reader or socket; the oldest goes."""

    cloud_event: ClassVar[str | None] = None
    """CloudEvents type (`io.nxai-edge.WORD.v1`) of what the world outside reads; see
    `bus.cloud_events`. None: it carries no attributes."""

    schema_version: Literal[1] = SCHEMA_VERSION

    def occurrence(self) -> str:
        """Return what tells this message from all others of its class and topic.

        The same for every copy, also for one made anew from the same data; who reads can leave out
        what it has seen. Empty: its payload does.
        """
        return ""

    def occurred_at(self) -> datetime | None:
        """Return when that happened of which the message tells; None: it does not say."""
        return None

    def topic(self, device: str) -> str:
        """Return the topic this message is published on."""
        return self.template.build(device, **{n: getattr(self, n) for n in self.template.names})

    @classmethod
    def filter(cls, device: str, **levels: str) -> str:
        """Return a subscription filter for this class; levels not given match anything."""
        return cls.template.filter(device, **levels)

    def check(self) -> None:
        """Raise InvalidPayload when parts contradict each other. Called after decoding."""

    def encode(self) -> bytes:
        """Return the payload."""
        return self.model_dump_json(exclude={"attachment"}).encode()

    @classmethod
    def decode(cls, topic: str, payload: bytes) -> Self:
        """Return the message in `payload`.

        Raises:
            InvalidPayload: not of this class, naming the field and the value.
        """
        levels = cls.template.parse(topic)
        if levels is None:
            raise InvalidPayload(f"{topic!r} is not a topic of {cls.__name__}")
        head, _, body = payload.partition(b"\n") if cls.has_attachment else (payload, b"", b"")
        try:
            message = cls.model_validate_json(head)
        except ValidationError as error:
            raise InvalidPayload(f"{cls.__name__} on {topic!r}: {explain(error)}") from error
        for name in cls.template.names:
            if getattr(message, name) != levels[name]:
                raise InvalidPayload(
                    f"{cls.__name__} on {topic!r} says {name} {getattr(message, name)!r}"
                )
        if cls.has_attachment:
            message.__dict__["attachment"] = body  # frozen for users; this is its constructor
        message.check()
        return message


class AttachedMessage(Message):
    """A message of one JSON line and raw bytes."""

    has_attachment: ClassVar[bool] = True

    attachment: Attachment = Field(default=b"", exclude=True, repr=False)

    def encode(self) -> bytes:
        """Return the JSON line, a newline and the attachment."""
        return b"\n".join((self.model_dump_json(exclude={"attachment"}).encode(), self.attachment))


class RawMessage(Message):
    """A message whose payload is only bytes (a JPEG); its identity is in the topic alone."""

    attachment: Attachment = Field(default=b"", exclude=True, repr=False)

    def encode(self) -> bytes:
        """Return the bytes."""
        return bytes(self.attachment)

    @classmethod
    def decode(cls, topic: str, payload: bytes) -> Self:
        """Return the message; only the topic can be wrong."""
        levels = cls.template.parse(topic)
        if levels is None:
            raise InvalidPayload(f"{topic!r} is not a topic of {cls.__name__}")
        fields: dict[str, Any] = {name: levels[name] for name in cls.template.names}
        message = cls(attachment=payload, **fields)
        message.check()
        return message


TraceParent = Annotated[str, Field(exclude_if=operator.not_)]
"""W3C `traceparent` of a frame that is followed through the services (`nxai_common.tracing`).
Empty, and then not sent at all: it is not."""


def payload_of(message: Message, topic: str) -> bytes:
    """Return what the bus carries for a message.

    Raises:
        InvalidPayload: it is larger than `MAX_PAYLOAD_BYTES`.
    """
    payload = message.encode()
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise InvalidPayload(
            f"{type(message).__name__} for {topic!r} has {len(payload)} bytes; "
            f"the bus carries at most {MAX_PAYLOAD_BYTES}"
        )
    return payload


def explain(error: ValidationError) -> str:
    """Say in one line what is wrong: each field, the value it had, the reason."""
    parts = []
    for item in error.errors(include_url=False, include_context=False)[:SHOWN_PROBLEMS]:
        where = ".".join(str(p) for p in item["loc"]) or "payload"
        parts.append(f"{where}: {item['msg']} (got {_short(item['input'])})")
    more = error.error_count() - len(parts)
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def _short(value: object) -> str:
    """Return the value for a log line. Cut before printing: it may be 16 MB of bytes."""
    cut = value[:SHOWN_CHARACTERS] if isinstance(value, str | bytes | bytearray) else value
    shown = _REPR.repr(cut)
    return shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 3] + "..."


SHOWN_PROBLEMS: Final = 5
"""A screenful, not a flood."""
SHOWN_CHARACTERS: Final = 80
"""Enough to recognise the value in a log line."""
_REPR: Final = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 2 * SHOWN_CHARACTERS
