"""What Studio shows: models, data, and to whom; and the emulator from a shell."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from support.edge_impulse import (
    Box,
    Emulator,
    LearnBlock,
    Project,
    Urls,
    downloads,
    fomo,
    running,
    tflite_like,
    yolov5,
)
from support.edge_impulse.pictures import jpeg
from support.edge_impulse.project import Role
from support.edge_impulse.studio import ROUTES
from support.shared import ROOT
from support.waiting import wait_for

WithKey = Callable[[str], httpx.Client]


def test_a_model_is_found_and_downloaded(client: httpx.Client, project: Project) -> None:
    listed = client.get(f"/api/{project.id}/downloads").json()["downloads"]
    link = next(each["link"] for each in listed if each["type"] == "TensorFlow Lite (float32)")
    assert link.startswith("/v1/api/")
    answer = client.get(client.base_url.join(link))
    assert answer.content == tflite_like(1)
    assert answer.headers["content-disposition"] == (
        'attachment; filename="ei-parcels-object-detection-tensorflow-lite-float32-model.3.lite"'
    )
    quantized = client.get(f"/api/{project.id}/learn-data/3/model/tflite-int8")
    assert quantized.headers["content-disposition"] == (
        'attachment; filename="ei-parcels-object-detection-tensorflow-lite-int8-quantized-model'
        '.3.lite"'
    )


def test_each_link_of_the_downloads_leads_somewhere(client: httpx.Client, project: Project) -> None:
    project.impulses[0].learn[0].artefacts = downloads(b"1", b"2", b"onnx")
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


ROLES: dict[Role, int] = {
    "admin": len(ROUTES),
    "readonly": sum("readonly" in route.roles for route in ROUTES),
    "ingestiononly": 1,
    "ingestion_deployment": sum("ingestion_deployment" in route.roles for route in ROUTES),
}


@pytest.mark.parametrize("role", ROLES)
def test_what_a_key_may_do(with_key: WithKey, project: Project, role: Role) -> None:
    project.add_key("ei_key", role)
    client, allowed = with_key("ei_key"), []
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
    assert (info["role"], info["projectId"]) == (role, project.id)
    assert len(allowed) == ROLES[role]
    assert "/api/projects/api-key-info" in allowed


def test_a_wrong_key_and_another_project(
    with_key: WithKey, emulator: Emulator, project: Project
) -> None:
    emulator.add_project("Other", key="ei_other")
    for key in ("ei_wrong", ""):
        answer = with_key(key).get("/api/projects/api-key-info")
        assert answer.status_code == 401
        assert answer.json() == {"success": False, "error": "Invalid API key"}
    other = with_key("ei_other")
    answer = other.get(f"/api/{project.id}/impulse")
    assert (answer.status_code, answer.json()["success"]) == (403, False)
    assert [each["name"] for each in other.get("/api/projects").json()["projects"]] == ["Other"]
    project.revoke("ei_admin")
    assert with_key("ei_admin").get("/api/projects").status_code == 401


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


def test_it_runs_from_a_shell(tmp_path: Path) -> None:
    about = {"id": 5, "name": "Parcels", "key": "ei_demo", "labels": ["box"], "width": 64}
    (tmp_path / "project.json").write_text(json.dumps(about))
    (tmp_path / "float32.tflite").write_bytes(tflite_like(3))
    later = tmp_path / "next"
    later.mkdir()
    (later / "float32.tflite").write_bytes(tflite_like(4))
    (later / "project.json").write_text(json.dumps({"labels": ["box", "bag"]}))
    command = [sys.executable, "-W", "error", "-m", "support.edge_impulse", "--port", "0"]
    command += ["--ingestion-port", "0", "--step-s", "0.01", "--project-folder", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}  # noqa: TID251 - a program's
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as program:
        assert program.stdout is not None
        urls = Urls(**json.loads(program.stdout.readline()))
        with httpx.Client(base_url=urls.studio, headers={"x-api-key": "ei_demo"}) as client:
            model = "/api/5/learn-data/3/model/tflite-float"
            assert client.get(model).content == tflite_like(3)
            number = client.post("/api/5/jobs/retrain").json()["id"]
            status = f"/api/5/jobs/{number}/status"
            wait_for(
                lambda: "finished" in client.get(status).json()["job"], what="the end of the job"
            )
            assert client.get(model).content == tflite_like(4)
            after = client.get("/api/5/training/keras/3/metadata").json()
            assert after["classNames"] == ["box", "bag"]
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0


def test_a_port_that_is_taken_is_said_at_once(urls: Urls) -> None:
    port = int(urls.ingestion.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"), running(Emulator(), ingestion_port=port):
        pass


def test_it_comes_back_on_the_same_port(emulator: Emulator) -> None:
    emulator.add_project(key="ei_admin")
    with httpx.Client(headers={"x-api-key": "ei_admin"}) as client:
        with running(emulator) as urls:
            address = f"{urls.studio}/api/projects"
            assert client.get(address).status_code == 200
        with pytest.raises(httpx.ConnectError):
            client.get(address)
        with running(emulator, studio_port=httpx.URL(address).port or 0):
            assert client.get(address).status_code == 200
