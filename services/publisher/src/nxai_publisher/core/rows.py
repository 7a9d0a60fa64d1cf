"""What the data logger keeps of results: one row each, and roll-ups of time.

Sums are kept per minute, for what happened lately, and per quarter of an hour, for weeks and
months: a month of four cameras with five labels is 860,000 minutes and 58,000 quarters.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from nxai_common.contracts.results import InferenceResult
from nxai_publisher.core.observation import MAJORITY, Observation

MINUTE_S: Final = 60
QUARTER_S: Final = 900
CONFIDENCE_BINS: Final = 10
"""Tenths: fine enough to see where a threshold should lie, ten small integers a row."""
LONGEST_NAME: Final = 200
"""Letters of a label or stream in a key, of up to four bytes each: PostgreSQL takes 2,700 bytes
for all columns of a primary key together."""
LONGEST_STREAM: Final = 64
"""Letters of a stream (capture's have 8): the place of a result must fit a `Cursor`."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LoggedResult:
    """One result as the logger stores it."""

    row: Row
    """Columns of table `results`."""
    confidences: Mapping[str, tuple[float, ...]]
    """Of each object seen, label by label, for the roll-up."""

    @property
    def key(self) -> tuple[object, ...]:
        """Identity of the result: the primary key of its row."""
        row = self.row
        return (
            row["camera"],
            row["captured_at_us"],
            row["model"],
            row["stream"],
            row["sequence"],
        )


def logged(result: InferenceResult, seen: Observation, latency_ms: float) -> LoggedResult:
    """Return what is kept of a result (free of contradictions).

    Detections are a compact JSON array, ``[[label, confidence, x, y, width, height], ...]`` in
    pixels of the original picture, to a tenth of a pixel and a ten-thousandth of confidence:
    finer than any model is sure of, and half the bytes.
    """
    confidences: dict[str, list[float]] = {}
    for item in result.detections:
        confidences.setdefault(item.label, []).append(item.confidence)
    if not result.detections:
        confidences = {label: [value] for label, value in seen.confidences.items()}
    return LoggedResult(
        row={
            "camera": result.camera,
            "captured_at_us": result.captured_at_us,
            "model": result.model,
            "stream": as_stored(result.stream, LONGEST_STREAM),
            "sequence": result.sequence,
            "model_version": as_stored(result.model_version),
            "picture_width": result.source_width,
            "picture_height": result.source_height,
            "objects": len(result.detections),
            "uncertain": int(result.uncertain),
            "latency_ms": round(latency_ms, 2),
            "inference_ms": round(result.timing.engine_ms + result.timing.decode_ms, 2),
            "detections": as_json(
                [
                    (
                        item.label,
                        round(item.confidence, 4),
                        round(item.box.x, 1),
                        round(item.box.y, 1),
                        round(item.box.width, 1),
                        round(item.box.height, 1),
                    )
                    for item in result.detections
                ]
            ),
            "scores": as_json({i.label: round(i.confidence, 4) for i in result.classifications})
            if result.classifications
            else None,
        },
        confidences={label: tuple(values) for label, values in confidences.items()},
    )


def as_stored(text: str, longest: int = LONGEST_NAME) -> str:
    """Return a label or stream as a key of the tables: what every database takes.

    PostgreSQL has no NUL in text, SQLite and JSON do. What is too long ends in its CRC, so that
    two that begin alike stay two.
    """
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(text) <= longest:
        return text
    crc = f"~{zlib.crc32(text.encode('utf-8', 'replace')):08x}"
    return text[: longest - len(crc)] + crc


def labels_shown(row: Row) -> frozenset[str]:
    """Return the labels that a stored result shows, as the roll-ups count them.

    Args:
        row: Of table `results`, `detections` and `scores` as JSON text.
    """
    found: list[list[Any]] = orjson.loads(row["detections"])
    if found or not row["scores"]:
        return frozenset(item[0] for item in found)
    scores: dict[str, float] = orjson.loads(row["scores"])
    best = max(scores, key=scores.__getitem__)
    return frozenset((best,) if scores[best] >= MAJORITY else ())


@dataclass(slots=True)
class RollUp:
    """Sums of some results, ready to be added to what the tables hold."""

    minutes: dict[tuple[object, ...], Row] = field(default_factory=dict)
    """(minute, camera, model, version) -> columns of `result_minutes`."""
    labels: dict[tuple[object, ...], Row] = field(default_factory=dict)
    """(minute, camera, model, label) -> columns of `label_minutes`."""

    def quarters(self) -> list[Row]:
        """Return the rows for `result_quarters`: sums of the minutes."""
        return _by_quarter(self.minutes)

    def label_quarters(self) -> list[Row]:
        """Return the rows for `label_quarters`."""
        return _by_quarter(self.labels)


LARGEST: Final = frozenset({"latency_ms_max", "max_objects"})
"""Rolled up by taking the larger value; all other numbers are added."""


def roll_up(results: Iterable[LoggedResult]) -> RollUp:
    """Sum up results per minute, and per minute and label."""
    sums = RollUp()
    for result in results:
        row = result.row
        minute_s = row["captured_at_us"] // 1_000_000 // MINUTE_S * MINUTE_S
        camera, model = row["camera"], row["model"]
        key = (minute_s, camera, model, row["model_version"])
        total = sums.minutes.get(key)
        if total is None:
            total = sums.minutes[key] = {
                "minute_s": minute_s,
                "camera": camera,
                "model": model,
                "model_version": row["model_version"],
                "results": 0,
                "objects": 0,
                "shown": 0,
                "uncertain": 0,
                "latency_ms_sum": 0.0,
                "latency_ms_max": 0.0,
                "inference_ms_sum": 0.0,
            }
        total["results"] += 1
        total["objects"] += row["objects"]
        total["shown"] += bool(result.confidences)
        total["uncertain"] += row["uncertain"]
        total["latency_ms_sum"] += row["latency_ms"]
        total["latency_ms_max"] = max(total["latency_ms_max"], row["latency_ms"])
        total["inference_ms_sum"] += row["inference_ms"]
        for label, values in result.confidences.items():
            _add_label(sums.labels, (minute_s, camera, model, as_stored(label)), values)
    return sums


def _add_label(
    labels: dict[tuple[object, ...], Row],
    key: tuple[int, str, str, str],
    confidences: tuple[float, ...],
) -> None:
    total = labels.get(key)
    if total is None:
        minute_s, camera, model, label = key
        total = labels[key] = {
            "minute_s": minute_s,
            "camera": camera,
            "model": model,
            "label": label,
            "results": 0,
            "objects": 0,
            "max_objects": 0,
            "confidence_sum": 0.0,
            **{f"confidence_{n}": 0 for n in range(CONFIDENCE_BINS)},
        }
    total["results"] += 1
    total["objects"] += len(confidences)
    total["max_objects"] = max(total["max_objects"], len(confidences))
    for confidence in confidences:
        total["confidence_sum"] += confidence
        bin_ = min(max(int(confidence * CONFIDENCE_BINS), 0), CONFIDENCE_BINS - 1)
        total[f"confidence_{bin_}"] += 1


def _by_quarter(minutes: Mapping[tuple[object, ...], Row]) -> list[Row]:
    quarters: dict[tuple[object, ...], Row] = {}
    for (_, *rest), minute in minutes.items():
        quarter_s = minute["minute_s"] // QUARTER_S * QUARTER_S
        total = quarters.get((quarter_s, *rest))
        if total is None:
            new = {name: value for name, value in minute.items() if name != "minute_s"}
            quarters[quarter_s, *rest] = {"quarter_s": quarter_s, **new}
            continue
        for name, value in minute.items():
            if name in LARGEST:
                total[name] = max(total[name], value)
            elif name != "minute_s" and not isinstance(value, str):
                total[name] += value
    return list(quarters.values())


def as_json(value: object) -> str:
    """Return JSON as the columns `detections` and `scores` hold it."""
    return orjson.dumps(value).decode()
