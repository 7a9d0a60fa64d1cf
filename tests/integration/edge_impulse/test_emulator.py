"""The emulator itself: keys, jobs, and what a test may change."""

import json
from collections.abc import Iterator

import httpx
import pytest

from support.edge_impulse import Emulator, Project, Training, Urls, downloads, fomo, running
from support.edge_impulse.pictures import jpeg

MODEL = b"\x1c\x00\x00\x00TFL3" + bytes(100)
BETTER = b"\x1c\x00\x00\x00TFL3" + bytes(200)


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


@pytest.fixture
def project(emulator: Emulator) -> Project:
    made = emulator.add_project("Parcels", key="ei_admin")
    made.add_impulse(fomo(("box",), float32=MODEL, int8=MODEL))
    return made


@pytest.fixture
def urls(emulator: Emulator, project: Project) -> Iterator[Urls]:
    del project
    with running(emulator) as found:
        yield found


@pytest.fixture
def client(urls: Urls) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=urls.studio, headers={"x-api-key": "ei_admin"}) as made:
        yield made


def test_a_model_is_found_and_downloaded(client: httpx.Client, project: Project) -> None:
    listed = client.get(f"/api/{project.id}/downloads").json()["downloads"]
    link = next(each["link"] for each in listed if each["type"] == "TensorFlow Lite (float32)")
    answer = client.get(httpx.URL(client.base_url).join(link))
    assert answer.content == MODEL
    assert answer.headers["content-disposition"] == (
        'attachment; filename="ei-parcels-object-detection-tensorflow-lite-float32-model.3.lite"'
    )


def test_a_retrain_changes_the_model(client: httpx.Client, project: Project) -> None:
    project.next_training = Training(downloads(BETTER), ("box", "bag"), log=("one", "two"))
    before = client.get(f"/api/{project.id}/last-modification").json()
    number = client.post(f"/api/{project.id}/jobs/retrain").json()["id"]
    states = []
    while True:
        job = client.get(f"/api/{project.id}/jobs/{number}/status").json()["job"]
        said = client.get(f"/api/{project.id}/jobs/{number}/stdout").json()["stdout"]
        states.append(("started" in job, [each["data"] for each in said]))
        if "finishedSuccessful" in job:
            break
    two = ["two\n", "one\n"]
    assert states == [(False, []), (True, ["one\n"]), (True, two), (True, two)]
    assert client.get(f"/api/{project.id}/last-modification").json() != before
    metadata = client.get(f"/api/{project.id}/training/keras/3/metadata").json()
    assert metadata["classNames"] == ["box", "bag"]
    assert client.get(f"/api/{project.id}/learn-data/3/model/tflite-float").content == BETTER


def test_uploads_are_kept(urls: Urls, project: Project) -> None:
    answer = httpx.post(
        f"{urls.ingestion}/api/training/files",
        headers={
            "x-api-key": "ei_admin",
            "x-no-label": "1",
            "x-disallow-duplicates": "1",
            "x-metadata": json.dumps({"camera": "gate"}),
        },
        files=[
            ("data", ("a.jpg", jpeg(0), "image/jpeg")),
            ("data", ("b.jpg", jpeg(0), "image/jpeg")),
            ("data", ("c.jpg", b"no picture", "image/jpeg")),
        ],
    ).json()
    first = next(iter(project.samples.values()))
    assert answer == {
        "success": True,
        "files": [
            {
                "success": True,
                "projectId": project.id,
                "sampleId": first.id,
                "fileName": "a.jpg",
            },
            {
                "success": False,
                "error": f"An item with this hash already exists (ids: {first.id})",
                "fileName": "b.jpg",
            },
            {
                "success": False,
                "error": answer["files"][2]["error"],
                "fileName": "c.jpg",
            },
        ],
    }
    assert (first.label, first.metadata, first.data) == ("", {"camera": "gate"}, jpeg(0))
