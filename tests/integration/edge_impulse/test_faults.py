"""Each fault, as a plain HTTP client meets it."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from support.edge_impulse import (
    CutShort,
    Delay,
    Emulator,
    Endless,
    Fault,
    Hang,
    LoseAnswer,
    Project,
    Redirect,
    Reply,
    ResetWhileReceiving,
    Training,
    Trickle,
    Urls,
    captive_portal,
    downloads,
    fomo,
    refusal,
    running,
    tflite_like,
    too_many,
    unsuccessful,
)
from support.edge_impulse.faults import Action
from support.edge_impulse.pictures import jpeg
from support.edge_impulse.server import STORED
from support.waiting import wait_for

MODEL = tflite_like(7) * 40
MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def _a_larger_model(project: Project) -> None:
    project.train(Training(downloads(MODEL)))


def model(project: Project) -> str:
    return f"/api/{project.id}/learn-data/3/model/tflite-float"


def take(answer: httpx.Response, into: bytearray) -> None:
    for block in answer.iter_raw():
        into += block


def upload(client: httpx.Client, urls: Urls, *files: bytes) -> httpx.Response:
    return client.post(
        f"{urls.ingestion}/api/training/files",
        headers={"x-disallow-duplicates": "1"},
        files=[("data", (f"{i}.jpg", data, "image/jpeg")) for i, data in enumerate(files)],
    )


@pytest.mark.parametrize(
    ("reply", "status", "headers"),
    [
        (refusal(401, "Invalid API key"), 401, {}),
        (refusal(403, "no"), 403, {}),
        (refusal(404, "no"), 404, {}),
        (too_many("7"), 429, {"retry-after": "7"}),
        (too_many("Wed, 21 Oct 2026 07:28:00 GMT"), 429, {"retry-after": "Wed, 21 Oct 2026"}),
        (refusal(500, "no"), 500, {}),
        (Reply(503, "<h1>Service Unavailable</h1>", "text/html"), 503, {}),
        (unsuccessful("not today"), 200, {}),
        (captive_portal(), 200, {"content-type": "text/html"}),
    ],
)
def test_another_answer_some_times(
    emulator: Emulator,
    client: httpx.Client,
    project: Project,
    reply: Reply,
    status: int,
    headers: dict[str, str],
) -> None:
    emulator.faults.add(Fault("*/downloads", reply, count=2))
    path = f"/api/{project.id}/downloads"
    for _ in range(2):
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (status, reply.body)
        assert {
            name: answer.headers[name][: len(text)] for name, text in headers.items()
        } == headers
    assert client.get(path).json()["success"] is True
    assert emulator.faults.left() == []


@pytest.mark.parametrize("action", [refusal(503, "no"), Redirect("/v1/api/projects")])
def test_an_upload_is_taken_in_before_another_answer(
    emulator: Emulator, client: httpx.Client, urls: Urls, project: Project, action: Action
) -> None:
    emulator.faults.add(Fault("POST /api/*/files", action))
    assert upload(client, urls, bytes(3 * MEBIBYTE)).status_code in (302, 503)
    assert emulator.requests[0].size > 3 * MEBIBYTE
    assert project.uploaded() == []


def test_an_answer_that_ends_too_early(
    emulator: Emulator, client: httpx.Client, project: Project
) -> None:
    emulator.faults.add(Fault("*/model/*", CutShort(1000)))
    with client.stream("GET", model(project)) as answer:
        assert answer.headers["content-length"] == str(len(MODEL))
        got = bytearray()
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            take(answer, got)
    assert got == MODEL[:1000]
    assert client.get(model(project)).content == MODEL


def test_a_reset_within_a_download(
    emulator: Emulator, client: httpx.Client, project: Project
) -> None:
    emulator.faults.add(Fault("*/model/*", CutShort(1000, reset=True)))
    with client.stream("GET", model(project)) as answer:
        assert answer.headers["content-length"] == str(len(MODEL))
        with pytest.raises(httpx.ReadError, match="reset"):
            answer.read()
    assert client.get(model(project)).content == MODEL


@pytest.mark.parametrize("after", [0, MEBIBYTE])
def test_a_reset_within_an_upload(
    emulator: Emulator, client: httpx.Client, urls: Urls, project: Project, after: int
) -> None:
    emulator.faults.add(Fault("*/files", ResetWhileReceiving(after)))
    with pytest.raises(httpx.TransportError):
        upload(client, urls, bytes(32 * MEBIBYTE))
    wait_for(lambda: emulator.requests[0].size >= after, what="the request to end")
    assert emulator.requests[0].size < 32 * MEBIBYTE
    assert project.uploaded() == []


def test_an_upload_that_is_stored_in_part_without_an_answer(
    emulator: Emulator, client: httpx.Client, urls: Urls, project: Project
) -> None:
    emulator.faults.add(Fault("*/files", LoseAnswer(after_files=2)))
    files = [jpeg(1), jpeg(2), jpeg(3)]
    with pytest.raises(httpx.ReadError):
        upload(client, urls, *files)
    assert [each.filename for each in project.uploaded()] == ["0.jpg", "1.jpg"]
    again = upload(client, urls, *files).json()["files"]
    assert [each["success"] for each in again] == [False, False, True]
    assert again[0]["error"].startswith("An item with this hash already exists")


def test_an_order_that_is_carried_out_without_an_answer(
    emulator: Emulator, client: httpx.Client, project: Project
) -> None:
    emulator.faults.add(Fault("POST */jobs/retrain", LoseAnswer()))
    path = f"/api/{project.id}/jobs/retrain"
    with pytest.raises(httpx.ReadError):
        client.post(path)
    assert client.get(f"/api/{project.id}/jobs").json()["totalJobCount"] == 1
    assert client.post(path).json()["success"] is False


def test_a_body_that_is_made_while_it_is_sent(
    emulator: Emulator, client: httpx.Client, project: Project
) -> None:
    emulator.faults.add(
        Fault("*/model/*", Endless(40 * MEBIBYTE + 1, start=MODEL[:8], announced=True))
    )
    with client.stream("GET", model(project)) as answer:
        assert int(answer.headers["content-length"]) == 40 * MEBIBYTE + 1
        blocks = answer.iter_raw()
        first = next(blocks)
        assert first.startswith(MODEL[:8])
        assert len(first) + sum(map(len, blocks)) == 40 * MEBIBYTE + 1


def test_a_body_without_an_end(emulator: Emulator, client: httpx.Client, project: Project) -> None:
    emulator.faults.add(Fault("*/model/*", Endless()))
    got = 0
    with client.stream("GET", model(project)) as answer:
        assert "content-length" not in answer.headers
        for block in answer.iter_raw():
            got += len(block)
            if got > 10 * MEBIBYTE:
                break
    assert client.get(model(project)).content == MODEL


def test_two_gigabytes_are_announced(
    emulator: Emulator, client: httpx.Client, project: Project
) -> None:
    emulator.faults.add(Fault("*/model/*", Endless(2 << 30, announced=True)))
    with client.stream("GET", model(project)) as answer:
        assert answer.headers["content-length"] == str(2 << 30)


def test_a_redirect_to_another_host_shows_a_key_that_leaks(
    emulator: Emulator, client: httpx.Client, urls: Urls, project: Project
) -> None:
    emulator.faults.add(
        Fault("*/model/*", Redirect(f"{urls.elsewhere}/bucket/model?token=1"), None)
    )
    careful = client.get(model(project))
    assert (careful.status_code, careful.next_request) != (200, None)
    careless = client.get(model(project), follow_redirects=True)
    assert careless.content == STORED
    (seen,) = emulator.asked("/bucket")
    assert (seen.server, seen.path) == ("elsewhere", "/bucket/model?token=1")
    assert seen.headers["x-api-key"] == "ei_admin"


def test_an_answer_in_drops(emulator: Emulator, client: httpx.Client, project: Project) -> None:
    emulator.faults.add(Fault("*/model/*", Trickle(every_s=600)))
    with client.stream("GET", model(project)) as answer:
        assert answer.headers["content-length"] == str(len(MODEL))
        assert answer.num_bytes_downloaded == 0
    emulator.faults.add(Fault("*/model/*", Trickle(every_s=0.001, at_once=2000)))
    assert client.get(model(project)).content == MODEL


def test_no_answer_until_the_test_says_so(
    emulator: Emulator, client: httpx.Client, project: Project
) -> None:
    hang = Hang()
    emulator.faults.add(Fault("*/downloads", hang))
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(client.get, f"/api/{project.id}/downloads")
        wait_for(lambda: emulator.asked("/downloads"), what="the request")
        assert client.get("/api/projects").json()["success"] is True
        assert not answer.done()
        hang.until.set()
        assert answer.result(30).json()["success"] is True


def test_no_answer_at_all(emulator: Emulator, client: httpx.Client, project: Project) -> None:
    emulator.faults.add(Fault("*/downloads", Hang()))
    with pytest.raises(httpx.ReadTimeout):
        client.get(f"/api/{project.id}/downloads", timeout=httpx.Timeout(30, read=0.05))


@pytest.mark.parametrize("action", [Hang(), Delay(600), Trickle(600), Endless()])
def test_the_end_of_the_servers_ends_every_fault(action: Action) -> None:
    emulator = Emulator()
    project = emulator.add_project(key="ei_admin")
    project.add_impulse(fomo(("box",), float32=MODEL))
    emulator.faults.add(Fault("*/model/*", action))
    begun = threading.Event()

    def ask(url: str) -> None:
        with httpx.stream("GET", url, headers={"x-api-key": "ei_admin"}, timeout=60) as answer:
            for _ in answer.iter_raw():
                begun.set()

    with ThreadPoolExecutor() as pool:
        with running(emulator) as urls:
            asked = pool.submit(ask, urls.studio + model(project))
            wait_for(lambda: emulator.asked("/model/"), what="the request")
            if isinstance(action, Endless):
                assert begun.wait(30)
        error = asked.exception(30)
    assert error is None or isinstance(error, httpx.TransportError)


def test_a_late_answer(emulator: Emulator, client: httpx.Client, project: Project) -> None:
    emulator.faults.add(Fault("*/downloads", Delay(0.01)))
    assert client.get(f"/api/{project.id}/downloads").json()["success"] is True


def test_which_requests_a_fault_meets(
    emulator: Emulator, client: httpx.Client, project: Project
) -> None:
    path = f"/api/{project.id}/jobs"
    fault = emulator.faults.add(Fault(f"GET /v1{path}", refusal(500, "no"), after=1))
    emulator.faults.add(Fault(f"/v1{path}", refusal(404, "second"), count=None, after=2))
    assert client.post(f"{path}/generate-features", json={"dspId": 2}).status_code == 200
    assert [client.get(path).status_code for _ in range(3)] == [200, 500, 200]
    assert fault not in emulator.faults.left()
    assert [client.get(path).status_code for _ in range(3)] == [404] * 3
    emulator.faults.clear()
    assert client.get(path).status_code == 200
    assert json.loads(client.get(path).text)["success"] is True
