"""The command `try`: a model is loaded, tested and timed, and nobody is offered it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.contracts.commands import BUSY, Reply, TryModel
from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.models import ModelManifest
from nxai_inference.adapters.sent_picture import PillowReader
from nxai_inference.core.engine_trial import EngineTrial
from nxai_inference.models import MOST_TRIALS, Models
from nxai_inference.service import InferenceService
from support.inference import (
    Line,
    ScriptedEngine,
    ScriptedSource,
    frame,
    line,
    nothing,
    running,
)
from support.waiting import wait_for

pytestmark = pytest.mark.unit

M = DesiredModel(id="m", path="v1")
NEW = DesiredModel(id="new", path="v2")


def ask(on: Line, desired: DesiredModel = NEW) -> Reply:
    return on.bus.request(TryModel(desired=desired), 20)


class Asking:
    """Asks on a thread of its own."""

    def __init__(self, on: Line, desired: DesiredModel = NEW) -> None:
        self.replies: list[Reply] = []
        self._thread = threading.Thread(target=lambda: self.replies.append(ask(on, desired)))
        self._thread.start()

    def reply(self) -> Reply:
        self._thread.join(20)
        return self.replies[0]


def test_the_answer_tells_what_the_model_is_and_how_the_engines_did() -> None:
    with line() as on:
        trials = (
            EngineTrial("litert", 0.17149),
            EngineTrial("onnx", reason="onnx disagrees with litert"),
        )
        engine = on.source.put("v2", warnings=("one", "two"), trials=trials, name="Nuts")

        reply = ask(on)

        assert (reply.ok, reply.reason) == (True, "")
        manifest = ModelManifest.model_validate_json(bytes(reply.attachment))
        assert (manifest.model, manifest.name, manifest.version) == ("new", "Nuts", "v2")
        details = dict(reply.details)
        assert json.loads(str(details.pop("trials"))) == [
            {"engine": "litert", "ms": 0.171, "reason": ""},
            {"engine": "onnx", "ms": None, "reason": "onnx disagrees with litert"},
        ]
        assert details == {
            "digest": "digest of v2",
            "engine": "scripted",
            "engine_ms": 0.1,
            "warnings": "one; two",
        }
        assert engine.closed
        assert engine.runs == 1  # its decoder has read a first output
        assert on.source.anew == [True]


def test_nothing_is_offered_and_nothing_is_kept() -> None:
    with line() as on:
        on.source.put("v1")
        on.source.put("v2")
        on.configure(M)
        assert on.manifest().model == "m"
        assert ask(on).ok
        assert ask(on, M).ok
        assert on.source.anew == [False, True, True]
        assert "no model 'new' here" in on.ask(frame(1, models=("new",))).error
        assert on.ask(frame(2)).error == ""  # the engine of `m` in force is another one
        assert [model.model for model in on.service.report().models] == ["m"]
        assert on.service.report().problems == ()
        assert on.manifests.receive(0.01) is None
        assert on.service.report().counters["models_tried"] == 2


def test_the_reason_is_told_when_a_model_cannot_be_used() -> None:
    with line() as on:
        assert ask(on) == Reply(ok=False, reason="v2: no such file")
        engine = on.source.put("v2", labels=("one", "two", "three"))
        reply = ask(on)
        assert not reply.ok
        assert "has 2 classes besides the background, but 3 labels" in reply.reason
        assert engine.closed
        assert on.service.report().problems == ()


def test_a_model_that_crashes_is_answered_and_the_next_one_is_loaded() -> None:
    def crash(_desired: DesiredModel) -> Any:
        raise KeyError("kernel")

    class Crashing(ScriptedEngine):
        def run(self, pixels: NDArray[np.uint8]) -> Any:  # noqa: ARG002 - as the port has it
            raise ZeroDivisionError("division by zero")

    with line() as on:
        on.source.shelf["v2"] = crash
        assert ask(on) == Reply(ok=False, reason="KeyError: 'kernel'")
        engine = on.source.put("v2", Crashing())
        assert ask(on) == Reply(ok=False, reason="ZeroDivisionError: division by zero")
        assert engine.closed
        on.source.put("v1")
        on.configure(M)
        assert on.ask(frame()).error == ""


def test_frames_go_on_while_a_model_is_tried() -> None:
    with line() as on:
        on.source.put("v1")
        on.source.put("v2")
        on.configure(M)
        on.source.gate.clear()
        asking = Asking(on)
        assert on.source.waiting.wait(10)
        assert on.ask(frame(1)).error == ""
        assert asking.replies == []
        on.source.gate.set()
        assert asking.reply().ok


@contextmanager
def busy(on: Line) -> Iterator[Asking]:
    """Let one model be tried for as long as this is open."""
    on.source.gate.clear()
    first = Asking(on)
    try:
        assert on.source.waiting.wait(10)
        yield first
    finally:
        on.source.gate.set()


def test_no_more_wait_than_may() -> None:
    with line() as on:
        on.source.put("v2")
        with busy(on) as first:
            waiting = [Asking(on) for _ in range(MOST_TRIALS)]
            wait_for(lambda: on.service.report().counters["models_tried"] == MOST_TRIALS + 1)
            refused = ask(on)
            assert not refused.ok
            assert refused.details == {BUSY: True}  # no verdict: whoever asks keeps the model
            assert refused.reason == (
                "4 models and pictures wait to be tried already: ask again in some seconds"
            )
        assert all(asking.reply().ok for asking in (first, *waiting))
        assert ask(on).ok


def test_what_the_configuration_wants_is_loaded_before_what_is_tried() -> None:
    with line() as on:
        on.source.put("v1")
        on.source.put("v2")
        with busy(on) as first:
            second = Asking(on, DesiredModel(id="later", path="v2"))
            wait_for(lambda: on.service.report().counters["models_tried"] == 2)
            on.configure(M, settle=False)
            wait_for(lambda: [m.desired.id for m in on.service._models.all()] == ["m"])
        assert first.reply().ok
        assert second.reply().ok
        assert [load.id for load in on.source.loads] == ["new", "m", "later"]


def test_who_still_waits_at_the_end_is_told() -> None:
    source = ScriptedSource()
    source.put("v2")
    replies: list[Reply] = []
    with Models(source, nothing) as models:
        source.gate.clear()
        models.try_out(NEW, replies.append)
        assert source.waiting.wait(10)
        models.try_out(NEW, replies.append)
        models.configure([M])
        opener = threading.Thread(target=lambda: _open_when_ending(models, source))
        opener.start()
    opener.join()
    assert [reply.ok for reply in replies] == [True, False]
    assert replies[1].reason == "the inference service stops"


def _open_when_ending(models: Models, source: ScriptedSource) -> None:
    wait_for(lambda: models.all() == [])
    source.gate.set()


def test_an_answer_that_cannot_be_sent_does_not_stop_the_loading(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = ScriptedSource()
    source.put("v2")
    replies: list[Reply] = []

    def broken(_reply: Reply) -> None:
        raise OSError("the bus is gone")

    with Models(source, nothing) as models:
        models.try_out(NEW, broken)
        models.try_out(NEW, replies.append)
        wait_for(lambda: replies)
    assert replies[0].ok
    assert "the answer about model new could not be sent" in caplog.text


def test_one_of_the_workers_that_share_answers() -> None:
    broker = MemoryBroker()
    with MemoryBus(broker) as second_bus, line(broker=broker, share="g", worker="one") as on:
        other_source = ScriptedSource()
        on.source.put("v2")
        other_source.put("v2")
        other = InferenceService(
            second_bus, other_source, nothing, worker="two", pictures=PillowReader(), share="g"
        )
        with running(other):
            for _ in range(4):
                assert ask(on).ok
            on.configure()  # both join the group of the frames now: the command stays shared
            wait_for(lambda: other.report().configuration_revision == "r1")
            for _ in range(4):
                assert ask(on).ok
            loads = [len(source.loads) for source in (on.source, other_source)]
            assert loads == [4, 4]
