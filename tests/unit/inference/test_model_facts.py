"""What a model is, told from its tensors, and the cross-check with what a person says."""

import numpy as np
import pytest

from nxai_common.contracts.base import MAX_PAYLOAD_BYTES
from nxai_common.contracts.frames import Frame, Transform
from nxai_common.contracts.models import Task, TensorInfo
from nxai_common.errors import ConfigurationError
from nxai_inference.core.model_facts import (
    InputGeometry,
    ModelFacts,
    check_labels,
    find_facts,
    input_geometry,
    yolov5_rows,
)
from nxai_inference.core.tensors import RawOutput
from support.decoding import decoder, manifest

pytestmark = pytest.mark.unit

Shape = tuple[int, ...]


def tensors(*shapes: Shape) -> list[TensorInfo]:
    return [TensorInfo(name=f"t{i}", shape=s, dtype="float32") for i, s in enumerate(shapes)]


def facts(source: Shape, *outputs: Shape, task: Task | None = None) -> ModelFacts:
    return find_facts(tensors(source), tensors(*outputs), task)


@pytest.mark.parametrize(
    ("shape", "geometry"),
    [
        ((1, 96, 64, 1), InputGeometry(64, 96, 1, channels_first=False)),
        ((1, 96, 64, 3), InputGeometry(64, 96, 3, channels_first=False)),
        ((1, 3, 96, 64), InputGeometry(64, 96, 3, channels_first=True)),
        ((1, 1, 96, 64), InputGeometry(64, 96, 1, channels_first=True)),
    ],
)
def test_inputs(shape: Shape, geometry: InputGeometry) -> None:
    assert input_geometry(tensors(shape)) == geometry


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ([], "0 inputs"),
        ([(1, 96, 96, 3), (1, 4)], "2 inputs"),
        ([(1, 96, 96, 4)], r"shape \[1, 96, 96, 4\]; a picture is"),
        ([(2, 96, 96, 3)], "a picture is"),
        ([(96, 96, 3)], "a picture is"),
        ([(1, -1, -1, 3)], r"shape \[1, \?, \?, 3\] with a dynamic or empty dimension"),
        ([(1, 0, 96, 3)], "dynamic or empty dimension"),
    ],
)
def test_inputs_that_are_no_picture(shapes: list[Shape], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        input_geometry(tensors(*shapes))


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((1, 2400, 2400, 3), r"2400x2400x3 = 17280000 bytes; a frame carries at most 16711680"),
        ((1, 3, 2400, 2400), r"2400x2400x3 = 17280000 bytes; a frame carries at most 16711680"),
        ((1, 16, 4097, 1), r"4097x16x1; a frame has at most 4096 pixels a side"),
        ((1, 4097, 16, 1), r"16x4097x1; a frame has at most 4096 pixels a side"),
    ],
)
def test_inputs_that_no_frame_can_carry(shape: Shape, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason + ", so export .* with a smaller input"):
        input_geometry(tensors(shape))


@pytest.mark.parametrize("shape", [(1, 4080, 4096, 1), (1, 2360, 2360, 3)])
def test_the_largest_inputs_fit_on_the_bus(shape: Shape) -> None:
    geometry = input_geometry(tensors(shape))
    frame = Frame(
        camera="c" * 64,
        input="i" * 64,
        models=("m" * 64,) * 500,
        stream="s" * 64,
        sequence=2**53,
        captured_at_us=2**53,
        width=geometry.width,
        height=geometry.height,
        channels=geometry.channels,
        source_width=1920,
        source_height=1080,
        transform=Transform(scale_x=1 / 3, scale_y=1 / 3),
        attachment=bytes(geometry.width * geometry.height * geometry.channels),
    )
    assert len(frame.encode()) <= MAX_PAYLOAD_BYTES


def test_the_number_of_candidates_of_a_yolov5() -> None:
    sizes = {320: 6300, 224: 3087, 160: 1575, 640: 25200}
    for side, rows in sizes.items():
        assert yolov5_rows(InputGeometry(side, side, 3, channels_first=False)) == rows


RECOGNISED = pytest.mark.parametrize(
    ("source", "outputs", "task", "labels"),
    [
        ((1, 96, 96, 3), [(1, 12, 12, 3)], Task.FOMO, 2),
        ((1, 100, 100, 1), [(1, 13, 13, 2)], Task.FOMO, 1),
        ((1, 96, 96, 3), [(1, 6, 6, 4)], Task.FOMO, 3),
        ((1, 96, 64, 3), [(1, 12, 8, 2)], Task.FOMO, 1),
        ((1, 320, 320, 3), [(1, 6300, 7)], Task.YOLOV5, 2),
        ((1, 3, 640, 640), [(1, 25200, 85)], Task.YOLOV5, 80),
        ((1, 3, 64, 64), [(1, 252, 6), (1, 3, 8, 8, 6), (1, 3, 4, 4, 6)], Task.YOLOV5, 1),
        ((1, 320, 320, 3), [(1, 10), (1, 10, 4), (1,), (1, 10)], Task.MOBILENET_SSD, None),
        ((1, 320, 320, 3), [(1, 10), (1, 10, 4), (), (1, 10)], Task.MOBILENET_SSD, None),
        ((1, 300, 300, 3), [(1, 10, 4), (1, 10), (1, 10), (1,)], Task.MOBILENET_SSD, None),
        ((1, 96, 96, 3), [(1, 5)], Task.CLASSIFICATION, 5),
    ],
)


@RECOGNISED
def test_recognised(source: Shape, outputs: list[Shape], task: Task, labels: int | None) -> None:
    found = facts(source, *outputs)
    assert (found.task, found.label_count) == (task, labels)
    assert facts(source, *outputs, task=task) == found


@RECOGNISED
def test_what_is_recognised_can_be_decoded(
    source: Shape, outputs: list[Shape], task: Task, labels: int | None
) -> None:
    found = facts(source, *outputs)
    geometry = found.geometry
    about = manifest(found.task, found.label_count or 2, geometry.width, geometry.height)
    given = [RawOutput(info, np.zeros(info.shape, np.float32)) for info in tensors(*outputs)]
    decoded = decoder(about, *given).decode(given, 0.5)
    assert len(decoded) == (labels if task is Task.CLASSIFICATION else 0)


def test_the_boxes_tell_an_ssd() -> None:
    edge_impulse = facts((1, 320, 320, 3), (1, 10), (1, 10, 4), (1,), (1, 10))
    tensorflow = facts((1, 320, 320, 3), (1, 10, 4), (1, 10), (1, 10), (1,))
    assert (edge_impulse.tensor.name, tensorflow.tensor.name) == ("t1", "t0")


@pytest.mark.parametrize(
    ("source", "outputs"),
    [
        ((1, 96, 96, 3), []),
        ((1, 96, 96, 3), [(1, 12, 12, 1)]),
        ((1, 96, 96, 3), [(1, 12, 6, 3)]),
        ((1, 96, 96, 3), [(1, 11, 11, 3)]),
        ((1, 320, 320, 3), [(1, 6301, 7)]),
        ((1, 320, 320, 3), [(1, 6300, 5)]),
        ((1, 3, 640, 640), [(1, 84, 8400)]),
        ((1, 96, 96, 3), [(1, 5), (1, 5)]),
        ((1, 96, 96, 3), [(1, 5), (1, 3, 8, 8, 6)]),
        ((1, 96, 96, 3), [(1, 12, 12, 3), (1, 3, 8, 8, 6)]),
        ((1, 320, 320, 3), [(1, 6300, 7), (1, 6300, 7)]),
        ((1, 320, 320, 3), [(1, 10, 4), (1, 10), (1,), (1, 10)]),
        ((1, 320, 320, 3), [(1, 10), (1, 10, 5), (1,), (1, 10)]),
        ((1, 320, 320, 3), [(1, 10), (1, 10, 4), (1, 10), (1, 10)]),
        ((1, 320, 320, 3), [(1, 10), (1, 10, 4), (1,), (1, 9)]),
        ((1, 320, 320, 3), [(2, 10), (2, 10, 4), (1,), (2, 10)]),
        ((1, 320, 320, 3), [(1, 10, 4), (1, 10), (1, 9), (1,)]),
    ],
)
def test_not_recognised(source: Shape, outputs: list[Shape]) -> None:
    with pytest.raises(ConfigurationError, match="are none of FOMO, YOLOv5"):
        facts(source, *outputs)


def test_an_output_of_unknown_size_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"output 't0' has shape \[1, \?, 7\]"):
        facts((1, 320, 320, 3), (1, -1, 7))


def test_only_a_person_can_tell_the_versions_of_yolov5_apart() -> None:
    found = facts((1, 320, 320, 3), (1, 6300, 7), task=Task.YOLOV5_V5)
    assert (found.task, found.label_count) == (Task.YOLOV5_V5, 2)


def test_a_task_that_does_not_fit_is_refused_with_both() -> None:
    with pytest.raises(ConfigurationError, match=r"said to be yolov5, .* are those of fomo"):
        facts((1, 96, 96, 3), (1, 12, 12, 3), task=Task.YOLOV5)


FOMO = facts((1, 96, 96, 3), (1, 12, 12, 3))
CLASSIFIER = facts((1, 96, 96, 3), (1, 2))
SSD = facts((1, 320, 320, 3), (1, 10), (1, 10, 4), (1,), (1, 10))


def test_labels_that_fit() -> None:
    assert check_labels(FOMO, ["beer", "can"]) == ("beer", "can")
    assert check_labels(SSD, ["any", "number", "of", "them"]) == ("any", "number", "of", "them")


def test_a_classifier_may_come_without_labels() -> None:
    assert check_labels(CLASSIFIER, None) == ("class 0", "class 1")


@pytest.mark.parametrize(
    ("about", "labels", "reason"),
    [
        (FOMO, None, r"no labels; name 2 labels .*'t0' of shape \[1, 12, 12, 3\].*--labels"),
        (FOMO, [], "no labels"),
        (SSD, None, "no labels; name its labels"),
        (facts((1, 96, 96, 3), (1, 12, 12, 2)), None, "name 1 label in"),
        (FOMO, ["beer"], r"1 labels are given \(beer\), but .* fomo model with 2$"),
        (FOMO, ["background", "beer", "can"], "3 labels .* with 2; leave out the background"),
        (CLASSIFIER, ["a", "b", "c"], r"3 labels are given \(a, b, c\).* classification .* 2$"),
        (FOMO, ["beer", "beer"], "must all differ"),
        (FOMO, ["beer", " "], "not be empty"),
    ],
)
def test_labels_that_do_not_fit(about: ModelFacts, labels: list[str] | None, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        check_labels(about, labels)
