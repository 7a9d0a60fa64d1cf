"""The AsyncAPI 3 document of the contract, from the message classes and their examples."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from nxai_common.bus.cloud_events import SPEC_VERSION, attributes_by_name
from nxai_common.bus.mqtt import KEEPALIVE_S, LARGEST_PACKET
from nxai_common.contracts.base import AttachedMessage, Message, RawMessage
from nxai_common.contracts.commands import Command, Reply
from nxai_common.contracts.topics import LEVEL_PATTERN, ROOT
from nxai_common.settings import ROLES

ASYNCAPI: Final = "3.1.0"
BINDING: Final = "0.2.0"
"""Of the MQTT binding: the one for MQTT 5 (`mqtt5` was given up)."""

Part = dict[str, Any]

LINE: Final = "x-json-line"
"""Extension: the schema of the first line of a payload that has bytes behind it."""

PARAMETERS: Final = {
    "device": "Name of the box (`NXAI_DEVICE`).",
    "camera": "`id` of a camera in settings.json.",
    "input": "`InputSpec.id`: size, resize mode and quality of the pixels.",
    "model": "`id` of a model.",
    "service": "Instance of a service: its role, or a name of its own (`inference-2`).",
    "name": "Of the command.",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One message class, and what the pages say of it."""

    kind: type[Message]
    topic: str
    """Below ``nxai/v1/{device}/``, with what is fixed filled in."""
    way: str
    """`sender → readers`."""
    text: str
    """What it is, in Markdown."""
    schema: Part | None
    """JSON Schema (2020-12) of the JSON part; None: it has none."""
    golden: bytes
    """The payload of its example."""
    golden_topic: str
    """Where the example is published."""

    @property
    def key(self) -> str:
        """Name of its channel."""
        name = self.kind.__name__
        return name[0].lower() + name[1:]


def text_of(entries: Iterable[Entry], version: str) -> str:
    """Return the document as YAML."""
    head = "# Written by tools/generate_docs.py; `make docs` writes it anew.\n"
    return head + yaml.dump(
        document_of(tuple(entries), version),
        Dumper=_Plain,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )


class _Plain(yaml.SafeDumper):
    """Without anchors: equal parts stand where they are read."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def document_of(entries: tuple[Entry, ...], version: str) -> Part:
    """Return the document."""
    schemas: Part = {}
    for entry in entries:
        if entry.schema is not None:
            _collect(entry.kind.__name__, entry.schema, schemas)
    operations: Part = {}
    for entry in entries:
        operations |= _operations(entry)
    return {
        "asyncapi": ASYNCAPI,
        "id": "urn:nxai-edge:v1",
        "info": _info(version),
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {entry.key: _channel(entry) for entry in entries},
        "operations": operations,
        "components": {
            "messages": {entry.kind.__name__: _message(entry) for entry in entries},
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "account": {
                    "type": "userPassword",
                    "description": "An account of the broker. For readers outside it is `viewer`, "
                    "for a program that sends pictures `pusher`; what each may read and write is "
                    "in `deploy/mosquitto/acl`.",
                }
            },
        },
    }


def _info(version: str) -> Part:
    return {
        "title": "nxai-edge",
        "version": version,
        "description": "Everything that travels over MQTT 5 in and out of one box. `send` is what "
        "the services of the box send, `receive` what they read; messages that stay within the box "
        "have both.\n\nReaders ignore fields that they do not know; an incompatible change is a "
        f"new root beside `{ROOT}`. Times are ISO 8601 UTC and Unix milliseconds; boxes are 0..1 "
        "and pixels of the original picture.\n\nA payload of `application/octet-stream` is one "
        f"line of JSON (its schema is in `{LINE}`), a newline, and bytes.",
        "contact": {"name": "nxai-edge"},
        "license": {
            "name": "Apache-2.0",
            "url": "https://www.apache.org/licenses/LICENSE-2.0",
        },
        "tags": [{"name": role, "description": f"The service {role}."} for role in ROLES],
    }


def _servers() -> Part:
    bindings = {
        "mqtt": {
            "keepAlive": KEEPALIVE_S,
            "maximumPacketSize": LARGEST_PACKET,
            "lastWill": {
                "topic": f"{ROOT}/{{device}}/services/{{service}}/status",
                "qos": 1,
                "retain": True,
                "message": "A Status with the state `offline`.",
            },
            "bindingVersion": BINDING,
        }
    }
    common: Part = {
        "protocol": "mqtt",
        "protocolVersion": "5.0",
        "security": [{"$ref": "#/components/securitySchemes/account"}],
        "bindings": bindings,
    }
    variables = {
        "host": {"default": "localhost", "description": "The box, or the broker of your own."},
    }
    return {
        "compose": {
            "host": "{host}:{port}",
            "title": "Mosquitto of `docker compose up`",
            "description": "It answers on the box alone unless `MQTT_ADDRESS` says otherwise.",
            "variables": {
                **variables,
                "port": {"default": "1883", "description": "`MQTT_PORT`."},
            },
            **common,
        },
        "local": {
            "host": "{host}:{port}",
            "title": "Mosquitto of `make run`",
            "description": "It answers on the box alone.",
            "variables": {**variables, "port": {"default": "1884", "description": "`PORT`."}},
            **common,
        },
    }


def _channel(entry: Entry) -> Part:
    name = entry.kind.__name__
    channel: Part = {"title": name, "summary": entry.way}
    if entry.kind is Reply:
        channel["address"] = None
        channel["description"] = "The response topic that the request named."
    else:
        address = f"{ROOT}/{{device}}/{entry.topic}"
        channel["address"] = address
        channel["parameters"] = {
            level: {
                "description": f"{PARAMETERS.get(level, f'`id` of a {level}.')} "
                f"It matches `{LEVEL_PATTERN}`."
            }
            for level in re.findall(r"\{([a-z_]+)\}", address)
        }
    channel["messages"] = {name: {"$ref": f"#/components/messages/{name}"}}
    return channel


def _message(entry: Entry) -> Part:
    kind = entry.kind
    name = kind.__name__
    message: Part = {
        "name": name,
        "title": name,
        "summary": entry.text.split("\n\n")[0],
        "contentType": _content_type(kind),
    }
    if "\n\n" in entry.text:
        message["description"] = entry.text
    if kind.cloud_event is not None:
        message["headers"] = _cloud_event(entry)
    binding: Part = {"contentType": message["contentType"]}
    if issubclass(kind, Command):
        binding["responseTopic"] = {
            "type": "string",
            "description": "Where the answer shall go; none is sent without it. The accounts of "
            "the broker may write to `nxai-replies/` and one level more.",
            "examples": ["nxai-replies/line-3-7f00"],
        }
    if issubclass(kind, Command | Reply):
        binding["correlationData"] = {
            "type": "string",
            "format": "binary",
            "description": "Comes back with the answer as it was sent.",
        }
    message["bindings"] = {"mqtt": {**binding, "bindingVersion": BINDING}}
    reference = {"$ref": f"#/components/schemas/{name}"}
    if entry.schema is None:
        message["payload"] = {"type": "string", "format": "binary", "description": entry.text}
    elif issubclass(kind, AttachedMessage):
        message["payload"] = {
            "type": "string",
            "format": "binary",
            "description": f"One line of JSON (`{LINE}`), a newline, and bytes; without bytes "
            "the newline may be left out.",
            LINE: reference,
        }
        line, _, body = entry.golden.partition(b"\n")
        message["x-examples"] = [{LINE: json.loads(line), "x-attachment-bytes": len(body)}]
    else:
        message["payload"] = reference
        message["examples"] = [{"name": name, "payload": json.loads(entry.golden)}]
    return message


def _cloud_event(entry: Entry) -> Part:
    """Return the schema of the user properties: CloudEvents 1.0 in binary mode."""
    kind = entry.kind
    message = kind.decode(entry.golden_topic, entry.golden)
    example = attributes_by_name(message, entry.golden_topic, entry.golden)
    del example["datacontenttype"]  # MQTT's own content type
    fixed = {"specversion": SPEC_VERSION, "type": kind.cloud_event}
    described = {
        "source": "The camera, model or service that the message tells of.",
        "id": "The same for every copy of a message, unique within its source.",
        "time": "When it happened.",
    }
    return {
        "type": "object",
        "description": "CloudEvents 1.0 as MQTT 5 user properties.",
        "required": [name for name in example if name != "time"],
        "properties": {
            name: {
                "type": "string",
                **({"const": fixed[name]} if name in fixed else {}),
                **({"description": described[name]} if name in described else {}),
                **({"format": "date-time"} if name == "time" else {}),
            }
            for name in example
        },
        "examples": [example],
    }


def _content_type(kind: type[Message]) -> str:
    if issubclass(kind, RawMessage):
        return "image/jpeg"
    return "application/octet-stream" if issubclass(kind, AttachedMessage) else "application/json"


def _operations(entry: Entry) -> Part:
    """Return what the services of the box do with a message."""
    if entry.kind is Reply:
        return {}  # a part of the operations of commands
    sender, _, readers = entry.way.partition(" → ")
    found: Part = {}
    for action, ends in (("send", sender), ("receive", readers)):
        services = [role for role in ROLES if re.search(rf"\b{role}\b", ends)]
        if "every service" in ends:
            services = list(ROLES)
        if not services:
            continue
        binding: Part = {"qos": entry.kind.policy.qos}
        if action == "send":
            binding["retain"] = entry.kind.policy.retained
            if entry.kind.expires_after_s is not None:
                binding["messageExpiryInterval"] = entry.kind.expires_after_s
        operation: Part = {
            "action": action,
            "title": f"{action} {entry.kind.__name__}",
            "summary": entry.way,
            "channel": {"$ref": f"#/channels/{entry.key}"},
            "messages": [{"$ref": f"#/channels/{entry.key}/messages/{entry.kind.__name__}"}],
            "tags": [{"name": role} for role in services],
            "bindings": {"mqtt": {**binding, "bindingVersion": BINDING}},
        }
        if issubclass(entry.kind, Command):
            operation["reply"] = {
                "address": {
                    "location": "$message.header#/responseTopic",
                    "description": "The MQTT 5 response topic of the request.",
                },
                "channel": {"$ref": "#/channels/reply"},
                "messages": [{"$ref": "#/channels/reply/messages/Reply"}],
            }
        found[f"{action}{entry.kind.__name__}"] = operation
    return found


def _collect(name: str, schema: Part, schemas: Part) -> None:
    """Add a schema and its parts, all on one level, in what AsyncAPI understands."""
    whole = {key: value for key, value in schema.items() if key not in ("$schema", "$defs")}
    for part, definition in {**schema.get("$defs", {}), name: whole}.items():
        converted = in_draft_07(definition)
        if schemas.setdefault(part, converted) != converted:
            raise ValueError(f"two different parts are called {part}")


def in_draft_07(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a JSON Schema of 2020-12, as pydantic writes it, as AsyncAPI reads it.

    Draft 7: tuples are `items`; what stands beside a `$ref` is ignored, so it moves around it.
    A discriminator is a word here, and OpenAPI's object tells nothing that `const` does not.
    """
    if isinstance(value, list):
        return [in_draft_07(item) for item in value]
    if not isinstance(value, dict):
        return value
    converted: Part = {}
    for key, below in value.items():
        if key in ("default", "const", "enum", "examples"):
            converted[key] = below  # data, and no schema
        elif key == "properties":
            converted[key] = {name: in_draft_07(schema) for name, schema in below.items()}
        elif key == "prefixItems":
            converted["items"] = in_draft_07(below)
        elif key == "$ref":
            target = below.removeprefix("#/$defs/")
            converted[key] = f"#/components/schemas/{target}"
        elif key != "discriminator" or not isinstance(below, Mapping):
            converted[key] = in_draft_07(below)
    if "$ref" in converted and len(converted) > 1:
        reference = {"$ref": converted.pop("$ref")}
        return {"allOf": [reference], **converted}
    return converted
