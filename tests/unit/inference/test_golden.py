"""The decoders against what Edge Impulse's compiled SDK gave for the same raw outputs."""

import json
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from nxai_common.contracts.models import Task
from support.decoding import decoder, manifest, raw, rows
from support.shared import SHARED, shared

pytestmark = pytest.mark.unit

Row = tuple[int, int, int, int, int, float]


def cases(path: str, key: str | None) -> list[Any]:
    """Return the cases of a golden file; one None when it is not here, so that a test skips."""
    file = SHARED / path
    if not file.exists():
        return [None]
    loaded = json.loads(file.read_text())
    return list(loaded if key is None else loaded[key])


def number(label: str, labels: list[str]) -> int:
    """Return the index of a label; the YOLOv5 cases name them class0, class1."""
    found = re.fullmatch(r"class(\d+)", label)
    return labels.index(label) if found is None else int(found.group(1))


def same(found: list[Row], expected: list[Row], *, sorted_by_score: bool) -> None:
    """Equal, in order; boxes of equal score may change places where the SDK sorts by score."""
    assert Counter(found) == Counter(expected)
    if sorted_by_score:
        assert [row[5] for row in found] == [row[5] for row in expected]
    else:
        assert found == expected


@pytest.mark.parametrize("index", range(len(cases("golden/postprocess_vectors.json", None))))
def test_postprocess_vectors(index: int) -> None:
    case = json.loads(shared("golden/postprocess_vectors.json").read_text())[index]
    fomo = case["kind"] == "fomo_f32"
    task = Task.FOMO if fomo else {5: Task.YOLOV5_V5, 6: Task.YOLOV5}[case["version"]]
    values = np.array(case["data"], np.float32).reshape(1, *case["shape"])
    about = manifest(
        task,
        len(case["labels"]),
        case["input_width"],
        case["input_height"],
        case.get("nms_iou", 0.2),
    )

    output = raw(values)
    decoded = decoder(about, output).decode([output], case["threshold"])

    expected = [
        (case["labels"].index(label), *box, float(np.float32(score)))
        for label, *box, score in case["expected"]
    ]
    assert expected
    same(rows(decoded), expected, sorted_by_score=not fomo)


@pytest.mark.parametrize("index", range(len(cases("golden/model_golden.json", "cases"))))
def test_raw_outputs_of_real_models(index: int) -> None:
    case = json.loads(shared("golden/model_golden.json").read_text())["cases"][index]
    about = json.loads(shared(f"models/{case['model']}").with_suffix(".json").read_text())
    _, height, width, _ = about["inputs"][0]["shape"]
    labels = about["labels"]
    values = np.load(shared(f"golden/{case['raw_output_npz']}"))["output"]
    output = raw(values, scale=case["output_scale"], zero_point=case["output_zero_point"])
    task = Task(case["last_layer"])
    read = decoder(manifest(task, len(labels), width, height, case["nms_iou"]), output)
    assert case["expected_boxes_by_threshold"]

    for threshold, boxes in case["expected_boxes_by_threshold"].items():
        decoded = read.decode([output], float(threshold))
        expected = [
            (
                number(box["label"], labels),
                box["x"],
                box["y"],
                box["width"],
                box["height"],
                float(np.float32(box["value"])),
            )
            for box in boxes
        ]
        same(rows(decoded), expected, sorted_by_score=task is not Task.FOMO)
