"""Results of cameras with detection areas, and of frames that somebody tests with."""

import random
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
from nxai_common.contracts.configuration import (
    Assignment,
    DesiredModel,
    DetectionAreas,
    InferenceCamera,
    Shadow,
    UncertainRule,
)
from nxai_common.contracts.frames import Transform
from nxai_common.contracts.models import Task
from nxai_common.contracts.results import InferenceResult
from nxai_inference.core.answer import Answer, timing
from nxai_inference.core.areas import Limit
from nxai_inference.core.collecting import Collector, Subject
from nxai_inference.core.decoding import decoder_for
from nxai_inference.core.tensors import RawOutput
from support.decoding import manifest, raw
from support.inference import ScriptedEngine, fomo_map, frame, line

pytestmark = pytest.mark.unit

M = DesiredModel(id="m", path="v1")
NEXT = DesiredModel(id="m-next", path="v2")
LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
RIGHT = ((0.6, 0.0), (1.0, 0.0), (1.0, 1.0), (0.6, 1.0))
"""Without the middle line, which would be in both."""
ON_BOTH_SIDES = ScriptedEngine([fomo_map((0, 0, 0, 0.9), (3, 3, 1, 0.8))])


def camera(name: str = "front", **areas: Any) -> InferenceCamera:
    return InferenceCamera(id=name, areas=DetectionAreas(**areas))


def labels(found: InferenceResult) -> list[str]:
    return [detection.label for detection in found.detections]


def test_objects_outside_the_areas_are_left_out_and_a_change_takes_effect() -> None:
    with line() as on:
        on.source.put("v1", ON_BOTH_SIDES.twin())
        on.configure(M)
        whole = on.ask(frame(1))
        assert labels(whole) == ["nut", "bolt"]
        on.configure(M, cameras=(camera(include=(LEFT,)), camera("back", exclude=(LEFT,))))
        left = on.ask(frame(2))
        assert left.detections == whole.detections[:1]
        assert bytes(left.attachment) == bytes(whole.attachment), "raw outputs stay raw"
        assert labels(on.ask(frame(3, camera="back"))) == ["bolt"]
        assert labels(on.ask(frame(4, camera="side"))) == ["nut", "bolt"]
        on.configure(M)
        assert labels(on.ask(frame(5))) == ["nut", "bolt"]


def test_the_areas_follow_the_picture_when_its_size_changes() -> None:
    with line() as on:
        on.source.put("v1", ON_BOTH_SIDES.twin())
        on.configure(M, cameras=(camera(include=(LEFT,)),))
        assert labels(on.ask(frame(1))) == ["nut"]
        left_half = Transform(scale_x=1, scale_y=2)  # the model now sees the left half alone
        assert labels(on.ask(frame(2, transform=left_half))) == ["nut", "bolt"]


def test_a_shadow_has_the_areas_of_the_camera() -> None:
    with line() as on:
        on.source.put("v1", ON_BOTH_SIDES.twin())
        on.source.put("v2", ON_BOTH_SIDES.twin())
        on.configure(
            M,
            NEXT,
            shadows=(Shadow(model="m-next", of="m"),),
            cameras=(camera(exclude=(LEFT,)),),
        )
        on.send(frame(1, models=("m", "m-next")))
        found = [on.result(), on.result()]
        assert [(each.model, each.shadow_of, labels(each)) for each in found] == [
            ("m", "", ["bolt"]),
            ("m-next", "m", ["bolt"]),
        ]


def test_a_classifier_knows_no_areas() -> None:
    with line() as on:
        engine = ScriptedEngine([np.array([[0.25, 0.75]], np.float32)])
        on.source.put("v1", engine, task=Task.CLASSIFICATION)
        on.configure(M, cameras=(camera(exclude=(LEFT, RIGHT)),))
        assert [c.confidence for c in on.ask(frame(1)).classifications] == [0.25, 0.75]


@pytest.mark.parametrize(("area", "uncertain"), [(LEFT, False), (RIGHT, True)])
def test_doubt_about_what_does_not_count_is_no_doubt(area: Any, uncertain: bool) -> None:
    collect = (UncertainStrategy(), LeastConfidenceStrategy())
    assignment = Assignment(
        camera="front", model="m", uncertain=UncertainRule(threshold=0.6), collect=collect
    )
    with line() as on:
        # Sure on the left, doubtful on the right: in a cell that is no detection.
        on.source.put("v1", ScriptedEngine([fomo_map((0, 0, 0, 0.9), (3, 3, 1, 0.45))]))
        on.configure(M, assignments=(assignment,), cameras=(camera(include=(area,)),))
        found = on.ask(frame(1))
        assert found.uncertain is uncertain
        assert (found.collect is not None) is uncertain


# -- what is collected ---------------------------------------------------------------------------


def yolo(*rows: tuple[float, ...]) -> list[RawOutput]:
    values = np.zeros((1, 3, 7), np.float32)
    values[0, : len(rows)] = rows
    return [raw(values)]


def ssd(*rows: tuple[float, float, tuple[float, ...]]) -> list[RawOutput]:
    count = len(rows)
    scores = np.array([[row[0] for row in rows]], np.float32)
    classes = np.array([[row[1] for row in rows]], np.float32)
    boxes = np.array([[row[2] for row in rows]], np.float32)
    return [raw(scores), raw(boxes), raw(np.array([count], np.float32)), raw(classes)]


SURE_LEFT_DOUBTFUL_RIGHT = {
    Task.FOMO: [raw(fomo_map((0, 0, 0, 0.95), (3, 3, 1, 0.5)))],
    Task.YOLOV5: yolo((0.2, 0.5, 0.2, 0.2, 0.97, 0.9, 0.01), (0.8, 0.5, 0.2, 0.2, 0.51, 0.5, 0.5)),
    Task.MOBILENET_SSD: ssd((0.97, 0, (0.4, 0.1, 0.6, 0.3)), (0.51, 1, (0.4, 0.7, 0.6, 0.9))),
}
DOUBT: list[CollectStrategy] = [
    UncertainStrategy(),
    LeastConfidenceStrategy(above=0.2),
    MarginStrategy(below=0.4),
    EntropyStrategy(above=0.5),
    BandStrategy(width=0.1),
]


def reason(task: Task, wanted: CollectStrategy, *include: Any) -> str:
    outputs = SURE_LEFT_DOUBTFUL_RIGHT[task]
    found = results(task, outputs, wanted, DetectionAreas(include=include))
    return "" if found.collect is None else found.collect.strategy


def results(
    task: Task, outputs: list[RawOutput], wanted: CollectStrategy, areas: DetectionAreas
) -> InferenceResult:
    about = manifest(task, 2, 32, 32)
    infos = [output.info for output in outputs]
    decoder = decoder_for(about, infos)
    wish = DesiredModel(id="m", path="v1", uncertain=UncertainRule(threshold=0.6))
    asked = frame()
    subject = Subject(decoder, about.labels, 0.5, random.Random(1))  # noqa: S311 - not a secret
    answer = Answer.build(about, wish, None, infos, "inference", asked)
    answer = answer.within(Limit.of(areas, decoder)).collecting(Collector([wanted], subject))
    decoded = decoder.decode(outputs, 0.5)
    return answer.result(asked, outputs, decoded, spent=timing(0, 0, 0), returns_credit=True)


@pytest.mark.parametrize("task", SURE_LEFT_DOUBTFUL_RIGHT)
@pytest.mark.parametrize("wanted", DOUBT, ids=lambda wanted: wanted.strategy)
def test_pictures_are_collected_for_doubt_that_counts(task: Task, wanted: CollectStrategy) -> None:
    assert reason(task, wanted) == wanted.strategy
    assert reason(task, wanted, RIGHT) == wanted.strategy
    assert reason(task, wanted, LEFT) == ""


@pytest.mark.parametrize("task", SURE_LEFT_DOUBTFUL_RIGHT)
def test_a_candidate_that_is_missed_counts_where_it_stands(task: Task) -> None:
    """Below the threshold, so that no detection shows it."""
    outputs = {
        Task.FOMO: [raw(fomo_map((3, 3, 1, 0.45)))],
        Task.YOLOV5: yolo((0.8, 0.5, 0.2, 0.2, 0.45, 0.9, 0.1)),
        Task.MOBILENET_SSD: ssd((0.45, 1, (0.4, 0.7, 0.6, 0.9))),
    }[task]
    found = [
        results(task, outputs, BandStrategy(), DetectionAreas(include=(area,))).collect
        for area in (LEFT, RIGHT)
    ]
    assert found[0] is None
    assert found[1] is not None
    assert "below it: not reported" in found[1].reason


def test_the_side_of_an_object_outside_is_no_object_inside() -> None:
    """Its peak stands outside; the neighbour is likelier, so the cell inside says nothing."""
    outputs = [raw(fomo_map((0, 1, 0, 0.55), (0, 2, 0, 0.9)))]
    inside = DetectionAreas(include=(LEFT,))
    assert results(Task.FOMO, outputs, LeastConfidenceStrategy(), inside).collect is None
    alone = [raw(fomo_map((0, 1, 0, 0.55)))]
    assert results(Task.FOMO, alone, LeastConfidenceStrategy(), inside).collect is not None


def test_nothing_that_counts_is_nothing_found() -> None:
    wanted = NothingFoundStrategy(fraction=1)
    outputs = [raw(fomo_map((3, 3, 1, 0.9)))]
    found = [
        results(Task.FOMO, outputs, wanted, DetectionAreas(include=(area,))).collect
        for area in (RIGHT, LEFT)
    ]
    assert found[0] is None
    assert found[1] is not None


maps = hnp.arrays(np.float32, (1, 4, 4, 3), elements=st.floats(0, 1, width=32))
EVERYWHERE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


@given(maps, st.sampled_from(DOUBT))
def test_an_area_of_the_whole_picture_changes_nothing(
    values: NDArray[np.float32], wanted: CollectStrategy
) -> None:
    outputs = [raw(values)]
    without = results(Task.FOMO, outputs, wanted, DetectionAreas())
    assert results(
        Task.FOMO, outputs, wanted, DetectionAreas(include=(EVERYWHERE,))
    ) == without  # fmt: skip
    empty = results(Task.FOMO, outputs, wanted, DetectionAreas(exclude=(EVERYWHERE,)))
    assert (empty.detections, empty.uncertain, empty.collect) == ((), False, None)


# -- tests ---------------------------------------------------------------------------------------


def test_the_result_of_a_test_says_so_also_when_it_fails() -> None:
    with line() as on:
        on.source.put("v1")
        on.configure(M)
        assert on.ask(frame(1, test="t-1")).test == "t-1"
        assert on.ask(frame(2)).test == ""
        refused = on.ask(frame(3, test="t-2", models=("gone",)))
        assert refused.error
        assert refused.test == "t-2"


def test_a_test_that_waits_for_its_model_says_so() -> None:
    with line() as on:
        on.source.put("v1")
        on.source.gate.clear()
        on.configure(M, settle=False)
        assert on.source.waiting.wait(10)
        on.send(frame(1, test="t-1"))
        on.source.gate.set()
        assert on.result().test == "t-1"


def collecting(*wanted: CollectStrategy) -> tuple[Assignment, ...]:
    return (Assignment(camera="front", model="m", collect=wanted),)


def test_a_test_asks_for_no_picture_and_uses_up_no_interval() -> None:
    with line() as on:
        on.source.put("v1")
        on.configure(M, assignments=collecting(IntervalStrategy(every_s=10)))
        assert on.ask(frame(1, test="t")).collect is None
        first = on.ask(frame(2, captured_at_us=1_000_000)).collect
        assert first is not None
        assert "this is the first" in first.reason
        assert on.ask(frame(3, captured_at_us=11_000_000, test="t")).collect is None
        assert on.ask(frame(4, captured_at_us=11_000_000)).collect is not None


def test_a_test_is_no_flicker() -> None:
    changing = [fomo_map(), fomo_map((0, 0, 0, 0.9))]
    shown: list[int] = []

    def react(_pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
        return [changing[shown[-1]]]

    def ask(on: Any, sequence: int, what: int, test: str = "") -> Any:
        shown.append(what)
        return on.ask(frame(sequence, captured_at_us=sequence * 100_000, test=test)).collect

    with line() as on:
        on.source.put("v1", ScriptedEngine(changing[:1], react=react))
        on.configure(M, assignments=collecting(FlickerStrategy(changes=2, within_s=10)))
        assert ask(on, 1, 0) is None
        assert ask(on, 2, 1, "t") is None
        assert ask(on, 3, 0) is None, "it saw no change"
        assert ask(on, 4, 1) is None
        assert ask(on, 5, 0) is not None


def test_a_test_draws_no_lot() -> None:
    class Lots(random.Random):
        drawn = 0

        def random(self) -> float:
            self.drawn += 1
            return 0.0

    lots = Lots()
    with line(rng=lots) as on:
        on.source.put("v1")
        on.configure(M, assignments=collecting(RandomStrategy(fraction=0.5)))
        assert on.ask(frame(1, test="t")).collect is None
        assert lots.drawn == 0
        assert on.ask(frame(2)).collect is not None


def test_a_candidate_takes_part_in_no_test() -> None:
    with line() as on:
        on.source.put("v1")
        engine = on.source.put("v2")
        on.configure(M, NEXT, shadows=(Shadow(model="m-next", of="m"),))
        runs = engine.runs
        on.send(frame(1, models=("m", "m-next"), test="t"))
        found = on.result()
        assert (found.model, found.returns_credit) == ("m", True)
        only = on.ask(frame(2, models=("m-next",), test="t"))
        assert only.error == "model 'm-next' is only tried beside another: it takes part in no test"
        assert only.returns_credit
        assert engine.runs == runs
        assert on.service.report().counters["shadows_left_out"] == 0
