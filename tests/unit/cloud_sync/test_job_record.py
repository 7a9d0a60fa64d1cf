"""Which jobs a list shows, and what it says of each."""

from typing import Any

import pytest

from nxai_cloud_sync.core.job_record import JobRecord, newest, told
from nxai_common.contracts.progress import JobState

pytestmark = pytest.mark.unit


def record(job: str, command: str = "upload", **rest: Any) -> JobRecord:
    return JobRecord(job, command, 1, 1, **rest)


def names(records: tuple[JobRecord, ...]) -> list[str]:
    return [each.job for each in records]


def test_those_under_way_come_first_and_the_newest_of_them() -> None:
    under_way = (record("a"), record("b"))
    ended = (record("z"), record("y"))
    assert names(newest(under_way, ended, "", 10)) == ["b", "a", "z", "y"]
    assert names(newest(under_way, ended, "", 3)) == ["b", "a", "z"]
    assert newest((), (), "", 3) == ()


def test_a_job_is_listed_once_as_it_stands_now() -> None:
    now = record("a", state=JobState.RUNNING, text="uploading")
    (only,) = newest((now,), (record("a"), record("a", text="older")), "", 10)
    assert only is now


def test_only_those_of_a_command_are_listed_and_counted() -> None:
    under_way = (record("a", "pull"), record("b"))
    ended = (record("x", "pull"), record("y"))
    assert names(newest(under_way, ended, "pull", 2)) == ["a", "x"]
    assert newest(under_way, ended, "retrain", 2) == ()


def test_what_is_told_of_a_job() -> None:
    made = JobRecord(
        "upload-1",
        "upload",
        started_at_us=1_795_867_200_000_000,
        at_us=1_795_867_201_500_000,
        what="approved pictures",
        state=JobState.DONE,
        text="2 pictures uploaded",
        done=2,
        total=3,
        ended_at_us=1_795_867_201_500_999,
        details={"uploaded": 2},
    )
    assert told(made) == {
        "job": "upload-1",
        "command": "upload",
        "what": "approved pictures",
        "state": "done",
        "text": "2 pictures uploaded",
        "done": 2,
        "total": 3,
        "started_at": "2026-11-28T12:00:00.000+00:00",
        "at": "2026-11-28T12:00:01.500+00:00",
        "ended_at": "2026-11-28T12:00:01.500+00:00",
        "details": {"uploaded": 2},
    }
    waiting = told(record("a"))
    assert (waiting["state"], waiting["ended_at"], waiting["details"]) == ("waiting", None, {})
