"""The emulator itself: who may do what, how jobs go on, and what a test may change."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from support.edge_impulse import (
    Artefact,
    Box,
    Emulator,
    LearnBlock,
    Project,
    Training,
    Urls,
    downloads,
    fomo,
    running,
    yolov5,
)
from support.edge_impulse import ingestion as ingestion_module
from support.edge_impulse.pictures import jpeg
from support.edge_impulse.project import Role
from support.edge_impulse.studio import ROUTES
from support.shared import ROOT
from support.waiting import wait_for

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
    with of(urls) as made:
        yield made


@contextmanager
def of(urls: Urls, key: str = "ei_admin") -> Iterator[httpx.Client]:
    with httpx.Client(base_url=urls.studio, headers={"x-api-key": key}) as made:
        yield made


def upload(
    urls: Urls,
    *files: tuple[str, bytes],
    category: str = "training",
    key: str = "ei_admin",
    **headers: str,
) -> httpx.Response:
    return httpx.post(
        f"{urls.ingestion}/api/{category}/files",
        headers={"x-api-key": key} | {f"x-{k.replace('_', '-')}": v for k, v in headers.items()},
        files=[("data", (name, data, "image/jpeg")) for name, data in files],
    )


# -- Models ---------------------------------------------------------------------------------------


def test_a_model_is_found_and_downloaded(client: httpx.Client, project: Project) -> None:
    listed = client.get(f"/api/{project.id}/downloads").json()["downloads"]
    link = next(each["link"] for each in listed if each["type"] == "TensorFlow Lite (float32)")
    assert link.startswith("/v1/api/")
    answer = client.get(client.base_url.join(link))
    assert answer.content == MODEL
    assert answer.headers["content-disposition"] == (
        'attachment; filename="ei-parcels-object-detection-tensorflow-lite-float32-model.3.lite"'
    )
    quantized = client.get(f"/api/{project.id}/learn-data/3/model/tflite-int8")
    assert quantized.headers["content-disposition"] == (
        'attachment; filename="ei-parcels-object-detection-tensorflow-lite-int8-quantized-model'
        '.3.lite"'
    )


def test_each_link_of_the_downloads_leads_somewhere(client: httpx.Client, project: Project) -> None:
    project.impulses[0].learn[0].artefacts = downloads(MODEL, MODEL, b"onnx")
    listed = client.get(f"/api/{project.id}/downloads").json()["downloads"]
    assert [each["type"] for each in listed] == [
        "NPY file",
        "NPY file",
        "TensorFlow Lite (float32)",
        "TensorFlow Lite (int8 quantized)",
        "TensorFlow SavedModel",
        "Keras h5 model",
        "ONNX",
        "JSON file",
    ]
    for each in listed:
        answer = client.get(client.base_url.join(each["link"]))
        assert "attachment" in answer.headers["content-disposition"]


def test_impulses_are_told_apart(client: httpx.Client, project: Project) -> None:
    second = yolov5(("dog", "cat"), onnx=b"onnx", size=(320, 320), channels="RGB", number=2)
    second.learn.append(LearnBlock(7, (5,), "keras-visual-anomaly", mode="visual-anomaly"))
    project.add_impulse(second)
    pid = project.id
    assert client.get(f"/api/{pid}").json()["defaultImpulseId"] == 1
    assert client.get(f"/api/{pid}/impulse").json()["impulse"]["id"] == 1
    got = client.get(f"/api/{pid}/impulse?impulseId=2").json()["impulse"]
    assert [each["id"] for each in got["learnBlocks"]] == [6, 7]
    assert got["inputBlocks"][0]["imageWidth"] == 320
    dsp = client.get(f"/api/{pid}/dsp/5").json()
    assert [(each["param"], each["value"]) for each in dsp["config"][0]["items"]] == [
        ("channels", "RGB")
    ]
    types = [
        each["type"] for each in client.get(f"/api/{pid}/downloads?impulseId=2").json()["downloads"]
    ]
    assert "ONNX" in types
    assert "TensorFlow Lite (float32)" not in types
    keras = client.get(f"/api/{pid}/training/keras/6").json()
    assert keras["visualLayers"] == [{"type": "transfer_organization", "organizationModelId": 7}]
    assert client.get(f"/api/{pid}/training/keras/6/metadata").json()["classNames"] == [
        "dog",
        "cat",
    ]
    project.default_impulse_id = 2
    assert client.get(f"/api/{pid}/impulse").json()["impulse"]["id"] == 2


@pytest.mark.parametrize(
    "path",
    [
        "impulse?impulseId=9",
        "downloads?impulseId=9",
        "dsp/9",
        "training/keras/9/metadata",
        "learn-data/3/model/nothing",
        "jobs/9/status",
        "raw-data/9",
        "raw-data/9/image",
        "deployment/history/9/download",
        "raw-data",
        "raw-data?category=all&limit=many",
    ],
)
def test_what_is_not_there_is_refused_with_status_200(
    client: httpx.Client, project: Project, path: str
) -> None:
    answer = client.get(f"/api/{project.id}/{path}")
    assert (answer.status_code, answer.json()["success"]) == (200, False)
    assert answer.json()["error"]


def test_no_such_route(client: httpx.Client) -> None:
    assert client.get("/api/projects/nothing").status_code == 404


# -- Keys -----------------------------------------------------------------------------------------

ROLES: dict[Role, int] = {
    "admin": len(ROUTES),
    "readonly": sum("readonly" in route.roles for route in ROUTES),
    "ingestiononly": 1,
    "ingestion_deployment": sum("ingestion_deployment" in route.roles for route in ROUTES),
}


@pytest.mark.parametrize("role", ROLES)
def test_what_a_key_may_do(urls: Urls, project: Project, role: Role) -> None:
    project.add_key("ei_key", role)
    allowed = []
    with of(urls, "ei_key") as client:
        for route in ROUTES:
            path = route.path.replace("{projectId}", str(project.id))
            path = re.sub(r"\{(category|modelDownloadId)\}", "x", path)
            path = re.sub(r"\{\w+\}", "999", path)
            answer = client.request(route.method, path)
            assert answer.status_code in (200, 403)
            if answer.status_code == 200:
                allowed.append(route.path)
            else:
                assert answer.json()["success"] is False
        info = client.get("/api/projects/api-key-info").json()
    assert len(allowed) == ROLES[role]
    assert "/api/projects/api-key-info" in allowed
    assert (info["role"], info["projectId"]) == (role, project.id)
    sent = upload(urls, ("a.jpg", jpeg(1)), key="ei_key")
    assert sent.status_code == (403 if role == "readonly" else 200)
    assert sent.json()["success"] is (role != "readonly")


def test_a_wrong_key_and_another_project(urls: Urls, emulator: Emulator, project: Project) -> None:
    emulator.add_project("Other", key="ei_other")
    wrong = {"success": False, "error": "Invalid API key"}
    for key in ("ei_wrong", ""):
        with of(urls, key) as client:
            answer = client.get("/api/projects/api-key-info")
        assert (answer.status_code, answer.json()) == (401, wrong)
        sent = upload(urls, ("a.jpg", jpeg(1)), key=key)
        assert (sent.status_code, sent.json()) == (401, wrong)
    with of(urls, "ei_other") as client:
        answer = client.get(f"/api/{project.id}/impulse")
        assert (answer.status_code, answer.json()["success"]) == (403, False)
        assert [each["name"] for each in client.get("/api/projects").json()["projects"]] == [
            "Other"
        ]
    project.revoke("ei_admin")
    with of(urls) as client:
        assert client.get("/api/projects").status_code == 401


# -- Jobs -----------------------------------------------------------------------------------------


def poll(client: httpx.Client, project: Project, number: int) -> list[tuple[bool, bool | None]]:
    """Ask until it ends; return whether it had started and whether it was successful."""
    states = []
    while True:
        job = client.get(f"/api/{project.id}/jobs/{number}/status").json()["job"]
        states.append(("started" in job, job.get("finishedSuccessful")))
        if states[-1][1] is not None:
            return states


def metadata(client: httpx.Client, project: Project) -> Any:
    return client.get(f"/api/{project.id}/training/keras/3/metadata").json()


def retrain(client: httpx.Client, project: Project) -> int:
    number = client.post(f"/api/{project.id}/jobs/retrain").json()["id"]
    assert isinstance(number, int)
    return number


def test_a_retrain_changes_the_model(client: httpx.Client, project: Project) -> None:
    project.next_training = Training(downloads(BETTER), ("box", "bag"), (64, 48), log=("1", "2"))
    path = f"/api/{project.id}"
    changed = client.get(f"{path}/last-modification").json()
    before = metadata(client, project)
    number = retrain(client, project)
    states: list[bool | None] = []
    logs = []
    while not states or states[-1] is None:
        assert metadata(client, project) == before
        job = client.get(f"{path}/jobs/{number}/status").json()["job"]
        states.append(job.get("finishedSuccessful"))
        logs.append(client.get(f"{path}/jobs/{number}/stdout").json()["stdout"])
    assert states == [None, None, None, True]
    assert [[each["data"] for each in log] for log in logs] == [
        [],
        ["1\n"],
        ["2\n", "1\n"],
        ["2\n", "1\n"],
    ]
    assert client.get(f"{path}/jobs/{number}/stdout/download").text == "1\n2\n"
    assert client.get(f"{path}/last-modification").json() != changed
    after = metadata(client, project)
    assert (after["classNames"], after["availableModelTypes"]) == (["box", "bag"], ["float32"])
    assert after["created"] > before["created"]
    assert client.get(f"{path}/learn-data/3/model/tflite-float").content == BETTER
    block = client.get(f"{path}/impulse").json()["impulse"]["inputBlocks"][0]
    assert (block["imageWidth"], block["imageHeight"]) == (64, 48)


def test_a_retrain_that_changes_nothing_but_the_date(
    client: httpx.Client, project: Project
) -> None:
    created = datetime(2026, 5, 1, 12, tzinfo=UTC)
    before = metadata(client, project)
    project.next_training = Training(created=created, log=())
    assert poll(client, project, retrain(client, project)) == [(False, None), (True, True)]
    assert metadata(client, project) == {**before, "created": "2026-05-01T12:00:00.000Z"}
    assert project.next_training is None


def test_a_retrain_that_fails(client: httpx.Client, project: Project) -> None:
    before = metadata(client, project)
    project.next_training = Training(downloads(BETTER), log=("Out of memory",), succeeds=False)
    number = retrain(client, project)
    assert poll(client, project, number)[-1] == (True, False)
    assert metadata(client, project) == before
    listed = client.get(f"/api/{project.id}/jobs/all").json()
    assert [each["id"] for each in listed["jobs"]] == [number]


def test_a_retrain_that_is_cancelled(client: httpx.Client, project: Project) -> None:
    before = metadata(client, project)
    number = retrain(client, project)
    path = f"/api/{project.id}/jobs"
    assert client.get(path).json()["totalJobCount"] == 1
    assert client.post(f"{path}/{number}/cancel?forceCancel=true").json() == {"success": True}
    assert client.get(path).json()["totalJobCount"] == 0
    assert poll(client, project, number) == [(True, False)]
    assert metadata(client, project) == before


def test_a_retrain_after_which_nothing_can_be_downloaded(
    client: httpx.Client, project: Project
) -> None:
    before = metadata(client, project)
    project.next_training = Training(built=False, log=())
    assert poll(client, project, retrain(client, project))[-1] == (True, True)
    after = metadata(client, project)
    assert after["created"] > before["created"]
    assert (after["availableModelTypes"], after["hasTrainedModel"]) == (["requiresRetrain"], True)
    listed = client.get(f"/api/{project.id}/downloads").json()["downloads"]
    assert {each["type"] for each in listed} == {"NPY file"}
    project.train(Training(downloads(BETTER)))
    assert metadata(client, project)["availableModelTypes"] == ["float32"]


def test_somebody_edits_the_impulse(client: httpx.Client, project: Project) -> None:
    before = client.get(f"/api/{project.id}/last-modification").json()
    project.edit()
    assert metadata(client, project)["availableModelTypes"] == ["requiresRetrain"]
    assert client.get(f"/api/{project.id}/last-modification").json() != before


def test_a_second_retrain_is_refused_and_one_without_compute_time(
    client: httpx.Client, project: Project
) -> None:
    path = f"/api/{project.id}/jobs/retrain"
    first = retrain(client, project)
    refused = client.post(path)
    assert (refused.status_code, refused.json()["success"]) == (200, False)
    poll(client, project, first)
    project.compute_time_left_ms = 0
    refused = client.post(path)
    assert (refused.status_code, refused.json()["success"]) == (200, False)
    assert client.get(f"/api/{project.id}").json()["computeTime"]["timeLeftMs"] == 0


def test_one_learn_block_of_two_is_trained(client: httpx.Client, project: Project) -> None:
    other = LearnBlock(9, artefacts=(Artefact("x", "TensorFlow Lite (float32)", MODEL),))
    project.impulses[0].learn.append(other)
    project.next_training = Training(labels=("ball",), log=())
    number = client.post(f"/api/{project.id}/jobs/train/keras/9", json={"mode": "visual"}).json()
    poll(client, project, number["id"])
    assert (metadata(client, project)["classNames"], other.labels) == (["box"], ("ball",))


def test_a_clock_brings_jobs_on() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    emulator = Emulator(clock=lambda: now, progress="clock", step_s=10)
    project = emulator.add_project(key="ei_admin")
    project.add_impulse(fomo(("box",), float32=MODEL))
    project.next_training = Training(log=("1", "2"))
    states = []
    with running(emulator) as urls, of(urls) as client:
        number = retrain(client, project)
        for _ in range(4):
            job = client.get(f"/api/{project.id}/jobs/{number}/status").json()["job"]
            log = client.get(f"/api/{project.id}/jobs/{number}/stdout").json()["totalCount"]
            states.append((job.get("started"), job.get("finished"), log))
            now += timedelta(seconds=10)
    started, finished = "2026-06-01T00:00:10.000Z", "2026-06-01T00:00:30.000Z"
    assert states == [
        (None, None, 0),
        (started, None, 1),
        (started, None, 2),
        (started, finished, 2),
    ]


def test_a_test_brings_jobs_on() -> None:
    emulator = Emulator(progress="manual")
    project = emulator.add_project(key="ei_admin")
    project.add_impulse(fomo(("box",), float32=MODEL))
    with running(emulator) as urls, of(urls) as client:
        number = retrain(client, project)
        (job,) = project.jobs
        path = f"/api/{project.id}/jobs/{number}/status"
        for _ in range(3):
            assert "started" not in client.get(path).json()["job"]
        project.advance(job)
        assert "started" in client.get(path).json()["job"]
        project.finish(job)
        assert client.get(path).json()["job"]["finishedSuccessful"] is True


def test_an_archive_is_built_and_downloaded(client: httpx.Client, project: Project) -> None:
    path = f"/api/{project.id}"
    assert client.get(f"{path}/deployment?type=zip").json()["hasDeployment"] is False
    started = client.post(
        f"{path}/jobs/build-ondevice-model?type=zip", json={"engine": "tflite", "modelType": "int8"}
    ).json()
    poll(client, project, started["id"])
    assert client.get(f"{path}/deployment?type=zip").json()["version"] == 1
    (built,) = client.get(f"{path}/deployment/history").json()["deployments"]
    assert built["deploymentVersion"] == started["deploymentVersion"] == 1
    archive = client.get(client.base_url.join(built["downloadUrl"]))
    assert archive.content.startswith(b"PK")
    assert archive.headers["content-disposition"] == 'attachment; filename="parcels-zip-v1.zip"'


# -- Uploads --------------------------------------------------------------------------------------


def test_each_file_has_an_answer_of_its_own(urls: Urls, project: Project) -> None:
    answer = upload(
        urls,
        ("a.jpg", jpeg(1)),
        ("b.jpg", jpeg(1)),
        ("c.jpg", b"no picture"),
        ("d.jpg", jpeg(2)[:-10]),
        ("e.xyz", b"?"),
        no_label="1",
        disallow_duplicates="1",
        metadata=json.dumps({"camera": "gate"}),
        upload_source="box",
    )
    (kept,) = project.samples.values()
    assert (kept.label, kept.metadata, kept.source) == ("", {"camera": "gate"}, "box")
    assert (kept.data, kept.width, kept.height) == (jpeg(1), 64, 48)
    files = answer.json()["files"]
    assert answer.json()["success"] is True
    assert files[0] == {
        "success": True,
        "projectId": project.id,
        "sampleId": kept.id,
        "fileName": "a.jpg",
    }
    assert [each["success"] for each in files[1:]] == [False] * 4
    errors = [each["error"] for each in files[1:]]
    assert errors[0] == f"An item with this hash already exists (ids: {kept.id})"
    assert errors[1].startswith("Could not read image: cannot identify")
    assert errors[2:] == ["Could not read image: it ends too early", "Unsupported file type '.xyz'"]


def test_labels_and_names(urls: Urls, project: Project) -> None:
    upload(urls, ("dog.1.jpg", jpeg(1)))
    upload(urls, ("dog.2.jpg", jpeg(2)), label="big%20dog")
    upload(urls, ("dog.3.jpg", jpeg(3)), label="")
    upload(urls, ("dog.4.jpg", jpeg(4)), add_date_id="1")
    samples = list(project.samples.values())
    assert [each.label for each in samples] == ["dog", "big dog", "", "dog"]
    assert samples[3].filename == f"dog.4.{samples[3].id:x}.jpg"


def test_parts_with_labels(urls: Urls, project: Project) -> None:
    box = {"label": "box", "x": 1, "y": 2, "width": 3, "height": 4}
    boxes = {"version": 1, "type": "bounding-box-labels", "boundingBoxes": {"b.jpg": [box]}}
    upload(
        urls,
        ("bounding_boxes.labels", json.dumps(boxes).encode()),
        ("a.jpg", jpeg(1)),
        ("b.jpg", jpeg(2)),
    )
    info = {
        "version": 1,
        "files": [
            {
                "path": "training/c.jpg",
                "category": "testing",
                "label": {"type": "label", "label": "cat"},
                "metadata": {"k": "v"},
                "boundingBoxes": [box],
            }
        ],
    }
    upload(urls, ("c.jpg", jpeg(3)), ("info.labels", json.dumps(info).encode()))
    a, b, c = project.samples.values()
    assert (a.boxes, b.boxes) == ((), (Box("box", 1, 2, 3, 4),))
    assert (c.boxes, c.label, c.metadata) == (b.boxes, "cat", {"k": "v"})
    assert (b.category, c.category) == ("training", "testing")


def test_requests_that_are_refused_as_a_whole(
    urls: Urls, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ("a.jpg", jpeg(1))
    for answer in (
        upload(urls, file, metadata="no JSON"),
        upload(urls, file, metadata='{"number": 1}'),
        upload(urls, file, bounding_boxes='[{"label": "a", "x": 1, "y": 1, "width": 0}]'),
        upload(
            urls,
            file,
            bounding_boxes='[{"label": "a", "x": 1, "y": 1, "width": 0, "height": 1}]',
        ),
        upload(urls, file, category="validation"),
        upload(urls, file, category="nothing"),
        upload(urls),
        httpx.post(
            f"{urls.ingestion}/api/training/files",
            headers={"x-api-key": "ei_admin"},
            files={"file": file},
        ),
        httpx.post(
            f"{urls.ingestion}/api/training/files",
            headers={"x-api-key": "ei_admin", "content-type": "multipart/form-data; boundary=x"},
            content=b'--x\r\ncontent-disposition: form-data; name="data"\r\n\r\nno end',
        ),
    ):
        assert (answer.status_code, answer.json()["success"]) == (400, False)
    monkeypatch.setattr(ingestion_module, "MOST_FILES", 2)
    assert upload(urls, *[file] * 3).status_code == 400
    assert project.samples == {}
    project.explicit_validation = True
    assert upload(urls, file, category="validation").status_code == 200
    assert [each.category for each in project.samples.values()] == ["validation"]


def test_a_file_that_is_too_large(
    urls: Urls, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion_module, "LARGEST_FILE", 50_000)
    large = jpeg(1, (400, 400))
    assert len(large) > 50_000
    files = upload(urls, ("a.jpg", large), ("b.jpg", jpeg(2))).json()["files"]
    assert [each["success"] for each in files] == [False, True]
    assert [each.filename for each in project.samples.values()] == ["b.jpg"]


def test_only_hash_and_size_are_kept_on_demand(urls: Urls, project: Project) -> None:
    project.emulator.keep_bytes = False
    upload(urls, ("a.jpg", jpeg(1)))
    (kept,) = project.samples.values()
    assert (kept.data, kept.size, len(kept.sha256)) == (None, len(jpeg(1)), 64)


def test_the_way_for_a_single_file(urls: Urls, project: Project) -> None:
    address = f"{urls.ingestion}/api/testing/data"
    headers = {"x-api-key": "ei_admin", "x-disallow-duplicates": "1"}
    missing = httpx.post(address, headers=headers, content=jpeg(1))
    assert missing.status_code == 422
    headers["x-file-name"] = "a.jpg"
    assert httpx.post(address, headers=headers, content=jpeg(1)).text == "a.jpg"
    again = httpx.post(address, headers=headers, content=jpeg(1))
    assert (again.status_code, "already exists" in again.json()["error"]) == (400, True)
    assert [each.category for each in project.samples.values()] == ["testing"]


@pytest.mark.parametrize("size", [1, 7, 65_536])
def test_a_body_in_pieces_of_any_size(urls: Urls, project: Project, size: int) -> None:
    data = jpeg(1)[:-2] + b"\r\n--y\r\n--\r\r\n\xff\xd9"
    part = b'--x\r\nContent-Disposition: form-data; name="data"; filename="%s.jpg"\r\n\r\n%s\r\n'
    body = b"before\r\n" + b"".join(part % (name, data) for name in (b"a", b"b")) + b"--x--\r\n"
    answer = httpx.post(
        f"{urls.ingestion}/api/training/files",
        headers={"x-api-key": "ei_admin", "content-type": 'multipart/form-data; boundary="x"'},
        content=(body[at : at + size] for at in range(0, len(body), size)),
    )
    assert [each["success"] for each in answer.json()["files"]] == [True, True]
    assert [(each.filename, each.data) for each in project.samples.values()] == [
        ("a.jpg", data),
        ("b.jpg", data),
    ]


def test_a_client_that_leaves_within_an_upload(
    urls: Urls, emulator: Emulator, project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = urls.ingestion.removeprefix("http://").split(":")
    head = (
        "POST /api/training/files HTTP/1.1\r\nHost: here\r\nx-api-key: ei_admin\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="data"; filename="a.jpg"\r\n\r\n'
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + bytes(1000))
        wait_for(lambda: emulator.requests, what="the request")
    wait_for(lambda: emulator.requests[0].size > 1000, what="its end")
    assert project.samples == {}
    assert upload(urls, ("a.jpg", jpeg(1))).status_code == 200
    assert caplog.records == []


# -- Data in Studio -------------------------------------------------------------------------------


def test_samples_are_searched(client: httpx.Client, project: Project) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for hour, name in enumerate(("gate.1.jpg", "gate.2.jpg", "door.1.jpg")):
        project.emulator.clock = lambda hour=hour: start + timedelta(hours=hour)  # type: ignore[misc]
        project.add_sample(
            name,
            jpeg(hour),
            "testing" if hour == 2 else "training",
            label="" if hour == 0 else f"label {hour}",
            boxes=[Box("box", 1, 1, 2, 2)] if hour == 1 else (),
            metadata={"camera": name.split(".")[0]} if hour else {},
        )
    first, second, third = project.samples

    def found(**query: Any) -> list[int]:
        params = {"category": "all", **query}
        answer = client.get(f"/api/{project.id}/raw-data", params=params).json()
        count = client.get(f"/api/{project.id}/raw-data/count", params=params).json()
        assert count["count"] == answer["totalCount"]
        return [each["id"] for each in answer["samples"]]

    camera = {"key": "camera", "op": "eq", "values": ["gate"]}
    assert found() == [third, second, first]
    assert found(limit=1, offset=1) == [second]
    assert found(category="testing") == [third]
    assert found(filename="gate") == [second, first]
    assert found(labels=json.dumps(["box"])) == [second]
    assert found(search="label 2") == [third]
    assert found(metadata=json.dumps([camera])) == [second]
    assert found(metadata=json.dumps([{**camera, "op": "neq"}])) == [third, first]
    assert found(metadata=json.dumps([{"no_metadata": True}])) == [first]
    assert found(minId=second) == [third, second]
    assert found(maxId=second) == [first]
    assert found(minDate="2026-01-01T01:00:00Z") == [third, second]
    assert found(maxDate="2026-01-01T01:00:00Z") == [first]
    queue = client.get(f"/api/{project.id}/raw-data/label-object-detection-queue").json()
    assert [each["id"] for each in queue["samples"]] == [first]


@pytest.mark.parametrize(("mode", "black"), [("squash", 0), ("fit-short", 0), ("fit-long", 48)])
def test_a_picture_as_the_impulse_sees_it(
    client: httpx.Client, project: Project, mode: str, black: int
) -> None:
    project.impulses[:] = [fomo((), size=(96, 96), resize_mode=mode)]
    made = io.BytesIO()
    Image.new("RGB", (96, 48), "white").save(made, "PNG")
    sample = project.add_sample("a.png", made.getvalue())
    path = f"/api/{project.id}/raw-data/{sample.id}/image"
    assert client.get(path).content == made.getvalue()
    answer = client.get(path, params={"afterInputBlock": "true"})
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == (96, 96)
        column = [picture.getpixel((48, y)) for y in range(96)]
    assert column.count((0, 0, 0)) == black


# -- By hand --------------------------------------------------------------------------------------


def test_it_runs_from_a_shell(tmp_path: Path) -> None:
    about = {"id": 5, "name": "Parcels", "key": "ei_demo", "labels": ["box"], "width": 64}
    (tmp_path / "project.json").write_text(json.dumps(about))
    (tmp_path / "float32.tflite").write_bytes(MODEL)
    later = tmp_path / "next"
    later.mkdir()
    (later / "float32.tflite").write_bytes(BETTER)
    (later / "project.json").write_text(json.dumps({"labels": ["box", "bag"]}))
    command = [sys.executable, "-W", "error", "-m", "support.edge_impulse", "--port", "0"]
    command += ["--ingestion-port", "0", "--step-s", "0.01", "--project-folder", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}  # noqa: TID251 - a program's
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as program:
        assert program.stdout is not None
        urls = Urls(**json.loads(program.stdout.readline()))
        with of(urls, "ei_demo") as client:
            model = "/api/5/learn-data/3/model/tflite-float"
            assert client.get(model).content == MODEL
            number = client.post("/api/5/jobs/retrain").json()["id"]
            status = f"/api/5/jobs/{number}/status"
            wait_for(
                lambda: "finished" in client.get(status).json()["job"], what="the end of the job"
            )
            assert client.get(model).content == BETTER
            after = client.get("/api/5/training/keras/3/metadata").json()
            assert after["classNames"] == ["box", "bag"]
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0
