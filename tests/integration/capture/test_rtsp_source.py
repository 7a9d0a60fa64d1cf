import gc
import hashlib
import logging
import socket
import threading
import time
import traceback
import weakref
from contextlib import ExitStack
from pathlib import Path

import pytest

from nxai_capture.adapters.camera_url import parse_camera_url
from nxai_capture.adapters.rtsp_source import RtspConnection, Transport, TransportMemory
from nxai_capture.adapters.sources import Sources
from nxai_capture.adapters.system_clock import SystemClock
from nxai_capture.core.picture import Picture, Yuv420
from nxai_common.contracts.configuration import FileSource, RtspSource, Watchdog
from nxai_common.errors import CameraUnavailable, ConfigurationError
from support.cameras import PASSWORDS, login, opened, read_all, read_until
from support.clips import clip, number_of
from support.rtsp import rtsp_camera, scripted_rtsp_camera
from support.shared import shared
from support.waiting import wait_for

SLOW_RESOLVER = Watchdog(open_timeout_s=60)
IMPATIENT = Watchdog(open_timeout_s=30, read_timeout_s=1)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("video") / "camera.mp4", frames=60)


def test_pictures_come_over_tcp_and_the_file_loops(video: Path) -> None:
    with rtsp_camera(video) as url, opened(RtspSource(url=url)) as source:
        first = read_until(source, lambda p: number_of(p) > 5)
        again = read_until(source, lambda p: number_of(p) < 5)
        info, now = source.info, time.time()
    assert isinstance(first.planes, Yuv420)
    assert not first.corrupt
    assert (again.width, again.height) == (640, 480)
    assert (info.codec, info.transport, info.lossless) == ("h264", "tcp", False)
    assert abs(again.captured_at_us / 1e6 - now) < 10


def test_pictures_over_rtsp_are_those_of_the_file_to_the_last_bit() -> None:
    path = shared("media/conveyor.mp4")
    with opened(FileSource(path=str(path), pace="fast", loop=False)) as source:
        known = {_fingerprint(picture): n for n, picture in enumerate(read_all(source))}
    with rtsp_camera(path) as url, opened(RtspSource(url=url)) as source:
        numbers = [
            known[_fingerprint(picture)]  # a KeyError here: a picture the file does not have
            for _ in range(60)
            if (picture := source.read()) is not None
        ]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 60


def _fingerprint(picture: Picture) -> bytes:
    planes = picture.planes
    assert isinstance(planes, Yuv420)
    return hashlib.sha256(b"".join(p.tobytes() for p in (planes.y, planes.u, planes.v))).digest()


def test_camera_that_refuses_tcp_is_read_over_udp_and_that_is_remembered(video: Path) -> None:
    sources = Sources()
    with rtsp_camera(video, "--udp-only") as url:

        def transport() -> str:
            try:
                with opened(RtspSource(url=url), sources=sources) as source:
                    read_until(source, lambda p: not p.corrupt)
                    return source.info.transport
            except CameraUnavailable:  # 500: it still takes down what was refused before
                return ""

        for _ in range(2):
            assert wait_for(transport, 60, "pictures") == "udp"
        memory = sources._memories["camera-1"].transports
        assert memory.order() == ("udp", "tcp")


def test_transport_that_was_chosen_is_not_changed(video: Path) -> None:
    with (
        rtsp_camera(video, "--udp-only") as url,
        pytest.raises(CameraUnavailable, match="461: the camera refuses this transport"),
        opened(RtspSource(url=url, transport="tcp")),
    ):
        pass


def test_silent_transport_is_not_tried_first_again() -> None:
    memory = TransportMemory()
    memory.silent("tcp")
    assert memory.order() == ("udp", "tcp")
    memory.silent("udp")
    assert memory.order() == ("tcp", "udp")
    memory.worked("udp")
    assert memory.order() == ("udp", "tcp")


@pytest.mark.parametrize("first", ["tcp", "udp"])
def test_camera_whose_data_never_comes_is_tried_the_other_way_the_next_time(
    first: Transport,
) -> None:
    """As behind a firewall: the transport is agreed on, then nothing arrives."""
    memory = TransportMemory()
    memory.worked(first)
    with scripted_rtsp_camera() as url:
        connection = RtspConnection(
            RtspSource(url=url),
            None,
            open_timeout_s=2,
            read_timeout_s=1,
            transports=memory,
            clock=SystemClock(),
        )
        with pytest.raises(CameraUnavailable, match=r"timed out|sent nothing"), connection:
            list(connection.pictures(lambda: None))
    assert memory.order()[0] != first


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        ("OPTIONS", 405, "405: the camera does not offer this"),
        ("DESCRIBE", 400, "400: the camera does not understand the request"),
        ("DESCRIBE", 405, "405: the camera does not offer this"),
        ("DESCRIBE", 429, "429: too many requests"),
        ("DESCRIBE", 453, "453: the camera has no bandwidth left: close other viewers"),
        ("DESCRIBE", 454, "454: the camera forgot the session"),
        ("DESCRIBE", 500, "500: the camera has an internal error"),
        ("DESCRIBE", 503, "503: the camera is busy: close other viewers"),
        ("DESCRIBE", 551, "551: unexpected answer of the camera"),
        ("SETUP", 453, "453: the camera has no bandwidth left: close other viewers"),
        ("SETUP", 461, "461: the camera refuses TCP and UDP alike"),
        ("PLAY", 453, "453: the camera has no bandwidth left: close other viewers"),
    ],
)
def test_what_a_camera_refuses_is_told_with_its_own_number(
    method: str, status: int, reason: str
) -> None:
    with scripted_rtsp_camera({method: status}) as url:
        for _ in range(2):  # libav's log says the same again, and must be heard again
            with pytest.raises(CameraUnavailable) as refused, opened(RtspSource(url=url)):
                pass
            assert str(refused.value).startswith(reason)
            assert "set transport to auto" not in str(refused.value)


def test_cameras_that_refuse_at_the_same_time_are_not_mixed_up() -> None:
    statuses, told = [453, 454, 503, 551] * 3, dict[int, str]()
    together = threading.Barrier(len(statuses))

    def ask(number: int, url: str) -> None:
        together.wait(30)
        with pytest.raises(CameraUnavailable) as refused, opened(RtspSource(url=url)):
            pass
        told[number] = str(refused.value)[:3]

    with ExitStack() as cameras:
        threads = [
            threading.Thread(
                target=ask,
                args=(number, cameras.enter_context(scripted_rtsp_camera({"DESCRIBE": status}))),
            )
            for number, status in enumerate(statuses)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert told == {number: str(status) for number, status in enumerate(statuses)}


@pytest.mark.parametrize("refusals", [{"DESCRIBE": 453}, {}])
def test_nothing_of_a_failed_session_stays_until_the_garbage_is_collected(
    refusals: dict[str, int],
) -> None:
    def fail(url: str) -> weakref.ref[RtspConnection]:
        connection = RtspConnection(
            RtspSource(url=url, transport="tcp"),
            None,
            open_timeout_s=2,
            read_timeout_s=0.5,
            transports=TransportMemory(),
            clock=SystemClock(),
        )
        told = ""
        try:
            with connection:
                list(connection.pictures(lambda: None))
        except CameraUnavailable as error:
            told = str(error)
            error.__traceback__ = None  # as LiveSource does
        assert ("453" if refusals else "sent nothing") in told
        return weakref.ref(connection)

    gc.disable()
    try:
        with scripted_rtsp_camera(refusals) as url:
            assert fail(url)() is None
    finally:
        gc.enable()


def test_the_better_reason_wins_when_one_transport_is_busy_and_the_other_refused() -> None:
    with (
        scripted_rtsp_camera({"SETUP TCP": 453, "SETUP UDP": 461}) as url,
        pytest.raises(CameraUnavailable, match="453: the camera has no bandwidth left"),
        opened(RtspSource(url=url)),
    ):
        pass


@pytest.mark.parametrize("digest", [False, True])
@pytest.mark.parametrize("password", PASSWORDS)
def test_any_character_in_a_password_works_and_none_is_shown(
    video: Path, password: str, digest: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    user = "us@er/é"
    options = ["--digest"] if digest else []
    with rtsp_camera(video, *options, user=user, password=password) as url:
        with opened(RtspSource(url=url), login(user, password)) as source:
            read_until(source, lambda p: not p.corrupt)
            shown = repr(source.info)
        with (
            pytest.raises(ConfigurationError) as refused,
            opened(RtspSource(url=url), login(user, password + "x")),
        ):
            pass
    assert str(refused.value) == "401: check user and password"
    error = refused.value
    shown += "".join(traceback.format_exception(error)) + caplog.text + repr(login(user, password))
    shown += f"{error.__cause__!r} {error.__context__!r}"
    with_password = parse_camera_url(url, ("rtsp",)).with_credentials(login(user, password))
    for secret in (password, with_password, with_password.partition("://")[2].rpartition("@")[0]):
        assert secret == "plain" or secret not in shown
    assert "us@er" not in shown.replace("Credentials(username='us@er/é'", "")


def test_camera_that_wants_a_password_says_so(video: Path) -> None:
    with (
        rtsp_camera(video, user="u", password="p") as url,
        pytest.raises(ConfigurationError, match="401: the camera asks for user and password"),
        opened(RtspSource(url=url)),
    ):
        pass


def test_password_that_ffmpeg_would_cut_off_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="127 fit"):
        opened(RtspSource(url="rtsp://127.0.0.1/x"), login("user", "日" * 20))


def test_unknown_path_is_told(video: Path) -> None:
    with (
        rtsp_camera(video) as url,
        pytest.raises(CameraUnavailable, match="404: path not found on the camera"),
        opened(RtspSource(url=url + "-two")),
    ):
        pass


def test_nobody_listening_is_told() -> None:
    with (
        pytest.raises(CameraUnavailable, match=r"nothing listens at 127\.0\.0\.1:9:"),
        opened(RtspSource(url="rtsp://127.0.0.1:9/x")),
    ):
        pass


def test_unknown_name_is_told() -> None:
    with (
        pytest.raises(CameraUnavailable, match=r"name 'no-such-camera\.invalid' not found"),
        opened(RtspSource(url="rtsp://no-such-camera.invalid/x"), watchdog=SLOW_RESOLVER),
    ):
        pass


def test_something_that_speaks_no_rtsp_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer_nonsense, args=(server,))
        thread.start()
        port = server.getsockname()[1]
        with (
            pytest.raises(CameraUnavailable, match=r"as an RTSP camera should|closed the conn"),
            opened(RtspSource(url=f"rtsp://127.0.0.1:{port}/x")),
        ):
            pass
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _answer_nonsense(server: socket.socket) -> None:
    try:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    except OSError:
        return


def test_camera_that_accepts_and_says_nothing_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/x"
        with (
            pytest.raises(CameraUnavailable, match="timed out"),
            opened(RtspSource(url=url), watchdog=Watchdog(open_timeout_s=0.5)),
        ):
            pass


def test_stream_that_stalls_is_noticed_within_the_read_timeout(video: Path) -> None:
    with (
        rtsp_camera(video, "--stall-after", "45") as url,
        opened(RtspSource(url=url), watchdog=IMPATIENT) as source,
        pytest.raises(CameraUnavailable, match="sent nothing for 1 s"),
    ):
        read_until(source, lambda _: False)


def test_stream_that_ends_says_so(video: Path) -> None:
    with (
        rtsp_camera(video, "--once") as url,
        opened(RtspSource(url=url)) as source,
        pytest.raises(CameraUnavailable, match=r"ended the stream|sent nothing"),
    ):
        read_until(source, lambda _: False)


def test_interrupt_ends_a_read_at_once(video: Path) -> None:
    with (
        rtsp_camera(video, "--stall-after", "45") as url,
        opened(RtspSource(url=url), watchdog=Watchdog(read_timeout_s=60)) as source,
    ):
        read_until(source, lambda p: number_of(p) > 5)
        threading.Timer(3, source.interrupt).start()
        began = time.monotonic()
        with pytest.raises(CameraUnavailable, match="interrupted"):
            read_until(source, lambda _: False)
        assert time.monotonic() - began < 30  # not the read time-out of 60 s


def test_interrupt_ends_entering_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/x"
        source = opened(RtspSource(url=url), watchdog=Watchdog(open_timeout_s=60))
        threading.Timer(0.1, source.interrupt).start()
        with pytest.raises(CameraUnavailable, match="interrupted"), source:
            pass


def test_reading_starts_at_a_key_frame(video: Path) -> None:
    """A second viewer joins in the middle; its first picture is whole all the same."""
    with rtsp_camera(video) as url, opened(RtspSource(url=url)) as first:
        read_until(first, lambda p: number_of(p) == 13)
        with opened(RtspSource(url=url)) as second:
            picture = second.read()
    assert picture is not None
    assert not picture.corrupt


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("rtp://127.0.0.1/x", "unknown scheme 'rtp'"),
        ("127.0.0.1/x", "unknown scheme ''"),
        ("rtsp:///x", "names no host"),
        ("rtsp://u:s3cret@127.0.0.1/x", "credentials"),
        ("rtsp://u:s3/cret@127.0.0.1/x", "cannot be read|credentials"),
        ("rtsp://127.0.0.1:port/x", "cannot be read"),
    ],
)
def test_address_that_cannot_be_right_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as refused:
        opened(RtspSource(url=url))
    assert "s3" not in str(refused.value)
