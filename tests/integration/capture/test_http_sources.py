import logging
import socket
import threading
import time
import traceback
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import parse_qsl, quote, urlsplit

import cv2
import numpy as np
import pytest

from nxai_capture.adapters.sources import Sources
from nxai_capture.adapters.still_source import StillConnection
from nxai_capture.core.picture import Bgr
from nxai_capture.ports import Credentials, Losses
from nxai_common.contracts.configuration import MjpegSource, StillSource, Watchdog
from nxai_common.errors import CameraUnavailable, ConfigurationError
from support.cameras import NO_WATCHDOG, PASSWORDS, login, opened, read_until
from support.clips import encoded, jpeg, jpegs, number_of
from support.clocks import FakeClock
from support.http_cameras import Camera, Style, http_camera, self_signed
from support.waiting import wait_for

IMPATIENT = Watchdog(open_timeout_s=10, read_timeout_s=0.5)


@pytest.mark.parametrize("style", get_args(Style))
def test_mjpeg_of_every_style_is_read(style: Style) -> None:
    with http_camera(jpegs(6)) as camera:
        camera.style = style
        with opened(MjpegSource(url=f"{camera.url}/mjpeg")) as source:
            picture = read_until(source, lambda p: number_of(p) == 5)
            assert source.info.codec == "mjpeg"
    assert isinstance(picture.planes, Bgr)
    assert (picture.width, picture.height) == (64, 48)
    assert not picture.corrupt
    assert abs(picture.captured_at_us / 1e6 - time.time()) < 10


def test_mjpeg_part_that_is_no_picture_is_skipped() -> None:
    pictures = [jpeg(1), b"\xff\xd8\xff but no JPEG", b"nothing at all", jpeg(2)]
    with (
        http_camera(pictures) as camera,
        opened(MjpegSource(url=f"{camera.url}/mjpeg")) as source,
    ):
        read_until(source, lambda p: number_of(p) == 2)
        assert source.losses.damaged == 2


def test_mjpeg_of_something_else_says_what_comes() -> None:
    gif = b"GIF89a" + bytes(100)
    patience = Watchdog(read_timeout_s=60, picture_timeout_s=0.3)
    with (
        http_camera([gif] * 3) as camera,
        opened(MjpegSource(url=f"{camera.url}/mjpeg"), watchdog=patience) as source,
    ):
        wait_for(lambda: source.losses.damaged == 3)
        with pytest.raises(CameraUnavailable) as refused:
            source.read()
    assert str(refused.value) == (
        "the camera sends data, but no picture came out of it for 0.3 s: 106 bytes that are no "
        "JPEG, PNG, BMP or WebP (they begin b'GIF89a\\x00\\x00')"
    )


def test_mjpeg_that_never_ends_a_picture_says_so() -> None:
    patience = Watchdog(read_timeout_s=60, picture_timeout_s=0.3)
    with http_camera([jpeg(1)]) as camera:
        failure = _failure(MjpegSource(url=f"{camera.url}/stall"), watchdog=patience)
    assert "no part of the MJPEG stream has come to its end" in str(failure)


def test_mjpeg_picture_that_is_cut_off_is_marked_corrupt() -> None:
    cut = jpeg(3, 320, 240)
    with (
        http_camera([cut[: len(cut) * 9 // 10]]) as camera,
        opened(MjpegSource(url=f"{camera.url}/mjpeg")) as source,
    ):
        picture = source.read()
    assert picture is not None
    assert picture.corrupt


def test_mjpeg_resolution_change_is_followed() -> None:
    with (
        http_camera([jpeg(1, 320, 240), jpeg(2, 640, 480)]) as camera,
        opened(MjpegSource(url=f"{camera.url}/mjpeg")) as source,
    ):
        assert read_until(source, lambda p: number_of(p) == 2).width == 640


@pytest.mark.parametrize("kind", ["mjpeg", "still"])
@pytest.mark.parametrize("auth", ["basic", "digest", "both", "one line"])
@pytest.mark.parametrize("password", PASSWORDS)
def test_any_character_in_a_password_works_and_none_is_shown(
    kind: str,
    auth: Literal["basic", "digest", "both", "one line"],
    password: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with http_camera(jpegs(2)) as camera:
        camera.user, camera.password, camera.auth = "us@er/é", password, auth
        url = f"{camera.url}/{kind}"
        source = MjpegSource(url=url) if kind == "mjpeg" else StillSource(url=url)
        with opened(source, login("us@er/é", password)) as source_opened:
            assert source_opened.read() is not None
        first = camera.requests[0][1]
        assert "authorization" not in first  # Basic never goes to a camera that can do better
        if auth in ("both", "one line"):
            assert camera.requests[1][1]["authorization"].startswith("Digest")
        refused = _failure(source, login("us@er/é", password + "x"))
    assert isinstance(refused, ConfigurationError)
    assert str(refused) == "401: check user and password"
    shown = caplog.text + "".join(traceback.format_exception(refused))
    assert password == "plain" or password not in shown
    assert "us@er" not in shown


def _failure(
    source: MjpegSource | StillSource,
    credentials: Credentials | None = None,
    watchdog: Watchdog = NO_WATCHDOG,
) -> Exception:
    """Return what entering or reading raises."""
    with (
        pytest.raises((CameraUnavailable, ConfigurationError)) as caught,
        opened(source, credentials, watchdog=watchdog) as source_opened,
    ):
        read_until(source_opened, lambda _: False)
    return caught.value


@pytest.mark.parametrize(
    ("path", "kind", "reason"),
    [
        ("status/401", ConfigurationError, "401: the camera asks for user and password"),
        ("status/403", ConfigurationError, "403: this user may not view this stream"),
        ("status/404", CameraUnavailable, "404: path not found on the camera"),
        ("status/500", CameraUnavailable, "500: the camera has an internal error"),
        ("status/503", CameraUnavailable, "503: the camera is busy"),
        ("status/418", CameraUnavailable, "418: unexpected answer"),
        ("html", ConfigurationError, "'text/html', not"),
    ],
)
@pytest.mark.parametrize("source", [MjpegSource, StillSource])
def test_answers_that_are_no_pictures_have_a_plain_reason(
    source: type[MjpegSource] | type[StillSource], path: str, kind: type, reason: str
) -> None:
    with http_camera() as camera:
        failure = _failure(source(url=f"{camera.url}/{path}"))
    assert isinstance(failure, kind)
    assert reason in str(failure)


def test_endless_answer_that_is_no_mjpeg_is_refused_early() -> None:
    with http_camera() as camera:
        failure = _failure(MjpegSource(url=f"{camera.url}/endless"))
    assert isinstance(failure, ConfigurationError)
    assert "'video/mp2t', not MJPEG" in str(failure)


def test_endless_answer_is_no_still_picture() -> None:
    with http_camera() as camera:
        failure = _failure(StillSource(url=f"{camera.url}/endless"))
    assert "more than 50 MB" in str(failure)


def test_stream_url_of_a_still_camera_and_the_other_way_round_are_told() -> None:
    with http_camera(jpegs(1)) as camera:
        assert "use the camera type still" in str(_failure(MjpegSource(url=f"{camera.url}/still")))


@pytest.mark.parametrize("source", [MjpegSource, StillSource])
def test_nobody_there_is_told(
    source: type[MjpegSource] | type[StillSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody_of_that_name(*_args: object, **_kwargs: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    refused = _failure(source(url="http://127.0.0.1:9/x?password=s3cret"))
    assert str(refused).startswith("nothing listens at 127.0.0.1:9:")
    monkeypatch.setattr(socket, "getaddrinfo", nobody_of_that_name)  # a resolver may take its time
    unknown = _failure(source(url="http://no-such-camera.invalid/x"))
    monkeypatch.undo()
    assert str(unknown).startswith("name 'no-such-camera.invalid' not found")
    for url in ("ftp://127.0.0.1/x", "http://u:s3cret@127.0.0.1/"):
        with pytest.raises(ConfigurationError) as wrong:
            opened(source(url=url))
        assert "s3cret" not in str(wrong.value)


def test_stall_in_the_middle_of_a_picture_is_noticed() -> None:
    with http_camera(jpegs(3)) as camera:
        failure = _failure(MjpegSource(url=f"{camera.url}/stall"), watchdog=IMPATIENT)
    assert str(failure) == "the camera sent nothing for 0.5 s"


def test_end_of_the_stream_is_told() -> None:
    with http_camera(jpegs(2)) as camera:
        camera.ends = True
        failure = _failure(MjpegSource(url=f"{camera.url}/mjpeg"))
    assert str(failure) == "the camera ended the stream"


@pytest.mark.parametrize("path", ["mjpeg", "stall"])
def test_interrupt_ends_a_read_at_once(path: str) -> None:
    with (
        http_camera(jpegs(2)) as camera,
        opened(
            MjpegSource(url=f"{camera.url}/{path}"), watchdog=Watchdog(read_timeout_s=60)
        ) as source,
    ):
        source.read()
        threading.Timer(0.1, source.interrupt).start()
        with pytest.raises(CameraUnavailable, match="interrupted"):
            read_until(source, lambda _: False)


@pytest.mark.parametrize("secure", [False, True])
def test_leaving_a_silent_camera_hangs_up_at_once(tmp_path: Path, secure: bool) -> None:
    """Many cameras serve one viewer: the next attempt must not find the last one still there."""
    sources = Sources()
    certificate = self_signed(tmp_path) if secure else None
    with http_camera(jpegs(1), certificate=certificate) as camera:
        url = f"{camera.url}/mjpeg"
        patient = Watchdog(read_timeout_s=60)
        stream = MjpegSource(url=url, certificate="any")
        with opened(stream, sources=sources, watchdog=patient) as source:
            source.read()
        wait_for(lambda: sources._memories["camera-1"].stuck.alive() == 0)


def test_pictures_nobody_reads_are_replaced_by_newer_ones() -> None:
    with (
        http_camera(jpegs(20)) as camera,
        opened(MjpegSource(url=f"{camera.url}/mjpeg")) as source,
    ):
        wait_for(lambda: source.losses == Losses(replaced=19))
        picture = source.read()
    assert picture is not None
    assert number_of(picture) == 19


def test_still_is_fetched_again_each_interval() -> None:
    with http_camera(jpegs(5)) as camera:
        url = f"{camera.url}/still"
        with opened(StillSource(url=url, interval_ms=20)) as source:
            read_until(source, lambda p: number_of(p) == 4)
            assert source.info.codec == "jpeg"
            assert source.info.nominal_fps == 50
    assert len(camera.requests) >= 5


def test_still_keeps_its_interval_whatever_fetching_takes_but_does_not_race() -> None:
    clock = FakeClock()
    with http_camera(jpegs(6)) as camera:
        connection = StillConnection(
            StillSource(url=f"{camera.url}/still", interval_ms=10_000),
            None,
            open_timeout_s=10,
            read_timeout_s=10,
            clock=clock,
        )
        at = []
        with connection:
            for picture in connection.pictures(lambda: None):
                at.append(round(picture.captured_at_us / 1e6 - FakeClock().unix(), 3))
                clock.now += 25 if len(at) == 3 else 4  # as long as it takes to use it
                if len(at) == 6:
                    break
    assert at == [0, 10, 20, 45, 55, 65]


def test_still_that_did_not_change_counts_again_without_a_transfer() -> None:
    with http_camera(jpegs(1)) as camera:
        camera.etag = '"one"'
        url = f"{camera.url}/still"
        with opened(StillSource(url=url, interval_ms=20)) as source:
            first, second = source.read(), source.read()
        assert camera.requests[1][1]["if-none-match"] == '"one"'
    assert first is not None
    assert second is not None
    assert second.planes is first.planes
    assert second.captured_at_us > first.captured_at_us


def test_still_camera_with_a_long_interval_is_not_taken_for_dead() -> None:
    with http_camera(jpegs(2)) as camera:
        source = StillSource(url=f"{camera.url}/still", interval_ms=2500)
        patience = Watchdog(read_timeout_s=2, picture_timeout_s=2)
        with opened(source, watchdog=patience) as still:
            assert number_of(read_until(still, lambda p: number_of(p) == 1)) == 1


def test_8k_picture_is_read() -> None:
    with (
        http_camera(
            [bytes(cv2.imencode(".jpg", np.full((4320, 7680, 3), 90, np.uint8))[1])]
        ) as camera,
        opened(StillSource(url=f"{camera.url}/still")) as source,
    ):
        picture = source.read()
    assert picture is not None
    assert (picture.width, picture.height) == (7680, 4320)


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [(60000, 60000, "more than 8192x8192"), (0, 0, "0x0 pixels"), (64, 0, "64x0 pixels")],
)
def test_size_is_judged_before_memory_is_taken(width: int, height: int, reason: str) -> None:
    data = bytearray(encoded(".png", 0))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")  # of its header
    with http_camera([bytes(data)]) as camera:
        assert reason in str(_failure(StillSource(url=f"{camera.url}/still")))


def test_redirect_on_the_same_host_keeps_the_password() -> None:
    with http_camera(jpegs(1)) as camera:
        camera.user, camera.password, camera.auth = "u", "p", "digest"
        url = f"{camera.url}/redirect//still"
        with opened(StillSource(url=url), login("u", "p")) as source:
            assert source.read() is not None


def test_redirect_to_another_host_does_not_get_the_password() -> None:
    with http_camera() as camera, http_camera(jpegs(1)) as thief:
        thief.user, thief.password = "u", "p"
        elsewhere = thief.url.replace("127.0.0.1", "localhost")
        camera_url = f"{camera.url}/redirect/{elsewhere}/still"
        failure = _failure(StillSource(url=camera_url), login("u", "p"))
        assert str(failure).startswith("401")
        assert thief.requests
        assert not any("authorization" in headers for _, headers in thief.requests)


def test_redirect_from_https_to_http_does_not_show_the_password(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    with http_camera(certificate=certificate) as camera, http_camera() as open_to_all:
        open_to_all.user, open_to_all.password = "u", "p"
        url = f"{camera.url}/redirect/{open_to_all.url}/still"
        failure = _failure(StillSource(url=url, certificate="any"), login("u", "p"))
        assert str(failure).startswith("401")
        assert open_to_all.requests
        assert not any("authorization" in headers for _, headers in open_to_all.requests)


@pytest.mark.parametrize("auth", ["digest", "one line"])
def test_digest_that_grew_old_is_answered_anew(auth: Literal["digest", "one line"]) -> None:
    with http_camera(jpegs(3)) as camera:
        camera.user, camera.password, camera.auth = "u", "p", auth
        still = StillSource(url=f"{camera.url}/still", interval_ms=20)
        with opened(still, login("u", "p")) as source:
            source.read()
            camera.nonce = "5ccc069c403ebaf9f0171e9517f40e41"
            read_until(source, lambda _: f'nonce="{camera.nonce}"' in _authorizations(camera)[-1])


def _authorizations(camera: Camera) -> list[str]:
    return [headers.get("authorization", "") for _, headers in camera.requests]


@pytest.mark.parametrize(
    ("path", "reason"), [("loop", "in circles"), ("redirect/file:///etc/passwd", "not HTTP")]
)
def test_redirects_that_lead_nowhere_are_told(path: str, reason: str) -> None:
    with http_camera() as camera:
        assert reason in str(_failure(StillSource(url=f"{camera.url}/{path}")))


def test_certificate_is_checked_unless_switched_off(tmp_path: Path) -> None:
    with http_camera(jpegs(1), certificate=self_signed(tmp_path)) as camera:
        url = f"{camera.url}/still"
        assert "is not trusted" in str(_failure(StillSource(url=url)))
        with opened(StillSource(url=url, certificate="any")) as source:
            assert source.read() is not None
        plain = url.replace("https", "http")
        assert isinstance(_failure(StillSource(url=plain)), CameraUnavailable)


def test_plain_http_at_a_https_url_is_told() -> None:
    with http_camera(jpegs(1)) as camera:
        url = camera.url.replace("http", "https")
        assert "does not speak TLS" in str(_failure(MjpegSource(url=f"{url}/mjpeg")))


def test_environment_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with (
        http_camera(jpegs(1)) as camera,
        opened(StillSource(url=f"{camera.url}/still")) as source,
    ):
        assert source.read() is not None


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_login_in_the_query_is_filled_in_when_opening_and_never_shown(
    password: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with http_camera(jpegs(1)) as camera:
        url = f"{camera.url}/still?user={{username}}&pwd={{password}}"
        with opened(StillSource(url=url), login("us@er", password)) as source_opened:
            assert source_opened.read() is not None
        path = camera.requests[0][0]
    sent = dict(parse_qsl(urlsplit(path).query, keep_blank_values=True))
    assert sent == {"user": "us@er", "pwd": password}
    assert password == "plain" or quote(password, safe="") not in caplog.text
