"""Inference as processes on a real broker: sharing frames, dying, changing models."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from nxai_common.contracts.commands import TryModel
from nxai_common.contracts.configuration import InferenceConfiguration
from nxai_common.contracts.models import ModelManifest
from support.broker import Broker
from support.inference_workers import (
    PacedCapture,
    SimpleCapture,
    Tally,
    Worker,
    configure,
    connected,
    desired,
)

pytestmark = pytest.mark.integration

FLOAT = "ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite"
INT8 = "ei_fomo_mnv2_010_96x96x1_beer_can_i8.tflite"
COLOUR = "ei_fomo_mnv2_035_96x96x3_m5_nut_i8.tflite"
YOLO = "ei_yolov5n_320x320x3_2cls_fp16w.tflite"
SECOND = 30
"""Frames."""


def test_a_killed_worker_takes_only_the_frames_in_its_hands(broker: Broker, tmp_path: Path) -> None:
    cameras, frames = 4, 400
    share = {"NXAI_INFERENCE_SHARE": "workers"}
    with (
        Worker(broker, tmp_path, "inference-1", **share) as first,
        Worker(broker, tmp_path, "inference-2", **share),
        broker.bus("capture") as bus,
    ):
        connected(bus)
        configure(bus, "r1", desired(FLOAT), workers=2)
        killed_at: list[int] = []

        def kill(results: int) -> None:
            if results == cameras * frames // 2:
                first.process.kill()
                first.process.wait()
                killed_at.append(results)

        tally = SimpleCapture(bus, cameras=cameras).run(frames, kill)

        before = Counter(result.worker for result in tally.results[: killed_at[0]])
        assert min(before["inference-1"], before["inference-2"]) > cameras * frames // 8, before
        # One frame of each camera was in flight at most; the credits of those come back by
        # time-out in capture, everything after goes to the worker that is left.
        assert len(tally.lost) <= cameras, tally.lost
        answered = Counter((result.camera, result.sequence) for result in tally.results)
        assert set(answered.values()) == {1}
        assert len(answered) + len(tally.lost) == cameras * frames
        assert not [result.error for result in tally.results if result.error]


def test_a_model_is_replaced_while_frames_flow(broker: Broker, tmp_path: Path) -> None:
    cameras, frames = 2, 1500
    with Worker(broker, tmp_path, "inference"), broker.bus("capture") as bus:
        connected(bus)
        configure(bus, "r0", desired(FLOAT))
        changes = {600: (INT8, "r1"), 1200: (FLOAT, "r2"), 1800: (INT8, "r3")}

        def change(results: int) -> None:
            if results in changes:
                file, revision = changes[results]
                wanted = desired(file)
                bus.publish(InferenceConfiguration(revision=revision, models=(wanted,)))

        def swapped(tally: Tally) -> bool:
            return tally.results[-1].model_digest != tally.results[0].model_digest

        tally = SimpleCapture(bus, cameras=cameras).run(frames, change, enough=swapped)

        assert tally.lost == []
        answered = Counter((result.camera, result.sequence) for result in tally.results)
        assert set(answered.values()) == {1}
        assert len(answered) == tally.sent >= cameras * frames
        assert not [result.error for result in tally.results if result.error]
        digests = [result.model_digest for result in tally.results]
        swaps = sum(one != other for one, other in pairwise(digests))
        assert 1 <= swaps <= len(changes)


@pytest.mark.parametrize("files", [(FLOAT, INT8, FLOAT), (FLOAT, COLOUR, FLOAT)])
@pytest.mark.parametrize("engine", ["auto", "onnx"])
def test_no_frame_is_lost_at_a_swap_at_30_fps(
    broker: Broker, tmp_path: Path, files: tuple[str, ...], engine: str
) -> None:
    """Engines are converted, compared and timed while frames come; sizes are equal or not."""
    with Worker(broker, tmp_path, "inference") as worker, broker.bus("capture") as bus:
        connected(bus)
        capture = PacedCapture(bus)
        wanted = [desired(file, engine=engine) for file in files]
        bus.publish(InferenceConfiguration(revision="r0", models=(wanted[0],)))
        asked, since = 0, 0

        def all_were_in_force() -> bool:
            nonlocal asked, since
            if len(capture.digests()) > asked:
                asked, since = asked + 1, len(capture.results)
            if len(capture.results) - since < SECOND or asked == 0:
                return False
            if asked == len(wanted):
                return True
            revision = f"r{asked}"
            bus.publish(InferenceConfiguration(revision=revision, models=(wanted[asked],)))
            since = len(capture.results)
            return False

        capture.run(all_were_in_force)
        assert worker.process.poll() is None

    assert [result.error for result in capture.results if result.error] == []
    assert [result.sequence for result in capture.results] == list(range(capture.sent))
    assert len(capture.digests()) == len(files)
    assert all(result.returns_credit for result in capture.results)
    # Longer, and capture takes the frame for lost (`core.credits.SHORTEST_TIMEOUT_S`).
    assert max(capture.waits_s) < 2


def test_no_frame_is_lost_while_a_model_is_tried_at_30_fps(broker: Broker, tmp_path: Path) -> None:
    with (
        Worker(broker, tmp_path, "inference"),
        broker.bus("capture") as bus,
        broker.bus("cloud-sync") as asking,
        ThreadPoolExecutor() as pool,
    ):
        connected(bus)
        connected(asking)
        capture = PacedCapture(bus)
        bus.publish(InferenceConfiguration(revision="r0", models=(desired(FLOAT),)))
        capture.run(lambda: len(capture.results) > SECOND)
        before = len(capture.results)
        command = TryModel(desired=desired(YOLO, name="yolo", engine="auto"))
        answer = pool.submit(asking.request, command, 60)
        capture.run(lambda: answer.done() and len(capture.results) > before + SECOND)
        reply = answer.result()

    assert reply.ok, reply.reason
    about = ModelManifest.model_validate_json(bytes(reply.attachment))
    assert (about.model, about.width) == ("yolo", 320)
    trials = json.loads(str(reply.details["trials"]))
    assert {trial["engine"] for trial in trials} == {"litert", "onnx:CPUExecutionProvider"}
    assert min(trial["ms"] for trial in trials) == reply.details["engine_ms"]
    assert [result.error for result in capture.results if result.error] == []
    assert [result.sequence for result in capture.results] == list(range(capture.sent))
    assert max(capture.waits_s) < 2
