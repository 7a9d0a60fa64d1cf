"""Rows of the data logger as CSV or JSON lines, for spreadsheets and scripts."""

import csv
import enum
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from nxai_publisher.core.rows import CONFIDENCE_BINS

Row = Mapping[str, Any]

CSV_COLUMNS: Final = (
    "timestamp",
    "camera",
    "model",
    "model_version",
    "stream",
    "sequence",
    "label",
    "confidence",
    "x",
    "y",
    "width",
    "height",
    "picture_width",
    "picture_height",
    "uncertain",
    "latency_ms",
    "inference_ms",
)
COUNT_COLUMNS: Final = (
    "minute",
    "camera",
    "model",
    "label",
    "results",
    "objects",
    "max_objects",
    "confidence_mean",
)


class Format(enum.StrEnum):
    """How an export is written."""

    CSV = "csv"
    """A line for each object (and for each class of a classifier); a result that shows nothing
    has one line without label, so that "nothing there" is not "nobody looked"."""
    JSONL = "jsonl"
    """A line for each result."""


def results_as_text(rows: Iterable[Row], style: Format, label: str | None = None) -> Iterator[str]:
    """Yield an export piece by piece, ends of line included.

    Args:
        rows: Of table `results`, `detections` and `scores` as JSON text.
        style: CSV or JSON lines.
        label: Only objects of this label, and only results that have one.
    """
    if style is Format.CSV:
        yield results_header(style)
    yield from filter(None, (result_as_text(row, style, label) for row in rows))


def results_header(style: Format) -> str:
    """Return the first line of an export; JSON lines have none."""
    return _csv([CSV_COLUMNS]) if style is Format.CSV else ""


def result_as_text(row: Row, style: Format, label: str | None = None) -> str:
    """Return the lines of one result, or nothing when it has no object of the label."""
    objects = [o for o in orjson.loads(row["detections"]) if label in (None, o[0])]
    given: dict[str, float] = orjson.loads(row["scores"]) if row["scores"] else {}
    scores = {name: value for name, value in given.items() if label in (None, name)}
    if label is not None and not objects and not scores:
        return ""
    if style is Format.CSV:
        return _csv(_csv_lines(row, objects, scores))
    return _json_line(_result(row, objects, scores))


def result_as_json(row: Row) -> bytes:
    """Return one result as JSON: the line of an export without its end."""
    scores = orjson.loads(row["scores"]) if row["scores"] else {}
    return orjson.dumps(_result(row, orjson.loads(row["detections"]), scores))


def counts_as_text(rows: Iterable[Row], style: Format) -> Iterator[str]:
    """Yield an export of counts per minute and label piece by piece."""
    if style is Format.CSV:
        yield counts_header(style)
    for row in rows:
        yield count_as_text(row, style)


def counts_header(style: Format) -> str:
    """Return the first line of an export of counts; JSON lines have none."""
    return _csv([COUNT_COLUMNS]) if style is Format.CSV else ""


def count_as_text(row: Row, style: Format) -> str:
    """Return the line of one sum."""
    values = {
        "minute": iso(row["minute_s"] * 1_000_000),
        **{name: row[name] for name in COUNT_COLUMNS[1:-1]},
        "confidence_mean": round(row["confidence_sum"] / row["objects"], 4)
        if row["objects"]
        else None,
    }
    if style is Format.CSV:
        return _csv([tuple(values.values())])
    bins = [row[f"confidence_{n}"] for n in range(CONFIDENCE_BINS)]
    return _json_line({**values, "confidence_histogram": bins})


def iso(unix_us: int) -> str:
    """Return ``2026-11-22T10:00:00.123456Z``."""
    seconds, fraction = divmod(unix_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:06d}Z"


def _csv_lines(
    row: Row, objects: list[tuple[Any, ...]], scores: Mapping[str, float]
) -> Iterator[tuple[Any, ...]]:
    start = (
        iso(row["captured_at_us"]),
        row["camera"],
        row["model"],
        row["model_version"],
        row["stream"],
        row["sequence"],
    )
    end = (
        row["picture_width"],
        row["picture_height"],
        row["uncertain"],
        row["latency_ms"],
        row["inference_ms"],
    )
    for found in objects:
        yield (*start, *found, *end)
    for name, value in scores.items():
        yield (*start, name, value, "", "", "", "", *end)
    if not objects and not scores:
        yield (*start, "", "", "", "", "", "", *end)


def _result(row: Row, objects: list[tuple[Any, ...]], scores: Mapping[str, float]) -> object:
    return {
        "timestamp": iso(row["captured_at_us"]),
        "timestamp_ms": row["captured_at_us"] // 1000,
        **{
            name: row[name]
            for name in (
                "camera",
                "model",
                "model_version",
                "stream",
                "sequence",
                "picture_width",
                "picture_height",
            )
        },
        "count": len(objects),
        "objects": [
            dict(zip(("label", "confidence", "x", "y", "width", "height"), o, strict=True))
            for o in objects
        ],
        "scores": scores,
        "uncertain": bool(row["uncertain"]),
        "latency_ms": row["latency_ms"],
        "inference_ms": row["inference_ms"],
    }


def _json_line(value: object) -> str:
    return orjson.dumps(value).decode() + "\n"


def _csv(lines: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(map(_harmless, line) for line in lines)
    return text.getvalue()


def _harmless(value: object) -> object:
    """Return text that a spreadsheet does not run: labels come from outside."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value
