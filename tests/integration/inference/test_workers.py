"""Inference as processes on a real broker: sharing frames, dying, changing models."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from nxai_common.contracts.configuration import InferenceConfiguration
from support.broker import Broker
from support.inference_workers import SimpleCapture, Tally, Worker, configure, connected, desired

pytestmark = pytest.mark.integration

FLOAT = "ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite"
INT8 = "ei_fomo_mnv2_010_96x96x1_beer_can_i8.tflite"


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
