"""The running service, killed at any moment (kill -9), and on a disk that is full or locked.

Each kind of kill is one test, with a dozen seeded moments: after each the service is started again
and must be whole.
"""

import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nxai_cloud_sync.core.catalogue import VersionState
from nxai_common.contracts import commands as c
from nxai_common.errors import BrokerUnavailable
from support.cloud_sync import model
from support.cloud_sync_process import Bench, bench
from support.edge_impulse import Delay, Fault, Training, Trickle, downloads
from support.models_for_import import digest_of, left_over, noise
from support.samples import SmallDisk, files_of, message, small_disk, totals_are_true
from support.waiting import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

MOMENTS = 12
LABELS = ("beer", "can")
MODEL = "beers-vs-cans"
A_MODEL = "*/learn-data/*"
AN_UPLOAD = "POST /api/*/files"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Bench]:
    """A linked box, with inference beside it."""
    with bench(tmp_path / "box", tmp_path / "box/state") as made:
        made.configure()
        made.start()
        made.link()
        made.inference.runs()
        yield made


def moment(seed: int, longest_s: float) -> float:
    """Return when to kill, in seconds; the moments of all seeds are spread evenly."""
    jitter = random.Random(seed).random()  # noqa: S311 - reproducible
    return longest_s * (seed + jitter) / MOMENTS


def dies(box: Bench, after_s: float) -> None:
    """Kill the service after a while, and start it again."""
    threading.Event().wait(after_s)  # a moment is what this is about
    box.service.kill()
    box.start()


# -- imports --------------------------------------------------------------------------------------


def test_an_import_may_be_killed_at_any_moment(box: Bench) -> None:
    versions: dict[str, str] = {}
    survived = 0
    for seed in range(MOMENTS):
        box.inference.runs()
        content = noise(100 + seed)
        box.project.train(Training(downloads(content), labels=LABELS))
        box.emulator.faults.add(Fault(A_MODEL, Trickle(every_s=0.02, at_once=500)))
        job = str(box.ask(c.PullModel()).details["job"])
        dies(box, moment(seed, 0.5))
        box.emulator.faults.clear()
        survived += box.end_of(job) is not None
        assert left_over(box.catalogue) == []
        found = {v["digest"]: v["state"] for v in box.json(c.ListModels())["versions"]}
        # What was there stays, but for the oldest of ten.
        assert len(versions.keys() - found.keys()) <= (len(versions) == 10)
        assert found.keys() - versions.keys() <= {digest_of(content)}
        assert set(found.values()) <= {VersionState.READY.value, VersionState.FETCHED.value}
        box.inference.runs()
        done = box.do(c.PullModel())
        assert (done.details["digest"], done.details["state"]) == (digest_of(content), "ready")
        versions = {v["digest"]: v["state"] for v in box.json(c.ListModels())["versions"]}
        assert set(versions.values()) == {"ready"}
    assert survived < MOMENTS, "no import was killed"
    assert len(versions) == 10, "nothing piles up"


# -- swaps ----------------------------------------------------------------------------------------


def test_a_swap_may_be_killed_at_any_moment(box: Bench) -> None:
    """What was confirmed holds; what was not has happened, or has not."""
    digests = []
    for number in (1, 2):
        box.project.train(Training(downloads(noise(number)), labels=LABELS))
        digests.append(str(box.do(c.PullModel()).details["digest"]))
    box.ask(c.DeployModel(model=MODEL, digest=digests[0], cameras=("front",)))
    other = {digests[0]: digests[1], digests[1]: digests[0]}
    unconfirmed = went_back = 0
    for seed in range(MOMENTS):
        box.inference.runs(model(MODEL, box.in_force()))
        confirmed, asked = box.in_force(), ""
        killed = threading.Timer(moment(seed, 0.06), box.service.kill)
        killed.start()
        while killed.is_alive():
            wanted = other[confirmed]
            asked = wanted
            command = c.DeployModel(model=MODEL, digest=wanted, how="at-once")
            try:
                reply = box.bus.request(command, 0.3)
            except BrokerUnavailable:
                unconfirmed += 1
                break
            assert reply.ok, reply.reason
            confirmed, asked = wanted, ""
        killed.join()
        box.start()
        wait_for(lambda: box.in_force() == kept(box)["digest"], 5, "what is told is what is kept")
        assert box.in_force() in ({confirmed, asked} if asked else {confirmed})
        if kept(box)["previous"] is not None:
            back = other[box.in_force()]
            box.ask(c.RollBackModel(model=MODEL))
            wait_for(lambda back=back: box.in_force() == back, 5)  # type: ignore[misc]  # bound now
            went_back += 1
    assert unconfirmed, "no swap was killed"
    assert went_back, "the version before was never known"


def kept(box: Bench) -> dict[str, Any]:
    (record,) = json.loads((box.state / "deployments.json").read_text())
    assert isinstance(record, dict)
    return record


# -- uploads --------------------------------------------------------------------------------------


def test_an_upload_may_be_killed_at_any_moment(box: Bench) -> None:
    box.configure(upload={"batch": 3})
    number = 0
    for seed in range(MOMENTS):
        for number in range(number, number + 8):  # noqa: B020 - it goes on where it was
            box.bus.publish(message(number))
        number += 1
        wait_for(lambda number=number: len(box.states()) == number, 30)  # type: ignore[misc]  # bound now
        new = [s["id"] for s in box.json(c.ListSamples(state="new"))["samples"]]
        box.ask(c.ReviewSamples(samples=tuple(new), decision="approved"))
        box.emulator.faults.add(Fault(AN_UPLOAD, Delay(0.05), count=None))
        box.ask(c.UploadSamples())
        dies(box, moment(seed, 0.4))
        box.emulator.faults.clear()
        assert set(box.states().values()) <= {"approved", "uploading", "uploaded"}
        exactly_once(box)
    box.do(c.UploadSamples())
    assert set(box.states().values()) == {"uploaded"}
    assert len(box.project.uploaded()) == number == MOMENTS * 8
    exactly_once(box)
    totals_are_true(box.state)


def exactly_once(box: Bench) -> None:
    """See that nothing is there twice, and that what is called uploaded is there."""
    there = [sample.filename for sample in box.project.uploaded()]
    contents = [sample.sha256 for sample in box.project.uploaded()]
    assert len(set(there)) == len(there)
    assert len(set(contents)) == len(contents)
    samples = box.json(c.ListSamples(limit=c.MAX_PAGE, state="uploaded"))["samples"]
    assert {f"{sample['id']}.jpg" for sample in samples} <= set(there)


# -- pictures that come ---------------------------------------------------------------------------


def test_collecting_may_be_killed_at_any_moment(box: Bench) -> None:
    """What the broker handed over and was not stored comes again to the next process."""
    number = 0
    for seed in range(MOMENTS // 2):
        for number in range(number, number + 20):  # noqa: B020 - it goes on where it was
            box.bus.publish(message(number))
        number += 1
        dies(box, moment(2 * seed, 0.2))
    wait_for(lambda: len(box.states()) == number, 30, "every picture is kept, once")
    assert set(files_of(box.state)) == {
        sample["id"] for sample in box.json(c.ListSamples(limit=c.MAX_PAGE))["samples"]
    }


# -- disks ----------------------------------------------------------------------------------------


@contextmanager
def on_a_small_disk(tmp_path: Path) -> Iterator[tuple[Bench, SmallDisk]]:
    with (
        small_disk(tmp_path / "disk", "12m") as disk,
        bench(tmp_path / "box", disk.path / "state") as made,
    ):
        made.configure()
        made.start()
        made.inference.runs()
        yield made, disk


def fill(disk: SmallDisk) -> Path:
    """Let nothing more fit onto a disk."""
    filler = disk.path / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(65536)):
                pass
        except OSError:
            pass
    return filler


def test_a_full_disk_is_told_survived_and_left_behind(tmp_path: Path) -> None:
    with on_a_small_disk(tmp_path) as (box, disk):
        box.link()
        digest = box.do(c.PullModel()).details["digest"]
        box.project.train(Training(downloads(noise(2)), labels=LABELS))
        newer = box.do(c.PullModel()).details["digest"]
        box.ask(c.DeployModel(model=MODEL, digest=str(digest), cameras=("front",)))
        box.ask(c.DeployModel(model=MODEL, digest=str(newer), how="at-once"))
        for number in range(3):
            box.bus.publish(message(number))
        wait_for(lambda: len(box.states()) == 3, 30)
        before = files_of(box.state)
        filler = fill(disk)
        for number in range(3, 10):
            box.bus.publish(message(number))
        wait_for(
            lambda: any(told.startswith("collected pictures: ") for told in box.problems()), 30
        )
        assert any("the disk is full; make room there" in told for told in box.problems())
        assert len(box.states()) == 3
        box.ask(c.RollBackModel(model=MODEL))
        assert box.in_force() == digest, "roll-backs happen all the same"
        box.service.kill()  # a power cut, while the disk is full
        box.start()
        assert len(box.states()) == 3
        wait_for(box.problems, 30)
        assert files_of(box.state) == before
        filler.unlink()
        wait_for(lambda: len(box.states()) == 10, 60, "all that came meanwhile is kept")
        wait_for(lambda: box.problems() == [], 60)
        assert box.in_force() in (digest, newer)
        totals_are_true(box.state)
        assert box.service.stop() == 0


def test_a_database_that_another_process_holds(tmp_path: Path) -> None:
    with bench(tmp_path / "box", tmp_path / "box/state") as box:
        box.configure()
        box.start()
        box.inference.runs()
        box.bus.publish(message(0))
        wait_for(lambda: len(box.states()) == 1, 30)
        hold = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", hold, str(box.state / "samples.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            for number in range(1, 5):
                box.bus.publish(message(number))
            locked = "samples.db: another program holds it locked; close that program"
            wait_for(lambda: any(locked in told for told in box.problems()), 30)
            assert len(box.states()) == 1, "lists are shown all the same"
            one = box.json(c.ListSamples())["samples"][0]["id"]
            reply = box.bus.request(c.ReviewSamples(samples=(one,), decision="approved"), 20)
            assert not reply.ok
            assert reply.reason.endswith(locked)
            other.communicate()
        wait_for(lambda: len(box.states()) == 5, 60, "all that came meanwhile is kept")
        wait_for(lambda: box.problems() == [], 30)
        assert len(files_of(box.state)) == 5
        totals_are_true(box.state)


def test_a_folder_that_cannot_be_used_is_told_and_waited_for(tmp_path: Path) -> None:
    """As where a disk is mounted late."""
    state = tmp_path / "box/state"
    with bench(tmp_path / "box", state) as box:
        state.touch()  # no folder
        box.configure()
        box.start()
        wait_for(lambda: any("cannot be used" in told for told in box.problems()), 30)
        reply = box.bus.request(c.ListModels(), 10)
        assert not reply.ok
        assert f"{state} cannot be used: File exists" in reply.reason
        box.bus.publish(message(0))
        state.unlink()
        wait_for(lambda: box.bus.request(c.ListModels(), 10).ok, 60)
        wait_for(lambda: len(box.states()) == 1, 60)
        assert box.service.stop() == 0
        assert "Traceback" not in box.service.text()


def test_signals_end_it(box: Bench) -> None:
    assert box.service.stop() == 0
    text = box.service.text()
    assert "Traceback" not in text
    assert text.splitlines()[-1].endswith("cloud-sync stopped")
    assert not (box.catalogue.parent / "cloud-sync.heartbeat").exists()
