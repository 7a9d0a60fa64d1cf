"""What is remembered of jobs while the disk does, and does not."""

from dataclasses import replace

import pytest

from nxai_cloud_sync.core.job_record import JobRecord
from nxai_cloud_sync.job_log import COMPLAIN_EVERY_S, UNWRITTEN, JobLog
from nxai_common.contracts.progress import JobState
from support.cloud_sync import FULL, Clock, Remembering

pytestmark = pytest.mark.unit


def waits(job: str) -> JobRecord:
    return JobRecord(job, "upload", 1, 1)


def ends(job: str) -> JobRecord:
    return replace(waits(job), state=JobState.DONE, ended_at_us=2)


def test_a_job_is_written_down_when_it_comes_and_when_it_ends() -> None:
    history = Remembering()
    log = JobLog(history)
    log.keep(waits("a"))
    assert history.records == {"a": waits("a")}
    log.keep(ends("a"))
    assert history.records == {"a": ends("a")}
    assert log.newest((), "", 10).jobs == (ends("a"),)
    log.forget(ends("a"))
    assert history.records == {}


def test_what_ended_on_a_full_disk_is_listed_and_written_down_later() -> None:
    history = Remembering()
    log = JobLog(history)
    log.keep(ends("before"))
    history.trouble = FULL
    for name in ("a", "b"):
        log.keep(waits(name))
        log.keep(ends(name))
    found = log.newest((waits("c"),), "", 10)
    assert found.jobs == (waits("c"), ends("b"), ends("a"))
    assert found.incomplete == str(FULL)
    assert log.newest((), "pull", 10).jobs == ()
    history.trouble = None
    log.keep(waits("d"))
    assert list(history.records.values()) == [ends("before"), waits("d"), ends("a"), ends("b")]
    assert log.newest((), "", 1).incomplete == ""
    log.keep(ends("d"))
    assert history.records["d"] == ends("d")


def test_what_cannot_be_written_down_is_bounded() -> None:
    history = Remembering()
    history.trouble = FULL
    log = JobLog(history)
    for number in range(UNWRITTEN + 5):
        log.keep(ends(str(number)))
    found = log.newest((), "", 1000).jobs
    assert [record.job for record in found] == [str(n) for n in range(UNWRITTEN + 4, 4, -1)]


def test_a_full_disk_is_complained_of_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    history, clock = Remembering(), Clock()
    history.trouble = FULL
    log = JobLog(history, clock)
    for _ in range(3):
        log.keep(ends("a"))
        log.forget(waits("b"))
    assert len(caplog.records) == 1
    clock.advance(COMPLAIN_EVERY_S)
    log.keep(waits("c"))
    assert [record.getMessage() for record in caplog.records] == [
        f"job a is not written down: {FULL}",
        f"job c is not written down: {FULL}",
    ]
