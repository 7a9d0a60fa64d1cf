"""Writes what follows from the code: docs/messages.md, settings.md, asyncapi.yaml, schemas/*.json.

``python tools/generate_docs.py`` writes; with ``--check`` it only says what is out of date
(exit 1). A test runs the check.
"""

import argparse
import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
sys.path.insert(0, str(ROOT / "tests"))  # the examples are the golden files of the contract tests
sys.path.insert(0, str(ROOT / "tools"))

import asyncapi_document  # noqa: E402 - after the path above
from pydantic import BaseModel  # noqa: E402 - after the path above

from nxai_common.bus.cloud_events import attributes_by_name  # noqa: E402 - as above
from nxai_common.contracts.base import AttachedMessage, Message, Policy, RawMessage  # noqa: E402
from nxai_common.contracts.commands import Command, Reply  # noqa: E402 - after the path above
from nxai_common.contracts.outputs import Detections, NxOutput, Output  # noqa: E402 - after the path above
from nxai_common.settings import ROLES, ServiceSettings, Variable, variables  # noqa: E402 - as above
from nxai_manager.core.document import DEFAULT_TEXT  # noqa: E402 - as above
from nxai_manager.core.schema import settings_schema  # noqa: E402 - as above
from support import golden  # noqa: E402 - after the path above

GENERATED: Final = "<!-- Written by tools/generate_docs.py; `make docs` writes it anew. -->\n"

Schema = dict[str, Any]

WAY: Final = {
    "AdjustCamera": "anybody → manager",
    "Alarm": "publisher → everybody, capture (pictures)",
    "CameraState": "publisher → everybody",
    "CancelJob": "anybody → cloud-sync",
    "CaptureConfiguration": "manager → capture",
    "ChartResults": "anybody → publisher",
    "CheckUpdates": "anybody → cloud-sync",
    "CloudSyncConfiguration": "manager → cloud-sync",
    "CountSamples": "anybody → cloud-sync",
    "DeleteModel": "anybody → cloud-sync",
    "DeployModel": "anybody → cloud-sync",
    "Deployment": "cloud-sync → manager, everybody",
    "Deployments": "cloud-sync → manager",
    "DetectPicture": "anybody → inference",
    "Detections": "publisher → everybody",
    "DiscardFile": "anybody → cloud-sync",
    "EditModel": "anybody → cloud-sync",
    "EndShadow": "anybody → cloud-sync",
    "Done": "a processor → publisher",
    "Event": "publisher → everybody, capture (snapshots)",
    "ExportResults": "anybody → publisher",
    "FindCameras": "anybody → capture",
    "Frame": "capture → inference",
    "ImportModel": "anybody → cloud-sync",
    "InferenceConfiguration": "manager → inference",
    "InferenceResult": "inference → publisher, capture (its credit), cloud-sync (trials)",
    "LinkProject": "anybody → cloud-sync",
    "ListJobs": "anybody → cloud-sync",
    "ListModels": "anybody → cloud-sync",
    "ListResults": "anybody → publisher",
    "ListSamples": "anybody → cloud-sync",
    "ListStreams": "anybody → capture",
    "ModelManifest": "inference → capture, publisher, manager",
    "Output": "publisher → everybody",
    "Picture": "another program → capture",
    "Preview": "capture → manager, whoever watches",
    "ProcessorManifest": "a processor → publisher, manager",
    "ProbeSource": "anybody → capture",
    "Progress": "cloud-sync → whoever asked, everybody",
    "PromoteModel": "anybody → cloud-sync",
    "PublisherConfiguration": "manager → publisher",
    "PullModel": "anybody → cloud-sync",
    "ReadLog": "anybody → every service",
    "ReceiveFile": "anybody → cloud-sync",
    "Rehearsal": "publisher → whoever tests",
    "Reply": "the service that was asked → whoever asked",
    "RestartService": "anybody → every service",
    "RetrainModel": "anybody → cloud-sync",
    "ReviewSamples": "anybody → cloud-sync",
    "RollBackModel": "anybody → cloud-sync",
    "RunCameras": "anybody → manager",
    "Sample": "capture → cloud-sync",
    "ShowLink": "anybody → cloud-sync",
    "ShowLogger": "anybody → publisher",
    "ShowSample": "anybody → cloud-sync",
    "Snapshot": "capture → everybody",
    "Status": "every service → manager, everybody",
    "TakeSnapshot": "anybody → capture",
    "TriggerCamera": "anybody → capture",
    "TryModel": "cloud-sync → inference",
    "UndeployModel": "anybody → cloud-sync",
    "UnlinkProject": "anybody → cloud-sync",
    "UploadSamples": "anybody → cloud-sync",
    "WatchCamera": "anybody → capture",
    "Work": "publisher → a processor",
}
"""Who sends, who reads."""

POLICIES: Final = {
    Policy.LATEST: "Only the newest matters; a slow reader skips to it.",
    Policy.STREAM: "Every one matters a little; a slow reader loses the oldest.",
    Policy.RELIABLE: "Every one matters; acknowledged after the work is safe.",
    Policy.STATE: "The last one is the truth; the broker keeps it for whoever comes later.",
}


def documents() -> Iterator[tuple[str, str]]:
    """Yield each generated file: its path below docs/, its text."""
    yield "messages.md", messages_page()
    yield "settings.md", settings_page()
    yield "asyncapi.yaml", asyncapi_document.text_of(_entries(), "1.0.0")
    for kind in golden.message_classes():
        if not issubclass(kind, RawMessage):
            yield f"schemas/{kind.__name__}.json", _json(message_schema(kind))
    yield "schemas/settings.schema.json", _json(settings_schema())


def message_schema(kind: type[Message]) -> Schema:
    """Return the JSON Schema of a message's JSON part."""
    model: type[BaseModel] = NxOutput if kind is Output else kind
    schema = model.model_json_schema()
    schema.get("properties", {}).pop("attachment", None)
    if kind is Output:
        parts = schema.pop("$defs", {})
        schema = {
            "title": kind.__name__,
            "description": _text(kind.__doc__),
            "type": "array",
            "items": schema,
        } | ({"$defs": parts} if parts else {})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def _entries() -> Iterator[asyncapi_document.Entry]:
    for kind in _in_order():
        yield asyncapi_document.Entry(
            kind=kind,
            topic=_topic(kind),
            way=WAY[kind.__name__],
            text=_text(kind.__doc__),
            schema=None if issubclass(kind, RawMessage) else message_schema(kind),
            golden=golden.file_of(kind).read_bytes(),
            golden_topic=golden.topic(golden.example(kind)),
        )


def _in_order() -> list[type[Message]]:
    return sorted(golden.message_classes(), key=lambda k: (k.template.text, k.__name__))


def messages_page() -> str:
    """Return docs/messages.md."""
    kinds = _in_order()
    lines = [
        GENERATED,
        "# Messages",
        "",
        "Everything that travels over MQTT 5. Topics begin with `nxai/v1/{device}/` and have a",
        "fixed depth; levels are 1 to 64 of `a-z`, `0-9`, `_`, `-`. JSON, JSON with bytes behind",
        "the first newline, or a bare picture. Readers ignore fields they do not know; an",
        "incompatible change is a new root. Times are ISO 8601 UTC and milliseconds; boxes are",
        "0..1 and pixels of the original picture. For programs: [asyncapi.yaml](asyncapi.yaml),",
        "AsyncAPI 3, and the JSON Schemas in [docs/schemas](schemas).",
        "",
        "| policy | QoS | retained | |",
        "|---|---|---|---|",
        *(
            f"| {policy.value} | {policy.qos} | {'yes' if policy.retained else 'no'} | {text} |"
            for policy, text in POLICIES.items()
        ),
        "",
        *_cloud_events_section(),
        "",
        "| topic | message | way | policy | payload |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{_topic(kind)}` | [{kind.__name__}](#{kind.__name__.lower()}) "
        f"| {WAY[kind.__name__]} | {kind.policy.value} | {_payload(kind)} |"
        for kind in kinds
    ]
    parts: dict[str, Schema] = {}
    for kind in kinds:
        lines += ["", f"## {kind.__name__}", "", _text(kind.__doc__), ""]
        lines.append(f"`{_topic(kind)}`, {_policy(kind)}; {_payload(kind)}.")
        if kind.cloud_event is not None:
            lines += ["", f"CloudEvents type `{kind.cloud_event}`."]
        if not issubclass(kind, RawMessage):
            schema = message_schema(kind)
            parts |= schema.get("$defs", {})
            lines += ["", *_fields(schema["items"] if kind is Output else schema)]
            lines += ["", "```json", *_example(kind), "```"]
    lines += ["", "# Parts of messages"]
    for name, schema in sorted(parts.items()):
        lines += ["", f"## {name}", "", _text(schema.get("description", "")), ""]
        lines += _values(schema) if "enum" in schema else _fields(schema)
    return "\n".join(lines) + "\n"


def _cloud_events_section() -> list[str]:
    told = [kind for kind in _in_order() if kind.cloud_event is not None]
    names = ", ".join(f"[{kind.__name__}](#{kind.__name__.lower()})" for kind in told)
    detections = golden.example(Detections)
    read = attributes_by_name(detections, golden.topic(detections), detections.encode())
    return [
        f"{names} carry the attributes of [CloudEvents 1.0](https://cloudevents.io) as MQTT 5 user",
        "properties (binary mode: the payload is as without them; who does not ask for them sees",
        "none). `id` is the same for every copy of a message, also for one that is sent again",
        "after a reconnect or a crash, so a reader may leave out what it has seen; `source` is the",
        "camera, model or service that it tells of. Of one detection:",
        "",
        "```",
        *(f"{name}: {value}" for name, value in read.items()),
        "```",
    ]


def settings_page() -> str:
    """Return docs/settings.md."""
    schema = settings_schema()
    lines = [
        GENERATED,
        "# Settings",
        "",
        "`settings.json` says which cameras there are, which models look at them and what becomes",
        "of the results. It is read while the services run: save it, and what changed is changed.",
        "A mistake is refused with its line and the reason (in the log, in the status of the",
        "manager, and by `nxai-manager check settings.json`); the last good settings stay in",
        "force. Editors check it against [its schema](schemas/settings.schema.json).",
        "",
        "This runs the demo, and is written when there is no file:",
        "",
        "```json",
        DEFAULT_TEXT.rstrip(),
        "```",
        "",
        "A camera of your own with a user, a password and two models; `front` is its name in every",
        "topic:",
        "",
        "```json",
        '{"id": "front", "source": {"type": "rtsp", "url": "rtsp://192.0.2.17/stream1"},',
        ' "username": "viewer", "password": "p@ss w/rd",',
        ' "models": ["m5-nut", {"id": "m5-washer", "threshold": 0.75}]}',
        "```",
        "",
        "The password goes to a file that capture alone reads, and never over MQTT.",
        "",
        "## The whole document",
        "",
        *_fields(schema),
    ]
    order = ["Camera", "ModelUse", "DesiredModel", "CollectPolicy"]
    order += ["EdgeImpulse", "Outputs", "LoggerOptions"]
    parts = schema["$defs"]
    for name in (*order, *sorted(set(parts) - set(order))):
        part = parts[name]
        lines += ["", f"## {name}", "", _text(part.get("description", "")), ""]
        lines += _values(part) if "enum" in part else _fields(part)
    lines += [
        "",
        "# Start-up settings",
        "",
        "What a process must know before it can read a configuration comes from the environment.",
        "A misspelt variable is refused with the nearest known name; `--check` prints what is in",
        "force, `--help` this list.",
    ]
    for title, rows in _environment():
        lines += ["", f"## {title}", "", "| variable | default | |", "|---|---|---|"]
        lines += [f"| `{name}` | {default} | {_cell(doc)} |" for name, default, doc in rows]
    return "\n".join(lines) + "\n"


def _environment() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Yield a title and the rows of its variables: first those that all services have."""
    common = set(ServiceSettings.model_fields)
    for position, (role, settings) in enumerate(_settings_classes()):
        found = variables(settings)
        if position == 0:
            yield (
                "Every service",
                [_row(v) for v in found if v.field in common],
            )
        own = [_row(v) for v in found if v.field not in common]
        if own:
            yield role, own


def _settings_classes() -> Iterator[tuple[str, type[ServiceSettings]]]:
    for role in ROLES:
        package = f"nxai_{role.replace('-', '_')}"
        if importlib.util.find_spec(package) is None:
            continue
        if importlib.util.find_spec(f"{package}.settings") is None:
            continue
        module = importlib.import_module(f"{package}.settings")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, ServiceSettings) and kind.__module__ == module.__name__:
                yield role, kind


def _row(variable: Variable) -> tuple[str, str, str]:
    default = f"`{variable.default}`" if variable.default else ""
    return variable.name, default, variable.doc


def _topic(kind: type[Message]) -> str:
    if kind is Reply:
        return "(response topic of the request)"
    text = kind.template.text
    if issubclass(kind, Command):
        text = text.replace("{name}", str(kind.model_fields["name"].default))
    service = kind.model_fields.get("service")
    if service is not None and not service.is_required():
        text = text.replace("{service}", str(service.default))
    return text


def _policy(kind: type[Message]) -> str:
    kept = ", retained" if kind.policy.retained else ""
    expiry = f", expires after {kind.expires_after_s} s" if kind.expires_after_s else ""
    return f"{kind.policy.value} (QoS {kind.policy.qos}{kept}{expiry})"


def _payload(kind: type[Message]) -> str:
    if issubclass(kind, RawMessage):
        return "bare bytes"
    return "JSON line + bytes" if issubclass(kind, AttachedMessage) else "JSON"


def _example(kind: type[Message]) -> list[str]:
    payload = golden.file_of(kind).read_bytes()
    if not issubclass(kind, AttachedMessage):
        return [json.dumps(json.loads(payload), indent=1, ensure_ascii=False)]
    head, _, body = payload.partition(b"\n")
    lines = [json.dumps(json.loads(head), indent=1, ensure_ascii=False)]
    return [*lines, f"// in one line, then a newline and {len(body)} bytes"] if body else lines


def _fields(schema: Schema) -> list[str]:
    if not schema.get("properties"):
        return ["No fields."]
    required = set(schema.get("required", ()))
    lines = ["| field | type | default | |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        needed = name in required and "default" not in field
        default = "required" if needed else _default(field.get("default"))
        text = _cell(_text(field.get("description", "")))
        lines.append(f"| `{name}` | {_type(field)} | {default} | {text} |")
    return lines


def _values(schema: Schema) -> list[str]:
    return [f"One of {', '.join(f'`{value}`' for value in schema['enum'])}."]


def _default(value: object) -> str:
    if value is None or value in ({}, []) or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _type(field: Schema) -> str:  # noqa: PLR0911 - one return per kind of type
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for union in ("oneOf", "anyOf"):
        if union in field:
            members = [_type(member) for member in field[union] if member.get("type") != "null"]
            return " or ".join(members)
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if field.get("type") == "array":
        if "prefixItems" in field:
            return "[" + ", ".join(_type(item) for item in field["prefixItems"]) + "]"
        return f"list of {_type(field.get('items', {}))}"
    if field.get("type") == "object":
        inner = field.get("additionalProperties")
        return f"map to {_type(inner)}" if isinstance(inner, dict) else "object"
    words = {"string": "text", "boolean": "true/false", "null": "null"}
    name = words.get(str(field.get("type")), str(field.get("type", "any")))
    if field.get("format") == "date-time":
        return "time"
    bounds = [
        f"{sign} {field[key]:.16g}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in field
    ]
    return " ".join([name, ", ".join(bounds)]).strip()


def _text(doc: str | None) -> str:
    paragraphs = inspect.cleandoc(doc or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _cell(text: str) -> str:
    in_json = text.replace("None:", "Left out or null:")
    return in_json.replace("\n\n", " ").replace("|", "\\|")


def _json(value: Schema) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Write the files, or check them; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    check = parser.parse_args(argv).check
    wanted = {DOCS / path: text for path, text in documents()}
    stale = [path for path in (DOCS / "schemas").glob("*.json") if path not in wanted]
    old = [
        path
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in (*stale, *old):
        print(f"{path.relative_to(ROOT)} {'is out of date' if check else 'written'}")
    if check:
        return 1 if stale or old else 0
    for path in stale:
        path.unlink()
    for path in old:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
