"""From the golden pictures through a real engine to the boxes of Edge Impulse's compiled SDK."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.models import ResizeMode, Task
from nxai_inference.adapters.engines import EngineOptions
from nxai_inference.adapters.model_folder import open_model
from nxai_inference.adapters.picture_file import fit_picture, read_picture
from nxai_inference.core.conversion import convert
from nxai_inference.core.decoding import Decoded, decoder_for
from support.decoding import rows
from support.shared import SHARED, shared

pytestmark = pytest.mark.integration

GOLDEN = "golden/model_golden.json"
FLOAT_TOLERANCE = 1e-4
"""Of the converted model against LiteRT, as promised."""


def cases(*types: str) -> list[int]:
    """Return the numbers of the cases with such outputs; one, which skips, without the file."""
    file = SHARED / GOLDEN
    if not file.exists():
        return [0]
    listed = json.loads(file.read_text())["cases"]
    return [index for index, case in enumerate(listed) if case["output_dtype"] in types]


def golden_case(index: int) -> dict[str, Any]:
    case: dict[str, Any] = json.loads(shared(GOLDEN).read_text())["cases"][index]
    return case


def labels_of(case: dict[str, Any]) -> list[str]:
    """Return the labels as the golden boxes name them: the YOLOv5 ones are only numbered."""
    about = json.loads(shared(f"models/{case['model']}").with_suffix(".json").read_text())
    labels: list[str] = about["labels"]
    if case["last_layer"] == "yolov5":
        return [f"class{number}" for number in range(len(labels))]
    return labels


def detect(
    case: dict[str, Any], model: Path, engine: str, labels: list[str]
) -> tuple[np.ndarray[Any, Any], dict[str, Decoded]]:
    """Run a model on the picture of a case; return its raw output and what each threshold finds."""
    desired = DesiredModel.model_validate(
        {"id": "golden", "path": str(model), "labels": labels, "engine": engine}
    )
    loaded = open_model(model.parent, desired, EngineOptions()).loaded
    about = loaded.manifest
    with loaded.engine as running:
        assert about.task is Task(case["last_layer"])
        picture = read_picture(shared(f"golden/{case['image']}"))
        size = (about.width, about.height)
        assert picture.size == size  # nothing is resized: the engine sees the very pixels
        pixels, _ = fit_picture(picture, size, about.channels, ResizeMode.SQUASH)
        outputs = running.run(pixels)
        decoder = decoder_for(about, running.outputs)
        thresholds = case["expected_boxes_by_threshold"]
        return outputs[0].values, {t: decoder.decode(outputs, float(t)) for t in thresholds}


def expected_rows(case: dict[str, Any], threshold: str, labels: list[str]) -> list[Any]:
    return sorted(
        (
            labels.index(box["label"]),
            box["x"],
            box["y"],
            box["width"],
            box["height"],
            float(np.float32(box["value"])),
        )
        for box in case["expected_boxes_by_threshold"][threshold]
    )


@pytest.mark.parametrize("index", cases("f32", "i8", "u8"))
def test_litert(index: int) -> None:
    case = golden_case(index)
    labels = labels_of(case)
    values, found = detect(case, shared(f"models/{case['model']}"), "litert", labels)

    stored = np.load(shared(f"golden/{case['raw_output_npz']}"))["output"]
    assert values.dtype == stored.dtype
    assert np.abs(values.astype(np.float64) - stored).max() <= FLOAT_TOLERANCE
    for threshold, decoded in found.items():
        expected = expected_rows(case, threshold, labels)
        assert [row[:5] for row in sorted(rows(decoded))] == [row[:5] for row in expected]
        scores = [row[5] for row in sorted(rows(decoded))]
        assert scores == pytest.approx([row[5] for row in expected], abs=1e-6)


# An int8 model has no exact reference: LiteRT's own two sets of kernels differ by steps.
@pytest.mark.parametrize("index", cases("f32"))
def test_converted_float_models(index: int, tmp_path: Path) -> None:
    case = golden_case(index)
    labels = labels_of(case)
    converted = tmp_path / "model.onnx"
    converted.write_bytes(convert(shared(f"models/{case['model']}").read_bytes()))
    values, found = detect(case, converted, "onnx", labels)

    stored = np.load(shared(f"golden/{case['raw_output_npz']}"))["output"]
    assert np.abs(values - stored).max() <= FLOAT_TOLERANCE
    for threshold, decoded in found.items():
        expected = expected_rows(case, threshold, labels)
        assert [row[:5] for row in sorted(rows(decoded))] == [row[:5] for row in expected]
        scores = [row[5] for row in sorted(rows(decoded))]
        assert scores == pytest.approx([row[5] for row in expected], abs=FLOAT_TOLERANCE)
