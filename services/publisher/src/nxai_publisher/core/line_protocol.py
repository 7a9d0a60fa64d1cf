"""Results in InfluxDB's line protocol, in microseconds.

| measurement | tags | fields |
|---|---|---|
| detections | device, camera, model | count, confidence, latency_ms, inference_ms, uncertain |
| objects | device, camera, model, label | count, confidence (the highest, as above) |
| scores | device, camera, model, label | probability |
| events | device, camera, model, label, event | id, count, max_count, confidence, duration_s |
| alarms | device, camera, model, rule, alarm | id, count, duration_s |
| state | device, camera | count, fps, latency_ms, uncertain |
| presence | device, camera, label | count, present |
| outputs | device, camera, model | entries, uncertain |
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from nxai_common.contracts.destinations import Content

PRECISION: Final = "us"
"""Of the time of a line: as exact as ours are."""
LARGEST_INTEGER: Final = 2**63 - 1

Tags = Iterable[tuple[str, object]]
Fields = Iterable[tuple[str, object]]


def lines_of(content: Content, message: Any, *, device: str, camera: str) -> list[str]:  # noqa: ANN401 - JSON
    """Return the lines of one message, as it travels over MQTT (read as JSON)."""
    made = _LINES[content](message, device, camera)
    return [line for line in made if line]


def line(measurement: str, tags: Tags, fields: Fields, at_us: int) -> str:
    """Return one line; empty when no field is left of it. A value of None is left out."""
    written = ",".join(
        f"{_key(name)}={_value(value)}" for name, value in fields if _is_number_or_text(value)
    )
    if not written:
        return ""
    head = [_key(measurement, equals=False)]
    head += [f"{_key(name)}={_tag(str(value))}" for name, value in tags if value not in ("", None)]
    return f"{','.join(head)} {written} {at_us}"


def _detections(message: Any, device: str, camera: str) -> Iterator[str]:  # noqa: ANN401 - JSON
    at_us = _time(message)
    tags = [("device", device), ("camera", camera), ("model", message["model"])]
    best: dict[str, float] = {}
    for found in message["objects"]:
        label, confidence = found["label"], found["confidence"]
        if confidence is not None:
            best[label] = max(confidence, best.get(label, -math.inf))
    yield line(
        "detections",
        tags,
        [
            ("count", message["count"]),
            ("confidence", _float(max(best.values(), default=None))),
            ("latency_ms", _float(message["latency_ms"])),
            ("inference_ms", _float(message["inference_ms"])),
            ("uncertain", message["uncertain"]),
        ],
        at_us,
    )
    for label, count in message["counts"].items():
        fields = [("count", count), ("confidence", _float(best.get(label)))]
        yield line("objects", [*tags, ("label", label)], fields, at_us)
    for label, score in message["scores"].items():
        yield line("scores", [*tags, ("label", label)], [("probability", _float(score))], at_us)


def _events(message: Any, device: str, camera: str) -> Iterator[str]:  # noqa: ANN401 - JSON
    tags = [
        ("device", device),
        ("camera", camera),
        ("model", message["model"]),
        ("label", message["label"]),
        ("event", message["event"]),
    ]
    fields = [
        ("id", message["id"]),
        ("count", message["count"]),
        ("max_count", message["max_count"]),
        ("confidence", _float(message["confidence"])),
        ("duration_s", _float(message["duration_s"])),
    ]
    yield line("events", tags, fields, _time(message))


def _alarms(message: Any, device: str, camera: str) -> Iterator[str]:  # noqa: ANN401 - JSON
    tags = [
        ("device", device),
        ("camera", camera),
        ("model", message["model"]),
        ("rule", message["rule"]),
        ("alarm", message["alarm"]),
    ]
    fields = [
        ("id", message["id"]),
        ("count", message["count"]),
        ("duration_s", _float(message["duration_s"])),
    ]
    yield line("alarms", tags, fields, _time(message))


def _state(message: Any, device: str, camera: str) -> Iterator[str]:  # noqa: ANN401 - JSON
    at_us = _time(message)
    tags = [("device", device), ("camera", camera)]
    fields = [
        ("count", message["count"]),
        ("fps", _float(message["fps"])),
        ("latency_ms", _float(message["latency_ms"])),
        ("uncertain", message["uncertain"]),
    ]
    yield line("state", tags, fields, at_us)
    present: Mapping[str, bool] = message["present"]
    for label, count in message["counts"].items():
        fields = [("count", count), ("present", present.get(label))]
        yield line("presence", [*tags, ("label", label)], fields, at_us)


def _outputs(message: Any, device: str, camera: str) -> Iterator[str]:  # noqa: ANN401 - JSON
    for entry in message:
        tags = [("device", device), ("camera", camera), ("model", entry["modelId"])]
        fields = [("entries", len(entry["output"])), ("uncertain", entry["uncertain"])]
        yield line("outputs", tags, fields, entry["timestamp"] * 1000)


_LINES: Final = {
    "detections": _detections,
    "nx-output": _outputs,
    "events": _events,
    "alarms": _alarms,
    "state": _state,
}


def _time(message: Any) -> int:  # noqa: ANN401 - JSON
    at = datetime.fromisoformat(message["timestamp"])
    return int(at.timestamp()) * 1_000_000 + at.microsecond


def _float(value: float | None) -> float | None:
    """Return a field that is never taken for an integer, whatever comes first."""
    return None if value is None else float(value)


def _is_number_or_text(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) <= LARGEST_INTEGER
    return isinstance(value, str)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        return repr(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_one_line(text)}"'


def _tag(value: str) -> str:
    """Escape a value; a backslash at its end would escape what comes behind it."""
    text = _key(value)
    return f"{text}_" if text.endswith("\\") else text


def _key(value: str, *, equals: bool = True) -> str:
    text = _one_line(value).replace(",", "\\,").replace(" ", "\\ ")
    return text.replace("=", "\\=") if equals else text


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
