"""Trainings, started and followed; Edge Impulse says what the test says."""

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from nxai_cloud_sync.core.job_record import Details
from nxai_cloud_sync.core.project import LogLine, Role, TrainingJob, TrainingState
from nxai_cloud_sync.jobs import Cancelled, Job
from nxai_cloud_sync.trainer import (
    LINES_TOLD,
    LONGEST_LINE,
    LONGEST_WAIT_S,
    RETRY,
    TRAINING,
    Trainer,
    TrainingUnderWay,
)
from nxai_common.errors import CloudRejected, CloudUnavailable, KeyRefused, NxaiError
from support.cloud_sync import FULL, Heard, Kept, ScriptedStudio, lines

pytestmark = pytest.mark.unit

QUEUED, RUNNING, SUCCEEDED, FAILED = (
    TrainingState.QUEUED,
    TrainingState.RUNNING,
    TrainingState.SUCCEEDED,
    TrainingState.FAILED,
)
OFFLINE = CloudUnavailable("Edge Impulse does not answer")
GONE = CloudRejected("Edge Impulse knows no job 42")
REFUSED = KeyRefused("the key was refused")


class PatientJob(Job):
    """Waits without waiting, and notes for how long."""

    def __init__(self, heard: Heard) -> None:
        super().__init__("job-1", "retrain", heard.job.tell)
        self.waits: list[float] = []
        self.at_wait: dict[int, Callable[[], None]] = {}

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at_wait.get(len(self.waits), lambda: None)()
        self.check()


class Room:
    """A trainer, the disk it remembers on, and Edge Impulse."""

    def __init__(self) -> None:
        self.kept = Kept(TRAINING)
        self.studio = ScriptedStudio()
        self.heard = Heard()
        self.job = PatientJob(self.heard)
        self.trainer = Trainer(self.kept, random.Random(1), poll_s=5)  # noqa: S311 - jitter
        self.opened = 0

    def open(self) -> ScriptedStudio:
        self.opened += 1
        return self.studio

    def run(self) -> Details:
        return self.trainer.run(self.job, self.open, 7, 1)

    def go_on(self, *, ours: bool = True) -> Details:
        return self.trainer.go_on(self.job, self.open, TrainingUnderWay(7, 42, ours))

    def fails(self, kind: type[NxaiError], **how: Any) -> str:
        with pytest.raises(kind) as caught:
            self.go_on(**how)
        assert self.studio.closed == self.opened == 1
        return str(caught.value)


@pytest.fixture
def room() -> Room:
    return Room()


# -- well -----------------------------------------------------------------------------------------


def test_a_training_is_started_followed_and_forgotten(room: Room) -> None:
    remembered: list[TrainingUnderWay | None] = []
    room.studio.before["training"] = lambda: remembered.append(room.trainer.left_over())
    room.studio.states = [QUEUED, RUNNING, SUCCEEDED]
    room.studio.logs = [(), lines("Epoch 1"), lines("Epoch 1", "Epoch 2\n", " \n")]
    assert room.run() == {"training": 42}
    assert room.heard.texts == [
        "asking whether a training runs already",
        "starting the training",
        "job 42 trains the project",
        "job 42 is queued",
        "Epoch 1",
        "Epoch 2",
    ]
    assert room.job.text == "job 42 is done"
    assert remembered == [TrainingUnderWay(7, 42)] * 3
    assert room.trainer.left_over() is None
    assert room.studio.closed == 1
    assert room.job.waits == [5, 5]


def test_a_training_that_runs_is_followed_and_none_is_started(room: Room) -> None:
    room.studio.active = [TrainingJob(40, RUNNING)]
    assert room.run() == {"training": 40}
    assert "start_training" not in room.studio.asked
    assert "a training runs already: following job 40" in room.heard.texts


def test_the_state_is_asked_for_before_the_lines_so_that_none_is_missed(room: Room) -> None:
    room.go_on()
    assert list(room.studio.asked) == ["training", "training_log"]


def test_lines_are_told_once_and_in_order(room: Room) -> None:
    room.studio.states = [RUNNING, RUNNING, RUNNING, RUNNING, SUCCEEDED]
    room.studio.logs = [
        lines("a", "b"),
        lines("a", "b"),
        (),  # a hiccup
        lines("a", "b", "c"),
        lines("b", "c", "d", start=1),  # the oldest has left
    ]
    room.go_on()
    assert room.heard.texts[1:] == ["a", "b", "job 42 is running", "c", "d"]


def test_lines_that_say_the_same_are_all_told(room: Room) -> None:
    """A job may print a line more than once within a millisecond, or without any time."""
    room.studio.states = [RUNNING, SUCCEEDED]
    dots = [(LogLine(None, f"{name}") for name in text) for text in ("abab", "ababab")]
    room.studio.logs = [tuple(each) for each in dots]
    room.go_on()
    assert room.heard.texts[1:] == ["a", "b", "a", "b", "a", "b"]


def test_of_many_lines_the_newest_are_told(room: Room) -> None:
    room.studio.logs = [lines(*(f"line {number}" for number in range(LINES_TOLD + 5)))]
    room.go_on()
    assert len(room.heard.texts) == 1 + LINES_TOLD
    assert room.heard.texts[1] == "line 5"


def test_what_is_remembered_of_lines_is_bounded(room: Room) -> None:
    """A training of hours prints a hundred thousand."""
    looks = 60
    room.studio.states = [*[RUNNING] * looks, SUCCEEDED]
    room.studio.logs = [
        lines(*(f"line {n}" for n in range(at, at + LINES_TOLD)), start=at)
        for at in range(0, (looks + 1) * 500, 500)
    ]
    room.go_on()
    assert room.heard.texts[1:] == [f"line {n}" for n in range((looks + 2) * 500)]


def test_a_line_is_cut_where_nobody_reads_on(room: Room) -> None:
    room.studio.logs = [lines("x" * 100_000)]
    room.go_on()
    assert room.heard.texts[1] == "x" * LONGEST_LINE


def test_a_job_that_waits_for_hours_says_so_once(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: sum(room.job.waits))
    room.studio.states = [*[QUEUED] * 500, SUCCEEDED]
    room.go_on()
    assert room.heard.texts[1:] == ["job 42 is queued"]


# -- not so well ----------------------------------------------------------------------------------


def test_a_training_that_fails_says_the_last_line(room: Room) -> None:
    room.studio.states = [RUNNING, FAILED]
    room.studio.logs = [
        lines("Epoch 1"),
        lines("Epoch 1", "ERR: no labels", "Job failed (see above)"),
    ]
    assert room.fails(CloudRejected) == "the training failed: ERR: no labels"
    assert "Job failed (see above)" in room.heard.texts
    assert room.trainer.left_over() is None


def test_a_training_that_fails_without_a_word(room: Room) -> None:
    room.studio.states = [FAILED]
    assert room.fails(CloudRejected) == "the training failed: no reason was given"


def test_hours_without_internet_end_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: sum(room.job.waits))
    room.studio.states = [RUNNING, *[OFFLINE] * 200, RUNNING, SUCCEEDED]
    room.studio.logs = [lines("a"), lines("a", "b"), lines("a", "b", "c")]
    assert room.go_on() == {"training": 42}
    away = "Edge Impulse does not answer; the training goes on there, and is asked about again"
    assert room.heard.texts[1:] == ["a", away, "b", "c"]
    pauses = room.job.waits[1:201]
    assert pauses[0] <= RETRY.first_s
    assert max(pauses) <= RETRY.longest_s
    assert max(pauses) > RETRY.longest_s / 2
    assert len(set(pauses)) > 100  # jitter: not all boxes come at the same moment


def test_after_a_success_the_patience_begins_anew(room: Room) -> None:
    room.studio.states = [*[OFFLINE] * 50, RUNNING, OFFLINE, SUCCEEDED]
    room.go_on()
    assert room.job.waits[51] <= RETRY.first_s


def test_what_goes_wrong_is_told_before_it_is_waited_for(room: Room) -> None:
    room.studio.states = [OFFLINE, SUCCEEDED]
    heard: list[str] = []
    room.job.at_wait[1] = lambda: heard.extend(room.heard.texts)
    room.go_on()
    assert heard[-1].startswith("Edge Impulse does not answer; the training goes on there")


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [(300.0, 300, 300), (0.0, 0.1, RETRY.first_s), (1e9, LONGEST_WAIT_S, LONGEST_WAIT_S)],
)
def test_a_server_that_asks_for_time_gets_it_but_not_for_ever(
    room: Room, asked: float, least: float, most: float
) -> None:
    busy = CloudUnavailable("too many requests")
    busy.retry_after_s = asked
    room.studio.states = [busy, SUCCEEDED]
    room.go_on()
    assert least <= room.job.waits[0] <= most


def test_a_log_that_cannot_be_read_does_not_end_it(room: Room) -> None:
    room.studio.states = [RUNNING, SUCCEEDED]
    room.studio.logs = [CloudRejected("no log"), lines("a")]
    assert room.go_on() == {"training": 42}
    assert room.heard.texts[1:] == ["job 42 is running", "a"]


def test_a_log_that_is_away_is_asked_for_again_with_the_state(room: Room) -> None:
    room.studio.states = [SUCCEEDED]
    room.studio.logs = [OFFLINE, lines("the last words")]
    room.go_on()
    assert room.heard.texts[-1] == "the last words"


def test_a_job_that_is_gone_is_followed_no_more(room: Room) -> None:
    room.studio.states = [RUNNING, GONE]
    assert room.fails(CloudRejected) == "Edge Impulse knows no job 42"
    assert room.trainer.left_over() is None


@pytest.mark.parametrize("question", ["training", "training_log"])
def test_with_another_key_it_can_be_followed_again(room: Room, question: str) -> None:
    room.studio.refused[question] = REFUSED
    assert room.fails(KeyRefused) == "the key was refused"
    assert room.trainer.left_over() == TrainingUnderWay(7, 42)


def test_a_training_that_cannot_be_started_leaves_nothing(room: Room) -> None:
    room.studio.starts = [CloudRejected("no compute time left")]
    with pytest.raises(CloudRejected, match="no compute time left"):
        room.run()
    assert (room.studio.closed, room.kept.content) == (1, None)


def test_a_start_whose_answer_was_lost_is_found(room: Room) -> None:
    room.studio.starts = [OFFLINE]
    room.studio.active = [None, TrainingJob(41, QUEUED)]
    remembered: list[TrainingUnderWay | None] = []
    room.studio.before["training"] = lambda: remembered.append(room.trainer.left_over())
    assert room.run() == {"training": 41}
    assert remembered == [TrainingUnderWay(7, 41, ours=True)]


def test_a_start_that_did_not_come_through_is_told(room: Room) -> None:
    room.studio.starts = [OFFLINE]
    with pytest.raises(CloudUnavailable, match="does not answer"):
        room.run()
    assert room.trainer.left_over() is None
    assert room.studio.closed == 1


def test_a_full_disk_stops_no_training_that_is_paid_for(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    room.kept.trouble = FULL
    room.studio.states = [RUNNING, SUCCEEDED]
    assert room.run() == {"training": 42}
    assert "job 42 is not followed after a restart: the disk is full" in caplog.text
    assert room.trainer.left_over() is None


def test_what_is_left_over_is_followed(room: Room) -> None:
    room.kept.write(TrainingUnderWay(7, 42, ours=False))
    assert room.trainer.left_over() == TrainingUnderWay(7, 42, ours=False)


def test_of_an_older_version_of_the_program_all_are_ours() -> None:
    assert TRAINING.validate_json('{"project": 7, "job": 42}') == TrainingUnderWay(7, 42)


# -- stopping -------------------------------------------------------------------------------------


def test_a_person_who_cancels_stops_it_there_too(room: Room) -> None:
    room.studio.states = [RUNNING]
    room.job.at_wait[2] = room.job.cancel
    assert room.fails(Cancelled) == "job 42 was cancelled"
    assert room.studio.asked[-1] == "cancel_training 42"
    assert room.trainer.left_over() is None


@pytest.mark.parametrize("question", ["training", "training_log"])
def test_it_is_stopped_there_whenever_that_is_asked_for(room: Room, question: str) -> None:
    """Not only while it waits."""
    room.studio.states = [RUNNING]
    room.studio.logs = [lines("a")]
    room.studio.before[question] = room.job.cancel
    assert room.fails(Cancelled) == "job 42 was cancelled"


def test_a_training_that_is_cancelled_as_it_starts_is_stopped(room: Room) -> None:
    room.studio.before["start_training"] = room.job.cancel
    with pytest.raises(Cancelled, match="job 42 was cancelled"):
        room.run()
    assert room.studio.asked[-1] == "cancel_training 42"
    assert room.trainer.left_over() is None


def test_it_is_cancelled_before_it_starts(room: Room) -> None:
    room.studio.before["active_training"] = room.job.cancel
    with pytest.raises(Cancelled, match=r"^cancelled$"):
        room.run()
    assert list(room.studio.asked) == ["active_training"]


def test_it_is_stopped_there_while_there_is_no_news_of_it(room: Room) -> None:
    room.studio.states = [OFFLINE]
    room.job.at_wait[3] = room.job.cancel
    assert room.fails(Cancelled) == "job 42 was cancelled"


@pytest.mark.parametrize("question", ["training", "wait"])
def test_the_end_of_the_service_stops_nothing_there(room: Room, question: str) -> None:
    def end() -> None:
        room.job.cancel(left="the service ends")

    room.studio.states = [RUNNING]
    if question == "wait":
        room.job.at_wait[1] = end
    else:
        room.studio.before[question] = end
    assert room.fails(Cancelled) == (
        "the service ends; job 42 goes on at Edge Impulse, and is followed again later"
    )
    assert "cancel_training 42" not in room.studio.asked
    assert room.trainer.left_over() == TrainingUnderWay(7, 42)


def test_what_somebody_started_elsewhere_is_not_stopped_there(room: Room) -> None:
    room.studio.states = [RUNNING]
    room.job.at_wait[1] = room.job.cancel
    assert room.fails(Cancelled, ours=False) == (
        "cancelled; job 42 was started elsewhere and goes on there: to stop it, use Edge Impulse "
        "Studio"
    )
    assert "cancel_training 42" not in room.studio.asked
    assert room.trainer.left_over() is None


@pytest.mark.parametrize("error", [OFFLINE, GONE, REFUSED])
def test_a_training_that_cannot_be_stopped_is_told(room: Room, error: Exception) -> None:
    room.studio.states = [RUNNING]
    room.studio.cancels = [error]
    room.job.at_wait[1] = room.job.cancel
    assert room.fails(Cancelled) == (
        f"job 42 goes on, it could not be cancelled: {error}; to stop it, use Edge Impulse Studio"
    )
    assert room.trainer.left_over() is None


def test_whose_key_it_is_does_not_matter_here(room: Room) -> None:
    """What a key may do is the service's question; the server's answer is passed on."""
    room.studio = ScriptedStudio(role=Role.READ_ONLY)
    room.studio.refused["start_training"] = REFUSED
    with pytest.raises(KeyRefused):
        room.run()
