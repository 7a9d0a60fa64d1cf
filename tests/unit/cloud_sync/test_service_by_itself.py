"""What the service does without being asked: updates, trials, uploads, trainings, tests."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nxai_cloud_sync.adapters.key_file import KeyFile
from nxai_cloud_sync.routine import CALLED_OFF_S
from nxai_common.contracts import commands as c
from nxai_common.contracts.configuration import CloudSyncConfiguration
from nxai_common.contracts.deployments import Phase
from nxai_common.contracts.progress import JobState
from nxai_common.errors import BrokerUnavailable
from support.cloud_sync import model
from support.cloud_sync_service import KEEP_ALL, KEY, NOON_US, Box, box
from support.edge_impulse import Fault, Hang, Reply
from support.linked_box import (
    DAY_S,
    HOUR_S,
    MODEL,
    NEW,
    OLD,
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
from support.samples import message

pytestmark = pytest.mark.unit

A_MODEL = "*/learn-data/*"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Box]:
    """A linked box on which the first model runs, and inference beside it."""
    with linked_box(tmp_path) as made:
        yield made


# -- updates --------------------------------------------------------------------------------------


def test_off_nobody_looks(here: Box) -> None:
    asked = here.asked()
    here.train(3)
    here.passes(2 * HOUR_S, 60)
    assert here.asked() == asked
    assert report(here).offered == ""


def test_metered_nobody_looks_nor_sends(here: Box) -> None:
    here.configure(updates={"policy": "promote"}, upload={"mode": "automatic", "metered": True})
    here.train(3)
    kept(here, 2)
    asked = here.asked()
    here.passes(2 * HOUR_S, 60)
    assert here.asked() == asked
    assert here.do(c.CheckUpdates()).details["offered"] == "2026-12-03 08:30"
    assert here.do(c.UploadSamples(include_new=True)).details["uploaded"] == 2


def test_a_new_model_is_offered(here: Box) -> None:
    here.configure(updates={"policy": "offer"})
    here.passes(60)
    here.train(3)
    here.passes(HOUR_S, 30)
    assert report(here).offered == "2026-12-03 08:30"
    assert known(here) == {OLD: "ready"}
    here.do(c.PullModel())
    assert report(here).offered == ""
    assert report(here).candidate is None, "what a person fetched, a person deploys"


def test_before_the_first_import_there_is_nothing_to_offer_it_to(tmp_path: Path) -> None:
    with box(tmp_path) as here:
        here.start()
        here.configure(updates={"policy": "offer"})
        here.link()
        here.passes(120)
        assert "the project's model is of 2026-01-05 08:30, which is new" in [
            step.text for step in here.ended("check-updates")
        ]
        assert here.json(c.ListModels()) == {"versions": [], "deployments": []}
        assert here.told() == []


def test_a_new_model_is_imported(here: Box) -> None:
    here.configure(updates={"policy": "import"})
    here.train(3)
    here.passes(HOUR_S, 30)
    assert known(here) == {NEW: "ready", OLD: "ready"}
    assert report(here).latest is not None
    assert report(here).phase is Phase.RUNNING
    assert report(here).candidate is None


def test_a_new_model_is_tried_and_left_to_a_person(here: Box) -> None:
    here.configure(updates={"policy": "shadow"}, shadow={"frames": 4})
    here.train(3)
    here.until(lambda: report(here).phase is Phase.SHADOW)
    frames(here, 6)
    here.until(lambda: report(here).promotable)
    here.passes(60)
    assert report(here).installed.digest == OLD
    here.yes(c.PromoteModel(model=MODEL))


def test_a_new_model_takes_over(here: Box) -> None:
    here.configure(updates={"policy": "promote"}, shadow={"frames": 4})
    here.train(3)
    here.until(lambda: report(here).phase is Phase.SHADOW)
    frames(here, 6)
    here.until(lambda: report(here).phase is Phase.STARTING)
    here.inference.runs(model(MODEL, NEW))
    here.until(lambda: report(here).installed.digest == NEW)
    here.passes(30 * 60, 10)
    assert report(here).phase is Phase.RUNNING


def test_what_a_trial_spoke_against_is_not_taken_up_again(here: Box) -> None:
    here.configure(updates={"policy": "promote"}, shadow={"frames": 4})
    here.train(3)
    here.until(lambda: report(here).phase is Phase.SHADOW)
    frames(here, 6, after=("bolt",))
    here.until(lambda: report(here).candidate is not None and report(here).phase is Phase.RUNNING)
    assert f"version {NEW[:12]} was not put in force: both found the same in 0% of" in (
        report(here).reason
    )
    fetched = here.asked("/learn-data/")
    here.inference.runs(model(MODEL, OLD))
    here.passes(DAY_S, 600)
    assert report(here).phase is Phase.RUNNING
    assert report(here).installed.digest == OLD
    assert here.asked("/learn-data/") == fetched
    here.yes(c.PromoteModel(model=MODEL))  # a person may


def test_what_was_rolled_back_is_not_taken_up_again(here: Box) -> None:
    here.train(3)
    here.do(c.PullModel())
    here.yes(c.DeployModel(model=MODEL, digest=NEW, how="at-once"))
    here.inference.runs(model(MODEL, NEW))
    here.turn(times=2)
    here.yes(c.RollBackModel(model=MODEL))
    here.inference.runs(model(MODEL, OLD))
    shutil.rmtree(here.settings.catalogue_dir / NEW)  # so that it is fetched again
    here.configure(updates={"policy": "promote"})
    here.until(lambda: NEW in known(here))
    here.passes(HOUR_S, 60)
    assert report(here).candidate is None
    assert report(here).installed.digest == OLD


def test_what_a_person_deleted_does_not_come_again_by_itself(here: Box) -> None:
    here.configure(updates={"policy": "off"})
    here.train(3)
    here.do(c.PullModel())
    here.yes(c.DeleteModel(digest=NEW))
    here.stop()
    here.start()  # it is remembered
    here.inference.runs(model(MODEL, OLD))
    here.configure(updates={"policy": "promote"})
    here.passes(HOUR_S, 60)
    here.project.touch()
    here.passes(HOUR_S, 60)
    assert NEW not in known(here)
    assert report(here).offered == ""
    assert "was deleted here" in here.do(c.CheckUpdates()).text
    here.do(c.PullModel())  # a person may
    assert known(here)[NEW] == "ready"
    here.yes(c.DeleteModel(digest=NEW))
    here.train(4)
    here.until(lambda: digest_of(noise(4)) in known(here))


def test_what_fails_its_test_is_fetched_once(here: Box) -> None:
    here.configure(updates={"policy": "promote"})
    here.inference.refuse = "an operator that nothing here runs"
    here.train(3)
    here.until(lambda: known(here).get(NEW) == "refused")
    fetched = here.asked("/learn-data/")
    here.passes(DAY_S, 600)
    assert here.asked("/learn-data/") == fetched
    assert (report(here).offered, report(here).candidate) == ("", None)


def test_a_download_that_fails_is_tried_again_and_told(here: Box) -> None:
    here.configure(updates={"policy": "import"})
    here.passes(60)
    here.emulator.faults.add(Fault(A_MODEL, Reply(503), count=None))
    here.train(3)
    fetched = here.asked("/learn-data/")
    here.passes(DAY_S, 300)
    assert 3 <= here.asked("/learn-data/") - fetched <= 30
    (told,) = here.told()
    assert told.startswith("edge impulse: Edge Impulse says not now (HTTP 503, when asked for")
    here.emulator.faults.clear()
    here.passes(2 * DAY_S, 600)
    assert known(here)[NEW] == "ready"
    assert here.told() == []


def test_the_policy_of_the_moment_decides(here: Box) -> None:
    """It is changed while the new model is on its way."""
    here.configure(updates={"policy": "promote"})
    hanging = Hang()
    here.emulator.faults.add(Fault(A_MODEL, hanging))
    here.train(3)
    fetched = here.asked("/learn-data/")
    here.until(lambda: here.asked("/learn-data/") > fetched)
    here.configure(updates={"policy": "import"})
    hanging.until.set()
    here.until(lambda: NEW in known(here))
    here.passes(60)
    assert report(here).candidate is None


def test_an_edge_impulse_that_is_away_is_asked_less_and_less(here: Box) -> None:
    here.configure(updates={"policy": "offer", "poll_s": 60})
    here.passes(120)
    here.emulator.faults.add(Fault("*", Reply(503), count=None))
    asked = here.asked()
    here.passes(12 * HOUR_S, 120)
    assert 10 < here.asked() - asked < 60
    assert [told.partition(":")[0] for told in here.told()] == ["edge impulse"]
    here.emulator.faults.clear()
    here.passes(2 * HOUR_S, 60)
    assert here.told() == []


def test_before_it_is_known_what_may_nothing_goes_by_itself(here: Box) -> None:
    approve(here, *kept(here, 1))
    here.stop()
    here.outside.clear(CloudSyncConfiguration, service="cloud-sync")  # the broker lost it
    here.train(3)
    here.start()
    asked = here.asked()
    assert not here.parts.wanted.known
    here.passes(HOUR_S, 60)
    assert here.asked() == asked
    everything_by_itself(here)
    here.passes(HOUR_S, 60)
    assert len(sent(here)) == 1
    assert NEW in known(here)


# -- tests of models ------------------------------------------------------------------------------


def test_a_model_waits_for_inference_and_is_then_tried(here: Box) -> None:
    here.configure(updates={"policy": "promote"})
    here.inference.goes()
    here.train(3)
    here.until(lambda: known(here).get(NEW) == "fetched")
    here.passes(DAY_S, 600)
    assert here.ended("test") == [], "nobody is asked who is not there"
    assert report(here).candidate is None
    came_at = here.clock.now
    here.inference.runs(model(MODEL, OLD))
    here.until(lambda: report(here).phase is Phase.SHADOW, step_s=0.1)
    assert here.clock.now - came_at < 15, "the next test was half a minute away"
    assert known(here)[NEW] == "ready"
    assert len(here.ended("test")) == 1


def test_a_model_that_turns_out_to_be_bad_is_not_tried(here: Box) -> None:
    here.configure(updates={"policy": "promote"})
    here.inference.goes()
    here.train(3)
    here.until(lambda: known(here).get(NEW) == "fetched")
    here.inference.refuse = "too large"
    here.inference.runs(model(MODEL, OLD))
    here.until(lambda: known(here).get(NEW) == "refused")
    here.turn(times=3)
    assert report(here).candidate is None
    assert not any(version.to_try for version in here.catalogue.versions())


def test_what_a_person_imported_waits_for_its_test_too(here: Box) -> None:
    here.inference.goes()
    here.train(3)
    done = here.do(c.PullModel())
    assert done.details["state"] == "fetched"
    assert done.text.endswith(
        "is here and waits for its test: the inference service does not run; models are tested "
        "when it does"
    )
    reason = here.no(c.DeployModel(model=MODEL, digest=NEW))
    assert reason.endswith("cannot be used: it was not tested yet")
    here.inference.runs(model(MODEL, OLD))
    here.until(lambda: known(here).get(NEW) == "ready")
    assert report(here).candidate is None


def test_tests_that_are_not_answered_are_tried_again_later_and_later(
    here: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.inference.goes()
    here.train(3)
    here.do(c.PullModel())
    monkeypatch.setattr(here.bus, "request", _unanswered)
    here.inference.runs(model(MODEL, OLD))
    here.passes(2 * HOUR_S, 30)
    assert known(here)[NEW] == "refused", "given up: it may end the inference service"
    assert [step.state for step in here.ended("test")] == [JobState.FAILED] * 3


def _unanswered(command: c.Command, timeout: float) -> c.Reply:
    del timeout
    if isinstance(command, c.TryModel):
        raise BrokerUnavailable("no answer")
    raise NotImplementedError


# -- uploads --------------------------------------------------------------------------------------


def test_by_hand_nothing_goes_by_itself(here: Box) -> None:
    approve(here, *kept(here, 2))
    here.passes(HOUR_S, 30)
    assert sent(here) == set()


def test_what_was_approved_goes_within_half_a_minute(here: Box) -> None:
    one, two, _three = kept(here, 3)
    here.configure(upload={"mode": "approved"}, updates={"policy": "off"})
    here.passes(60)
    assert sent(here) == set()
    approve(here, one, two)
    here.passes(31)
    assert sent(here) == {one, two}
    assert len(here.ended("upload")) == 1


def test_automatically_everything_goes_but_what_never_may(here: Box) -> None:
    secret = KEEP_ALL | {"upload": "never"}
    here.configure(
        upload={"mode": "automatic"},
        updates={"policy": "off"},
        cameras={"front": KEEP_ALL, "back": secret},
    )
    kept(here, 3)
    kept_more(here, 1, camera="back")
    here.passes(120)
    cameras = {sample.metadata["camera"] for sample in here.project.uploaded()}
    assert cameras == {"front"}
    jobs = len(here.ended("upload"))
    here.passes(HOUR_S, 30)
    assert len(here.ended("upload")) == jobs, "there is nothing to begin a job for"


def test_the_window_is_kept_whatever_the_clock_does(here: Box) -> None:
    one, *_ = kept(here, 1)
    approve(here, one)
    here.configure(upload={"mode": "approved", "window": "22:00-06:00"}, updates={"policy": "off"})
    here.passes(HOUR_S, 30)  # from noon on
    assert sent(here) == set()
    here.wall_offset_us += 10 * 3600 * 1_000_000  # somebody set the clock: 23:00
    here.passes(60)
    assert sent(here) == {one}
    here.wall_offset_us -= 365 * 86_400 * 1_000_000  # and back, by a year
    assert here.now_us() < NOON_US
    two, _ = kept_more(here, 1), None
    approve(here, *two)
    here.wall_offset_us += 13 * 3600 * 1_000_000  # noon again
    here.passes(HOUR_S, 30)
    assert sent(here) == {one}
    here.wall_offset_us += 10 * 3600 * 1_000_000
    here.passes(60)
    assert len(sent(here)) == 2


def large_picture(seed: int) -> bytes:
    """Return a JPEG of 0.3 MB."""
    file = io.BytesIO()
    noisy = np.random.default_rng(seed).integers(0, 256, (480, 640, 3), np.uint8)
    Image.fromarray(noisy).save(file, "JPEG", quality=92)
    assert 250_000 < len(file.getvalue()) < 400_000
    return file.getvalue()


def test_a_days_bytes_are_not_exceeded_and_asked_about_now_and_then(here: Box) -> None:
    here.configure(
        upload={"mode": "automatic", "mb_per_day": 1, "batch": 1}, updates={"policy": "off"}
    )
    for number in range(5):
        picture = large_picture(number)
        here.outside.publish(message(number, attachment=picture, width=640, height=480))
    here.passes(10 * HOUR_S, 30)  # until 22:00
    assert len(sent(here)) == 3
    assert sum(sample.size for sample in here.project.uploaded()) <= 1_000_000
    assert 2 <= len(here.ended("upload")) < 60, "a job that has nothing to do comes seldom"
    assert here.ended("upload")[-1].details["left"] == "no more fits into the 1 MB of today"
    assert here.told() == []
    here.passes(4 * HOUR_S, 60)
    assert len(sent(here)) == 5


def test_an_ingestion_that_is_away_is_tried_again_later_and_later(here: Box) -> None:
    here.configure(upload={"mode": "automatic"}, updates={"policy": "off"})
    here.emulator.faults.add(Fault("POST /api/*/files", Reply(503), count=None))
    kept(here, 3)
    here.passes(6 * HOUR_S, 60)
    assert 5 < len(here.ended("upload")) < 40
    assert "edge impulse: Edge Impulse says not now (HTTP 503" in here.told()[0]
    here.emulator.faults.clear()
    here.passes(2 * HOUR_S, 60)
    assert len(sent(here)) == 3
    assert here.told() == []
    assert here.json(c.ListSamples(state="uploaded"))["total"] == 3


def test_an_upload_that_a_person_cancels_stays_cancelled_for_a_while(here: Box) -> None:
    hanging = Hang()
    here.emulator.faults.add(Fault("POST /api/*/files", hanging))
    here.configure(upload={"mode": "automatic"}, updates={"policy": "off"})
    kept(here, 2)
    here.until(lambda: here.asked("/files") == 1)
    job = here.heard()[-1].job
    here.yes(c.CancelJob(job=job))
    hanging.until.set()
    step = here.end_of(job)
    assert (step.state, step.text) == (JobState.FAILED, "cancelled")
    assert here.told() == []
    before = len(here.ended("upload"))
    kept_more(here, 1)
    here.passes(CALLED_OFF_S / 2, 30)
    assert len(here.ended("upload")) == before
    here.passes(CALLED_OFF_S, 30)
    assert len(sent(here)) == 3


def test_who_approves_more_pictures_wants_them_sent(here: Box) -> None:
    one, two, *_ = kept(here, 2)
    hanging = Hang()
    here.emulator.faults.add(Fault("POST /api/*/files", hanging))
    here.configure(upload={"mode": "approved"}, updates={"policy": "off"})
    approve(here, one)
    here.until(lambda: here.asked("/files") == 1)
    here.yes(c.CancelJob(job=here.heard()[-1].job))
    hanging.until.set()
    here.passes(CALLED_OFF_S / 4, 30)
    assert len(here.ended("upload")) == 1
    approve(here, two)
    here.passes(31)
    assert sent(here) == {one, two}


def test_after_what_a_person_sent_nothing_is_left_of_the_day(here: Box) -> None:
    for number in range(4):
        picture = large_picture(number)
        here.outside.publish(message(number, attachment=picture, width=640, height=480))
    here.until(lambda: here.json(c.ListSamples())["total"] == 4)
    here.do(c.UploadSamples(include_new=True))
    assert sum(sample.size for sample in here.project.uploaded()) > 1_000_000
    kept_more(here, 1)
    here.configure(upload={"mode": "automatic", "mb_per_day": 1}, updates={"policy": "off"})
    here.passes(2 * HOUR_S, 30)
    assert len(here.ended("upload")) == 1
    assert len(sent(here)) == 4


# -- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["linked again", "replaced"])
def test_after_a_refused_key_nothing_more_is_asked_until_there_is_another(
    here: Box, how: str
) -> None:
    here.project.revoke(KEY)
    everything_by_itself(here)
    here.until(lambda: here.json(c.ShowLink())["trouble"])
    here.until(lambda: here.idle, step_s=0)
    reason = here.json(c.ShowLink())["trouble"]
    assert reason.startswith("Edge Impulse refused the API key: Invalid API key (HTTP 401")
    assert here.told() == [f"edge impulse: {reason}"]
    asked = here.asked()
    kept(here, 3)
    here.passes(DAY_S, 300)
    assert here.asked() == asked
    assert "refused the API key" in here.fails(c.PullModel())  # who asks is answered
    here.project.add_key("ei_0123_new")
    if how == "replaced":  # as a Docker secret is
        KeyFile(here.settings.key_path).write("ei_0123_new")
    else:
        here.link("ei_0123_new")
    here.passes(HOUR_S, 60)
    assert here.told() == []
    assert here.json(c.ShowLink())["trouble"] == ""
    assert len(sent(here)) == 3


def test_a_key_that_only_reads_goes_on_reading(here: Box) -> None:
    here.project.add_key("ei_0123_reader", "readonly")
    here.link("ei_0123_reader")
    everything_by_itself(here)
    kept(here, 2)
    here.train(3)
    here.until(lambda: report(here).phase is Phase.SHADOW)
    assert here.ended("upload") == []
    (told,) = here.told()
    assert told.startswith("edge impulse: a key with role 'readonly' cannot upload pictures")
    assert here.json(c.ShowLink())["trouble"] == ""
    here.configure(upload={"mode": "manual"}, updates={"policy": "promote"})
    here.turn(times=3)
    assert here.told() == [], "nobody wants that any more"


def test_a_key_that_only_sends_goes_on_sending(here: Box) -> None:
    here.project.add_key("ei_0123_sender", "ingestiononly")
    here.link("ei_0123_sender")
    asked = here.asked("/v1/api/")
    everything_by_itself(here)
    kept(here, 2)
    here.until(lambda: len(sent(here)) == 2)
    here.passes(HOUR_S, 60)
    assert here.asked("/v1/api/") == asked
    assert here.ended("check-updates") == []
    (told,) = here.told()
    assert told.startswith("edge impulse: a key with role 'ingestiononly' can only upload")
    here.configure(upload={"mode": "automatic"}, updates={"policy": "offer"})
    here.turn(times=3)
    assert here.told() == [], "nobody asked for models"


def test_a_key_file_that_holds_no_key_is_told_and_asked_for_seldom(here: Box) -> None:
    here.settings.key_path.write_text("hello\n")
    everything_by_itself(here)
    kept(here, 1)
    asked = here.asked()
    here.passes(6 * HOUR_S, 60)
    assert here.asked() == asked
    told = here.told()
    assert len(told) == 1
    assert "edge-impulse-key holds no API key of Edge Impulse" in told[0]
    assert 5 < len(here.ended("check-updates")) < 40
    here.key()
    here.passes(2 * HOUR_S, 60)
    assert here.told() == []
    assert len(sent(here)) == 1


def test_a_key_that_is_gone_is_trouble_until_it_is_back(here: Box) -> None:
    here.settings.key_path.unlink()
    everything_by_itself(here)
    here.until(here.told)
    assert here.told()[0].startswith(
        "edge impulse: there is no API key; link with one, or give the service one"
    )
    here.key()
    here.passes(HOUR_S, 60)
    assert here.told() == []


# -- trainings ------------------------------------------------------------------------------------


def test_a_training_is_confirmed_followed_and_its_model_fetched(here: Box) -> None:
    here.configure(updates={"policy": "promote"})
    trains(here)
    asked = here.yes(c.RetrainModel()).reason
    assert asked == (
        "training project 'Beers vs cans' again uses compute minutes of its Edge Impulse account "
        "(20 minutes are left); nothing is started without a confirmation"
    )
    assert here.project.jobs == []
    job = here.started(c.RetrainModel(confirm=True))
    assert here.started(c.RetrainModel(confirm=True)) == job
    assert here.end_of(job).text == f"job {here.project.jobs[0].id} is done"
    assert "Epoch 1" in [step.text for step in here.steps]
    here.until(lambda: report(here).phase is Phase.SHADOW, step_s=0.1)
    assert len(here.project.jobs) == 1


def test_a_training_that_fails_is_told_to_who_asked(here: Box) -> None:
    trains(here, succeeds=False)
    assert here.fails(c.RetrainModel(confirm=True)) == "the training failed: Epoch 1"
    assert here.told() == []


def test_nothing_waits_for_the_end_of_a_training(here: Box) -> None:
    here.emulator.progress = "manual"
    trains(here)
    job = here.started(c.RetrainModel(confirm=True))
    here.until(lambda: here.asked("/status"), step_s=0)
    here.do(c.CheckUpdates())
    here.do(c.PullModel())
    here.link()
    here.do(c.UploadSamples())
    here.project.finish(here.project.jobs[0])
    assert here.end_of(job).state is JobState.DONE


def test_a_training_is_followed_over_a_restart(here: Box) -> None:
    here.configure(updates={"policy": "import"})
    here.passes(60)
    here.emulator.progress = "manual"
    trains(here)
    first = here.started(c.RetrainModel(confirm=True))
    here.until(lambda: here.project.jobs, step_s=0)
    (job,) = here.project.jobs
    here.until((here.settings.state_dir / "training.json").exists, step_s=0)
    here.stop()
    assert job.active, "it goes on there"
    here.start()
    here.inference.runs(model(MODEL, OLD))
    here.until(lambda: any(s.command == "retrain" and s.job != first for s in here.heard()))
    here.project.finish(job)
    here.until(lambda: NEW in known(here))
    assert len(here.project.jobs) == 1
    assert not (here.settings.state_dir / "training.json").exists()


@pytest.mark.parametrize("how", ["linked again", "replaced"])
def test_a_training_is_followed_again_with_another_key(here: Box, how: str) -> None:
    here.emulator.progress = "manual"
    trains(here)
    job = here.started(c.RetrainModel(confirm=True))
    here.until(lambda: here.project.jobs and here.asked("/status"), step_s=0)
    here.project.revoke(KEY)
    assert "refused the API key" in here.end_of(job).text
    here.passes(60)
    here.project.add_key("ei_0123_new")
    if how == "replaced":
        here.key("ei_0123_new")
    else:
        here.link("ei_0123_new")
    here.until(lambda: any(s.command == "retrain" and s.job != job for s in here.heard()))
    here.project.finish(here.project.jobs[0])
    here.until(lambda: here.ended("retrain")[-1].state is JobState.DONE)


def test_a_training_of_another_project_is_left_alone(here: Box) -> None:
    here.emulator.progress = "manual"
    trains(here)
    here.started(c.RetrainModel(confirm=True))
    path = here.settings.state_dir / "training.json"
    here.until(path.exists, step_s=0)
    here.stop()
    other = here.emulator.add_project("Parcels", key="ei_0123_parcels")
    other.add_impulse(here.project.impulse())
    here.start()
    here.key("ei_0123_parcels")
    before = len(here.ended("retrain"))
    (here.settings.state_dir / "link.json").unlink()
    here.stop()
    here.start()
    here.do(c.LinkProject())
    here.passes(60)
    assert len(here.ended("retrain")) == before
    assert path.exists()
    here.link()  # the first project again
    here.turn(times=3)
    here.project.finish(here.project.jobs[0])
    here.until(lambda: not path.exists())
