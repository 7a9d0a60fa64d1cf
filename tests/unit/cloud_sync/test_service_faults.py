"""What the service does when the disk, its database or a part of itself does not do."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from nxai_cloud_sync.adapters import sql_database
from nxai_cloud_sync.adapters.state_lock import state_lock
from nxai_cloud_sync.service import COMPLAIN_EVERY_S
from nxai_common.contracts import commands as c
from nxai_common.contracts.deployments import Deployment, Deployments, Phase, Version
from nxai_common.contracts.progress import JobState
from nxai_common.errors import ConfigurationError
from support.cloud_sync import BORN, model, retained
from support.cloud_sync_service import Box, box
from support.linked_box import MODEL, NEW, OLD, linked_box
from support.samples import message

pytestmark = pytest.mark.unit

DESIRED = "services/cloud-sync/deployments"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Box]:
    """A linked box on which the first model runs, and inference beside it."""
    with linked_box(tmp_path) as made:
        yield made


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Put a folder where a file was, or a file where a folder was; no user may read that."""
    aside = path.with_name("aside")
    was_folder = path.is_dir()
    path.rename(aside)
    if was_folder:
        path.touch()
    else:
        path.mkdir()
    try:
        yield
    finally:
        path.unlink() if was_folder else path.rmdir()
        while aside.exists():
            try:
                aside.rename(path)
            except OSError:  # the service was faster, and made one anew
                shutil.rmtree(path)


def collects(box: Box, number: int) -> None:
    """See that a picture is stored that comes now."""
    before = box.service.report().counters["samples_stored"]
    box.outside.publish(message(number))
    box.until(lambda: box.service.report().counters["samples_stored"] > before, step_s=0.01)


def in_force(box: Box) -> list[str]:
    (desired,) = retained(box.outside, Deployments)
    return [deployed.digest for deployed in desired.models]


# -- opened late ----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["state/deployments.json", "state/link.json", "catalogue"])
def test_what_cannot_be_read_at_the_start_is_waited_for(
    here: Box, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    here.stop()
    gone = Deployment(
        model="gone", phase=Phase.RUNNING, since=BORN, installed=Version(digest="f" * 64)
    )
    here.outside.publish(gone)
    told = here.broker.published(DESIRED)
    with unreadable(here.folder / what):
        here.start()
        here.configure(updates={"policy": "promote"}, upload={"mode": "automatic"})
        asked = here.asked()
        here.turn(times=100)
        (problem,) = here.told()
        assert problem.startswith("disk: ")
        assert str(here.folder / what) in problem
        assert f"disk: {here.no(c.ListModels())}" == problem
        assert f"disk: {here.no(c.UndeployModel(model=MODEL))}" == problem
        assert here.service.report().configuration_revision != "", "the rest goes on"
        collects(here, 1)
        assert here.asked() == asked
        assert here.broker.published(DESIRED) == told, "who told now would take the models away"
        assert len(retained(here.outside, Deployment)) == 2
        assert [r.getMessage() for r in caplog.records].count(problem.removeprefix("disk: ")) == 1
    here.until(lambda: here.ask(c.ListModels()).ok, deadline=5)
    here.turn(times=2)
    assert here.told() == []
    assert in_force(here) == [OLD]
    assert [report.model for report in retained(here.outside, Deployment)] == [MODEL]
    assert here.json(c.ShowLink())["link"]["project"] == here.project.id


def test_a_disk_that_is_not_there_is_looked_for_less_and_less(
    here: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.stop()
    with unreadable(here.settings.catalogue_dir):
        here.start()
        looks: list[float] = []
        look = here.catalogue.open

        def noted() -> None:
            looks.append(here.clock.now)
            look()

        monkeypatch.setattr(here.catalogue, "open", noted)
        here.turn(times=600)
    assert 20 < len(looks) < 120
    here.until(lambda: here.ask(c.ListModels()).ok, deadline=5)


def test_a_state_folder_that_is_no_folder_is_waited_for(here: Box) -> None:
    here.stop()
    with unreadable(here.settings.state_dir):
        here.start()
        here.configure()
        here.turn(times=10)
        assert "disk" in {told.partition(":")[0] for told in here.told()}
        here.outside.publish(message(1))
        here.until(lambda: any("collected pictures" in told for told in here.told()))
    here.configure()  # a mount, seconds later
    here.until(lambda: here.told() == [])
    here.until(lambda: here.service.report().counters["samples_stored"] == 1)
    assert here.json(c.ListSamples())["total"] == 1
    assert in_force(here) == [OLD]


def test_another_process_that_took_a_late_folder_keeps_it(here: Box) -> None:
    here.stop()
    with unreadable(here.settings.state_dir):
        here.start()
        here.turn(times=3)
    with state_lock(here.settings.state_dir), pytest.raises(ConfigurationError, match="another"):
        here.turn(step_s=60, times=3)


def test_at_the_very_first_start_its_folders_are_made(tmp_path: Path) -> None:
    with box(tmp_path / "deep" / "down") as here:
        here.start()
        here.configure()
        here.turn(times=4)
        assert here.told() == []
        assert here.settings.state_dir.is_dir()
        assert here.settings.catalogue_dir.is_dir()


# -- later on -------------------------------------------------------------------------------------


def test_a_catalogue_that_cannot_be_read_stops_nothing_else(here: Box) -> None:
    here.train(3)
    here.configure(updates={"policy": "promote"}, upload={"mode": "automatic"})
    with unreadable(here.settings.catalogue_dir):
        here.turn(times=60)
        here.until(lambda: here.idle, step_s=0)
        reason = here.no(c.ListModels())
        assert "catalogue cannot be used" in reason
        assert here.told() == [f"disk: {reason}"], "found out by several parts, and told once"
        assert "catalogue cannot be used" in here.no(c.DeployModel(model=MODEL))
        assert "catalogue cannot be used" in here.fails(c.PullModel())
        collects(here, 1)
        here.passes(120, 10)
        assert len(here.project.uploaded()) == 1
        assert in_force(here) == [OLD]
    here.passes(7200, 30)
    assert here.told() == []
    assert retained(here.outside, Deployment)[0].candidate is not None, "it is tried by now"


def test_a_new_version_is_tried_once_the_catalogue_can_be_read_again(
    here: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went away between the import and the trial."""
    here.train(3)
    pulled = here.service._routine._pulled

    def lose_it(*ended: object, **how: object) -> None:
        aside.append(here.settings.catalogue_dir.rename(here.folder / "aside"))
        here.settings.catalogue_dir.touch()
        pulled(*ended, **how)  # type: ignore[arg-type]  # whatever it takes

    aside: list[Path] = []
    monkeypatch.setattr(here.service._routine, "_pulled", lose_it)
    here.configure(updates={"policy": "promote"})
    here.until(lambda: aside)
    here.turn(times=3)
    assert any("catalogue cannot be used" in told for told in here.told())
    here.settings.catalogue_dir.unlink()
    aside[0].rename(here.settings.catalogue_dir)
    here.until(lambda: retained(here.outside, Deployment)[0].phase is Phase.SHADOW)
    assert here.told() == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_database, "BUSY_TIMEOUT_S", 0.05)


@contextmanager
def locked(box: Box) -> Iterator[None]:
    """Let another program hold the database, for readers and writers alike."""
    path = box.settings.state_dir / "samples.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
        other.execute("PRAGMA locking_mode=NORMAL")
        other.execute("SELECT * FROM store").fetchall()


@pytest.mark.usefixtures("impatient")
def test_a_locked_database_is_told_and_waited_for(here: Box) -> None:
    here.stop()
    here.start()
    here.inference.runs(model(MODEL, OLD))
    path = here.settings.state_dir / "samples.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.commit()
    with locked(here):
        here.configure(updates={"policy": "off"}, upload={"mode": "automatic"})
        here.outside.publish(message(1))
        here.until(
            lambda: "uploads" in here.service._faults and here.parts.collector.problems, step_s=1
        )
        reason = here.no(c.ListSamples())
        assert reason.endswith("samples.db: another program holds it locked; close that program")
        assert {told.partition(": ")[2] for told in here.told()} == {reason}
        assert here.no(c.ReviewSamples(samples=("one",), decision="approved")) == reason
        assert here.fails(c.UploadSamples()) == reason
        here.yes(c.UndeployModel(model=MODEL))
    here.configure(updates={"policy": "off"}, upload={"mode": "automatic"})
    here.until(lambda: here.json(c.ListSamples())["total"] == 1)
    here.passes(120, 5)
    assert here.told() == []
    assert len(here.project.uploaded()) == 1


def test_a_damaged_database_is_told_and_left_alone(here: Box) -> None:
    collects(here, 1)
    here.stop()
    path = here.settings.state_dir / "samples.db"
    pictures = sorted(here.settings.state_dir.glob("pictures-*/*/*.jpg"))
    path.write_bytes(b"no database at all" * 1000)
    here.start()
    here.inference.runs(model(MODEL, OLD))
    here.configure(updates={"policy": "off"}, upload={"mode": "automatic"})
    here.outside.publish(message(2))
    here.until(lambda: "uploads" in here.service._faults and here.parts.collector.problems)
    reason = here.no(c.ListSamples())
    assert "samples.db: this is not an SQLite database; move it away" in reason
    for command in (
        c.ShowSample(sample="one"),
        c.ReviewSamples(samples=("one",), decision="approved"),
    ):
        assert here.no(command) == reason
    assert here.fails(c.UploadSamples()) == reason
    assert {told.partition(": ")[2] for told in here.told()} == {reason}
    here.train(3)
    here.do(c.PullModel())
    here.yes(c.DeployModel(model=MODEL, digest=NEW, how="at-once"))
    here.yes(c.RollBackModel(model=MODEL))
    assert sorted(here.settings.state_dir.glob("pictures-*/*/*.jpg")) == pictures
    path.rename(path.with_suffix(".damaged"))
    here.configure(updates={"policy": "off"}, upload={"mode": "automatic"})
    here.until(lambda: here.service.report().counters["samples_stored"] == 1)
    here.passes(120, 5)
    assert here.told() == []
    assert [p for p in pictures if not p.exists()] == [], "whoever repairs it has them all"


def test_a_store_that_is_moved_away_under_the_service_is_made_anew(here: Box) -> None:
    collects(here, 1)
    here.configure(updates={"policy": "off"}, upload={"mode": "automatic"})
    shutil.move(here.settings.state_dir / "samples.db", here.folder / "samples.db")
    here.passes(120, 5)
    collects(here, 2)
    here.passes(120, 5)
    assert here.told() == []
    assert here.json(c.ListSamples())["total"] == 1


# -- faults of its own ----------------------------------------------------------------------------


def test_a_part_that_fails_is_told_and_the_others_go_on(
    here: Box, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here.configure(updates={"policy": "off"}, upload={"mode": "automatic"})

    def stumble(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a mistake")

    with monkeypatch.context() as broken:
        broken.setattr(here.deployer, "look", stumble)
        collects(here, 1)
        here.passes(3 * COMPLAIN_EVERY_S, 1)
        assert here.told() == [
            "cloud-sync: unexpected ZeroDivisionError in deployments; see the log"
        ]
        assert len(here.project.uploaded()) == 1
        assert 3 <= caplog.text.count("ZeroDivisionError: a mistake") <= 4, "once a minute"
    here.turn(times=2)
    assert here.told() == []


def test_a_message_that_it_stumbles_over_does_not_end_it(
    here: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise LookupError("a mistake")

    with monkeypatch.context() as broken:
        broken.setattr(here.deployer, "see_status", stumble)
        here.inference.runs()
        here.until(here.told)
        assert here.told() == ["cloud-sync: unexpected LookupError in messages; see the log"]
    collects(here, 1)
    assert here.told() == []


def test_what_follows_a_job_may_fail_and_the_next_job_is_done(
    here: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise LookupError("a mistake")

    with monkeypatch.context() as broken:
        broken.setattr(here.deployer, "offer", stumble)
        here.do(c.CheckUpdates())
        assert here.told() == [
            "cloud-sync: unexpected LookupError in what follows a job; see the log"
        ]
    here.do(c.CheckUpdates())
    assert here.told() == []


def test_a_job_that_it_stumbles_over_is_told(here: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object, **__: object) -> None:
        raise LookupError("a mistake")

    monkeypatch.setattr(here.parts.importer, "pull", stumble)
    assert here.fails(c.PullModel()) == "unexpected LookupError; see the log"
    monkeypatch.setattr(here.parts.uploader, "run", stumble)
    job = here.end_of(here.started(c.UploadSamples()))
    assert (job.state, job.text) == (JobState.FAILED, "unexpected LookupError; see the log")
    assert here.told() == []
