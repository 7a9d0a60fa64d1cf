"""Folder, demo, push, V4L2, and the secrets folder."""

import base64
import errno
import json
import os
import queue
import threading
from pathlib import Path

import av.error
import numpy as np
import pytest
from pydantic import ValidationError

from nxai_capture.adapters.demo_source import DemoCamera
from nxai_capture.adapters.folder_source import PictureFolderSource
from nxai_capture.adapters.push_source import NewestPushed, PushSource
from nxai_capture.adapters.secrets_directory import SecretsDirectory
from nxai_capture.adapters.sources import Sources
from nxai_capture.adapters.system_clock import SystemClock
from nxai_capture.adapters.v4l2_source import V4l2Connection
from nxai_capture.core.demo_scene import DemoScene
from nxai_capture.core.picture import Rgb
from nxai_capture.ports import Losses, NoPictureYet
from nxai_capture.reading import CameraReader, Captured
from nxai_common.contracts.configuration import (
    CaptureCamera,
    DemoSource,
    FolderSource,
    V4l2Source,
    Watchdog,
)
from nxai_common.contracts.configuration import (
    PushSource as PushConfiguration,
)
from nxai_common.errors import CameraUnavailable, ConfigurationError
from nxai_common.retry import RetryPolicy
from support.cameras import opened, read_all
from support.clips import encoded, jpeg, number_of
from support.clocks import FakeClock
from support.waiting import wait_for

# ---------------------------------------------------------------- folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, suffix in enumerate((".jpg", ".png", ".bmp", ".webp", ".JPEG")):
        (tmp_path / f"{number}{suffix}").write_bytes(encoded(suffix.lower(), number))
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def test_folder_gives_every_picture_by_name(folder: Path) -> None:
    with opened(FolderSource(path=str(folder), interval_ms=0, loop=False)) as source:
        assert [number_of(p) for p in read_all(source)] == [0, 1, 2, 3, 4]
        assert source.info.lossless
        assert source.info.codec == "jpeg"


def test_folder_is_paced_and_new_pictures_join_the_next_round(folder: Path) -> None:
    clock = FakeClock()
    source = PictureFolderSource(FolderSource(path=str(folder), interval_ms=500), clock)
    with source:
        assert not source.info.lossless
        assert source.info.nominal_fps == 2
        began = clock.now
        numbers = []
        for turn in range(9):
            picture = source.read()
            assert picture is not None
            assert picture.captured_at_us == int(clock.unix() * 1e6), "read when its time had come"
            numbers.append(number_of(picture))
            if turn == 2:
                (folder / "9.png").write_bytes(encoded(".png", 9))
        assert clock.now - began == pytest.approx(8 * 0.5)
    assert numbers == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    with source:
        assert [number_of(p) for _ in range(6) if (p := source.read())] == [0, 1, 2, 3, 4, 9]


def test_unreadable_picture_is_skipped_counted_and_named(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "1.png").write_bytes(b"no picture")
    (folder / "2b.jpg").mkdir()
    huge = bytearray(encoded(".png", 0))
    huge[16:24] = (60000).to_bytes(4, "big") * 2
    (folder / "3b.png").write_bytes(huge)
    source = PictureFolderSource(
        FolderSource(path=str(folder), interval_ms=0, loop=False), SystemClock()
    )
    with source:
        assert [number_of(p) for p in read_all(source)] == [0, 2, 3, 4]
    assert source.losses.damaged == 3
    assert "1.png" in caplog.text


def test_unreadable_pictures_do_not_flood_the_log(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("8.png", "9.png", "91.png"):
        (folder / name).write_bytes(b"no picture")
    source = PictureFolderSource(FolderSource(path=str(folder), interval_ms=0), SystemClock())
    with source:
        for _ in range(5 * 70):
            source.read()
    assert source.losses.damaged == 69 * 3
    named = [record.getMessage().split()[1] for record in caplog.records]
    assert named == ["'8.png'", "'9.png'", "'91.png'"], "each in its turn"


def test_folder_without_one_good_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with (
        opened(FolderSource(path=str(tmp_path), interval_ms=0)) as source,
        pytest.raises(ConfigurationError, match="readable picture"),
    ):
        source.read()


def test_folder_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"nowhere.*does not exist"),
        opened(FolderSource(path=str(tmp_path / "nowhere"))),
    ):
        pass
    with (
        pytest.raises(ConfigurationError, match="no pictures"),
        opened(FolderSource(path=str(tmp_path))),
    ):
        pass


def test_interrupt_wakes_a_waiting_folder(folder: Path) -> None:
    with opened(FolderSource(path=str(folder), interval_ms=60_000)) as source:
        source.read()
        threading.Timer(0.05, source.interrupt).start()
        with pytest.raises(CameraUnavailable, match="interrupted"):
            source.read()
        with pytest.raises(CameraUnavailable, match="interrupted"):
            source.read()


# ---------------------------------------------------------------- demo


def test_demo_draws_its_scene_at_its_rate() -> None:
    clock = FakeClock()
    with DemoCamera(DemoSource(width=320, height=240, fps=5, seed=3), clock) as source:
        began = clock.now
        pictures = [source.read() for _ in range(6)]
        assert clock.now - began == pytest.approx(1.0)
    scene = DemoScene(320, 240, 3)
    for index, picture in enumerate(pictures):
        assert picture is not None
        assert isinstance(picture.planes, Rgb)
        assert np.array_equal(picture.planes.pixels, scene.draw(index))


def test_demo_on_a_slow_machine_does_not_race() -> None:
    clock = FakeClock()
    with DemoCamera(DemoSource(width=320, height=240, fps=5), clock) as source:
        source.read()
        clock.now += 60
        source.read()
        before = clock.now
        source.read()
        assert clock.now - before == pytest.approx(0.2)


@pytest.mark.parametrize(("width", "height"), [(159, 480), (640, 119)])
def test_demo_too_small_is_refused(width: int, height: int) -> None:
    with pytest.raises(ValueError, match=f"{width}x{height}: use 160x120 or larger"):
        DemoScene(width, height, 1)
    with pytest.raises(ValidationError, match=r"greater than or equal to 1[26]0"):
        DemoSource(width=width, height=height)


@pytest.mark.parametrize(("width", "height"), [(160, 120), (3840, 120), (160, 2160)])
def test_demo_of_the_smallest_and_the_oddest_sizes(width: int, height: int) -> None:
    with opened(DemoSource(width=width, height=height)) as source:
        picture = source.read()
        assert picture is not None
        assert (picture.width, picture.height) == (width, height)


def test_interrupt_wakes_a_waiting_demo() -> None:
    with opened(DemoSource(fps=0.01)) as source:
        source.read()
        threading.Timer(0.05, source.interrupt).start()
        with pytest.raises(CameraUnavailable, match="interrupted"):
            source.read()


# ---------------------------------------------------------------- push


def test_pushed_picture_is_read_and_the_newest_wins() -> None:
    sources = Sources()
    with opened(PushConfiguration(), sources=sources) as source:
        sources.push("camera-1", jpeg(1))
        sources.push("camera-1", encoded(".png", 2))
        sources.push("somebody-else", jpeg(3))
        picture = source.read()
        assert picture is not None
        assert number_of(picture) == 2
        assert source.info.codec == "png"
        assert source.losses == Losses(replaced=1)


def test_pushed_payload_that_is_no_picture_is_counted_and_skipped() -> None:
    pushed = NewestPushed()
    with PushSource(pushed, SystemClock(), 30) as source:
        pushed.put(b"no picture")

        def push_the_next() -> None:
            wait_for(lambda: source.losses.damaged == 1, what="the first one is counted")
            pushed.put(jpeg(4))

        helper = threading.Thread(target=push_the_next)
        helper.start()
        picture = source.read()
        helper.join()
        assert picture is not None
        assert number_of(picture) == 4
        assert source.losses == Losses(damaged=1)


def test_push_camera_nobody_pushes_to_says_so() -> None:
    with (
        opened(PushConfiguration(), watchdog=Watchdog(read_timeout_s=0.05)) as source,
        pytest.raises(NoPictureYet, match=r"nobody pushed a picture for 0\.05 s"),
    ):
        source.read()


def test_push_camera_that_gets_no_pictures_says_what_it_got() -> None:
    sources = Sources()
    with opened(
        PushConfiguration(), sources=sources, watchdog=Watchdog(read_timeout_s=0.05)
    ) as source:
        for number in range(2):
            sources.push("camera-1", base64.b64encode(jpeg(number)))
            with pytest.raises(NoPictureYet) as refused:
                source.read()
            assert "0.05 s; what was pushed last is none: " in str(refused.value)
            assert "(they begin b'/9j/4AAQ')" in str(refused.value)
            assert "base64? send the bytes themselves" in str(refused.value)
        sources.push("camera-1", jpeg(1))
        assert source.read() is not None
        with pytest.raises(NoPictureYet, match="nobody pushed a picture"):
            source.read()


def test_push_camera_with_pauses_stays_connected_and_takes_a_picture_at_once() -> None:
    sources, taken = Sources(), queue.Queue[Captured]()

    def deliver(captured: Captured) -> bool:
        taken.put(captured)
        return True

    reader = CameraReader(
        CaptureCamera(id="a", source=PushConfiguration(), watchdog=Watchdog(read_timeout_s=0.05)),
        open_source=sources.open,
        read_credentials=lambda _: pytest.fail("none are named"),
        deliver=deliver,
        clock=SystemClock(),
        retry=RetryPolicy(first_s=3600, longest_s=3600, floor_s=3600),
    )
    reader.start()
    try:
        got = []
        for number in range(3):
            wait_for(lambda: "nobody pushed" in reader.reading().link.reason)
            sources.push("a", jpeg(number))
            got.append(taken.get(timeout=10))
    finally:
        reader.stop()
        reader.join(10)
    assert [number_of(captured.picture) for captured in got] == [0, 1, 2]
    assert len({captured.stream for captured in got}) == 1
    assert reader.reading().reconnects == 0


def test_interrupt_wakes_a_waiting_push_camera() -> None:
    with opened(PushConfiguration(), watchdog=Watchdog(read_timeout_s=60)) as source:
        threading.Timer(0.05, source.interrupt).start()
        with pytest.raises(CameraUnavailable, match="interrupted"):
            source.read()


def test_what_is_remembered_follows_the_address_of_a_camera() -> None:
    sources = Sources()
    one = CaptureCamera(id="a", source=PushConfiguration())
    sources.open(one, None)
    first = sources._memories["a"]
    sources.open(one, None)
    assert sources._memories["a"] is first
    sources.open(CaptureCamera(id="a", source=DemoSource()), None)
    assert sources._memories["a"] is not first
    sources.forget("a")
    assert not sources._memories


# ---------------------------------------------------------------- V4L2


def v4l2(device: str, devices: Path) -> V4l2Connection:
    return V4l2Connection(
        V4l2Source(device=device, width=640, height=480, fps=15),
        open_timeout_s=1,
        read_timeout_s=1,
        clock=SystemClock(),
        devices=devices,
    )


def test_unplugged_camera_names_those_that_are_there(tmp_path: Path) -> None:
    by_id = tmp_path / "v4l" / "by-id"
    by_id.mkdir(parents=True)
    wanted = str(by_id / "usb-Other_Camera-video-index0")
    with pytest.raises(CameraUnavailable, match="no camera at all"), v4l2(wanted, tmp_path):
        pass
    (tmp_path / "video0").write_bytes(b"")
    with (
        pytest.raises(CameraUnavailable, match=r"plugged in now: .*/video0"),
        v4l2(wanted, tmp_path),
    ):
        pass
    (by_id / "usb-Some_Camera-video-index0").symlink_to("../../video0")
    with pytest.raises(CameraUnavailable, match="usb-Some_Camera"), v4l2(wanted, tmp_path):
        pass


def test_stable_name_that_leads_to_no_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "video0").write_bytes(b"")
    with (
        pytest.raises(ConfigurationError, match="is no camera"),
        v4l2(str(tmp_path / "video0"), tmp_path),
    ):
        pass
    with pytest.raises(ConfigurationError, match="by-id"), v4l2("/etc/passwd", tmp_path):
        pass


def test_device_that_is_no_camera_is_refused() -> None:
    with (
        pytest.raises(ConfigurationError, match=r"'/dev/null' is no camera.*640x480"),
        opened(V4l2Source(device="/dev/null", width=640, height=480)),
    ):
        pass


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (errno.EACCES, ConfigurationError, "add its user to the group video"),
        (errno.EPERM, ConfigurationError, "add its user to the group video"),
        (errno.EINVAL, ConfigurationError, "no such size or rate (video_size 640x480, framerate"),
        (errno.EBUSY, CameraUnavailable, "is in use by another program"),
        (errno.ENODEV, CameraUnavailable, "was unplugged; plugged in now: no camera at all"),
        (errno.ENXIO, CameraUnavailable, "was unplugged"),
        (errno.EIO, CameraUnavailable, "failed: Input/output error"),
    ],
)
def test_what_a_driver_answers_has_a_plain_reason(
    tmp_path: Path, code: int, kind: type[Exception], reason: str
) -> None:
    """Drivers fail when they like: FFmpeg's own error for the number stands for it."""
    with pytest.raises(av.error.FFmpegError) as failure:
        av.error.err_check(-code)
    found = v4l2("/dev/video0", tmp_path)._translate(failure.value)
    assert isinstance(found, kind)
    assert str(found).startswith("'/dev/video0' ")
    assert reason in str(found)


def test_real_camera_gives_pictures() -> None:
    devices = sorted(Path("/dev/v4l/by-id").glob("*index0")) or sorted(Path("/dev").glob("video0"))
    if not devices:
        pytest.skip("no USB camera is plugged in")
    with opened(V4l2Source(device=str(devices[0]))) as source:
        picture = source.read()
    assert picture is not None
    assert picture.width > 0


# ---------------------------------------------------------------- secrets


def test_credentials_are_read_and_printed_as_stars(tmp_path: Path) -> None:
    secret = 'p@ss/wörd"\\'
    text = json.dumps({"username": "admin", "password": secret})
    (tmp_path / "gate.json").write_text(text)
    found = SecretsDirectory(tmp_path).read("gate")
    assert found.username == "admin"
    assert found.password.get_secret_value() == secret
    assert secret not in repr(found)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"username": "admin", "password": 12345678}', "must hold"),
        ('{"username": "admin", "pass": "s3cret"}', "must hold"),
        ("s3cret", "must hold"),
        (None, "does not exist"),
    ],
)
def test_bad_credentials_file_is_named_and_never_quoted(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "gate.json").write_text(content)
    with pytest.raises(ConfigurationError, match=reason) as refused:
        SecretsDirectory(tmp_path).read("gate")
    assert "gate.json" in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert "12345678" not in str(refused.value)
    assert refused.value.__context__ is None


def test_credentials_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "gate.json")  # noqa: PTH102 - in the way of the file, on purpose
    with pytest.raises(ConfigurationError, match="cannot be read"):
        SecretsDirectory(tmp_path).read("gate")


@pytest.mark.parametrize("name", ["../gate", "/etc/gate", ".gate", ""])
def test_credentials_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="plain file name"):
        SecretsDirectory(tmp_path).read(name)
