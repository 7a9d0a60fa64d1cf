"""The running services when something is wrong: it is named, counted, and the rest goes on."""

import shutil
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from nxai_capture.core.demo_scene import DemoScene
from nxai_common.contracts.base import Message
from nxai_common.contracts.collecting import UncertainStrategy
from nxai_common.contracts.configuration import (
    Assignment,
    CameraSource,
    CaptureCamera,
    DemoSource,
    DesiredModel,
    FileSource,
    MjpegSource,
    PushSource,
    RtspSource,
    StillSource,
    UncertainRule,
)
from nxai_common.contracts.frames import Picture
from nxai_common.contracts.outputs import Detections, Event, Output
from nxai_common.contracts.results import InferenceResult
from nxai_common.contracts.samples import Sample
from nxai_common.contracts.status import LinkState, ServiceState, Status
from support.demo_clip import demo_clip
from support.shared import ROOT
from support.stack import Listener, Stack, listening
from support.waiting import wait_for

PATIENCE = 40.0


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as running:
        running.wait_running()
        yield running


def demo_model(identity: str = "demo", path: str = "demo-parts") -> DesiredModel:
    return DesiredModel(id=identity, path=path)


def demo_camera(identity: str = "good", fps: float = 10, seed: int = 1) -> CaptureCamera:
    return CaptureCamera(
        id=identity, source=DemoSource(width=320, height=240, fps=fps, seed=seed), models=("demo",)
    )


def camera(identity: str, source: CameraSource) -> CaptureCamera:
    return CaptureCamera(id=identity, source=source, models=("demo",))


def sees(listener: Listener, identity: str, deadline: float = PATIENCE) -> Detections:
    """Wait for detections of one camera."""

    def next_of_it() -> Detections | None:
        message = listener.try_next()
        if isinstance(message, Detections) and message.camera == identity:
            return message
        return None

    found = wait_for(next_of_it, deadline, f"detections of {identity}")
    assert found is not None
    return found


def test_each_broken_camera_says_what_is_wrong_and_the_good_one_goes_on(
    stack: Stack, tmp_path: Path
) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("this is no video at all\n" * 100)
    broken: dict[str, tuple[CameraSource, str]] = {
        "missing": (FileSource(path=str(tmp_path / "gone.mp4")), "gone.mp4"),
        "text": (FileSource(path=str(text)), "notes.mp4"),
        "refused": (RtspSource(url="rtsp://127.0.0.1:9/stream"), "127.0.0.1"),
        "no-http": (MjpegSource(url="http://127.0.0.1:9/video"), "127.0.0.1"),
        "no-still": (StillSource(url="http://127.0.0.1:9/still.jpg"), "127.0.0.1"),
        "scheme": (StillSource(url="gopher://127.0.0.1/still.jpg"), "gopher"),
    }
    cameras = [camera(name, source) for name, (source, _) in broken.items()]
    with listening(stack, Detections) as listener:
        stack.configure([*cameras, demo_camera()], [demo_model()])

        def all_told() -> Status | None:
            status = stack.status("capture")
            reasons = {found.camera: found.reason for found in status.cameras}
            told = all(said in reasons.get(name, "") for name, (_, said) in broken.items())
            runs = {found.camera for found in status.cameras if found.state is LinkState.RUNNING}
            return status if told and "good" in runs else None

        status = wait_for(all_told, PATIENCE, "every reason is told, and the good one runs")
        assert status is not None
        states = {found.camera: found.state for found in status.cameras}
        assert {states[name] for name in broken} <= {LinkState.WAITING, LinkState.CONNECTING}
        assert states["good"] is LinkState.RUNNING
        assert status.state is ServiceState.DEGRADED
        assert {problem.about for problem in status.problems} >= {f"camera {n}" for n in broken}
        before = sees(listener, "good").sequence
        assert sees(listener, "good").sequence > before


def test_a_broken_model_says_so_and_the_other_one_goes_on(stack: Stack, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.tflite"
    truncated.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(40))
    with listening(stack, Detections) as listener:
        stack.configure(
            [demo_camera(), demo_camera("other").model_copy(update={"models": ("bad",)})],
            [demo_model(), demo_model("bad", str(truncated))],
        )
        sees(listener, "good")

        def told() -> str | None:
            models = {m.model: m for m in stack.status("inference").models}
            return models["bad"].reason if "bad" in models else None

        reason = wait_for(told, PATIENCE, "the reason is told")
        assert "truncated.tflite" in str(reason)
        sees(listener, "good")


def test_a_model_is_replaced_while_frames_flow_and_none_is_lost(
    stack: Stack, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    demo_clip(clip, 320, 240, 30, 2, 1)
    clip_camera = camera("good", FileSource(path=str(clip), pace="fast", loop=True))
    with listening(stack, Detections) as listener:
        stack.configure([clip_camera], [demo_model()])
        first = sees(listener, "good")
        sequences = [first.sequence]
        copy = stack.folder / "copy"
        shutil.copytree(ROOT / "models" / "demo-parts", copy)
        for number in range(3):
            path = str(copy) if number % 2 else "demo-parts"
            model = demo_model().model_copy(update={"path": path, "name": f"take {number}"})
            stack.configure([clip_camera], [model], revision=f"swap-{number}")
            wanted = f"take {number}"
            while True:
                message = sees(listener, "good")
                sequences.append(message.sequence)
                assert message.stream == first.stream, "the camera was not restarted"
                if message.model_name == wanted:
                    break
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


def test_the_broker_restarts_and_everything_comes_back(stack: Stack) -> None:
    with listening(stack, Detections) as listener:
        stack.configure([demo_camera()], [demo_model()])
        sees(listener, "good")
        stack.broker.kill()
        wait_for(lambda: not stack.bus.connected, PATIENCE, "it is gone")
        stack.broker.start()
        wait_for(lambda: stack.bus.connected, PATIENCE, "it is back")
        while listener.try_next(0.01) is not None:
            pass
        sees(listener, "good")
        stack.check_alive()


def test_services_are_killed_one_by_one_and_the_line_recovers(stack: Stack) -> None:
    with listening(stack, Detections) as listener:
        stack.configure([demo_camera()], [demo_model()])
        sees(listener, "good")
        for service in ("capture", "inference", "publisher"):
            stack.processes[service].kill()
            while listener.try_next(0.01) is not None:
                pass
            stack.start(service, service)
            sees(listener, "good")


def test_services_that_start_before_the_broker_wait_for_it(stack: Stack) -> None:
    with listening(stack, Detections) as listener:
        stack.configure([demo_camera()], [demo_model()])
        sees(listener, "good")
        stack.broker.stop()
        for service in ("capture", "inference", "publisher"):
            stack.processes[service].kill()
            before = len(stack.processes[service].text())
            stack.start(service, service)
        publisher = stack.processes["publisher"]
        wait_for(
            # In the log of the new process: it goes on in the file of the old one.
            lambda: "no connection to the broker" in publisher.text()[before:],
            PATIENCE,
            "it is told",
        )
        stack.broker.start()
        wait_for(lambda: stack.bus.connected, PATIENCE, "it is back")
        sees(listener, "good")
        stack.check_alive()


def test_a_giant_message_ends_its_sender_and_nobody_else(stack: Stack) -> None:
    with listening(stack, Detections) as listener:
        stack.configure([demo_camera()], [demo_model()])
        frame_topic = f"nxai/v1/box/cameras/{sees(listener, 'good').camera}/frame/any"
        giant = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        giant.username_pw_set(stack.broker.username, stack.broker.password)
        gone = threading.Event()
        giant.on_disconnect = lambda *_args: gone.set()
        giant.connect(stack.broker.host, stack.broker.port)
        giant.loop_start()
        giant.publish(frame_topic, bytes(200_000_000))
        assert gone.wait(PATIENCE), "the broker takes no such packet"
        giant.loop_stop()
        while listener.try_next(0.01) is not None:
            pass
        sees(listener, "good")
        stack.check_alive()


def test_two_workers_share_the_frames_and_one_may_die(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    demo_clip(clip, 320, 240, 30, 2, 1)
    with Stack(tmp_path / "stack", workers=2) as stack:
        stack.wait_running()
        with listening(stack, InferenceResult) as listener:
            cameras = [
                CaptureCamera(
                    id=name, source=FileSource(path=str(clip), pace="fast"), models=("demo",)
                )
                for name in ("one", "two")
            ]
            stack.configure(cameras, [demo_model()])
            workers: set[str] = set()

            def both_work(message: Message) -> bool:
                if isinstance(message, InferenceResult):
                    workers.add(message.worker)
                return workers == {"inference", "inference-2"}

            listener.find(both_work, PATIENCE, "both workers give results")
            stack.processes["inference-2"].kill()
            later_us = time.time_ns() // 1000 + 1_000_000
            for camera_id in ("one", "two"):
                listener.find(
                    partial(_answered, camera_id, later_us),
                    PATIENCE,
                    f"the other worker looks at {camera_id}",
                )


def _answered(camera_id: str, since_us: int, message: Message) -> bool:
    return (
        isinstance(message, InferenceResult)
        and message.camera == camera_id
        and message.captured_at_us > since_us
    )


def test_cameras_and_models_change_without_restarting_the_others(stack: Stack) -> None:
    with listening(stack, Detections) as listener:
        stack.configure([demo_camera("one"), demo_camera("two")], [demo_model()])
        stream = sees(listener, "one").stream
        sees(listener, "two")
        stack.configure([demo_camera("one"), demo_camera("three")], [demo_model()], revision="2")
        sees(listener, "three")
        assert sees(listener, "one").stream == stream
        status = wait_for(
            lambda: (s := stack.status("capture")).configuration_revision == "2" and s,
            PATIENCE,
            "revision 2 in force",
        )
        assert isinstance(status, Status)
        assert {found.camera for found in status.cameras} == {"one", "three"}


def test_pictures_are_pushed_over_mqtt_and_rubbish_among_them_is_refused(stack: Stack) -> None:
    jpeg = _demo_jpeg()
    with listening(stack, Detections) as listener:
        stack.configure([camera("pushed", PushSource())], [demo_model()])

        def push() -> Detections | None:
            stack.bus.publish(Picture(camera="pushed", attachment=b"rubbish"))
            stack.bus.publish(Picture(camera="pushed", attachment=jpeg))
            message = listener.try_next()
            return message if isinstance(message, Detections) else None

        found = wait_for(push, PATIENCE, "detections of a pushed picture")
    assert found is not None
    assert (found.picture_width, found.picture_height) == (320, 240)


def test_doubtful_frames_are_kept_at_full_size_and_marked(stack: Stack) -> None:
    model = demo_model().model_copy(update={"uncertain": UncertainRule(threshold=1.0)})
    with listening(stack, Sample, Output, Event) as listener:
        stack.configure(
            [demo_camera().model_copy(update={"samples": True})],
            [model],
            assignments=[Assignment(camera="good", model=model.id, collect=(UncertainStrategy(),))],
        )
        kinds: dict[type[Message], Message] = {}

        def all_three() -> bool:
            message = listener.try_next()
            if message is not None:
                kinds[type(message)] = message
            return {Sample, Output, Event} <= set(kinds)

        wait_for(all_three, PATIENCE, f"a sample, an output and an event; got {set(kinds)}")
    sample, output = kinds[Sample], kinds[Output]
    assert isinstance(sample, Sample)
    assert (sample.width, sample.height) == (320, 240)
    assert bytes(sample.attachment[:2]) == b"\xff\xd8"
    assert isinstance(output, Output)
    assert output.entries[0].uncertain == 1
    assert output.entries[0].baseRGB


def _demo_jpeg() -> bytes:
    picture = DemoScene(320, 240, 1).draw(0)
    ok, jpeg = cv2.imencode(".jpg", picture[:, :, ::-1])
    assert ok
    return jpeg.tobytes()
