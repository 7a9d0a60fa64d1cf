"""What the results say of pictures worth keeping, and what the status says of models."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from nxai_common.contracts.collecting import (
    BandStrategy,
    CollectStrategy,
    FlickerStrategy,
    IntervalStrategy,
    LeastConfidenceStrategy,
    NothingFoundStrategy,
    RandomStrategy,
    UncertainStrategy,
)
from nxai_common.contracts.configuration import Assignment, DesiredModel, UncertainRule
from nxai_common.contracts.models import Task
from nxai_common.contracts.results import CollectReason, InferenceResult
from nxai_common.errors import RejectedError
from nxai_inference.models import LOAD_RETRY
from nxai_inference.service import REMEMBERED_CAMERAS
from support.inference import Clock, Line, ScriptedEngine, fomo_map, frame, line
from support.waiting import wait_for

pytestmark = pytest.mark.unit

M = DesiredModel(id="m", path="v1")
SECOND = 1_000_000
DOUBTFUL = [fomo_map((1, 2, 0, 0.5))]


def collecting(*wanted: CollectStrategy, camera: str = "front", **more: object) -> Assignment:
    return Assignment.model_validate(
        {"camera": camera, "model": "m", "collect": wanted, **more}, strict=False
    )


def at(on: Line, seconds: float, *, number: int = 0, camera: str = "front") -> InferenceResult:
    return on.ask(frame(number, captured_at_us=round(seconds * SECOND), camera=camera))


def strategy(found: InferenceResult) -> str:
    return "" if found.collect is None else found.collect.strategy


def test_a_result_says_why_its_picture_is_worth_keeping() -> None:
    with line() as on:
        on.source.put("v1", ScriptedEngine(DOUBTFUL))
        on.configure(M, assignments=(collecting(LeastConfidenceStrategy()),))
        found = on.ask(frame())
        assert found.collect == CollectReason(
            strategy="least-confidence",
            reason="a cell: nut 0.500 at best, which leaves 0.500 > 0.4",
            value=0.75,
        )
        assert on.ask(frame(camera="back")).collect is None
        wait_for(lambda: on.service.report().counters["collect"] == 1)


@pytest.mark.parametrize("wanted", [(), (LeastConfidenceStrategy(), RandomStrategy(fraction=1))])
def test_collecting_changes_nothing_of_the_documented_rule(
    wanted: tuple[CollectStrategy, ...],
) -> None:
    doubt = M.model_copy(update={"uncertain": UncertainRule(threshold=0.6)})
    with line() as on:
        on.source.put("v1", ScriptedEngine(DOUBTFUL))
        on.configure(doubt, assignments=(collecting(*wanted),))
        found = on.ask(frame())
        assert (found.uncertain, found.uncertain_reason) == (
            True,
            "highest probability of a cell 0.500 < 0.6",
        )
        assert found.image is not None
        on.configure(M, assignments=(collecting(*wanted),))
        found = on.ask(frame(1))
        assert (found.uncertain, found.uncertain_reason, found.image) == (False, "", None)


def test_what_the_rule_calls_uncertain_is_kept_for_its_reason() -> None:
    with line() as on:
        on.source.put("v1", ScriptedEngine(DOUBTFUL))
        on.configure(
            M,
            assignments=(
                collecting(UncertainStrategy(), uncertain=UncertainRule(threshold=0.6)),
                collecting(UncertainStrategy(), camera="back", uncertain=UncertainRule()),
            ),
        )
        found = on.ask(frame())
        assert found.collect == CollectReason(
            strategy="uncertain", reason=found.uncertain_reason, value=0.75
        )
        assert on.ask(frame(camera="back")).collect is None  # the rule is off there


def ssd(score: float) -> list[NDArray[np.float32]]:
    """Return outputs of MobileNet-SSD: one box."""
    box = [[[0.25, 0.25, 0.5, 0.5]]]
    return [np.array(v, np.float32) for v in ([[score]], box, [1], [[0]])]


OF_THE_MODEL = UncertainRule(threshold=0.95)
OF_THE_CAMERA = UncertainRule(threshold=0.76)


@pytest.mark.parametrize(
    ("desired", "more", "reason"),
    [
        # The package says 0.7: no detection is below that.
        ({}, {}, "confidence of a detection 0.750 < 0.8"),
        ({"threshold": 0.5}, {}, ""),  # and so 0.6
        ({"threshold": 0.5}, {"threshold": 0.75}, "confidence of a detection 0.750 < 0.85"),
        ({"uncertain": OF_THE_MODEL}, {}, "confidence of a detection 0.750 < 0.95"),
        (
            {},
            {"uncertain": UncertainRule(threshold=0.76)},
            "confidence of a detection 0.750 < 0.76",
        ),
        ({}, {"uncertain": UncertainRule()}, ""),
        ({}, {"collect": (BandStrategy(),)}, ""),  # nobody asks
    ],
)
def test_where_nobody_set_a_rule_one_is_chosen_that_fits_the_model(
    desired: dict[str, object], more: dict[str, object], reason: str
) -> None:
    with line() as on:
        on.source.put("v1", ScriptedEngine(ssd(0.75)), task=Task.MOBILENET_SSD, threshold=0.7)
        wanted = {"collect": (UncertainStrategy(),)} | more
        on.configure(
            M.model_copy(update=desired),
            assignments=(Assignment.model_validate({"camera": "front", "model": "m"} | wanted),),
        )
        found = on.ask(frame())
        assert len(found.detections) == 1
        assert (found.uncertain, found.uncertain_reason) == (reason != "", reason)


def test_strategies_go_by_the_threshold_of_the_camera() -> None:
    with line() as on:
        on.source.put("v1", ScriptedEngine([fomo_map((1, 2, 0, 0.6))]))
        often = NothingFoundStrategy(fraction=1)
        on.configure(
            M,
            assignments=(
                collecting(often, threshold=0.6),
                collecting(often, camera="back", threshold=0.7),
            ),
        )
        assert strategy(on.ask(frame())) == ""
        assert strategy(on.ask(frame(camera="back"))) == "nothing-found"


def test_each_camera_has_an_interval_of_its_own() -> None:
    hourly = IntervalStrategy(every_s=3600)
    with line() as on:
        on.source.put("v1")
        on.configure(M, assignments=(collecting(hourly), collecting(hourly, camera="back")))
        assert strategy(at(on, 1000)) == "interval"
        assert strategy(at(on, 1001)) == ""
        assert strategy(at(on, 1002, camera="back")) == "interval"
        assert strategy(at(on, 4601)) == "interval"


def test_what_is_remembered_outlives_what_does_not_concern_it() -> None:
    hourly = IntervalStrategy(every_s=3600)
    with line() as on:
        on.source.put("v1")
        on.source.put("v2", side=64)
        on.configure(M, assignments=(collecting(hourly),))
        assert strategy(at(on, 1000)) == "interval"
        # another threshold, another strategy beside it, another file, another input size
        on.configure(
            M.model_copy(update={"threshold": 0.9}),
            assignments=(collecting(LeastConfidenceStrategy(above=1), hourly),),
        )
        assert strategy(at(on, 1001)) == ""
        on.configure(M.model_copy(update={"path": "v2"}), assignments=(collecting(hourly),))
        large = frame(3, side=64, captured_at_us=1002 * SECOND)
        assert strategy(on.ask(large)) == ""
        assert strategy(at(on, 1003)) == ""  # the version before still looks at its frames
        on.configure(M, assignments=(collecting(hourly),))
        assert strategy(at(on, 4600)) == "interval"


def test_what_is_no_longer_collected_is_forgotten() -> None:
    hourly = IntervalStrategy(every_s=3600)
    with line() as on:
        on.source.put("v1")
        on.configure(M, assignments=(collecting(hourly),))
        assert strategy(at(on, 1000)) == "interval"
        on.configure(M)
        assert strategy(at(on, 1001)) == ""
        on.configure(M, assignments=(collecting(hourly),))
        assert strategy(at(on, 1002)) == "interval"


def test_a_label_that_flickers_is_noticed_over_the_frames() -> None:
    turns = iter([[fomo_map((1, 2, 0, 0.9))], [fomo_map()]] * 3)
    with line() as on:
        on.source.put("v1", ScriptedEngine(react=lambda _: next(turns)))
        on.configure(M, assignments=(collecting(FlickerStrategy(changes=3, within_s=1)),))
        found = [strategy(at(on, 10 + number / 10, number=number)) for number in range(6)]
        assert found == ["", "", "", "flicker", "", ""]


def test_random_pictures_repeat_with_the_seed() -> None:
    def drawn() -> list[str]:
        with line(rng=random.Random(7)) as on:  # noqa: S311 - not a secret
            on.source.put("v1")
            on.configure(M, assignments=(collecting(RandomStrategy(fraction=0.5)),))
            return [strategy(on.ask(frame(number))) for number in range(40)]

    assert drawn() == drawn()
    assert {"", "random"} == set(drawn())


def test_made_up_cameras_leave_nothing_behind() -> None:
    with line() as on:
        on.source.put("v1")
        on.configure(M, assignments=(collecting(IntervalStrategy()),))
        on.ask(frame())
        for number in range(REMEMBERED_CAMERAS + 1):
            on.ask(frame(camera=f"c{number}"))
        model = on.service._models.get("m")
        assert model is not None
        assert list(model.collectors) == ["front"]


def test_the_status_tells_what_is_wanted_and_what_is_in_force() -> None:
    clock = Clock()
    with line(clock=clock) as on:
        on.source.put("v1")
        on.configure(M)
        status = on.status_of("m")
        assert (status.wanted, status.path, status.failed) == ("v1", "v1", "")

        on.source.gate.clear()
        on.configure(M.model_copy(update={"path": "v2"}), settle=False)
        assert on.source.waiting.wait(10)
        wait_for(lambda: on.status_of("m").state == "loading")
        status = on.status_of("m")
        assert (status.wanted, status.path, status.failed) == ("v2", "v1", "")
        on.source.gate.set()
        wait_for(lambda: on.status_of("m").state == "ready")
        status = on.status_of("m")
        assert (status.wanted, status.path, status.failed) == ("v2", "v1", "v2: no such file")

        on.source.gate.clear()
        on.source.waiting.clear()
        on.source.put("v2")
        clock.advance(LOAD_RETRY.first_s)
        assert on.source.waiting.wait(10)
        assert (on.status_of("m").state, on.status_of("m").failed) == ("loading", "")
        on.source.gate.set()
        wait_for(lambda: on.status_of("m").path == "v2" and on.status_of("m").state == "ready")
        status = on.status_of("m")
        assert (status.wanted, status.failed, status.digest) == ("v2", "", "digest of v2")


def test_the_status_of_a_model_that_never_loaded() -> None:
    with line() as on:
        on.configure(M)
        status = on.status_of("m")
        assert (status.wanted, status.path, status.failed) == ("v1", "", "v1: no such file")


def test_frames_that_a_model_could_not_look_at_are_counted() -> None:
    turns = iter((True, False, True))

    def react(_pixels: object) -> list[object]:
        if next(turns):
            raise RejectedError("busy")
        return [fomo_map()]

    with line() as on:
        on.source.put("v1", ScriptedEngine(react=react))  # type: ignore[arg-type] # arrays
        on.configure(M)
        for number in range(3):
            on.ask(frame(number))
        on.ask(frame(3, side=40))  # not its size: nothing is wrong with the model
        assert (on.status_of("m").errors, on.status_of("m").processed) == (2, 1)
