"""Requests, what is said of pictures in them, and what their answers mean."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_cloud_sync.core.sample import LabelledBox, SampleState, StoredSample
from nxai_cloud_sync.core.uploading import (
    LABELS_FILE,
    LARGEST_METADATA,
    LARGEST_REQUEST,
    FileOutcome,
    UploadBatch,
    batches,
    labels_file,
    metadata_header,
    metadata_of,
    read_answer,
)
from nxai_common.errors import CloudRejected, CloudUnavailable

NUT = LabelledBox("nut", 8.04, 8, 16, 12.26, 0.41237)
BOLT = LabelledBox("bolt", 30, 8, 16, 12, 0.9)


def sample(number: int = 0, **changes: Any) -> StoredSample:
    fields: dict[str, Any] = {
        "id": f"front-20261128-1402{number:02}-0abc",
        "camera": "front",
        "captured_at_us": number,
        "stored_at_us": number,
        "width": 640,
        "height": 480,
        "bytes": 200_000,
        "model": "m5-nut",
        "model_version": "3",
        "model_digest": "ab" * 32,
        "labels": ("nut", "bolt"),
        "strategy": "uncertain",
        "reason": "nut 0.41 is below 0.5",
        "value": 0.5,
        "predictions": (),
        "scores": (),
        "state": SampleState.APPROVED,
        **changes,
    }
    return StoredSample(**fields)


def batch(*samples: StoredSample, labelled: bool = False) -> UploadBatch:
    return UploadBatch(samples, (), "split", labelled)


def said(found: StoredSample, *, predictions: bool = True) -> dict[str, str]:
    return dict(metadata_of(found, device="box", predictions=predictions))


# -- batches --------------------------------------------------------------------------------------


def grouped(*samples: StoredSample, size: int = 20, predictions: bool = False) -> list[list[int]]:
    made = batches(samples, device="box", category="split", size=size, predictions=predictions)
    return [[each.captured_at_us for each in found.samples] for found in made]


def test_equal_pictures_share_requests() -> None:
    assert grouped(*map(sample, range(5)), size=2) == [[0, 1], [2, 3], [4]]


def test_nothing_makes_no_request() -> None:
    assert grouped() == []


def test_different_pictures_do_not_share_and_keep_their_order() -> None:
    samples = [sample(n, camera="front" if n % 2 else "gate") for n in range(6)]
    assert grouped(*samples, size=2) == [[0, 2], [1, 3], [4], [5]]


def test_confirmed_boxes_go_in_requests_of_their_own() -> None:
    samples = [sample(0), sample(1, boxes=()), sample(2, boxes=(NUT,)), sample(3, boxes=(BOLT,))]
    made = batches(samples, device="box", category="testing", size=20, predictions=False)
    assert [(each.labelled, len(each.samples)) for each in made] == [
        (False, 1),
        (True, 1),
        (True, 2),
    ]
    assert {each.category for each in made} == {"testing"}
    assert dict(made[1].metadata)["review"] == "nothing is on it"
    assert dict(made[2].metadata)["review"] == "boxes confirmed"
    assert "review" not in dict(made[0].metadata)


def test_classes_that_a_person_chose_go_in_requests_of_their_own() -> None:
    def classed(number: int, label: str, **changes: Any) -> StoredSample:
        whole = LabelledBox(label, 0, 0, 640, 480)
        said = {"scores": (("ok", 0.6), ("bad", 0.4)), "boxes": (whole,)}
        return sample(number, **{**said, **changes})

    part = LabelledBox("bad", 0, 0, 639, 480)
    samples = [
        classed(0, "ok"),
        classed(1, "bad"),
        classed(2, "ok"),
        classed(3, "ok", boxes=None),
        classed(4, "ok", boxes=(part,)),
        classed(5, "ok", boxes=()),
        classed(6, "ok", scores=()),
    ]
    made = batches(samples, device="box", category="split", size=20, predictions=False)
    assert [(each.label, [one.captured_at_us for one in each.samples]) for each in made] == [
        ("ok", [0, 2]),
        ("bad", [1]),
        ("", [3]),
        ("", [4, 6]),
        ("", [5]),
    ]
    assert dict(made[0].metadata)["review"] == "class confirmed"
    assert dict(made[3].metadata)["review"] == "boxes confirmed"


def test_predictions_share_a_request_only_when_they_are_equal() -> None:
    samples = [sample(0, predictions=(NUT,)), sample(1), sample(2), sample(3, predictions=(NUT,))]
    assert grouped(*samples, predictions=True) == [[0, 3], [1, 2]]
    samples[3] = sample(3, predictions=(BOLT,))
    assert grouped(*samples, predictions=True) == [[0], [1, 2], [3]]
    assert grouped(*samples, predictions=False) == [[0, 1, 2, 3]]


def test_requests_are_bounded_in_bytes() -> None:
    third = LARGEST_REQUEST // 3
    assert grouped(*(sample(n, bytes=third) for n in range(4))) == [[0, 1, 2], [3]]
    assert grouped(sample(0, bytes=2 * LARGEST_REQUEST), sample(1, bytes=1)) == [[0], [1]]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, LARGEST_REQUEST), st.booleans())),
    st.integers(1, 7),
)
def test_each_picture_is_in_one_request(drawn: list[tuple[str, int, bool]], size: int) -> None:
    samples = [
        sample(n, id=f"x-{n}", camera=camera, bytes=length, boxes=() if labelled else None)
        for n, (camera, length, labelled) in enumerate(drawn)
    ]
    made = batches(samples, device="box", category="split", size=size, predictions=False)
    assert sorted(each.id for found in made for each in found.samples) == sorted(
        each.id for each in samples
    )
    for found in made:
        assert 1 <= len(found.samples) <= size
        for each in found.samples:
            assert metadata_of(each, device="box", predictions=False) == found.metadata
            assert (each.boxes is not None) is found.labelled
        total = sum(each.bytes for each in found.samples)
        assert total <= LARGEST_REQUEST or len(found.samples) == 1


# -- metadata -------------------------------------------------------------------------------------


def test_without_predictions_nothing_of_the_single_picture_is_said() -> None:
    assert said(sample(predictions=(NUT,)), predictions=False) == {
        "device": "box",
        "camera": "front",
        "model": "m5-nut",
        "model_version": "3",
        "model_digest": "ab" * 32,
        "strategy": "uncertain",
    }


def test_predictions_are_text_with_the_surest_first() -> None:
    found = said(sample(predictions=(NUT, BOLT, LabelledBox("x", 0, 0, 1, 1))))
    assert found["reason"] == "nut 0.41 is below 0.5"
    assert json.loads(found["predictions"]) == [
        {"label": "bolt", "x": 30, "y": 8, "width": 16, "height": 12, "confidence": 0.9},
        {"label": "nut", "x": 8.0, "y": 8, "width": 16, "height": 12.3, "confidence": 0.4124},
        {"label": "x", "x": 0, "y": 0, "width": 1, "height": 1},
    ]
    assert "predictions_left_out" not in found


def test_scores_of_a_classifier_go_along() -> None:
    found = said(sample(scores=(("day", 0.25), ("night", 0.7500001))))
    assert json.loads(found["scores"]) == [
        {"label": "night", "confidence": 0.75},
        {"label": "day", "confidence": 0.25},
    ]


def test_what_is_empty_is_not_said() -> None:
    assert set(said(sample(model="", model_version="", model_digest="", reason=""))) == {
        "device",
        "camera",
        "strategy",
    }


def test_a_long_text_is_cut() -> None:
    found = said(sample(reason="ü" * 1000))
    assert found["reason"].startswith("üüü")
    assert found["reason"].endswith("ü...")
    assert len(json.dumps(found["reason"])) <= 600


def test_too_many_predictions_are_cut_and_counted() -> None:
    boxes = tuple(LabelledBox("nut", n, n, 10, 10, n / 1000) for n in range(1000))
    metadata = metadata_of(sample(predictions=boxes), device="box", predictions=True)
    assert 0.9 * LARGEST_METADATA < len(metadata_header(metadata)) <= LARGEST_METADATA
    kept = json.loads(dict(metadata)["predictions"])
    assert kept[0]["confidence"] == 0.999
    assert len(kept) + int(dict(metadata)["predictions_left_out"]) == 1000


@given(
    texts=st.lists(st.text(max_size=2000), min_size=3, max_size=3),
    labels=st.lists(st.text(max_size=2000), max_size=20),
    as_scores=st.booleans(),
    confirmed=st.booleans(),
)
def test_the_header_is_ascii_and_bounded_whatever_is_in_it(
    texts: list[str], labels: list[str], as_scores: bool, confirmed: bool
) -> None:
    version, reason, camera = texts
    boxes = tuple(LabelledBox(label, 1.25, 2, 3, 4, 0.5) for label in labels)
    found = sample(
        model_version=version,
        reason=reason,
        camera=camera,
        model=version,
        model_digest=reason,
        strategy=camera,
        predictions=() if as_scores else boxes,
        scores=tuple((label, 0.5) for label in labels) if as_scores else (),
        boxes=() if confirmed else None,
    )
    header = metadata_header(metadata_of(found, device=version, predictions=True))
    assert header.isascii()
    assert header.isprintable()
    assert len(header) <= LARGEST_METADATA
    read = json.loads(header)
    assert all(isinstance(value, str) for value in read.values())
    name = "scores" if as_scores else "predictions"
    kept = json.loads(read.get(name, "[]"))
    assert len(kept) + int(read.get(f"{name}_left_out", "0")) == len(labels)
    assert all(each["label"] in labels for each in kept)


# -- confirmed boxes ------------------------------------------------------------------------------


def test_the_labels_part_is_what_the_api_describes() -> None:
    made = labels_file(
        batch(
            sample(0, boxes=(LabelledBox("nut", 8.4, 9.6, 16, 12.2), BOLT)),
            sample(1, boxes=()),
            labelled=True,
        )
    )
    assert json.loads(made) == {
        "version": 1,
        "type": "bounding-box-labels",
        "boundingBoxes": {
            "front-20261128-140200-0abc.jpg": [
                {"label": "nut", "x": 8, "y": 10, "width": 16, "height": 12},
                {"label": "bolt", "x": 30, "y": 8, "width": 16, "height": 12},
            ],
            "front-20261128-140201-0abc.jpg": [],
        },
    }


@pytest.mark.parametrize(
    ("box", "sent"),
    [
        ((0, 0, 640, 480), (0, 0, 640, 480)),
        ((-5, -5, 20, 20), (0, 0, 15, 15)),
        ((630, 470, 100, 100), (630, 470, 10, 10)),
        ((10.2, 10.2, 0.1, 0.1), (10, 10, 1, 1)),
        ((639.9, 479.9, 0.05, 0.05), None),
        ((639.4, 479.4, 0.05, 0.05), (639, 479, 1, 1)),
        ((700, 10, 5, 5), None),
        ((10, 500, 5, 5), None),
        ((-20, 10, 20, 5), None),
        ((10, -20, 5, 20), None),
        ((10, 10, 0, 5), None),
        ((10, 10, 5, -1), None),
        ((float("nan"), 10, 5, 5), None),
        ((10, 10, float("inf"), 5), None),
    ],
)
def test_boxes_are_whole_pixels_within_the_picture(
    box: tuple[float, float, float, float], sent: tuple[int, int, int, int] | None
) -> None:
    made = labels_file(batch(sample(0, boxes=(LabelledBox("nut", *box),)), labelled=True))
    (found,) = json.loads(made)["boundingBoxes"].values()
    assert [tuple(each[k] for k in ("x", "y", "width", "height")) for each in found] == (
        [] if sent is None else [sent]
    )


NUMBER = st.floats(-1000, 1000)


@given(NUMBER, NUMBER, NUMBER, NUMBER)
def test_no_box_is_empty_or_outside(x: float, y: float, width: float, height: float) -> None:
    box = LabelledBox("nut", x, y, width, height)
    made = labels_file(batch(sample(0, boxes=(box,)), labelled=True))
    (found,) = json.loads(made)["boundingBoxes"].values()
    for each in found:
        assert all(isinstance(each[k], int) for k in ("x", "y", "width", "height"))
        assert each["width"] > 0
        assert each["height"] > 0
        assert 0 <= each["x"] <= 640 - each["width"]
        assert 0 <= each["y"] <= 480 - each["height"]


# -- answers --------------------------------------------------------------------------------------

A, B = sample(0, id="a"), sample(1, id="b")
DUPLICATE = "An item with this hash already exists (ids: 1005, 1006)"


def stored(number: object, name: str | None = None) -> dict[str, Any]:
    return {"success": True, "projectId": 1, "sampleId": number, "fileName": name}


def failed(error: object, name: str | None = None) -> dict[str, Any]:
    return {"success": False, "error": error, "fileName": name}


def read(*files: object) -> tuple[FileOutcome, ...]:
    return read_answer(batch(A, B), {"success": True, "files": list(files)})


OK_A, OK_B = FileOutcome("a", accepted=True, remote_id=1), FileOutcome("b", True, 2)


@pytest.mark.parametrize(
    "files",
    [
        [stored(1, "a.jpg"), stored(2, "b.jpg")],
        [stored(2, "b.jpg"), stored(1, "a.jpg")],
        [stored(1), stored(2)],
        [stored("1"), stored("2", "b")],
        [stored(2, "b.4f2e.jpg"), stored(1)],
        [stored(1, "renamed.jpg"), stored(2, "b.jpg")],
        [stored(1, "a.jpg"), stored(2, "b.jpg"), stored(3, LABELS_FILE)],
    ],
)
def test_each_picture_has_its_outcome_whatever_the_order(files: list[object]) -> None:
    assert read(*files) == (OK_A, OK_B)


def test_a_refused_picture_does_not_touch_the_others() -> None:
    assert read(failed("Could not read  image\n"), stored(2, "b.jpg")) == (
        FileOutcome("a", accepted=False, reason="Could not read image"),
        OK_B,
    )


@pytest.mark.parametrize(
    ("error", "remote"),
    [
        (DUPLICATE, 1005),
        ("an item with this HASH ALREADY EXISTS", None),
        ("Duplicate file (id: 7)", 7),
        (f"Duplicate (ids: {'9' * 30})", None),
    ],
)
def test_what_was_there_before_is_as_good_as_accepted(error: str, remote: int | None) -> None:
    assert read(failed(error, "a.jpg"), stored(2, "b.jpg")) == (
        FileOutcome("a", accepted=True, remote_id=remote, duplicate=True),
        OK_B,
    )


@pytest.mark.parametrize(
    ("number", "remote"), [(None, None), ("x", None), (True, None), (-3, None), ("12", 12)]
)
def test_ids_are_good_to_have(number: object, remote: int | None) -> None:
    assert read(stored(number, "a.jpg"), stored(2))[0].remote_id == remote


@pytest.mark.parametrize("error", [None, "", "x" * 10_000])
def test_reasons_are_there_and_bounded(error: object) -> None:
    reason = read(failed(error), stored(2))[0].reason
    assert 0 < len(reason) <= 300


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "OK",
        [],
        [stored(1), stored(2)],
        {},
        {"success": True},
        {"success": True, "files": None},
        {"success": True, "files": "ab"},
        {"success": True, "files": []},
        {"success": True, "files": [stored(1)]},
        {"success": True, "files": [stored(1), "b.jpg"]},
        {"success": True, "files": [stored(1), stored(2), stored(3)]},
        {"success": True, "files": [stored(1, "a.jpg"), stored(2, "a.jpg")]},
        {"success": True, "files": [stored(1), {"fileName": "b.jpg"}]},
        {"success": True, "files": [stored(1), {"success": "yes"}]},
    ],
)
def test_what_is_unclear_is_sent_again(answer: object) -> None:
    with pytest.raises(CloudUnavailable):
        read_answer(batch(A, B), answer)


def test_a_request_that_is_refused_as_a_whole() -> None:
    with pytest.raises(CloudRejected, match="Invalid category"):
        read_answer(batch(A, B), {"success": False, "error": "Invalid category"})


def test_files_are_read_even_if_the_request_is_called_a_failure() -> None:
    answer = {"success": False, "files": [failed(DUPLICATE), failed(DUPLICATE)]}
    assert [each.accepted for each in read_answer(batch(A, B), answer)] == [True, True]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["success", "files", "fileName", "error", "sampleId"]), inner
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_comes_is_an_outcome_or_an_error(answer: object) -> None:
    try:
        outcomes = read_answer(batch(A, B), answer)
    except (CloudUnavailable, CloudRejected):
        return
    assert [each.sample for each in outcomes] == ["a", "b"]
