import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_cloud_sync.core.sample import (
    DISCARDED_BY,
    END_OF_NUMBERS,
    END_OF_TIME_US,
    LabelledBox,
    SampleState,
    StoredSample,
    clamped,
    new_sample,
    reviewed,
    sample_id,
    shown_labels,
)
from nxai_common.contracts.results import Box, Classification, Detection
from nxai_common.contracts.topics import LEVEL_PATTERN
from nxai_common.errors import RejectedError
from support.results import START_US, detection
from support.samples import HEIGHT, WIDTH, jpeg, message

NAN, INF = float("nan"), float("inf")
SAMPLE_ID = re.compile(r"[0-9a-z-]{1,64}")  # of the contract
BOX = LabelledBox("nut", 8, 8, 16, 12)


def stored(state: SampleState = SampleState.NEW, **changes: Any) -> StoredSample:
    fields: dict[str, Any] = {
        "id": "front-20261122t100000000-0000abcd",
        "camera": "front",
        "captured_at_us": START_US,
        "stored_at_us": START_US,
        "width": WIDTH,
        "height": HEIGHT,
        "bytes": 10,
        "model": "m5-nut",
        "model_version": "3",
        "model_digest": "",
        "labels": ("nut", "bolt"),
        "strategy": "uncertain",
        "reason": "",
        "value": 0.5,
        "predictions": (replace(BOX, confidence=0.4),),
        "scores": (),
        "state": state,
        **changes,
    }
    return StoredSample(**fields)


# -- names ------------------------------------------------------------------------------------


def test_a_name_tells_camera_and_time() -> None:
    assert sample_id("front", START_US + 7_000, 0xABC) == "front-20261122t100000007-00000abc"
    assert stored().file_name == "front-20261122t100000000-0000abcd.jpg"


@given(
    st.from_regex(LEVEL_PATTERN.replace("$", r"\Z"), fullmatch=True),
    st.integers(0, END_OF_TIME_US - 1),
    st.integers(0, 2**32 - 1),
)
def test_a_name_is_one_of_the_contract(camera: str, captured_at_us: int, random: int) -> None:
    assert SAMPLE_ID.fullmatch(sample_id(camera, captured_at_us, random))


@given(st.integers(0, END_OF_TIME_US - 2000), st.integers(1000, 10**12))
def test_names_sort_by_time(first_us: int, later_us: int) -> None:
    second_us = min(first_us + later_us, END_OF_TIME_US - 1)
    if second_us - first_us >= 1000:
        assert sample_id("a", first_us, 2**32 - 1) < sample_id("a", second_us, 0)


# -- what is kept of a message -------------------------------------------------------------------


def test_a_message_is_kept_as_it_is() -> None:
    kept = new_sample(message(3, "nut", "bolt"), 77, 99)
    assert (kept.camera, kept.stream, kept.sequence, kept.model) == ("front", "run-1", 3, "m5-nut")
    assert (kept.hash, kept.stored_at_us, kept.jpeg) == (77, 99, jpeg(3))
    assert kept.predictions == (
        LabelledBox("nut", 8, 8, 16, 12, 0.41),
        LabelledBox("bolt", 8, 8, 16, 12, 0.41),
    )
    assert kept.captured_at_us == START_US + 3_000_000
    assert (kept.width, kept.height, kept.value) == (WIDTH, HEIGHT, 0.5)
    assert (kept.strategy, kept.reason) == ("uncertain", "nut 0.41 is below 0.5")
    assert (kept.model_version, kept.model_digest, kept.labels) == (
        "3",
        "ab" * 32,
        ("nut", "bolt"),
    )


def test_scores_of_a_classifier_are_kept() -> None:
    scores = (
        Classification(label="ok", confidence=0.6),
        Classification(label="scratch", confidence=0.4),
        Classification(label="broken", confidence=NAN),
    )
    kept = new_sample(message(classifications=scores), 0, 0)
    assert kept.scores == (("ok", 0.6), ("scratch", 0.4))


@pytest.mark.parametrize("captured_at_us", [-1, END_OF_TIME_US, 10**30])
def test_a_time_that_is_none_is_refused(captured_at_us: int) -> None:
    with pytest.raises(RejectedError, match=f"captured at {captured_at_us} us"):
        new_sample(message(captured_at_us=captured_at_us), 0, 0)


def test_a_number_that_is_too_large_is_refused() -> None:
    largest = message(captured_at_us=START_US, sequence=END_OF_NUMBERS - 1)
    assert new_sample(largest, 0, 0).sequence == END_OF_NUMBERS - 1
    with pytest.raises(RejectedError, match="too large"):
        new_sample(largest.model_copy(update={"sequence": END_OF_NUMBERS}), 0, 0)


def test_what_is_no_rectangle_in_the_picture_is_left_out() -> None:
    outside = detection("nut", 0.5, (WIDTH + 1, 0, 5, 5))
    across = detection("nut", 0.5, (WIDTH - 4, -3, 10, 10))
    nowhere = detection("nut", 0.5, (NAN, 0, 5, 5))
    unsure = detection("nut", INF, (0, 0, 5, 5))
    thin = Detection(
        label="nut",
        confidence=0.5,
        box=Box(x=3, y=3, width=0, height=9),
        model_box=(0, 0, 1, 1),
    )
    found = (outside, across, nowhere, unsure, thin)
    kept = new_sample(message(detections=found), 0, 0)
    assert kept.predictions == (LabelledBox("nut", WIDTH - 4, 0, 4, 7, 0.5),)


NUMBER = st.floats(allow_nan=True, allow_infinity=True, width=32) | st.floats(-20, 90)


@given(NUMBER, NUMBER, NUMBER, NUMBER)
def test_a_clamped_box_lies_in_the_picture(x: float, y: float, width: float, height: float) -> None:
    inside = clamped(LabelledBox("nut", x, y, width, height, 0.3), WIDTH, HEIGHT)
    if inside is not None:
        assert 0 <= inside.x < inside.x + inside.width <= WIDTH
        assert 0 <= inside.y < inside.y + inside.height <= HEIGHT
        assert (inside.label, inside.confidence) == ("nut", 0.3)


def test_a_picture_shows_what_the_model_found_and_a_person_saw() -> None:
    nut, bolt = LabelledBox("nut", 0, 0, 1, 1, 0.4), LabelledBox("bolt", 0, 0, 1, 1)
    assert shown_labels((), ()) == ()
    assert shown_labels((nut, nut), ()) == ("nut",)
    assert shown_labels((nut,), (), (bolt,)) == ("bolt", "nut")
    assert shown_labels((), (("ok", 0.4), ("scratch", 0.6))) == ("scratch",)


# -- a person's decision ------------------------------------------------------------------------

DECISIONS = (SampleState.APPROVED, SampleState.DISCARDED, SampleState.NEW)


@pytest.mark.parametrize("before", list(SampleState))
@pytest.mark.parametrize("decision", list(SampleState))
def test_which_decisions_there_are(before: SampleState, decision: SampleState) -> None:
    sample = stored(before, state_reason="why", boxes=(BOX,))
    busy = {SampleState.UPLOADING: "being uploaded", SampleState.UPLOADED: "was uploaded"}
    if decision not in DECISIONS:
        with pytest.raises(RejectedError, match="nobody can decide"):
            reviewed(sample, decision)
    elif before in busy:
        with pytest.raises(RejectedError, match=busy[before]):
            reviewed(sample, decision)
    else:
        after = reviewed(sample, decision)
        reason = DISCARDED_BY if decision is SampleState.DISCARDED else ""
        assert after == replace(sample, state=decision, state_reason=reason, boxes=None)


def test_boxes_are_put_into_the_picture() -> None:
    drawn = LabelledBox(" nut ", -2.5, 40, 10, 20, 0.9)
    after = reviewed(stored(), SampleState.APPROVED, (drawn,))
    assert after.boxes == (LabelledBox("nut", 0, 40, 7.5, 8),)


def test_nothing_is_on_it() -> None:
    assert reviewed(stored(), SampleState.APPROVED, ()).boxes == ()


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (replace(BOX, label="  "), "the box at 8, 8 of 16 x 12 has no label"),
        (replace(BOX, width=0), r"0 x 12 \(nut\) covers nothing of the picture of 64 x 48"),
        (replace(BOX, height=-3), "covers nothing"),
        (replace(BOX, x=64), "covers nothing"),
        (replace(BOX, y=-12), "covers nothing"),
        (replace(BOX, x=NAN), "covers nothing"),
        (replace(BOX, width=INF), "covers nothing"),
    ],
)
def test_boxes_that_are_none_are_refused(box: LabelledBox, reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        reviewed(stored(), SampleState.APPROVED, (BOX, box))


def test_what_the_model_found_can_be_confirmed() -> None:
    after = reviewed(stored(), SampleState.APPROVED, confirm_predictions=True)
    assert after.boxes == (BOX,)
    nothing = reviewed(stored(predictions=()), SampleState.APPROVED, confirm_predictions=True)
    assert nothing.boxes == ()


@pytest.mark.parametrize(
    ("sample", "decision", "boxes", "reason"),
    [
        (stored(), SampleState.APPROVED, (BOX,), "not both"),
        (stored(scores=(("ok", 0.5),)), SampleState.APPROVED, None, "names the whole picture"),
        (stored(), SampleState.DISCARDED, None, "only an approved picture has boxes"),
        (stored(), SampleState.NEW, None, "only an approved picture has boxes"),
    ],
)
def test_what_cannot_be_confirmed(
    sample: StoredSample,
    decision: SampleState,
    boxes: tuple[LabelledBox, ...] | None,
    reason: str,
) -> None:
    with pytest.raises(RejectedError, match=reason):
        reviewed(sample, decision, boxes, confirm_predictions=True)


def test_only_an_approved_picture_gets_boxes() -> None:
    with pytest.raises(RejectedError, match="only an approved picture"):
        reviewed(stored(), SampleState.NEW, ())
