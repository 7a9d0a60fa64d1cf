"""The service on a bus in memory: every frame is answered exactly once, whatever happens."""

import itertools
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.configuration import Assignment, DesiredModel, UncertainRule
from nxai_common.contracts.frames import Frame, Transform
from nxai_common.contracts.models import ModelManifest, Task
from nxai_common.contracts.results import Box, Detection, InferenceResult
from nxai_common.errors import RejectedError
from nxai_inference.adapters.sent_picture import PillowReader
from nxai_inference.core.parking import PATIENCE_S, PLACES
from nxai_inference.models import LINGER_S, LOAD_RETRY, Models
from nxai_inference.service import REMEMBERED_CAMERAS, TICK_S, TRACE_EVERY_S, InferenceService
from support.inference import (
    Clock,
    Line,
    ScriptedEngine,
    ScriptedSource,
    fomo_map,
    frame,
    line,
    nothing,
    running,
)
from support.waiting import wait_for

pytestmark = pytest.mark.unit

M = DesiredModel(id="m", path="v1")


def test_a_frame_becomes_detections_in_original_pixels() -> None:
    with line(now_us=lambda: 5_000_000) as on:
        on.source.put("v1", name="Parts")
        on.configure(M)
        asked = frame(
            7,
            transform=Transform(scale_x=2, scale_y=2, offset_x=3, offset_y=-40),
            captured_at_us=4_990_000,
        )

        found = on.ask(asked)

        assert found.detections == (
            Detection(
                label="nut",
                confidence=0.75,
                box=Box(x=35, y=0, width=16, height=0),  # above the picture: clamped
                model_box=(16, 8, 8, 8),
            ),
        )
        assert (found.model, found.model_name, found.model_version) == ("m", "Parts", "v1")
        assert found.model_digest == "digest of v1"
        assert found.labels == ("nut", "bolt")
        assert found.worker == "inference"
        assert found.returns_credit
        assert not found.uncertain
        assert not found.error
        assert found.timing.queue_ms == 10
        assert found.timing.engine_ms > 0
        assert found.timing.decode_ms > 0
        for name in ("input", "stream", "captured_at_us", "width", "source_width", "transform"):
            assert getattr(found, name) == getattr(asked, name)


def test_the_last_of_several_models_returns_the_credit() -> None:
    with line() as on:
        on.source.put("v1")
        on.source.put("v2", ScriptedEngine([fomo_map((0, 0, 1, 0.9))]))
        on.configure(M, DesiredModel(id="n", path="v2"))

        on.send(frame(models=("m", "missing", "n")))
        results = [on.result() for _ in range(3)]

        assert [result.model for result in results] == ["m", "missing", "n"]
        assert [result.returns_credit for result in results] == [False, False, True]
        assert [len(result.detections) for result in results] == [1, 0, 1]


def test_an_unknown_model_is_answered_with_the_names_of_those_known() -> None:
    with line() as on:
        assert "the configuration has: none" in on.ask(frame(models=("m",))).error
        on.source.put("v1")
        on.configure(M)

        found = on.ask(frame(models=("elsewhere",)))

        assert found.error == "no model 'elsewhere' here; the configuration has: m"
        assert found.returns_credit
        assert on.service.report().counters["refused"] == 2


def test_a_frame_without_models_gives_its_credit_back() -> None:
    with line() as on:
        found = on.ask(frame(models=()))
        assert found.error == "the frame names no model"
        assert found.returns_credit


def test_a_frame_of_another_size_is_refused() -> None:
    with line() as on:
        on.source.put("v1")
        on.configure(M)
        found = on.ask(frame(side=40))
        assert found.error == "model 'm' reads 32x32x3, the frame is 40x40x3"


def test_the_manifest_is_offered_when_the_model_is_ready() -> None:
    with line() as on:
        on.source.put("v1")
        on.configure(M)
        manifest = on.manifest()
        assert (manifest.model, manifest.engine, manifest.engine_ms) == ("m", "scripted", 0.1)
        assert manifest.threshold == 0.5
        status = on.status_of("m")
        assert (status.state, status.engine, status.digest) == ("ready", "scripted", "digest of v1")


def test_thresholds_change_without_loading_again() -> None:
    with line() as on:
        on.source.put("v1", ScriptedEngine([fomo_map((0, 0, 0, 0.6), (3, 3, 1, 0.45))]))
        on.configure(M)
        assert len(on.ask(frame(1)).detections) == 1
        assert on.manifest().threshold == 0.5

        on.configure(
            M.model_copy(update={"threshold": 0.7}),
            assignments=(
                Assignment(camera="back", model="m", threshold=0.4),
                Assignment(camera="side", model="m", uncertain=UncertainRule(threshold=0.7)),
            ),
        )

        assert on.manifest().threshold == 0.7
        assert len(on.ask(frame(2)).detections) == 0
        assert len(on.ask(frame(3, camera="back")).detections) == 2
        doubtful = on.ask(frame(4, camera="side"))
        assert doubtful.uncertain
        assert doubtful.uncertain_reason == "highest probability of a cell 0.550 < 0.7"
        assert len(on.source.loads) == 1
        wait_for(lambda: on.status_of("m").processed == 4)
        wait_for(lambda: on.status_of("m").uncertain == 1)


@pytest.mark.parametrize(
    ("tensors", "values", "sent"),
    [("auto", 48, True), ("auto", 4800, False), ("always", 4800, True), ("never", 48, False)],
)
def test_small_tensors_travel_with_the_result(tensors: str, values: int, sent: bool) -> None:
    side = 32 if values == 48 else 320
    outputs = [fomo_map((1, 1, 1, 0.6), side=side)]
    with line() as on:
        on.source.put("v1", ScriptedEngine(outputs, side=side), side=side)
        on.configure(M.model_copy(update={"tensors": tensors}))

        found = on.ask(frame(side=side))

        assert outputs[0].size == values
        assert bool(found.tensors) is sent
        if sent:
            tensor = found.tensors[0]
            data = bytes(found.attachment)[tensor.offset : tensor.offset + tensor.length]
            read = np.frombuffer(data, "<f4").reshape(tensor.shape)
            assert np.array_equal(read, outputs[0])
        else:
            assert len(found.attachment) == 0


def test_a_doubtful_result_carries_the_input_pixels() -> None:
    with line() as on:
        on.source.put("v1", ScriptedEngine([fomo_map((1, 1, 0, 0.6))]))
        doubt = UncertainRule(threshold=0.65)
        asked = frame()
        asked.__dict__["attachment"] = bytes(range(256)) * 12
        on.configure(M.model_copy(update={"uncertain": doubt}))

        found = on.ask(asked)

        assert found.image is not None
        assert (found.image.width, found.image.height, found.image.channels) == (32, 32, 3)
        end = found.image.offset + found.image.length
        assert bytes(found.attachment)[found.image.offset : end] == asked.attachment
        assert found.image.offset == found.tensors[0].length

        on.configure(M.model_copy(update={"uncertain": doubt, "uncertain_image": False}))
        assert on.ask(frame()).image is None


def test_classifications_are_given_for_every_label() -> None:
    with line() as on:
        engine = ScriptedEngine([np.array([[0.25, 0.75]], np.float32)])
        on.source.put("v1", engine, task=Task.CLASSIFICATION)
        on.configure(M)
        found = on.ask(frame())
        assert [(c.label, c.confidence) for c in found.classifications] == [
            ("nut", 0.25),
            ("bolt", 0.75),
        ]
        assert found.detections == ()


def failing(error: Exception) -> ScriptedEngine:
    def react(_pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
        raise error

    return ScriptedEngine(react=react)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RejectedError("the accelerator is gone"), "the accelerator is gone"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_an_engine_that_fails_answers_with_the_reason(error: Exception, said: str) -> None:
    with line() as on:
        on.source.put("v1", failing(error))
        on.source.put("v2")
        on.configure(M, DesiredModel(id="n", path="v2"))

        on.send(frame(models=("m", "n")))
        broken, well = on.result(), on.result()

        assert broken.error == said
        assert not broken.returns_credit
        assert well.returns_credit
        assert len(well.detections) == 1
        status = on.status_of("m")
        assert (status.state, status.reason, status.processed) == ("ready", said, 0)
        (problem,) = on.service.report().problems
        assert (problem.about, problem.reason) == ("model m", said)


def test_an_engine_that_works_again_is_no_problem_any_more() -> None:
    turns = iter((True, False))

    def react(_pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
        if next(turns):
            raise RejectedError("busy")
        return [fomo_map()]

    with line() as on:
        on.source.put("v1", ScriptedEngine(react=react))
        on.configure(M)
        assert on.ask(frame(1)).error == "busy"
        assert on.ask(frame(2)).error == ""
        wait_for(lambda: on.service.report().problems == ())
        assert on.status_of("m").reason == ""


def test_a_model_is_swapped_between_two_frames_under_load() -> None:
    versions = [f"v{number}" for number in range(1, 7)]
    answered: list[InferenceResult] = []
    with line() as on:
        engines = [on.source.put(version) for version in versions]
        on.configure(M)
        least, window = 1500, Frame.depth // 2
        cameras = ("front", "back")
        sent = dict.fromkeys(cameras, window)
        wanted, since = versions[0], 0
        for camera in cameras:
            on.send(*(frame(number, camera=camera) for number in range(window)))
        while len(answered) < sum(sent.values()):
            found = on.result()
            answered.append(found)
            at_work = found.model_version == wanted
            if at_work and wanted != versions[-1] and len(answered) - since >= 500:
                # Not waited for: frames go on while it loads.
                wanted, since = versions[versions.index(wanted) + 1], len(answered)
                on.configure(M.model_copy(update={"path": wanted}), settle=False)
            if sent[found.camera] < least or found.model_version != versions[-1]:
                on.send(frame(sent[found.camera], camera=found.camera))
                sent[found.camera] += 1

        for camera in cameras:
            sequences = [result.sequence for result in answered if result.camera == camera]
            assert sequences == list(range(sent[camera]))
        assert not [result.error for result in answered if result.error]
        used = [result.model_version for result in answered]
        assert used == sorted(used)
        assert set(used) == set(versions)
        # A version is closed a moment after the next one is in force.
        wait_for(lambda: all(engine.closed for engine in engines[:-1]), what="old ones are closed")
        assert not engines[-1].closed
    assert engines[-1].closed


def test_a_replacement_that_fails_leaves_the_old_version_in_force() -> None:
    with line() as on:
        on.source.put("v1")
        on.configure(M)
        on.configure(M.model_copy(update={"path": "broken"}))

        assert on.ask(frame()).model_version == "v1"
        status = on.status_of("m")
        assert status.state == "ready"
        assert status.reason == "the version before stays in force: broken: no such file"
        (problem,) = on.service.report().problems
        assert (problem.about, problem.reason) == ("model m", "broken: no such file")

        on.source.put("broken")
        on.configure(M.model_copy(update={"path": "broken"}))  # saved again: tried again
        assert on.ask(frame()).model_version == "broken"
        assert on.service.report().problems == ()


def test_a_change_that_is_taken_back_is_not_a_problem_any_more() -> None:
    with line() as on:
        on.source.put("v1")
        on.configure(M)
        on.configure(M.model_copy(update={"path": "broken"}))
        on.configure(M)
        assert on.service.report().problems == ()
        assert len(on.source.loads) == 2


def test_a_model_that_never_loaded_refuses_its_frames() -> None:
    with line() as on:
        on.configure(M)
        found = on.ask(frame())
        assert found.error == "model 'm' cannot be used: v1: no such file"
        assert found.returns_credit
        assert on.status_of("m").state == "failed"


def test_a_load_that_crashes_does_not_stop_the_next_one() -> None:
    with line() as on:

        def crash(desired: DesiredModel) -> Any:
            raise KeyError(desired.path)

        on.source.shelf["v1"] = crash
        on.source.put("v2")
        on.configure(M, DesiredModel(id="n", path="v2"))
        assert on.status_of("m").reason == "KeyError: 'v1'"
        assert on.status_of("n").state == "ready"


def test_a_model_whose_outputs_do_not_fit_its_labels_is_refused_and_closed() -> None:
    with line() as on:
        engine = on.source.put("v1", labels=("one", "two", "three"))
        on.configure(M)
        assert "has 2 classes besides the background, but 3 labels" in on.status_of("m").reason
        assert engine.closed


def test_warnings_of_a_model_are_shown() -> None:
    with line() as on:
        on.source.put("v1", warnings=("no CUDA here: runs on the CPU",))
        on.configure(M)
        (problem,) = on.service.report().problems
        assert (problem.about, problem.reason) == ("model m", "no CUDA here: runs on the CPU")


def test_a_frame_waits_for_a_model_that_is_loading() -> None:
    with line(clock=Clock()) as on:
        on.source.put("v1")
        on.source.gate.clear()
        on.configure(M, settle=False)
        assert on.source.waiting.wait(10)
        on.send(*(frame(number) for number in range(PLACES)))
        on.send(frame(0, camera="back"))
        wait_for(lambda: on.service.report().gauges["parked"] == PLACES + 1)
        assert on.status_of("m").state == "loading"

        on.send(frame(PLACES))  # one more: the oldest gives way
        displaced = on.result()
        assert (displaced.camera, displaced.sequence) == ("front", 0)
        assert displaced.error == "model 'm' is loading; newer frames wait for it"
        assert displaced.returns_credit

        on.source.gate.set()
        found = [on.result() for _ in range(PLACES + 1)]
        assert all(len(r.detections) == 1 and r.returns_credit for r in found)
        front = [r.sequence for r in found if r.camera == "front"]
        assert front == list(range(1, PLACES + 1))
        assert [r.sequence for r in found if r.camera == "back"] == [0]


@contextmanager
def swapping_to_64(path: str) -> Iterator[Line]:
    """A swap from 32 x 32 to 64 x 64 is loading; a frame of a colleague's new version waits."""
    with line() as on:
        on.source.put("v1")
        on.source.put("v2", side=64)
        on.configure(M)
        on.source.gate.clear()
        on.configure(M.model_copy(update={"path": path}), settle=False)
        assert on.source.waiting.wait(10)
        on.send(frame(1, side=64))
        wait_for(lambda: on.service.report().gauges["parked"] == 1)
        yield on
        on.source.gate.set()


def test_a_frame_of_a_new_input_size_waits_for_the_version_that_reads_it() -> None:
    with swapping_to_64("v2") as on:
        assert on.ask(frame(2)).model_version == "v1"
        on.source.gate.set()
        found = on.result()
        assert (found.sequence, found.model_version, found.error) == (1, "v2", "")
        assert found.returns_credit


def test_a_frame_of_a_new_input_size_is_refused_when_its_version_does_not_load() -> None:
    with swapping_to_64("broken") as on:
        on.source.gate.set()
        found = on.result()
        assert found.error == "model 'm' reads 32x32x3, the frame is 64x64x3"
        assert found.returns_credit
        assert on.ask(frame(2)).model_version == "v1"


def test_a_frame_of_a_new_input_size_is_refused_when_the_change_is_taken_back() -> None:
    with swapping_to_64("v2") as on:
        on.configure(M)
        found = on.result()
        assert found.error == "model 'm' reads 32x32x3, the frame is 64x64x3"
        assert found.returns_credit


def test_a_waiting_model_does_not_hold_up_the_others() -> None:
    with line(clock=Clock()) as on:
        on.source.put("v1")
        on.source.put("v2")
        on.configure(M)
        on.source.gate.clear()
        on.configure(M, DesiredModel(id="n", path="v2"), settle=False)
        assert on.source.waiting.wait(10)

        on.send(frame(1, models=("n", "m")))
        first = on.result()
        assert (first.model, first.returns_credit) == ("m", True)
        on.source.gate.set()
        second = on.result()
        assert (second.model, second.returns_credit) == ("n", False)


def test_an_error_that_comes_with_each_frame_is_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    errors: list[Exception] = []

    def crash(_: NDArray[np.uint8]) -> list[NDArray[Any]]:
        raise errors[-1]

    def logged() -> list[str]:
        return [str(r.exc_info[1]) for r in caplog.records if r.exc_info and r.exc_info[1]]

    with line(clock=clock) as on:
        on.source.put("v1", ScriptedEngine(react=crash))
        on.configure(M)
        for number, (error, seconds, expected) in enumerate(
            (
                (KeyError("first"), 0.0, ["'first'"]),
                (KeyError("second"), TRACE_EVERY_S - 1, []),
                (IndexError("of another kind"), 0.0, ["of another kind"]),
                (KeyError("third"), 1.0, ["'third'"]),
                (RejectedError("expected"), TRACE_EVERY_S, []),
            )
        ):
            errors.append(error)
            clock.advance(seconds)
            caplog.clear()
            assert on.ask(frame(number)).error.endswith(str(error))
            assert logged() == expected


def test_the_last_of_several_waiting_models_returns_the_credit() -> None:
    with line(clock=Clock()) as on:
        on.source.put("v1")
        on.source.gate.clear()
        on.configure(M, DesiredModel(id="n", path="broken"), settle=False)
        assert on.source.waiting.wait(10)
        on.send(frame(1, models=("m", "n")))
        wait_for(lambda: on.service.report().gauges["parked"] == 2)
        on.source.gate.set()
        first, second = on.result(), on.result()
        assert (first.model, first.error, first.returns_credit) == ("m", "", False)
        assert second.error == "model 'n' cannot be used: broken: no such file"
        assert second.returns_credit


def test_a_frame_does_not_wait_for_ever() -> None:
    clock = Clock()
    with line(clock=clock) as on:
        on.source.put("v1")
        on.source.gate.clear()
        on.configure(M, settle=False)
        assert on.source.waiting.wait(10)
        on.send(frame(1))
        wait_for(lambda: on.service.report().gauges["parked"] == 1)
        clock.advance(PATIENCE_S)
        found = on.result()
        assert found.error == "model 'm' was still loading after 5 s"
        assert found.returns_credit
        on.source.gate.set()


def test_a_removed_model_is_withdrawn_and_its_waiting_frames_are_answered() -> None:
    broker = MemoryBroker()
    with line(broker=broker, clock=Clock()) as on:
        engine = on.source.put("v1")
        on.configure(M)
        assert on.manifest().model == "m"
        on.source.gate.clear()
        on.source.put("v2")
        on.configure(M, DesiredModel(id="n", path="v2"), settle=False)
        assert on.source.waiting.wait(10)
        on.send(frame(1, models=("n",)))
        wait_for(lambda: on.service.report().gauges["parked"] == 1)

        on.configure()

        assert on.result().error == "model 'n' was removed from the configuration"
        assert engine.closed
        assert "no model 'm' here" in on.ask(frame(2)).error
        on.source.gate.set()
        with MemoryBus(broker) as late:
            assert late.subscribe(Subscription(ModelManifest)).receive(0.01) is None


def left_over(model: str) -> ModelManifest:
    return ModelManifest(
        model=model, task=Task.FOMO, labels=(), width=1, height=1, channels=3, digest=""
    )


def tick(on: Line, clock: Clock) -> None:
    """Let the service look at what it looks at once a second, and return when it has."""
    clock.advance(TICK_S)
    wait_for(lambda: on.service._next_tick > clock())
    on.ask(frame(models=("elsewhere",)))  # answered by the thread that had looked before


def offered(broker: MemoryBroker) -> list[str]:
    with MemoryBus(broker) as late:
        inbox = late.subscribe(Subscription(ModelManifest))
        found = [d.message for d in inbox.receive_many(9, 0.01)]
    return sorted(m.model for m in found if isinstance(m, ModelManifest))


def test_a_manifest_left_over_from_before_a_restart_is_withdrawn() -> None:
    broker = MemoryBroker()
    clock = Clock()
    with MemoryBus(broker) as before:
        before.publish(left_over("old"))
    with line(broker=broker, clock=clock) as on:
        on.source.put("v1")
        on.configure(M)
        tick(on, clock)
        assert offered(broker) == ["m"]


def test_the_manifest_of_a_model_that_loads_no_more_is_withdrawn_and_comes_back() -> None:
    broker = MemoryBroker()
    clock = Clock()
    with MemoryBus(broker) as before:
        before.publish(left_over("m"))
    with line(broker=broker, clock=clock) as on:
        on.source.gate.clear()
        on.configure(M, settle=False)
        assert on.source.waiting.wait(10)
        tick(on, clock)
        assert offered(broker) == ["m"]  # it may load yet
        on.source.gate.set()
        wait_for(lambda: on.status_of("m").state == "failed")
        tick(on, clock)
        assert offered(broker) == []
        on.source.put("v2")
        on.configure(M.model_copy(update={"path": "v2"}))
        assert offered(broker) == ["m"]


def test_a_replacement_that_fails_leaves_the_manifest_of_the_old_version() -> None:
    broker = MemoryBroker()
    clock = Clock()
    with line(broker=broker, clock=clock) as on:
        on.source.put("v1")
        on.configure(M)
        on.configure(M.model_copy(update={"path": "broken"}))
        tick(on, clock)
        assert offered(broker) == ["m"]


def test_a_worker_leaves_manifests_that_a_colleague_may_offer() -> None:
    broker = MemoryBroker()
    clock = Clock()
    with MemoryBus(broker) as before:
        before.publish(left_over("old"))
        before.publish(left_over("m"))
    with line(broker=broker, clock=clock, share="g") as on:
        on.configure(M)
        assert on.status_of("m").state == "failed"
        tick(on, clock)
        assert offered(broker) == ["m"]


def test_an_old_input_size_is_served_until_its_frames_stop_coming() -> None:
    clock = Clock()
    with line(clock=clock) as on:
        small = on.source.put("v1")
        large = on.source.put("v2", side=64)
        on.configure(M)
        on.configure(M.model_copy(update={"path": "v2"}))

        assert on.ask(frame(1)).model_version == "v1"
        assert on.ask(frame(2, side=64)).model_version == "v2"
        clock.advance(LINGER_S - 1)
        assert on.ask(frame(3)).model_version == "v1"
        clock.advance(LINGER_S - 1)
        assert on.ask(frame(4)).model_version == "v1"
        clock.advance(LINGER_S)
        wait_for(lambda: small.closed)
        assert "reads 64x64x3" in on.ask(frame(5)).error
        assert not large.closed


def test_what_is_no_longer_wanted_when_its_load_ends_is_closed() -> None:
    with line() as on:
        first, second = on.source.put("v1"), on.source.put("v2")
        on.source.gate.clear()
        on.configure(M, settle=False)
        assert on.source.waiting.wait(10)
        on.configure(M.model_copy(update={"path": "skipped"}), settle=False)
        on.configure(M.model_copy(update={"path": "v2"}), settle=False)
        wait_for(lambda: [m.loading and m.loading.path for m in on.service._models.all()] == ["v2"])
        on.source.gate.set()
        assert on.manifest().version == "v2"
        assert first.closed
        assert not second.closed
        assert [load.path for load in on.source.loads] == ["v1", "v2"]


def test_a_load_under_way_at_the_end_is_closed() -> None:
    with line() as on:
        engine = on.source.put("v1")
        on.source.gate.clear()
        on.configure(M, settle=False)
        assert on.source.waiting.wait(10)

        def let_it_load() -> None:
            wait_for(lambda: on.service._models.all() == [])  # the service has begun to end
            on.source.gate.set()

        helper = threading.Thread(target=let_it_load)
        helper.start()
    helper.join()
    assert engine.closed


def test_the_same_configuration_again_changes_nothing() -> None:
    with line() as on:
        on.source.put("v1")
        on.configure(M)
        configured = on.service._configuration
        assert configured is not None
        on.bus.publish(configured)
        on.ask(frame())
        assert len(on.source.loads) == 1


def test_the_same_configuration_again_tries_again_what_failed() -> None:
    with line() as on:
        on.configure(M)
        assert on.status_of("m").state == "failed"
        on.source.put("v1")
        configured = on.service._configuration
        assert configured is not None
        on.bus.publish(configured)
        wait_for(lambda: on.status_of("m").state == "ready")


def test_a_model_that_could_not_be_loaded_is_tried_again_while_the_others_work() -> None:
    clock = Clock()
    with line(clock=clock) as on:
        on.source.put("v2")
        on.configure(M, DesiredModel(id="n", path="v2"))
        assert on.status_of("m").state == "failed"
        on.source.gate.clear()
        clock.advance(LOAD_RETRY.first_s)
        assert on.source.waiting.wait(10)

        assert on.ask(frame(1, models=("n",))).model == "n"
        (problem,) = on.service.report().problems
        assert (problem.about, problem.reason) == ("model m", "v1: no such file")
        assert on.status_of("m").reason == "v1: no such file"

        on.source.put("v1")
        on.source.gate.set()
        wait_for(lambda: on.status_of("m").state == "ready")
        assert on.service.report().problems == ()
        assert on.ask(frame(2)).model_version == "v1"


def test_a_replacement_that_could_not_be_loaded_is_tried_again() -> None:
    clock = Clock()
    with line(clock=clock) as on:
        on.source.put("v1")
        on.configure(M)
        on.configure(M.model_copy(update={"path": "v2"}))
        assert on.ask(frame(1)).model_version == "v1"
        on.source.put("v2")
        clock.advance(LOAD_RETRY.first_s)
        wait_for(lambda: on.service.report().problems == ())
        assert on.ask(frame(2)).model_version == "v2"
        clock.advance(LOAD_RETRY.longest_s)
        tick(on, clock)
        assert on.status_of("m").state == "ready"
        assert len(on.source.loads) == 3


class Longest(random.Random):
    """Draws the longest wait that may come."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def test_loads_are_tried_again_later_and_later_until_the_configuration_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()

    def waited() -> int:
        """Return the seconds from the end of one load to the order of the next."""
        wait_for(models.collect)
        seconds = 0
        while models.settled:
            clock.advance(1)
            seconds += 1
            models.try_again()
        return seconds

    with Models(ScriptedSource(), nothing, clock, Longest()) as models:
        models.configure([M])
        assert [waited() for _ in range(6)] == [5, 10, 20, 40, 60, 60]
        assert caplog.text.count("v1: no such file") == 1
        wait_for(models.collect)
        models.configure([M])
        assert waited() == 5
        assert caplog.text.count("v1: no such file") == 2


@pytest.fixture
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nxai_inference.models.LOOK_S", 0.01)


@pytest.mark.usefixtures("_looks_often")
def test_a_file_that_was_replaced_is_loaded_and_no_frame_is_lost() -> None:
    clock = Clock()
    with line(clock=clock) as on:
        before = on.source.put("v1")
        on.configure(M)
        assert on.ask(frame(0)).model_digest == "digest of v1"
        after = on.source.put("v1", digest="another")
        on.source.stamps["v1"] = "replaced"
        sequences = itertools.count(1)

        def answered_by_the_new_one() -> bool:
            clock.advance(2 * TICK_S)
            found = on.ask(frame(next(sequences)))
            assert found.error == ""
            return found.model_digest == "another"

        wait_for(answered_by_the_new_one)
        assert len(on.source.loads) == 2
        assert after.runs > 1
        wait_for(lambda: before.closed, what="the old one is closed")


@pytest.mark.usefixtures("_looks_often")
def test_a_file_that_is_still_being_copied_is_left_alone() -> None:
    clock = Clock()
    with line(clock=clock) as on:
        on.source.put("v1")
        on.configure(M)
        sizes = itertools.count()

        class Growing:
            def __eq__(self, other: object) -> bool:
                return False

            def __hash__(self) -> int:
                return next(sizes)

        on.source.stamps["v1"] = Growing()
        looks = on.source.looks
        wait_for(lambda: on.source.looks >= looks + 5)
        clock.advance(2 * TICK_S)
        on.ask(frame(0))
        on.ask(frame(1))
        assert len(on.source.loads) == 1


@pytest.mark.usefixtures("_looks_often")
def test_a_broken_file_in_place_of_a_good_one_leaves_the_good_one_in_force() -> None:
    clock = Clock()
    with line(clock=clock) as on:
        on.source.put("v1")
        on.configure(M)
        del on.source.shelf["v1"]
        on.source.stamps["v1"] = "replaced"

        def told() -> bool:
            clock.advance(2 * TICK_S)
            assert on.ask(frame()).error == ""
            return "the version before stays in force: v1: no such" in on.status_of("m").reason

        wait_for(told)
        loads, looks = len(on.source.loads), on.source.looks
        wait_for(lambda: on.source.looks >= looks + 5)
        on.ask(frame())
        assert len(on.source.loads) == loads, "not at each look, but with back-off"


@pytest.mark.usefixtures("_looks_often")
def test_a_configuration_that_comes_while_a_replaced_file_is_loaded_does_not_stop_that() -> None:
    clock = Clock()
    with line(clock=clock) as on:
        on.source.put("v1")
        on.configure(M)
        on.source.put("v1", digest="another")
        on.source.stamps["v1"] = "replaced"
        on.source.gate.clear()

        def loads() -> bool:
            clock.advance(2 * TICK_S)
            on.ask(frame())
            return on.source.waiting.is_set()

        wait_for(loads)
        on.configure(M.model_copy(update={"threshold": 0.9}), settle=False)
        on.ask(frame())
        on.source.gate.set()
        wait_for(lambda: on.status_of("m").digest == "another")


@pytest.mark.usefixtures("_looks_often")
def test_a_configuration_that_comes_after_a_replaced_file_failed_tries_it_again() -> None:
    clock = Clock()
    with line(clock=clock) as on:
        on.source.put("v1")
        on.configure(M)
        shelf = on.source.shelf.pop("v1")
        on.source.stamps["v1"] = "replaced"

        def told() -> bool:
            clock.advance(2 * TICK_S)
            on.ask(frame())
            return "the version before stays in force" in on.status_of("m").reason

        wait_for(told)
        on.configure(M.model_copy(update={"threshold": 0.9}))
        assert "the version before stays in force" in on.status_of("m").reason
        on.source.shelf["v1"] = shelf
        on.configure(M)  # at once, not when the pause is over
        wait_for(lambda: on.status_of("m").reason == "")


@pytest.mark.usefixtures("_looks_often")
def test_a_replaced_file_of_a_model_that_goes_meanwhile_is_nothing() -> None:
    clock = Clock()
    with line(clock=clock) as on:
        on.source.put("v1")
        on.configure(M)
        on.source.stamps["v1"] = "replaced"
        wait_for(lambda: on.service._models._replaced)
        on.configure()
        clock.advance(2 * TICK_S)
        assert on.ask(frame()).error != ""
        wait_for(lambda: not on.service._models._replaced)
        assert len(on.source.loads) == 1


def test_a_worker_joins_its_group_when_its_models_are_loaded() -> None:
    broker = MemoryBroker()
    with MemoryBus(broker) as second_bus, line(broker=broker, share="g", worker="one") as on:
        on.source.put("v1")
        other_source = ScriptedSource()
        other_source.put("v1")
        other_source.gate.clear()
        other = InferenceService(
            second_bus, other_source, nothing, worker="two", pictures=PillowReader(), share="g"
        )
        with running(other):
            on.configure(M)
            assert other_source.waiting.wait(10)
            assert {on.ask(frame(n)).worker for n in range(10)} == {"one"}
            other_source.gate.set()
            wait_for(lambda: other.report().configuration_revision == "r1")
            assert {on.ask(frame(n)).worker for n in range(10)} == {"one", "two"}


def test_a_flood_of_camera_names_is_forgotten() -> None:
    with line() as on:
        on.source.put("v1")
        on.configure(M)
        for number in range(REMEMBERED_CAMERAS + 1):
            on.ask(frame(camera=f"c{number}"))
        model = on.service._models.get("m")
        assert model is not None
        assert model.current is not None
        assert len(model.current.answers) == 1


def test_counters_tell_what_happened() -> None:
    with line() as on:
        on.source.put("v1")
        on.configure(M)
        on.ask(frame(models=("m",)))
        on.ask(frame(models=("x",)))
        counters = on.service.report().counters
        assert counters["frames"] == 2
        assert counters["results"] == 1  # counted before the next frame was taken in hand
        assert counters["refused"] == 1
        assert json.dumps(dict(counters))


def test_the_service_beats(line_of_beats: list[int]) -> None:
    assert line_of_beats


@pytest.fixture
def line_of_beats() -> list[int]:
    beats: list[int] = []
    with MemoryBus(MemoryBroker()) as bus:
        service = InferenceService(
            bus,
            ScriptedSource(),
            lambda: beats.append(1),
            worker="inference",
            pictures=PillowReader(),
        )
        with running(service):
            wait_for(lambda: beats)
    return beats
