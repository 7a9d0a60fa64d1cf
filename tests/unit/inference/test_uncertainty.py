"""The documented rule for doubt."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nxai_common.contracts.configuration import UncertainRule
from nxai_common.contracts.models import Task
from nxai_inference.core.decoding import Decoded
from nxai_inference.core.uncertainty import Never, fitting_rule, least_sure, rule_for

pytestmark = pytest.mark.unit


def detections(*scores: float, cells: NDArray[np.float32] | None = None) -> Decoded:
    count = len(scores)
    return Decoded(
        np.zeros(count, np.intp),
        np.array(scores, np.float32),
        np.zeros((count, 4), np.int32),
        cells,
    )


def classes(*scores: float) -> Decoded:
    return Decoded(np.arange(len(scores)), np.array(scores, np.float32), None)


def fomo(*cells: tuple[float, ...]) -> Decoded:
    return detections(cells=np.array(cells, np.float32))


@pytest.mark.parametrize(
    ("decoded", "threshold", "reason"),
    [
        (fomo((0.9, 0.1), (0.6, 0.4)), 0.6, ""),  # not below: strict, in float32
        (fomo((0.9, 0.1), (0.59, 0.41)), 0.6, "highest probability of a cell 0.590 < 0.6"),
        (fomo((0.45, 0.55), (0.9, 0.1)), 0.6, "highest probability of a cell 0.550 < 0.6"),
        (detections(0.9, 0.7), 0.7, ""),
        (detections(0.9, 0.7), 0.75, "confidence of a detection 0.700 < 0.75"),
        (detections(), 0.99, ""),
        (classes(0.2, 0.8), 0.8, ""),
        (classes(0.3, 0.7), 0.8, "best label's probability 0.700 < 0.8"),
    ],
)
def test_the_rule(decoded: Decoded, threshold: float, reason: str) -> None:
    assert rule_for(UncertainRule(threshold=threshold)).judge(decoded) == reason


def test_zero_is_off() -> None:
    assert rule_for(UncertainRule(threshold=0)) == Never()
    assert Never().judge(fomo((0.0, 0.0))) == ""


@pytest.mark.parametrize(
    ("task", "threshold", "expected"),
    [
        (Task.FOMO, 0.9, 0.6),
        (Task.CLASSIFICATION, 0.9, 0.6),
        (Task.MOBILENET_SSD, 0.3, 0.6),
        (Task.MOBILENET_SSD, 0.7, 0.8),
        (Task.YOLOV5, 0.75, 0.85),
        (Task.YOLOV5_V5, 0.6, 0.7),
        (Task.YOLOV5, 0.95, 1.0),
    ],
)
def test_doubt_begins_above_what_a_detector_keeps(
    task: Task, threshold: float, expected: float
) -> None:
    assert fitting_rule(task, threshold) == UncertainRule(threshold=expected)


@given(
    hnp.arrays(np.float32, (6, 3), elements=st.floats(0, 1, width=32)),
    st.floats(0, 1, exclude_min=True),
)
def test_every_cell_is_judged(cells: NDArray[np.float32], threshold: float) -> None:
    """Cells of sure background are passed over at once, which must change nothing."""
    lowest = cells.max(axis=1).min()
    reason = rule_for(UncertainRule(threshold=threshold)).judge(detections(cells=cells))
    if lowest < np.float32(threshold):
        assert reason == f"highest probability of a cell {lowest:.3f} < {threshold:g}"
    else:
        assert reason == ""
    assert least_sure(detections(cells=cells)) == lowest


def test_the_least_sure_answer() -> None:
    assert least_sure(detections()) is None
    assert least_sure(fomo((0.9, 0.1)), np.float32(0.9)) is None
    assert least_sure(detections(0.9, 0.7)) == np.float32(0.7)
    assert least_sure(classes(0.3, 0.7)) == np.float32(0.7)
