"""The capture service as a process, on a real broker, with real sources."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from nxai_capture.adapters.pyav_picture import FrameConverter
from nxai_capture.core.resizing import Resizer
from nxai_common.contracts.commands import (
    ProbeSource,
    TakeSnapshot,
    TriggerCamera,
    WatchCamera,
)
from nxai_common.contracts.configuration import (
    CaptureCamera,
    CaptureConfiguration,
    DemoSource,
    FileSource,
    PushSource,
    RtspSource,
)
from nxai_common.contracts.frames import Frame, Preview
from nxai_common.contracts.frames import Picture as PictureMessage
from nxai_common.contracts.models import InputSpec, ModelManifest, ResizeMode, Task
from nxai_common.contracts.results import CollectReason, InferenceResult
from nxai_common.contracts.samples import Sample
from nxai_common.contracts.status import CameraStatus, LinkState
from support.clips import clip, truncated
from support.shared import shared
from support.stack import Listener, Stack, listening
from support.waiting import wait_for

SPEC = InputSpec(width=96, height=96, channels=3, resize_mode=ResizeMode.FIT_SHORT)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path, services=("capture",)) as running:
        running.wait_running()
        running.bus.publish(
            ModelManifest(
                model="m",
                task=Task.FOMO,
                labels=("nut",),
                width=SPEC.width,
                height=SPEC.height,
                channels=SPEC.channels,
                resize_mode=SPEC.resize_mode,
                digest="0" * 64,
            )
        )
        yield running


def configure(stack: Stack, *cameras: CaptureCamera, revision: str = "1") -> None:
    stack.bus.publish(CaptureConfiguration(revision=revision, cameras=cameras))


def answer(stack: Stack, frame: Frame, *, collect: CollectReason | None = None) -> None:
    stack.bus.publish(
        InferenceResult(
            camera=frame.camera,
            input=frame.input,
            model=frame.models[0],
            task=Task.FOMO,
            worker="test",
            stream=frame.stream,
            sequence=frame.sequence,
            captured_at_us=frame.captured_at_us,
            width=frame.width,
            height=frame.height,
            channels=frame.channels,
            source_width=frame.source_width,
            source_height=frame.source_height,
            transform=frame.transform,
            labels=("nut",),
            collect=collect,
        )
    )


def next_frame(listener: Listener) -> Frame:
    message = listener.next(30)
    assert isinstance(message, Frame)
    return message


def camera_status(stack: Stack, camera: str) -> CameraStatus | None:
    status = stack.status("capture")
    return next((c for c in status.cameras if c.camera == camera), None)


def wait_state(stack: Stack, camera: str, state: LinkState) -> CameraStatus:
    def found() -> CameraStatus | None:
        status = camera_status(stack, camera)
        return status if status is not None and status.state is state else None

    status = wait_for(found, 30, f"{camera} {state}")
    assert status is not None
    return status


def test_every_frame_of_a_file_arrives_once_with_the_pixels_of_its_picture(stack: Stack) -> None:
    clip = shared("media/conveyor.mp4")
    source = FileSource(path=str(clip), pace="fast", loop=False)
    with listening(stack, Frame) as listener, av.open(str(clip)) as container:
        configure(stack, CaptureCamera(id="belt", source=source, models=("m",)))
        converter = FrameConverter()
        resize = Resizer(SPEC, 640, 480)
        for sequence, decoded in enumerate(container.decode(video=0)):
            frame = next_frame(listener)
            answer(stack, frame)
            assert frame.sequence == sequence
            if sequence % 50 == 0:
                expected = resize(converter.picture(decoded, 0, corrupt=False)).astype(int)
                got = np.frombuffer(frame.attachment, np.uint8).reshape(expected.shape)
                assert np.abs(got - expected).max() <= 1  # one thread or two: rounding

        def settled() -> CameraStatus | None:
            # Played to its end it is before the last frames are sent, and those are counted after.
            found = camera_status(stack, "belt")
            if found is None or found.state is not LinkState.ENDED:
                return None
            return found if found.decoded == found.sent + found.dropped + found.skipped else None

        status = wait_for(settled, 30, "played to its end, and every picture counted")
    assert status is not None
    assert (status.decoded, status.sent, status.dropped, status.credits_lost) == (600, 600, 0, 0)
    assert (status.codec, status.width, status.height) == ("h264", 640, 480)


def test_bad_cameras_say_why_and_the_good_one_goes_on(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video at all\n" * 100)
    with listening(stack, Frame) as listener:
        configure(
            stack,
            CaptureCamera(id="good", source=DemoSource(fps=30), models=("m",)),
            CaptureCamera(id="missing", source=FileSource(path="/nowhere/a.mp4")),
            CaptureCamera(id="text", source=FileSource(path=str(tmp_path / "text.mp4"))),
            CaptureCamera(id="closed", source=RtspSource(url="rtsp://127.0.0.1:9/")),
            CaptureCamera(id="scheme", source=RtspSource(url="gopher://127.0.0.1/")),
            CaptureCamera(
                id="login", source=RtspSource(url="rtsp://127.0.0.1:9/"), credentials="x"
            ),
        )
        bad = {
            "missing": "/nowhere/a.mp4",
            "text": "text.mp4",
            "closed": "127.0.0.1",
            "scheme": "gopher",
            "login": "x.json",
        }
        for camera, named in bad.items():
            assert named in wait_state(stack, camera, LinkState.WAITING).reason
        for _ in range(20):
            answer(stack, next_frame(listener))
    problems = {problem.about: problem.reason for problem in stack.status("capture").problems}
    assert set(problems) >= {f"camera {camera}" for camera in bad}


def test_a_video_that_was_cut_off_shows_in_the_status(stack: Stack, tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", frames=90, container_options={"movflags": "faststart"})
    truncated(path, 0.4)
    source = FileSource(path=str(path), loop=False)
    configure(stack, CaptureCamera(id="belt", source=source))
    status = wait_state(stack, "belt", LinkState.ENDED)
    assert 10 < status.decoded < 60
    assert status.damaged >= 1


def test_samples_previews_snapshots_and_pushed_pictures(stack: Stack) -> None:
    configure(
        stack,
        CaptureCamera(id="belt", source=DemoSource(fps=15), models=("m",), samples=True),
        CaptureCamera(id="pushed", source=PushSource(), models=("m",)),
    )
    with listening(stack, Frame, Sample, Preview) as listener:
        wanted = CollectReason(strategy="band", reason="test", value=0.5)
        answer(stack, next_frame(listener), collect=wanted)
        sample = wait_for(
            lambda: m if isinstance(m := listener.try_next(), Sample) else None, 20, "sample"
        )
        assert isinstance(sample, Sample)
        assert (sample.width, sample.height) == (640, 480)
        assert (sample.strategy, sample.reason, sample.value) == ("band", "test", 0.5)
        assert bytes(sample.attachment[:3]) == b"\xff\xd8\xff"
        reply = stack.bus.request(TakeSnapshot(camera="belt"), timeout=10)
        assert reply.ok
        assert bytes(reply.attachment[:3]) == b"\xff\xd8\xff"
        stack.bus.publish(PictureMessage(camera="pushed", attachment=reply.attachment))
        pushed = wait_for(
            lambda: m if getattr(m := listener.try_next(), "camera", "") == "pushed" else None,
            20,
            "pushed",
        )
        assert isinstance(pushed, Frame)
        assert (pushed.source_width, pushed.source_height) == (640, 480)
        assert stack.bus.request(WatchCamera(camera="belt", max_width=320), timeout=10).ok
        wait_for(lambda: isinstance(listener.try_next(), Preview), 20, "preview")


def test_a_paused_camera_is_looked_at_tested_and_goes_on(stack: Stack) -> None:
    paused = CaptureCamera(id="belt", source=DemoSource(fps=15), models=("m",), paused=True)
    configure(stack, paused)
    wait_state(stack, "belt", LinkState.RUNNING)
    with listening(stack, Frame, Preview) as listener:
        assert stack.bus.request(WatchCamera(camera="belt", max_width=320), timeout=10).ok
        preview = listener.next(20)
        assert isinstance(preview, Preview), "a paused camera sends no frame"
        with Image.open(io.BytesIO(bytes(preview.attachment))) as shown:
            about = json.loads(shown.info["comment"])
            assert shown.size == (320, 240)
        assert (about["width"], about["height"]) == (640, 480)

        def frame_of(test: str) -> Frame | None:
            message = listener.try_next()
            return message if isinstance(message, Frame) and message.test == test else None

        command = TriggerCamera(camera="belt", test="test-1")
        reply = stack.bus.request(command, timeout=10)
        assert (reply.ok, reply.details["models"]) == (True, "m")
        frame = wait_for(lambda: frame_of("test-1"), 20, "the frame of the test")
        assert frame is not None
        assert (frame.stream, frame.sequence) == (
            reply.details["stream"],
            reply.details["sequence"],
        )
        assert frame.stream == about["stream"]
        asked = TakeSnapshot(
            camera="belt", stream=frame.stream, sequence=frame.sequence, as_input=SPEC
        )
        answer = stack.bus.request(asked, timeout=10)
        with Image.open(io.BytesIO(bytes(answer.attachment))) as png:
            assert (png.format, png.size) == ("PNG", (SPEC.width, SPEC.height))
            seen = np.asarray(png).astype(int)
        got = np.frombuffer(frame.attachment, np.uint8).reshape(seen.shape)
        assert np.abs(got - seen).max() <= 1  # one thread or two: rounding
        configure(stack, paused.model_copy(update={"paused": False}), revision="2")
        frame = wait_for(lambda: frame_of(""), 20, "a frame")
        assert frame is not None
        assert frame.stream == about["stream"], "it was not connected anew"
    gauges = stack.status("capture").gauges
    assert gauges["cameras_running"] == 1
    assert gauges["encodings_waiting"] >= 0


def test_a_source_is_tried_before_it_is_saved(stack: Stack) -> None:
    reply = stack.bus.request(ProbeSource(source=DemoSource(width=320, height=240)), timeout=40)
    assert reply.ok
    assert (reply.details["width"], reply.details["codec"]) == (320, "drawn")
    assert bytes(reply.attachment[:3]) == b"\xff\xd8\xff"
    reply = stack.bus.request(ProbeSource(source=FileSource(path="/nowhere.mp4")), timeout=40)
    assert reply.reason == "video file '/nowhere.mp4' does not exist"
    assert stack.status("capture").cameras == ()


def test_frames_flow_again_after_the_broker_was_away(stack: Stack) -> None:
    configure(stack, CaptureCamera(id="belt", source=DemoSource(fps=30), models=("m",)))
    with listening(stack, Frame) as listener:
        before = next_frame(listener)
        stack.broker.stop()
        stack.broker.start()

        def newer() -> bool:
            message = listener.try_next()
            if not isinstance(message, Frame):
                return False
            answer(stack, message)
            return message.stream == before.stream and message.sequence > before.sequence + 10

        wait_for(newer, 60, "a newer frame of the same stream: the camera was not reconnected")
    stack.check_alive()


def test_stops_soon_when_told(stack: Stack) -> None:
    configure(stack, CaptureCamera(id="belt", source=DemoSource(), models=("m",)))
    wait_state(stack, "belt", LinkState.RUNNING)
    assert stack.processes["capture"].stop() == 0
