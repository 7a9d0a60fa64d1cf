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
    """Yield the lines of an export, ends of line included.

    Args:
        rows: Of table `results`, `detections` and `scores` as JSON text.
        style: CSV or JSON lines.
        label: Only objects of this label, and only results that have one.
    """
    if style is Format.CSV:
        yield _csv_line(CSV_COLUMNS)
    for row in rows:
        objects = [o for o in orjson.loads(row["detections"]) if label in (None, o[0])]
        given: dict[str, float] = orjson.loads(row["scores"]) if row["scores"] else {}
        scores = {name: value for name, value in given.items() if label in (None, name)}
        if label is not None and not objects and not scores:
            continue
        if style is Format.CSV:
            yield from _csv_lines(row, objects, scores)
        else:
            yield _json_line(_result(row, objects, scores))


def counts_as_text(rows: Iterable[Row], style: Format) -> Iterator[str]:
    """Yield the lines of an export of counts per minute and label."""
    if style is Format.CSV:
        yield _csv_line(COUNT_COLUMNS)
    for row in rows:
        values = {
            "minute": iso(row["minute_s"] * 1_000_000),
            **{name: row[name] for name in COUNT_COLUMNS[1:-1]},
            "confidence_mean": round(row["confidence_sum"] / row["objects"], 4)
            if row["objects"]
            else None,
        }
        if style is Format.CSV:
            yield _csv_line(tuple(values.values()))
        else:
            bins = [row[f"confidence_{n}"] for n in range(CONFIDENCE_BINS)]
            yield _json_line({**values, "confidence_histogram": bins})


def iso(unix_us: int) -> str:
    """Return ``2026-11-22T10:00:00.123456Z``."""
    seconds, fraction = divmod(unix_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:06d}Z"


def _csv_lines(
    row: Row, objects: list[tuple[Any, ...]], scores: Mapping[str, float]
) -> Iterator[str]:
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
        yield _csv_line((*start, *found, *end))
    for name, value in scores.items():
        yield _csv_line((*start, name, value, "", "", "", "", *end))
    if not objects and not scores:
        yield _csv_line((*start, "", "", "", "", "", "", *end))


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


def _csv_line(values: tuple[Any, ...]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([_harmless(value) for value in values])
    return line.getvalue()


def _harmless(value: object) -> object:
    """Return text that a spreadsheet does not run: labels come from outside."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value
