"""Models that are tried beside another: compared, and never in the way."""

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.collecting import RandomStrategy
from nxai_common.contracts.configuration import Assignment, DesiredModel, Shadow, UncertainRule
from nxai_common.contracts.models import ModelManifest
from nxai_common.contracts.results import InferenceResult
from nxai_common.errors import RejectedError
from nxai_inference.adapters.sent_picture import PillowReader
from nxai_inference.core.parking import PATIENCE_S
from nxai_inference.service import InferenceService
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
NEXT = DesiredModel(id="m-next", path="v2")
BESIDE = (Shadow(model="m-next", of="m"),)
BOTH = ("m-next", "m")
"""As capture may name them: in any order."""


def two(on: Line) -> None:
    """Put both on the shelf."""
    on.source.put("v1")
    on.source.put("v2", ScriptedEngine([fomo_map((0, 0, 1, 0.9))]))


def told(found: InferenceResult) -> tuple[str, str, bool]:
    return (found.model, found.shadow_of, found.returns_credit)


def test_a_shadow_looks_last_and_says_beside_whom() -> None:
    with line() as on:
        two(on)
        on.configure(NEXT, M, shadows=BESIDE)
        on.send(frame(1, models=BOTH))
        first, second = on.result(), on.result()
        assert told(first) == ("m", "", False)
        assert told(second) == ("m-next", "m", True)
        assert [d.label for d in second.detections] == ["bolt"]
        assert second.model_version == "v2"


def test_the_result_of_the_model_in_force_does_not_wait_for_the_shadow() -> None:
    """It is on the bus before the shadow runs."""
    seen: list[int] = []
    with line() as on:
        two(on)

        beside = on.bus.subscribe(Subscription(InferenceResult))

        def react(_pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
            found = beside.receive(10)
            assert found is not None
            assert isinstance(found.message, InferenceResult)
            assert found.message.model == "m"
            seen.append(found.message.sequence)
            return [fomo_map()]

        on.source.put("v2", ScriptedEngine(react=react))
        on.configure(M, NEXT, shadows=BESIDE)
        on.send(frame(1, models=BOTH))
        assert [on.result().model for _ in range(2)] == ["m", "m-next"]
        assert seen == [1]


def test_a_promoted_shadow_is_a_model_like_any_other_without_loading_again() -> None:
    with line() as on:
        two(on)
        on.configure(M, NEXT, shadows=BESIDE)
        assert on.ask(frame(1, models=("m-next",))).shadow_of == "m"
        on.configure(M, NEXT)
        assert on.ask(frame(2, models=("m-next",))).shadow_of == ""
        on.configure(M, NEXT, shadows=BESIDE)
        assert on.ask(frame(3, models=("m-next",))).shadow_of == "m"
        assert len(on.source.loads) == 2


def test_a_shadow_asks_for_no_picture_and_carries_none() -> None:
    often = (RandomStrategy(fraction=1),)
    doubt = UncertainRule(threshold=1)
    assignments = tuple(
        Assignment(camera="front", model=model, collect=often) for model in ("m", "m-next")
    )
    with line() as on:
        two(on)
        models = [model.model_copy(update={"uncertain": doubt}) for model in (M, NEXT)]
        on.configure(*models, assignments=assignments, shadows=BESIDE)
        on.send(frame(1, models=BOTH))
        in_force, shadow = on.result(), on.result()
        assert in_force.collect is not None
        assert in_force.image is not None
        assert (shadow.shadow_of, shadow.collect, shadow.image) == ("m", None, None)
        assert shadow.uncertain  # the rule may be compared, too
        assert shadow.tensors

        on.configure(*models, assignments=assignments)  # in force: now it does
        promoted = on.ask(frame(2, models=("m-next",)))
        assert promoted.collect is not None
        assert promoted.image is not None


def test_a_shadow_that_does_not_load_is_left_out_and_told_of() -> None:
    broker = MemoryBroker()
    with line(broker=broker) as on:
        on.source.put("v1")
        on.configure(M, NEXT, shadows=BESIDE)
        on.send(frame(1, models=BOTH), frame(2, models=("m",)))
        assert [told(on.result()) for _ in range(2)] == [("m", "", True)] * 2
        status = on.status_of("m-next")
        assert (status.state, status.failed) == ("failed", "v2: no such file")
        (problem,) = on.service.report().problems
        assert problem.about == "model m-next"
        assert on.service.report().counters["shadows_left_out"] == 1
        with MemoryBus(broker) as late:
            offered = late.subscribe(Subscription(ModelManifest)).receive_many(9, 0.01)
        assert [d.message.model for d in offered if isinstance(d.message, ModelManifest)] == ["m"]


def test_a_frame_for_nobody_but_a_shadow_that_is_not_here_gives_its_credit_back() -> None:
    with line() as on:
        on.source.put("v1")
        on.source.put("v2", side=64)
        on.configure(M, NEXT, DesiredModel(id="n", path="v3"), shadows=BESIDE)
        found = on.ask(frame(1, models=("m-next",)))
        assert told(found) == ("m-next", "m", True)
        assert found.error == "model 'm-next' reads 64x64x3, the frame is 32x32x3"
        on.source.gate.clear()
        lost = NEXT.model_copy(update={"path": "v4"})
        on.configure(
            M,
            lost.model_copy(update={"id": "fresh"}),
            shadows=(Shadow(model="fresh", of="m"),),
            settle=False,
        )
        assert on.source.waiting.wait(10)
        found = on.ask(frame(2, models=("fresh",)))
        assert told(found) == ("fresh", "m", True)
        assert found.error == "model 'fresh' cannot be used: it is loading"
        on.source.gate.set()


def test_frames_do_not_wait_for_a_shadow() -> None:
    """A row of old frames would hold up the new ones once it is there."""
    clock = Clock()
    with line(clock=clock) as on:
        two(on)
        on.configure(M)
        on.source.gate.clear()
        on.configure(M, NEXT, shadows=BESIDE, settle=False)
        assert on.source.waiting.wait(10)
        on.send(*(frame(number, models=BOTH) for number in range(3)))
        assert [told(on.result()) for _ in range(3)] == [("m", "", True)] * 3
        assert on.service.report().counters["parked_in_all"] == 0
        on.source.gate.set()
        wait_for(lambda: on.status_of("m-next").state == "ready")
        clock.advance(PATIENCE_S)
        on.send(frame(3, models=BOTH))
        assert [told(on.result()) for _ in range(2)] == [("m", "", False), ("m-next", "m", True)]


def test_a_model_in_force_that_loads_keeps_its_frame_whatever_the_shadow_does() -> None:
    with line(clock=Clock()) as on:
        two(on)
        on.configure(NEXT, shadows=BESIDE)
        on.source.gate.clear()
        on.configure(M, NEXT, shadows=BESIDE, settle=False)
        assert on.source.waiting.wait(10)
        on.send(frame(1, models=BOTH))
        assert told(on.result()) == ("m-next", "m", True)
        on.source.gate.set()
        assert told(on.result()) == ("m", "", False)


def test_a_shadow_that_fails_on_frames_costs_the_model_in_force_nothing() -> None:
    def react(_pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
        raise RejectedError("the accelerator is gone")

    with line() as on:
        on.source.put("v1")
        on.source.put("v2", ScriptedEngine(react=react))
        on.configure(M, NEXT, shadows=BESIDE)
        for number in range(3):
            on.send(frame(number, models=BOTH))
            good, bad = on.result(), on.result()
            assert (told(good), len(good.detections)) == (("m", "", False), 1)
            assert told(bad) == ("m-next", "m", True)
            assert bad.error == "the accelerator is gone"
        assert (on.status_of("m").errors, on.status_of("m").processed) == (0, 3)
        wait_for(lambda: on.status_of("m-next").errors == 3)


def test_models_in_force_are_loaded_before_shadows() -> None:
    with line() as on:
        two(on)
        on.configure(NEXT, M, shadows=BESIDE)
        assert [load.id for load in on.source.loads] == ["m", "m-next"]


def test_a_worker_takes_frames_although_a_shadow_still_loads() -> None:
    broker = MemoryBroker()
    source = ScriptedSource()
    source.put("v1")
    loads, may_load = threading.Event(), threading.Event()

    def slow(_desired: DesiredModel) -> Any:
        loads.set()
        assert may_load.wait(20)
        raise RejectedError("broken after all")

    source.shelf["v2"] = slow
    with MemoryBus(broker) as inner, MemoryBus(broker) as outer:
        service = InferenceService(
            inner, source, nothing, worker="one", pictures=PillowReader(), share="g", clock=Clock()
        )
        with running(service):
            on = Line(outer, service, source)
            on.configure(M, NEXT, shadows=BESIDE, settle=False)
            assert loads.wait(10)

            def answers() -> bool:
                on.send(frame(models=("m",)))
                found = on.results.receive(0.1)
                return found is not None and getattr(found.message, "error", None) == ""

            wait_for(answers, what="it joins its group")
            assert service.report().configuration_revision == ""
            may_load.set()
            wait_for(lambda: service.report().configuration_revision == "r1")
