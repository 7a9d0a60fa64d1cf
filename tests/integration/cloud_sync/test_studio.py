"""The Studio API over real sockets: what it gives, and everything that gets in the way."""

import errno
import gzip
import json
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpcore
import pytest

from nxai_cloud_sync.adapters import edge_impulse_http
from nxai_cloud_sync.adapters.cloud_reasons import network_reason
from nxai_cloud_sync.adapters.edge_impulse_http import HttpLimits
from nxai_cloud_sync.adapters.studio_http import StudioHttp
from nxai_cloud_sync.core.project import (
    BlockKind,
    Download,
    LearnBlock,
    Role,
    TrainingState,
    choose,
    choose_download,
)
from nxai_cloud_sync.ports import StorageUnavailable, Studio
from nxai_common.contracts.models import InputScaling, ResizeMode, Task
from nxai_common.errors import (
    CloudRejected,
    CloudUnavailable,
    ConfigurationError,
    KeyRefused,
    NxaiError,
)
from support import edge_impulse as ei
from support.raw_server import raw_server, say, self_signed
from support.waiting import wait_for

KEY = "ei_" + "0123456789abcdef" * 4
MODEL = ei.tflite_like(7) * 1000
QUICK = HttpLimits(
    connect_s=2.0,
    silence_s=0.5,
    answer_s=1.5,
    storing_s=2.0,
    least_bytes_per_s=100_000,
    json_bytes=300_000,
)
MEBIBYTE = 1 << 20


@pytest.fixture
def emulator() -> ei.Emulator:
    return ei.Emulator()


@pytest.fixture
def project(emulator: ei.Emulator) -> ei.Project:
    """Parcels, with a FOMO in both variants."""
    made = emulator.add_project("Parcels", key=KEY)
    made.add_impulse(ei.fomo(("box", "bag"), float32=MODEL, int8=ei.tflite_like(2), size=(96, 64)))
    return made


@pytest.fixture
def urls(emulator: ei.Emulator, project: ei.Project) -> Iterator[ei.Urls]:
    del project  # made before anybody asks for it
    with ei.running(emulator) as found:
        yield found


Connect = Callable[..., StudioHttp]


@pytest.fixture
def connect(urls: ei.Urls) -> Iterator[Connect]:
    """Return a way to Studio for a key."""
    with ExitStack() as stack:

        def to(key: str = KEY, limits: HttpLimits = QUICK, base: str = "") -> StudioHttp:
            studio = StudioHttp(base or urls.studio, key, limits)
            stack.callback(studio.close)
            return studio

        yield to


@pytest.fixture
def studio(connect: Connect) -> StudioHttp:
    return connect()


def block(number: int = 3, kind: str = "keras-object-detection") -> LearnBlock:
    return LearnBlock(number, BlockKind.OBJECT_DETECTION, "Object detection", kind)


def ignore(done: int, total: int | None) -> None:
    del done, total


def float32(studio: Studio, project: ei.Project) -> Download:
    return choose_download(studio.downloads(project.id, 1), "float32", 3)


def refused(emulator: ei.Emulator, does: Any, route: str = "*/downloads") -> None:
    emulator.faults.add(ei.Fault(route, does, count=None))


# -- what it gives --------------------------------------------------------------------------------


def test_is_a_studio(studio: StudioHttp, project: ei.Project) -> None:
    port: Studio = studio
    assert port.key_info().project == project.id


@pytest.mark.parametrize("role", ["admin", "readonly", "ingestiononly", "ingestion_deployment"])
def test_a_key_says_what_it_may_do(connect: Connect, project: ei.Project, role: Any) -> None:
    project.add_key("ei_other", role)
    found = connect("ei_other").key_info()
    assert (found.project, found.role) == (project.id, Role(role))


def test_an_older_server_tells_the_project_alone(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    page = "<!DOCTYPE html><title>Error</title><pre>Cannot GET /v1/api/projects/api-key-info</pre>"
    refused(emulator, ei.Reply(404, page, "text/html"), "*/api-key-info")
    found = studio.key_info()
    assert (found.project, found.role) == (project.id, Role.UNKNOWN)


def test_the_project(studio: StudioHttp, project: ei.Project, urls: ei.Urls) -> None:
    found = studio.project(project.id)
    assert (found.id, found.name, found.owner) == (project.id, "Parcels", "tester")
    assert (found.compute_ms_left, found.job_limit_minutes) == (1_200_000, 20)
    assert found.studio_url == f"{urls.studio.removesuffix('/v1')}/studio/{project.id}"


def test_a_key_that_may_not_see_the_project_sees_its_name(
    connect: Connect, project: ei.Project
) -> None:
    project.add_key("ei_builder", "ingestion_deployment")
    assert connect("ei_builder").project(project.id).name == "Parcels"


def test_the_default_impulse_comes_first(studio: StudioHttp, project: ei.Project) -> None:
    second = ei.fomo(("x",), float32=MODEL, resize_mode="squash")
    second.id, second.name = 2, "Second"
    second.learn[0].id = 13
    project.add_impulse(second)
    project.default_impulse_id = 2
    found = studio.impulses(project.id)
    assert [(each.id, each.default) for each in found] == [(2, True), (1, False)]
    assert (found[0].resize_mode, found[1].resize_mode) == (ResizeMode.SQUASH, ResizeMode.FIT_SHORT)
    assert (found[1].width, found[1].height) == (96, 64)
    assert choose(found).block.id == 13


def test_an_older_server_has_one_impulse(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    refused(emulator, ei.refusal(404, "Not found"), "*/impulses")
    (found,) = studio.impulses(project.id)
    assert (found.id, found.default) == (1, True)


def test_no_word_of_the_default_impulse_is_no_harm(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    refused(emulator, ei.unsuccessful("No default impulse"), "*/impulse")
    (found,) = studio.impulses(project.id)
    assert not found.default


def test_a_project_without_an_image_impulse(emulator: ei.Emulator, connect: Connect) -> None:
    empty = emulator.add_project("Empty", key="ei_empty")
    found = connect("ei_empty").impulses(empty.id)
    assert found == ()
    with pytest.raises(ConfigurationError, match="no impulse that reads images"):
        choose(found)


def test_another_crop_anchor_is_a_warning(studio: StudioHttp, project: ei.Project) -> None:
    impulse = project.impulses[0]
    impulse.inputs = (ei.InputBlock(crop_anchor="bottom-left"),)
    (found,) = studio.impulses(project.id)
    assert "bottom-left" in found.warnings[0]


def test_the_trained_model(studio: StudioHttp, project: ei.Project) -> None:
    found = studio.trained_model(project.id, 1, block())
    assert found is not None
    assert found.labels == ("box", "bag")
    assert (found.task, found.threshold) == (Task.FOMO, 0.5)
    assert found.input_scaling is InputScaling.ZERO_TO_ONE
    assert found.variant == "FOMO MobileNetV2 0.35"
    assert found.available == ("float32", "int8")
    assert {metric.name: metric.value for metric in found.metrics_of("int8")} == {
        "loss": 0.15,
        "F1 score": 0.89,
    }
    assert datetime.fromisoformat(found.created_at) == project.impulses[0].learn[0].created


def test_a_training_changes_what_is_said(studio: StudioHttp, project: ei.Project) -> None:
    before = studio.last_modification(project.id)
    assert studio.last_modification(project.id) == before
    project.train(ei.Training(ei.downloads(MODEL), labels=("box", "bag", "can")))
    assert studio.last_modification(project.id) != before
    found = studio.trained_model(project.id, 1, block())
    assert found is not None
    assert found.labels == ("box", "bag", "can")


def test_a_model_that_is_not_trained_is_none(studio: StudioHttp, project: ei.Project) -> None:
    project.impulses[0].learn[0].artefacts = ()
    assert studio.trained_model(project.id, 1, block()) is None
    assert all("learn-data" not in each.link for each in studio.downloads(project.id, 1))


def test_an_edited_impulse_needs_a_training(studio: StudioHttp, project: ei.Project) -> None:
    project.edit()
    found = studio.trained_model(project.id, 1, block())
    assert found is not None
    assert found.available == ("requiresRetrain",)


@pytest.mark.parametrize("layer", ["yolox", "yolo-pro", "tao-retinanet", "yolov11"])
def test_a_last_layer_that_nothing_decodes_is_refused_by_name(
    studio: StudioHttp, project: ei.Project, layer: str
) -> None:
    project.impulses[0].learn[0].last_layer = layer
    with pytest.raises(CloudRejected, match=f"'{layer}'.*supported are fomo, yolov5"):
        studio.trained_model(project.id, 1, block())


@pytest.mark.parametrize("artefact", ["float32", "int8"])
def test_the_file_arrives_whole(
    studio: StudioHttp, project: ei.Project, tmp_path: Path, artefact: str
) -> None:
    told: list[tuple[int, int | None]] = []
    download = choose_download(studio.downloads(project.id, 1), artefact, 3)
    studio.fetch(download, tmp_path / "model", MEBIBYTE, lambda *heard: told.append(heard))
    expected = MODEL if artefact == "float32" else ei.tflite_like(2)
    assert (tmp_path / "model").read_bytes() == expected
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    assert told[-1] == (len(expected), len(expected))


def test_a_compressed_file_arrives_unpacked(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, tmp_path: Path
) -> None:
    packed = gzip.compress(MODEL)
    kind = "application/octet-stream"
    headers = {"Content-Encoding": "gzip"}
    refused(emulator, ei.Reply(200, packed, kind, headers), "*/learn-data/*")
    told: list[tuple[int, int | None]] = []
    download = float32(studio, project)
    studio.fetch(download, tmp_path / "model", MEBIBYTE, lambda *heard: told.append(heard))
    assert (tmp_path / "model").read_bytes() == MODEL
    assert told[-1] == (len(packed), len(packed))


def test_what_is_damaged_is_fetched_again_later(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, tmp_path: Path
) -> None:
    broken = ei.Reply(200, b"no gzip", "application/octet-stream", {"Content-Encoding": "gzip"})
    refused(emulator, broken, "*/learn-data/*")
    with pytest.raises(CloudUnavailable, match="damaged"):
        studio.fetch(float32(studio, project), tmp_path / "model", MEBIBYTE, ignore)
    assert list(tmp_path.iterdir()) == []


def test_a_training_from_the_start_to_the_end(studio: StudioHttp, project: ei.Project) -> None:
    assert studio.active_training(project.id) is None
    project.next_training = ei.Training(log=("one", "two"))
    job = studio.start_training(project.id, 1)
    running = studio.active_training(project.id)
    assert running is not None
    assert (running.id, running.state) == (job, TrainingState.QUEUED)
    states = []
    while not (state := studio.training(project.id, job).state).ended:
        states.append(state)
    assert (states[0], states[-1], state) == (
        TrainingState.QUEUED,
        TrainingState.RUNNING,
        TrainingState.SUCCEEDED,
    )
    log = studio.training_log(project.id, job)
    assert [line.text for line in log] == ["one", "two"]
    assert all(line.at is not None for line in log)
    assert studio.active_training(project.id) is None


def test_a_training_is_cancelled(studio: StudioHttp, project: ei.Project) -> None:
    job = studio.start_training(project.id, 1)
    studio.cancel_training(project.id, job)
    assert studio.training(project.id, job).state is TrainingState.FAILED


def test_a_second_training_is_refused_in_studios_words(
    studio: StudioHttp, project: ei.Project
) -> None:
    studio.start_training(project.id, 1)
    with pytest.raises(CloudRejected, match="already running") as caught:
        studio.start_training(project.id, 1)
    assert "POST /api" in str(caught.value)


def test_a_picture_is_found_by_its_name(studio: StudioHttp, project: ei.Project) -> None:
    project.add_sample("front-1.jpg", b"1", "training")
    wanted = project.add_sample("front-11.jpg", b"2", "testing")
    project.add_sample("front-111.jpg", b"3", "training")
    assert studio.find_sample(project.id, "front-11.jpg") == wanted.id
    assert studio.find_sample(project.id, "front-2.jpg") is None


# -- the key --------------------------------------------------------------------------------------


def test_each_question_carries_key_and_name(
    studio: StudioHttp, project: ei.Project, emulator: ei.Emulator
) -> None:
    studio.project(project.id)
    (request,) = emulator.asked(f"/api/{project.id}")
    assert request.headers["x-api-key"] == KEY
    assert re.fullmatch(r"nxai-edge/\d+\.\d+.*", request.headers["user-agent"])


def test_a_wrong_key_is_refused(connect: Connect) -> None:
    with pytest.raises(KeyRefused, match=r"Invalid API key \(HTTP 401.*GET /api/projects/") as c:
        connect("ei_wrong").key_info()
    assert "ei_wrong" not in str(c.value)


def test_a_key_of_another_project_is_refused(
    emulator: ei.Emulator, connect: Connect, project: ei.Project
) -> None:
    emulator.add_project("Other", key="ei_other")
    with pytest.raises(KeyRefused, match="do not have access"):
        connect("ei_other").impulses(project.id)


def test_a_key_that_only_uploads_is_told_what_it_may_not(
    connect: Connect, project: ei.Project
) -> None:
    project.add_key("ei_uploads", "ingestiononly")
    studio = connect("ei_uploads")
    path = f"GET /api/{project.id}/downloads"
    with pytest.raises(KeyRefused, match=f"list of downloads: {path}.*role"):
        studio.downloads(project.id, 1)
    with pytest.raises(KeyRefused):
        studio.project(project.id)


def test_a_key_that_only_reads_cannot_train(connect: Connect, project: ei.Project) -> None:
    project.add_key("ei_reads", "readonly")
    studio = connect("ei_reads")
    assert studio.downloads(project.id, 1)
    with pytest.raises(KeyRefused, match="a training: POST"):
        studio.start_training(project.id, 1)


@pytest.mark.parametrize(
    "error",
    [
        "Invalid API key",
        "invalid key",
        "Unauthorized",
        "You are not authorized to do this",
        "You do not have permissions for this",
    ],
)
def test_a_refusal_of_the_key_that_looks_like_success(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, error: str
) -> None:
    refused(emulator, ei.unsuccessful(error))
    with pytest.raises(KeyRefused, match=re.escape(error)):
        studio.downloads(project.id, 1)


ECHOES = [
    ei.refusal(401, f"Key {KEY} is not valid"),
    ei.refusal(400, f"Bad request with {KEY}"),
    ei.refusal(500, f"Crashed on {KEY}"),
    ei.unsuccessful(json.dumps({"key": KEY})),
    ei.Reply(200, json.dumps({"success": True, "downloads": KEY})),
    ei.Reply(200, json.dumps({"success": True, "downloads": [{KEY: KEY, "type": [KEY]}]})),
    ei.Reply(200, '{"success":false,"error":"' + "".join(f"\\u{ord(c):04x}" for c in KEY) + '"}'),
    ei.Reply(200, KEY),
    ei.Reply(200, f"<html>{KEY}</html>", "text/html"),
    ei.Redirect(f"http://{KEY}.example/{KEY}"),
    ei.too_many(KEY),
]


@pytest.mark.parametrize("reply", ECHOES, ids=range(len(ECHOES)))
def test_no_message_shows_the_key_whatever_the_server_echoes(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, reply: Any
) -> None:
    refused(emulator, reply)
    with pytest.raises(NxaiError) as caught:
        studio.downloads(project.id, 1)
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY.lower() not in f"{error} {error!r}".lower()
        error = error.__cause__


def test_no_log_shows_links_or_keys(
    studio: StudioHttp, project: ei.Project, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    studio.fetch(float32(studio, project), tmp_path / "model", MEBIBYTE, ignore)
    assert KEY not in caplog.text
    assert "learn-data" not in caplog.text


# -- the key and other hosts ----------------------------------------------------------------------


def elsewhere(emulator: ei.Emulator) -> list[ei.Request]:
    return [request for request in emulator.requests if request.server == "elsewhere"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_download_is_fetched_from_storage_without_the_key(
    emulator: ei.Emulator,
    studio: StudioHttp,
    project: ei.Project,
    urls: ei.Urls,
    tmp_path: Path,
    status: int,
) -> None:
    refused(emulator, ei.Redirect(f"{urls.elsewhere}/bucket/model?sig=1", status), "*/learn-data/*")
    studio.fetch(float32(studio, project), tmp_path / "model", MEBIBYTE, ignore)
    assert (tmp_path / "model").read_bytes() == b"from another host"
    (request,) = elsewhere(emulator)
    assert request.path == "/bucket/model?sig=1"
    assert KEY not in str(request.headers)
    assert "x-api-key" not in request.headers


def test_the_way_back_from_another_host_is_without_the_key(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, urls: ei.Urls, tmp_path: Path
) -> None:
    download = float32(studio, project)
    emulator.faults.add(ei.Fault("*/learn-data/*", ei.Redirect(f"{urls.elsewhere}/a")))
    emulator.faults.add(ei.Fault("/a", ei.Redirect(f"{urls.studio}{download.link[3:]}")))
    with pytest.raises(CloudUnavailable):
        studio.fetch(download, tmp_path / "model", MEBIBYTE, ignore)
    first, second = emulator.asked("/learn-data/")
    assert first.headers["x-api-key"] == KEY
    assert "x-api-key" not in second.headers


def test_a_redirect_within_the_server_keeps_the_key(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, tmp_path: Path
) -> None:
    download = float32(studio, project)
    emulator.faults.add(ei.Fault("*/learn-data/*", ei.Redirect(download.link)))
    studio.fetch(download, tmp_path / "model", MEBIBYTE, ignore)
    assert [each.headers["x-api-key"] for each in emulator.asked("/learn-data/")] == [KEY, KEY]


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("ftp://127.0.0.1/model", "not HTTP"),
        ("file:///etc/passwd", "not HTTP"),
        ("http://user:password@127.0.0.2/", "not HTTP"),
        ("http://[", "not HTTP"),
        ("", "more than 5 times"),
    ],
)
def test_a_redirect_to_something_else_is_refused(
    emulator: ei.Emulator,
    studio: StudioHttp,
    project: ei.Project,
    tmp_path: Path,
    to: str,
    says: str,
) -> None:
    refused(emulator, ei.Redirect(to), "*/learn-data/*")
    with pytest.raises(CloudRejected, match=says):
        studio.fetch(float32(studio, project), tmp_path / "model", MEBIBYTE, ignore)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "how", ["absolute", "without scheme", "user", "port", "broken", "unprintable"]
)
def test_a_link_to_another_host_is_refused(
    emulator: ei.Emulator, studio: StudioHttp, urls: ei.Urls, tmp_path: Path, how: str
) -> None:
    host = urls.elsewhere.removeprefix("http://")
    link = {
        "absolute": f"http://{host}/model",
        "without scheme": f"//{host}/model",
        "user": f"http://127.0.0.1@{host}/model",
        "port": urls.ingestion + "/v1/model",
        "broken": "http://[",
        "unprintable": "\x00",
    }[how]
    with pytest.raises(CloudRejected, match="nothing is fetched from there"):
        studio.fetch(Download("m", "t", link), tmp_path / "model", MEBIBYTE, ignore)
    assert list(emulator.requests) == []


def test_an_absolute_link_to_the_server_itself_is_fine(
    studio: StudioHttp, project: ei.Project, urls: ei.Urls, tmp_path: Path
) -> None:
    link = urls.studio.removesuffix("/v1") + float32(studio, project).link
    studio.fetch(Download("m", "t", link), tmp_path / "model", MEBIBYTE, ignore)
    assert (tmp_path / "model").read_bytes() == MODEL


@pytest.mark.parametrize("status", [302, 307])
def test_a_question_is_never_redirected(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, urls: ei.Urls, status: int
) -> None:
    refused(emulator, ei.Redirect(f"{urls.elsewhere}/login", status))
    with pytest.raises(CloudUnavailable, match=r"sends us on to 127.0.0.2.*captive portal"):
        studio.downloads(project.id, 1)
    assert elsewhere(emulator) == []


def test_storage_that_refuses_says_nothing_of_the_key(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, urls: ei.Urls, tmp_path: Path
) -> None:
    refused(emulator, ei.Redirect(f"{urls.elsewhere}/expired"), "*/learn-data/*")
    refused(emulator, ei.Reply(403, "<Error>AccessDenied</Error>", "application/xml"), "/expired")
    with pytest.raises(CloudUnavailable, match=r"storage at 127.0.0.2.*HTTP 403"):
        studio.fetch(float32(studio, project), tmp_path / "model", MEBIBYTE, ignore)


# -- what a server says instead -------------------------------------------------------------------


def test_a_captive_portal_is_no_answer(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    refused(emulator, ei.captive_portal())
    with pytest.raises(CloudUnavailable, match=r"web page.*captive portal"):
        studio.downloads(project.id, 1)


@pytest.mark.parametrize("status", [401, 403, 407, 511])
def test_a_page_that_wants_a_password_is_not_about_our_key(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, status: int
) -> None:
    refused(emulator, ei.Reply(status, "<html>Log in</html>", "text/html"))
    with pytest.raises(CloudUnavailable):
        studio.downloads(project.id, 1)


@pytest.mark.parametrize("body", ["", "OK", "[1, 2]", "{", "[" * 100_000, "\xff", '"text"', "1"])
def test_what_is_no_json_object_is_no_answer(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, body: str
) -> None:
    refused(emulator, ei.Reply(200, body))
    with pytest.raises(CloudUnavailable, match="no JSON object"):
        studio.downloads(project.id, 1)


def test_json_is_read_whatever_it_is_called(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    refused(emulator, ei.Reply(200, '{"success":true,"downloads":[]}', "text/html"))
    assert studio.downloads(project.id, 1) == ()


def test_an_answer_without_a_field_names_it(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    refused(emulator, ei.Reply(200, '{"success":true}'))
    with pytest.raises(CloudRejected, match=rf"GET /api/{project.id}/downloads.*downloads: Field"):
        studio.downloads(project.id, 1)


def test_a_refusal_that_looks_like_success(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    refused(emulator, ei.unsuccessful("The impulse\n is \x1b[31mbroken" + "!" * 1000))
    with pytest.raises(CloudRejected, match=r"refused: The impulse is  ?\[31mbroken!") as caught:
        studio.downloads(project.id, 1)
    assert not isinstance(caught.value, KeyRefused)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("status", [400, 405, 409, 410, 413, 421, 422])
def test_other_refusals_are_for_good(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, status: int
) -> None:
    refused(emulator, ei.refusal(status, "No"))
    with pytest.raises(CloudRejected, match=f"No.*HTTP {status}") as caught:
        studio.downloads(project.id, 1)
    assert not isinstance(caught.value, KeyRefused)


def test_what_is_not_there_says_so(studio: StudioHttp, connect: Connect, urls: ei.Urls) -> None:
    with pytest.raises(CloudRejected, match=r"does not have it.*HTTP 404.*address of the API"):
        connect(base=f"{urls.ingestion}/v1").key_info()
    del studio


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 599])
def test_a_server_in_trouble_may_recover(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, status: int
) -> None:
    emulator.faults.add(ei.Fault("*/downloads", ei.Reply(status, "<h1>oops</h1>", "text/html")))
    with pytest.raises(CloudUnavailable, match=f"HTTP {status}") as caught:
        studio.downloads(project.id, 1)
    assert caught.value.retry_after_s is None
    assert studio.downloads(project.id, 1)


def test_too_many_requests_says_how_long_to_wait(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    refused(emulator, ei.too_many("17"))
    with pytest.raises(CloudUnavailable, match="Too many requests") as caught:
        studio.downloads(project.id, 1)
    assert caught.value.retry_after_s == 17


def test_too_many_requests_until_a_date(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    at = datetime.now(UTC) + timedelta(seconds=120)
    refused(emulator, ei.too_many(format_datetime(at, usegmt=True)))
    with pytest.raises(CloudUnavailable) as caught:
        studio.downloads(project.id, 1)
    assert caught.value.retry_after_s is not None
    assert 60 < caught.value.retry_after_s <= 120


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("-5", None), ("soon", None), ("", None), ("1e9", None), ("999999999", 86_400), ("0", 0)],
)
def test_odd_times_to_wait(
    emulator: ei.Emulator,
    studio: StudioHttp,
    project: ei.Project,
    text: str,
    seconds: float | None,
) -> None:
    refused(emulator, ei.too_many(text))
    with pytest.raises(CloudUnavailable) as caught:
        studio.downloads(project.id, 1)
    assert caught.value.retry_after_s == seconds


def test_an_answer_that_does_not_end_is_given_up(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    refused(emulator, ei.Endless(None, b'{"success":true,', content_type="application/json"))
    with pytest.raises(CloudRejected, match="larger than 300,000 bytes"):
        studio.downloads(project.id, 1)


def test_predictions_of_megabytes_are_read(
    emulator: ei.Emulator, connect: Connect, project: ei.Project
) -> None:
    studio = connect(limits=HttpLimits())
    answer = ei.answers.keras_metadata(project.impulses[0].learn[0], [])
    answer["modelValidationMetrics"][0]["predictions"] = [{"sampleId": n} for n in range(200_000)]
    body = json.dumps({"success": True, **answer})
    assert len(body) > 3_000_000
    refused(emulator, ei.Reply(200, body), "*/metadata")
    assert studio.trained_model(project.id, 1, block()) is not None


# -- downloads that go wrong ----------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True])
def test_a_download_that_is_cut_short_leaves_nothing(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, tmp_path: Path, *, reset: bool
) -> None:
    emulator.faults.add(ei.Fault("*/learn-data/*", ei.CutShort(len(MODEL) // 2, reset)))
    download = float32(studio, project)
    with pytest.raises(CloudUnavailable):
        studio.fetch(download, tmp_path / "model", MEBIBYTE, ignore)
    assert list(tmp_path.iterdir()) == []
    studio.fetch(download, tmp_path / "model", MEBIBYTE, ignore)
    assert (tmp_path / "model").read_bytes() == MODEL


@pytest.mark.parametrize("announced", [False, True])
def test_two_gigabytes_are_refused(
    emulator: ei.Emulator,
    studio: StudioHttp,
    project: ei.Project,
    tmp_path: Path,
    *,
    announced: bool,
) -> None:
    endless = ei.Endless(2 << 30, b"....TFL3", announced=announced)
    refused(emulator, endless, "*/learn-data/*")
    told: list[int] = []
    with pytest.raises(CloudRejected, match="larger than 1,048,576 bytes"):
        studio.fetch(
            float32(studio, project),
            tmp_path / "model",
            MEBIBYTE,
            lambda done, total: told.append(done),  # noqa: ARG005 - the port's signature
        )
    assert list(tmp_path.iterdir()) == []
    assert (told == []) is announced
    assert max(told, default=0) <= MEBIBYTE


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, tmp_path: Path
) -> None:
    bomb = gzip.compress(bytes(8 * MEBIBYTE))
    kind = "application/octet-stream"
    refused(emulator, ei.Reply(200, bomb, kind, {"Content-Encoding": "gzip"}), "*/learn-data/*")
    with pytest.raises(CloudRejected, match="larger than"):
        studio.fetch(float32(studio, project), tmp_path / "model", MEBIBYTE, ignore)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (ei.captive_portal(), CloudRejected, "web page"),
        (
            ei.Reply(200, b"\n <!DOCTYPE HTML><p>", "application/octet-stream"),
            CloudRejected,
            "web page",
        ),
        (ei.unsuccessful("No model"), CloudRejected, "No model"),
        (ei.Reply(200, '{"success":true}'), CloudRejected, "data came instead"),
        (ei.refusal(404, "No file"), CloudRejected, "No file"),
        (ei.refusal(401, "Invalid API key"), KeyRefused, "Invalid API key"),
        (ei.Reply(503, "later", "text/plain"), CloudUnavailable, "HTTP 503"),
        (ei.Reply(206, b"part", "application/octet-stream"), CloudUnavailable, "no JSON"),
    ],
)
def test_what_comes_instead_of_a_file(
    emulator: ei.Emulator,
    studio: StudioHttp,
    project: ei.Project,
    tmp_path: Path,
    reply: Any,
    kind: type[NxaiError],
    says: str,
) -> None:
    refused(emulator, reply, "*/learn-data/*")
    with pytest.raises(kind, match=says):
        studio.fetch(float32(studio, project), tmp_path / "model", MEBIBYTE, ignore)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_a_file(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, tmp_path: Path
) -> None:
    refused(emulator, ei.Reply(200, b"", "application/octet-stream"), "*/learn-data/*")
    studio.fetch(float32(studio, project), tmp_path / "model", MEBIBYTE, ignore)
    assert (tmp_path / "model").read_bytes() == b""


class Stopped(Exception):  # noqa: N818 - what happens, not a fault
    pass


def test_a_download_can_be_stopped(studio: StudioHttp, project: ei.Project, tmp_path: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        raise Stopped(done, total)

    download = float32(studio, project)
    with pytest.raises(Stopped):
        studio.fetch(download, tmp_path / "model", MEBIBYTE, stop)
    assert list(tmp_path.iterdir()) == []
    studio.fetch(download, tmp_path / "model", MEBIBYTE, ignore)


def test_questions_can_be_asked_while_a_download_runs(
    studio: StudioHttp, project: ei.Project, tmp_path: Path
) -> None:
    names: set[str] = set()

    def ask(done: int, total: int | None) -> None:
        del done, total
        names.add(studio.project(project.id).name)

    studio.fetch(float32(studio, project), tmp_path / "model", MEBIBYTE, ask)
    assert names == {"Parcels"}
    assert (tmp_path / "model").read_bytes() == MODEL


def test_a_disk_that_takes_nothing_says_so(
    studio: StudioHttp, project: ei.Project, tmp_path: Path
) -> None:
    with pytest.raises(StorageUnavailable, match="cannot be written: No such file"):
        studio.fetch(float32(studio, project), tmp_path / "no" / "model", MEBIBYTE, ignore)


def test_a_full_disk_says_what_to_do(
    studio: StudioHttp, project: ei.Project, tmp_path: Path
) -> None:
    part = tmp_path / ".model.part"
    part.symlink_to("/dev/full")
    with pytest.raises(StorageUnavailable, match=r"No space left.*make room"):
        studio.fetch(float32(studio, project), tmp_path / "model", MEBIBYTE, ignore)
    assert list(tmp_path.iterdir()) == []


# -- servers that do not answer -------------------------------------------------------------------


def took(does: Callable[[], object], match: str) -> float:
    started = time.monotonic()
    with pytest.raises(CloudUnavailable, match=match):
        does()
    return time.monotonic() - started


def test_a_server_that_hangs_is_given_up(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    refused(emulator, ei.Hang())
    assert took(lambda: studio.downloads(project.id, 1), "nothing came from .* for 0.5 s") < 5


def test_a_server_that_hangs_has_no_longer_than_the_whole_answer(
    emulator: ei.Emulator, connect: Connect, project: ei.Project
) -> None:
    refused(emulator, ei.Hang())
    studio = connect(limits=HttpLimits(silence_s=30, answer_s=0.5))
    assert took(lambda: studio.downloads(project.id, 1), "too slow") < 10


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    refused(emulator, ei.Trickle(0.1))
    assert 1 < took(lambda: studio.downloads(project.id, 1), "too slow") < 10


def test_a_download_that_trickles_is_given_up(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project, tmp_path: Path
) -> None:
    download = float32(studio, project)
    refused(emulator, ei.Trickle(0.1, 100), "*/learn-data/*")
    fetch = lambda: studio.fetch(download, tmp_path / "model", MEBIBYTE, ignore)  # noqa: E731 - short
    assert 1 < took(fetch, "too slow") < 10
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_is_slow_but_comes_is_waited_for(
    emulator: ei.Emulator, connect: Connect, project: ei.Project, tmp_path: Path
) -> None:
    limits = HttpLimits(silence_s=5, answer_s=1.0, least_bytes_per_s=len(MODEL) / 8)
    studio = connect(limits=limits)
    download = float32(studio, project)
    # Two seconds in all, where a question may have one.
    refused(emulator, ei.Trickle(0.2, len(MODEL) // 10), "*/learn-data/*")
    started = time.monotonic()
    studio.fetch(download, tmp_path / "model", MEBIBYTE, ignore)
    assert time.monotonic() - started > 1.5
    assert (tmp_path / "model").read_bytes() == MODEL


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Slow: "


def test_headers_that_trickle_are_given_up(connect: Connect) -> None:
    with raw_server(say(HEAD + b"x" * 1000, every_s=0.1, at_once=1)) as (host, port):
        studio = connect(base=f"http://{host}:{port}/v1")
        assert 1 < took(studio.key_info, "too slow") < 10


def test_a_server_that_takes_no_connection_is_given_up(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening, ExitStack() as stack:
        host, port = listening.getsockname()
        for _ in range(3):  # until the queue is full
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        studio = connect(base=f"http://{host}:{port}/v1", limits=HttpLimits(connect_s=0.5))
        assert took(studio.key_info, "does not answer") < 10


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "broke off"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "broke off|does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip", "damaged"),
    ],
)
def test_servers_that_speak_something_else(connect: Connect, answer: bytes, says: str) -> None:
    with raw_server(say(answer)) as (host, port):
        took(connect(base=f"http://{host}:{port}/v1").key_info, says)


def test_a_name_that_nobody_knows(connect: Connect) -> None:
    studio = connect(base="https://studio.invalid/v1")
    took(studio.key_info, r"name 'studio.invalid' not found.*DNS")


def test_a_port_where_nobody_listens(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
    took(connect(base=f"http://{host}:{port}/v1").key_info, f"nothing listens at {host}:{port}")


def test_a_certificate_that_nobody_trusts(connect: Connect, tmp_path: Path) -> None:
    context, _ = self_signed(tmp_path)
    with raw_server(say(b""), context) as (host, port):
        studio = connect(base=f"https://{host}:{port}/v1")
        took(studio.key_info, r"certificate of .* is not trusted \(self.signed certificate\)")


@pytest.fixture
def trusted(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ssl.SSLContext]:
    """Return what a server needs that this machine trusts."""
    context, certificate = self_signed(tmp_path_factory.mktemp("tls"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    edge_impulse_http._tls.cache_clear()
    yield context
    edge_impulse_http._tls.cache_clear()


def test_a_certificate_of_this_machines_own_authority(
    connect: Connect, trusted: ssl.SSLContext
) -> None:
    body = b'{"success":true,"projectId":12,"role":"admin"}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with raw_server(say(answer), trusted) as (host, port):
        assert connect(base=f"https://{host}:{port}/v1").key_info().project == 12


def test_a_download_is_not_redirected_from_tls_to_plain_text(
    emulator: ei.Emulator,
    connect: Connect,
    urls: ei.Urls,
    trusted: ssl.SSLContext,
    tmp_path: Path,
) -> None:
    answer = f"HTTP/1.1 302 Found\r\nLocation: {urls.elsewhere}/model\r\n\r\n".encode()
    with raw_server(say(answer), trusted) as (host, port):
        studio = connect(base=f"https://{host}:{port}/v1")
        with pytest.raises(CloudRejected, match=r"from https to http at '127.0.0.2'"):
            studio.fetch(Download("m", "t", "/v1/model"), tmp_path / "model", MEBIBYTE, ignore)
    assert elsewhere(emulator) == []


def test_a_tls_handshake_that_never_ends_is_given_up(connect: Connect) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(1 << 16)
        over.wait(20)

    with raw_server(talk) as (host, port):
        studio = connect(base=f"https://{host}:{port}/v1", limits=HttpLimits(connect_s=0.5))
        assert took(studio.key_info, "does not answer") < 10


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.EHOSTUNREACH, "x"), "no route to host"),
        (OSError(errno.ENETDOWN, "x"), "no route to host"),
        (OSError(errno.EIO, "x"), r"connection to host:1 failed \(error 5\)"),
        (httpcore.LocalProtocolError("x"), "does not speak HTTP"),
    ],
)
def test_networks_that_cannot_be_broken_in_a_test(error: Exception, says: str) -> None:
    assert re.search(says, network_reason(error, "host", 1))


def test_a_server_without_tls(connect: Connect) -> None:
    with raw_server(say(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as (host, port):
        took(connect(base=f"https://{host}:{port}/v1").key_info, "does not speak TLS")


def test_a_closed_connection_is_opened_again(
    emulator: ei.Emulator, studio: StudioHttp, project: ei.Project
) -> None:
    emulator.faults.add(ei.Fault("*/downloads", ei.LoseAnswer()))
    with pytest.raises(CloudUnavailable, match=r"closed the connection|broke off"):
        studio.downloads(project.id, 1)
    assert studio.downloads(project.id, 1)


def test_connections_are_kept_between_questions() -> None:
    accepted: list[int] = []

    def talk(connection: socket.socket, over: threading.Event) -> None:
        accepted.append(1)
        body = b'{"success":true,"projectId":1,"role":"admin"}'
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        while connection.recv(1 << 16) and not over.is_set():
            connection.sendall(head + body)

    with raw_server(talk) as (host, port):
        studio = StudioHttp(f"http://{host}:{port}/v1", KEY)
        for _ in range(5):
            studio.key_info()
        studio.close()
        wait_for(lambda: len(accepted) == 1)


# -- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["http://{}", "http://{}/", "http://{}/v1", " http://{}/v1/ "])
def test_addresses_as_people_type_them(
    connect: Connect, urls: ei.Urls, project: ei.Project, base: str
) -> None:
    host = urls.studio.removeprefix("http://").removesuffix("/v1")
    assert connect(base=base.format(host)).key_info().project == project.id


@pytest.mark.parametrize(
    "base",
    [
        "studio.edgeimpulse.com",
        "ftp://studio.edgeimpulse.com/v1",
        "https://",
        "https://host:99999/v1",
        "https://host:port/v1",
        "https://[",
        "https://host/v1?key=1",
        "https://host/v1#top",
        "nonsense\x00",
    ],
)
def test_what_is_no_address_is_refused(base: str) -> None:
    with pytest.raises(ConfigurationError, match="no address of an API; it looks like"):
        StudioHttp(base, KEY)


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="must not hold a user name") as caught:
        StudioHttp("https://user:hunter2@host/v1", KEY)
    assert "hunter2" not in str(caught.value)
