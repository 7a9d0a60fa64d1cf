"""A camera that is asked over HTTP for its streams."""

import logging
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from nxai_capture.adapters.onvif_device import OnvifDevices
from nxai_capture.adapters.system_clock import SystemClock
from nxai_capture.core.onvif import Profile, Stream
from nxai_capture.ports import Credentials
from nxai_common.errors import CameraUnavailable, ConfigurationError, NxaiError
from support.cameras import PASSWORDS, login
from support.http_cameras import http_camera, self_signed
from support.onvif_device import Onvif, onvif_camera
from support.raw_server import raw_server, say

ask = OnvifDevices(SystemClock())


@pytest.fixture
def camera() -> Iterator[Onvif]:
    with onvif_camera() as made:
        yield made


def refusal(address: str, credentials: Credentials | None = None) -> NxaiError:
    with pytest.raises(NxaiError) as refused:
        ask(address, credentials)
    return refused.value


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("proof", ["token", "digest"])
@pytest.mark.parametrize("password", PASSWORDS)
def test_streams_are_told_to_who_proves_the_password_and_it_is_never_sent(
    camera: Onvif,
    version: Literal[1, 2],
    proof: Literal["token", "digest"],
    password: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    camera.version, camera.proof = version, proof
    camera.user, camera.password = "us<er/é", password
    assert ask(camera.address, login("us<er/é", password)) == [
        Stream(
            Profile("main & sub", "Stream 0", "H264", 1920, 1080, 25),
            "rtsp://127.0.0.1:554/main?profile=1",
            "http://127.0.0.1/snapshot.jpg",
        ),
        Stream(
            Profile("low", "Stream 1", "H265", 960, 540, 25),
            "rtsp://127.0.0.1:554/low",
            "http://127.0.0.1/snapshot.jpg",
        ),
    ]
    refused = refusal(camera.address, login("us<er/é", password + "x"))
    assert isinstance(refused, ConfigurationError)
    assert str(refused).startswith("401: check user and password (many cameras keep users of their")
    if password not in ("plain", "user:pass@host"):  # words that the messages themselves hold
        shown = caplog.text.encode() + b"".join(camera.sent)
        assert password.encode() not in shown


def test_a_camera_that_asks_for_no_password_is_asked_as_nobody(camera: Onvif) -> None:
    assert len(ask(camera.address, None)) == 2
    assert not any(b"UsernameToken" in sent for sent in camera.sent)
    camera.user = "viewer"
    assert str(refusal(camera.address)).startswith("401: the camera asks for user and password")


def test_the_password_itself_is_not_sent_even_to_who_asks_for_it(camera: Onvif) -> None:
    camera.user, camera.password, camera.proof = "viewer", "hunter2", "basic"
    refused = refusal(camera.address, login("viewer", "hunter2"))
    assert str(refused).startswith("401: check user and password")
    assert not any(b"basic" in sent.lower() for sent in camera.sent)


@pytest.mark.parametrize("denies_with", [(400, "ter:NotAuthorized"), (200, "wsse:InvalidSecurity")])
def test_a_wrong_password_is_told_however_the_camera_says_so(
    camera: Onvif, denies_with: tuple[int, str]
) -> None:
    camera.user, camera.password, camera.denies_with = "viewer", "hunter2", denies_with
    refused = refusal(camera.address, login("viewer", "hunter3"))
    assert isinstance(refused, ConfigurationError)
    assert str(refused).startswith("401: check user and password")


@pytest.mark.parametrize("ahead", [timedelta(days=-4000), timedelta(hours=2), timedelta()])
def test_a_camera_whose_clock_is_wrong_believes_the_proof(camera: Onvif, ahead: timedelta) -> None:
    camera.user, camera.password, camera.ahead = "viewer", "hunter2", ahead
    assert len(ask(camera.address, login("viewer", "hunter2"))) == 2
    camera.tells_time = False
    if ahead:
        assert str(refusal(camera.address, login("viewer", "hunter2"))).startswith("401")
    else:
        assert len(ask(camera.address, login("viewer", "hunter2"))) == 2


def test_a_camera_that_does_not_know_its_address_is_asked_where_it_answered(camera: Onvif) -> None:
    camera.own_address = "192.0.2.99"
    found = ask(camera.address, None)
    assert found[0].url == "rtsp://192.0.2.99:554/main?profile=1", "as it says: it may be elsewhere"
    camera.own_address = "0.0.0.0"  # noqa: S104 - what such cameras say
    assert ask(camera.address, None)[0].url == "rtsp://127.0.0.1:554/main?profile=1"


@pytest.mark.parametrize("path", ["", "/"])
def test_an_address_without_a_path_leads_to_the_usual_one(camera: Onvif, path: str) -> None:
    host = camera.address.removesuffix("/onvif/device_service")
    assert len(ask(host + path, None)) == 2


def test_a_stream_that_is_refused_or_has_no_address_is_left_out(camera: Onvif) -> None:
    camera.streams["low"], camera.snapshot = "", ""
    (found,) = ask(camera.address, None)
    assert (found.profile.token, found.snapshot) == ("main & sub", "")
    camera.streams["main & sub"] = "gopher://{host}/"
    refused = refusal(camera.address)
    assert isinstance(refused, CameraUnavailable)
    assert "names no stream of pictures" in str(refused)
    assert "refuses: Optional Action Not Implemented" in str(refused)
    camera.streams = {}
    assert "look for them on its own web page" in str(refusal(camera.address))


def test_single_pictures_may_be_for_other_users(camera: Onvif) -> None:
    denied = (401, "text/html", b"<p>no")
    camera.instead = lambda question: denied if question == "GetSnapshotUri" else None
    assert [stream.snapshot for stream in ask(camera.address, None)] == ["", ""]


def test_a_device_without_streams_says_so(camera: Onvif) -> None:
    camera.version = 2
    empty = (200, "application/soap+xml", b"<Envelope><Body><x/></Body></Envelope>")
    camera.instead = lambda question: empty if question == "GetServices" else None
    assert "has no ONVIF media service" in str(refusal(camera.address))
    camera.version = 1
    fault = b"<Envelope><Body><Fault><faultstring>Not now</faultstring></Fault></Body></Envelope>"
    camera.instead = lambda question: (
        (500, "application/soap+xml", fault) if question != "GetSystemDateAndTime" else None
    )
    assert str(refusal(camera.address)).endswith("refuses: Not now")


@pytest.mark.parametrize(
    ("answer", "kind", "why"),
    [
        (
            (200, "text/html", b"<!doctype html><p>Welcome</p>"),
            ConfigurationError,
            "does not answer",
        ),
        ((404, "text/html", b"<p>what"), CameraUnavailable, "404: path not found on the camera"),
        ((503, "text/html", b""), CameraUnavailable, "503: the camera is busy"),
        ((200, "text/xml", b"<a>" + b" " * 1_000_001), CameraUnavailable, "more than 1000 kB"),
        (
            (200, "text/xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
            ConfigurationError,
            "does not answer as an ONVIF camera should",
        ),
    ],
)
def test_what_is_no_onvif_camera_is_told_apart(
    camera: Onvif, answer: tuple[int, str, bytes], kind: type[NxaiError], why: str
) -> None:
    camera.instead = lambda _: answer
    refused = refusal(camera.address)
    assert isinstance(refused, kind)
    assert why in str(refused)


def test_a_web_camera_without_onvif_says_404_or_what_it_is() -> None:
    with http_camera() as other:
        assert str(refusal(f"{other.url}/onvif/device_service")).startswith("501: ")


def test_nothing_at_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert f"nothing listens at 127.0.0.1:{port}" in str(refusal(f"http://127.0.0.1:{port}/"))


def test_an_answer_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nxai_capture.adapters.onvif_device.ALL_S", 0.3)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n"
    with raw_server(say(head + b"<" * 4000, every_s=0.02, at_once=50)) as (host, port):
        assert "did not answer all within 0.3 s" in str(refusal(f"http://{host}:{port}/"))


def test_silence_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nxai_capture.adapters.onvif_device.ANSWER_S", 0.2)

    def nothing(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(1 << 16)
        over.wait(30)

    with raw_server(nothing) as (host, port):
        assert str(refusal(f"http://{host}:{port}/")) == "the camera sent nothing for 0.2 s"


def test_a_certificate_that_the_camera_signed_itself_is_accepted(tmp_path: Path) -> None:
    with http_camera(certificate=self_signed(tmp_path)) as other:
        assert str(refusal(f"{other.url}/onvif/device_service")).startswith("501: ")
