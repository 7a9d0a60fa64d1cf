"""What happens in the middle of something else: restarts, another project, key or policy."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nxai_common.contracts import commands as c
from nxai_common.contracts.configuration import CloudSyncConfiguration
from nxai_common.contracts.deployments import Phase
from nxai_common.contracts.progress import JobState
from support.cloud_sync import camera, capturing, fails, model
from support.cloud_sync_service import KEY, LABELS, Box
from support.edge_impulse import Emulator, Fault, Hang, Project, Reply, downloads, fomo, running
from support.linked_box import (
    HOUR_S,
    MODEL,
    NEW,
    OLD,
    TRY,
    approve,
    everything_by_itself,
    frames,
    kept,
    kept_more,
    known,
    linked_box,
    report,
    sent,
    trains,
)
from support.models_for_import import digest_of, noise

pytestmark = pytest.mark.unit


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Box]:
    """A linked box on which the first model runs, and inference beside it."""
    with linked_box(tmp_path) as made:
        yield made


def in_force(box: Box) -> str:
    """Return the version that shall be in force."""
    record = box.deployer.record(MODEL)
    assert record is not None
    return record.digest


def test_pull_takes_the_learn_block_that_was_picked(here: Box) -> None:
    impulse = here.project.impulse()
    first = impulse.learn[0]
    second = replace(first, id=7, title="Second", artefacts=downloads(noise(5)), labels=LABELS)
    impulse.learn.append(second)
    here.project.touch()
    done = here.do(c.LinkProject(learn_block=7)).details
    assert done["learn_block"] == 7
    pulled = here.do(c.PullModel()).details
    assert pulled["digest"] == digest_of(noise(5)), pulled


def crash_while_uploading(here: Box) -> str:
    one, *_ = kept(here, 1)
    approve(here, one)
    # what a power cut leaves: the picture is in a request that was begun
    here.samples.begin_upload([one])
    here.stop()
    here.start()
    here.turn(times=3)
    return one


def test_after_a_crash_pictures_go_up_by_themselves(here: Box) -> None:
    one = crash_while_uploading(here)
    here.configure(upload={"mode": "approved"}, updates={"policy": "off"})
    here.passes(6 * HOUR_S, 30)
    assert sent(here) == {one}, here.samples.get(one)


def test_after_a_crash_a_person_may_discard(here: Box) -> None:
    one = crash_while_uploading(here)
    here.passes(HOUR_S, 60)
    here.yes(c.ReviewSamples(samples=(one,), decision="discarded"))


@pytest.mark.parametrize("what", ["upload", "training"])
def test_a_key_that_was_replaced_while_a_job_went_on(here: Box, what: str) -> None:
    here.emulator.progress = "manual"
    hanging = Hang()
    everything: dict[str, Any] = {
        "upload": {"mode": "automatic"},
        "updates": {"policy": "import", "poll_s": 60},
    }
    if what == "training":
        trains(here)
        job = here.started(c.RetrainModel(confirm=True))
        here.until(lambda: here.project.jobs and here.asked("/status"), step_s=0)
    else:
        kept(here, 2)
        here.emulator.faults.add(Fault("POST /api/*/files", hanging))
        job = here.started(c.UploadSamples(include_new=True))
        here.until(lambda: here.asked("/files") == 1, step_s=0)
    # The person makes a new key, links it, and deletes the old one: all as the guide says.
    here.project.add_key("ei_0123_new")
    here.link("ei_0123_new")
    here.project.revoke(KEY)
    if what == "upload":
        hanging.until.set()
        kept_more(here, 2)
    here.configure(**everything)
    end = here.end_of(job)
    here.turn(60, 60)
    assert here.told() == [], end.text
    here.emulator.progress = "polls"
    here.train(3)
    here.until(lambda: NEW in known(here), step_s=30)


FORBIDDEN = Reply(403, '{"success":false,"error":"Forbidden"}')


def test_trouble_ends_when_the_key_does_again(here: Box) -> None:
    everything_by_itself(here)
    here.emulator.faults.add(Fault("*", FORBIDDEN))
    here.until(lambda: here.json(c.ShowLink())["trouble"])
    here.until(lambda: here.idle, step_s=0)
    here.do(c.CheckUpdates())  # the person asks, and the key does
    here.do(c.UploadSamples(include_new=True))
    assert here.told() == []
    kept(here, 2)
    here.passes(HOUR_S, 60)
    assert len(sent(here)) == 2


def test_a_restart_between_fetch_and_trial(here: Box) -> None:
    here.configure(updates={"policy": "promote"})
    here.inference.goes()  # an update of the box: all is started anew
    here.train(3)
    here.until(lambda: known(here).get(NEW) == "fetched")
    here.stop()
    here.start()
    here.inference.runs(model(MODEL, OLD))
    here.until(lambda: known(here).get(NEW) == "ready")
    here.passes(24 * HOUR_S, 60)
    assert report(here).phase is Phase.SHADOW or report(here).candidate is not None, report(here)


def parcels(box: Box) -> Project:
    """Make another project, with a model."""
    made = box.emulator.add_project("Parcels", key="ei_0123_parcels")
    made.add_impulse(fomo(LABELS, float32=noise(11), int8=noise(12)))
    return made


def test_linking_another_project_ends_uploads_to_the_first(here: Box) -> None:
    other = parcels(here)
    here.configure(upload={"mode": "manual", "batch": 1}, updates={"policy": "off"})
    kept(here, 6)
    hanging = Hang()
    here.emulator.faults.add(Fault("POST /api/*/files", hanging, count=None))
    job = here.started(c.UploadSamples(include_new=True))
    here.until(lambda: here.asked("/files") == 2, step_s=0)
    here.link("ei_0123_parcels")
    assert here.json(c.ShowLink())["link"]["project"] == other.id
    hanging.until.set()
    assert here.end_of(job).text == "another project was linked"
    assert len(sent(here)) == 2, "what was under way"
    assert here.samples.usage().by_state == {"uploaded": 2, "new": 4}
    here.do(c.UploadSamples(include_new=True))
    assert len(other.uploaded()) == 4


def test_retrain_of_another_project(here: Box) -> None:
    parcels(here)
    here.emulator.progress = "manual"
    trains(here)
    first = here.started(c.RetrainModel(confirm=True))
    here.until(lambda: here.project.jobs, step_s=0)
    here.link("ei_0123_parcels")
    reply = here.yes(c.RetrainModel(confirm=True))
    here.turn(times=5)
    assert reply.details["job"] != first, reply.reason
    assert here.end_of(first).text.startswith("another project was linked; job ")
    assert here.project.jobs[0].active, "it goes on there: it was paid for"


def test_a_check_on_a_metered_link_fetches_nothing(here: Box) -> None:
    here.configure(updates={"policy": "import"}, upload={"metered": True})
    here.train(3)
    fetched = here.asked("/learn-data/")
    here.do(c.CheckUpdates())
    here.passes(60)
    assert here.asked("/learn-data/") == fetched


def test_shadow_never_puts_in_force_by_itself(here: Box) -> None:
    here.configure(updates={"policy": "shadow"})
    here.inference.runs(fails(MODEL, OLD, "damaged"))
    here.until(lambda: report(here).phase is Phase.FAILED)
    here.train(3)
    here.passes(HOUR_S, 30)
    assert NEW in known(here)
    assert in_force(here) == OLD


def test_the_key_goes_to_no_other_host(here: Box) -> None:
    evil = Emulator()
    with running(evil) as urls:
        here.end_of(here.started(c.LinkProject(studio=urls.studio)))
        seen = [r for r in evil.asked("") if r.headers.get("x-api-key") == KEY]
    assert not seen, seen


def test_link_and_pull_one_after_the_other(here: Box) -> None:
    parcels(here)
    here.key("ei_0123_parcels")
    hanging = Hang()
    here.emulator.faults.add(Fault("*/impulses", hanging))
    link = here.started(c.LinkProject())
    pull = here.started(c.PullModel())
    hanging.until.set()
    assert here.end_of(link).state is JobState.DONE
    end = here.end_of(pull)
    assert here.told() == []
    assert end.state is JobState.DONE, end.text


def test_a_long_watch_outlasts_a_restart_without_configuration(here: Box) -> None:
    here.configure(updates={"policy": "off"}, rollback={"minutes": 60})
    here.train(3)
    here.do(c.PullModel())
    here.yes(c.DeployModel(model=MODEL, digest=NEW, how="at-once"))
    here.inference.runs(model(MODEL, NEW))
    here.turn(times=3)
    assert report(here).phase is Phase.PROBATION
    here.passes(20 * 60, 10)
    assert report(here).phase is Phase.PROBATION
    here.stop()
    here.outside.clear(
        CloudSyncConfiguration, service="cloud-sync"
    )  # the broker lost what it kept; no manager yet
    here.start()
    here.inference.runs(model(MODEL, NEW))  # inference is quicker than the manager
    here.passes(5, 1)
    here.configure(updates={"policy": "off"}, rollback={"minutes": 60})
    here.inference.runs(model(MODEL, NEW, errors=500))
    here.passes(10, 1)
    assert in_force(here) == OLD


@pytest.mark.parametrize("early", [False, True])
def test_too_slow_is_rolled_back(here: Box, early: bool) -> None:
    """early: the new version is found right after a restart (a box that is off at night)."""
    here.configure(updates={"policy": "off"}, shadow={"frames": 4})
    here.train(3)
    here.stop()
    here.start()
    done = given = 0

    def beat(*models: tuple[str, str, int]) -> None:
        nonlocal given
        given += 150
        here.outside.publish(capturing(camera("front", decoded=given)))
        here.inference.runs(
            *(model(name, digest, processed=processed) for name, digest, processed in models)
        )
        here.passes(5, 1)

    if not early:
        for _ in range(6):
            done += 150
            beat((MODEL, OLD, done))
    here.inference.runs(model(MODEL, OLD, processed=done))
    here.configure(updates={"policy": "promote"}, shadow={"frames": 4})
    here.until(lambda: report(here).phase is Phase.SHADOW)
    for _ in range(6):  # half a minute with both; the old one gets through 30 frames a second
        done += 150
        beat((MODEL, OLD, done), (TRY, NEW, done))
    frames(here, 6)
    here.until(lambda: report(here).phase is Phase.STARTING)
    for _ in range(40):  # three minutes in which the new one gets through nothing at all
        beat((MODEL, NEW, done))
    assert in_force(here) == OLD


def test_a_picture_that_cannot_be_read_keeps_no_other_back(here: Box) -> None:
    here.configure(upload={"mode": "manual", "predictions": False}, updates={"policy": "off"})
    bad, *others = kept(here, 3)
    broken = here.samples.get(bad)
    assert broken is not None
    path = here.samples.picture(broken)
    path.unlink()
    path.mkdir()  # its name and size are there, and reading it fails, as with a bad block
    for _ in range(2):
        here.end_of(here.started(c.UploadSamples(include_new=True)))
    assert sent(here) == set(others), [s.text for s in here.ended("upload")]


@pytest.mark.parametrize("policy", ["off", "shadow"])
def test_a_policy_taken_back_during_the_trial_counts(here: Box, policy: str) -> None:
    here.configure(updates={"policy": "promote"}, shadow={"frames": 4})
    here.train(3)
    here.until(lambda: report(here).phase is Phase.SHADOW)
    here.configure(updates={"policy": policy}, shadow={"frames": 4})  # "no, let me decide"
    frames(here, 6)
    here.passes(60)
    assert in_force(here) == OLD


def test_the_newest_version_is_the_one_that_came_last(here: Box) -> None:
    """The clock was in the future when the first one came, and was put right since."""
    here.wall_offset_us += 3 * 365 * 86_400 * 1_000_000
    here.train(4)
    here.do(c.PullModel())
    here.wall_offset_us = 0
    here.train(5)
    here.do(c.PullModel())
    here.turn(times=6)
    latest = report(here).latest
    assert latest is not None
    assert latest.digest == digest_of(noise(5))


def test_an_import_is_not_removed_at_once(here: Box) -> None:
    here.wall_offset_us += 3 * 365 * 86_400 * 1_000_000
    for number in range(4, 15):
        here.train(number)
        here.do(c.PullModel())
    here.wall_offset_us = 0
    here.train(16)
    here.do(c.PullModel())
    assert digest_of(noise(16)) in known(here)


def test_of_two_that_came_while_inference_was_away_the_newest_is_tried(here: Box) -> None:
    here.configure(updates={"policy": "promote", "poll_s": 60})
    here.inference.goes()
    for number in (3, 4):
        here.train(number)
        here.until(lambda: len(known(here)) == number - 1, step_s=30)  # noqa: B023 - waited for here
    here.inference.runs(model(MODEL, OLD))
    here.until(lambda: set(known(here).values()) == {"ready"})
    here.passes(60, 1)
    candidate = report(here).candidate
    assert candidate is not None
    assert candidate.digest == digest_of(noise(4))
    assert not any(version.to_try for version in here.catalogue.versions())


def test_what_came_by_itself_is_not_tried_after_the_project_was_unlinked(here: Box) -> None:
    here.configure(updates={"policy": "promote"})
    here.inference.goes()
    here.train(3)
    here.until(lambda: known(here).get(NEW) == "fetched")
    here.yes(c.UnlinkProject())
    here.inference.runs(model(MODEL, OLD))
    here.until(lambda: known(here).get(NEW) == "ready")
    here.passes(60, 1)
    assert report(here).candidate is None


def test_a_download_that_failed_is_no_trouble_once_nothing_is_offered(here: Box) -> None:
    here.configure(updates={"policy": "import", "poll_s": 60})
    here.emulator.faults.add(Fault("*/learn-data/*", Reply(503), count=None))
    here.train(3)
    here.until(here.told)
    blocks = here.project.impulse().learn
    blocks[0] = replace(blocks[0], artefacts=())  # it is being built anew
    here.project.touch()
    here.passes(HOUR_S, 30)
    assert here.told() == []
