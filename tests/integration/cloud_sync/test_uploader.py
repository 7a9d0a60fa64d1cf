"""Uploads from a real store to an emulator, with everything that gets in the way."""

import errno
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from nxai_cloud_sync.adapters.edge_impulse_http import HttpLimits
from nxai_cloud_sync.adapters.ingestion_http import IngestionHttp
from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_cloud_sync.adapters.studio_http import StudioHttp
from nxai_cloud_sync.core.sample import LabelledBox, SampleState, StoredSample
from nxai_cloud_sync.core.uploading import FileOutcome, UploadBatch, UploadSummary
from nxai_cloud_sync.jobs import Job
from nxai_cloud_sync.ports import StorageUnavailable
from nxai_cloud_sync.uploader import (
    MOST_REFUSED,
    MOST_TRIES,
    Course,
    Destination,
    Uploader,
    UploadOrder,
)
from nxai_common.contracts.collecting import CollectPolicy, UploadOptions
from nxai_common.contracts.configuration import CloudSyncCamera, CloudSyncConfiguration
from nxai_common.errors import CloudRejected, CloudUnavailable, KeyRefused, RejectedError
from nxai_common.retry import RetryPolicy
from support import edge_impulse as ei
from support.samples import jpeg, sample
from support.shared import ROOT
from support.upload_work import KEY
from support.waiting import wait_for

LIMITS = HttpLimits(connect_s=5.0, silence_s=5.0, answer_s=10.0, storing_s=10.0)
SOON = RetryPolicy(first_s=0.01, factor=2, longest_s=0.05, floor_s=0.001)
NOON_US = 1_795_867_200_000_000  # 2026-11-28T12:00Z
UTC = ZoneInfo("UTC")


class Stopped(Exception):  # noqa: N818 - what happens, not a fault
    """Somebody asked the job to stop."""


class Recorded:
    """A job that notes what it is told, and is stopped on demand."""

    def __init__(self, stop_at: str = "") -> None:
        self.told: list[tuple[str, int, int | None]] = []
        self.waited: list[float] = []
        self.stop_at = stop_at
        self.on_step: Callable[[str], None] = lambda text: None  # noqa: ARG005 - nothing to do

    def step(self, text: str, done: int = 0, total: int | None = 0) -> None:
        self.told.append((text, done, total))
        self.on_step(text)
        if self.stop_at and text.startswith(self.stop_at):
            raise Stopped

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        if self.stop_at == "wait":
            raise Stopped


class Clock:
    def __init__(self) -> None:
        self.now_us = NOON_US


class World:
    """A box with pictures, and a project at Edge Impulse."""

    def __init__(
        self, store: SqlSamples, emulator: ei.Emulator, urls: ei.Urls, clock: Clock
    ) -> None:
        self.clock = clock
        self.store = store
        self.emulator = emulator
        self.urls = urls
        self.project = next(iter(emulator.projects.values()))
        self.options = UploadOptions(batch=4, predictions=False)
        self.cameras = {"front": "as-configured", "gate": "as-configured"}
        self.course = Recorded()
        self._closing = ExitStack()
        self._number = 0

    def close(self) -> None:
        self._closing.close()

    def configuration(self) -> CloudSyncConfiguration:
        return CloudSyncConfiguration(
            revision="1",
            upload=self.options,
            cameras=tuple(
                CloudSyncCamera(id=name, collect=CollectPolicy.model_validate({"upload": upload}))
                for name, upload in self.cameras.items()
            ),
        )

    def set(self, **changes: Any) -> None:
        self.options = self.options.model_copy(update=changes)

    def add(
        self,
        count: int = 1,
        camera: str = "front",
        *,
        state: SampleState | None = SampleState.APPROVED,
        data: bytes | None = None,
        boxes: tuple[LabelledBox, ...] | None = None,
        **changes: Any,
    ) -> list[str]:
        """Keep pictures; return their ids."""
        made = []
        for _ in range(count):
            self._number += 1
            kept = self.store.add(
                sample(
                    self._number,
                    camera=camera,
                    jpeg=jpeg(self._number) if data is None else data,
                    **changes,
                )
            )
            assert kept is not None
            made.append(kept.id)
        if state is not None:
            for name in made:
                assert self.store.review([name], state, boxes) == {}
        return made

    def ingestion(self, key: str = KEY) -> IngestionHttp:
        made = IngestionHttp(self.urls.ingestion, key, LIMITS)
        self._closing.callback(made.close)
        return made

    def uploader(self, **changes: Any) -> Uploader:
        settings: dict[str, Any] = {
            "device": "box",
            "wall_us": lambda: self.clock.now_us,
            "zone": UTC,
            "retry": SOON,
            "rng": random.Random(1),  # noqa: S311 - jitter
            **changes,
        }
        return Uploader(self.store, self.configuration, **settings)

    def run(self, key: str = KEY, *, studio: bool = False, **order: Any) -> UploadSummary:
        destination = Destination(self.ingestion(key))
        if studio:
            found = StudioHttp(self.urls.studio, key, LIMITS)
            self._closing.callback(found.close)
            destination = replace(destination, studio=found, project=self.project.id)
        return self.uploader().run(UploadOrder(**order), self.course, destination)

    def fault(self, does: Any, count: int | None = 1, after: int = 0) -> ei.Fault:
        return self.emulator.faults.add(ei.Fault("POST /api/*/files", does, count, after))

    def sample(self, name: str) -> StoredSample:
        found = self.store.get(name)
        assert found is not None
        return found

    def states(self) -> dict[str, int]:
        return self.store.usage().by_state

    def there(self) -> list[str]:
        """Return the names of the pictures at Edge Impulse."""
        with self.emulator.lock:
            return sorted(each.filename for each in self.project.samples.values())

    def requests(self) -> int:
        return len(self.emulator.asked("/files"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    emulator = ei.Emulator()
    emulator.add_project("Parcels", key=KEY)
    clock = Clock()
    store = SqlSamples(tmp_path / "samples", wall_us=lambda: clock.now_us)
    with ei.running(emulator) as urls, store:
        made = World(store, emulator, urls, clock)
        yield made
        made.close()


def names(ids: list[str]) -> list[str]:
    return sorted(f"{name}.jpg" for name in ids)


# -- when all goes well ---------------------------------------------------------------------------


def test_what_was_approved_goes_up(world: World) -> None:
    ids = world.add(10)
    world.add(2, state=None)
    world.add(1, state=SampleState.DISCARDED)
    summary = world.run()
    assert (summary.uploaded, summary.failed, summary.duplicates, summary.left) == (10, 0, 0, "")
    assert world.there() == names(ids)
    assert world.states() == {"uploaded": 10, "new": 2, "discarded": 1}
    assert summary.bytes == sum(world.sample(name).bytes for name in ids)
    by_name = {each.filename: each.id for each in world.project.samples.values()}
    for name in ids:
        found = world.sample(name)
        assert found.remote_id == by_name[found.file_name]
        assert found.uploaded_at_us == NOON_US
        assert not found.duplicate
        assert world.store.picture(found).exists()  # the store removes it, not the uploader
    assert world.requests() == 3  # four at a time


def test_progress_is_told(world: World) -> None:
    world.add(10)
    world.run()
    done = [done for text, done, _ in world.course.told if text == "uploading pictures"]
    assert done[0] == 0
    assert done == sorted(done)
    assert world.course.told[-1][1:] == (10, 10)
    assert {total for text, _, total in world.course.told if text.startswith("up")} == {10}


def test_a_job_is_a_course() -> None:
    job: Course = Job("upload-1", "upload", lambda *told: None)  # noqa: ARG005 - nobody listens
    job.step("uploading", 1, 2)


def test_nothing_to_send_asks_nothing(world: World) -> None:
    world.add(3, state=None)
    assert world.run() == UploadSummary()
    assert world.requests() == 0


def test_new_pictures_go_only_when_asked_for(world: World) -> None:
    ids = world.add(3, state=None)
    assert world.run(include_new=True).uploaded == 3
    assert world.there() == names(ids)


def test_the_most_valuable_go_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nxai_cloud_sync.uploader.AT_ONCE", 1)  # of two, either may arrive first
    world.set(batch=1)
    (low,), (high,), (middle,) = (world.add(value=value) for value in (0.1, 0.9, 0.5))
    world.fault(ei.refusal(403, "No access"), count=None, after=2)
    with pytest.raises(KeyRefused):
        world.run()
    assert world.there() == names([high, middle])
    assert world.sample(low).state is SampleState.APPROVED


def test_more_pictures_than_are_taken_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nxai_cloud_sync.uploader.TAKEN_AT_ONCE", 5)
    monkeypatch.setattr("nxai_cloud_sync.uploader.BEGUN_AT_ONCE", 3)
    ids = world.add(23)
    assert world.run(samples=tuple(ids[:12])).uploaded == 12
    assert world.run().uploaded == 11
    assert world.there() == names(ids)
    assert world.states() == {"uploaded": 23}


@pytest.mark.parametrize("each_second", [2, 10])
def test_on_a_slow_link_few_pictures_are_marked_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch, each_second: int
) -> None:
    """Those that are marked cannot be discarded; no more are than travel in two seconds."""
    monkeypatch.setattr("nxai_cloud_sync.uploader.BEGUN_AT_FIRST", 1)
    monkeypatch.setattr("nxai_cloud_sync.uploader.AT_ONCE", 1)
    world.set(batch=1)
    world.add(50)
    now, marked = 0.0, [0]

    class Slow(IngestionHttp):
        def send(
            self, batch: UploadBatch, picture: Callable[[StoredSample], Path]
        ) -> tuple[FileOutcome, ...]:
            nonlocal now
            now += 1 / each_second
            marked.append(world.states().get("uploading", 0))
            return super().send(batch, picture)

    slow = Slow(world.urls.ingestion, KEY, LIMITS)
    summary = world.uploader(clock=lambda: now).run(UploadOrder(), world.course, Destination(slow))
    slow.close()
    assert summary.uploaded == 50
    # What has arrived is noted once a second.
    assert each_second < max(marked) <= (2 + 1) * each_second + 2


def test_confirmed_boxes_go_as_labels_and_predictions_as_metadata(world: World) -> None:
    world.set(predictions=True, category="training")
    seen = (LabelledBox("nut", 1, 2, 3, 4, 0.41),)
    (plain,) = world.add(predictions=seen)
    (boxed,) = world.add(predictions=seen, boxes=(LabelledBox("bolt", 5, 6, 7, 8),))
    (empty,) = world.add(predictions=seen, boxes=())
    world.run()
    found = {each.filename.removesuffix(".jpg"): each for each in world.project.samples.values()}
    assert {each.category for each in found.values()} == {"training"}
    assert found[plain].boxes == found[empty].boxes == ()
    assert found[boxed].boxes == (ei.Box("bolt", 5, 6, 7, 8),)
    assert found[empty].metadata["review"] == "nothing is on it"
    for each in found.values():
        assert each.metadata["device"] == "box"
        assert json.loads(each.metadata["predictions"])[0]["label"] == "nut"


def test_named_pictures_go_and_others_stay(world: World) -> None:
    ids = world.add(6)
    (failed,) = world.add(data=b"no picture")
    world.run(samples=(failed,))
    assert world.sample(failed).state is SampleState.FAILED
    unknown, new = "nobody-knows-it", world.add(1, state=None)[0]
    summary = world.run(samples=(ids[0], unknown, new, ids[4], ids[0]))
    assert (summary.uploaded, summary.kept_back) == (2, 2)
    assert world.there() == names([ids[0], ids[4]])
    assert world.run(samples=(new,), include_new=True).uploaded == 1
    again = world.run(samples=(ids[0],))
    assert (again.uploaded, again.kept_back) == (0, 1)


def test_a_picture_that_failed_is_tried_again_by_name(world: World) -> None:
    (name,) = world.add()
    world.fault(ei.refusal(400, "Not today"))
    assert world.run().failed == 1
    assert world.run().uploaded == 0
    assert world.run(samples=(name,)).uploaded == 1


# -- what must not leave --------------------------------------------------------------------------


@pytest.mark.parametrize("by_name", [False, True])
def test_a_camera_that_never_uploads_does_not_whatever_is_asked(
    world: World, *, by_name: bool
) -> None:
    world.cameras["gate"] = "never"
    mine, secret = world.add(3, "front"), world.add(3, "gate")
    new = world.add(2, "gate", state=None)
    named = (*mine, *secret, *new) if by_name else ()
    summary = world.run(include_new=True, samples=named)
    assert world.there() == names(mine)
    assert summary.uploaded == 3
    assert summary.kept_back == (5 if by_name else 3), "approved, or asked for"
    assert {world.sample(name).state for name in secret} == {SampleState.APPROVED}


def test_a_camera_that_is_not_configured_any_more_does_not_upload(world: World) -> None:
    world.add(3, "gone")
    assert world.run().uploaded == 0
    assert world.requests() == 0


def test_a_camera_that_is_forbidden_during_the_upload_stops_at_once(world: World) -> None:
    world.set(batch=1)
    world.add(10, "gate")
    ids = world.add(2, "front", value=0.1)

    def forbid(text: str) -> None:
        if text == "uploading pictures" and world.requests() >= 3:
            world.cameras["gate"] = "never"

    world.course.on_step = forbid
    summary = world.run()
    gates = [name for name in world.there() if name.startswith("gate")]
    assert 3 <= len(gates) <= 5  # those that were under way then
    assert summary.uploaded == len(gates) + 2
    assert set(names(ids)) <= set(world.there())
    assert world.states() == {"uploaded": len(gates) + 2, "approved": 10 - len(gates)}


def test_what_a_person_discards_just_before_it_goes_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set(batch=1)
    ids = world.add(6)
    look = world.store.to_upload

    def look_and_wait(*args: Any, **options: Any) -> tuple[StoredSample, ...]:
        found = look(*args, **options)
        world.store.review([ids[2]], SampleState.DISCARDED)
        return found

    monkeypatch.setattr(world.store, "to_upload", look_and_wait)
    summary = world.run()
    assert (summary.uploaded, summary.kept_back) == (5, 1)
    assert f"{ids[2]}.jpg" not in world.there()
    assert world.sample(ids[2]).state is SampleState.DISCARDED


# -- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["ei_wrong", "ei_reads"])
def test_a_refused_key_stops_everything(world: World, key: str) -> None:
    world.project.add_key("ei_reads", "readonly")
    world.add(20)
    with pytest.raises(KeyRefused, match="refused the API key"):
        world.run(key)
    assert world.states() == {"approved": 20}
    assert world.requests() <= 2
    assert world.course.waited == []
    assert world.run().uploaded == 20


def test_a_key_that_is_revoked_during_the_upload(world: World) -> None:
    world.set(batch=1)
    world.add(20)
    world.fault(ei.refusal(403, "No access"), count=None, after=5)
    with pytest.raises(KeyRefused):
        world.run()
    assert world.states() == {"uploaded": 5, "approved": 15}
    assert len(world.there()) == 5


def test_a_key_that_only_uploads_does(world: World) -> None:
    world.project.add_key("ei_uploads", "ingestiononly")
    world.add(5)
    assert world.run("ei_uploads").uploaded == 5


# -- networks and servers -------------------------------------------------------------------------

PASSING = [
    ei.Reply(500, "oops"),
    ei.Reply(503, "<h1>later</h1>", "text/html"),
    ei.captive_portal(),
    ei.Reply(200, "OK", "text/plain"),
    ei.Reply(200, '{"success":true,"files":[]}'),
    ei.ResetWhileReceiving(500),
    ei.LoseAnswer(),
    ei.LoseAnswer(after_files=2),
    ei.CutShort(20),
    ei.CutShort(20, reset=True),
]


@pytest.mark.parametrize("does", PASSING, ids=range(len(PASSING)))
def test_what_passes_is_waited_for_and_nothing_is_lost_or_doubled(world: World, does: Any) -> None:
    ids = world.add(12)
    world.fault(does, count=3, after=1)
    summary = world.run(studio=True)
    assert summary.uploaded == 12
    assert world.emulator.faults.left() == []
    assert world.there() == names(ids)
    assert world.states() == {"uploaded": 12}
    assert 1 <= len(world.course.waited) <= 3
    by_name = {each.filename: each.id for each in world.project.samples.values()}
    for name in ids:
        assert world.sample(name).remote_id == by_name[f"{name}.jpg"]


def test_too_many_requests_are_waited_for_as_long_as_the_server_says(world: World) -> None:
    world.add(4)
    world.fault(ei.too_many("7"))
    assert world.run().uploaded == 4
    (waited,) = world.course.waited
    assert 7 < waited < 8
    assert any(text.startswith("trying again in 7 s") for text, _, _ in world.course.told)


def test_a_server_that_asks_for_an_hour_ends_the_job(world: World) -> None:
    world.add(4)
    world.fault(ei.too_many("3600"))
    with pytest.raises(CloudUnavailable) as caught:
        world.run()
    assert caught.value.retry_after_s == 3600
    assert world.course.waited == []
    assert world.states() == {"approved": 4}


def test_a_server_that_stays_away_is_given_up(world: World) -> None:
    world.add(20)
    world.fault(ei.Reply(502, "bad gateway"), count=None)
    with pytest.raises(CloudUnavailable, match="HTTP 502"):
        world.run()
    assert world.states() == {"approved": 20}
    assert len(world.course.waited) == MOST_TRIES - 1
    assert len(set(world.course.waited)) > 1  # jitter
    assert world.requests() <= 2 * MOST_TRIES


def test_failures_with_successes_between_them_do_not_add_up(world: World) -> None:
    world.set(batch=1)
    world.add(2 * MOST_TRIES + 2)
    for number in range(MOST_TRIES + 2):
        world.fault(ei.Reply(502, "bad gateway"), after=2 * number)
    assert world.run().uploaded == 2 * MOST_TRIES + 2
    assert world.course.waited


def test_a_dead_server_is_given_up(world: World) -> None:
    world.add(4)
    ingestion = IngestionHttp("http://127.0.0.1:1", KEY, LIMITS)
    with pytest.raises(CloudUnavailable, match="nothing listens"):
        world.uploader().run(UploadOrder(), world.course, Destination(ingestion))
    ingestion.close()
    assert world.states() == {"approved": 4}


# -- refused pictures -----------------------------------------------------------------------------


def test_a_broken_picture_fails_with_its_reason_and_the_others_go(world: World) -> None:
    good = world.add(3)
    (broken,) = world.add(data=jpeg(99)[:-40])
    good += world.add(3)
    summary = world.run()
    assert (summary.uploaded, summary.failed) == (6, 1)
    assert world.there() == names(good)
    found = world.sample(broken)
    assert found.state is SampleState.FAILED
    assert "Could not read image" in found.state_reason


def test_a_picture_whose_file_is_gone_fails(world: World) -> None:
    ids = world.add(3)
    world.store.picture(world.sample(ids[1])).unlink()
    summary = world.run()
    assert (summary.uploaded, summary.failed) == (2, 1)
    assert "file" in world.sample(ids[1]).state_reason


def test_a_request_that_is_refused_as_a_whole_is_sent_singly(world: World) -> None:
    ids = world.add(4)
    world.fault(ei.refusal(400, "Something in here is wrong"))
    summary = world.run()
    assert (summary.uploaded, summary.failed) == (4, 0)
    assert world.there() == names(ids)
    assert world.requests() == 5
    assert world.course.waited == []


def test_one_picture_that_is_refused_alone_fails_alone(world: World) -> None:
    ids = world.add(4)
    world.fault(ei.refusal(400, "Something in here is wrong"), count=2)
    summary = world.run()
    assert (summary.uploaded, summary.failed) == (3, 1)
    (failed,) = [name for name in ids if world.sample(name).state is SampleState.FAILED]
    assert "Something in here is wrong" in world.sample(failed).state_reason


def test_a_project_that_takes_nothing_is_not_asked_for_each_picture(world: World) -> None:
    world.add(40)
    world.fault(ei.refusal(400, "Your project is full"), count=None)
    with pytest.raises(CloudRejected, match="Your project is full"):
        world.run()
    states = world.states()
    assert MOST_REFUSED <= states["failed"] <= MOST_REFUSED + 1  # one was under way
    assert states["failed"] + states["approved"] == 40
    assert world.requests() <= MOST_REFUSED + 13


# -- duplicates -----------------------------------------------------------------------------------


def test_what_is_there_already_counts_as_done(world: World) -> None:
    ids = world.add(3)
    twin = world.project.add_sample("elsewhere.jpg", jpeg(2))
    summary = world.run()
    assert (summary.uploaded, summary.duplicates) == (3, 1)
    assert world.sample(ids[1]).duplicate
    assert world.sample(ids[1]).remote_id == twin.id
    assert len(world.there()) == 3


def duplicates(*file_names: str) -> ei.Reply:
    """Return the answer of a server that does not tell ids."""
    files = [
        {"success": False, "error": "An item with this hash already exists", "fileName": name}
        for name in file_names
    ]
    return ei.Reply(200, json.dumps({"success": True, "files": files}))


def test_ids_that_are_not_told_are_looked_for(world: World) -> None:
    (known,) = world.add()
    (unknown,) = world.add()
    there = world.project.add_sample(f"{known}.jpg", b"x", "testing")
    world.fault(duplicates(f"{known}.jpg", f"{unknown}.jpg"))
    assert world.run(studio=True).duplicates == 2
    assert world.sample(known).remote_id == there.id
    assert world.sample(unknown).remote_id is None
    assert world.states() == {"uploaded": 2}


@pytest.mark.parametrize("reply", [ei.refusal(403, "No"), ei.Reply(500, "oops")])
def test_a_studio_that_does_not_help_is_no_harm(world: World, reply: ei.Reply) -> None:
    ids = world.add(3)
    world.emulator.faults.add(ei.Fault("*/raw-data", reply, count=None))
    world.fault(duplicates(*names(ids)))
    assert world.run(studio=True).uploaded == 3
    assert len(world.emulator.asked("/raw-data")) == 1
    assert world.states() == {"uploaded": 3}


# -- cancelling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_at", ["looking", "uploading", "trying again", "wait"])
def test_a_job_can_be_stopped_anywhere(world: World, stop_at: str) -> None:
    world.add(8)
    if stop_at in ("trying again", "wait"):
        world.fault(ei.Reply(500, "oops"))
    world.course.stop_at = stop_at
    with pytest.raises(Stopped):
        world.run()
    assert set(world.states()) <= {"approved", "uploaded"}
    assert len(world.there()) == world.states().get("uploaded", 0)
    world.course.stop_at = ""
    world.run()
    assert world.states() == {"uploaded": 8}
    assert len(world.there()) == 8


def test_a_request_under_way_is_noted_when_the_job_is_stopped(world: World) -> None:
    world.set(batch=1)
    ids = world.add(5)
    hang = ei.Hang()
    world.fault(hang)

    def stop(text: str) -> None:
        if text == "uploading pictures" and world.course.told[:-1].count(world.course.told[-1]):
            wait_for(lambda: world.requests() == 1)
            hang.until.set()
            raise Stopped

    world.course.on_step = stop
    with pytest.raises(Stopped):
        world.run()
    assert world.states() == {"uploaded": 1, "approved": 4}
    assert len(world.there()) == 1
    assert set(world.there()) <= set(names(ids))


def test_two_uploads_at_the_same_time_are_refused(world: World) -> None:
    world.add(1)
    hang = ei.Hang()
    world.fault(hang)
    uploader = world.uploader()
    destination = Destination(world.ingestion())
    first = threading.Thread(
        target=uploader.run, args=(UploadOrder(), Recorded(), destination), daemon=True
    )
    first.start()
    wait_for(lambda: world.requests() == 1)
    with pytest.raises(RejectedError, match="under way"):
        uploader.run(UploadOrder(), world.course, destination)
    hang.until.set()
    first.join()
    assert world.states() == {"uploaded": 1}


# -- by itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"mode": "manual"}, "when a person says so"),
        ({"mode": "approved", "metered": True}, "metered"),
        ({"mode": "approved", "window": "22:00-06:00"}, "outside of the upload window"),
    ],
)
def test_by_itself_nothing_goes_that_may_not(
    world: World, options: dict[str, Any], left: str
) -> None:
    world.set(**options)
    world.add(3)
    summary = world.run(by_itself=True)
    assert summary.uploaded == 0
    assert left in summary.left
    assert world.requests() == 0
    assert world.states() == {"approved": 3}
    assert world.run().uploaded == 3  # by hand it goes whatever is set


def test_by_itself_the_mode_says_whether_new_pictures_go(world: World) -> None:
    new, approved = world.add(2, state=None), world.add(2)
    world.set(mode="approved")
    assert world.run(by_itself=True, include_new=True).uploaded == 2
    assert world.there() == names(approved)
    world.set(mode="automatic")
    assert world.run(by_itself=True).uploaded == 2
    assert world.there() == names(new + approved)


def large(number: int) -> bytes:
    return jpeg(number)[:-2] + bytes(250_000) + b"\xff\xd9"


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_by_itself_no_more_goes_than_the_megabytes_of_a_day(world: World, batch: int) -> None:
    world.set(mode="approved", mb_per_day=1, batch=batch)
    for number in range(10):
        world.add(data=large(number))
    first = world.run(by_itself=True)
    assert first.uploaded == 3
    assert first.bytes <= 1_000_000
    assert "1 MB" in first.left
    assert world.states() == {"uploaded": 3, "approved": 7}
    again = world.run(by_itself=True)
    assert (again.uploaded, again.left) == (0, "no more fits into the 1 MB of today")
    world.clock.now_us += 12 * 3600 * 1_000_000  # tomorrow
    assert world.run(by_itself=True).uploaded == 3
    assert world.run().uploaded == 4  # by hand the rest


def test_a_clock_that_is_put_back_does_not_stop_uploads_for_good(world: World) -> None:
    world.set(mode="approved", mb_per_day=1)
    for number in range(10):
        world.add(data=large(number))
    assert world.run(by_itself=True).uploaded == 3
    world.clock.now_us -= 40 * 24 * 3600 * 1_000_000
    assert world.run(by_itself=True).uploaded == 3
    assert world.run(by_itself=True).uploaded == 0


def test_a_window_that_closes_during_the_upload_ends_it(world: World) -> None:
    world.set(mode="approved", window="11:00-13:00", batch=1)
    world.add(10)

    def pass_time(text: str) -> None:
        if text == "uploading pictures":
            world.clock.now_us += 15 * 60 * 1_000_000

    world.course.on_step = pass_time
    summary = world.run(by_itself=True)
    assert 0 < summary.uploaded < 6
    assert "outside of the upload window" in summary.left
    assert world.states() == {"uploaded": summary.uploaded, "approved": 10 - summary.uploaded}


# -- disks and crashes ----------------------------------------------------------------------------


def test_a_store_that_fails_ends_the_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add(6)

    def fail(*_args: Any) -> None:
        raise StorageUnavailable(os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "end_upload", fail)
        with pytest.raises(StorageUnavailable):
            world.run()
    assert world.states() == {"approved": 6}
    # What was sent is there; the next job is told so.
    summary = world.run()
    assert summary.uploaded == 6
    assert summary.duplicates > 0
    assert world.states() == {"uploaded": 6}
    assert len(world.there()) == 6


def test_what_a_crash_left_behind_is_sent_again(world: World) -> None:
    ids = world.add(4)
    assert world.store.begin_upload(ids[:2]) == frozenset(ids[:2])
    assert world.run().uploaded == 4


def test_a_fault_of_this_program_leaves_the_store_as_it_was(world: World) -> None:
    class Broken:
        def send(self, *_args: Any) -> Any:
            raise ZeroDivisionError

        def close(self) -> None: ...

    world.add(4)
    with pytest.raises(ZeroDivisionError):
        world.uploader().run(UploadOrder(), world.course, Destination(Broken()))
    assert world.states() == {"approved": 4}


def test_killed_again_and_again_nothing_is_lost_or_doubled(world: World, tmp_path: Path) -> None:
    ids = world.add(60)
    world.store.close()
    world.fault(ei.Delay(0.03), count=None)
    folder = str(tmp_path / "samples")
    work = [sys.executable, "-m", "support.upload_work", folder, world.urls.ingestion]
    chance = random.Random(7)  # noqa: S311 - when to kill
    kills = 0
    while len(world.there()) < len(ids):
        target = len(world.there()) + chance.randrange(2, 20)
        with subprocess.Popen(work, cwd=ROOT / "tests") as process:
            wait_for(partial(_beyond, world, target, process), 60)
            kills += process.poll() is None
            process.kill()  # SIGKILL
    assert kills >= 4
    world.emulator.faults.clear()
    assert world.run().failed == 0
    assert world.states() == {"uploaded": len(ids)}
    assert world.there() == names(ids)
    by_name = {each.filename: each.id for each in world.project.samples.values()}
    for name in ids:
        found = world.sample(name)
        assert found.remote_id == by_name[found.file_name]
        assert world.store.picture(found).exists()


def _beyond(world: World, target: int, process: "subprocess.Popen[bytes]") -> bool:
    return len(world.there()) >= target or process.poll() is not None
