"""Real sources that are tried before a camera uses them, and cameras found for real."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from nxai_capture.adapters.jpeg_encoder import JpegEncoder
from nxai_capture.adapters.onvif_device import OnvifDevices
from nxai_capture.adapters.secrets_directory import SecretsDirectory
from nxai_capture.adapters.sources import Sources
from nxai_capture.adapters.system_clock import SystemClock
from nxai_capture.adapters.v4l2_devices import UsbSearch
from nxai_capture.adapters.ws_discovery import NetworkSearch
from nxai_capture.scouting import Scout
from nxai_common.contracts.commands import FindCameras, ListStreams, ProbeSource, Reply
from support.clips import clip, jpeg, jpegs
from support.http_cameras import http_camera
from support.onvif_device import discoverable, onvif_camera, probe_match
from support.raw_server import raw_server
from support.rtsp import rtsp_camera, scripted_rtsp_camera
from support.waiting import wait_for


class Asked:
    """A scout as the service has it, and whoever waits for its answers."""

    def __init__(self, folder: Path) -> None:
        clock, sources = SystemClock(), Sources()
        self.secrets = folder / "secrets"
        self.secrets.mkdir()
        self.scout = Scout(
            clock=clock,
            try_out=sources.try_out,
            read_credentials=SecretsDirectory(self.secrets).read,
            encode=JpegEncoder(90),
            find_on_network=NetworkSearch(("lo",)),
            find_on_usb=UsbSearch(folder),
            ask_for_streams=OnvifDevices(clock),
        )

    def store(self, name: str, username: str, password: str) -> None:
        login = {"username": username, "password": password}
        (self.secrets / f"{name}.json").write_text(json.dumps(login))

    def reply(self, command: ProbeSource | FindCameras | ListStreams) -> Reply:
        replies: list[Reply] = []
        self.scout.begin(command, replies.append, ())

        def answered() -> bool:
            self.scout.supervise()
            return bool(replies)

        wait_for(answered, 60, "an answer")
        return replies[0]

    def probe(self, source: dict[str, Any], **options: Any) -> Reply:
        return self.reply(ProbeSource.model_validate({"source": source, **options}))


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    made = Asked(tmp_path)
    yield made
    wait_for(lambda: not _threads(), what="all that was opened is closed")


def _threads() -> list[str]:
    """Return the threads that read cameras."""
    return [thread.name for thread in threading.enumerate() if thread.name == "camera"]


def shown(reply: Reply) -> Any:
    assert reply.ok, reply.reason
    return cv2.imdecode(np.frombuffer(reply.attachment, np.uint8), cv2.IMREAD_COLOR)


def test_an_rtsp_camera_is_tried_with_its_password(asked: Asked, tmp_path: Path) -> None:
    video = clip(tmp_path / "a.mp4", frames=60)
    asked.store("probe-1", "joe", "a@b:c/d#e?f%g")
    asked.store("probe-2", "joe", "another")
    with rtsp_camera(video, user="joe", password="a@b:c/d#e?f%g") as url:
        source = {"type": "rtsp", "url": url}
        reply = asked.probe(source, credentials="probe-1")
        picture = shown(reply)
        assert picture.shape[:2] == (reply.details["height"], reply.details["width"])
        assert (reply.details["codec"], reply.details["transport"]) == ("h264", "tcp")
        assert reply.details["fps"] is not None
        assert asked.probe(source, credentials="probe-2").reason == "401: check user and password"
        assert asked.probe(source).reason == (
            "401: the camera asks for user and password: set its credentials"
        )
    reply = asked.probe(source, credentials="probe-3")
    assert not reply.ok
    assert "probe-3.json' does not exist" in reply.reason


def test_pictures_over_http_files_and_folders_are_tried_with_masks(
    asked: Asked, tmp_path: Path
) -> None:
    left = (((0, 0), (0.5, 0), (0.5, 1), (0, 1)),)
    video = clip(tmp_path / "a.mp4", frames=5)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.jpg").write_bytes(jpeg(1))
    with http_camera(jpegs(3)) as camera:
        for source, codec in (
            ({"type": "mjpeg", "url": f"{camera.url}/mjpeg"}, "mjpeg"),
            ({"type": "still", "url": f"{camera.url}/still"}, "jpeg"),
            ({"type": "file", "path": str(video), "pace": "fast"}, "h264"),
            ({"type": "folder", "path": str(tmp_path / "pictures"), "interval_ms": 0}, "jpeg"),
            ({"type": "demo"}, "drawn"),
        ):
            reply = asked.probe(source, masks=left)
            picture = shown(reply)
            assert reply.details["codec"] == codec
            assert picture[:, : picture.shape[1] // 2 - 8].max() < 40
            assert picture[:, picture.shape[1] // 2 + 8 :].max() > 60


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"type": "rtsp", "url": "rtsp://127.0.0.1:9/"}, "nothing listens at 127.0.0.1:9"),
        ({"type": "rtsp", "url": "gopher://x/"}, "unknown scheme 'gopher'"),
        ({"type": "file", "path": "/nowhere/a.mp4"}, "video file '/nowhere/a.mp4' does not exist"),
        ({"type": "v4l2", "device": "/dev/video99"}, "no camera at '/dev/video99'"),
    ],
)
def test_what_is_wrong_with_a_source_is_said_as_of_a_camera(
    asked: Asked, source: dict[str, Any], reason: str
) -> None:
    reply = asked.probe(source)
    assert not reply.ok
    assert reason in reply.reason


def test_a_camera_that_gives_no_picture_is_given_up_in_time(asked: Asked) -> None:
    impatient = {"open_timeout_s": 0.4, "picture_timeout_s": 0.4, "read_timeout_s": 2}
    with scripted_rtsp_camera() as url:
        reply = asked.probe({"type": "rtsp", "url": url, "transport": "tcp"}, watchdog=impatient)
    assert not reply.ok
    assert "no picture within 0.8 s" in reply.reason


def test_a_file_that_hangs_is_answered_for(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named pipe that nobody writes to stands for a network share that went away."""
    monkeypatch.setattr("nxai_capture.errands.OBEY_S", 0.2)
    pipe = tmp_path / "pictures"
    pipe.mkdir()
    os.mkfifo(pipe / "1.jpg")
    reply = asked.probe(
        {"type": "folder", "path": str(pipe)},
        watchdog={"open_timeout_s": 0.2, "picture_timeout_s": 0.2},
    )
    assert reply.reason == "timed out: no picture within 0.4 s: it hangs"
    (pipe / "1.jpg").write_bytes(jpeg(1))  # the share is back: the thread ends
    wait_for(lambda: "sources are being tried" not in {t.name for t in threading.enumerate()})


def test_a_camera_is_found_asked_and_tried(asked: Asked, tmp_path: Path) -> None:
    video = clip(tmp_path / "a.mp4", frames=60)
    asked.store("probe-1", "joe", "hunter2")
    with (
        onvif_camera() as camera,
        rtsp_camera(video, user="joe", password="hunter2") as url,
        discoverable(lambda _: [probe_match(camera.address)]),
    ):
        camera.user, camera.password, camera.streams = "joe", "hunter2", {"main": url}
        found = json.loads(bytes(asked.reply(FindCameras(seconds=1)).attachment))
        (network,) = found["network"]
        assert (network["address"], network["name"]) == (camera.address, "Front door")
        assert (found["usb"], found["problems"]) == ([], [])
        reply = asked.reply(ListStreams(address=network["address"], credentials="probe-1"))
        (stream,) = json.loads(bytes(reply.attachment))["streams"]
        assert stream["url"] == url
        reply = asked.probe({"type": "rtsp", "url": stream["url"]}, credentials="probe-1")
        assert shown(reply) is not None
        denied = asked.reply(ListStreams(address=network["address"]))
        assert denied.reason.startswith("401: the camera asks for user and password")


def test_who_hangs_up_on_the_question_is_told_of(asked: Asked) -> None:
    def hang_up(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(1 << 16)

    with raw_server(hang_up) as (host, port):
        reply = asked.reply(ListStreams(address=f"http://{host}:{port}"))
    assert reply.reason == f"{host}:{port} broke off in the middle of its answer"
