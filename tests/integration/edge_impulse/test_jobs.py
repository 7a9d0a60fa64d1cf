"""How jobs go on, and what they change."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from support.edge_impulse import (
    Artefact,
    Emulator,
    LearnBlock,
    Project,
    Training,
    downloads,
    fomo,
    running,
    tflite_like,
)

BETTER = tflite_like(9)


@contextmanager
def served(emulator: Emulator) -> Iterator[tuple[Project, httpx.Client]]:
    """Serve a project of another emulator than the fixture's."""
    project = emulator.add_project(key="ei_admin")
    project.add_impulse(fomo(("box",), float32=tflite_like(1)))
    headers = {"x-api-key": "ei_admin"}
    with running(emulator) as urls, httpx.Client(base_url=urls.studio, headers=headers) as client:
        yield project, client


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
    other = LearnBlock(9, artefacts=(Artefact("x", "TensorFlow Lite (float32)", b"model"),))
    project.impulses[0].learn.append(other)
    project.next_training = Training(labels=("ball",), log=())
    number = client.post(f"/api/{project.id}/jobs/train/keras/9", json={"mode": "visual"}).json()
    poll(client, project, number["id"])
    assert (metadata(client, project)["classNames"], other.labels) == (["box"], ("ball",))


def test_a_clock_brings_jobs_on() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    emulator = Emulator(clock=lambda: now, progress="clock", step_s=10)
    states = []
    with served(emulator) as (project, client):
        project.next_training = Training(log=("1", "2"))
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
    with served(emulator) as (project, client):
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
