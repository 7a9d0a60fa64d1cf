"""Two versions of a model on the same frames."""

import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_cloud_sync.core.shadow import (
    WAITING,
    ShadowComparison,
    distance,
    match,
    same_place,
    verdict,
)
from nxai_common.contracts.deployments import LabelCounts, ShadowReport
from nxai_common.contracts.frames import Transform
from nxai_common.contracts.models import Task
from nxai_common.contracts.results import (
    Box,
    Classification,
    Detection,
    InferenceResult,
    InputImage,
    Timing,
)

pytestmark = pytest.mark.unit


def found(label: str, confidence: float, x: float, y: float, side: float = 10) -> Detection:
    box = Box(x=x, y=y, width=side, height=side)
    return Detection(label=label, confidence=confidence, box=box, model_box=(0, 0, 8, 8))


def result(
    model: str,
    sequence: int,
    detections: Sequence[Detection] = (),
    *,
    ms: float = 1.0,
    **rest: Any,
) -> InferenceResult:
    about: dict[str, Any] = {
        "camera": "front",
        "labels": ("nut", "bolt"),
        "stream": "s",
        "task": Task.FOMO,
        **rest,
    }
    return InferenceResult(
        input="i",
        model=model,
        worker="w",
        sequence=sequence,
        captured_at_us=sequence,
        width=8,
        height=8,
        channels=3,
        source_width=80,
        source_height=80,
        transform=Transform(scale_x=10, scale_y=10),
        detections=tuple(detections),
        timing=Timing(engine_ms=ms),
        **about,
    )


def compared(*pairs: tuple[Sequence[Detection], Sequence[Detection]]) -> ShadowReport:
    comparison = ShadowComparison("old", "new")
    for number, (before, after) in enumerate(pairs):
        comparison.see(result("old", number, before))
        comparison.see(result("new", number, after))
    return comparison.report()


def test_frames_in_which_both_find_the_same_agree() -> None:
    report = compared(
        ([found("nut", 0.75, 0, 0)], [found("nut", 0.875, 1, 1)]),
        ([], []),
        ([found("nut", 0.5, 0, 0)], []),
        ([], [found("bolt", 0.5, 0, 0)]),
        ([found("nut", 0.5, 0, 0)], [found("bolt", 0.5, 0, 0)]),
    )
    assert (report.frames, report.agreeing, report.agreement) == (5, 2, 0.4)
    assert (report.matched, report.only_before, report.only_after) == (1, 2, 2)
    assert report.confidence_shift == 0.125
    assert report.labels == (
        LabelCounts(label="bolt", before=0, after=2),
        LabelCounts(label="nut", before=3, after=1),
    )


def test_without_a_frame_there_is_no_agreement() -> None:
    report = ShadowComparison("old", "new").report()
    assert report == ShadowReport()
    assert report.agreement == 0


def test_the_order_in_which_the_two_answer_does_not_matter() -> None:
    comparison = ShadowComparison("old", "new")
    comparison.see(result("new", 1, [found("nut", 0.9, 0, 0)]))
    comparison.see(result("new", 2, []))
    comparison.see(result("old", 2, [found("nut", 0.9, 0, 0)]))
    comparison.see(result("old", 1, [found("nut", 0.9, 0, 0)]))
    report = comparison.report()
    assert (report.frames, report.agreeing) == (2, 1)
    assert (report.only_before, report.only_after) == (1, 0)


def test_frames_of_different_cameras_and_streams_are_different_frames() -> None:
    comparison = ShadowComparison("old", "new")
    comparison.see(result("old", 1))
    comparison.see(result("new", 1, camera="back"))
    comparison.see(result("new", 1, stream="later"))
    assert comparison.frames == 0
    comparison.see(result("old", 1, camera="back"))
    assert comparison.frames == 1


def test_how_much_was_seen_is_told_by_the_camera_that_gave_least() -> None:
    comparison = ShadowComparison("old", "new", ShadowReport(frames=50))
    assert comparison.share(("front", "back"), 4) == 0
    for number in range(4):
        for camera in ("front", "back") if number < 3 else ("front",):
            comparison.see(result("old", number, camera=camera))
            comparison.see(result("new", number, camera=camera))
    assert comparison.share(("front", "back"), 4) == 0.75
    assert comparison.share(("front",), 2) == 2
    assert comparison.share(("front", "side"), 4) == 0
    assert comparison.share((), 4) == 0
    assert comparison.frames == 57


def test_other_models_and_results_delivered_twice_are_left_alone() -> None:
    comparison = ShadowComparison("old", "new")
    comparison.see(result("other", 1))
    comparison.see(result("old", 1))
    comparison.see(result("old", 1))
    assert comparison.frames == 0
    comparison.see(result("new", 1))
    assert comparison.frames == 1


def test_results_with_an_error_are_no_frames_nor_failures() -> None:
    """They may only say that a worker has not loaded the new version yet."""
    comparison = ShadowComparison("old", "new")
    for sequence in (1, 2):
        comparison.see(result("old", sequence, error="no memory"))
        comparison.see(result("new", sequence, error="it is loading"))
    comparison.see(result("old", 3, ms=1))
    comparison.see(result("new", 3, ms=5, error="no memory", labels=()))
    assert comparison.report() == ShadowReport(engine_ms_before=1)
    comparison.see(result("new", 3))
    assert comparison.frames == 1


def test_failures_are_counted_as_inference_counts_them() -> None:
    comparison = ShadowComparison("old", "new", ShadowReport(errors=2))
    comparison.fail(0)
    comparison.fail(3)
    assert comparison.report().errors == 5


def test_results_of_other_versions_are_left_alone() -> None:
    comparison = ShadowComparison("old", "new", digests=("a" * 64, "b" * 64))
    comparison.see(result("old", 1, model_digest="c" * 64))  # a worker has not changed over yet
    comparison.see(result("new", 1, model_digest="b" * 64))
    comparison.see(result("old", 2, model_digest="a" * 64))
    comparison.see(result("new", 2, model_digest="a" * 64))
    assert comparison.frames == 0
    comparison.see(result("old", 1, model_digest="a" * 64))
    comparison.see(result("new", 2, model_digest="b" * 64))
    assert comparison.frames == 2


def test_halves_without_the_other_half_are_forgotten() -> None:
    comparison = ShadowComparison("old", "new")
    for number in range(WAITING + 1):
        comparison.see(result("old", number))
    comparison.see(result("new", 1))
    comparison.see(result("new", WAITING))
    assert comparison.frames == 2
    comparison.see(result("new", 0))
    assert comparison.frames == 2


def test_a_camera_with_many_pictures_pushes_out_no_other() -> None:
    comparison = ShadowComparison("old", "new")
    comparison.see(result("old", 1, camera="slow"))
    for number in range(2 * WAITING):
        comparison.see(result("old", number, camera="fast"))
    comparison.see(result("new", 1, camera="slow"))
    assert comparison.frames == 1


def test_a_waiting_half_keeps_no_pixels() -> None:
    comparison = ShadowComparison("old", "new")
    image = InputImage(width=1, height=1, channels=3, offset=0, length=3)
    comparison.see(result("old", 1, image=image, attachment=b"rgb"))
    (kept,) = comparison._waiting["front"].values()
    assert b"rgb" not in pickle.dumps(kept)


def test_speed_is_the_median_and_load_what_it_means_at_the_cameras_rate() -> None:
    comparison = ShadowComparison("old", "new")
    for number, ms in enumerate((1.0, 100.0, 2.0)):
        comparison.see(result("old", number, ms=ms))
        comparison.see(result("new", number, ms=10 * ms))
    report = comparison.report(frames_a_second=30)
    assert (report.engine_ms_before, report.engine_ms_after) == (2.0, 20.0)
    assert (report.load_before, report.load_after) == (0.06, 0.6)
    assert comparison.report().load_after is None
    assert ShadowComparison("old", "new").report(frames_a_second=30) == ShadowReport()


def test_labels_that_come_and_go_are_named_once_both_are_known() -> None:
    comparison = ShadowComparison("old", "new")
    comparison.see(result("old", 1, labels=("nut", "bolt")))
    assert comparison.report().labels_removed == ()
    other = ShadowComparison("old", "new")
    other.see(result("new", 1, labels=("bolt", "washer")))
    assert other.report().labels_added == ()
    comparison.see(result("new", 1, labels=("bolt", "washer")))
    report = comparison.report()
    assert (report.labels_added, report.labels_removed) == (("washer",), ("nut",))


def test_classifiers_agree_by_their_best_label() -> None:
    def classes(**scores: float) -> dict[str, Any]:
        return {
            "task": Task.CLASSIFICATION,
            "classifications": tuple(
                Classification(label=label, confidence=score) for label, score in scores.items()
            ),
        }

    comparison = ShadowComparison("old", "new")
    comparison.see(result("old", 1, **classes(good=0.75, bad=0.25)))
    comparison.see(result("new", 1, **classes(good=0.5, bad=0.25)))
    comparison.see(result("old", 2, **classes(good=0.75, bad=0.25)))
    comparison.see(result("new", 2, **classes(good=0.25, bad=0.75)))
    comparison.see(result("old", 3, **classes(good=0.75)))
    comparison.see(result("new", 3))
    comparison.see(result("old", 4))
    comparison.see(result("new", 4, **classes(bad=0.75)))
    report = comparison.report()
    assert (report.frames, report.agreeing, report.matched) == (4, 1, 1)
    assert (report.only_before, report.only_after) == (2, 2)
    assert report.confidence_shift == -0.25
    assert report.labels == (
        LabelCounts(label="bad", before=0, after=2),
        LabelCounts(label="good", before=3, after=1),
    )


def test_sums_go_on_after_a_restart() -> None:
    first = compared(
        ([found("nut", 0.5, 0, 0)], [found("nut", 0.75, 0, 0)]),
        ([found("nut", 0.5, 0, 0)], []),
    )
    second = ShadowComparison("old", "new", first)
    second.see(result("old", 7, [found("nut", 0.5, 0, 0)]))
    second.see(result("new", 7, [found("nut", 0.75, 0, 0)]))
    report = second.report()
    assert (report.frames, report.agreeing, report.matched, report.only_before) == (3, 2, 2, 1)
    assert report.confidence_shift == 0.25
    assert report.labels == (LabelCounts(label="nut", before=3, after=2),)


def test_what_was_seen_of_labels_and_speed_outlives_a_restart() -> None:
    """Else a version that lost a label would be promoted right after one."""
    first = ShadowComparison("old", "new")
    first.see(result("old", 1, ms=1, labels=("nut", "bolt")))
    first.see(result("new", 1, ms=5, labels=("nut", "washer")))
    begun = first.report(30)
    second = ShadowComparison("old", "new", begun)
    assert second.report(30) == begun
    assert (begun.labels_added, begun.labels_removed) == (("washer",), ("bolt",))
    second.see(result("old", 2, ms=3, labels=("nut", "bolt")))
    second.see(result("new", 2, ms=7, labels=("nut", "bolt")))
    report = second.report(30)
    assert (report.labels_added, report.labels_removed) == ((), ())
    assert (report.engine_ms_before, report.engine_ms_after, report.load_after) == (3, 7, 0.21)


def test_places() -> None:
    here = Box(x=0, y=0, width=10, height=10)
    assert same_place(here, here)
    assert same_place(here, Box(x=4, y=4, width=10, height=10))  # each holds the other's centre
    assert not same_place(here, Box(x=6, y=6, width=10, height=10))
    assert not same_place(here, Box(x=30, y=0, width=10, height=10))
    # A third shared, though neither holds the other's centre ...
    assert same_place(Box(x=0, y=0, width=20, height=10), Box(x=0, y=0, width=9, height=10))
    # ... and one dot in a corner of the other is another place.
    assert not same_place(here, Box(x=0, y=0, width=2, height=2))
    empty = Box(x=5, y=5, width=0, height=0)
    assert same_place(empty, empty)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((0, 0, 10, 10), (0, 6, 10, 10), False),  # one below the other
        ((0, 0, 10, 10), (30, 30, 10, 10), False),  # apart in both directions
        ((0, 0, 10, 10), (0, 0, 2, 2), False),  # a dot in the corner
        ((0, 0, 10, 10), (4, 4, 2, 2), True),  # a dot in the middle
        ((0, 0, 20, 20), (0, 0, 12, 11), True),  # a third of it
        ((0, 0, 20, 20), (0, 0, 9, 9), False),  # a fifth of it
    ],
)
def test_one_place_or_two(one: tuple[float, ...], other: tuple[float, ...], same: bool) -> None:
    first, second = (
        Box(x=x, y=y, width=width, height=height) for x, y, width, height in (one, other)
    )
    assert same_place(first, second) == same
    assert same_place(second, first) == same


def test_distances_are_those_of_the_centres() -> None:
    one, other = Box(x=10, y=20, width=6, height=8), Box(x=1, y=2, width=4, height=20)
    assert distance(one, other) == distance(other, one) == 10**2 + 12**2


def test_the_closest_objects_are_taken_for_each_other() -> None:
    left, right = found("nut", 0.5, 0, 0), found("nut", 0.5, 4, 0)
    moved_left, moved_right = found("nut", 0.6, 1, 0), found("nut", 0.6, 5, 0)
    assert match([left, right], [moved_right, moved_left]) == [
        (left, moved_left),
        (right, moved_right),
    ]
    assert match([left, right], [moved_left]) == [(left, moved_left)]
    assert match([left], [found("nut", 0.5, 40, 0)]) == []


detections = st.lists(
    st.builds(
        found,
        st.sampled_from(["nut", "bolt"]),
        st.floats(0, 1),
        st.floats(0, 100),
        st.floats(0, 100),
        st.floats(0, 30),
    ),
    max_size=6,
)


@given(detections, detections)
def test_nothing_is_matched_twice(before: list[Detection], after: list[Detection]) -> None:
    pairs = match(before, after)
    assert len({id(old) for old, _ in pairs}) == len(pairs) == len({id(new) for _, new in pairs})
    assert all(old.label == new.label for old, new in pairs)


@given(detections)
def test_a_model_agrees_with_itself(same: list[Detection]) -> None:
    report = compared((same, same))
    assert (report.agreeing, report.only_before, report.only_after) == (1, 0, 0)
    assert report.confidence_shift == 0


GOOD = ShadowReport(frames=100, agreeing=90, engine_ms_before=1.0, engine_ms_after=1.5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"frames": 0, "agreeing": 0}, "no frame was looked at by both"),
        (
            {"frames": 0, "agreeing": 0, "errors": 2},
            "the new version failed on 2 frames; no frame was looked at by both",
        ),
        ({"errors": 3}, "the new version failed on 3 frames"),
        ({"labels_removed": ("nut",)}, "it no longer knows nut"),
        ({"agreeing": 70}, ""),
        (
            {"agreeing": 69},
            "both found the same in 69% of 100 frames only, less than 70%",
        ),
        (
            {"frames": 1000, "agreeing": 697},
            "both found the same in 69.7% of 1000 frames only, less than 70%",
        ),
        ({"engine_ms_after": 2.0}, ""),
        (
            {"engine_ms_after": 2.5},
            "a run takes 2.5 ms instead of 1 ms, more than 2 times as long",
        ),
        ({"engine_ms_after": 2.5, "load_after": 0.8}, ""),
        (
            {"engine_ms_after": 2.5, "load_after": 0.9},
            (
                "a run takes 2.5 ms instead of 1 ms, more than 2 times as long, 90% of the time "
                "there is"
            ),
        ),
        ({"engine_ms_before": None, "engine_ms_after": 9.0}, ""),
        ({"engine_ms_before": 9.0, "engine_ms_after": None}, ""),
        (
            {"errors": 1, "agreeing": 0},
            (
                "the new version failed on 1 frames; both found the same in 0% of 100 frames only, "
                "less than 70%"
            ),
        ),
    ],
)
def test_what_forbids_promoting_by_itself(change: dict[str, Any], said: str) -> None:
    report = GOOD.model_copy(update=change)
    assert verdict(report, min_agreement=0.7, max_slowdown=2) == said
