"""What counts as a working model, and when two engines agree."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nxai_common.contracts.models import Task
from nxai_common.errors import RejectedError
from nxai_inference.core.model_facts import InputGeometry
from nxai_inference.core.self_test import check_outputs, compare, trial_pictures
from support.decoding import raw

pytestmark = pytest.mark.unit


def cells(*probabilities: float) -> NDArray[np.float32]:
    return np.tile(np.array(probabilities, np.float32), (1, 4, 4, 1))


def test_pictures_have_the_models_shape_and_differ() -> None:
    for channels in (1, 3):
        shape = InputGeometry(20, 10, channels, channels_first=False)
        found = trial_pictures(shape)
        assert [(p.shape, p.dtype.name) for p in found] == [((10, 20, channels), "uint8")] * 4
        assert len({p.tobytes() for p in found}) == 4
        assert all((a == b).all() for a, b in zip(found, trial_pictures(shape), strict=True))


def test_the_smallest_picture_is_possible() -> None:
    assert trial_pictures(InputGeometry(1, 1, 1, channels_first=False))


@pytest.mark.parametrize(
    ("task", "values", "scale"),
    [
        (Task.FOMO, cells(0.25, 0.75), 0.0),
        (Task.FOMO, cells(0.2502, 0.7504), 0.0),
        (Task.FOMO, (cells(0.5, 0.513) * 256 - 128).astype(np.int8), 1 / 256),
        (Task.YOLOV5, cells(5.0, -3.0), 0.0),
    ],
)
def test_good_outputs(task: Task, values: NDArray[Any], scale: float) -> None:
    check_outputs(task, [raw(values, scale=scale, zero_point=-128 if scale else 0)])


@pytest.mark.parametrize(
    ("task", "values", "scale", "reason"),
    [
        (Task.FOMO, cells(0.25, 0.755), 0.0, r"sum to 1\.0050, not 1"),
        (Task.FOMO, (cells(0.5, 0.45) * 256 - 128).astype(np.int8), 1 / 256, r"sum to 0\.95"),
        (Task.YOLOV5, cells(np.nan), 0.0, "not finite"),
        (Task.CLASSIFICATION, cells(np.inf), 0.0, "not finite"),
    ],
)
def test_bad_outputs(task: Task, values: NDArray[Any], scale: float, reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        check_outputs(task, [raw(values, scale=scale, zero_point=-128 if scale else 0)])


def test_floats_agree_within_a_thousandth_absolute_or_relative() -> None:
    one = cells(0.5, 200.0)
    assert compare([raw(one)], [raw(one + np.float32(0.0009))]) is None
    assert compare([raw(one)], [raw(one * np.float32(1.0009))]) is None
    difference = compare([raw(one)], [raw(cells(0.502, 200.0))])
    assert difference is not None
    assert "up to 0.002 apart" in difference
    assert compare([raw(one)], [raw(cells(np.nan, 200.0))]) is not None


def test_integers_agree_within_half_a_step_on_average() -> None:
    one = np.zeros((1, 10), np.int8)
    near, far = one.copy(), one.copy()
    near[0, 0] = 5
    far[0, 0] = 6
    assert compare([raw(one, scale=0.1)], [raw(near, scale=0.1)]) is None
    difference = compare([raw(one, scale=0.1)], [raw(far, scale=0.1)])
    assert difference is not None
    assert "0.6 quantisation steps apart on average, 6 at worst" in difference


def test_other_shapes_types_and_counts_do_not_agree() -> None:
    one = raw(cells(0.5))
    assert compare([one], [one, one]) == "1 outputs against 2"
    assert "float32 (1, 4, 4, 1) against float32 (1, 4, 4, 2)" in str(
        compare([one], [raw(cells(0.5, 0.5))])
    )
    assert "against float64" in str(compare([one], [raw(cells(0.5).astype(np.float64))]))
