"""The thread of a live camera: time-outs and hanging libraries."""

import gc
import logging
import threading
import wave
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
import pytest
from av.container import InputContainer

from nxai_capture.adapters.live_source import MOST_STUCK, LiveSource
from nxai_capture.adapters.rtsp_source import RtspConnection, TransportMemory
from nxai_capture.adapters.system_clock import SystemClock
from nxai_capture.adapters.v4l2_source import V4l2Connection
from nxai_capture.core.picture import Gray, Picture
from nxai_capture.ports import Credentials, SourceInfo
from nxai_capture.reading import CameraReader
from nxai_capture.stuck import StuckThreads
from nxai_common.contracts.configuration import CaptureCamera, RtspSource, V4l2Source
from nxai_common.errors import CameraUnavailable, ConfigurationError
from nxai_common.retry import RetryPolicy
from support.waiting import wait_for

PICTURE = Picture(Gray(np.zeros((2, 2), np.uint8)), 2, 2, 0)


class Hanging:
    """A library that hangs where no time-out reaches: a fault that cannot be caused on demand."""

    def __init__(self, *, entering: bool = False, packets: bool = False) -> None:
        self.entering = entering
        self.packets = packets
        self.release = threading.Event()
        self.left = threading.Event()
        self.info = SourceInfo(codec="none")
        self.broken = 0
        self.why_blind = "shorten its key frame interval"

    def __enter__(self) -> Self:
        if self.entering:
            self.release.wait(60)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.left.set()

    def hang_up(self) -> None:
        """Cannot."""

    def pictures(self, heard: Callable[[], None]) -> Iterator[Picture]:
        yield PICTURE
        while self.packets and not self.release.wait(0.01):
            heard()
        self.release.wait(60)
        heard()


def live(
    connection: Hanging,
    stuck: StuckThreads | None = None,
    *,
    open_timeout_s: float = 10,
    read_timeout_s: float = 0.3,
) -> LiveSource:
    return LiveSource(
        connection,
        open_timeout_s=open_timeout_s,
        read_timeout_s=read_timeout_s,
        picture_timeout_s=0.6,
        stuck=stuck or StuckThreads(),
    )


def test_library_that_hangs_while_opening_is_left_behind_and_cleans_up_later() -> None:
    connection, stuck = Hanging(entering=True), StuckThreads()
    with (
        pytest.raises(CameraUnavailable, match=r"timed out: no connection within 0\.1 s"),
        live(connection, stuck, open_timeout_s=0.1),
    ):
        pass
    assert stuck.alive() == 1
    connection.release.set()
    assert connection.left.wait(5)
    wait_for(lambda: stuck.alive() == 0)


def first_picture(source: LiveSource) -> Picture | None:
    """Return it, however long it took: what is there is given before time-outs are looked at."""
    wait_for(lambda: source._newest is not None, what="the first picture")
    return source.read()


def test_library_that_hangs_while_reading_is_left_behind() -> None:
    connection, stuck = Hanging(), StuckThreads()
    with live(connection, stuck) as source:
        assert first_picture(source) is PICTURE
        with pytest.raises(CameraUnavailable, match=r"sent nothing for 0\.3 s"):
            source.read()
    assert stuck.alive() == 1
    connection.release.set()
    wait_for(lambda: stuck.alive() == 0)


def test_packets_without_pictures_are_noticed() -> None:
    # Patient with silence: only the missing picture may end it, however slow this machine is.
    with live(Hanging(packets=True), read_timeout_s=60) as source:
        first_picture(source)
        with pytest.raises(CameraUnavailable, match=r"but no picture.*: shorten its key"):
            source.read()


def test_camera_that_always_hangs_is_not_tried_for_ever() -> None:
    connections = [Hanging(entering=True) for _ in range(MOST_STUCK)]
    stuck = StuckThreads()
    for connection in connections:
        with (
            pytest.raises(CameraUnavailable, match="timed out"),
            live(connection, stuck, open_timeout_s=0.1),
        ):
            pass
    with pytest.raises(CameraUnavailable, match="still hang"), live(Hanging(), stuck):
        pass
    for connection in connections:
        connection.release.set()
    wait_for(lambda: stuck.alive() == 0)
    with live(Hanging(packets=True), stuck) as source:
        assert first_picture(source) is PICTURE


def test_bug_in_an_adapter_reaches_the_reader_and_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Buggy(Hanging):
        def pictures(self, heard: Callable[[], None]) -> Iterator[Picture]:
            heard()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), live(Buggy()) as source:
        source.read()
    (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert told.exc_info is not None
    assert "in pictures" in logging.Formatter().formatException(told.exc_info)


class Failing(Hanging):
    """Fails as V4L2 does: with our own error that has the library's as its cause."""

    def __init__(self, *, at_once: bool, error: type[Exception]) -> None:
        super().__init__()
        self.at_once = at_once
        self.error = error

    def _fail(self, _heard: Callable[[], None] | None = None) -> None:
        try:
            Path("/nowhere").read_bytes()
        except OSError as cause:
            raise self.error("broke off") from cause

    def __enter__(self) -> Self:
        if self.at_once:
            self._fail()
        return self

    def pictures(self, heard: Callable[[], None]) -> Iterator[Picture]:
        yield PICTURE
        self._fail(heard)


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("error", [CameraUnavailable, ZeroDivisionError])
def test_nothing_of_a_failed_connection_stays_until_the_garbage_is_collected(
    at_once: bool, error: type[Exception]
) -> None:
    """Each holds a decoder of some 30 MB, and the collector comes when it likes."""
    sources: list[weakref.ref[LiveSource]] = []
    logging.disable()  # caplog would keep the tracebacks

    def open_source(_camera: CaptureCamera, _credentials: Credentials | None) -> LiveSource:
        source = live(Failing(at_once=at_once, error=error), read_timeout_s=60)
        sources.append(weakref.ref(source))
        return source

    reader = CameraReader(
        CaptureCamera(id="a", source=RtspSource(url="rtsp://camera/")),
        open_source=open_source,
        read_credentials=lambda _: pytest.fail("none are named"),
        deliver=lambda _: True,
        clock=SystemClock(),
        retry=RetryPolicy(first_s=0.001, longest_s=0.001, floor_s=0.001),
    )
    reader.start()
    try:
        wait_for(lambda: len(sources) > 3)
        wait_for(lambda: not any(source() for source in sources[:3]), what="all are freed")
    finally:
        reader.stop()
        reader.join(10)
        logging.disable(logging.NOTSET)


def rtsp() -> RtspConnection:
    return RtspConnection(
        RtspSource(url="rtsp://camera/"),
        None,
        open_timeout_s=1,
        read_timeout_s=1,
        transports=TransportMemory(),
        clock=SystemClock(),
    )


def v4l2() -> V4l2Connection:
    return V4l2Connection(
        V4l2Source(device="/dev/null"), open_timeout_s=1, read_timeout_s=1, clock=SystemClock()
    )


@pytest.mark.parametrize("connect", [rtsp, v4l2])
def test_what_was_opened_is_closed_when_there_is_no_video_in_it(
    connect: Callable[[], RtspConnection | V4l2Connection],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound, opened = tmp_path / "sound.wav", list[InputContainer]()
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    really_open = av.open

    def open_sound(*_: Any, **__: Any) -> InputContainer:
        opened.append(really_open(str(sound)))
        return opened[-1]

    monkeypatch.setattr(av, "open", open_sound)
    with pytest.raises(ConfigurationError, match="there is no video"), connect():
        pass
    with pytest.raises(AssertionError, match="not open"):
        next(opened[0].demux())
