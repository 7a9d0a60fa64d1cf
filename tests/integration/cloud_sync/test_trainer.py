"""Trainings at an Edge Impulse on real sockets, remembered in a real file."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nxai_cloud_sync.adapters.state_file import StateFile
from nxai_cloud_sync.adapters.studio_http import StudioHttp
from nxai_cloud_sync.core.job_record import Details
from nxai_cloud_sync.jobs import Cancelled
from nxai_cloud_sync.ports import Studio
from nxai_cloud_sync.trainer import TRAINING, Trainer, TrainingUnderWay
from nxai_common.errors import CloudRejected, KeyRefused
from nxai_common.retry import RetryPolicy
from support import edge_impulse as ei
from support.cloud_sync import Heard
from support.waiting import wait_for

KEY = "ei_" + "0123456789abcdef" * 4
SOON = RetryPolicy(first_s=0.01, longest_s=0.02, floor_s=0.01)
LOG = ("Creating job...", "Epoch 1/2", "Epoch 2/2", "Job completed (success)")


class Site:
    """A project there, and a trainer here."""

    def __init__(self, emulator: ei.Emulator, urls: ei.Urls, folder: Path) -> None:
        self.emulator = emulator
        (self.project,) = emulator.projects.values()
        self.urls = urls
        self.key = KEY
        self.state = StateFile(folder / "training.json", TRAINING)
        self.heard = Heard()

    @property
    def trainer(self) -> Trainer:
        """A trainer that has just been started."""
        return Trainer(self.state, random.Random(), poll_s=0.01, retry=SOON)  # noqa: S311 - jitter

    def studio(self) -> Studio:
        return StudioHttp(self.urls.studio, self.key)

    def run(self) -> Details:
        return self.trainer.run(self.heard.job, self.studio, self.project.id, 1)

    def follow(self, number: int) -> Details:
        under_way = TrainingUnderWay(self.project.id, number)
        return self.trainer.go_on(self.heard.job, self.studio, under_way)

    @property
    def job(self) -> ei.Job:
        """The only one there."""
        (found,) = self.project.jobs
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    emulator = ei.Emulator()
    project = emulator.add_project("Parcels", key=KEY)
    project.add_impulse(ei.fomo(("box", "bag"), float32=ei.tflite_like(1)))
    project.next_training = ei.Training(ei.downloads(ei.tflite_like(2)), log=LOG)
    with ei.running(emulator) as urls:
        yield Site(emulator, urls, tmp_path)


def test_a_training_is_started_and_followed_line_by_line(site: Site) -> None:
    assert site.run() == {"training": site.job.id}
    assert site.job.successful
    assert [text for text in site.heard.texts if text in LOG] == list(LOG)
    assert site.state.read() is None


def test_a_training_that_somebody_started_in_studio_is_followed(site: Site) -> None:
    site.project.retrain()
    site.run()
    assert site.job.successful
    assert f"a training runs already: following job {site.job.id}" in site.heard.texts


def test_a_training_that_fails_says_why(site: Site) -> None:
    lines = ("Creating job...", "ERR: too few pictures", "Job failed (see above)")
    site.project.next_training = ei.Training(log=lines, succeeds=False)
    with pytest.raises(CloudRejected) as caught:
        site.run()
    assert str(caught.value) == "the training failed: ERR: too few pictures"
    assert site.state.read() is None


def test_without_compute_time_nothing_is_started(site: Site) -> None:
    site.project.compute_time_left_ms = 0
    with pytest.raises(CloudRejected, match="exceeded the compute time limit"):
        site.run()
    assert site.project.jobs == []


def test_whatever_the_network_does_it_is_followed_to_the_end(site: Site) -> None:
    faults = site.emulator.faults
    faults.add(ei.Fault("*/status", ei.Reply(503), count=3, after=1))
    faults.add(ei.Fault("*/status", ei.too_many("0"), count=2, after=2))
    faults.add(ei.Fault("*/stdout", ei.captive_portal(), count=2))
    faults.add(ei.Fault("*/stdout", ei.LoseAnswer(), count=2, after=1))
    assert site.run() == {"training": site.job.id}
    assert [text for text in site.heard.texts if text in LOG] == list(LOG)
    assert faults.left() == []


def test_a_start_whose_answer_is_lost_is_ours(site: Site) -> None:
    site.emulator.faults.add(ei.Fault("POST */jobs/retrain", ei.LoseAnswer()))
    assert site.run() == {"training": site.job.id}
    assert f"job {site.job.id} trains the project" in site.heard.texts


def test_a_job_that_is_gone_is_followed_no_more(site: Site) -> None:
    site.state.write(TrainingUnderWay(site.project.id, 4711))
    with pytest.raises(CloudRejected):
        site.follow(4711)
    assert site.trainer.left_over() is None


@pytest.mark.parametrize("service_ends", [False, True])
def test_cancelled_by_a_person_it_ends_there_and_with_the_service_it_goes_on(
    site: Site, service_ends: bool
) -> None:
    site.emulator.progress = "manual"
    failures: list[str] = []

    def run() -> None:
        try:
            site.run()
        except Cancelled as cancelled:
            failures.append(str(cancelled))

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: site.state.read() is not None and len(site.heard.steps) > 2)
    site.heard.job.cancel(left="the service ends" if service_ends else "")
    thread.join(10)
    if not service_ends:
        assert failures == [f"job {site.job.id} was cancelled"]
        assert (site.job.active, site.state.read()) == (False, None)
        return
    assert failures == [
        f"the service ends; job {site.job.id} goes on at Edge Impulse, and is followed again later"
    ]
    assert site.job.active
    left = site.trainer.left_over()
    assert left == TrainingUnderWay(site.project.id, site.job.id)
    site.heard = Heard()  # the next start
    site.emulator.progress = "polls"
    assert site.follow(left.job) == {"training": site.job.id}
    assert site.state.read() is None


def test_a_key_that_is_revoked_meanwhile_may_be_replaced(site: Site) -> None:
    job = site.project.retrain()
    site.state.write(TrainingUnderWay(site.project.id, job.id))
    site.project.revoke(KEY)
    with pytest.raises(KeyRefused):
        site.follow(job.id)
    site.key = "ei_" + "f" * 64
    site.project.add_key(site.key)
    left = site.trainer.left_over()
    assert left is not None
    assert site.follow(left.job) == {"training": job.id}
