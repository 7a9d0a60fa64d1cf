"""What the manager's page asks of the running service: a process, a real Mosquitto, a real disk."""

import io
import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nxai_cloud_sync.core.job_record import BROKEN_OFF
from nxai_common.contracts import commands as c
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.contracts.status import Status
from nxai_common.errors import BrokerUnavailable
from support.cloud_sync import drain
from support.cloud_sync_process import Bench, bench
from support.cloud_sync_service import KEY, LABELS, hand_over, parts_of
from support.edge_impulse import Delay, Fault, Hang
from support.models_for_import import digest_of
from support.retrained import retrained
from support.samples import jpeg, message
from support.shared import shared
from support.waiting import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

FOMO = "models/ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite"
A_MODEL = "*/learn-data/*"
AN_UPLOAD = "POST /api/*/files"
KILLS = 12
PART = 2000


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Bench]:
    """A box that is not linked, with inference beside it."""
    state = tmp_path / "box/state"
    shared_folder = {"NXAI_CLOUD_SYNC_HANDOVER_DIR": str(tmp_path / "shared")}
    with bench(tmp_path / "box", state, shared_folder) as made:
        made.configure()
        made.start()
        made.inference.runs()
        yield made


def jobs(box: Bench, command: str = "") -> list[dict[str, Any]]:
    found = box.json(c.ListJobs(command=command))
    assert found["incomplete"] == ""
    told: list[dict[str, Any]] = found["jobs"]
    return told


def sends(box: Bench, part: c.ReceiveFile) -> bool:
    """Send a part; return whether there was an answer, which is yes."""
    try:
        reply = box.bus.request(part, 0.5)
    except BrokerUnavailable:
        return False
    assert reply.ok, reply.reason
    assert int(str(reply.details["size"])) >= part.offset + len(part.attachment)
    return True


def ended(box: Bench, command: c.CloudSyncCommand) -> Progress:
    """Do a job; return its last step."""
    job = str(box.ask(command).details["job"])
    step = wait_for(lambda: box.end_of(job), 30)
    assert step is not None
    return step


# -- files ----------------------------------------------------------------------------------------


def test_receiving_may_be_killed_at_any_moment(box: Bench) -> None:
    """What was answered for is there; what was not is sent again, and does no harm."""
    content = retrained(shared(FOMO).read_bytes(), 1)
    parts = list(parts_of("beers.tflite", content, PART))
    rng = random.Random(1)  # noqa: S311 - reproducible
    killed_at = set(rng.sample(range(len(parts)), KILLS))
    received = box.state / "incoming/.received/beers.tflite"
    unanswered = 0
    for number, part in enumerate(parts):
        end = part.offset + len(part.attachment)
        if number in killed_at:
            killing = threading.Timer(rng.random() * 0.01, box.service.kill)
            killing.start()
            answered = sends(box, part)
            killing.join()
            box.start()
            here = received.read_bytes() if received.exists() else b""
            assert len(here) >= (end if answered else part.offset)
            assert here == content[: len(here)]
            if answered:
                continue
            unanswered += 1
        assert sends(box, part)
    assert unanswered, "no part was sent twice"
    done = box.do(c.ImportModel(file="beers.tflite", labels=LABELS))
    assert (done.details["digest"], done.details["state"]) == (digest_of(content), "ready")
    left = [path for path in (box.state / "incoming").rglob("*") if path.is_file()]
    assert left == []


def test_a_file_whose_import_was_killed_goes(box: Bench) -> None:
    """Who sent it sends it again; nothing of it is in the way."""
    content = shared(FOMO).read_bytes()
    box.link()
    box.emulator.faults.add(Fault(A_MODEL, Hang()))
    box.ask(c.PullModel())
    for part in parts_of("beers.tflite", content, 100_000):
        box.ask(part)
    box.ask(c.ImportModel(file="beers.tflite"))
    imported = box.state / "incoming/.importing/beers.tflite"
    assert imported.read_bytes() == content
    box.service.kill()
    box.emulator.faults.clear()
    box.start()
    wait_for(lambda: not imported.exists())
    for part in parts_of("beers.tflite", content, 100_000):
        box.ask(part)
    assert box.do(c.ImportModel(file="beers.tflite", labels=LABELS)).details["state"] == "ready"


# -- jobs -----------------------------------------------------------------------------------------


def test_jobs_are_remembered_over_a_stop_and_a_kill(box: Bench) -> None:
    box.link()
    box.do(c.PullModel())
    before = jobs(box)
    assert [job["command"] for job in before] == ["pull", "link"]
    assert box.service.stop() == 0
    box.start()
    assert jobs(box) == before
    box.configure(upload={"batch": 1})
    for number in range(4):
        box.bus.publish(message(number))
    wait_for(lambda: len(box.states()) == 4)
    box.emulator.faults.add(Fault(AN_UPLOAD, Delay(60), after=1, count=None))
    under_way = str(box.ask(c.UploadSamples(include_new=True)).details["job"])
    waiting = str(box.ask(c.UploadSamples()).details["job"])
    wait_for(lambda: jobs(box)[1]["details"].get("uploaded") == 1)
    assert [job["state"] for job in jobs(box)[:2]] == ["waiting", "running"]
    box.service.kill()
    box.emulator.faults.clear()
    box.start()
    after = jobs(box)
    assert after[2:] == before
    assert [job["job"] for job in after[:2]] == [waiting, under_way]
    for job in after[:2]:
        assert (job["state"], job["text"], job["ended_at"]) == ("failed", BROKEN_OFF, None)
    assert after[1]["details"]["uploaded"] == 1
    done = box.do(c.UploadSamples(include_new=True))
    third, *_ = jobs(box, "upload")
    assert (third["job"], third["state"]) == (done.job, "done")
    assert third["details"] == done.details
    assert third["details"]["models"] == "m5-nut"
    assert len(box.project.uploaded()) == 4


# -- a key that is handed over --------------------------------------------------------------------


def test_a_key_is_handed_over_beside_the_bus(box: Bench, tmp_path: Path) -> None:
    """No message and no log line shows it (see `bench`)."""
    folder = tmp_path / "shared"
    assert folder.stat().st_mode & 0o777 == 0o700
    path = hand_over(folder, KEY)
    box.do(c.LinkProject())
    assert not path.exists()
    key = box.state / "edge-impulse-key"
    assert key.read_text().strip() == KEY
    hand_over(folder, "ei_0123_unknown")
    step = ended(box, c.LinkProject())
    assert step.state is JobState.FAILED
    assert "refused the API key" in step.text
    assert not path.exists()
    assert key.read_text().strip() == KEY
    box.do(c.PullModel())
    box.service.kill()
    box.start()
    box.do(c.CheckUpdates())
    assert list(folder.iterdir()) == []
    said = box.service.text().encode() + box.on_the_bus.read_bytes()
    assert b"ei_0123" not in said


def test_a_key_that_was_left_is_removed_at_the_start(box: Bench, tmp_path: Path) -> None:
    path = hand_over(tmp_path / "shared", KEY)
    box.service.stop()
    box.start()
    assert path.exists(), "somebody is about to link"
    box.service.stop()
    os.utime(path, (0, 0))
    box.start()
    assert not path.exists()


def test_a_docker_secret_is_not_replaced(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(KEY)
    state = tmp_path / "box/state"
    with bench(tmp_path / "box", state, {"NXAI_CLOUD_SYNC_KEY_FILE": str(secret)}) as box:
        box.start()
        box.do(c.LinkProject())
        path = hand_over(state / "handover", "ei_0123_new")
        assert ended(box, c.LinkProject()).text == (
            f"the API key is read from {secret} (NXAI_CLOUD_SYNC_KEY_FILE): put it there, or unset "
            "the variable"
        )
        assert not path.exists()
        assert secret.read_text() == KEY
        box.do(c.PullModel())


# -- a gallery ------------------------------------------------------------------------------------


def test_a_page_of_thumbnails_is_asked_for_at_once(box: Bench) -> None:
    """Sixty of them, by many; what the loop answers itself does not wait behind them."""
    count = 60
    for number in range(count):
        big = jpeg(number, 1920, 1080)
        box.bus.publish(message(number, attachment=big, width=1920, height=1080))
    wait_for(lambda: len(box.states()) == count, 60)
    page = box.json(c.ListSamples(limit=count))["samples"]
    commands = [c.ShowSample(sample=sample["id"], max_width=320) for sample in page]
    with ThreadPoolExecutor(count + 1) as asking:
        answers = [asking.submit(box.bus.request, command, 30) for command in commands]
        counts = asking.submit(box.json, c.CountSamples())
        assert counts.result(30)["pictures"] == count
        for answer in answers:
            reply = answer.result(30)
            assert reply.ok, reply.reason
            with Image.open(io.BytesIO(reply.attachment)) as picture:
                assert picture.size == (320, 180)


def test_the_status_says_what_is_there_now(box: Bench) -> None:
    def told() -> dict[str, float]:
        gauges = (status.gauges for status in reversed(drain(box.statuses, Status)))
        return next((each for each in gauges if each.get("samples_new") == 1), {})

    box.bus.publish(message(1))
    wait_for(lambda: len(box.states()) == 1)
    box.configure(revision="2")  # it is counted again
    gauges = wait_for(told, 30)
    assert gauges["samples_bytes"] == len(jpeg(1))
    assert gauges["disk_free_mb"] > 0
