"""Cameras that are not in use yet: sources that are tried, searches, questions for streams."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nxai_capture.core.onvif import Profile, Stream
from nxai_capture.core.picture import Bgr, Picture
from nxai_capture.core.watchdog import OBEY_S
from nxai_capture.errands import MOST_STUCK, Errand, Errands
from nxai_capture.ports import Credentials, NetworkCamera
from nxai_common.contracts.commands import (
    Command,
    FindCameras,
    ListStreams,
    ProbeSource,
    Reply,
    TakeSnapshot,
)
from nxai_common.errors import CameraUnavailable, ConfigurationError
from support.capture_line import Line, TurnedClock, encode, running
from support.pictures import flat
from support.waiting import wait_for

HERE = "http://192.0.2.17/onvif/device_service"
WHOLE = ((0, 0), (1, 0), (1, 1), (0, 1))


@pytest.fixture
def line() -> Iterator[Line]:
    with running(Line()) as made:
        yield made


class Asking:
    """Somebody who asks and waits, on a thread."""

    def __init__(self, line: Line, command: Command) -> None:
        self.replies: list[Reply] = []
        self._thread = threading.Thread(
            target=lambda: self.replies.append(line.outside.request(command, 60))
        )
        self._thread.start()

    def reply(self) -> Reply:
        self._thread.join(60)
        return self.replies[0]


def probe(**options: Any) -> ProbeSource:
    return ProbeSource.model_validate({"source": {"type": "demo"}, **options})


def tried(line: Line, number: int = 0) -> Any:
    """Return a source that is being tried."""
    wait_for(lambda: len(line.tried.opened) > number, what=f"try {number}")
    source = line.tried.opened[number]
    assert source.entered.wait(10)
    return source


# -- trying sources -------------------------------------------------------------------------------


def test_a_source_is_answered_with_its_first_picture_and_closed(line: Line) -> None:
    asking = Asking(line, probe(credentials="probe-1", watchdog={"open_timeout_s": 3}))
    source = tried(line)
    line.clock.ahead += 1.5
    source.steps.put(flat(luma=200))
    reply = asking.reply()
    assert reply.ok
    assert bytes(reply.attachment) == encode(flat(luma=200))
    assert reply.details == {
        "width": 64,
        "height": 48,
        "codec": "scripted",
        "fps": None,
        "transport": "",
        "seconds": 1.5,
    }
    assert source.closed.is_set()
    assert source.camera.watchdog.open_timeout_s == 3
    (credentials,) = line.tried.credentials
    assert credentials is not None
    assert credentials.username == "probe-1"
    assert line.cameras.opened == []


def test_a_tried_source_is_shown_with_its_masks(line: Line) -> None:
    asking = Asking(line, probe(masks=(WHOLE,)))
    tried(line).steps.put(flat(luma=200))
    assert bytes(asking.reply().attachment) == b"64 0 0"
    assert line.tried.credentials == [None]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (CameraUnavailable("401: it rains"), "401: it rains"),
        (ConfigurationError("404: it snows"), "404: it snows"),
        (OSError("it hails"), "unexpected OSError; see the log"),
        (None, "it came to its end without a picture"),
        (
            Picture(Bgr(np.zeros((1, 8193, 3), np.uint8)), 8193, 1, 0),
            "the camera announces a picture of 8193x1 pixels",
        ),
    ],
)
def test_a_source_that_gives_no_picture_says_why_and_is_closed(
    line: Line, step: Picture | Exception | None, reason: str
) -> None:
    asking = Asking(line, probe())
    tried(line).steps.put(step)
    reply = asking.reply()
    assert not reply.ok
    assert reply.reason.startswith(reason)
    assert tried(line).closed.is_set()


def test_what_cannot_be_opened_says_why(line: Line) -> None:
    line.tried.refuse = ConfigurationError("the URL names no host")
    reply = line.outside.request(probe(), 10)
    assert (reply.ok, reply.reason) == (False, "the URL names no host")


def test_pushed_pictures_cannot_be_tried(line: Line) -> None:
    reply = line.outside.request(probe(source={"type": "push"}), 10)
    assert not reply.ok
    assert reply.reason.startswith("pictures that are pushed cannot be tried")
    assert line.tried.opened == []


def test_a_device_that_a_camera_holds_is_not_opened_a_second_time(
    line: Line, tmp_path: Any
) -> None:
    (tmp_path / "video0").touch()
    (tmp_path / "by-id").symlink_to(tmp_path / "video0")
    held = {"type": "v4l2", "device": str(tmp_path / "video0")}
    line.configure({"id": "bench", "source": held}, {"id": "back"})
    same = {"type": "v4l2", "device": str(tmp_path / "by-id")}
    reply = line.outside.request(probe(source=same), 10)
    assert not reply.ok
    assert "is in use by camera 'bench'" in reply.reason
    other = {"type": "v4l2", "device": str(tmp_path / "video2")}
    asking = Asking(line, probe(source=other))
    tried(line).steps.put(flat())
    assert asking.reply().ok


def test_two_are_tried_at_once_and_more_are_told_to_wait(line: Line) -> None:
    line.configure({})
    line.source().steps.put(flat())
    asking = [Asking(line, probe()) for _ in range(2)]
    tried(line, 1)
    reply = line.outside.request(probe(), 10)
    assert (reply.ok, reply.details) == (False, {"busy": True})
    assert reply.reason == "2 sources are being tried already: ask again in some seconds"
    assert line.service.report().gauges["searches_running"] == 2
    wait_for(lambda: line.outside.request(TakeSnapshot(camera="front")).ok, what="it goes on")
    for number in range(2):
        tried(line, number).steps.put(flat())
    assert all(one.reply().ok for one in asking)
    wait_for(lambda: line.service.report().gauges["searches_running"] == 0)
    asking = [Asking(line, probe())]
    tried(line, 2).steps.put(flat())
    assert asking[0].reply().ok


@pytest.mark.parametrize(
    ("watchdog", "patience_s"),
    [({}, 30), ({"open_timeout_s": 2, "picture_timeout_s": 3}, 5), ({"picture_timeout_s": 90}, 30)],
)
def test_a_source_that_takes_too_long_is_interrupted(
    line: Line, watchdog: dict[str, float], patience_s: float
) -> None:
    asking = Asking(line, probe(watchdog=watchdog))
    source = tried(line)
    line.clock.ahead += patience_s - 0.1
    line.looks_again()
    assert source.interrupted == 0
    line.clock.ahead += 0.1
    reply = asking.reply()
    assert (reply.ok, reply.reason) == (
        False,
        f"timed out: no picture within {patience_s} s",
    )
    assert source.closed.is_set()
    line.looks_again()
    assert source.interrupted == 1


def test_a_source_that_hangs_is_answered_for_and_left_behind(line: Line) -> None:
    line.tried.deaf = True
    for number in range(MOST_STUCK):
        asking = Asking(line, probe())
        source = tried(line, number)
        line.clock.ahead += 30
        wait_for(lambda source=source: source.interrupted)  # type: ignore[misc]  # mypy cannot infer lambdas with defaults
        line.clock.ahead += OBEY_S
        assert asking.reply().reason == "timed out: no picture within 30 s: it hangs"
        wait_for(lambda: line.service.report().gauges["searches_running"] == 0)
    reply = line.outside.request(probe(), 10)
    assert reply.reason == "4 earlier ones still hang: restart this service"
    back = tried(line)
    back.steps.put(flat())  # one comes back, too late for an answer
    assert back.closed.wait(10)
    asking = Asking(line, probe())
    tried(line, MOST_STUCK).steps.put(flat())
    assert asking.reply().ok


def test_work_that_was_interrupted_before_it_could_be_ends_at_once() -> None:
    go, woken = threading.Event(), threading.Event()
    replies: list[Reply] = []

    def work(errand: Errand) -> Reply:
        assert go.wait(30)
        errand.on_interrupt(woken.set)
        assert woken.wait(30)
        raise CameraUnavailable("interrupted")

    clock = TurnedClock()
    errands = Errands("things are done", 1, clock)
    errands.start(work, answer=replies.append, patience_s=5, too_long="too long")
    clock.ahead += 5
    errands.supervise()
    go.set()
    wait_for(lambda: replies)
    assert replies[0].reason == "too long"


def test_what_is_being_tried_ends_with_the_service(line: Line) -> None:
    asking = Asking(line, probe())
    source = tried(line)
    line.stop.set()
    assert source.closed.wait(20)
    assert not asking.reply().ok


# -- searching ------------------------------------------------------------------------------------


def test_cameras_are_looked_for_beside_the_line(line: Line) -> None:
    line.configure({})
    line.source().steps.put(flat())
    asked: list[float] = []
    go = threading.Event()

    def find(seconds: float) -> tuple[list[NetworkCamera], list[str]]:
        asked.append(seconds)
        assert go.wait(30)
        return [NetworkCamera(HERE, "192.0.2.17", "Front", "C-17", "garden")], ["eth1 is down"]

    line.find_on_network = find
    asking = [Asking(line, FindCameras(seconds=2)) for _ in range(2)]
    wait_for(lambda: asked == [2, 2])
    busy = line.outside.request(FindCameras(), 10)
    assert busy.reason == "2 searches are under way already: ask again in some seconds"
    wait_for(lambda: line.outside.request(TakeSnapshot(camera="front")).ok, what="it goes on")
    go.set()
    for one in asking:
        reply = one.reply()
        assert reply.ok
        assert json.loads(bytes(reply.attachment)) == {
            "network": [
                {
                    "address": HERE,
                    "host": "192.0.2.17",
                    "name": "Front",
                    "hardware": "C-17",
                    "location": "garden",
                }
            ],
            "usb": [
                {
                    "device": "/dev/v4l/by-id/usb-C920",
                    "name": "C920",
                    "formats": [{"name": "MJPG", "sizes": [[1280, 720]]}],
                }
            ],
            "problems": ["eth1 is down", "video7 may not be used"],
        }


def test_a_search_that_hangs_is_answered_for(line: Line) -> None:
    begun, go = threading.Event(), threading.Event()

    def hang(_: float) -> tuple[list[NetworkCamera], list[str]]:
        begun.set()
        assert go.wait(60)
        return [], []

    line.find_on_network = hang
    asking = Asking(line, FindCameras(seconds=2))
    assert begun.wait(10)
    line.clock.ahead += 12 + OBEY_S
    assert asking.reply().reason == "the search takes too long: it hangs"
    go.set()


def test_a_camera_is_asked_for_its_streams(line: Line) -> None:
    asked: list[tuple[str, Credentials | None]] = []
    found = Stream(Profile("t", "Main", "H264", 1920, 1080, 25), "rtsp://c/main", "http://c/jpg")

    def ask(address: str, credentials: Credentials | None) -> list[Stream]:
        asked.append((address, credentials))
        if credentials is None:
            raise ConfigurationError("401: the camera asks for user and password")
        return [found]

    line.ask = ask
    reply = line.outside.request(ListStreams(address=HERE, credentials="probe-1"), 10)
    assert json.loads(bytes(reply.attachment)) == {
        "streams": [
            {
                "name": "Main",
                "url": "rtsp://c/main",
                "snapshot": "http://c/jpg",
                "width": 1920,
                "height": 1080,
                "encoding": "H264",
                "fps": 25,
            }
        ]
    }
    reply = line.outside.request(ListStreams(address=HERE), 10)
    assert (reply.ok, reply.reason) == (False, "401: the camera asks for user and password")
    assert [(address, c and c.username) for address, c in asked] == [
        (HERE, "probe-1"),
        (HERE, None),
    ]
