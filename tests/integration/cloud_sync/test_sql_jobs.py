"""Jobs in the database: kept, bounded, and what a crash left of them."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from nxai_cloud_sync.adapters import sql_database, sql_jobs
from nxai_cloud_sync.adapters.sql_database import Database
from nxai_cloud_sync.adapters.sql_jobs import LONGEST_TEXT, SqlJobs
from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_cloud_sync.core.job_record import BROKEN_OFF, JobRecord
from nxai_cloud_sync.ports import JobHistory, StorageUnavailable
from nxai_common.contracts.progress import JobState
from support.samples import kept, totals_are_true

pytestmark = pytest.mark.integration


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlSamples]:
    with SqlSamples(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def jobs(store: SqlSamples) -> JobHistory:
    return SqlJobs(store.database)


def record(number: int, command: str = "upload", **rest: Any) -> JobRecord:
    return JobRecord(f"{command}-{number}", command, number, number, **rest)


def ended(number: int, command: str = "upload", **rest: Any) -> JobRecord:
    return record(number, command, state=JobState.DONE, ended_at_us=number + 1, **rest)


def test_all_that_is_known_of_a_job_is_kept(jobs: JobHistory, store: SqlSamples) -> None:
    full = JobRecord(
        job="upload-1-ab",
        command="upload",
        started_at_us=1,
        at_us=2,
        what="approved pictures",
        state=JobState.FAILED,
        text="no network: häß",
        done=3,
        total=4,
        ended_at_us=5,
        details={"uploaded": 1, "left": "", "ms": 0.5, "take": True, "nothing": None},
    )
    jobs.keep(full)
    assert jobs.newest("", 10) == (full,)
    assert SqlJobs(store.database).newest("", 10) == (full,)


def test_the_end_takes_the_place_of_the_beginning(jobs: JobHistory) -> None:
    jobs.keep(record(1))
    jobs.keep(record(2))
    jobs.keep(ended(1, text="done"))
    assert jobs.newest("", 10) == (record(2), ended(1, text="done"))
    jobs.forget("upload-2")
    jobs.forget("upload-2")
    assert jobs.newest("", 10) == (ended(1, text="done"),)


def test_the_newest_of_a_command_are_listed(jobs: JobHistory) -> None:
    for number in range(1, 6):
        jobs.keep(ended(number, "upload" if number % 2 else "pull"))
    assert [one.job for one in jobs.newest("", 2)] == ["upload-5", "pull-4"]
    assert [one.job for one in jobs.newest("upload", 2)] == ["upload-5", "upload-3"]
    assert jobs.newest("link", 2) == ()


def test_the_last_of_each_command_are_kept(
    jobs: JobHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sql_jobs.KEPT == 500
    monkeypatch.setattr(sql_jobs, "KEPT", 5)
    jobs.keep(ended(0, "upload"))
    for number in range(20):
        jobs.keep(ended(number, "check-updates"))
    assert [one.job for one in jobs.newest("check-updates", 100)] == [
        f"check-updates-{number}" for number in range(19, 14, -1)
    ]
    assert [one.job for one in jobs.newest("upload", 100)] == ["upload-0"]


def test_a_long_story_is_cut(jobs: JobHistory) -> None:
    jobs.keep(ended(1, text="x" * 100_000))
    assert jobs.newest("", 1)[0].text == "x" * LONGEST_TEXT


def test_what_a_crash_broke_off_has_failed(jobs: JobHistory, store: SqlSamples) -> None:
    jobs.keep(ended(1))
    jobs.keep(record(2, state=JobState.RUNNING, text="uploading", details={"uploaded": 2}))
    jobs.keep(record(3, "pull"))
    again = SqlJobs(store.database)  # of the next process
    again.keep(record(4, "retrain"))
    third, broken_pull, broken, first = again.newest("", 10)
    assert first == ended(1)
    assert broken == record(2, state=JobState.FAILED, text=BROKEN_OFF, details={"uploaded": 2})
    assert broken_pull == record(3, "pull", state=JobState.FAILED, text=BROKEN_OFF)
    assert third == record(4, "retrain"), "it is under way"
    assert broken.ended_at_us is None, "nobody knows when"


def test_a_database_that_does_not_do_says_so_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_database, "BUSY_TIMEOUT_S", 0.05)
    with SqlSamples(tmp_path / "state") as store:
        store.usage()
        jobs = SqlJobs(store.database)
        SqlJobs(store.database).keep(record(1))
        with closing(sqlite3.connect(tmp_path / "state/samples.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            for ask in (
                lambda: jobs.keep(record(2)),
                lambda: jobs.forget("upload-1"),
                lambda: jobs.newest("", 1),
            ):
                with pytest.raises(StorageUnavailable, match="locked"):
                    ask()
            other.rollback()
        assert jobs.newest("", 1)[0].text == BROKEN_OFF
    with pytest.raises(StorageUnavailable, match="as the service ends"):
        jobs.keep(record(3))


def test_several_threads_keep_jobs(jobs: JobHistory) -> None:
    def work(command: str) -> None:
        for number in range(20):
            jobs.keep(record(number, command))
            jobs.keep(ended(number, command))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("pull", "upload")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = jobs.newest("", 100)
    assert len(found) == 40
    assert {one.state for one in found} == {JobState.DONE}


# -- the migration --------------------------------------------------------------------------------


def migrate(database: Database, revision: str, step: Any) -> None:
    with as_file(files("nxai_cloud_sync") / "migrations") as folder, database.writing() as opened:
        config = Config()
        config.set_main_option("script_location", str(folder))
        config.attributes["connection"] = opened
        step(config, revision)


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as raw:
        rows = raw.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
        return {name for (name,) in rows.fetchall()}


def test_pictures_of_the_version_before_are_counted_and_stay(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    new = {"jobs", "jobs_by_command", "held", "held_inserted", "held_deleted", "kept_by_time"}
    with SqlSamples(folder) as store:
        for number in range(6):
            kept(store, number, camera="front" if number % 3 else "back")
    path = folder / "samples.db"
    with closing(Database(path)) as database:
        before = tables(path)
        migrate(database, "0001", command.downgrade)
        assert tables(path) == before - new
        with database.reading() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM samples")) == 6
    with SqlSamples(folder) as store:  # the newer version again
        counts = store.counts(0, 0, 10**18)
        assert tables(path) == before
        assert counts.by_camera == {"front": 4, "back": 2}
        assert counts.by_strategy == {"uncertain": 6}
        assert SqlJobs(store.database).newest("", 10) == ()
    totals_are_true(folder)


def test_a_job_is_no_other_when_it_is_kept_again(jobs: JobHistory) -> None:
    one = record(1)
    jobs.keep(one)
    jobs.keep(replace(one, text="again"))
    assert [kept.text for kept in jobs.newest("", 10)] == ["again"]
