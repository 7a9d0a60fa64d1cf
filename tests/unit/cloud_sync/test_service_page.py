"""What the manager's page asks of the service: files, jobs, counts, thumbnails, a key."""

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nxai_cloud_sync.adapters.key_handover import LONGEST_S
from nxai_cloud_sync.answers import PARTS_WAITING
from nxai_cloud_sync.incoming import GIVEN_UP_S, MOST_PART_BYTES
from nxai_cloud_sync.jobs import LONGEST_QUEUE
from nxai_cloud_sync.service import SWEEP_EVERY_S
from nxai_common.contracts import commands as c
from nxai_common.contracts.progress import JobState
from support.cloud_sync_service import KEY, LABELS, Box, box, parts_of
from support.edge_impulse import Fault, Hang, refusal
from support.samples import jpeg, message
from support.shared import shared

pytestmark = pytest.mark.unit

A_MODEL = "*/learn-data/*"
AN_UPLOAD = "POST /api/*/files"
NEW_KEY = "ei_0123_new"
FOMO = "models/ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Box]:
    """A box that was switched on."""
    with box(tmp_path) as made:
        made.start()
        made.configure(updates={"policy": "off"})
        made.turn(times=4)
        yield made


@pytest.fixture
def linked(here: Box) -> Box:
    here.link()
    here.inference.runs()
    return here


def collected(box: Box, *samples: Any) -> list[dict[str, Any]]:
    """Keep pictures; return all that are kept, newest first."""
    before = box.json(c.ListSamples())["total"]
    for each in samples:
        box.outside.publish(each)
    return box.until(
        lambda: (
            (found := box.json(c.ListSamples()))["total"] == before + len(samples)
            and found["samples"]
        ),
        step_s=0.1,
    )


def jobs(box: Box, command: str = "", limit: int = 50) -> list[dict[str, Any]]:
    found = box.json(c.ListJobs(command=command, limit=limit))
    assert found["incomplete"] == ""
    told: list[dict[str, Any]] = found["jobs"]
    return told


# -- files ----------------------------------------------------------------------------------------


def test_a_file_comes_in_parts_and_is_imported(here: Box) -> None:
    here.inference.runs()
    content = shared(FOMO).read_bytes()
    for part in parts_of("beers vs cans (2).tflite", content, 10_000):
        sent = part.offset + len(part.attachment)
        assert here.yes(part).details == {"size": sent}
        assert here.yes(part).details == {"size": sent}, "the answer was lost, and it came again"
    done = here.do(c.ImportModel(file="beers vs cans (2).tflite", labels=LABELS))
    assert done.details["state"] == "ready"
    assert here.json(c.ListModels())["versions"][0]["title"] == "beers vs cans (2)"
    left = [path for path in here.settings.incoming_dir.rglob("*") if path.is_file()]
    assert left == []
    assert jobs(here)[0]["what"] == "beers vs cans (2).tflite"


def test_a_part_that_leaves_a_gap_is_refused_with_the_size(here: Box) -> None:
    here.yes(c.ReceiveFile(file="a.tflite", offset=0, attachment=b"12345"))
    reply = here.ask(c.ReceiveFile(file="a.tflite", offset=6, attachment=b"7"))
    assert (reply.ok, reply.details) == (False, {"size": 5})
    assert reply.reason == (
        "the part of 'a.tflite' at 6 leaves a gap: 5 bytes are here; go on there"
    )
    reply = here.ask(c.ReceiveFile(file="b.tflite", offset=1, attachment=b"7"))
    assert (reply.ok, reply.details) == (False, {"size": 0})


def test_a_file_whose_sender_went_away_is_discarded(here: Box) -> None:
    here.yes(c.ReceiveFile(file="a.tflite", offset=0, attachment=b"12345"))
    here.yes(c.DiscardFile(file="a.tflite"))
    here.yes(c.DiscardFile(file="a.tflite"))
    assert "there is no file 'a.tflite'" in here.no(c.ImportModel(file="a.tflite"))


def test_a_part_that_is_too_large_is_refused(here: Box) -> None:
    part = b"x" * (MOST_PART_BYTES + 1)
    assert here.no(c.ReceiveFile(file="a.tflite", offset=0, attachment=part)) == (
        f"a part of {MOST_PART_BYTES + 1} bytes; send at most {MOST_PART_BYTES} at once"
    )


def test_no_more_parts_wait_than_memory_has_room_for(
    here: Box,
) -> None:
    files = here.service._answers.errands[1]
    heard: list[c.Reply] = []
    with files._changed:  # its thread cannot take anything
        for number in range(PARTS_WAITING + 1):
            command = c.ReceiveFile(file=f"{number}.tflite", offset=0, attachment=b"x")
            here.service._answers.answer(command, heard.append)
    assert [reply.reason for reply in heard] == ["too much is asked for at once; ask again"]
    here.until(lambda: len(heard) == PARTS_WAITING + 1)


def test_who_asks_twice_to_import_a_file_gets_that_job(here: Box) -> None:
    here.link()
    here.inference.runs()
    here.emulator.faults.add(Fault(A_MODEL, Hang()))
    here.started(c.PullModel())
    here.yes(c.ReceiveFile(file="a.tflite", offset=0, attachment=b"no model"))
    job = here.started(c.ImportModel(file="a.tflite"))
    again = here.yes(c.ImportModel(file="a.tflite"))
    assert (again.details["job"], again.reason) == (job, "under way already")
    assert here.no(c.ImportModel(file="a.tflite", title="Other")) == (
        "'a.tflite' is being imported already; wait for its end"
    )
    assert here.no(c.ReceiveFile(file="a.tflite", offset=0, attachment=b"x")) == (
        "'a.tflite' is being imported; wait for its end, or use another name"
    )
    here.yes(c.DiscardFile(file="a.tflite"))  # of what is received; that was received
    here.emulator.faults.clear()
    assert "is neither TensorFlow Lite nor ONNX" in here.end_of(job).text
    here.yes(c.ReceiveFile(file="a.tflite", offset=0, attachment=b"x"))


def test_a_file_for_whose_import_there_is_no_room_stays(linked: Box) -> None:
    linked.emulator.faults.add(Fault(A_MODEL, Hang()))
    pulls = [linked.started(c.PullModel())]
    linked.until(lambda: linked.asked("/learn-data/"), step_s=0)
    pulls += [linked.started(c.PullModel(model=f"m{n}")) for n in range(LONGEST_QUEUE)]
    linked.yes(c.ReceiveFile(file="a.tflite", offset=0, attachment=b"no model"))
    (linked.settings.incoming_dir / "b.tflite").write_text("no model")
    for name in ("a.tflite", "b.tflite"):
        full = "too many jobs wait already; ask again later"
        assert linked.no(c.ImportModel(file=name)) == full
    for pull in reversed(pulls):
        linked.yes(c.CancelJob(job=pull))
    linked.emulator.faults.clear()
    linked.until(lambda: linked.idle, step_s=0)
    linked.yes(c.ReceiveFile(file="a.tflite", offset=8, attachment=b", really"))
    for name in ("a.tflite", "b.tflite"):
        assert "neither" in linked.fails(c.ImportModel(file=name))


def test_files_that_nobody_goes_on_sending_go_while_it_runs(
    here: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.yes(c.ReceiveFile(file="a.tflite", offset=0, attachment=b"x"))
    received = here.settings.incoming_dir / ".received/a.tflite"
    here.turn(SWEEP_EVERY_S)
    assert received.exists()
    born = received.lstat().st_ctime
    monkeypatch.setattr(time, "time", lambda: born + GIVEN_UP_S + 1)
    here.turn(SWEEP_EVERY_S)
    assert not received.exists()


# -- jobs -----------------------------------------------------------------------------------------


def test_jobs_are_listed_while_they_go_on_and_when_they_ended(linked: Box) -> None:
    hanging = Hang()
    linked.emulator.faults.add(Fault(A_MODEL, hanging))
    pull = linked.started(c.PullModel())
    linked.until(lambda: linked.asked("/learn-data/"), step_s=0)
    waiting = linked.started(c.CheckUpdates())
    second, first, link = jobs(linked)
    assert (first["job"], first["command"], first["state"]) == (pull, "pull", "running")
    assert (first["what"], first["ended_at"]) == ("Beers vs cans", None)
    assert first["text"].startswith("downloading")
    assert (second["job"], second["state"]) == (waiting, "waiting")
    assert second["text"] == "waits until pull is done"
    assert (link["command"], link["state"], link["what"]) == ("link", "done", "Beers vs cans")
    assert link["details"]["project"] == linked.project.id
    linked.yes(c.CancelJob(job=pull))
    linked.emulator.faults.clear()
    assert linked.end_of(waiting).state is JobState.DONE
    second, first, _ = jobs(linked)
    assert (first["job"], first["state"], first["text"]) == (pull, "failed", "cancelled")
    assert first["started_at"] <= first["ended_at"] == first["at"]
    assert (second["job"], second["state"]) == (waiting, "done")
    assert [job["job"] for job in jobs(linked, "pull")] == [pull]
    assert [job["job"] for job in jobs(linked, limit=1)] == [waiting]


def test_jobs_outlive_the_process(linked: Box) -> None:
    linked.do(c.PullModel())
    before = jobs(linked)
    linked.stop()
    linked.start().turn()
    assert jobs(linked) == before


def test_jobs_are_listed_though_their_database_cannot_be_read(tmp_path: Path) -> None:
    with box(tmp_path) as here:
        in_the_way = here.settings.state_dir / "samples.db"
        in_the_way.mkdir(parents=True)
        here.start()
        here.configure(updates={"policy": "off"})
        here.link()
        found = here.json(c.ListJobs())
        assert [job["command"] for job in found["jobs"]] == ["link"]
        assert "samples.db" in found["incomplete"]
        in_the_way.rmdir()
        here.do(c.CheckUpdates())
        assert [job["command"] for job in jobs(here)] == ["link", "check-updates"]


def test_looks_by_themselves_that_found_nothing_are_not_remembered(linked: Box) -> None:
    linked.do(c.PullModel())
    linked.configure(updates={"policy": "offer"})
    looked = len(linked.ended("check-updates"))
    linked.until(lambda: len(linked.ended("check-updates")) == looked + 1, step_s=60)
    assert jobs(linked, "check-updates") == []
    linked.train(2)
    linked.until(lambda: len(linked.ended("check-updates")) > looked + 1, step_s=60)
    (job,) = jobs(linked, "check-updates")
    assert "which is new" in job["text"]
    assert job["what"] == "Beers vs cans"


def test_the_history_of_uploads_says_what_went_up(linked: Box) -> None:
    linked.do(c.UploadSamples())
    samples = [message(1), message(2), message(3, model="other")]
    one, two, three = collected(linked, *samples)
    linked.project.add_sample(f"{one['id']}.jpg", jpeg(3))
    linked.yes(c.ReviewSamples(samples=(one["id"], two["id"]), decision="approved"))
    linked.do(c.UploadSamples())
    linked.do(c.UploadSamples(samples=(three["id"],), include_new=True))
    third, second, first = jobs(linked, "upload")
    assert second["details"] == {
        "models": "m5-nut, other",
        "uploaded": 2,
        "duplicates": 1,
        "failed": 0,
        "kept_back": 0,
        "bytes": one["bytes"] + two["bytes"],
        "left": "",
    }
    assert second["text"].startswith("2 pictures uploaded")
    assert (second["done"], second["total"]) == (2, 2)
    assert first["details"]["models"] == ""
    assert [job["what"] for job in (first, second, third)] == [
        "approved pictures",
        "approved pictures",
        "1 picture",
    ]
    names = tuple(sample["id"] for sample in (one, two))
    linked.do(c.UploadSamples(samples=names))
    linked.do(c.UploadSamples(include_new=True))
    fifth, fourth, *_ = jobs(linked, "upload")
    assert (fourth["what"], fifth["what"]) == ("2 chosen pictures", "approved and new pictures")
    assert (fourth["details"]["uploaded"], fourth["details"]["kept_back"]) == (0, 2)


def test_an_upload_that_fails_midway_says_what_it_sent(linked: Box) -> None:
    linked.configure(upload={"batch": 1}, updates={"policy": "off"})
    found = collected(linked, *(message(number) for number in range(6)))
    names = tuple(sample["id"] for sample in found)
    linked.yes(c.ReviewSamples(samples=names, decision="approved"))
    linked.emulator.faults.add(
        Fault(AN_UPLOAD, refusal(401, "Invalid API key"), after=3, count=None)
    )
    assert "Invalid API key" in linked.fails(c.UploadSamples())
    (job,) = jobs(linked, "upload")
    assert job["state"] == "failed"
    uploaded = int(job["details"]["uploaded"])
    assert uploaded == len(linked.project.uploaded()) > 0
    assert job["details"]["models"] == "m5-nut"


def test_an_upload_by_itself_is_called_so(linked: Box) -> None:
    linked.configure(upload={"mode": "automatic"}, updates={"policy": "off"})
    collected(linked, message(1))
    linked.until(lambda: linked.ended("upload"), step_s=30)
    assert jobs(linked, "upload")[0]["what"] == "approved pictures, by itself"


# -- counts ---------------------------------------------------------------------------------------


def test_pictures_are_counted(here: Box) -> None:
    nothing = here.json(c.CountSamples())
    states = ("new", "approved", "discarded", "uploading", "uploaded", "failed")
    assert nothing == {
        "by_state": dict.fromkeys(states, 0),
        "pictures": 0,
        "bytes": 0,
        "dropped": 0,
        "by_camera": {},
        "by_strategy": {},
        "today": {},
        "last_day": {},
        "limits": {
            "keep_mb": 2000,
            "keep_pictures": 20_000,
            "keep_days": 90,
            "per_day": {"front": 0, "back": 0},
        },
    }
    one, *others = collected(
        here,
        message(1),
        message(2, strategy="random"),
        message(3, camera="back"),
    )
    here.yes(c.ReviewSamples(samples=(one["id"],), decision="approved"))
    found = here.json(c.CountSamples())
    assert {state: count for state, count in found["by_state"].items() if count} == {
        "new": 2,
        "approved": 1,
    }
    assert found["pictures"] == 3
    assert found["bytes"] == sum(sample["bytes"] for sample in (one, *others))
    assert found["by_camera"] == {"front": 2, "back": 1}
    assert found["by_strategy"] == {"uncertain": 2, "random": 1}
    assert found["today"] == found["last_day"] == {"front": 2, "back": 1}
    here.clock.advance(13 * 3600)  # it was noon
    found = here.json(c.CountSamples())
    assert (found["today"], found["last_day"]) == ({}, {"front": 2, "back": 1})
    here.clock.advance(12 * 3600)
    assert here.json(c.CountSamples())["last_day"] == {}


def test_limits_are_those_of_the_configuration(here: Box) -> None:
    quotas = {"enabled": True, "quotas": {"per_day": 12}}
    here.configure(
        limits={"keep_mb": 5, "keep_days": 2},
        cameras={"front": quotas, "back": {"enabled": False}},
    )
    assert here.json(c.CountSamples())["limits"] == {
        "keep_mb": 5,
        "keep_pictures": 20_000,
        "keep_days": 2,
        "per_day": {"front": 12},
    }


def test_the_status_says_what_is_there_now(here: Box) -> None:
    one, _ = collected(here, message(1), message(2))
    here.yes(c.ReviewSamples(samples=(one["id"],), decision="approved"))
    here.configure()  # looked at again
    here.until(lambda: here.service.report().gauges["samples_approved"] == 1, step_s=0.1)
    report = here.service.report()
    assert report.folder == here.settings.state_dir
    assert report.gauges == {
        "deployed": 0,
        "samples_held": 0,
        "samples_bytes": sum(s["bytes"] for s in here.json(c.ListSamples())["samples"]),
        "samples_pictures": 2,
        "samples_new": 1,
        "samples_approved": 1,
    }


# -- thumbnails -----------------------------------------------------------------------------------


def test_a_thumbnail_is_no_wider_than_asked(here: Box) -> None:
    (one,) = collected(here, message(1, attachment=jpeg(1, 640, 480), width=640, height=480))
    whole = here.yes(c.ShowSample(sample=one["id"]))
    small = here.yes(c.ShowSample(sample=one["id"], max_width=160))
    assert whole.details == small.details == {"width": 640, "height": 480}
    with Image.open(io.BytesIO(small.attachment)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (160, 120))
    as_it_is = here.yes(c.ShowSample(sample=one["id"], max_width=640))
    assert bytes(as_it_is.attachment) == bytes(whole.attachment)
    assert here.no(c.ShowSample(sample="nobody", max_width=160)) == "there is no picture 'nobody'"


def test_a_thumbnail_of_what_is_no_picture_says_so(here: Box) -> None:
    one, two = collected(here, message(1), message(2))
    for sample, content in ((one, b"broken"), (two, None)):
        (path,) = here.settings.state_dir.glob(f"pictures-*/*/{sample['id']}.jpg")
        path.unlink() if content is None else path.write_bytes(content)
    said = here.no(c.ShowSample(sample=one["id"], max_width=32))
    assert said.startswith("the picture cannot be read: ")
    said = here.no(c.ShowSample(sample=two["id"], max_width=32))
    assert said == "the picture cannot be read: No such file or directory"


# -- a key that is handed over --------------------------------------------------------------------


def kept_key(box: Box) -> str | None:
    path = box.settings.key_path
    return path.read_text().strip() if path.exists() else None


def test_a_key_that_was_handed_over_is_linked_and_kept(here: Box) -> None:
    path = here.hand_over()
    assert here.do(c.LinkProject()).text == f"linked project {here.project.id} (Beers vs cans)"
    assert kept_key(here) == KEY
    assert here.settings.key_path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()
    here.do(c.PullModel())
    here.stop()
    here.start().turn()
    here.do(c.CheckUpdates())


def test_it_is_not_taken_but_for_a_link(linked: Box) -> None:
    path = linked.hand_over(NEW_KEY)
    linked.do(c.PullModel())
    linked.yes(c.ShowLink())
    linked.json(c.ListJobs())
    linked.stop()
    linked.start().turn(SWEEP_EVERY_S, times=2)
    assert path.read_text() == NEW_KEY
    assert kept_key(linked) == KEY


def test_a_key_that_cannot_be_linked_is_gone_and_all_is_as_it_was(linked: Box) -> None:
    before = linked.json(c.ShowLink())
    path = linked.hand_over("ei_0123_nobody_knows")
    assert "refused the API key" in linked.fails(c.LinkProject())
    assert not path.exists()
    assert kept_key(linked) == KEY
    assert linked.json(c.ShowLink()) == before
    assert linked.told() == []
    linked.do(c.PullModel())


@pytest.mark.parametrize("content", ["", "my password", "ei_", b"ei_\xff", "ei_" + "x" * 10_000])
def test_what_is_no_key_is_refused_at_once_and_gone(here: Box, content: str | bytes) -> None:
    path = here.hand_over(content)
    assert here.no(c.LinkProject()) == (
        "what was handed over holds no API key of Edge Impulse: one begins with ei_ (Studio: "
        "Dashboard > Keys) and stands alone"
    )
    assert not path.exists()
    assert here.heard() == []


def test_a_new_key_goes_to_the_host_that_is_named_and_to_no_other(linked: Box) -> None:
    """Nothing listens there: what was linked stays, and the new key is nowhere."""
    asked = linked.asked()
    linked.hand_over(NEW_KEY)
    nowhere: dict[str, Any] = {"studio": "http://127.0.0.1:9/v1", "ingestion": "http://127.0.0.1:9"}
    assert "nothing listens" in linked.fails(c.LinkProject(**nowhere))
    assert linked.asked() == asked, "the host that was linked did not hear of the new key"
    assert kept_key(linked) == KEY
    linked.hand_over(KEY)
    said = linked.fails(c.LinkProject(**nowhere))
    assert said.startswith(f"the API key was given for {linked.urls.studio} and goes to no other")


def test_another_key_is_another_link(here: Box) -> None:
    hanging = Hang()
    here.emulator.faults.add(Fault("*", hanging))
    here.hand_over("ei_0123_mistyped")
    first = here.started(c.LinkProject())
    here.until(here.asked, step_s=0)
    here.hand_over(KEY)
    second = here.started(c.LinkProject())
    assert first != second
    here.yes(c.CancelJob(job=first))
    here.emulator.faults.clear()
    assert here.end_of(second).state is JobState.DONE
    assert kept_key(here) == KEY


def test_a_key_that_nobody_took_in_time_is_removed(here: Box) -> None:
    path = here.hand_over()
    long_ago = time.time() - LONGEST_S - 1
    os.utime(path, (long_ago, long_ago))
    assert "there is no API key" in here.fails(c.LinkProject())
    assert not path.exists()
    unfinished = path.with_name(".edge-impulse-key.new")
    for left in (path, unfinished):
        left.write_text(KEY)
        os.utime(left, (long_ago, long_ago))
    here.turn(SWEEP_EVERY_S)
    assert not path.exists()
    assert not unfinished.exists()
    here.hand_over()
    os.utime(path, (long_ago, long_ago))
    here.stop()
    here.start().turn(0)
    assert not path.exists()


def test_a_key_does_not_stay_though_the_disk_does_not_do(tmp_path: Path) -> None:
    with box(tmp_path) as here:
        in_the_way = here.settings.state_dir / "link.json"
        in_the_way.mkdir(parents=True)
        here.start()
        path = here.hand_over()
        assert "link.json" in here.no(c.LinkProject())
        assert not path.exists()
        here.hand_over("no key")
        assert "link.json" in here.no(c.LinkProject())
        assert not path.exists()


def test_the_folder_is_there_for_the_manager_and_for_nobody_else(here: Box) -> None:
    assert here.settings.handover_path == here.settings.state_dir / "handover"
    assert here.settings.handover_path.stat().st_mode & 0o777 == 0o700


def test_no_key_is_in_a_list_of_jobs(here: Box, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    here.hand_over()
    here.do(c.LinkProject())
    here.hand_over(NEW_KEY)
    here.fails(c.LinkProject())
    assert len(jobs(here)) == 2
    assert "ei_0123" not in json.dumps(jobs(here)) + caplog.text
