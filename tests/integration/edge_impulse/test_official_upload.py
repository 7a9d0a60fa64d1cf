"""Edge Impulse's own Python SDK uploads to the emulator, and reads back what it sent."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edgeimpulse
import pytest
from edgeimpulse.experimental import data

from support.edge_impulse import Box, Emulator, Project, running
from support.edge_impulse.pictures import jpeg

BOXES = [{"label": "box", "x": 1, "y": 2, "width": 3, "height": 4}]


def sample(name: str, shade: int, **more: Any) -> Any:
    return data.Sample(filename=name, data=io.BytesIO(jpeg(shade)), **more)


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    emulator = Emulator()
    made = emulator.add_project("Parcels", key="ei_admin")
    with running(emulator) as urls:
        # The SDK reads EI_API_ENDPOINT and EI_INGESTION_ENDPOINT into these when it is imported.
        monkeypatch.setattr(edgeimpulse, "API_ENDPOINT", urls.studio)
        monkeypatch.setattr(edgeimpulse, "INGESTION_ENDPOINT", urls.ingestion)
        monkeypatch.setattr(edgeimpulse, "API_KEY", "ei_admin")
        yield made


def test_pictures_with_boxes_labels_and_metadata(project: Project) -> None:
    answer = data.upload_samples(
        [
            sample("a.jpg", 1, category="training", bounding_boxes=BOXES),
            sample("b.jpg", 2, category="testing", label="bag", metadata={"camera": "gate"}),
            sample("chair.c.png", 3, category="training"),
        ]
    )
    assert (answer.success, len(answer.successes), answer.fails) == (True, 3, [])
    found = {each.filename: each for each in project.uploaded()}
    assert {each.sample.filename: each.sample_id for each in answer.successes} == {
        name: each.id for name, each in found.items()
    }
    assert {each.project_id for each in answer.successes} == {project.id}
    assert found["a.jpg"].boxes == (Box("box", 1, 2, 3, 4),)
    assert found["a.jpg"].source == "EDGE_IMPULSE_PYTHON_SDK"
    assert (found["b.jpg"].category, found["b.jpg"].label) == ("testing", "bag")
    assert found["b.jpg"].metadata == {"camera": "gate"}
    assert found["b.jpg"].data == jpeg(2)
    assert found["chair.c.png"].label == "chair"


def test_a_duplicate_is_refused_unless_allowed(project: Project) -> None:
    first = data.upload_samples(sample("a.jpg", 1)).successes[0]
    again = data.upload_samples([sample("b.jpg", 1), sample("c.jpg", 2)])
    assert (again.success, len(again.successes)) == (False, 1)
    assert [(each.sample.filename, each.error) for each in again.fails] == [
        ("b.jpg", f"An item with this hash already exists (ids: {first.sample_id})")
    ]
    assert data.upload_samples(sample("d.jpg", 1), allow_duplicates=True).success
    assert sorted(each.filename for each in project.uploaded()) == ["a.jpg", "c.jpg", "d.jpg"]


def test_a_wrong_key_and_a_key_for_reading_only(project: Project) -> None:
    project.add_key("ei_reader", "readonly")
    for key, error in (
        ("ei_wrong", "Invalid API key"),
        ("ei_reader", "An API key with the role 'readonly' does not have permission"),
    ):
        answer = data.upload_samples(sample("a.jpg", 1), api_key=key)
        assert [each.error for each in answer.fails] == [error]
    assert project.uploaded() == []


def test_a_directory_of_pictures(project: Project, tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "testing").mkdir()
    (tmp_path / "training" / "box.1.jpg").write_bytes(jpeg(1))
    (tmp_path / "testing" / "bag.1.jpg").write_bytes(jpeg(2))
    (tmp_path / "readme.txt").write_text("not a picture")
    answer = data.upload_directory(
        str(tmp_path),
        metadata={"site": "north"},
        transform=data.infer_category_and_label_from_filename,
    )
    assert (answer.success, len(answer.successes)) == (True, 2)
    assert sorted(
        (each.filename, each.category, each.label, each.metadata["site"])
        for each in project.uploaded()
    ) == [("bag.1.jpg", "testing", "bag", "north"), ("box.1.jpg", "training", "box", "north")]


def test_a_directory_that_studio_exported(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    (tmp_path / "b.jpg").write_bytes(jpeg(2))
    files = [
        {
            "path": "a.jpg",
            "category": "training",
            "label": {"type": "unlabeled"},
            "boundingBoxes": BOXES,
        },
        {
            "path": "b.jpg",
            "category": "testing",
            "label": {"type": "label", "label": "bag"},
            "metadata": {"camera": "gate"},
            "boundingBoxes": [],
        },
    ]
    (tmp_path / "info.labels").write_text(json.dumps({"version": 1, "files": files}))
    answer = data.upload_directory(str(tmp_path))
    assert (answer.success, len(answer.successes)) == (True, 2)
    found = {each.filename: each for each in project.uploaded()}
    assert found["a.jpg"].boxes == (Box("box", 1, 2, 3, 4),)
    assert (found["b.jpg"].label, found["b.jpg"].metadata) == ("bag", {"camera": "gate"})


def test_labels_for_parts_of_a_sample(project: Project) -> None:
    labels = [
        {"startIndex": 0, "endIndex": 4, "label": "idle"},
        {"startIndex": 5, "endIndex": 9, "label": "move"},
    ]
    made = data.Sample(
        filename="a.csv",
        data=io.BytesIO(b"timestamp,x\n0,1\n10,2\n"),
        category="training",
        structured_labels=labels,
    )
    assert data.upload_samples(made).success
    (kept,) = project.uploaded()
    assert kept.structured_labels == tuple(labels)


def test_split_is_decided_by_the_bytes(project: Project) -> None:
    pictures = [sample(f"{shade}.jpg", shade, category="split") for shade in range(40)]
    assert data.upload_samples(pictures).success
    split = {each.sha256: each.category for each in project.uploaded()}
    assert set(split.values()) == {"training", "testing"}
    again = [sample(f"again{shade}.jpg", shade, category="split") for shade in range(40)]
    assert data.upload_samples(again, allow_duplicates=True).success
    assert {each.sha256: each.category for each in project.uploaded()} == split


def test_what_was_sent_is_found_downloaded_and_deleted(project: Project) -> None:
    sent = data.upload_samples(
        [
            sample("a.jpg", 1, category="training", bounding_boxes=BOXES, metadata={"k": "v"}),
            sample("b.jpg", 2, category="testing", label="bag"),
            sample("c.jpg", 3, category="training", label="box"),
        ]
    ).successes
    ids = {each.sample.filename: each.sample_id for each in sent}
    assert {each.filename: each.sample_id for each in data.get_sample_ids()} == ids
    assert [each.filename for each in data.get_sample_ids(category="testing")] == ["b.jpg"]
    assert [each.filename for each in data.get_sample_ids(labels="bag")] == ["b.jpg"]
    assert [each.sample_id for each in data.get_sample_ids(filename="c.j")] == [ids["c.jpg"]]
    assert data.get_filename_by_id(ids["c.jpg"]) == "c.jpg"
    assert data.get_filename_by_id(5) is None

    (first,) = data.download_samples_by_ids(ids["a.jpg"])
    assert (first.filename, first.category, first.metadata) == ("a.jpg", "training", {"k": "v"})
    assert (first.data.read(), first.bounding_boxes) == (jpeg(1), BOXES)
    streamed = data.stream_samples_by_ids([ids["b.jpg"], ids["c.jpg"]])
    assert {each.filename: each.label for each in streamed} == {"b.jpg": "bag", "c.jpg": "box"}

    assert data.delete_sample_by_id(ids["a.jpg"]).success
    assert data.delete_sample_by_id(ids["a.jpg"]) is None
    assert [each.success for each in data.delete_samples_by_filename("b.jpg")] == [True]
    assert data.delete_all_samples(category="testing").success
    assert [each.filename for each in project.uploaded()] == ["c.jpg"]
    assert data.delete_all_samples().success
    assert project.uploaded() == []
