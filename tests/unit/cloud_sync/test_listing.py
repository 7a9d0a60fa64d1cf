"""What a list of pictures tells, and that it fits into a message."""

import json
from typing import Any

import pytest

from nxai_cloud_sync.core.listing import LARGEST, listed
from nxai_cloud_sync.core.sample import LabelledBox, SampleState, StoredSample

pytestmark = pytest.mark.unit


def stored(number: int = 0, **rest: Any) -> StoredSample:
    fields: dict[str, Any] = {
        "id": f"front-20261128t120000000-{number:08x}",
        "camera": "front",
        "captured_at_us": 1_795_867_200_000_000 + number,
        "stored_at_us": 1_795_867_200_000_001 + number,
        "width": 1920,
        "height": 1080,
        "bytes": 200_000,
        "model": "m5-nut",
        "model_version": "3",
        "model_digest": "ab" * 32,
        "labels": ("nut", "bolt"),
        "strategy": "uncertain",
        "reason": "nut 0.41 is below 0.5",
        "value": 0.123456,
        "predictions": (LabelledBox("nut", 1.23456, 2, 3, 4, 0.412345),),
        "scores": (),
        "state": SampleState.NEW,
        **rest,
    }
    return StoredSample(**fields)


def size(told: list[dict[str, Any]]) -> int:
    return len(json.dumps(told, separators=(",", ":")))


def test_all_that_a_gallery_needs_is_told() -> None:
    sample = stored(
        7,
        state=SampleState.UPLOADED,
        state_reason="why",
        attempts=2,
        boxes=(LabelledBox("bolt", 5, 6, 7, 8),),
        scores=(("nut", 0.23456), ("bolt", 0.7)),
        remote_id=12,
        uploaded_at_us=34,
        duplicate=True,
    )
    assert listed([sample]) == [
        {
            "id": "front-20261128t120000000-00000007",
            "camera": "front",
            "captured_at_us": 1_795_867_200_000_007,
            "stored_at_us": 1_795_867_200_000_008,
            "width": 1920,
            "height": 1080,
            "bytes": 200_000,
            "model": "m5-nut",
            "model_version": "3",
            "model_digest": "ab" * 32,
            "labels": ["nut", "bolt"],
            "strategy": "uncertain",
            "reason": "nut 0.41 is below 0.5",
            "value": 0.1235,
            "predictions": [
                {"label": "nut", "x": 1.23, "y": 2, "width": 3, "height": 4, "confidence": 0.4123}
            ],
            "scores": [["bolt", 0.7], ["nut", 0.2346]],
            "state": "uploaded",
            "state_reason": "why",
            "attempts": 2,
            "boxes": [
                {"label": "bolt", "x": 5, "y": 6, "width": 7, "height": 8, "confidence": None}
            ],
            "remote_id": 12,
            "uploaded_at_us": 34,
            "duplicate": True,
            "left_out": 0,
        }
    ]
    assert listed([stored()])[0]["boxes"] is None
    assert listed([]) == []


def test_a_usual_page_is_told_as_it_is() -> None:
    labels = tuple(f"label number {number}" for number in range(80))
    boxes = tuple(LabelledBox(labels[n], 123.456, 78.9, 45.6, 78.9, 0.45) for n in range(20))
    page = listed([stored(n, labels=labels, predictions=boxes) for n in range(200)])
    assert size(page) < 1_000_000
    assert {sample["left_out"] for sample in page} == {0}


def test_where_there_is_very_much_the_surest_is_told() -> None:
    boxes = tuple(
        LabelledBox(f"label {number}", number, 2, 3, 4, (number % 50) / 100)
        for number in range(400)
    )
    labels = tuple(f"label {number}" for number in range(400))
    page = listed([stored(n, labels=labels, predictions=boxes) for n in range(200)])
    assert 100_000 < size(page) < LARGEST
    sample = page[0]
    told = [box["x"] for box in sample["predictions"]]
    assert told == sorted(told), "in the order in which they were"
    assert {box["confidence"] for box in sample["predictions"]} <= {0.49, 0.48, 0.47, 0.46}
    assert sample["left_out"] == 800 - len(told) - len(sample["labels"])
    shown = {box["label"] for box in sample["predictions"]}
    assert set(sample["labels"]) == shown, "what is shown can be named"
    alone = listed([stored(labels=labels, predictions=boxes)])[0]
    assert alone["left_out"] == 0
    assert len(alone["predictions"]) == 400


def test_of_very_many_classes_the_likeliest_are_told() -> None:
    scores = tuple((f"class {number}", number / 1000) for number in range(1000))
    labels = tuple(name for name, _ in scores)
    page = listed([stored(n, labels=labels, predictions=(), scores=scores) for n in range(200)])
    assert size(page) < LARGEST
    assert page[0]["scores"][0] == ["class 999", 0.999]
    assert "class 999" in page[0]["labels"]
    assert page[0]["left_out"] == 2000 - len(page[0]["scores"]) - len(page[0]["labels"])


def test_what_a_person_drew_is_cut_too_and_counted() -> None:
    drawn = tuple(LabelledBox("nut", number, 2, 3, 4) for number in range(2000))
    page = listed([stored(n, boxes=drawn) for n in range(200)])
    assert size(page) < LARGEST
    assert page[0]["left_out"] == 2000 - len(page[0]["boxes"])


def test_the_longest_names_fit_as_well() -> None:
    name = "x" * 200
    boxes = tuple(LabelledBox(name, 1, 2, 3, 4, 0.5) for _ in range(50))
    worst = {"labels": (name,) * 50, "predictions": boxes, "reason": "y" * 300}
    assert size(listed([stored(n, **worst) for n in range(200)])) < LARGEST


def test_a_longer_list_may_be_as_much_larger() -> None:
    labels = tuple(f"label number {number}" for number in range(80))
    page = listed([stored(n, labels=labels) for n in range(1000)])
    assert size(page) < 5 * LARGEST
    assert {sample["left_out"] for sample in page} == {0}


def test_what_cannot_be_cut_is_told_all_the_same() -> None:
    page = listed([stored(n, reason="y" * 10_000) for n in range(200)])
    assert size(page) > LARGEST
    assert (page[0]["labels"], page[0]["predictions"], page[0]["left_out"]) == ([], [], 3)
