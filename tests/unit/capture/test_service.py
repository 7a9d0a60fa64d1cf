"""The capture service on a bus in memory, with cameras that do what the test says."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nxai_capture.core.credits import LOSSLESS_WINDOW
from nxai_capture.core.picture import Bgr, Picture, Yuv420
from nxai_capture.core.watchdog import OBEY_S
from nxai_capture.ports import Losses, NoPictureYet
from nxai_capture.reading import MOST_STUCK, STEADY_S
from nxai_capture.sending import KEPT_AFTERWARDS, MOST_WATCHES
from nxai_capture.service import MOST_HANGING, TooManyStuckDecoders
from nxai_common.contracts import frames
from nxai_common.contracts.alarms import Alarm
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import Reply, TakeSnapshot, TriggerCamera, WatchCamera
from nxai_common.contracts.frames import Frame, Preview
from nxai_common.contracts.models import ModelManifest, Task
from nxai_common.contracts.outputs import Event, EventPhase, Snapshot
from nxai_common.contracts.results import (
    Box,
    Classification,
    CollectReason,
    Detection,
)
from nxai_common.contracts.samples import Sample
from nxai_common.contracts.status import LinkState
from nxai_common.errors import CameraUnavailable, ConfigurationError, InvalidPayload
from nxai_common.retry import RetryPolicy
from support.capture_line import SILENCE, Line, comment, encode, running, shown, take
from support.golden import example
from support.pictures import flat
from support.waiting import wait_for

NEVER = RetryPolicy(first_s=3600, longest_s=3600, floor_s=3600)
WANTED = CollectReason(strategy="margin", reason="a cell: close", value=0.75)
WHOLE = ((0, 0), (1, 0), (1, 1), (0, 1))
CORNER = ((0, 0), (0.25, 0), (0, 0.25))
BLACK = b"64 0 "
"""How `encode` begins for a picture of 64 pixels across that is masked wholly."""


def event(phase: EventPhase) -> Event:
    return Event.model_validate(
        {
            "event": phase,
            "id": "1",
            "device": "box",
            "camera": "front",
            "model": "m",
            "label": "nut",
            "timestamp": "2026-01-01T00:00:00Z",
            "timestamp_ms": 0,
            "started_at": "2026-01-01T00:00:00Z",
            "duration_s": 0,
            "count": 1,
            "max_count": 1,
            "confidence": 1,
        }
    )


@pytest.fixture
def line() -> Iterator[Line]:
    with running(Line()) as made:
        yield made


# -- frames -------------------------------------------------------------------------------------


def test_a_picture_becomes_the_pixels_of_each_input(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m", "n")
    line.offer("large", side=160)
    line.configure({"models": ("m", "n", "large")})
    line.source().steps.put(flat(640, 480, luma=126))
    got = sorted((take(inbox) for _ in range(2)), key=lambda frame: frame.width)
    assert [(f.models, f.width, f.sequence) for f in got] == [
        (("m", "n"), 96, 0),
        (("large",), 160, 0),
    ]
    small, large = got
    assert np.abs(np.frombuffer(small.attachment, np.uint8).astype(int) - 128).max() <= 1
    assert small.transform.scale_x == pytest.approx(640 / 96)
    assert (small.source_width, small.source_height) == (640, 480)
    assert small.stream == large.stream
    line.reaches(lambda s: (s.decoded, s.sent, s.state) == (1, 1, LinkState.RUNNING))
    assert (line.status().width, line.status().codec) == (640, "scripted")


def test_at_most_two_frames_are_in_flight_and_the_newest_picture_goes_next(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.configure({})
    source = line.source()
    source.steps.put(flat())
    first = take(inbox)
    source.steps.put(flat())
    assert take(inbox).sequence == 1
    for decoded in range(3, 8):
        source.steps.put(flat())
        line.reaches(lambda s, decoded=decoded: s.decoded == decoded)  # type: ignore[misc]  # mypy cannot infer lambdas with defaults
    line.reaches(lambda s: s.dropped == 4)  # the last one has taken the place of the one before
    assert inbox.receive(SILENCE) is None
    line.answer(first)
    assert take(inbox).sequence == 6
    line.reaches(lambda s: (s.sent, s.dropped) == (3, 4))


def test_only_the_last_result_of_a_frame_returns_the_credit(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m", "n")
    line.configure({"models": ("m", "n"), "credit_window": 1})
    source = line.source()
    source.steps.put(flat())
    frame = take(inbox)
    source.steps.put(flat())
    line.answer(frame, returns_credit=False)
    assert inbox.receive(SILENCE) is None
    line.answer(frame)
    assert take(inbox).sequence == 1


def test_where_frames_wait_long_for_a_worker_only_one_is_in_flight(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.configure({})
    source = line.source()
    source.steps.put(flat())
    frame = take(inbox)
    line.clock.ahead += 0.5
    line.answer(frame, timing={"engine_ms": 10})
    source.steps.put(flat())
    assert take(inbox).sequence == 1
    source.steps.put(flat())
    line.reaches(lambda s: s.decoded == 3)
    assert inbox.receive(SILENCE) is None


def test_a_cheap_model_that_looks_last_makes_no_crowd(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m", "tried")
    line.configure({"models": ("m", "tried")})
    source = line.source()
    source.steps.put(flat())
    frame = take(inbox)
    line.clock.ahead += 0.082  # one frame of our own before it
    line.answer(frame, timing={"engine_ms": 40}, returns_credit=False)
    line.answer(frame, timing={"engine_ms": 1}, model="tried", shadow_of="m")
    late: dict[str, Any] = {"timing": {"engine_ms": 40}, "returns_credit": False}
    line.answer(frame, **late, input="gone")
    for sequence in (1, 2):
        source.steps.put(flat())
        assert take(inbox).sequence == sequence


def test_a_credit_whose_result_never_comes_returns_by_time_out(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.configure({"credit_window": 1})
    source = line.source()
    source.steps.put(flat())
    take(inbox)
    source.steps.put(flat())
    assert inbox.receive(SILENCE) is None
    line.clock.ahead = 2.5
    assert take(inbox).sequence == 1
    assert line.status().credits_lost == 1


def test_a_file_read_fast_loses_nothing(line: Line) -> None:
    inbox = line.listen(Frame)
    line.cameras.lossless = True
    line.offer("m")
    line.configure({})
    source = line.source()
    for _ in range(60):
        source.steps.put(flat())
    source.steps.put(None)
    for sequence in range(60):
        frame = take(inbox)
        assert frame.sequence == sequence
        line.answer(frame)
    line.reaches(lambda s: s.state is LinkState.ENDED)
    line.reaches(lambda s: (s.decoded, s.sent, s.dropped) == (60, 60, 0))


def test_a_file_read_fast_waits_for_credits(line: Line) -> None:
    inbox = line.listen(Frame)
    line.cameras.lossless = True
    line.offer("m")
    line.configure({"credit_window": 2})
    source = line.source()
    for _ in range(6):
        source.steps.put(flat())
    got = [take(inbox), take(inbox)]
    line.reaches(lambda s: s.decoded == 5)  # in flight 2, in hand 1, in the slot 1, offered 1
    for frame in got:
        line.answer(frame)
    assert [take(inbox).sequence for _ in range(2)] == [2, 3]
    assert line.status().dropped == 0


def test_while_the_broker_is_away_frames_are_dropped_and_the_camera_goes_on(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.configure({})
    source = line.source()
    line.broker.stop()
    for decoded in range(1, 6):
        source.steps.put(flat())
        line.reaches(lambda s, decoded=decoded: s.dropped == decoded)  # type: ignore[misc]  # as above
    line.broker.start()
    source.steps.put(flat())
    assert take(inbox).sequence == 5


def test_a_file_read_fast_waits_for_the_broker(line: Line) -> None:
    inbox = line.listen(Frame)
    line.cameras.lossless = True
    line.offer("m")
    line.configure({})
    source = line.source()
    line.broker.stop()
    for _ in range(4):
        source.steps.put(flat())
    line.reaches(lambda s: s.decoded >= 2)
    line.broker.start()
    assert [take(inbox).sequence for _ in range(4)] == [0, 1, 2, 3]


def test_a_file_read_fast_waits_for_all_its_models(line: Line) -> None:
    inbox = line.listen(Frame)
    line.cameras.lossless = True
    line.offer("m")
    line.configure({"models": ("m", "late")})
    source = line.source()
    for _ in range(3):
        source.steps.put(flat())
    line.reaches(lambda s: s.decoded >= 1)
    assert inbox.receive(SILENCE) is None
    line.offer("late")
    got = [take(inbox) for _ in range(3)]
    assert [(frame.sequence, frame.models) for frame in got] == [
        (sequence, ("m", "late")) for sequence in range(3)
    ]
    assert line.status().skipped == 0


def five_read_fast(line: Line) -> list[Frame]:
    """Have two frames in flight, which are returned, and a third picture in hand."""
    inbox = line.listen(Frame)
    line.cameras.lossless = True
    line.offer("m")
    line.configure({"credit_window": 2})
    source = line.source()
    for _ in range(5):
        source.steps.put(flat())
    source.steps.put(None)
    frames_sent = [take(inbox), take(inbox)]
    line.reaches(lambda s: s.decoded == 5)  # in flight 2, in hand 1, in the slot 1, offered 1
    inbox.close()
    return frames_sent


@pytest.mark.parametrize("how", ["another size", "another model", "away for a moment"])
def test_a_file_read_fast_loses_nothing_by_a_swap(line: Line, how: str) -> None:
    in_flight = five_read_fast(line)
    inbox = line.listen(Frame)
    if how == "another size":
        line.offer("m", side=64)
    elif how == "another model":
        line.offer("n", side=64)
        line.configure({"credit_window": 2, "models": ("n",)}, revision="2")
    else:
        line.outside.clear(ModelManifest, model="m")
        wait_for(lambda: line.service.report().problems)
        line.looks_again()
        line.offer("m", side=64)
    for frame in in_flight:
        line.answer(frame)
    for sequence in range(2, 5):
        frame = take(inbox)
        assert (frame.sequence, frame.width) == (sequence, 64)
        line.answer(frame)
    line.reaches(lambda s: s.state is LinkState.ENDED)
    line.reaches(lambda s: (s.decoded, s.sent, s.dropped, s.skipped) == (5, 5, 0, 0))


def test_a_picture_goes_once_to_each_model_though_inputs_change_meanwhile(line: Line) -> None:
    inbox = line.listen(Frame)
    line.cameras.lossless = True
    line.offer("m")
    line.offer("slow", side=64)
    line.configure({"credit_window": 1, "models": ("m", "slow")})
    source = line.source()
    source.steps.put(flat())
    first, slow = take(inbox), take(inbox)
    line.answer(first)
    source.steps.put(flat())
    assert (take(inbox).models, slow.models) == (("m",), ("slow",))  # slow has no credit for it
    line.offer("m", side=48)
    wait_for(lambda: line.service._cameras["front"].routes.inputs[0].spec.width == 48)
    line.answer(slow)
    following = take(inbox)
    assert (following.models, following.sequence) == (("slow",), 1)
    line.reaches(lambda s: (s.sent, s.dropped) == (2, 0))
    assert inbox.receive(SILENCE) is None


def test_a_swap_while_a_picture_is_being_sent_costs_no_model_its_frame(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.offer("n", side=64)
    line.configure({"models": ("m", "n")})
    publish, sending, swapped = line.bus.publish, threading.Event(), threading.Event()

    def publish_late(message: Message) -> bool:
        if isinstance(message, Frame) and not sending.is_set():
            sending.set()
            assert swapped.wait(30)
        return publish(message)

    monkeypatch.setattr(line.bus, "publish", publish_late)
    line.source().steps.put(flat())
    assert sending.wait(10)
    line.offer("n", side=48)
    wait_for(lambda: line.service._cameras["front"].routes.inputs[1].spec.width == 48)
    swapped.set()
    assert [(f.models, f.width) for f in (take(inbox), take(inbox))] == [(("m",), 96), (("n",), 48)]
    line.reaches(lambda s: (s.sent, s.dropped) == (1, 0))


def test_a_picture_that_no_model_wants_any_more_is_let_go(line: Line) -> None:
    five_read_fast(line)
    line.configure({"credit_window": 2, "models": ()}, revision="2")
    line.reaches(lambda s: (s.sent, s.dropped, s.skipped) == (2, 1, 2))
    line.reaches(lambda s: s.state is LinkState.ENDED)


@pytest.mark.parametrize(
    ("side", "reason"),
    [(2400, "the bus carries at most 16777216"), (4097, "less than or equal to 4096 (got 4097)")],
)
def test_a_model_whose_frames_cannot_be_sent_is_a_problem_until_it_is_mended(
    line: Line, side: int, reason: str
) -> None:
    inbox = line.listen(Frame)
    line.offer("m", side=side)
    line.offer("n")
    line.configure({"models": ("m", "n"), "credit_window": 1})
    source = line.source()
    for dropped in range(2):
        source.steps.put(flat())
        frame = take(inbox)
        line.answer(frame)
        assert (frame.models, frame.sequence) == (("n",), dropped)
    (problem,) = wait_for(lambda: line.service.report().problems)
    assert problem.about == "camera front"
    assert problem.reason.startswith(f"no frame of {side}x{side} pixels for model m can be sent: ")
    assert reason in problem.reason
    line.configure({"models": ("m",), "credit_window": 1}, revision="2")
    for dropped in range(1, 3):
        source.steps.put(flat())
        line.reaches(lambda s, dropped=dropped: s.dropped == dropped)  # type: ignore[misc]  # as above
    line.offer("m")
    wait_for(lambda: not line.service.report().problems)
    source.steps.put(flat())
    assert take(inbox).models == ("m",)
    line.reaches(lambda s: (s.decoded, s.sent, s.credits_lost) == (5, 3, 0))


def test_a_frame_that_fails_after_its_model_was_mended_is_no_problem(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = line.listen(Frame)
    line.offer("m", side=200)
    line.configure({})
    source = line.source()
    publish, failing, mended = line.bus.publish, threading.Event(), threading.Event()

    def fail_late(message: Message) -> bool:
        if isinstance(message, Frame) and message.width == 200:
            failing.set()
            assert mended.wait(30)
            raise InvalidPayload("too large")
        return publish(message)

    monkeypatch.setattr(line.bus, "publish", fail_late)
    source.steps.put(flat())
    assert failing.wait(10)
    line.offer("m")
    line.looks_again()
    mended.set()
    source.steps.put(flat())
    assert take(inbox).width == 96
    assert not line.service.report().problems


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("failure", [MemoryError, SystemExit])
def test_a_surprise_while_sending_costs_one_picture(
    line: Line,
    failure: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """SystemExit stands for what ends the thread all the same."""
    inbox = line.listen(Frame)
    line.offer("m")
    line.configure({"credit_window": 1})
    source = line.source()
    publish, failed = line.bus.publish, threading.Event()

    def fail_once(message: Message) -> bool:
        if isinstance(message, Frame) and not failed.is_set():
            failed.set()
            raise failure
        return publish(message)

    monkeypatch.setattr(line.bus, "publish", fail_once)
    source.steps.put(flat())
    assert failed.wait(10)
    if failure is MemoryError:
        line.reaches(lambda s: s.dropped == 1)
        assert "unexpected MemoryError" in line.service.report().problems[0].reason
    source.steps.put(flat())
    following = take(inbox)
    if failure is MemoryError:
        assert following.sequence == 1
        assert "fail_once" in caplog.text
    else:
        assert "the sending thread of camera front died" in caplog.text
    line.reaches(lambda s: s.decoded == s.sent + s.dropped == 2)
    assert line.status().credits_lost == 0
    assert not line.service.report().problems


def test_the_limit_and_the_trigger_on_change_skip_pictures_and_a_command_overrules(
    line: Line,
) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.configure({"inference_limit_ms": 3_600_000, "on_change": {"enabled": True}})
    source = line.source()
    source.steps.put(flat())
    line.answer(take(inbox))
    source.steps.put(flat(luma=200))
    line.reaches(lambda s: s.skipped == 1)
    reply = line.outside.request(TriggerCamera(camera="front"))
    assert reply.ok
    assert take(inbox).sequence == 1
    line.configure({"on_change": {"enabled": True}}, revision="2")
    for skipped, luma in enumerate((200, 205), 1):  # compared with the last picture sent
        source.steps.put(flat(luma=luma))
        line.reaches(lambda s, skipped=skipped: s.skipped == skipped)  # type: ignore[misc]  # as above
    source.steps.put(flat(luma=250))
    assert take(inbox).sequence == 4


def test_what_the_limit_and_the_trigger_on_change_remember_outlives_a_configuration(
    line: Line,
) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    remembered: tuple[dict[str, Any], ...] = (
        {"inference_limit_ms": 3_600_000},
        {"on_change": {"enabled": True}},
    )
    for number, options in enumerate(remembered):
        camera = {"id": f"camera-{number}", **options}
        line.configure(camera, revision=f"{number}")
        source = line.source(number)
        source.steps.put(flat())
        line.answer(take(inbox))
        line.configure({**camera, "name": "Renamed"}, revision=f"{number} renamed")
        source.steps.put(flat())
        line.reaches(lambda s: s.skipped == 1, camera["id"])
        assert inbox.receive(SILENCE) is None


def test_masks_are_burned_in_before_any_pixel_leaves(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.configure({"masks": (((0, 0), (1, 0), (1, 1), (0, 1)),)})
    line.source().steps.put(flat(luma=200))
    assert not any(take(inbox).attachment)
    reply = line.outside.request(TakeSnapshot(camera="front"))
    assert reply.attachment == b"64 0 0"


def test_masks_are_burned_in_before_previews_and_samples(line: Line) -> None:
    inbox, previews = line.listen(Frame, Sample), line.listen(Preview)
    line.offer("m")
    line.configure({"masks": (WHOLE,), "samples": True})
    assert line.outside.request(WatchCamera(camera="front", fps=30, max_width=40)).ok
    line.source().steps.put(flat(luma=200))
    assert shown(take(previews)) == BLACK + b"40"
    line.answer(take(inbox), collect=WANTED)
    assert bytes(take(inbox).attachment) == BLACK + b"0"
    assert line.outside.request(WatchCamera(camera="front", fps=30, max_width=50)).ok
    assert shown(take(previews)) == BLACK + b"50", "the newest one at once"


def test_new_masks_hold_for_the_next_picture_of_the_same_connection(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.configure({"masks": (CORNER,)})
    source = line.source()
    source.steps.put(flat(luma=200))
    assert any(take(inbox).attachment)
    line.configure({"masks": (WHOLE,)}, revision="2")
    source.steps.put(flat(luma=200))
    assert not any(take(inbox).attachment)


def test_new_masks_hold_for_pictures_that_are_here_already(line: Line) -> None:
    inbox = line.listen(Frame, Sample, Snapshot, Preview)
    line.offer("m")
    line.configure({"credit_window": 1, "samples": True})
    source = line.source()
    source.steps.put(flat(luma=200))
    frame = take(inbox)
    source.steps.put(flat(luma=200))
    line.reaches(lambda s: s.decoded == 2)  # it waits for a credit
    line.configure({"credit_window": 1, "samples": True, "masks": (WHOLE,)}, revision="2")
    line.outside.publish(event(EventPhase.START))
    gone = TakeSnapshot(camera="front", stream=frame.stream, sequence=frame.sequence)
    assert not line.outside.request(gone).ok
    line.answer(frame, collect=WANTED)
    following = take(inbox)
    assert isinstance(following, Frame), "no sample and no snapshot of what was not masked"
    assert not any(following.attachment)
    assert line.outside.request(TakeSnapshot(camera="front")).attachment == BLACK + b"0"
    assert line.outside.request(WatchCamera(camera="front", max_width=40)).ok
    assert shown(take(inbox)) == BLACK + b"40"
    line.outside.publish(event(EventPhase.START))
    assert bytes(take(inbox).attachment) == BLACK + b"0"


def test_a_picture_taken_up_again_by_command_wears_the_new_masks(line: Line) -> None:
    inbox = line.listen(Frame)
    line.configure({})
    source = line.source()
    source.steps.put(flat(luma=200))
    line.reaches(lambda s: s.skipped == 1)  # no model to look at it
    line.configure({"masks": (WHOLE,)}, revision="2")
    assert line.outside.request(TakeSnapshot(camera="front")).attachment == BLACK + b"0"
    line.offer("m")
    wait_for(lambda: not line.service.report().problems)
    assert line.outside.request(TriggerCamera(camera="front")).ok
    assert not any(take(inbox).attachment)


def snapshot(line: Line) -> None:
    """Have a snapshot of front published."""
    line.source().steps.put(flat(luma=200))
    line.reaches(lambda s: s.skipped == 1)
    assert line.outside.request(TakeSnapshot(camera="front", publish=True)).ok
    wait_for(lambda: line.retained(Snapshot) == [encode(flat(luma=200))])


@pytest.mark.parametrize(
    "after",
    [[{"masks": (WHOLE,)}], [{"snapshots": False}], [{"enabled": False}], []],
    ids=["masked", "switched off", "disabled", "removed"],
)
@pytest.mark.parametrize("away", [False, True])
def test_a_snapshot_that_shows_too_much_by_now_is_taken_back(
    line: Line, after: list[dict[str, Any]], away: bool
) -> None:
    line.configure({})
    snapshot(line)
    line.configure({"name": "Renamed"}, revision="2")
    assert line.retained(Snapshot) == [encode(flat(luma=200))]
    line.configure(*after, revision="3")
    if away:
        line.broker.stop()
        line.broker.start(empty=True)
    assert line.retained(Snapshot) == []


def test_a_snapshot_of_an_earlier_run_is_taken_back_when_there_are_masks(line: Line) -> None:
    line.outside.publish(Snapshot(camera="front", attachment=b"not masked"))
    line.outside.publish(Snapshot(camera="back", attachment=b"needs no masks"))
    line.configure({"masks": (WHOLE,)}, {"id": "back"})
    assert line.retained(Snapshot) == [b"needs no masks"]


def test_pictures_that_wait_to_be_encoded_do_not_go_out_when_masks_came(line: Line) -> None:
    inbox, taken = line.listen(Frame), line.listen(Snapshot, Preview, Sample)
    line.offer("m")
    line.configure({"samples": True})
    line.source().steps.put(flat(luma=200))
    frame = take(inbox)
    line.may_encode.clear()
    line.outside.publish(event(EventPhase.START))
    line.answer(frame, collect=WANTED)
    line.looks_again()
    assert line.outside.request(WatchCamera(camera="front", max_width=40)).ok
    replies: list[Reply] = []
    asking = threading.Thread(
        target=lambda: replies.append(line.outside.request(TakeSnapshot(camera="front"), 30))
    )
    asking.start()
    wait_for(lambda: line.service._desk._jobs.qsize() == 3, what="the first is in hand")
    line.configure({"samples": True, "masks": (WHOLE,)}, revision="2")
    line.may_encode.set()
    asking.join(20)
    assert (replies[0].ok, "was changed" in replies[0].reason) == (False, True)
    assert line.outside.request(TakeSnapshot(camera="front", publish=True)).ok
    assert bytes(take(taken).attachment) == BLACK + b"0"
    assert line.service.report().counters["samples_missed"] == 1


def test_another_picture_size_in_mid_stream(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.configure({})
    source = line.source()
    for picture in (flat(64, 48), flat(128, 96), flat(64, 48)):
        source.steps.put(picture)
        frame = take(inbox)
        line.answer(frame)
        assert (frame.source_width, frame.source_height) == (picture.width, picture.height)


# -- connections --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [CameraUnavailable("it rains"), ConfigurationError("it rains"), OSError("it rains")]
)
def test_a_failed_camera_is_tried_again_and_says_why(line: Line, error: Exception) -> None:
    line.offer("m")
    line.cameras.refuse = error
    line.configure({}, {"id": "back"})
    line.reaches(lambda s: s.reconnects >= 3)
    reason = "unexpected OSError; see the log" if isinstance(error, OSError) else "it rains"
    assert line.status().reason == reason
    assert ("camera front", reason) in {(p.about, p.reason) for p in line.service.report().problems}
    line.cameras.refuse = None
    line.source(0).steps.put(flat())
    line.source(1).steps.put(flat())
    line.reaches(lambda s: s.state is LinkState.RUNNING and not s.reason)
    line.reaches(lambda s: s.state is LinkState.RUNNING, "back")


def attempts(caplog: pytest.LogCaptureFixture) -> list[int]:
    """Return which attempt each failure of a connection was told to be."""
    return [getattr(r, "attempt") for r in caplog.records if hasattr(r, "attempt")]  # noqa: B009 - an extra of the record


def test_pauses_grow_until_a_connection_was_good(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    line.cameras.refuse = CameraUnavailable("it rains")
    line.configure({})
    line.reaches(lambda s: s.reconnects >= 3)
    line.cameras.refuse = None
    source = line.source(0)
    failed = attempts(caplog)
    assert failed[:3] == [1, 2, 3]
    source.steps.put(CameraUnavailable("it snows"))  # a connection that did not last
    source = line.source(1)
    assert attempts(caplog)[len(failed) :] == [len(failed) + 1]
    line.clock.ahead += STEADY_S  # as a dead camera does that is waited for
    source.steps.put(CameraUnavailable("it hails"))
    source = line.source(2)
    assert attempts(caplog)[len(failed) + 1 :] == [len(failed) + 2]
    source.steps.put(flat())
    line.reaches(lambda s: s.decoded == 1)
    line.clock.ahead += STEADY_S  # one picture, then nothing
    source.steps.put(CameraUnavailable("it storms"))
    source = line.source(3)
    assert attempts(caplog)[len(failed) + 2 :] == [len(failed) + 3]
    source.steps.put(flat())
    line.reaches(lambda s: s.decoded == 2)
    line.clock.ahead += STEADY_S
    source.steps.put(flat())
    line.reaches(lambda s: s.decoded == 3)
    source.steps.put(CameraUnavailable("it thaws"))
    line.source(4)
    assert attempts(caplog)[len(failed) + 3 :] == [1]


def test_a_source_that_is_well_and_has_no_picture_says_why_and_stays_connected(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.configure({})
    source = line.source()
    source.steps.put(NoPictureYet("nobody pushed"))
    line.reaches(lambda s: (s.state, s.reason) == (LinkState.CONNECTING, "nobody pushed"))
    assert line.service.report().problems[0].reason == "nobody pushed"
    source.steps.put(flat())
    first = take(inbox)
    line.reaches(lambda s: (s.state, s.reason) == (LinkState.RUNNING, ""))
    source.steps.put(NoPictureYet("nobody pushed again"))
    line.reaches(lambda s: (s.state, s.reason) == (LinkState.RUNNING, "nobody pushed again"))
    assert not line.service.report().problems, "pauses are the pushing program's own affair"
    source.steps.put(flat())
    second = take(inbox)
    assert (second.stream, second.sequence) == (first.stream, first.sequence + 1)
    line.reaches(lambda s: (s.state, s.reason) == (LinkState.RUNNING, ""))
    assert (line.status().reconnects, attempts(caplog)) == (0, [])


def test_what_sources_lose_is_in_the_status_over_all_connections(line: Line) -> None:
    line.configure({})
    for number in range(3):
        source = line.source(number)
        source.steps.put(flat())
        line.reaches(lambda s, number=number: s.decoded == number + 1)  # type: ignore[misc]  # as above
        source.losses = Losses(damaged=1, replaced=10)
        lost = (number + 1, 10 * (number + 1))
        assert (line.status().damaged, line.status().replaced) == lost
        source.steps.put(CameraUnavailable("it rains"))


def test_what_only_a_person_can_mend_is_not_tried_again_soon() -> None:
    with running(Line(mend=NEVER)) as line:
        line.cameras.refuse = ConfigurationError("401: check user and password")
        line.configure({})
        line.reaches(lambda s: s.state is LinkState.WAITING)
        line.cameras.refuse = CameraUnavailable("it rains")
        line.configure({}, {"id": "back"}, revision="2")
        line.reaches(lambda s: s.reconnects >= 3, "back")
        assert (line.status().reconnects, line.status().reason) == (
            0,
            "401: check user and password",
        )


def test_a_local_file_that_is_missing_is_looked_for_again_soon() -> None:
    with running(Line(mend=NEVER)) as line:
        line.cameras.refuse = ConfigurationError("video file 'x.mp4' does not exist")
        line.configure({"source": {"type": "file", "path": "x.mp4"}})
        line.reaches(lambda s: s.reconnects >= 1)


def test_a_broken_stream_is_opened_again_under_another_name(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.configure({"credentials": "front"})
    line.source(0).steps.put(flat())
    first = take(inbox)
    line.source(0).steps.put(CameraUnavailable("no packet for 10 s"))
    line.source(1).steps.put(flat())
    second = take(inbox)
    assert (second.sequence, second.stream == first.stream) == (0, False)
    assert line.source(0).closed.is_set()
    assert [c and c.username for c in line.cameras.credentials] == ["front", "front"]


def test_a_size_that_no_camera_has_is_refused_with_the_size(line: Line) -> None:
    line.configure({})
    line.source().steps.put(Picture(flat().planes, 0, 0, 0))
    line.reaches(lambda s: "0x0" in s.reason)


def test_a_stuck_source_is_interrupted_and_a_deaf_one_replaced(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.cameras.deaf = True
    line.configure({})
    source = line.source(0)
    line.clock.ahead += 100
    wait_for(lambda: source.interrupted)
    assert line.status().stalls == 1
    line.cameras.deaf = False
    line.clock.ahead += OBEY_S + 1
    line.source(1).steps.put(flat())
    stream = take(inbox).stream
    source.steps.put(flat())  # the thread left behind comes back: too late
    wait_for(source.closed.is_set)
    line.source(1).steps.put(flat())
    following = take(inbox)
    assert (following.stream, following.sequence) == (stream, 1)
    assert line.service.report().counters["decoders_abandoned"] == 1


def test_a_camera_that_hangs_again_is_left_alone_until_a_thread_of_it_ends(line: Line) -> None:
    line.cameras.deaf = True
    line.configure({})
    for number in range(MOST_STUCK):
        source = line.source(number)
        line.clock.ahead += 100
        wait_for(lambda source=source: source.interrupted)  # type: ignore[misc]  # as above
        line.clock.ahead += OBEY_S + 1
    line.reaches(lambda s: f"{MOST_STUCK} attempts to read it hang" in s.reason)
    assert line.status().state is LinkState.WAITING
    for _ in range(MOST_HANGING):
        line.clock.ahead += 100
        line.looks_again()
    assert len(line.cameras.opened) == MOST_STUCK
    assert line.service.report().counters["decoders_abandoned"] == MOST_STUCK
    assert line.thread.is_alive()
    line.cameras.deaf = False
    line.source(0).steps.put(CameraUnavailable("the share is back"))
    line.source(MOST_STUCK).steps.put(flat())
    line.reaches(lambda s: (s.state, s.reason) == (LinkState.RUNNING, ""))


def test_an_interrupted_source_that_obeys_is_opened_again(line: Line) -> None:
    line.configure({})
    line.source(0)
    line.clock.ahead += 100
    line.source(1)
    assert line.service.report().counters["decoders_abandoned"] == 0


def test_a_source_that_sticks_after_its_first_picture_is_interrupted(line: Line) -> None:
    line.configure({})
    source = line.source()
    source.steps.put(flat())
    line.reaches(lambda s: s.decoded == 1)

    def much_later() -> bool:
        line.clock.ahead += 100  # again and again: reading on begins a moment after it is counted
        return source.interrupted > 0

    wait_for(much_later)


def test_a_pause_on_purpose_does_not_count_as_stuck(line: Line) -> None:
    still = {"type": "still", "url": "http://camera/", "interval_ms": 3_600_000}
    line.configure({"source": still})
    source = line.source()
    source.steps.put(flat())
    line.reaches(lambda s: s.decoded == 1)
    for _ in range(3):
        line.clock.ahead += 1000
        line.looks_again()
    assert source.interrupted == 0


def test_a_file_that_waits_for_its_models_does_not_count_as_stuck(line: Line) -> None:
    line.cameras.lossless = True
    line.configure({})
    source = line.source()
    for _ in range(3):
        source.steps.put(flat())
    line.reaches(lambda s: s.decoded == 3)  # in hand, in the slot, and one waits for its place
    for _ in range(3):
        line.clock.ahead += 1000
        line.looks_again()
    assert source.interrupted == 0


def test_too_many_stuck_decoders_end_the_process(line: Line) -> None:
    line.cameras.deaf = True
    line.configure(*({"id": f"camera-{number}"} for number in range(MOST_HANGING)))
    for number in range(MOST_HANGING):
        line.source(number)
    line.clock.ahead += 100
    wait_for(lambda: all(s.interrupted for s in line.cameras.opened[:MOST_HANGING]))
    line.clock.ahead += OBEY_S + 1
    line.thread.join(20)
    assert isinstance(line.failure, TooManyStuckDecoders)


def test_a_frozen_picture_reconnects(line: Line) -> None:
    line.configure({"watchdog": {"frozen_timeout_s": 10}})
    source = line.source(0)
    source.steps.put(flat())
    line.reaches(lambda s: s.skipped == 1)  # compared and handed on: no model looks at it
    line.clock.ahead += 11
    source.steps.put(flat())
    line.source(1)
    assert "very same picture for 10 s" in line.status().reason


# -- configuration --------------------------------------------------------------------------------


def test_only_cameras_whose_connection_changed_start_anew(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.offer("large", side=160)
    line.configure({}, {"id": "back"})
    front, back = line.source(0), line.source(1)
    if front.camera.id == "back":
        front, back = back, front
    line.configure({"models": ("large",)}, {"id": "back", "source": {"type": "push"}}, revision="2")
    assert line.source(2).camera.source.type == "push"
    assert back.closed.wait(10)
    front.steps.put(flat())
    assert take(inbox).models == ("large",)
    assert front.interrupted == 0
    line.configure({"enabled": False}, revision="3")
    assert front.closed.wait(10)
    assert line.status().state is LinkState.DISABLED
    assert line.cameras.forgotten == ["back"]


def test_a_camera_that_was_removed_is_closed_and_no_longer_told_of(line: Line) -> None:
    line.configure({}, {"id": "back"})
    sources = {line.source(number).camera.id: line.source(number) for number in range(2)}
    line.configure({}, revision="2")
    assert sources["back"].closed.wait(10)
    assert [camera.camera for camera in line.service.report().cameras] == ["front"]
    assert sources["front"].interrupted == 0


def test_a_device_is_opened_again_only_after_it_was_closed(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nxai_capture.reading.PREDECESSOR_S", 60.0)  # however slow this machine
    line.cameras.deaf = True
    line.configure({})
    before = line.source()
    line.configure({"source": {"type": "demo", "fps": 3}}, revision="2")
    wait_for(lambda: before.interrupted)
    line.looks_again()
    assert len(line.cameras.opened) == 1
    before.steps.put(CameraUnavailable("closed at last"))
    line.source(1)
    assert before.closed.is_set()


def test_frames_flow_as_soon_as_inference_offers_the_model(line: Line) -> None:
    inbox = line.listen(Frame)
    line.configure({})
    source = line.source()
    source.steps.put(flat())
    line.reaches(lambda s: s.skipped == 1)
    (problem,) = line.service.report().problems
    assert problem.reason == "inference does not offer its model m (yet): it gets no frame"
    line.offer("m")
    wait_for(lambda: not line.service.report().problems)
    assert line.outside.request(TakeSnapshot(camera="front")).ok  # the new plan is in force
    source.steps.put(flat())
    assert take(inbox).sequence == 1


def test_no_frames_flow_once_inference_offers_the_model_no_more(line: Line) -> None:
    inbox = line.listen(Frame)
    line.offer("m")
    line.configure({})
    source = line.source()
    source.steps.put(flat())
    take(inbox)
    line.outside.clear(ModelManifest, model="m")
    wait_for(lambda: line.service.report().problems)
    assert "inference does not offer its model m" in line.service.report().problems[0].reason
    source.steps.put(flat())
    line.reaches(lambda s: s.skipped == 1)
    line.offer("m")
    wait_for(lambda: not line.service.report().problems)
    source.steps.put(flat())
    assert take(inbox).sequence == 2


def test_the_loop_beats(line: Line) -> None:
    wait_for(lambda: line.beats >= 2)


# -- pictures for people --------------------------------------------------------------------------


def test_a_result_worth_keeping_becomes_a_sample_of_that_very_frame(line: Line) -> None:
    inbox = line.listen(Frame, Sample)
    line.offer("m")
    line.configure({"samples": True})
    source = line.source()
    source.steps.put(flat(luma=60))
    frame = take(inbox)
    source.steps.put(flat(luma=200))
    take(inbox)
    found = Detection(
        label="nut", confidence=0.75, box=Box(x=1, y=2, width=3, height=4), model_box=(1, 2, 3, 4)
    )
    likely = Classification(label="nut", confidence=0.75)
    about: dict[str, Any] = {"model_version": "3", "model_digest": "abc", "labels": ("nut", "bolt")}
    line.answer(
        frame,
        collect=WANTED,
        detections=(found,),
        classifications=(likely,),
        uncertain=True,
        **about,
    )
    sample = take(inbox)
    assert sample == Sample(
        camera="front",
        stream=frame.stream,
        sequence=0,
        captured_at_us=frame.captured_at_us,
        width=64,
        height=48,
        model="m",
        task=Task.FOMO,
        strategy="margin",
        reason="a cell: close",
        value=0.75,
        detections=(found,),
        classifications=(likely,),
        attachment=sample.attachment,
        **about,
    )
    assert bytes(sample.attachment) == encode(flat(luma=60))
    wait_for(lambda: line.service.report().counters["samples"] == 1)


def test_only_a_result_that_asks_for_it_becomes_a_sample(line: Line) -> None:
    inbox = line.listen(Frame, Sample)
    line.offer("m")
    line.configure({"samples": True, "credit_window": 4})
    source = line.source()
    frames_sent = []
    for number in range(3):
        source.steps.put(flat(luma=20 + number))
        frames_sent.append(take(inbox))
    line.answer(frames_sent[0], uncertain=True, uncertain_reason="below 0.6")
    line.answer(frames_sent[1], collect=WANTED, shadow_of="another")
    line.answer(frames_sent[2], collect=WANTED)
    assert bytes(take(inbox).attachment) == encode(flat(luma=22))
    assert inbox.receive(SILENCE) is None


def test_samples_of_a_camera_are_kept_apart_before_they_are_encoded(line: Line) -> None:
    inbox = line.listen(Frame, Sample)
    line.offer("m")
    near: dict[str, Any] = {"samples": True, "samples_gap_s": 10, "credit_window": 16}
    line.configure(near, {**near, "id": "back"})

    def asked(number: int, camera: int = 0) -> None:
        line.source(camera).steps.put(flat(luma=20 + number))
        line.answer(take(inbox), collect=WANTED)

    def counted(name: str, number: int) -> None:
        wait_for(lambda: line.service.report().counters[name] == number, what=f"{number} {name}")

    asked(0)
    assert take(inbox).camera == "front"
    line.may_encode.clear()  # what comes too soon is not even queued
    line.clock.ahead += 9.9
    asked(1)
    counted("samples_spaced", 1)
    assert line.service._desk._jobs.qsize() == 0
    line.may_encode.set()
    asked(2, camera=1)  # another camera has a gap of its own
    assert take(inbox).camera == "back"
    line.clock.ahead += 0.1
    asked(3)
    assert bytes(take(inbox).attachment) == encode(flat(luma=23))
    line.configure({**near, "samples_gap_s": 0}, {**near, "id": "back"}, revision="2")
    asked(4)
    assert bytes(take(inbox).attachment) == encode(flat(luma=24))
    counted("samples_spaced", 1)
    line.configure({**near, "masks": (CORNER,)}, revision="3")  # another plan, the same gap
    asked(5)
    counted("samples_spaced", 2)


@pytest.mark.parametrize("strategy", ["interval", "random", "nothing-found"])
def test_a_sample_of_a_slice_comes_within_the_gap_of_a_doubtful_one_and_begins_none(
    line: Line, strategy: str
) -> None:
    inbox = line.listen(Frame, Sample)
    line.offer("m")
    line.configure({"samples": True, "samples_gap_s": 10, "credit_window": 16})

    def asked(number: int, why: CollectReason) -> None:
        line.source().steps.put(flat(luma=20 + number))
        line.answer(take(inbox), collect=why)

    slice_of_all = CollectReason(strategy=strategy, reason="whatever is on it")
    for number, why in enumerate((WANTED, slice_of_all, slice_of_all)):
        asked(number, why)
        assert take(inbox).strategy == why.strategy
    asked(3, WANTED)
    wait_for(lambda: line.service.report().counters["samples_spaced"] == 1)
    line.clock.ahead += 10
    asked(4, slice_of_all)
    assert take(inbox).strategy == strategy
    asked(5, WANTED)
    assert take(inbox).strategy == WANTED.strategy


def test_a_picture_that_could_not_be_taken_does_not_begin_a_gap(line: Line) -> None:
    inbox = line.listen(Frame, Sample)
    line.offer("m")
    line.configure({"samples": True, "samples_gap_s": 10, "credit_window": 4})
    source = line.source()
    source.steps.put(Picture(flat().planes, 64, 48, 0, corrupt=True))
    line.answer(take(inbox), collect=WANTED)
    source.steps.put(flat(luma=21))
    line.answer(take(inbox), collect=WANTED)
    assert bytes(take(inbox).attachment) == encode(flat(luma=21))
    assert line.service.report().counters["samples_missed"] == 1


def test_the_same_picture_again_is_no_sample(line: Line) -> None:
    inbox = line.listen(Frame, Sample)
    line.offer("m", "n")
    line.configure({"samples": True, "models": ("m", "n"), "credit_window": 16})
    source = line.source()

    def asked(picture: Picture, **more: Any) -> None:
        source.steps.put(picture)
        line.answer(take(inbox), collect=WANTED, **more)

    frozen = flat(luma=30)
    asked(frozen)
    assert bytes(take(inbox).attachment) == encode(frozen)
    asked(flat(luma=30))  # the camera hangs
    source.steps.put(flat(luma=30))
    hanging = take(inbox)
    line.answer(hanging, collect=WANTED)
    line.answer(hanging, collect=WANTED, model="n")  # the other model of the same frame
    wait_for(lambda: line.service.report().counters["samples_repeated"] == 3)
    moved = flat(luma=30)
    assert isinstance(moved.planes, Yuv420)
    moved.planes.y[1, 5] = 31  # one pixel
    asked(moved)
    assert take(inbox).sequence == 3
    asked(flat(luma=30))  # as before, but something else came between
    assert take(inbox).sequence == 4
    counters = line.service.report().counters
    assert counters["samples_repeated"] == 3
    assert counters["encodings_dropped"] == 0


def test_a_camera_that_was_removed_and_comes_again_begins_anew(line: Line) -> None:
    inbox = line.listen(Frame, Sample)
    line.offer("m")
    wanted = {"samples": True, "samples_gap_s": 10}
    line.configure(wanted)
    line.source().steps.put(flat(luma=30))
    line.answer(take(inbox), collect=WANTED)
    assert isinstance(take(inbox), Sample)
    line.configure(revision="2")
    line.configure(wanted, revision="3")
    line.source(1).steps.put(flat(luma=30))
    line.answer(take(inbox), collect=WANTED)
    assert isinstance(take(inbox), Sample)


@pytest.mark.parametrize("options", [{}, {"credit_window": 16}])
@pytest.mark.parametrize("lossless", [True, False])
def test_a_picture_is_kept_as_long_as_its_frame_is_in_flight(
    line: Line, options: dict[str, int], lossless: bool
) -> None:
    inbox = line.listen(Frame, Sample)
    line.cameras.lossless = lossless
    line.offer("m")
    line.configure({"samples": True, **options})
    source = line.source()
    flying = LOSSLESS_WINDOW if lossless or options else 2
    frames_sent = []
    for number in range(flying):
        source.steps.put(flat(luma=20 + number))
        frames_sent.append(take(inbox))
    line.answer(frames_sent[0], collect=WANTED)
    assert bytes(take(inbox).attachment) == encode(flat(luma=20))


def test_a_picture_is_kept_while_a_slow_model_looks_at_it_beside_a_fast_one(line: Line) -> None:
    inbox, samples = line.listen(Frame), line.listen(Sample)
    line.offer("fast")
    line.offer("slow", side=64)
    line.configure({"samples": True, "models": ("fast", "slow")})
    source = line.source()
    slow = []
    for number in range(3 * KEPT_AFTERWARDS):
        source.steps.put(flat(luma=20 + number))
        frame = take(inbox)
        line.answer(frame)
        assert frame.models == ("fast",)
        if number < 2:
            slow.append(take(inbox))
    for number, frame in enumerate(slow):
        line.answer(frame, collect=WANTED)
        assert bytes(take(samples).attachment) == encode(flat(luma=20 + number))


@pytest.mark.parametrize(("side", "at_once"), [(1080, 10), (3000, 1)])
def test_no_more_pictures_of_a_folder_are_in_flight_than_can_become_samples(
    line: Line, side: int, at_once: int
) -> None:
    inbox, samples = line.listen(Frame), line.listen(Sample)
    line.cameras.lossless = True
    line.offer("m")
    line.configure({"samples": True})
    source = line.source()
    size = (side * 16 // 9, side)
    for number in range(at_once + 2):
        pixels = np.full((side, size[0], 3), 20 + number, np.uint8)
        source.steps.put(Picture(Bgr(pixels), *size, number))
    frames_sent = [take(inbox) for _ in range(at_once)]
    assert inbox.receive(SILENCE) is None
    for number in range(at_once + 2):
        line.answer(frames_sent[number], collect=WANTED)
        assert take(samples).sequence == number
        if number < 2:
            frames_sent.append(take(inbox))
    assert line.service.report().counters["samples_missed"] == 0


def test_without_samples_large_pictures_fill_the_line_all_the_same(line: Line) -> None:
    inbox = line.listen(Frame)
    line.cameras.lossless = True
    line.offer("m")
    line.configure({})
    pixels = np.zeros((3000, 5333, 3), np.uint8)
    for number in range(3):
        line.source().steps.put(Picture(Bgr(pixels), 5333, 3000, number))
        assert take(inbox).sequence == number


def test_no_sample_of_damaged_or_forgotten_pictures_nor_without_being_asked(line: Line) -> None:
    inbox = line.listen(Frame, Sample)
    line.offer("m")
    line.configure({"samples": True})
    source = line.source()
    damaged = flat()
    source.steps.put(Picture(damaged.planes, 64, 48, 0, corrupt=True))
    frame = take(inbox)
    line.answer(frame, collect=WANTED)
    line.answer(frame, collect=WANTED, sequence=99)
    line.answer(frame, collect=WANTED, camera="nobody")
    wait_for(lambda: line.service.report().counters["samples_missed"] == 2)
    line.configure({"samples": False}, revision="2")
    source.steps.put(flat())
    line.answer(take(inbox), collect=WANTED)
    assert inbox.receive(SILENCE) is None


def alarm(frame: Frame, *, picture: bool) -> Message:
    return example(Alarm).model_copy(
        update={"stream": frame.stream, "sequence": frame.sequence, "picture": picture}
    )


def test_an_event_becomes_a_snapshot_when_it_starts(line: Line) -> None:
    inbox = line.listen(Frame, Snapshot)
    line.offer("m")
    line.configure({})
    line.outside.publish(event(EventPhase.START))  # before any picture: nothing to show
    line.looks_again()  # the event was handled; a command would overtake it
    assert not line.outside.request(TakeSnapshot(camera="front")).ok
    line.source().steps.put(flat())
    take(inbox)
    line.outside.publish(event(EventPhase.UPDATE))
    line.outside.publish(event(EventPhase.START))
    assert bytes(take(inbox).attachment) == encode(flat())
    line.configure({"snapshots": False}, revision="2")
    line.outside.publish(event(EventPhase.START))
    assert inbox.receive(SILENCE) is None


def test_an_alarm_shows_the_frame_that_raised_it(line: Line) -> None:
    inbox = line.listen(Frame, Snapshot)
    line.offer("m")
    line.configure({})
    line.source().steps.put(flat(luma=50))
    first = take(inbox)
    assert isinstance(first, Frame)
    line.answer(first)
    line.source().steps.put(flat(luma=200))
    take(inbox)
    line.outside.publish(alarm(first, picture=True))
    assert bytes(take(inbox).attachment) == encode(flat(luma=50))
    line.outside.publish(alarm(first.model_copy(update={"sequence": 99}), picture=True))
    assert bytes(take(inbox).attachment) == encode(flat(luma=200)), "the newest: that one is gone"
    line.outside.publish(alarm(first, picture=False))
    line.configure({"snapshots": False}, revision="2")
    line.outside.publish(alarm(first, picture=True))
    line.configure(revision="3")
    line.outside.publish(alarm(first, picture=True))
    assert inbox.receive(SILENCE) is None


def test_previews_only_while_watched(line: Line) -> None:
    inbox = line.listen(Preview)
    line.configure({})
    source = line.source()
    source.steps.put(flat())
    line.reaches(lambda s: s.skipped == 1)
    assert inbox.receive(SILENCE) is None
    assert line.outside.request(WatchCamera(camera="front", fps=30, max_width=40)).ok
    assert shown(take(inbox)).endswith(b" 40"), "the newest one at once"
    assert line.outside.request(WatchCamera(camera="front", fps=1, max_width=50)).ok
    assert shown(take(inbox)).endswith(b" 50"), "at once, for who wants it wider"
    line.clock.ahead += 1
    source.steps.put(flat())
    assert shown(take(inbox)).endswith(b" 50"), "both watchers are suited"
    line.clock.ahead += 60
    source.steps.put(flat())
    line.reaches(lambda s: s.decoded == 3)
    assert inbox.receive(SILENCE) is None


def test_a_viewer_who_left_costs_nothing_when_others_stay(line: Line) -> None:
    inbox = line.listen(Preview)
    line.configure({})
    source = line.source()
    source.steps.put(flat())
    line.reaches(lambda s: s.skipped == 1)
    assert line.outside.request(WatchCamera(camera="front", fps=30, max_width=60, seconds=5)).ok
    take(inbox)
    for _ in range(3):  # the other one asks again, as viewers do
        line.clock.ahead += 4
        asked = WatchCamera(camera="front", fps=10, max_width=40, seconds=5)
        assert line.outside.request(asked).ok
        take(inbox)  # the newest one at once
    line.clock.ahead += 1
    source.steps.put(flat())
    assert shown(take(inbox)).endswith(b" 40")


def test_a_viewer_in_a_hurry_does_not_wait_for_one_who_is_not(line: Line) -> None:
    inbox = line.listen(Preview)
    line.configure({})
    source = line.source()
    assert line.outside.request(WatchCamera(camera="front", fps=0.02, seconds=60)).ok
    source.steps.put(flat())
    take(inbox)
    assert line.outside.request(WatchCamera(camera="front", fps=30, seconds=60)).ok
    line.clock.ahead += 1
    source.steps.put(flat())
    take(inbox)


def test_no_number_of_viewers_fills_the_memory(line: Line) -> None:
    inbox = line.listen(Preview)
    line.configure({})
    source = line.source()
    for number in range(2 * MOST_WATCHES):
        asked = WatchCamera(camera="front", max_width=10 + number, seconds=60 - number / 2)
        assert line.outside.request(asked).ok
    source.steps.put(flat())
    widest_kept = 10 + MOST_WATCHES - 1
    assert shown(take(inbox)).endswith(b" %d" % widest_kept), "the last to end are kept"


def test_previews_come_no_faster_than_asked_for(line: Line) -> None:
    inbox = line.listen(Preview)
    line.configure({})
    source = line.source()
    assert line.outside.request(WatchCamera(camera="front", fps=0.1, seconds=60)).ok
    source.steps.put(flat())
    take(inbox)
    for decoded in range(2, 5):
        source.steps.put(flat())
        line.reaches(lambda s, decoded=decoded: s.skipped == decoded)  # type: ignore[misc]  # as above
    assert line.outside.request(WatchCamera(camera="front", fps=0.1, seconds=60)).ok
    assert inbox.receive(SILENCE) is None, "nor for another one who asks"
    line.clock.ahead += 10
    assert comment(take(inbox))["sequence"] == 3, "the newest one, though nothing came since"
    line.clock.ahead += 1
    source.steps.put(flat())
    line.reaches(lambda s: s.skipped == 5)
    assert inbox.receive(SILENCE) is None


def test_snapshot_by_command(line: Line) -> None:
    inbox = line.listen(Frame, Snapshot)
    line.offer("m")
    line.configure({})
    reply = line.outside.request(TakeSnapshot(camera="front"))
    assert (reply.ok, reply.reason) == (False, "camera 'front' has not given a picture yet")
    line.source().steps.put(flat(luma=60))
    frame = take(inbox)
    reply = line.outside.request(TakeSnapshot(camera="front", publish=True))
    assert reply.ok
    assert bytes(reply.attachment) == encode(flat(luma=60))
    assert reply.details["width"] == 64
    assert bytes(take(inbox).attachment) == bytes(reply.attachment)
    asked = TakeSnapshot(camera="front", stream=frame.stream, sequence=frame.sequence)
    assert line.outside.request(asked).ok
    gone = TakeSnapshot(camera="front", stream=frame.stream, sequence=99)
    assert "no longer kept" in line.outside.request(gone).reason
    unknown = line.outside.request(TriggerCamera(camera="nobody"))
    assert unknown.reason == "no camera 'nobody' is running here (running: front)"


def test_a_surprise_while_encoding_is_answered_and_costs_one_picture(
    line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line.configure({})
    line.source().steps.put(flat())
    line.reaches(lambda s: s.skipped == 1)

    def fail(*_: object, **__: object) -> bytes:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(line.service, "_encode", fail)
        reply = line.outside.request(TakeSnapshot(camera="front"), 10)
    assert (reply.ok, reply.reason) == (False, "unexpected MemoryError; see the log")
    assert line.outside.request(TakeSnapshot(camera="front"), 10).ok
    assert line.service.report().counters["encodings_failed"] == 1
    assert "in fail" in caplog.text


def test_pushed_pictures_reach_their_camera(line: Line) -> None:
    wait_for(lambda: line.beats)
    line.outside.publish(frames.Picture(camera="front", attachment=b"jpeg"))
    wait_for(lambda: line.cameras.pushed == [("front", b"jpeg")])
