"""Lanes: one job after the other, told as it goes."""

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from nxai_cloud_sync import jobs
from nxai_cloud_sync.core.job_record import Details, JobRecord
from nxai_cloud_sync.job_log import JobLog
from nxai_cloud_sync.jobs import LONGEST_QUEUE, REMEMBERED, Cancelled, Job, Lane
from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Inbox, Subscription
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.errors import CloudUnavailable, NxaiError
from support.cloud_sync import Heard, Remembering, drain
from support.waiting import wait_for

pytestmark = pytest.mark.unit

DONE, FAILED, WAITING, RUNNING = (
    JobState.DONE,
    JobState.FAILED,
    JobState.WAITING,
    JobState.RUNNING,
)


class Line:
    """A lane and who listens to it."""

    def __init__(self, bus: MemoryBus, outside: MemoryBus) -> None:
        self.bus = bus
        self.inbox: Inbox = outside.subscribe(Subscription(Progress))
        self.wakes = 0
        self.ends: list[tuple[str, str | None]] = []
        self.told: list[Progress] = []
        self.history = Remembering()
        self.lane = Lane("models", bus, "cloud-sync", self._wake, JobLog(self.history))

    def _wake(self) -> None:
        self.wakes += 1

    def ended(self, job: Job, failure: NxaiError | None) -> None:
        assert job.state.ended
        self.ends.append((job.command, None if failure is None else str(failure)))

    def submit(self, command: str, work: Callable[[Job], Details]) -> Job:
        job = self.lane.submit(command, work, self.ended)
        assert job is not None
        return job

    def steps(self, job: Job) -> list[tuple[JobState, str]]:
        """Return what was told of a job so far."""
        self.told += drain(self.inbox, Progress)
        return [(step.state, step.text) for step in self.told if step.job == job.id]

    def settle(self, *done: Job) -> None:
        wait_for(lambda: all(job.state.ended for job in done) and self.wakes >= len(self.ends))
        wait_for(lambda: self.lane.idle)


@pytest.fixture
def line() -> Iterator[Line]:
    broker = MemoryBroker()
    with MemoryBus(broker) as bus, MemoryBus(broker) as outside:
        yield Line(bus, outside)


def quick(_job: Job) -> Details:
    return {}


class Gate:
    """Work that goes on when it is let, or cancelled."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, job: Job) -> Details:
        job.step("working")
        self.entered.set()
        while not self.open.is_set():
            job.wait(0.01)
        return {"answer": 42}


# -- one after the other --------------------------------------------------------------------------


def test_a_job_is_done_and_told(line: Line) -> None:
    def work(job: Job) -> Details:
        assert job.state is RUNNING
        job.step("fetching", 3, 10)
        job.text = "42 pictures"
        return {"answer": 42, "name": "x", "nothing": None}

    with line.lane:
        job = line.submit("upload", work)
        line.settle(job)
    assert line.steps(job) == [(RUNNING, "fetching"), (DONE, "42 pictures")]
    first, last = line.told
    assert (first.service, first.command, first.done, first.total) == (
        "cloud-sync",
        "upload",
        3,
        10,
    )
    assert (last.done, last.total) == (0, 0)
    assert (first.details, last.details) == ({}, {"answer": 42, "name": "x", "nothing": None})
    assert (job.state, job.details) == (DONE, last.details)
    assert line.ends == [("upload", None)]
    assert (line.lane.done, line.lane.failed) == (1, 0)
    assert line.wakes == 1


def test_jobs_are_done_in_the_order_in_which_they_came(line: Line) -> None:
    order: list[int] = []
    gate = Gate()

    def number(which: int) -> Callable[[Job], Details]:
        def work(_job: Job) -> Details:
            order.append(which)
            return {}

        return work

    with line.lane:
        line.submit("first", gate)
        last = [line.submit("next", number(which)) for which in range(5)][-1]
        gate.open.set()
        line.settle(last)
    assert order == [0, 1, 2, 3, 4]


def test_a_job_that_waits_says_for_what(line: Line) -> None:
    gate = Gate()
    with line.lane:
        first = line.submit("retrain", gate)
        assert gate.entered.wait(10)
        second = line.submit("pull", quick)
        assert line.steps(second) == [(WAITING, "waits until retrain is done")]
        assert (second.state, second.text) == (WAITING, "waits until retrain is done")
        assert (line.told[-1].done, line.told[-1].total) == (0, 0)
        gate.open.set()
        line.settle(first, second)
    assert line.steps(second)[1:] == [(DONE, "")]
    assert line.steps(first)[0] == (RUNNING, "working")  # nothing was in its way


def test_no_two_jobs_have_one_name(line: Line) -> None:
    other = Lane("uploads", line.bus, "cloud-sync", lambda: None, JobLog(Remembering()))
    found = {lane.submit("link", quick) for lane in (line.lane, other) for _ in range(5)}
    names = {job.id for job in found if job is not None}
    assert len(names) == 10
    assert all(name.startswith("link-") for name in names)
    with line.lane, other:
        pass


def test_what_waits_is_bounded(line: Line) -> None:
    gate = Gate()
    with line.lane:
        line.submit("first", gate)
        assert gate.entered.wait(10)
        waiting = [line.submit("more", quick) for _ in range(LONGEST_QUEUE)]
        assert line.lane.submit("one too many", quick, line.ended) is None
        waiting[3].cancel()  # its place is free again
        assert line.lane.submit("more", quick) is not None
        gate.open.set()
        line.settle(waiting[-1])
    assert line.lane.active("one too many") is None


def test_a_job_is_found_while_it_waits_and_runs(line: Line) -> None:
    gate = Gate()
    with line.lane:
        line.settle()  # nothing is in the lane yet
        job = line.submit("pull", gate)
        later = line.submit("import", quick)
        assert gate.entered.wait(10)
        assert line.lane.active("pull") is job
        assert line.lane.active("import") is later
        assert line.lane.active("upload") is None
        assert line.lane.idle is False
        gate.open.set()
        line.settle(job, later)
        assert line.lane.active("pull") is None
        assert line.lane.get(job.id) is job
        assert line.lane.get("pull-0-0") is None


# -- failures -------------------------------------------------------------------------------------


def test_a_job_that_fails_says_why_and_the_next_one_is_done(line: Line) -> None:
    def fail(job: Job) -> Details:
        job.step("asking")
        raise CloudUnavailable("no network")

    with line.lane:
        job, after = line.submit("pull", fail), line.submit("import", quick)
        line.settle(job, after)
    assert line.steps(job)[-1] == (FAILED, "no network")
    assert line.ends == [("pull", "no network"), ("import", None)]
    assert (line.lane.done, line.lane.failed) == (1, 1)
    assert job.text == "no network"


def test_a_mistake_is_logged_with_its_place_and_told_without(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(job: Job) -> Details:
        job.details = {"half": 1}
        raise ValueError("secret")

    with line.lane:
        job, after = line.submit("pull", fail), line.submit("import", quick)
        line.settle(job, after)
    assert line.steps(job) == [(FAILED, "unexpected ValueError; see the log")]
    assert [step.details for step in line.told if step.job == job.id] == [{"half": 1}]
    assert "Traceback" in caplog.text
    assert line.ends == [("pull", "unexpected ValueError; see the log"), ("import", None)]


def test_a_mistake_at_the_end_of_a_job_ends_no_lane(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    def ended(_job: Job, _failure: NxaiError | None) -> None:
        raise ValueError

    with line.lane:
        job = line.lane.submit("pull", quick, ended)
        after = line.submit("import", quick)
        line.settle(after)
    assert job is not None
    assert f"the end of job {job.id}" in caplog.text
    assert line.wakes == 2


def test_what_cannot_be_told_is_done(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    def work(job: Job) -> Details:
        job.step("fetching", done=-1)
        job.step("fetched")
        return {}

    with line.lane:
        job, after = line.submit("pull", work), line.submit("import", quick)
        line.settle(job, after)
    assert (RUNNING, "fetched") in line.steps(job)
    assert line.steps(job)[-1][0] is DONE
    assert f"job {job.id} cannot be told" in caplog.text


def test_how_a_job_ended_is_logged(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_job: Job) -> Details:
        raise CloudUnavailable("no network")

    with caplog.at_level(logging.INFO), line.lane:
        job = line.lane.submit("import", quick)  # nobody waits for its end
        assert job is not None
        line.settle(line.submit("pull", fail), job)
    levels = {record.getMessage().split("-")[0]: record.levelname for record in caplog.records}
    assert levels == {"pull": "WARNING", "import": "INFO"}


# -- cancelling -----------------------------------------------------------------------------------


def test_a_job_that_runs_is_cancelled_where_it_waits(line: Line) -> None:
    gate = Gate()
    with line.lane:
        job = line.submit("pull", gate)
        assert gate.entered.wait(10)
        job.cancel()
        line.settle(job)
    assert line.steps(job)[-1] == (FAILED, "cancelled")
    assert line.ends == [("pull", "cancelled")]
    assert not job.left
    assert (line.lane.done, line.lane.failed) == (0, 0)  # nothing failed


def test_a_job_waits_for_its_time_and_no_longer_than_until_it_is_cancelled() -> None:
    job = Heard().job
    began = time.monotonic()
    job.wait(0.05)
    assert time.monotonic() - began >= 0.05
    threading.Timer(0.01, job.cancel).start()
    with pytest.raises(Cancelled):
        job.wait(60)
    assert time.monotonic() - began < 30


def test_a_job_that_waits_is_cancelled_at_once(line: Line) -> None:
    gate = Gate()
    began = threading.Event()

    def work(_job: Job) -> Details:
        began.set()
        return {}

    with line.lane:
        first = line.submit("retrain", gate)
        assert gate.entered.wait(10)
        job = line.submit("pull", work)
        wakes = line.wakes
        job.cancel()
        assert (job.state, line.ends, line.wakes) == (FAILED, [("pull", "cancelled")], wakes + 1)
        assert line.steps(job)[-1] == (FAILED, "cancelled")
        assert line.lane.active("pull") is None
        job.cancel()
        gate.open.set()
        line.settle(first)
    assert not began.is_set()
    assert line.ends == [("pull", "cancelled"), ("retrain", None)]


def test_a_job_that_has_ended_is_not_cancelled_any_more(line: Line) -> None:
    with line.lane:
        job = line.submit("pull", quick)
        line.settle(job)
        job.cancel()
    assert job.state is DONE
    assert [state for state, _ in line.steps(job)] == [DONE]


def test_a_job_cancelled_while_it_is_taken_up_does_not_begin(line: Line) -> None:
    began = threading.Event()

    def work(_job: Job) -> Details:
        began.set()
        return {}

    job = line.submit("pull", work)
    job.when_cancelled = None  # the lane took it just now
    job.cancel()
    with line.lane:
        line.settle(job)
    assert not began.is_set()
    assert line.steps(job) == [(FAILED, "cancelled")]


def test_the_first_who_cancels_gives_the_reason() -> None:
    heard = Heard()
    heard.job.cancel()
    heard.job.cancel(left="the service ends")
    assert not heard.job.left
    with pytest.raises(Cancelled, match=r"^cancelled$"):
        heard.job.check()
    other = Heard()
    other.job.cancel(left="the service ends")
    other.job.cancel()
    assert other.job.left
    with pytest.raises(Cancelled, match="the service ends"):
        other.job.step("next")
    assert other.steps == []


# -- the end of the service -----------------------------------------------------------------------


def test_at_the_end_every_job_is_told_to_stop(line: Line) -> None:
    gate = Gate()
    with line.lane:
        running = line.submit("retrain", gate)
        waiting = line.submit("pull", quick)
        assert gate.entered.wait(10)
    for job in (running, waiting):
        assert job.left
        assert line.steps(job)[-1] == (FAILED, "the service ends")
    assert sorted(line.ends) == [("pull", "the service ends"), ("retrain", "the service ends")]


def test_after_the_end_nothing_is_taken_any_more(line: Line) -> None:
    with line.lane:
        pass
    assert line.lane.submit("pull", quick, line.ended) is None
    assert line.lane.idle
    assert line.steps(Heard().job) == []


def test_a_job_that_does_not_stop_holds_nobody_up(
    line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jobs, "GOODBYE_S", 0.05)
    began, go_on = threading.Event(), threading.Event()

    def stubborn(_job: Job) -> Details:
        began.set()
        assert go_on.wait(20)
        return {}

    with line.lane:
        job = line.submit("pull", stubborn)
        later = line.submit("import", quick)
        assert began.wait(10)
    assert job.state is RUNNING
    assert line.steps(later)[-1] == (FAILED, "the service ends")
    assert "lane models: its job does not stop" in caplog.text
    go_on.set()
    wait_for(lambda: job.state is DONE)


# -- what is told, and what stays in memory -------------------------------------------------------


def test_the_same_step_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    told: list[tuple[str, int, int]] = []
    job = Job(
        "x", "pull", lambda _job, _state, text, done, total, _: told.append((text, done, total))
    )
    job.step("fetching", 1, 10)
    for done in range(2, 9):
        job.step("fetching", done, 10)
    now += jobs.TELL_EVERY_S
    job.step("fetching", 9, None)
    job.step("testing")  # another step is told at once
    job.step("fetching", 10, 10)
    assert told == [
        ("fetching", 1, 10),
        ("fetching", 9, 0),
        ("testing", 0, 0),
        ("fetching", 10, 10),
    ]
    assert job.text == "fetching"


def test_a_step_that_is_not_told_is_a_place_to_be_cancelled_at() -> None:
    heard = Heard()
    heard.job.step("fetching")
    heard.job.cancel()
    with pytest.raises(Cancelled):
        heard.job.step("fetching")


def test_only_the_last_jobs_are_remembered(line: Line) -> None:
    class Large:
        """What the work of a job holds on to."""

    larges: list[weakref.ref[Large]] = []

    def work_with(large: Large) -> Callable[[Job], Details]:
        return lambda _job: {"large": large is None}

    with line.lane:
        first = last = line.submit("pull", quick)
        line.settle(first)
        for _ in range(10):
            for _ in range(LONGEST_QUEUE):
                large = Large()
                larges.append(weakref.ref(large))
                last = line.submit("pull", work_with(large))
                del large
            line.settle(last)
        assert line.lane.get(first.id) is None
        assert line.lane.get(last.id) is last
        assert len(line.lane._jobs) == REMEMBERED
        gc.collect()
        assert sum(ref() is not None for ref in larges) <= 1  # the thread has the last one in hand
    assert line.lane.done == 81


# -- what is remembered ---------------------------------------------------------------------------


def test_a_job_is_written_down_before_anybody_hears_of_it(line: Line) -> None:
    gate = Gate()
    with line.lane:
        first = line.lane.submit("upload", gate, about="approved pictures")
        assert first is not None
        assert gate.entered.wait(10)
        second = line.submit("pull", quick)
        kept = line.history.records
        assert (kept[first.id].state, kept[first.id].what) == (WAITING, "approved pictures")
        assert kept[second.id].state is WAITING
        record = first.record
        assert (record.state, record.text, record.ended_at_us) == (RUNNING, "working", None)
        gate.open.set()
        line.settle(first, second)
    record = line.history.records[first.id]
    assert record == first.record
    assert (record.state, record.details) == (DONE, {"answer": 42})
    assert record.ended_at_us is not None
    assert record.started_at_us <= record.ended_at_us == record.at_us


def test_how_far_a_job_is_is_known_though_it_is_not_told_each_time(line: Line) -> None:
    kept: list[JobRecord] = []

    def work(job: Job) -> Details:
        job.step("downloading", 1, 100)
        job.step("downloading", 2, 100)
        for number in (1, 2):
            job.so_far({"so_far": number})
        kept.append(line.history.records[job.id])
        raise CloudUnavailable("no network")

    with line.lane:
        job = line.submit("pull", work)
        line.settle(job)
    assert line.steps(job) == [(RUNNING, "downloading"), (FAILED, "no network")]
    assert [(each.state, each.details) for each in kept] == [(RUNNING, {"so_far": 1})]
    record = line.history.records[job.id]
    assert (record.done, record.total, record.text) == (2, 100, "no network")
    assert record.details == line.told[-1].details == {"so_far": 2}


def test_what_nobody_will_look_for_is_forgotten_once_it_is_done(line: Line) -> None:
    def nothing_new(job: Job) -> Details:
        job.passing = True
        return {}

    def fails(job: Job) -> Details:
        job.passing = True
        raise CloudUnavailable("no network")

    with line.lane:
        done, failed = line.submit("check-updates", nothing_new), line.submit("pull", fails)
        line.settle(done, failed)
    assert list(line.history.records) == [failed.id]


def test_a_job_is_done_whatever_becomes_of_its_record(
    line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(*_: object) -> None:
        raise LookupError("a mistake")

    gate = Gate()
    with line.lane:
        job = line.submit("pull", gate)
        monkeypatch.setattr(line.history, "keep", stumble)
        gate.open.set()
        line.settle(job)
    assert job.state is DONE
    assert f"the end of job {job.id} is not written down" in caplog.text


def test_a_job_that_came_at_the_very_end_is_not_remembered(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = line.history.keep
    with line.lane:

        def keep_slowly(record: JobRecord) -> None:
            keep(record)
            line.lane.__exit__(None, None, None)

        monkeypatch.setattr(line.history, "keep", keep_slowly)
        assert line.lane.submit("pull", quick) is None
    assert line.history.records == {}
