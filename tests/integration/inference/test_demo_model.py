"""The committed demo model, on scenes that its training never saw."""

import hashlib
import json
import re
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from nxai_capture.core import demo_scene
from nxai_capture.core.demo_scene import LABELS, DemoPart
from nxai_common.contracts.models import InputSpec, ModelManifest, ResizeMode, ResizeQuality, Task
from support.demo_clip import demo_clip, truth_path
from support.demo_evaluation import Score, evaluate, judge, onnx_detector
from support.shared import ROOT

pytestmark = pytest.mark.integration

PACKAGE = ROOT / "models" / "demo-parts"
MODEL = PACKAGE / "model.onnx"
SEEDS = range(1000, 1003)
"""Neither those of the training (100000 and more) nor those that the README was measured on."""
FRAMES = tuple(range(0, 900, 41))
MARGIN = 0.01
"""F1 may differ so much on other scenes: 3 of 300 parts."""


@pytest.fixture(scope="module")
def manifest() -> ModelManifest:
    return ModelManifest.model_validate_json((PACKAGE / "manifest.json").read_bytes())


def claimed(size: str, quality: ResizeQuality) -> float:
    row = re.search(
        rf"^\| {size} \| {quality} \|.*\| ([01]\.\d+) \|$",
        (PACKAGE / "README.md").read_text(),
        re.MULTILINE,
    )
    assert row is not None
    return float(row.group(1))


def test_the_manifest_describes_the_file(manifest: ModelManifest) -> None:
    assert manifest.digest == hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert (manifest.task, manifest.labels) == (Task.FOMO, LABELS)
    assert (manifest.width, manifest.height, manifest.channels) == (96, 96, 3)
    assert manifest.resize_mode is ResizeMode.SQUASH
    assert MODEL.stat().st_size < 300_000


def test_the_file_looks_like_a_converted_edge_impulse_model() -> None:
    model = onnx.load(MODEL)
    assert model.ir_version == 8
    assert [entry.version for entry in model.opset_import] == [13]
    assert {node.op_type for node in model.graph.node} == {
        "Add", "Conv", "Relu", "Softmax", "Transpose",
    }  # fmt: skip
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    (source,), (result,) = session.get_inputs(), session.get_outputs()
    assert (source.name, source.shape, source.type) == (
        "serving_default_x:0", [1, 96, 96, 3], "tensor(float)",
    )  # fmt: skip
    assert (result.name, result.shape) == ("StatefulPartitionedCall:0", [1, 12, 12, 4])
    pixels = np.random.default_rng(0).random((1, 96, 96, 3), np.float32)
    (cells,) = session.run(None, {source.name: pixels})
    assert np.allclose(cells.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("size", [(640, 480), (1280, 720)])
@pytest.mark.parametrize("quality", ResizeQuality)
def test_finds_what_its_readme_claims(size: tuple[int, int], quality: ResizeQuality) -> None:
    promise = claimed(f"{size[0]}x{size[1]}", quality)
    assert promise >= 0.98
    score = evaluate(MODEL, size, SEEDS, FRAMES, quality=quality)
    assert score.found > 150
    assert score.f1 >= promise - MARGIN, score


@pytest.mark.parametrize(
    ("name", "factor", "shift"), [("dim", 0.8, 0), ("bright", 1.15, 5), ("flat", 0.8, 25)]
)
def test_other_light_does_not_matter(name: str, factor: float, shift: float) -> None:
    def spoil(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(cv2.convertScaleAbs(pixels, alpha=factor, beta=shift), np.uint8)

    score = evaluate(MODEL, (640, 480), SEEDS[:2], FRAMES, spoil=spoil)
    assert score.f1 >= 0.97, (name, score)


def test_an_empty_belt_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rails, screws, painted marks, seam and reflection are no parts."""
    monkeypatch.setattr(demo_scene, "FILLED", 0.0)
    score = evaluate(MODEL, (640, 480), range(1000, 1010), range(0, 144, 12))
    assert score.pictures == 120
    assert (score.found, score.missed) == (0, 0)
    assert score.false == 0


def test_finds_the_parts_in_a_compressed_clip(tmp_path: Path) -> None:
    clip = tmp_path / "belt.mp4"
    demo_clip(clip, 640, 480, fps=30, seconds=4, seed=1001)
    truth = json.loads(truth_path(clip).read_text())
    assert (truth["width"], truth["height"], truth["fps"], truth["frames"]) == (640, 480, 30, 120)
    detect = onnx_detector(MODEL, InputSpec(width=96, height=96, channels=3), (640, 480))
    score, keys = Score(), []
    with av.open(clip) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        for index, frame in enumerate(container.decode(video=0)):
            if frame.key_frame:
                keys.append(index)
            parts = [
                DemoPart(box["label"], x, y, right - x, bottom - y, box["visible"])
                for box in truth["boxes"][index]
                for x, y, right, bottom in [box["xyxy"]]
            ]
            pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            score = score.add(judge(parts, detect(pixels), 480))
    assert score.pictures == 120
    assert keys[:2] == [0, 30]
    assert score.found > 200
    assert score.f1 >= 0.98, score
