"""Which frames the strategies want, with numbers worked out by hand."""

import math
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nxai_common.contracts.collecting import (
    BandStrategy,
    CollectStrategy,
    EntropyStrategy,
    FlickerStrategy,
    IntervalStrategy,
    LeastConfidenceStrategy,
    MarginStrategy,
    NothingFoundStrategy,
    RandomStrategy,
    UncertainStrategy,
)
from nxai_common.contracts.configuration import UncertainRule
from nxai_common.contracts.models import Task
from nxai_common.contracts.results import CollectReason
from nxai_inference.core.collecting import UNSELECTED, Collector, Look, Subject
from nxai_inference.core.collecting.collector import _other
from nxai_inference.core.collecting.doubt import Entropy, LeastConfidence, Margin, undecided
from nxai_inference.core.collecting.places import Whole, places_of
from nxai_inference.core.decoding import Decoded, Decoder, decoder_for
from nxai_inference.core.tensors import RawOutput
from nxai_inference.core.uncertainty import rule_for
from support.decoding import manifest, raw

pytestmark = pytest.mark.unit

LEAST = LeastConfidenceStrategy
SECOND = 1_000_000
NAMES = ("nut", "bolt", "ring", "pin", "cap")


class Model:
    """One model on one camera, its outputs given by the test."""

    def __init__(
        self,
        task: Task,
        like: Sequence[RawOutput],
        *wanted: CollectStrategy,
        labels: int = 2,
        threshold: float = 0.5,
        uncertain: float = 0.0,
        seed: int = 1,
        earlier: Collector | None = None,
    ) -> None:
        about = manifest(task, labels, 32, 32)
        self.decoder: Decoder = decoder_for(about, [output.info for output in like])
        self.threshold = threshold
        self.rule = rule_for(UncertainRule(threshold=uncertain))
        subject = Subject(self.decoder, NAMES[:labels], threshold, random.Random(seed))  # noqa: S311 - not a secret
        self.collector = Collector(wanted, subject, earlier)

    def look(self, *outputs: RawOutput, at_s: float = 0.0, stream: str = "s1") -> Look:
        decoded = self.decoder.decode(outputs, self.threshold)
        at_us = round(at_s * SECOND)
        return Look(outputs, decoded, self.rule.judge(decoded), at_us, stream)

    def judge(self, *outputs: RawOutput, **when: Any) -> CollectReason | None:
        return self.collector.judge(self.look(*outputs, **when))


def fomo(*cells: tuple[int, int, tuple[float, ...]], labels: int = 2, side: int = 4) -> RawOutput:
    """Return a map of sure background but for (row, column, probabilities of all classes)."""
    values = np.zeros((1, side, side, 1 + labels), np.float32)
    values[..., 0] = 1
    for row, column, probabilities in cells:
        values[0, row, column] = probabilities
    return raw(values)


def on_fomo(*wanted: CollectStrategy, labels: int = 2, **rest: Any) -> Model:
    return Model(Task.FOMO, [fomo(labels=labels)], *wanted, labels=labels, **rest)


# -- least confidence, margin, entropy ------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "cell", "reason", "value"),
    [
        # p1 = 0.5, n = 3: (1 - 0.5) / (1 - 1/3) = 0.75
        (
            LEAST(above=0.4),
            (0.5, 0.375, 0.125),
            "a cell: background 0.500 at best, which leaves 0.500 > 0.4",
            0.75,
        ),
        (LEAST(above=0.5), (0.5, 0.375, 0.125), None, 0),  # strict
        # 0.5 - 0.375 = 0.125; 1 - 0.125 = 0.875
        (
            MarginStrategy(below=0.2),
            (0.125, 0.5, 0.375),
            "a cell: nut 0.500 and bolt 0.375 are 0.125 apart < 0.2",
            0.875,
        ),
        (MarginStrategy(below=0.125), (0.125, 0.5, 0.375), None, 0),  # strict
        # -(0.5 log 0.5 + 2 * 0.25 log 0.25) / log 3 = 1.5 log 2 / log 3 = 0.9464
        (
            EntropyStrategy(above=0.94),
            (0.25, 0.25, 0.5),
            "a cell: entropy 0.946 of 1 > 0.94, ahead bolt 0.500 and nut 0.250",
            0.9464,
        ),
        (EntropyStrategy(above=0.95), (0.25, 0.25, 0.5), None, 0),
        # -(0.75 log 0.75 + 0.25 log 0.25) / log 3 = 0.5119: a class of 0 adds nothing
        (
            EntropyStrategy(above=0.5),
            (0.75, 0.25, 0),
            "a cell: entropy 0.512 of 1 > 0.5, ahead background 0.750 and nut 0.250",
            0.5119,
        ),
    ],
)
def test_how_undecided_a_cell_is(
    wanted: CollectStrategy, cell: tuple[float, ...], reason: str | None, value: float
) -> None:
    found = on_fomo(wanted).judge(fomo((1, 2, cell)))
    if reason is None:
        assert found is None
    else:
        assert found == CollectReason(strategy=wanted.strategy, reason=reason, value=value)


def test_the_least_decided_cell_speaks_for_the_picture() -> None:
    sure, unsure, least = (0.0, 1.0, 0.0), (0.5, 0.5, 0.0), (0.375, 0.375, 0.25)
    model = on_fomo(LEAST())
    found = model.judge(fomo((0, 0, sure), (1, 3, unsure), (3, 0, least)))
    assert found is not None
    assert found.value == 0.9375  # (1 - 0.375) / (2 / 3)
    assert "at best, which leaves" in found.reason


def test_a_sure_picture_is_not_wanted() -> None:
    model = on_fomo(LEAST(), MarginStrategy(), EntropyStrategy(), BandStrategy())
    assert model.judge(fomo()) is None
    assert model.judge(fomo((1, 1, (0.03125, 0.96875, 0)))) is None


def beside(row: int, column: int, nut: float) -> tuple[int, int, tuple[float, ...]]:
    return (row, column, (1 - nut, nut, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ((0.5, 0.1, 0.1, 0.1, 0.1, 0.1), False),  # a smudge on the floor
        ((0.5, 0.25, 0.1, 0.1, 0.05, 0), True),  # half of the threshold
        ((0.125, 0.1875, 0.1875, 0.1875, 0.1875, 0.125), True),  # not the winner
        ((0.1875, 0.1875, 0.1875, 0.1875, 0.125, 0.125), False),  # a draw
    ],
)
def test_background_counts_only_where_an_object_may_be(
    cell: tuple[float, ...], wanted: bool
) -> None:
    found = on_fomo(LEAST(), labels=5).judge(fomo((1, 1, cell), labels=5))
    assert (found is not None) is wanted


def test_where_an_object_may_be_follows_the_threshold_of_the_camera() -> None:
    cells = fomo((1, 1, (0.5, 0.25, 0.1, 0.1, 0.05, 0)), labels=5)
    assert on_fomo(LEAST(), labels=5, threshold=0.5).judge(cells) is not None
    assert on_fomo(LEAST(), labels=5, threshold=0.6).judge(cells) is None


NEIGHBOURS = [(r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1)]


@pytest.mark.parametrize(
    ("at", "other", "wanted"),
    [
        *[((1, 1), beside(r, c, 0.96875), False) for r, c in NEIGHBOURS],  # the side of an object
        *[((1, 1), beside(r, c, 0.4375), True) for r, c in NEIGHBOURS],  # the peak itself
        ((1, 1), beside(2, 2, 0.5), True),  # two peaks alike
        ((1, 1), beside(1, 3, 0.96875), True),  # two cells away
        ((1, 1), beside(3, 1, 0.96875), True),
        ((1, 0), beside(0, 3, 0.96875), True),  # the end of the row before is not beside it
        ((2, 3), beside(3, 0, 0.96875), True),
    ],
)
def test_the_peak_speaks_for_its_object(
    at: tuple[int, int], other: tuple[int, int, tuple[float, ...]], wanted: bool
) -> None:
    """Between a sure object and the background there is always a cell that is neither."""
    found = on_fomo(LEAST(), labels=5).judge(fomo(beside(*at, 0.5), other, labels=5))
    assert (found is not None) is wanted
    assert found is None or found.value == 0.6  # 0.5 of 1 - 1/6


def test_a_map_that_is_not_square_has_its_neighbours_too() -> None:
    values = np.zeros((1, 2, 4, 6), np.float32)
    values[..., 0] = 1
    values[0, 0, 0, :2] = 0.5
    far, near = values.copy(), values.copy()
    far[0, 1, 2, :2] = near[0, 1, 1, :2] = (0, 1)
    model = Model(Task.FOMO, [raw(values)], LEAST(), labels=5)
    assert model.judge(raw(far)) is not None
    assert model.judge(raw(near)) is None


def test_a_quantised_map_is_read_as_probabilities() -> None:
    stored = np.full((1, 4, 4, 3), -128, np.int8)
    stored[..., 0] = 127
    stored[0, 1, 1] = (0, 0, -128)  # 0.5, 0.5, 0
    quantised = raw(stored, scale=1 / 256, zero_point=-128)
    found = Model(Task.FOMO, [quantised], MarginStrategy()).judge(quantised)
    assert found is not None
    assert found.value == 1


# -- other tasks ----------------------------------------------------------------------------------


def yolo(*rows: tuple[float, ...]) -> RawOutput:
    """Return YOLOv5 rows: x centre, y centre, width, height, objectness, nut, bolt."""
    empty = (0.5, 0.5, 0.1, 0.1, 0, 0, 0)
    return raw(np.array([[*rows, *[empty] * (4 - len(rows))]], np.float32))


def ssd(*found: tuple[float, float]) -> list[RawOutput]:
    """Return the outputs of MobileNet-SSD for rows of score and class."""
    rows = [*found, *[(0.0, 0.0)] * (3 - len(found))]
    return [
        raw(np.array([[score for score, _ in rows]], np.float32)),
        raw(np.full((1, 3, 4), 0.5, np.float32)),
        raw(np.array([3], np.float32)),
        raw(np.array([[number for _, number in rows]], np.float32)),
    ]


def classes(*values: float) -> RawOutput:
    return raw(np.array([values], np.float32))


LONE = (0.25, 0.25, 0.25, 0.25)
ELSEWHERE = (0.75, 0.75, 0.25, 0.25)


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        # 1 - 0.5, 0.5 * 0.75 / 1, 0.5 * 0.25 / 1: as the cell above
        ([(*LONE, 0.5, 0.75, 0.25)], 0.75),
        # the scores of the labels only divide what the objectness leaves: 0.5, 0.25, 0.25
        ([(*LONE, 0.5, 0.125, 0.125)], 0.75),
        ([(*LONE, 0.5, 0, 0)], 0.75),
        # sure of an object, not of its label: 0, 0.5, 0.5
        ([(*LONE, 1, 0.25, 0.25)], 0.75),
        ([(*LONE, 1, 1, 0)], None),
        ([(*LONE, 0.2, 1, 1)], None),  # below half of the threshold: nobody looks
        # weaker boxes around a sure object are no decisions of their own
        ([(*LONE, 1, 1, 0), (*LONE, 0.5, 0.75, 0.25)], None),
        ([(*LONE, 1, 1, 0), (*ELSEWHERE, 0.5, 0.75, 0.25)], 0.75),
        ([], None),
    ],
)
def test_how_undecided_yolov5_is(rows: list[tuple[float, ...]], value: float | None) -> None:
    found = Model(Task.YOLOV5, [yolo()], LEAST()).judge(yolo(*rows))
    assert (None if found is None else found.value) == value


def test_a_box_is_explained() -> None:
    found = Model(Task.YOLOV5, [yolo()], MarginStrategy()).judge(yolo((*LONE, 1, 0.5, 0.375)))
    assert found is not None
    # 0.5 / 0.875 and 0.375 / 0.875
    assert found.reason == "a box: nut 0.571 and bolt 0.429 are 0.143 apart < 0.2"
    assert found.value == 0.8571


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        ([(0.5, 1)], 1.0),
        ([(0.5625, 1)], 0.875),  # 1 - 0.5625 = 0.4375 of 0.5 at most
        ([(0.875, 0)], None),
        ([(0.2, 0)], None),
        ([], None),
    ],
)
def test_how_undecided_mobilenet_ssd_is(
    rows: list[tuple[float, float]], value: float | None
) -> None:
    found = Model(Task.MOBILENET_SSD, ssd(), LEAST()).judge(*ssd(*rows))
    assert (None if found is None else found.value) == value
    assert found is None or "at best, which leaves" in found.reason


@pytest.mark.parametrize(("confidence", "wanted"), [(0.375, True), (0.25, True), (0.2, False)])
def test_boxes_count_from_half_of_the_threshold_on(confidence: float, wanted: bool) -> None:
    """What is not reported may be a missed object: 0.375 against 0.625 for nothing."""
    close = MarginStrategy(below=1)
    found = Model(Task.YOLOV5, [yolo()], close).judge(yolo((*LONE, confidence, 1, 0)))
    assert (found is not None) is wanted
    found = Model(Task.MOBILENET_SSD, ssd(), close).judge(*ssd((confidence, 0)))
    assert (found is not None) is wanted


def test_a_classifier_decides_once() -> None:
    model = Model(Task.CLASSIFICATION, [classes(0, 0, 0)], MarginStrategy(), labels=3)
    found = model.judge(classes(0.5, 0.375, 0.125))
    assert found is not None
    assert found.reason == "the picture: nut 0.500 and bolt 0.375 are 0.125 apart < 0.2"
    assert found.value == 0.875
    assert model.judge(classes(0.75, 0.25, 0)) is None


def test_values_that_do_not_sum_to_one_are_brought_there() -> None:
    model = Model(Task.CLASSIFICATION, [classes(0, 0)], LEAST())
    found = model.judge(classes(3, 3))
    assert found is not None
    assert found.value == 1
    assert model.judge(classes(9, -5)) is None
    assert model.judge(classes(0, 0)) is None
    assert model.judge(classes(-1, -2)) is None


def test_one_label_leaves_a_classifier_nothing_to_decide() -> None:
    for wanted in (LEAST(above=0), MarginStrategy(below=1), EntropyStrategy(above=0)):
        model = Model(Task.CLASSIFICATION, [classes(0)], wanted, labels=1)
        assert model.judge(classes(0.5)) is None


def test_cells_that_are_no_numbers_are_passed_over() -> None:
    nan, inf = math.nan, math.inf
    broken = fomo((0, 0, (nan, nan, nan)), (0, 1, (0.25, nan, 0)), (0, 2, (0.25, 0.25, -inf)))
    whole = fomo((2, 2, (nan, nan, nan)), (3, 3, (0.5, 0.5, 0)))
    for wanted in (LEAST(), MarginStrategy(), EntropyStrategy(above=0.6)):
        model = on_fomo(wanted, labels=2)
        found = model.judge(whole)
        assert found is not None
        assert found.value == pytest.approx(0.75, abs=0.26)
        found = model.judge(broken)
        assert found is None or math.isfinite(found.value)


@given(
    hnp.arrays(np.float64, (9, 4), elements=st.floats(0.001, 1)),
    st.floats(0, 1),
    st.floats(0, 1, exclude_min=True),
)
def test_shortcuts_leave_nothing_out(
    drawn: NDArray[np.float64], limit: float, threshold: float
) -> None:
    """What one comparison passes over is what the whole calculation would not want either."""
    cells = (drawn**3 / (drawn**3).sum(axis=1, keepdims=True)).astype(np.float32)
    output = raw(cells.reshape(1, 3, 3, 4))
    best = cells[:, 1:].max(axis=1).reshape(3, 3)
    around = np.pad(best, 1)
    peaks = np.array([[around[r : r + 3, c : c + 3].max() for c in range(3)] for r in range(3)])
    objects = (best >= 0.5 * threshold) | (best > cells[:, 0].reshape(3, 3))
    kept = (objects & (best == peaks)).reshape(-1)
    rows = cells[kept].astype(np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    best = np.sort(rows, axis=1)[:, ::-1]
    entropies = -(rows * np.log(rows)).sum(axis=1) / math.log(4)
    expected: dict[CollectStrategy, tuple[NDArray[np.bool_], NDArray[np.float64]]] = {
        LEAST(above=limit): (1 - best[:, 0] > limit, (1 - best[:, 0]) / 0.75),
        MarginStrategy(below=limit): (
            best[:, 0] - best[:, 1] < limit,
            1 - (best[:, 0] - best[:, 1]),
        ),
        EntropyStrategy(above=limit): (entropies > limit, entropies),
    }
    for wanted, (hits, values) in expected.items():
        model = Model(Task.FOMO, [output], wanted, labels=3, threshold=threshold)
        reason = model.judge(output)
        if len(values) and abs(values.max() - _edge(wanted, limit)) > 1e-6:
            assert (reason is not None) == bool(hits.any()), wanted
        if reason is not None:
            assert reason.value == pytest.approx(values.max(), abs=1e-3)


def _edge(wanted: CollectStrategy, limit: float) -> float:
    """Return the value at which a strategy begins to want a frame."""
    if isinstance(wanted, LEAST):
        return limit / 0.75
    return 1 - limit if isinstance(wanted, MarginStrategy) else limit


@given(st.integers(2, 40), st.floats(0, 1), st.data())
def test_from_the_sure_probability_on_nothing_is_doubtful(
    count: int, limit: float, data: st.DataObject
) -> None:
    rest = np.array(data.draw(st.lists(st.floats(0.01, 1), min_size=count - 1, max_size=count - 1)))
    for measure in (LeastConfidence(limit), Margin(limit), Entropy(limit)):
        sure = measure.sure(count)
        assert 0 <= sure <= 1
        first = min(1.0, sure + 1e-6)
        row = np.array([[first, *((1 - first) * rest / rest.sum())]])
        if row[0, 1:].max() > first:
            continue  # another class is the likeliest
        assert not measure.wants(float(measure.figures(row)[0]))


# -- band -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "reason", "value"),
    [
        (0.55, "nut 0.550 is within 0.1 of the threshold 0.5", 0.9),  # (1 - 0.55) / 0.5
        (0.5, "nut 0.500 is within 0.1 of the threshold 0.5", 1.0),
        (
            0.45,  # 0.45 / 0.5
            "nut 0.450 is within 0.1 of the threshold 0.5, below it: not reported",
            0.9,
        ),
        (0.4, "nut 0.400 is within 0.1 of the threshold 0.5, below it: not reported", 0.8),
        (0.6, "nut 0.600 is within 0.1 of the threshold 0.5", 0.8),
        (0.39, None, 0),
        (0.61, None, 0),
    ],
)
def test_the_band_lies_on_both_sides_of_the_threshold(
    score: float, reason: str | None, value: float
) -> None:
    model = on_fomo(BandStrategy(width=0.1))
    found = model.judge(fomo((1, 2, (1 - score, score, 0))))
    assert (None if found is None else found.reason) == reason
    assert found is None or found.value == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        # the side of a sure object is not another candidate
        ([(1, 1, (0.05, 0.95, 0)), (1, 2, (0.55, 0.45, 0))], None),
        ([(1, 1, (0.05, 0.95, 0)), (1, 2, (0.55, 0, 0.45))], "bolt 0.450"),
        ([(1, 1, (0.05, 0.95, 0)), (1, 3, (0.55, 0.45, 0))], "nut 0.450"),
        # the closest one speaks
        ([(0, 0, (0.59, 0.41, 0)), (3, 3, (0.48, 0, 0.52))], "bolt 0.520"),
        ([(1, 1, (0.05, 0.95, 0))], None),
        ([], None),
    ],
)
def test_cells_that_touch_are_one_candidate(cells: list[Any], wanted: str | None) -> None:
    found = on_fomo(BandStrategy(width=0.1)).judge(fomo(*cells))
    assert (None if found is None else found.reason.split(" is ")[0]) == wanted


@pytest.mark.parametrize("wanted", [LEAST(), BandStrategy(width=0.1)])
def test_a_crowded_picture_is_looked_through_as_well(wanted: CollectStrategy) -> None:
    """More places than Python looks through one by one."""
    sure = [(row, column, (0.0, 1.0, 0.0)) for row in range(0, 14, 2) for column in range(16)]
    model = Model(Task.FOMO, [fomo(side=16)], wanted)
    assert model.judge(fomo(*sure, side=16)) is None
    assert model.judge(fomo(*sure[1:], (15, 15, (0.4375, 0.5625, 0.0)), side=16)) is not None


def test_the_band_of_yolov5_goes_by_objectness() -> None:
    model = Model(Task.YOLOV5, [yolo()], BandStrategy(width=0.1))
    found = model.judge(yolo((*LONE, 0.45, 0.25, 0.75)))
    assert found is not None
    assert found.reason.startswith("bolt 0.450 is within")
    assert model.judge(yolo((*LONE, 0.39, 1, 1))) is None
    assert model.judge(yolo((*LONE, 0.61, 1, 1))) is None
    # suppressed by a sure one of the same place
    assert model.judge(yolo((*LONE, 0.95, 1, 1), (*LONE, 0.45, 1, 1))) is None
    assert model.judge(yolo((*LONE, 0.95, 1, 1), (*ELSEWHERE, 0.45, 1, 1))) is not None


def test_the_band_of_mobilenet_ssd_needs_no_label() -> None:
    model = Model(Task.MOBILENET_SSD, ssd(), BandStrategy(width=0.1))
    found = model.judge(*ssd((0.45, 1)))
    assert found is not None
    assert found.reason.startswith("bolt 0.450 is within")
    found = model.judge(*ssd((0.875, 0), (0.45, 7)))
    assert found is not None
    assert found.reason.startswith("an object without a label 0.450 is within")
    assert model.judge(*ssd((0.3, 1), (0.875, 0))) is None


def test_the_band_of_a_classifier_is_that_of_its_best_label() -> None:
    model = Model(Task.CLASSIFICATION, [classes(0, 0, 0)], BandStrategy(width=0.1), labels=3)
    assert model.judge(classes(0.1, 0.8, 0.1)) is None
    found = model.judge(classes(0.3, 0.45, 0.25))
    assert found is not None
    assert found.reason.startswith("bolt 0.450 is within")


def test_no_candidate_is_hardly_there() -> None:
    for threshold, wanted in ((0.1, False), (0.0, True)):
        model = on_fomo(BandStrategy(width=0.5), threshold=threshold)
        cell = (0.96, 0.04, 0)  # below 0.05
        assert (model.judge(fomo((0, 0, cell))) is not None) is wanted


@given(
    hnp.arrays(np.float64, (9, 3), elements=st.floats(0.001, 1)),
    st.floats(0.05, 1),
    st.floats(0.01, 0.5),
)
def test_the_band_is_that_of_the_decoder_at_the_lower_threshold(
    drawn: NDArray[np.float64], threshold: float, width: float
) -> None:
    cells = (drawn**3 / (drawn**3).sum(axis=1, keepdims=True)).astype(np.float32)
    output = raw(cells.reshape(1, 3, 3, 3))
    model = Model(Task.FOMO, [output], BandStrategy(width=width), threshold=threshold)
    low = max(threshold - width, 0.05)
    scores = model.decoder.decode([output], low).scores
    inside = scores[scores <= np.float32(threshold + width)]
    found = model.judge(output)
    assert (found is not None) == bool(inside.size)
    if found is not None:
        assert found.value == pytest.approx(
            max(undecided(float(s), threshold) for s in inside), abs=1e-4
        )


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_candidate_is_most_doubtful_at_the_threshold(
    one: float, other: float, threshold: float
) -> None:
    near, far = sorted((one, other), key=lambda c: abs(c - threshold))
    assert 0 <= undecided(far, threshold) <= 1
    assert undecided(threshold, threshold) == 1
    if (near < threshold) == (far < threshold):
        assert undecided(near, threshold) >= undecided(far, threshold)


# -- the documented rule --------------------------------------------------------------------------


def test_what_the_rule_flagged_is_wanted_for_its_reason() -> None:
    model = on_fomo(UncertainStrategy(), uncertain=0.6)
    found = model.judge(fomo((0, 0, (0.5, 0.25, 0.25))))
    assert found == CollectReason(
        strategy="uncertain", reason="highest probability of a cell 0.500 < 0.6", value=0.75
    )
    assert model.judge(fomo()) is None
    assert on_fomo(UncertainStrategy()).judge(fomo((0, 0, (0.5, 0.25, 0.25)))) is None


def test_the_value_of_what_the_rule_flagged() -> None:
    detector = Model(Task.YOLOV5, [yolo()], UncertainStrategy(), threshold=0.5, uncertain=0.9)
    found = detector.judge(yolo((*LONE, 0.75, 1, 0), (*ELSEWHERE, 0.625, 1, 0)))
    assert found is not None
    assert found.value == 0.75  # (1 - 0.625) / (1 - 0.5)
    classifier = Model(Task.CLASSIFICATION, [classes(0, 0)], UncertainStrategy(), uncertain=0.9)
    found = classifier.judge(classes(0.75, 0.25))
    assert found is not None
    assert found.value == 0.5  # (1 - 0.75) / (1 - 1/2)


def test_a_reason_without_a_number_has_no_value() -> None:
    model = Model(Task.YOLOV5, [yolo()], UncertainStrategy())
    look = model.look(yolo())
    odd = Look(look.outputs, look.decoded, "somebody said so", 0, "s1")
    found = model.collector.judge(odd)
    assert found is not None
    assert found.value == 0


# -- over time ------------------------------------------------------------------------------------

NUT, NO_NUT = fomo((0, 0, (0, 1, 0))), fomo()


def flickering(model: Model, pattern: str, *, step_s: float = 0.125, stream: str = "s1") -> str:
    """Feed `n` (a nut), `b` (a nut and a bolt), `.` (nothing); tell which were wanted."""
    pictures = {"n": NUT, ".": NO_NUT, "b": fomo((0, 0, (0, 1, 0)), (3, 3, (0, 0, 1)))}
    wanted = ""
    for number, which in enumerate(pattern):
        found = model.judge(pictures[which], at_s=1000 + number * step_s, stream=stream)
        wanted += "-" if found is None else "!"
    return wanted


FLICKER = FlickerStrategy(changes=4, within_s=1.0)


def test_a_label_that_comes_and_goes() -> None:
    model = on_fomo(FLICKER)
    assert flickering(model, ".n.n.n.n.") == "----!---!"


def test_flicker_is_explained() -> None:
    model = on_fomo(FlickerStrategy(changes=2, within_s=1.0))
    model.judge(NO_NUT, at_s=0)
    model.judge(NUT, at_s=1)
    found = model.judge(NO_NUT, at_s=1.25)
    assert found == CollectReason(
        strategy="flicker",
        reason="the count of nut changed 2 times within 0.25 s (at most 1 s)",
        value=0.875,  # 1 - 0.25 / 1 / 2
    )


@pytest.mark.parametrize(
    ("pattern", "step_s", "wanted"),
    [
        ("nnnnnnnn", 0.125, "--------"),
        (".nnnn.nnnn", 0.125, "----------"),  # two changes: it came, and came again
        (".n.n.", 0.25, "----!"),  # 0.75 s
        (".n.n.", 0.5, "-----"),  # 1.5 s
        (".n.n.n", 0.3333, "----!-"),  # 3 * 0.3333 = 0.9999 s
        ("nbnbn", 0.125, "----!"),  # only the bolt flickers
        ("n.b.n", 0.125, "----!"),  # the nut: four changes
        (".nbn.", 0.125, "-----"),  # two of each: neither has four
    ],
)
def test_when_a_label_flickers(pattern: str, step_s: float, wanted: str) -> None:
    assert flickering(on_fomo(FLICKER), pattern, step_s=step_s) == wanted


def test_the_first_picture_of_a_stream_is_no_change() -> None:
    model = on_fomo(FLICKER)
    assert flickering(model, ".n.n") == "----"
    assert flickering(model, ".n.n", stream="s2") == "----"
    assert flickering(model, ".n.n.", stream="s3") == "----!"


def test_a_clock_that_is_set_back_begins_anew() -> None:
    model = on_fomo(FLICKER)
    assert flickering(model, ".n.n") == "----"
    assert flickering(model, ".n.n.") == "----!"  # the time is that of the first picture again


def test_a_clock_that_is_set_forward_makes_no_flicker() -> None:
    model = on_fomo(FLICKER)
    for number, picture in enumerate((NO_NUT, NUT, NO_NUT, NUT)):
        assert model.judge(picture, at_s=number / 8) is None
    assert model.judge(NO_NUT, at_s=5000) is None
    for number, picture in enumerate((NUT, NO_NUT)):
        assert model.judge(picture, at_s=5000 + number / 8) is None
    assert model.judge(NUT, at_s=5000.5) is not None


def test_labels_of_a_classifier_flicker_when_they_win_and_lose() -> None:
    model = Model(Task.CLASSIFICATION, [classes(0, 0)], FLICKER)
    found = [
        model.judge(classes(0.5, 0.25) if number % 2 else classes(0.25, 0.25), at_s=number / 8)
        for number in range(5)
    ]
    assert [f is not None for f in found] == [False] * 4 + [True]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 2)), max_size=60), st.integers(2, 6))
def test_flicker_wants_what_a_count_over_all_changes_wants(
    frames: list[tuple[bool, float]], changes: int
) -> None:
    model = on_fomo(FlickerStrategy(changes=changes, within_s=3.0))
    now = 0.0
    last: bool | None = None
    times: list[int] = []
    for nut, pause in frames:
        now += pause
        at_us = round(now * SECOND)
        expected = False
        if last is not None and nut != last:
            times.append(at_us)
            recent = [t for t in times if at_us - t <= 3 * SECOND]
            expected = len(recent) >= changes
            if expected:
                times.clear()
        last = nut
        found = model.judge(NUT if nut else NO_NUT, at_s=now)
        assert (found is not None) == expected
        assert found is None or 0.5 <= found.value <= 1


def test_a_picture_every_so_often() -> None:
    model = on_fomo(IntervalStrategy(every_s=10))
    found = model.judge(NUT, at_s=100)
    assert found == CollectReason(
        strategy="interval", reason="a picture every 10 s: this is the first", value=UNSELECTED
    )
    assert model.judge(NUT, at_s=109.9) is None
    found = model.judge(NUT, at_s=110.5, stream="s2")  # another stream is the same camera
    assert found is not None
    assert found.reason == "a picture every 10 s: the last was 10.5 s ago"
    assert model.judge(NUT, at_s=120.4) is None
    assert model.judge(NUT, at_s=120.5) is not None


def test_a_clock_that_is_set_holds_the_interval_up_no_longer_than_itself() -> None:
    model = on_fomo(IntervalStrategy(every_s=10))
    assert model.judge(NUT, at_s=5000) is not None
    assert model.judge(NUT, at_s=100) is None  # set back: the wait begins
    assert model.judge(NUT, at_s=109) is None
    assert model.judge(NUT, at_s=110) is not None
    assert model.judge(NUT, at_s=9000) is not None


@given(st.lists(st.floats(0, 4), min_size=1, max_size=80))
def test_the_interval_is_kept(pauses: list[float]) -> None:
    model = on_fomo(IntervalStrategy(every_s=10))
    now, taken = 0.0, []
    for pause in pauses:
        now += pause
        if model.judge(NUT, at_s=now) is not None:
            taken.append(now)
        assert now - taken[-1] < 10.001
    assert all(b - a >= 9.999 for a, b in pairwise(taken))


# -- by chance ------------------------------------------------------------------------------------


def test_a_random_slice_has_the_size_asked_for_and_repeats_with_its_seed() -> None:
    def drawn(seed: int) -> list[int]:
        model = on_fomo(RandomStrategy(fraction=0.1), seed=seed)
        look = model.look(NUT)
        return [n for n in range(4000) if model.collector.judge(look) is not None]

    assert 300 < len(drawn(1)) < 500
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_random_picture_is_explained() -> None:
    found = on_fomo(RandomStrategy(fraction=1)).judge(NUT)
    assert found == CollectReason(
        strategy="random", reason="drawn at random: 100 % of all frames", value=UNSELECTED
    )


def test_a_slice_of_the_frames_in_which_nothing_was_found() -> None:
    model = on_fomo(NothingFoundStrategy(fraction=1))
    assert model.judge(NUT) is None
    found = model.judge(NO_NUT)
    assert found == CollectReason(
        strategy="nothing-found",
        reason="nothing was found; drawn at random: 100 % of such frames",
        value=UNSELECTED,
    )
    seldom = on_fomo(NothingFoundStrategy(fraction=0.1))
    look = seldom.look(NO_NUT)
    assert 300 < sum(seldom.collector.judge(look) is not None for _ in range(4000)) < 500


def test_a_classifier_finds_nothing_when_no_label_has_half() -> None:
    model = Model(
        Task.CLASSIFICATION, [classes(0, 0, 0)], NothingFoundStrategy(fraction=1), labels=3
    )
    assert model.judge(classes(0.5, 0.3, 0.2)) is None
    assert model.judge(classes(0.4, 0.3, 0.3)) is not None


# -- together -------------------------------------------------------------------------------------

DOUBTFUL = fomo((0, 0, (0.5, 0.375, 0.125)))


def strategy_of(found: CollectReason | None) -> str:
    return "" if found is None else found.strategy


def test_the_first_that_wants_a_frame_gives_the_reason() -> None:
    often = RandomStrategy(fraction=1)
    assert strategy_of(on_fomo(LEAST(), often).judge(DOUBTFUL)) == "least-confidence"
    assert strategy_of(on_fomo(often, LEAST()).judge(DOUBTFUL)) == "random"
    assert strategy_of(on_fomo(LEAST(), often).judge(NUT)) == "random"
    assert strategy_of(on_fomo(MarginStrategy(), LEAST()).judge(DOUBTFUL)) == "margin"
    assert strategy_of(on_fomo(MarginStrategy(below=0), LEAST()).judge(DOUBTFUL)) == (
        "least-confidence"
    )


def test_nothing_is_wanted_without_a_strategy() -> None:
    assert on_fomo().judge(DOUBTFUL) is None


def test_flicker_sees_what_others_want_first() -> None:
    model = on_fomo(LEAST(), FLICKER)
    flicker = [NO_NUT, NUT, NO_NUT]
    for number, picture in enumerate(flicker):
        assert model.judge(picture, at_s=number / 8) is None
    both = fomo((0, 0, (0, 1, 0)), (3, 3, (0.5, 0.375, 0.125)))
    assert strategy_of(model.judge(both, at_s=3 / 8)) == "least-confidence"
    assert strategy_of(model.judge(NO_NUT, at_s=4 / 8)) == "flicker"


def test_the_same_strategy_twice_is_once() -> None:
    model = on_fomo(FLICKER, FLICKER)
    assert flickering(model, ".n.n.n.n.") == "----!---!"


def test_what_is_remembered_outlives_a_configuration_that_does_not_concern_it() -> None:
    before = on_fomo(FLICKER, IntervalStrategy(every_s=10))
    assert strategy_of(before.judge(NO_NUT, at_s=0)) == "interval"
    assert before.judge(NUT, at_s=0.125) is None
    assert before.judge(NO_NUT, at_s=0.25) is None

    after = on_fomo(BandStrategy(), IntervalStrategy(every_s=10), FLICKER, earlier=before.collector)
    assert after.judge(NUT, at_s=0.375) is None
    assert strategy_of(after.judge(NO_NUT, at_s=0.5)) == "flicker"
    assert after.judge(NO_NUT, at_s=9.9) is None
    assert strategy_of(after.judge(NO_NUT, at_s=10)) == "interval"

    changed = on_fomo(IntervalStrategy(every_s=5), earlier=after.collector)
    assert strategy_of(changed.judge(NO_NUT, at_s=11)) == "interval"


def test_counts_of_other_labels_are_forgotten() -> None:
    before = on_fomo(FLICKER)
    assert flickering(before, ".n.n") == "----"
    after = on_fomo(FLICKER, labels=3, earlier=before.collector)
    nothing = fomo(labels=3)
    assert after.judge(nothing, at_s=1000.5) is None


def test_kinds_that_nobody_knows_are_refused() -> None:
    class Strange(CollectReason):
        pass

    subject = Subject(on_fomo().decoder, (), 0.5, random.Random(1))  # noqa: S311 - not a secret
    with pytest.raises(TypeError, match="no strategy is known for Strange"):
        _other(Strange(strategy="x", reason=""), subject, Whole(()))  # type: ignore[arg-type] # on purpose
    with pytest.raises(TypeError, match="no places are known of Unknown"):
        places_of(Unknown(), (), 0.5)


class Unknown:
    """A decoder of a task that came later."""

    def decode(self, outputs: Sequence[RawOutput], threshold: float) -> Decoded:
        raise NotImplementedError
