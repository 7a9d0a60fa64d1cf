import math
from typing import Any

import pytest

from nxai_common.contracts.models import Task
from nxai_common.contracts.results import Box, Classification, InputImage, Tensor, Timing
from nxai_publisher.core.observation import Observation, contradiction, observe
from support.results import classified, detection, result


def test_every_label_is_counted_zero_included() -> None:
    seen = observe(result(0, [detection("nut", 0.5), detection("nut", 0.9)]))
    assert seen == Observation({"nut": 2, "bolt": 0}, {"nut": 0.9}, 2)


def test_best_confidence_wins_whatever_the_order() -> None:
    seen = observe(result(0, [detection("nut", 0.9), detection("nut", 0.5), detection("bolt", 0)]))
    assert seen.confidences == {"nut": 0.9, "bolt": 0}


def test_a_label_that_the_model_does_not_declare_is_counted() -> None:
    assert observe(result(0, [detection("screw")])).counts == {"nut": 0, "bolt": 0, "screw": 1}


def test_a_classifier_sees_the_label_that_has_the_majority() -> None:
    assert observe(classified(cat=0.7, dog=0.3)) == Observation(
        {"cat": 1, "dog": 0}, {"cat": 0.7}, 1
    )
    assert observe(classified(cat=0.4, dog=0.3, cow=0.3)).total == 0
    assert observe(result(0, [], task=Task.CLASSIFICATION)).total == 0


def test_a_good_result_has_no_contradiction() -> None:
    image = InputImage(width=2, height=2, channels=3, offset=0, length=12)
    tensor = Tensor(name="a", shape=(1, 3), offset=0, length=12)
    assert contradiction(result(0, image=image, tensors=(tensor,))) == ""
    assert contradiction(classified(cat=0.5)) == ""


BAD_BOX = detection().model_copy(update={"box": Box(x=math.nan, y=0, width=1, height=1)})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"captured_at_us": -1}, "captured_at_us -1"),
        ({"captured_at_us": 10**18}, "not a time"),
        ({"sequence": 2**63}, "64 bits"),
        ({"source_width": 2**64}, "64 bits"),
        ({"detections": (BAD_BOX,)}, "'nut' has a number that no picture has"),
        ({"detections": (detection(confidence=math.inf),)}, "no picture"),
        ({"detections": (detection(box=(1e300, 0, 0, 0)),)}, "no picture"),
        ({"classifications": (Classification(label="cat", confidence=math.nan),)}, "'cat'"),
        ({"timing": Timing(engine_ms=math.inf)}, "no model needs that long"),
        ({"tensors": (Tensor(name="a", shape=(2,), offset=0, length=4),)}, "'a' of shape [2]"),
        (
            {"image": InputImage(width=2, height=2, channels=3, offset=0, length=3)},
            "2x2x3 cannot have 3 bytes",
        ),
    ],
)
def test_impossible_results_are_named(changes: dict[str, Any], reason: str) -> None:
    assert reason in contradiction(result(0).model_copy(update=changes))
