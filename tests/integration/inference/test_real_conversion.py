"""Every real model converts within its tolerance, or is refused by name.

float32: within 1e-4 of LiteRT (measured 2.4e-7 for FOMO, 1.5e-5 for YOLOv5n).
int8: at most half a quantisation step on average for each picture. There is no exact reference:
LiteRT's own two kernel sets are up to 1.2 steps apart on noise (docs/decisions/engines.md).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nxai_common.contracts.models import InputScaling, ModelManifest, ResizeMode, Task
from nxai_common.errors import RejectedError
from nxai_inference.adapters.litert_engine import LitertEngine
from nxai_inference.adapters.onnx_engine import OnnxEngine
from nxai_inference.adapters.picture_file import fit_picture, read_picture
from nxai_inference.core.conversion import convert
from nxai_inference.core.decoding import decoder_for
from nxai_inference.core.model_facts import find_facts, input_geometry
from nxai_inference.core.self_test import STEPS_TOLERANCE, trial_pictures
from nxai_inference.ports import Engine
from support.decoding import rows
from support.shared import SHARED, shared

pytestmark = pytest.mark.integration

FLOAT_TOLERANCE = 1e-4
REFUSED = {"ei_mobilenet_ssd_320x320x3_2cls_i8.tflite": "TFLite_Detection_PostProcess"}
MODELS = sorted(path.name for path in (SHARED / "models").glob("*.tflite"))
NAMES = [name for name in MODELS if name not in REFUSED] or ["none"]


@pytest.fixture(params=NAMES)
def engines(request: pytest.FixtureRequest) -> Iterator[tuple[Engine, Engine]]:
    content = shared(f"models/{request.param}").read_bytes()
    scaling = InputScaling.ZERO_TO_ONE
    with (
        LitertEngine(content, scaling=scaling) as litert,
        OnnxEngine(convert(content), scaling=scaling) as onnx,
    ):
        yield litert, onnx


def pictures(engine: Engine) -> list[NDArray[np.uint8]]:
    """Black, noise, a gradient, blobs; photographs and golden pictures."""
    geometry = input_geometry(engine.inputs)
    files: list[Path] = sorted(shared("media/conveyor-photographs").glob("*.bmp"))
    files += sorted(shared("golden").glob("*.png"))
    assert len(files) > 3
    size = (geometry.width, geometry.height)
    noise = np.random.default_rng(5).integers(
        0, 256, (3, geometry.height, geometry.width, geometry.channels), dtype=np.uint8
    )
    return [
        *trial_pictures(geometry),
        *noise,
        *(
            fit_picture(read_picture(file), size, geometry.channels, ResizeMode.FIT_SHORT)[0]
            for file in files
        ),
    ]


def test_outputs_are_those_of_litert(engines: tuple[Engine, Engine]) -> None:
    litert, onnx = engines
    assert onnx.inputs == litert.inputs
    assert onnx.outputs == litert.outputs, "names, shapes, types and quantisation are kept"
    for picture in pictures(litert):
        for expected, actual in zip(litert.run(picture), onnx.run(picture), strict=True):
            assert actual.values.dtype == expected.values.dtype
            apart = np.abs(actual.values.astype(np.float64) - expected.values.astype(np.float64))
            if expected.info.scale == 0.0:
                assert apart.max() <= FLOAT_TOLERANCE
            else:
                assert apart.mean() <= STEPS_TOLERANCE


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_boxes_are_those_of_litert(engines: tuple[Engine, Engine], threshold: float) -> None:
    litert, onnx = engines
    facts = find_facts(litert.inputs, litert.outputs)
    about = ModelManifest(
        model="x",
        task=facts.task,
        labels=tuple(f"L{n}" for n in range(facts.label_count or 0)),
        width=facts.geometry.width,
        height=facts.geometry.height,
        channels=facts.geometry.channels,
        digest="",
    )
    decoder = decoder_for(about, litert.outputs)
    quantised = litert.outputs[0].scale != 0.0
    found = 0
    for picture in pictures(litert)[7:]:  # real pictures: on noise a FOMO sits on the threshold
        expected = rows(decoder.decode(litert.run(picture), threshold))
        actual = rows(decoder.decode(onnx.run(picture), threshold))
        found += len(expected)
        assert [row[:5] for row in actual] == [row[:5] for row in expected]
        scores = ([row[5] for row in actual], [row[5] for row in expected])
        np.testing.assert_allclose(*scores, atol=0.05 if quantised else FLOAT_TOLERANCE)
    if facts.task is Task.YOLOV5:
        assert found, "nothing to compare"


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_the_others_are_refused_by_name(name: str) -> None:
    content = shared(f"models/{name}").read_bytes()
    with pytest.raises(RejectedError, match=REFUSED[name]):
        convert(content)
