import csv
import io
import json
from typing import Any

import pytest

from nxai_common.contracts.results import InferenceResult
from nxai_publisher.core.export import (
    Format,
    counts_as_text,
    result_as_json,
    results_as_text,
)
from nxai_publisher.core.observation import observe
from nxai_publisher.core.rows import logged, roll_up
from support.results import classified, detection, result


def rows(*items: InferenceResult) -> list[dict[str, Any]]:
    return [logged(item, observe(item), 2.0).row for item in items]


def as_csv(*items: InferenceResult, label: str | None = None) -> list[dict[str, str]]:
    text = "".join(results_as_text(rows(*items), Format.CSV, label))
    return list(csv.DictReader(io.StringIO(text, newline="")))


def as_json(*items: InferenceResult, label: str | None = None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results_as_text(rows(*items), Format.JSONL, label)]


BOTH = result(0, [detection("nut", 0.5), detection("bolt", 0.25, (1, 2, 3, 4))])


def test_csv_has_a_line_for_each_object() -> None:
    first, second = as_csv(BOTH)
    assert (first["label"], first["confidence"]) == ("nut", "0.5")
    assert second == {
        "timestamp": "2026-11-22T10:00:00.000000Z",
        "camera": "front",
        "model": "m5-nut",
        "model_version": "3",
        "stream": "run-1",
        "sequence": "0",
        "label": "bolt",
        "confidence": "0.25",
        "x": "1.0",
        "y": "2.0",
        "width": "3.0",
        "height": "4.0",
        "picture_width": "640",
        "picture_height": "480",
        "uncertain": "0",
        "latency_ms": "2.0",
        "inference_ms": "0.75",
    }


def test_csv_has_a_line_for_nothing_and_for_each_class() -> None:
    nothing, cat, dog = as_csv(result(0, []), classified(cat=0.75, dog=0.25))
    assert (nothing["label"], nothing["x"], nothing["latency_ms"]) == ("", "", "2.0")
    assert [(r["label"], r["confidence"], r["x"]) for r in (cat, dog)] == [
        ("cat", "0.75", ""),
        ("dog", "0.25", ""),
    ]


def test_json_lines_have_a_line_for_each_result() -> None:
    first, second = as_json(BOTH, classified(1, cat=0.75))
    assert first == {
        "timestamp": "2026-11-22T10:00:00.000000Z",
        "timestamp_ms": 1_795_341_600_000,
        "camera": "front",
        "model": "m5-nut",
        "model_version": "3",
        "stream": "run-1",
        "sequence": 0,
        "picture_width": 640,
        "picture_height": 480,
        "count": 2,
        "objects": [
            {"label": "nut", "confidence": 0.5, "x": 64, "y": 48, "width": 32, "height": 24},
            {"label": "bolt", "confidence": 0.25, "x": 1, "y": 2, "width": 3, "height": 4},
        ],
        "scores": {},
        "uncertain": False,
        "latency_ms": 2.0,
        "inference_ms": 0.75,
    }
    assert second["scores"] == {"cat": 0.75}


def test_a_label_leaves_only_its_objects_and_their_results() -> None:
    items = (BOTH, result(1), classified(2, bolt=0.75, cat=0.25))
    assert [row["label"] for row in as_csv(*items, label="bolt")] == ["bolt", "bolt"]
    objects, scores = as_json(*items, label="bolt")
    assert [found["label"] for found in objects["objects"]] == ["bolt"]
    assert scores["scores"] == {"bolt": 0.75}


@pytest.mark.parametrize("label", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"])
def test_a_label_is_no_formula(label: str) -> None:
    assert as_csv(result(0, [detection(label)]))[0]["label"] == "'" + label


def test_counts_as_csv_and_json_lines() -> None:
    items = [logged(i, observe(i), 1.0) for i in (BOTH, result(1))]
    sums = [*roll_up(items).labels.values()]
    table = list(csv.DictReader(io.StringIO("".join(counts_as_text(sums, Format.CSV)))))
    assert table[0] == {
        "minute": "2026-11-22T10:00:00.000000Z",
        "camera": "front",
        "model": "m5-nut",
        "label": "nut",
        "results": "2",
        "objects": "2",
        "max_objects": "1",
        "confidence_mean": "0.625",
    }
    lines = [json.loads(line) for line in counts_as_text(sums, Format.JSONL)]
    assert lines[0]["confidence_histogram"] == [0, 0, 0, 0, 0, 1, 0, 1, 0, 0]


def test_counts_without_objects_have_no_mean() -> None:
    (total,) = roll_up(
        [logged(BOTH.model_copy(update={"detections": (detection(),)}), observe(BOTH), 1)]
    ).labels.values()
    (line,) = counts_as_text([{**total, "objects": 0}], Format.JSONL)
    assert json.loads(line)["confidence_mean"] is None


def test_json_of_one_result_is_the_line_of_an_export() -> None:
    for item in (BOTH, classified(1, cat=0.75)):
        (row,) = rows(item)
        assert result_as_json(row).decode() + "\n" == "".join(results_as_text([row], Format.JSONL))
