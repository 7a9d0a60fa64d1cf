"""What somebody asks of a running camera: pauses, triggers, tests, previews, what models see."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nxai_capture.core.picture import Picture, Yuv420
from nxai_capture.core.resizing import Resizer
from nxai_capture.sending import MOST_TESTS
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import Reply, TakeSnapshot, TriggerCamera, WatchCamera
from nxai_common.contracts.configuration import RegionOfInterest
from nxai_common.contracts.frames import MAX_SIDE, Frame, Preview
from nxai_common.contracts.models import InputSpec, ModelManifest, ResizeMode
from nxai_common.contracts.outputs import Snapshot
from nxai_common.contracts.results import CollectReason
from nxai_common.contracts.samples import Sample
from nxai_common.contracts.status import LinkState
from nxai_common.errors import CameraUnavailable
from support.capture_line import (
    SILENCE,
    Line,
    comment,
    encode,
    encode_pixels,
    running,
    shown,
    take,
)
from support.pictures import flat, in_layout, soft
from support.waiting import wait_for

WHOLE = ((0, 0), (1, 0), (1, 1), (0, 1))
PAUSED: dict[str, Any] = {"paused": True}
WANTED = CollectReason(strategy="margin", reason="a cell: close", value=0.75)


@pytest.fixture
def line() -> Iterator[Line]:
    with running(Line()) as made:
        yield made


def trigger(line: Line, test: str = "", camera: str = "front") -> Reply:
    return line.outside.request(TriggerCamera(camera=camera, test=test), 10)


# -- paused -------------------------------------------------------------------------------------


def test_a_paused_camera_shows_itself_and_sends_nothing_until_it_goes_on(line: Line) -> None:
    frames, previews = line.listen(Frame), line.listen(Preview)
    line.offer("m")
    line.configure(PAUSED)
    source = line.source()
    assert line.outside.request(WatchCamera(camera="front", fps=10, seconds=60)).ok
    for number in range(3):
        line.clock.ahead += 0.1
        source.steps.put(flat(luma=100 + number))
        line.reaches(lambda s, number=number: s.skipped == number + 1)  # type: ignore[misc]  # mypy cannot infer lambdas with defaults
        assert comment(take(previews))["sequence"] == number
    assert bytes(line.outside.request(TakeSnapshot(camera="front")).attachment) == encode(
        flat(luma=102)
    )
    assert frames.receive(SILENCE) is None
    line.configure({}, revision="2")
    source.steps.put(flat())
    frame = take(frames)
    assert frame.sequence == 3
    line.configure(PAUSED, revision="3")
    line.answer(frame)
    source.steps.put(flat())
    line.reaches(lambda s: (s.sent, s.skipped) == (1, 4))
    assert frames.receive(SILENCE) is None
    assert (len(line.cameras.opened), line.status().reconnects) == (1, 0)


def test_a_picture_that_waits_for_a_credit_is_skipped_by_a_pause(line: Line) -> None:
    frames = line.listen(Frame)
    line.offer("m")
    line.configure({"credit_window": 1})
    source = line.source()
    source.steps.put(flat())
    frame = take(frames)
    source.steps.put(flat())
    line.reaches(lambda s: s.decoded == 2)
    line.configure({"credit_window": 1, **PAUSED}, revision="2")
    line.reaches(lambda s: (s.sent, s.skipped, s.dropped) == (1, 1, 0))
    line.answer(frame)
    assert frames.receive(SILENCE) is None


def test_a_picture_of_which_one_model_has_its_frame_counts_as_sent_when_the_pause_comes(
    line: Line,
) -> None:
    frames = line.listen(Frame)
    line.offer("m")
    line.offer("slow", side=64)
    both: dict[str, Any] = {"credit_window": 1, "models": ("m", "slow")}
    line.configure(both)
    source = line.source()
    source.steps.put(flat())
    first = take(frames)
    take(frames)
    line.answer(first)
    source.steps.put(flat())
    assert take(frames).models == ("m",)  # slow has no credit for it
    line.configure({**both, **PAUSED}, revision="2")
    line.reaches(lambda s: (s.sent, s.skipped, s.dropped) == (2, 0, 0))


def test_a_paused_camera_sends_one_picture_for_each_trigger(line: Line) -> None:
    frames = line.listen(Frame)
    line.offer("m")
    line.configure(PAUSED)
    source = line.source()
    source.steps.put(flat())
    line.reaches(lambda s: s.skipped == 1)
    assert trigger(line).ok
    frame = take(frames)
    assert (frame.sequence, frame.test) == (0, "")
    line.reaches(lambda s: (s.sent, s.skipped) == (1, 0))
    assert trigger(line).ok, "that one was sent already: the next one"
    assert frames.receive(SILENCE) is None
    source.steps.put(flat())
    assert take(frames).sequence == 1
    for skipped in range(1, 3):
        source.steps.put(flat())
        line.reaches(lambda s, skipped=skipped: s.skipped == skipped)  # type: ignore[misc]  # as above
    line.reaches(lambda s: (s.decoded, s.sent, s.skipped) == (4, 2, 2))
    assert frames.receive(SILENCE) is None


def test_a_trigger_waits_for_no_credit(line: Line) -> None:
    frames = line.listen(Frame)
    line.offer("m")
    line.configure({"credit_window": 1})
    source = line.source()
    source.steps.put(flat())
    take(frames)
    source.steps.put(flat())
    line.reaches(lambda s: s.decoded == 2)
    assert trigger(line).ok
    assert take(frames).sequence == 1, "which waited for a credit"
    line.configure({"credit_window": 1, "inference_limit_ms": 3_600_000}, revision="2")
    assert trigger(line).ok
    source.steps.put(flat())
    assert take(frames).sequence == 2
    line.reaches(lambda s: (s.sent, s.dropped, s.skipped) == (3, 0, 0))


def paused_file(line: Line, **options: Any) -> None:
    """Have five pictures of a file offered to a camera that is paused."""
    line.cameras.lossless = True
    line.offer("m")
    line.configure({**PAUSED, **options})
    for number in range(5):
        line.source().steps.put(flat(luma=100 + number))
    line.source().steps.put(None)
    line.reaches(lambda s: s.decoded == 3)  # in hand, in the slot, and one waits for its place


def test_a_file_read_fast_waits_while_it_is_paused_and_shows_where_it_stands(line: Line) -> None:
    frames = line.listen(Frame)
    paused_file(line)
    assert bytes(line.outside.request(TakeSnapshot(camera="front")).attachment) == encode(
        flat(luma=100)
    )
    for sequence in range(2):
        assert trigger(line).ok
        assert take(frames).sequence == sequence
        assert frames.receive(SILENCE) is None
    line.reaches(lambda s: (s.decoded, s.sent, s.skipped) == (5, 2, 0))
    line.configure({}, revision="2")
    for sequence in range(2, 5):
        frame = take(frames)
        assert frame.sequence == sequence
        line.answer(frame)
    line.reaches(lambda s: s.state is LinkState.ENDED)
    line.reaches(lambda s: (s.decoded, s.sent, s.skipped, s.dropped) == (5, 5, 0, 0))


def test_a_paused_file_does_not_race_either_when_no_model_looks_at_it(line: Line) -> None:
    paused_file(line, models=())
    line.looks_again()
    assert (line.status().decoded, line.status().skipped) == (3, 0)
    line.configure({"models": ()}, revision="2")
    line.reaches(lambda s: (s.decoded, s.skipped) == (5, 5))


def test_a_file_that_goes_on_keeps_to_its_limit(line: Line) -> None:
    frames = line.listen(Frame)
    paused_file(line)
    line.configure({"inference_limit_ms": 3_600_000}, revision="2")
    assert take(frames).sequence == 0
    line.reaches(lambda s: (s.decoded, s.sent, s.skipped) == (5, 1, 4))


def test_a_pause_loses_nothing_of_a_file_that_waits_for_credits(line: Line) -> None:
    frames = line.listen(Frame)
    line.cameras.lossless = True
    line.offer("m")
    line.configure({"credit_window": 1})
    source = line.source()
    for _ in range(4):
        source.steps.put(flat())
    first = take(frames)
    line.reaches(lambda s: s.decoded == 4)
    line.configure({"credit_window": 1, **PAUSED}, revision="2")
    line.answer(first)
    assert frames.receive(SILENCE) is None
    line.configure({"credit_window": 1}, revision="3")
    for sequence in range(1, 4):
        frame = take(frames)
        assert frame.sequence == sequence
        line.answer(frame)
    line.reaches(lambda s: (s.sent, s.skipped, s.dropped) == (4, 0, 0))


# -- triggers and tests ---------------------------------------------------------------------------


def test_a_trigger_that_can_bring_nothing_says_why(line: Line) -> None:
    line.configure({"models": ()}, {"id": "back"}, {"id": "side", "models": ("n", "m")})
    sources = {line.source(number).camera.id: line.source(number) for number in range(3)}
    assert trigger(line).reason == (
        "no frame of camera 'front' can be sent: it gives no pictures now: it is being opened"
    )
    for name in ("front", "back"):
        sources[name].steps.put(flat())
        line.reaches(lambda s: s.skipped > 0, name)
    for test in ("", "test-1"):
        assert trigger(line, test).reason == (
            "no frame of camera 'front' can be sent: no model is assigned to it: choose one first"
        )
        assert "inference does not offer its model m (yet)" in trigger(line, test, "back").reason
    sources["front"].steps.put(CameraUnavailable("it rains"))
    wait_for(lambda: "it rains" in trigger(line).reason, what="away")


def test_a_file_is_not_triggered_before_all_its_models_are_there(line: Line) -> None:
    frames = line.listen(Frame)
    line.cameras.lossless = True
    line.offer("m")
    line.configure({"models": ("m", "late")})
    line.source().steps.put(flat())
    line.reaches(lambda s: s.state is LinkState.RUNNING)
    wait_for(lambda: line.outside.request(TakeSnapshot(camera="front")).ok, what="it shows itself")
    assert "does not offer its model late (yet)" in trigger(line).reason
    assert "does not offer its model late (yet)" in trigger(line, "test-1").reason
    line.offer("late")
    assert take(frames).models == ("m", "late")


def test_a_camera_that_was_opened_and_gave_nothing_yet_says_so(line: Line) -> None:
    line.offer("m")
    line.configure({})
    source = line.source()
    source.steps.put(flat())
    line.reaches(lambda s: s.state is LinkState.RUNNING)
    sender = line.service._cameras["front"].sender
    wait_for(lambda: sender.newest_picture() is not None)
    with sender._changed:
        sender._newest = None  # as in the moment between opening and the first picture
    assert trigger(line).reason.endswith("it has not given a picture yet")


def test_a_file_that_was_played_to_its_end_is_triggered_once_more_at_most(line: Line) -> None:
    frames = line.listen(Frame)
    line.offer("m")
    line.configure(PAUSED)
    source = line.source()
    source.steps.put(flat())
    line.reaches(lambda s: s.skipped == 1)
    source.steps.put(None)
    line.reaches(lambda s: s.state is LinkState.ENDED)
    assert trigger(line).ok
    take(frames)
    line.reaches(lambda s: s.sent == 1)
    assert "played to its end, and its last picture was sent already" in trigger(line).reason
    assert trigger(line, "test-1").ok
    assert take(frames).test == "test-1"


def test_a_trigger_whose_frame_cannot_be_sent_says_why(line: Line) -> None:
    frames = line.listen(Frame)
    line.offer("m", side=2400)
    line.configure({})
    source = line.source()
    source.steps.put(flat())
    line.reaches(lambda s: s.dropped == 1)
    why = "no frame of 2400x2400 pixels for model m can be sent: "
    assert why in trigger(line).reason
    line.offer("n")
    line.configure({"models": ("m", "n")}, revision="2")
    reply = trigger(line, "test-1")
    assert (reply.ok, reply.details["models"], why in reply.reason) == (True, "n", True)
    assert take(frames).models == ("n",)
    source.steps.put(flat())
    take(frames)
    line.reaches(lambda s: s.sent == 1)
    line.configure({"models": ("m",)}, revision="3")
    reply = trigger(line, "test-2")
    assert (reply.ok, reply.details["models"], why in reply.reason) == (False, "", True)


def test_a_picture_that_was_dropped_is_triggered_and_counted_once(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = line.listen(Frame)
    line.offer("m")
    line.configure({})
    with monkeypatch.context() as patched:
        patched.setattr(line.bus, "publish", lambda _message: False)
        line.source().steps.put(flat())
        line.reaches(lambda s: s.dropped == 1)
    assert trigger(line).ok
    assert take(frames).sequence == 0
    line.reaches(lambda s: (s.sent, s.dropped) == (1, 0))


@pytest.mark.parametrize("options", [{}, PAUSED, {"inference_limit_ms": 3_600_000}])
def test_a_test_sends_the_newest_picture_besides_all_others(
    line: Line, options: dict[str, Any]
) -> None:
    frames, samples = line.listen(Frame), line.listen(Sample)
    line.offer("m", "n")
    line.offer("large", side=160)
    line.configure({"models": ("m", "n", "large"), "credit_window": 1, "samples": True, **options})
    source = line.source()
    source.steps.put(flat())
    in_flight = [] if options == PAUSED else [take(frames), take(frames)]
    line.reaches(lambda s: s.sent + s.skipped == 1)
    before = line.status()
    for name in ("test-1", "test-2"):
        reply = trigger(line, name)
        got = sorted((take(frames) for _ in range(2)), key=lambda frame: frame.width)
        assert [(f.test, f.sequence, f.models) for f in got] == [
            (name, 0, ("m", "n")),
            (name, 0, ("large",)),
        ]
        assert reply.ok
        assert reply.details == {
            "stream": got[0].stream,
            "sequence": 0,
            "captured_at_us": got[0].captured_at_us,
            "width": 64,
            "height": 48,
            "models": "m, n, large",
        }
        for frame in got:
            line.answer(frame, test=name, collect=WANTED)
    assert line.status() == before.model_copy(update={"fps": line.status().fps})
    if options == {}:  # the results of a test return no credit
        source.steps.put(flat())
        line.reaches(lambda s: s.decoded == 2)
        assert frames.receive(SILENCE) is None
        for frame in in_flight:
            line.answer(frame)
        assert [take(frames).sequence for _ in range(2)] == [1, 1]
    assert samples.receive(SILENCE) is None


def test_the_picture_of_a_test_can_be_had_for_long(line: Line) -> None:
    frames = line.listen(Frame)
    line.offer("m")
    line.configure(PAUSED)
    source = line.source()
    source.steps.put(flat(luma=60))
    line.reaches(lambda s: s.skipped == 1)
    assert trigger(line, "test-1").ok
    frame = take(frames)
    for number in range(30):
        source.steps.put(flat(luma=100))
        line.reaches(lambda s, number=number: s.skipped == number + 2)  # type: ignore[misc]  # as above
    asked = TakeSnapshot(camera="front", stream=frame.stream, sequence=frame.sequence)
    assert bytes(line.outside.request(asked).attachment) == encode(flat(luma=60))
    line.configure({"masks": (WHOLE,), **PAUSED}, revision="2")
    assert "no longer kept" in line.outside.request(asked).reason
    assert trigger(line, "test-2").ok
    assert not any(take(frames).attachment)


def test_a_test_does_not_use_up_a_picture_of_a_file(line: Line) -> None:
    frames = line.listen(Frame)
    paused_file(line)
    for name in ("test-1", "test-2"):
        assert trigger(line, name).ok
        frame = take(frames)
        assert (frame.test, frame.sequence) == (name, 0)
    line.configure({}, revision="2")
    frame = take(frames)
    assert (frame.test, frame.sequence) == ("", 0)


def test_tests_that_come_too_fast_are_told_to_wait_and_a_surprise_is_an_answer(
    line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line.offer("m")
    line.configure(PAUSED)
    line.source().steps.put(flat())
    line.reaches(lambda s: s.skipped == 1)
    publish, sending, go = line.bus.publish, threading.Event(), threading.Event()
    published = iter((MemoryError("no room"), False))

    def fail(message: Message) -> bool:
        if not isinstance(message, Frame):
            return publish(message)
        sending.set()
        assert go.wait(30)
        outcome = next(published, True)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome and publish(message)

    monkeypatch.setattr(line.bus, "publish", fail)
    sender = line.service._cameras["front"].sender
    replies: list[Reply] = []
    assert sender.test("test-0", replies.append) == ""
    assert sending.wait(10)
    for number in range(MOST_TESTS):
        assert sender.test(f"test-{number + 1}", replies.append) == ""
    assert "8 tests of it wait already" in trigger(line, "one-more").reason
    go.set()
    wait_for(lambda: len(replies) == MOST_TESTS + 1)
    reasons = ["unexpected MemoryError; see the log", "the broker is away: ask again", ""]
    assert [(reply.ok, reply.reason) for reply in replies[:3]] == list(
        zip((False, False, True), reasons, strict=True)
    )
    assert "no room" in caplog.text


def test_a_test_is_told_when_its_models_go_while_it_waits(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.offer("m")
    line.configure(PAUSED)
    line.source().steps.put(flat())
    line.reaches(lambda s: s.skipped == 1)
    publish, sending, go = line.bus.publish, threading.Event(), threading.Event()

    def publish_late(message: Message) -> bool:
        if isinstance(message, Frame):
            sending.set()
            assert go.wait(30)
        return publish(message)

    monkeypatch.setattr(line.bus, "publish", publish_late)
    sender = line.service._cameras["front"].sender
    replies: list[Reply] = []
    assert sender.test("test-0", replies.append) == ""
    assert sending.wait(10)
    assert sender.test("test-1", replies.append) == ""
    line.outside.clear(ModelManifest, model="m")
    wait_for(lambda: line.service.report().problems)
    go.set()
    wait_for(lambda: len(replies) == 2)
    assert (replies[1].ok, replies[1].reason) == (False, "no model is offered for it any more")


# -- previews -------------------------------------------------------------------------------------


def test_a_preview_says_which_frame_it_shows(line: Line) -> None:
    frames, previews = line.listen(Frame), line.listen(Preview)
    line.offer("m")
    line.configure({})
    assert line.outside.request(WatchCamera(camera="front", max_width=40)).ok
    line.source().steps.put(flat())
    frame, preview = take(frames), take(previews)
    assert comment(preview) == {
        "stream": frame.stream,
        "sequence": frame.sequence,
        "captured_at_us": frame.captured_at_us,
        "width": 64,
        "height": 48,
    }
    assert shown(preview) == b"64 98 40"


def pictures_shown(line: Line) -> list[int]:
    """Return the sequence of all that was shown: the slot of a mailbox keeps the newest alone."""
    assert line.outside.request(TakeSnapshot(camera="front")).ok  # encoded after all previews
    return [about["sequence"] for about in line.shown]


def test_previews_show_the_pictures_that_were_sent(line: Line) -> None:
    frames = line.listen(Frame)
    line.offer("m")
    line.configure({})
    source = line.source()
    assert line.outside.request(WatchCamera(camera="front", fps=10, seconds=60)).ok
    sent = set()
    for number in range(32):  # 40 pictures a second, of which every other one is sent
        if number % 2:
            line.configure(PAUSED, revision=f"{number} paused")
        source.steps.put(flat())
        wait_for(lambda number=number: _newest(line) == number)  # type: ignore[misc]  # as above
        if number % 2:
            line.configure({}, revision=f"{number}")
        else:
            frame = take(frames)
            line.answer(frame)
            sent.add(frame.sequence)
        line.clock.ahead += 0.025
    told = pictures_shown(line)
    assert set(told) <= sent
    assert 7 <= len(told) <= 9


def test_a_slow_model_costs_no_viewer_a_preview_and_what_was_sent_is_shown(line: Line) -> None:
    frames = line.listen(Frame)
    line.offer("m")
    line.configure({"credit_window": 1})
    source = line.source()
    assert line.outside.request(WatchCamera(camera="front", fps=10, seconds=60)).ok
    source.steps.put(flat())
    frame = take(frames)
    sent = {0}
    for number in range(1, 31):
        line.clock.ahead += 0.05
        source.steps.put(flat())
        wait_for(lambda number=number: _newest(line) == number)  # type: ignore[misc]  # as above
        if number % 10 == 0:
            line.answer(frame)
            frame = take(frames)
            sent.add(frame.sequence)
    told = pictures_shown(line)
    assert sent == {0, 10, 20, 30}
    assert sent <= set(told)
    assert 15 <= len(told) <= 17


def _newest(line: Line) -> int:
    newest = line.service._cameras["front"].sender._newest
    return -1 if newest is None else newest.sequence


# -- regions --------------------------------------------------------------------------------------

RIGHT = {"x": 0.5, "y": 0.25, "width": 0.5, "height": 0.5}


def test_models_see_the_region_alone_and_the_transform_leads_back(line: Line) -> None:
    frames = line.listen(Frame)
    line.offer("m", "n")
    line.configure({"models": ("m", "n"), "region": RIGHT})
    source = line.source()
    picture = in_layout(soft(640, 480), "yuv")
    source.steps.put(picture)
    frame = take(frames)
    assert (frame.models, frame.input) == (("m", "n"), "96x96x3_squash_exact")
    region = RegionOfInterest.model_validate(RIGHT)
    spec = InputSpec(width=96, height=96, channels=3)
    assert bytes(frame.attachment) == Resizer(spec, 640, 480, region)(picture).tobytes()
    assert (frame.source_width, frame.source_height) == (640, 480)
    back = frame.transform
    assert (back.offset_x, back.offset_y) == (320, 120)
    assert (96 * back.scale_x + back.offset_x, 96 * back.scale_y + back.offset_y) == (640, 360)
    line.answer(frame)
    line.configure({"models": ("m", "n")}, revision="2")
    source.steps.put(picture)
    assert take(frames).transform.offset_x == 0
    assert len(line.cameras.opened) == 1


def test_only_a_change_in_the_region_counts(line: Line) -> None:
    frames = line.listen(Frame)
    line.offer("m")
    line.configure({"region": RIGHT, "on_change": {"enabled": True}})
    source = line.source()

    def spotted(x: int, y: int) -> Picture:
        picture = flat()
        assert isinstance(picture.planes, Yuv420)
        picture.planes.y[y : y + 8, x : x + 8] = 250
        return picture

    source.steps.put(flat())
    line.answer(take(frames))
    for skipped, (x, y) in enumerate([(0, 20), (20, 20), (40, 0), (40, 40)], 1):
        source.steps.put(spotted(x, y))
        line.reaches(lambda s, skipped=skipped: s.skipped == skipped)  # type: ignore[misc]  # as above
    source.steps.put(spotted(32, 12))
    frame = take(frames)
    assert frame.sequence == 5
    line.answer(frame)
    elsewhere = {**RIGHT, "x": 0}
    line.configure({"region": elsewhere, "on_change": {"enabled": True}}, revision="2")
    source.steps.put(spotted(0, 12))  # which looks the same
    assert take(frames).sequence == 6, "another region: it is compared with nothing yet"


@pytest.mark.parametrize("channels", [1, 3])
def test_a_snapshot_shows_what_a_model_reads(line: Line, channels: int) -> None:
    line.configure({"region": RIGHT})
    picture = in_layout(soft(640, 480), "yuv")
    line.source().steps.put(picture)
    line.reaches(lambda s: s.skipped == 1)
    spec = InputSpec.model_validate(
        {"width": 64, "height": 32, "channels": channels, "resize_mode": ResizeMode.FIT_LONG}
    )
    left = RegionOfInterest(width=0.5)
    for region, as_if in ((None, RegionOfInterest.model_validate(RIGHT)), (left, left)):
        reply = line.outside.request(TakeSnapshot(camera="front", as_input=spec, region=region))
        assert reply.ok
        expected = Resizer(spec, 640, 480, as_if)(picture)
        assert bytes(reply.attachment) == encode_pixels(expected)
        assert (reply.details["width"], reply.details["height"]) == (64, 32)


def test_what_a_model_reads_of_a_picture_of_nonsense_is_refused(line: Line) -> None:
    line.configure({})
    line.source().steps.put(flat())
    line.reaches(lambda s: s.skipped == 1)
    large = InputSpec(width=MAX_SIDE + 1, height=1, channels=3)
    reply = line.outside.request(TakeSnapshot(camera="front", as_input=large))
    assert (reply.ok, reply.reason) == (False, "no model reads 4097x1 pixels: at most 4096x4096")
    small = InputSpec(width=96, height=96, channels=3)
    reply = line.outside.request(TakeSnapshot(camera="front", as_input=small, publish=True))
    assert "leave out publish or as_input" in reply.reason


def test_what_a_model_reads_wears_the_masks(line: Line) -> None:
    line.configure({"masks": (WHOLE,)})
    line.source().steps.put(flat(luma=200))
    line.reaches(lambda s: s.skipped == 1)
    spec = InputSpec(width=8, height=8, channels=3)
    reply = line.outside.request(TakeSnapshot(camera="front", as_input=spec))
    assert bytes(reply.attachment) == encode_pixels(np.zeros((8, 8, 3), np.uint8))


def test_a_snapshot_is_scaled_down_when_asked_for(line: Line) -> None:
    snapshots = line.listen(Snapshot)
    line.configure({})
    line.source().steps.put(flat())
    line.reaches(lambda s: s.skipped == 1)
    reply = line.outside.request(TakeSnapshot(camera="front", max_width=32, publish=True))
    assert bytes(reply.attachment) == encode(flat(), max_width=32)
    assert (reply.details["width"], reply.details["height"]) == (64, 48), "of the original"
    assert bytes(take(snapshots).attachment) == bytes(reply.attachment)
