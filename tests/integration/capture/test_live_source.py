"""The thread of a live camera: time-outs and hanging libraries."""

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from nxai_capture.adapters.live_source import MOST_STUCK, LiveSource, StuckThreads
from nxai_capture.core.picture import Gray, Picture
from nxai_capture.ports import SourceInfo
from nxai_common.errors import CameraUnavailable
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
        with pytest.raises(CameraUnavailable, match="sends data, but no picture"):
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


def test_bug_in_an_adapter_reaches_the_reader() -> None:
    class Buggy(Hanging):
        def pictures(self, heard: Callable[[], None]) -> Iterator[Picture]:
            heard()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), live(Buggy()) as source:
        source.read()
