"""Cameras that answer a call on the network, and those at this machine."""

import errno
import os
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from nxai_capture.adapters.v4l2_devices import UsbSearch
from nxai_capture.adapters.ws_discovery import NetworkSearch
from nxai_capture.ports import NetworkCamera, PictureFormat, UsbCamera
from support.onvif_device import discoverable, probe_match

HERE = "http://192.0.2.17/onvif/device_service"
FRONT = NetworkCamera(HERE, "192.0.2.17", "Front door", "C-17", "garden")
search = NetworkSearch(("lo",))


# -- network --------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers_to", ["cameras alone", "no type alone", "both"])
def test_a_camera_on_the_network_is_found_once(answers_to: str) -> None:
    def answer(question: ET.Element) -> list[bytes]:
        typed = question.findtext(".//{*}Types") is not None
        wanted = {"cameras alone": typed, "no type alone": not typed, "both": True}[answers_to]
        message = question.findtext(".//{*}MessageID") or ""
        return [probe_match(HERE, relates_to=message)] * 2 if wanted else []

    with discoverable(answer):
        assert search(1.0) == ([FRONT], [])


def test_a_camera_that_misses_the_first_call_is_called_again() -> None:
    calls = []

    def answer(question: ET.Element) -> list[bytes]:
        calls.append(question)
        return [probe_match(HERE)] if len(calls) == 3 else []

    with discoverable(answer):
        assert search(1.4) == ([FRONT], [])
    assert len(calls) >= 4


def test_hostile_answers_cost_nobody_else_the_search() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "cccc">]><a>&b;</a>'
    broken = [b"", b"hello", bomb, b"<a>" * 9000, os.urandom(60_000), probe_match("ftp://x/")]
    with discoverable(lambda _: [*broken, probe_match(HERE), *broken]):
        assert search(1.0) == ([FRONT], [])


def test_however_many_answer_so_many_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nxai_capture.adapters.ws_discovery.MOST_CAMERAS", 3)
    monkeypatch.setattr("nxai_capture.adapters.ws_discovery.MOST_ANSWERS", 9)
    crowd = [probe_match(f"http://192.0.2.{number}/o") for number in range(20)]
    with discoverable(lambda _: crowd):
        found, _ = search(30)  # ends when so many have answered
    assert len(found) == 3


def test_who_finds_nothing_is_told_why_that_may_be() -> None:
    found, problems = search(0.05)
    assert found == []
    (problem,) = problems
    assert problem.startswith("no camera answered on lo (127.0.0.1): ")
    assert "network_mode: host" in problem
    assert NetworkSearch(())(0.01)[1][0].startswith("no camera answered on no interface: ")
    assert NetworkSearch(("nothing0",))(0.01)[1][0].startswith("no camera answered on no interface")


def test_an_interface_that_cannot_be_searched_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other network than the loopback may be spoiled in a test, so its address is."""
    monkeypatch.setattr(
        "nxai_capture.adapters.ws_discovery._address_of",
        {"gone0": "192.0.2.200", "lo": "127.0.0.1"}.get,
    )
    with discoverable(lambda _: [probe_match(HERE)]):
        found, problems = NetworkSearch(("gone0", "lo"))(1.0)
    assert found == [FRONT]
    assert problems == ["gone0 (192.0.2.200) cannot be searched: Cannot assign requested address"]


def test_what_cannot_be_sent_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nxai_capture.adapters.ws_discovery.GROUP", "255.255.255.255")
    _, problems = search(0.4)  # nobody may call everybody without saying so before
    assert problems[:-1] == ["lo (127.0.0.1) cannot be searched: Permission denied"]


# -- USB ------------------------------------------------------------------------------------------

CAPTURE, METADATA, HAS_DEVICE_CAPABILITIES = 0x1, 0x0080_0000, 0x8000_0000


class Drivers:
    """Answers for device files as the kernel does (linux/videodev2.h); there is no device here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.capabilities: dict[str, tuple[int, int]] = {}
        self.refuse: dict[str, int] = {}
        self.formats: tuple[tuple[bytes, tuple[tuple[int, int], ...] | None], ...] = (
            (b"MJPG", ((1920, 1080), (1280, 720))),
            (b"YUYV", None),
        )

    def device(self, name: str, of_all: int, of_device: int, link: str | None = None) -> Path:
        path = self.folder / name
        path.touch()
        self.capabilities[name] = of_all, of_device
        if link is not None:
            (self.folder / "v4l" / "by-id").mkdir(parents=True, exist_ok=True)
            (self.folder / "v4l" / "by-id" / link).symlink_to(Path("..", "..", name))
        return path

    def ask(self, opened: int, request: int, asked: bytes) -> bytes:
        name = Path(f"/proc/self/fd/{opened}").readlink().name
        if name in self.refuse:
            raise OSError(self.refuse[name], os.strerror(self.refuse[name]))
        size = request >> 16 & 0x3FFF
        assert len(asked) == size
        kind = chr(request >> 8 & 0xFF), request & 0xFF
        if kind == ("V", 0):
            head = struct.pack("16s32s32sI", b"uvcvideo", b"HD Webcam C920", b"usb-1", 0x6000)
            return (head + struct.pack("II", *self.capabilities[name])).ljust(size, b"\0")
        if kind == ("V", 2):
            index, wanted = struct.unpack_from("II", asked)
            assert wanted == 1
            if index >= len(self.formats):
                raise OSError(errno.EINVAL, "Invalid argument")
            code = self.formats[index][0]
            head = struct.pack("III32s4s", index, 1, 0, b"Motion-JPEG", code)
            return head.ljust(size, b"\0")
        assert kind == ("V", 74)
        index, code = struct.unpack_from("I4s", asked)
        sizes = dict(self.formats)[code]
        head = struct.pack("I4s", index, code)
        if sizes is None:
            numbers = struct.pack("I6I", 3, 160, 2592, 16, 120, 1944, 8)
        elif index < len(sizes):
            numbers = struct.pack("III", 1, *sizes[index])
        else:
            raise OSError(errno.EINVAL, "Invalid argument")
        return (head + numbers).ljust(size, b"\0")


FORMATS = (
    PictureFormat("MJPG", ((1920, 1080), (1280, 720))),
    PictureFormat("YUYV", ((160, 120), (2592, 1944))),
)


def test_usb_cameras_are_told_by_the_name_that_stays_and_what_else_they_are_is_not(
    tmp_path: Path,
) -> None:
    drivers = Drivers(tmp_path)
    both = CAPTURE | METADATA | HAS_DEVICE_CAPABILITIES
    drivers.device("video10", both, CAPTURE)
    drivers.device("video2", both, CAPTURE, link="usb-046d_C920_1A2B-video-index0")
    drivers.device("video3", both, METADATA, link="usb-046d_C920_1A2B-video-index1")
    drivers.device("video4", CAPTURE, 0)
    by_id = tmp_path / "v4l" / "by-id" / "usb-046d_C920_1A2B-video-index0"
    found, problems = UsbSearch(tmp_path, drivers.ask)()
    assert found == [
        UsbCamera(str(by_id), "HD Webcam C920", FORMATS),
        UsbCamera(str(tmp_path / "video4"), "HD Webcam C920", FORMATS),
        UsbCamera(str(tmp_path / "video10"), "HD Webcam C920", FORMATS),
    ]
    assert problems == []


def test_usb_devices_that_do_not_answer_say_why(tmp_path: Path) -> None:
    drivers = Drivers(tmp_path)
    for number, code in enumerate((errno.EACCES, errno.ENODEV, errno.EINVAL, 0)):
        path = drivers.device(f"video{number}", CAPTURE, 0)
        if code:
            drivers.refuse[path.name] = code
    drivers.formats = ()
    found, problems = UsbSearch(tmp_path, drivers.ask)()
    assert [camera.formats for camera in found] == [()]
    names = [repr(str(tmp_path / f"video{number}")) for number in range(3)]
    group = "add its user to the group video"
    assert problems == [
        f"{names[0]} may not be used by this service: {group}",
        f"{names[1]} does not tell what it is: No such device",
        f"{names[2]} does not tell what it is: Invalid argument",
    ]


def test_a_driver_that_fails_in_the_middle_is_told_of(tmp_path: Path) -> None:
    drivers = Drivers(tmp_path)
    drivers.device("video0", CAPTURE, 0)

    def ask(opened: int, request: int, asked: bytes) -> bytes:
        if request & 0xFF == 74:
            raise OSError(errno.EIO, "Input/output error")
        return drivers.ask(opened, request, asked)

    found, problems = UsbSearch(tmp_path, ask)()
    assert (found, len(problems)) == ([], 1)


def test_what_is_no_device_is_asked_by_the_kernel_itself_and_told(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    found, problems = UsbSearch(tmp_path)()
    assert found == []
    assert problems == [
        f"{str(tmp_path / 'video0')!r} does not tell what it is: Inappropriate ioctl for device"
    ]


def test_a_machine_without_cameras_has_none(tmp_path: Path) -> None:
    assert UsbSearch(tmp_path)() == ([], [])
