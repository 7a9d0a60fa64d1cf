"""Decoders against a slow restatement of the reference, and against bad input."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nxai_common.contracts.models import Task, TensorInfo
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.core.decoding import Decoded, decoder_for
from nxai_inference.core.decoding.nms import suppress
from support import edge_impulse_sdk as sdk
from support.decoding import decoder, manifest, raw, rows

pytestmark = pytest.mark.unit

SCORES = st.floats(0, 1, width=32)


# -- FOMO -----------------------------------------------------------------------------------------


@st.composite
def fomo_maps(draw: st.DrawFn) -> NDArray[np.float32]:
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 7)), draw(st.integers(2, 4)))
    return draw(hnp.arrays(np.float32, shape, elements=SCORES, fill=st.just(0.0)))


@given(fomo_maps(), SCORES)
def test_fomo_is_what_the_reference_says(cells: NDArray[np.float32], threshold: float) -> None:
    height, width, classes = cells.shape
    about = manifest(Task.FOMO, classes - 1, width * 8, height * 8)
    output = raw(cells[None])
    decoded = decoder(about, output).decode([output], threshold)
    assert rows(decoded) == [box.row for box in sdk.fomo(cells, threshold, 8)]


@given(st.integers(0, 2**32 - 1))
def test_fomo_on_crowded_maps(seed: int) -> None:
    cells = np.random.default_rng(seed).random((24, 24, 3), np.float32)
    output = raw(cells[None])
    for threshold in (0.5, 0.8, 0.95):
        decoded = decoder(manifest(Task.FOMO, 2, 192, 192), output).decode([output], threshold)
        assert rows(decoded) == [box.row for box in sdk.fomo(cells, threshold, 8)]


@given(
    hnp.arrays(np.int8, (5, 5, 3), elements=st.integers(-128, 127)),
    st.integers(-128, 127),
    SCORES,
)
def test_fomo_int8(stored: NDArray[np.int8], zero_point: int, threshold: float) -> None:
    output = raw(stored[None], scale=0.00390625, zero_point=zero_point)
    cells = (stored.astype(np.float32) - np.float32(zero_point)) * np.float32(0.00390625)
    decoded = decoder(manifest(Task.FOMO, 2, 40, 40), output).decode([output], threshold)
    assert rows(decoded) == [box.row for box in sdk.fomo(cells, threshold, 8)]


def cells_with(*hits: tuple[int, int, int], side: int = 4) -> NDArray[np.float32]:
    cells = np.zeros((1, side, side, 3), np.float32)
    for row, column, label in hits:
        cells[0, row, column, 1 + label] = 0.9
    return cells


def boxes_of(cells: NDArray[np.float32], width: int = 32, height: int = 32) -> list[list[int]]:
    output = raw(cells)
    decoded = decoder(manifest(Task.FOMO, 2, width, height), output).decode([output], 0.5)
    assert decoded.boxes is not None
    return decoded.boxes.tolist()  # type: ignore[no-any-return] # numpy types tolist as Any


def test_fomo_growing_left_does_not_widen() -> None:
    assert boxes_of(cells_with((0, 1, 0), (1, 0, 0))) == [[0, 0, 8, 16]]


def test_fomo_labels_do_not_mix() -> None:
    assert boxes_of(cells_with((0, 0, 0), (0, 1, 1))) == [[0, 0, 8, 8], [8, 0, 8, 8]]


def test_fomo_keeps_what_does_not_touch_apart() -> None:
    assert boxes_of(cells_with((0, 0, 0), (0, 3, 0))) == [[0, 0, 8, 8], [24, 0, 8, 8]]


def test_fomo_second_pass_drops_a_cube_that_touches_an_earlier_one() -> None:
    # Two cubes at first; the first one grows down until it touches the second.
    cells = cells_with((0, 0, 0), (0, 3, 0), (1, 2, 0), (1, 1, 0), side=5)
    expected = [list(box.row[1:5]) for box in sdk.fomo(cells[0], 0.5, 8)]
    assert boxes_of(cells, 40, 40) == expected
    assert len(expected) == 1


def test_fomo_has_one_factor_for_both_axes() -> None:
    cells = np.zeros((1, 2, 4, 3), np.float32)
    cells[0, 1, 3, 2] = 1
    assert boxes_of(cells, 64, 64) == [[48, 16, 16, 16]]


def test_fomo_threshold_is_a_float32() -> None:
    cells = cells_with((0, 0, 0))
    output = raw(cells)
    read = decoder(manifest(Task.FOMO, 2, 32, 32), output)
    assert float(np.float32(0.9)) < 0.9  # which must not hide the cell
    assert len(read.decode([output], 0.9)) == 1
    assert len(read.decode([output], 0.9000001)) == 0


def test_fomo_not_a_number_is_nothing() -> None:
    cells = np.full((1, 4, 4, 3), np.nan, np.float32)
    assert boxes_of(cells) == []


def test_an_infinite_score_is_refused() -> None:
    cells = np.full((1, 4, 4, 3), np.inf, np.float32)
    with pytest.raises(RejectedError, match="not a number"):
        boxes_of(cells)


# -- YOLOv5 ---------------------------------------------------------------------------------------


@st.composite
def yolo_rows(draw: st.DrawFn) -> NDArray[np.float32]:
    """Rows whose scores all differ: equal ones are the business of the suppression's own test."""
    count = draw(st.integers(1, 12))
    labels = draw(st.integers(1, 3))
    values = draw(
        hnp.arrays(np.float32, (count, 5 + labels), elements=st.floats(-0.25, 1.25, width=32))
    )
    scores = draw(
        st.lists(st.floats(0.0, 1.125, width=32), min_size=count, max_size=count, unique=True)
    )
    values[:, 4] = scores
    return values


@given(yolo_rows(), st.sampled_from([5, 6]), st.floats(0.0078125, 1, width=32), SCORES)
def test_yolov5_is_what_the_reference_says(
    values: NDArray[np.float32], version: int, threshold: float, iou: float
) -> None:
    width, height = 64, 48
    if version == 5:
        values[:, :4] *= (width, height, width, height)
    task = {5: Task.YOLOV5_V5, 6: Task.YOLOV5}[version]
    output = raw(values[None])
    about = manifest(task, values.shape[1] - 5, width, height, iou)
    decoded = decoder(about, output).decode([output], threshold)
    expected = sdk.yolov5(
        values, threshold, version=version, width=width, height=height, nms_iou=iou
    )
    assert rows(decoded) == [box.row for box in expected]


@given(
    hnp.arrays(np.uint8, (8, 7), elements=st.integers(0, 255)),
    st.permutations(range(100, 108)),
)
def test_yolov5_uint8(stored: NDArray[np.uint8], scores: list[int]) -> None:
    stored[:, 4] = scores
    scale, zero_point = 0.0078125, 3
    output = raw(stored[None], scale=scale, zero_point=zero_point)
    values = (stored.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    values[:, :4] = np.minimum(values[:, :4], 2)
    decoded = decoder(manifest(Task.YOLOV5, 2, 64, 64), output).decode([output], 0.78)
    expected = sdk.yolov5(values, 0.78, version=6, width=64, height=64, nms_iou=0.2)
    assert rows(decoded) == [box.row for box in expected]


def test_yolov5_onnx_export_in_pixels_gives_the_same_boxes() -> None:
    rng = np.random.default_rng(5)
    normalised = rng.random((40, 7), np.float32) * np.float32(0.5) + np.float32(0.2)
    normalised[:, 4] = rng.permutation(40) / np.float32(40)
    pixels = normalised.copy()
    pixels[:, :4] *= np.float32(64)  # a power of two: exact
    about = manifest(Task.YOLOV5, 2, 64, 64)
    found = []
    for values in (normalised, pixels):
        output = raw(values[None])
        found.append(rows(decoder(about, output).decode([output], 0.5)))
    assert found[0] == found[1]
    assert found[0]


def test_yolov5_pixels_are_told_by_the_weakest_candidate() -> None:
    values = np.zeros((1, 2, 6), np.float32)
    values[0, 0] = (1, 1, 2, 2, 0.9, 1)  # in pixels, in the corner
    values[0, 1] = (63, 63, 2, 2, 0.0, 1)  # far out, says nothing else
    output = raw(values)
    decoded = decoder(manifest(Task.YOLOV5, 1, 64, 64), output).decode([output], 0.5)
    assert rows(decoded) == [(0, 0, 0, 2, 2, float(np.float32(0.9)))]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ((0.5, 0.5, np.nan, 0.1, 0.9, 1, 0), []),
        ((0.5, 0.5, np.inf, 0.1, 0.9, 1, 0), None),
        ((0.5, 0.5, -0.1, 0.1, 0.9, 1, 0), []),
        ((0.5, 0.5, 0.1, 0.1, np.nan, 1, 0), []),
        ((0.5, 0.5, 0.25, 0.25, 0.75, np.nan, 0.5), [(1, 24, 24, 16, 16, 0.75)]),
        ((0.5, 0.5, 0.25, 0.25, 0.75, -1, -2), [(0, 24, 24, 16, 16, 0.75)]),
        ((0.5, 0.5, 0.25, 0.25, 0.75, 0.5, 0.5), [(0, 24, 24, 16, 16, 0.75)]),
        ((1e30, 0.5, 0.25, 0.25, 0.75, 1, 0), []),
    ],
)
def test_yolov5_odd_rows(row: tuple[float, ...], found: list[Any] | None) -> None:
    output = raw(np.array(row, np.float32).reshape(1, 1, 7))
    decoded = decoder(manifest(Task.YOLOV5, 2, 64, 64), output).decode([output], 0.5)
    if found is None:  # unbounded: cut to the picture
        ((_, x, _, width, _, _),) = rows(decoded)
        assert x + width <= 64
    else:
        assert rows(decoded) == found


# -- suppression ----------------------------------------------------------------------------------

BOXES = hnp.arrays(np.int32, st.tuples(st.integers(0, 14), st.just(4)), elements=st.integers(0, 20))


@given(BOXES, st.data(), SCORES)
def test_suppression_keeps_a_sound_set_whatever_the_ties(
    boxes: NDArray[np.int32], data: st.DataObject, iou: float
) -> None:
    scores = data.draw(
        hnp.arrays(np.float32, len(boxes), elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
    )
    kept = suppress(boxes, scores, iou=iou).tolist()

    def overlap(a: int, b: int) -> np.float32:
        corners = [
            [np.float32(v) for v in (y, x, y + h, x + w)] for x, y, w, h in boxes[[a, b]].tolist()
        ]
        return sdk.iou(corners[0], corners[1])

    assert len(set(kept)) == len(kept)
    assert [scores[k] for k in kept] == sorted((scores[k] for k in kept), reverse=True)
    for place, box in enumerate(kept):
        assert scores[box] > 0
        assert all(overlap(box, before) < np.float32(iou) for before in kept[:place])
    for box in set(range(len(boxes))) - set(kept):
        assert scores[box] == 0 or any(
            overlap(box, k) >= np.float32(iou) and scores[k] >= scores[box] for k in kept
        )


def test_equal_scores_go_in_the_order_of_the_sdk_s_heap() -> None:
    # From std::priority_queue of libstdc++ with these scores.
    boxes = np.array([[100 * n, 0, 10, 10] for n in range(7)], np.int32)
    scores = np.full(7, 0.5, np.float32)
    assert suppress(boxes, scores, iou=0.2).tolist() == [0, 2, 5, 6, 4, 1, 3]


def test_some_equal_scores_in_an_even_number_of_boxes() -> None:
    boxes = np.array([[100 * n, 0, 10, 10] for n in range(6)], np.int32)
    scores = np.array([0.5, 0.75, 0.5, 0.75, 0.25, 0.75], np.float32)
    assert suppress(boxes, scores, iou=0.2).tolist() == [1, 5, 3, 2, 0, 4]


# -- MobileNet-SSD --------------------------------------------------------------------------------


def ssd_outputs(
    scores: list[float], boxes: list[list[float]], classes: list[float]
) -> dict[str, NDArray[np.float32]]:
    return {
        "scores": np.array([scores], np.float32),
        "boxes": np.array([boxes], np.float32).reshape(1, -1, 4),
        "count": np.array([len(scores)], np.float32),
        "classes": np.array([classes], np.float32),
    }


SSD = ssd_outputs(
    [0.9, 0.5, 0.4, 0.0],
    [[0.1, 0.2, 0.5, 0.6], [-0.5, 0.5, 1.5, 0.25], [0, 0, 1, 1], [0, 0, 0, 0]],
    [1, 0, 1, 0],
)


@pytest.mark.parametrize(
    "order", [("scores", "boxes", "count", "classes"), ("boxes", "classes", "scores", "count")]
)
def test_ssd_in_both_orders_of_outputs(order: tuple[str, ...]) -> None:
    outputs = [raw(SSD[name]) for name in order]
    read = decoder(manifest(Task.MOBILENET_SSD, 2, 100, 200), *outputs)
    assert rows(read.decode(outputs, 0.5)) == [
        (1, 20, 20, 40, 80, float(np.float32(0.9))),
        (0, 50, 0, 0, 200, 0.5),
    ]
    assert len(read.decode(outputs, 0.0)) == 3  # a score of zero is "nothing here"


def test_ssd_class_without_a_label() -> None:
    outputs = [raw(values) for values in SSD.values()]
    read = decoder(manifest(Task.MOBILENET_SSD, 1, 100, 100), *outputs)
    with pytest.raises(RejectedError, match=r"found the classes \[1.0, 0.0\], but has 1 labels"):
        read.decode(outputs, 0.5)


def test_ssd_class_that_is_not_a_number() -> None:
    outputs = [raw(v) for v in ssd_outputs([0.9], [[0, 0, 1, 1]], [np.nan]).values()]
    with pytest.raises(RejectedError, match="found the classes"):
        decoder(manifest(Task.MOBILENET_SSD, 1, 9, 9), *outputs).decode(outputs, 0.5)


@pytest.mark.parametrize(
    "shapes",
    [
        [],
        [(1, 10)],
        [(1, 10), (1, 10, 4), (1,)],
        [(1, 10), (1, 10), (1, 10, 4), (1,)],
        [(1, 10), (1, 10, 4), (1,), (1, 9)],
    ],
)
def test_outputs_that_are_not_an_ssd(shapes: list[tuple[int, ...]]) -> None:
    infos = [TensorInfo(name="o", shape=shape, dtype="float32") for shape in shapes]
    with pytest.raises(ConfigurationError, match=r"MobileNet-SSD|do not hold"):
        decoder_for(manifest(Task.MOBILENET_SSD, 2, 100, 100), infos)


# -- classification -------------------------------------------------------------------------------


def test_classification_gives_every_value() -> None:
    output = raw(np.array([[-128, 127]], np.int8), scale=0.00390625, zero_point=-128)
    decoded = decoder(manifest(Task.CLASSIFICATION, 2, 9, 9), output).decode([output], 0.5)
    assert decoded.boxes is None
    assert decoded.labels.tolist() == [0, 1]
    assert decoded.scores.tolist() == [0.0, 255 * 0.00390625]


# -- what does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "shape", "said"),
    [
        (Task.FOMO, (1, 4, 4, 4), "has 3 classes besides the background, but 2 labels"),
        (Task.FOMO, (1, 4, 4), "a FOMO model has one output of shape"),
        (Task.FOMO, (2, 4, 4, 3), "a FOMO model has one output of shape"),
        (Task.FOMO, (1, 0, 4, 3), "a FOMO model has one output of shape"),
        (Task.FOMO, None, "a FOMO model has one output of shape"),
        (Task.YOLOV5, (1, 10, 8), "has 3 classes, but 2 labels"),
        (Task.YOLOV5, (1, 10), "a YOLOv5 model has a first output of shape"),
        (Task.YOLOV5, None, "a YOLOv5 model has a first output of shape"),
        (Task.CLASSIFICATION, (1, 3), "for 2 labels"),
        (Task.CLASSIFICATION, None, "for 2 labels"),
    ],
)
def test_outputs_that_do_not_fit_are_named(
    task: Task, shape: tuple[int, ...] | None, said: str
) -> None:
    infos = [] if shape is None else [TensorInfo(name="o", shape=shape, dtype="float32")]
    with pytest.raises(ConfigurationError, match=said):
        decoder_for(manifest(task, 2, 32, 32), infos)


@pytest.mark.parametrize(
    ("task", "shape"),
    [(Task.FOMO, (1, 4, 4, 3)), (Task.YOLOV5, (1, 9, 7)), (Task.CLASSIFICATION, (1, 2))],
)
def test_an_output_that_changes_its_shape_is_refused(task: Task, shape: tuple[int, ...]) -> None:
    output = raw(np.zeros(shape, np.float32))
    other = raw(np.zeros((*shape, 2), np.float32))
    with pytest.raises(RejectedError, match="the model gave"):
        decoder(manifest(task, 2, 32, 32), output).decode([other], 0.5)


def test_ssd_outputs_that_change_their_shape_are_refused() -> None:
    outputs = [raw(values) for values in SSD.values()]
    read = decoder(manifest(Task.MOBILENET_SSD, 2, 100, 100), *outputs)
    with pytest.raises(RejectedError, match="for 4 rows"):
        read.decode([outputs[0], outputs[0], *outputs[2:]], 0.5)


@pytest.mark.parametrize(
    ("labels", "scores", "boxes"), [(1, 2, 1), (1, 1, 2), (2, 1, None), (2, 2, 3)]
)
def test_findings_are_parallel(labels: int, scores: int, boxes: int | None) -> None:
    with pytest.raises(ValueError, match="not parallel"):
        Decoded(
            np.zeros(labels, np.intp),
            np.zeros(scores, np.float32),
            None if boxes is None else np.zeros((boxes, 4), np.int32),
        )
