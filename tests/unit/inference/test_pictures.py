"""The command `detect`: somebody's picture, looked at as a frame of a camera would be."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.contracts.commands import BUSY, DetectPicture, Reply
from nxai_common.contracts.configuration import (
    DesiredModel,
    DetectionAreas,
    InferenceCamera,
    UncertainRule,
)
from nxai_common.contracts.models import InputSpec, ResizeMode, Task
from nxai_common.contracts.results import InferenceResult
from nxai_common.errors import RejectedError
from nxai_inference.adapters.sent_picture import PillowReader
from nxai_inference.models import MOST_TRIALS, Models
from nxai_inference.pictures import Pictures
from nxai_inference.ports import FittedPicture
from nxai_inference.service import InferenceService
from support.inference import (
    SIDE,
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
NEW = DesiredModel(id="new", path="v2")


def png(width: int = 2 * SIDE, height: int = 2 * SIDE, colour: str = "white") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(written, "PNG")
    return written.getvalue()


def ask(on: Line, picture: bytes | None = None, **rest: Any) -> Reply:
    attachment = png() if picture is None else picture
    return on.bus.request(DetectPicture(attachment=attachment, **rest), 20)


def result_of(reply: Reply) -> InferenceResult:
    assert (reply.ok, reply.reason) == (True, "")
    return InferenceResult.model_validate_json(bytes(reply.attachment))


class Asking:
    """Asks on a thread of its own."""

    def __init__(self, on: Line, **rest: Any) -> None:
        self.replies: list[Reply] = []
        self._thread = threading.Thread(target=lambda: self.replies.append(ask(on, **rest)))
        self._thread.start()

    def reply(self) -> Reply:
        self._thread.join(20)
        return self.replies[0]


def test_a_picture_is_looked_at_with_a_model_in_force() -> None:
    seen: list[NDArray[np.uint8]] = []

    def react(pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
        seen.append(pixels)
        return [fomo_map((1, 2, 0, 0.75))]

    with line(now_us=lambda: 77) as on:
        engine = on.source.put("v1", ScriptedEngine(react=react), name="Parts")
        on.configure(M)
        reply = ask(on, png(4 * SIDE, SIDE, "red"), model="m")
        found = result_of(reply)
        assert [(d.label, d.confidence) for d in found.detections] == [("nut", 0.75)]
        box = found.detections[0].box
        assert (box.x, box.y, box.width, box.height) == (64, 8, 32, 8)  # squashed: 4 to 1
        assert (found.camera, found.stream, found.sequence) == ("picture", "picture", 0)
        assert (found.model, found.model_name, found.model_digest) == ("m", "Parts", "digest of v1")
        assert (found.worker, found.captured_at_us) == ("inference", 77)
        assert (found.source_width, found.source_height) == (4 * SIDE, SIDE)
        assert found.input == "32x32x3_squash_exact"
        assert found.labels == ("nut", "bolt")
        assert not found.tensors
        assert found.image is None
        assert not found.returns_credit
        assert b"\n" not in bytes(reply.attachment)
        details = dict(reply.details)
        assert details.pop("engine_ms") == found.timing.engine_ms
        assert details == {"width": 4 * SIDE, "height": SIDE, "model": "m"}
        assert found.timing.engine_ms > 0
        assert (seen[0] == [255, 0, 0]).all()
        assert engine.runs == 2, "the very engine that looks at frames"
        assert on.results.receive(0.01) is None, "it is nobody else's"
        assert on.service.report().counters["pictures"] == 1
        assert on.status_of("m").processed == 0


@pytest.mark.parametrize(
    ("mode", "white", "corner"),
    [
        (ResizeMode.SQUASH, 32 * 32 / 3, (48, 8)),  # 96 x 32 becomes 32 x 32
        (ResizeMode.FIT_SHORT, 32 * 32, (32 + 16, 8)),  # only the stripe is seen
        (ResizeMode.FIT_LONG, 32 * 32 / 9, (48, 0)),  # above is a black bar
    ],
)
def test_a_picture_is_fitted_as_the_model_was_trained(
    mode: ResizeMode, white: float, corner: tuple[int, int]
) -> None:
    """A wide picture, with a white stripe in its middle third."""
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 255
    written = io.BytesIO()
    Image.fromarray(wide).save(written, "PNG")
    seen: list[int] = []

    def react(pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
        seen.append(int((pixels > 128).all(axis=2).sum()))
        return [fomo_map((1, 2, 0, 0.75))]

    with line() as on:
        on.source.put("v1", ScriptedEngine(react=react), resize_mode=mode)
        on.configure(M)
        found = result_of(ask(on, written.getvalue(), model="m"))
        assert found.input == f"32x32x3_{mode}_exact"
        assert seen == [pytest.approx(white, abs=35)]  # the edges of the stripe are soft
        box = found.detections[0].box
        assert (box.x, box.y) == pytest.approx(corner)


def test_a_threshold_of_ones_own() -> None:
    with line() as on:
        on.source.put("v1", ScriptedEngine([fomo_map((0, 0, 0, 0.75), (3, 3, 1, 0.25))]))
        on.configure(M.model_copy(update={"threshold": 0.9}))

        def found(**rest: Any) -> list[str]:
            return [d.label for d in result_of(ask(on, model="m", **rest)).detections]

        assert found() == [], "as it is configured"
        assert found(threshold=0.5) == ["nut"]
        assert found(threshold=0.0) != []
        assert found(threshold=0.2) == ["nut", "bolt"]
        assert found() == []
        assert on.ask(frame(1)).detections == ()


def test_a_model_is_loaded_for_a_picture_alone() -> None:
    with line() as on:
        on.source.put("v1")
        engine = on.source.put("v2", ScriptedEngine([fomo_map((0, 0, 1, 0.55))]))
        on.configure(M)
        found = result_of(ask(on, desired=NEW))
        assert [d.label for d in found.detections] == ["bolt"]
        assert (found.model, found.model_version) == ("new", "v2")
        assert engine.closed
        assert on.source.anew == [False, False], "what is known of its engine is used"
        strict = NEW.model_copy(update={"threshold": 0.6})
        assert result_of(ask(on, desired=strict)).detections == ()
        assert len(result_of(ask(on, desired=strict, threshold=0.5)).detections) == 1
        assert "no model 'new' here" in on.ask(frame(1, models=("new",))).error
        assert [model.model for model in on.service.report().models] == ["m"]
        assert on.service.report().problems == ()


def test_tensors_and_pixels_are_not_sent_whatever_the_model_says() -> None:
    talkative = {
        "tensors": "always",
        "uncertain_image": True,
        "uncertain": UncertainRule(threshold=1),
    }
    with line() as on:
        on.source.put("v1")
        on.configure(M.model_copy(update=talkative))
        found = result_of(ask(on, model="m"))
        assert (found.tensors, found.image) == ((), None)
        assert found.uncertain
        assert "highest probability of a cell" in found.uncertain_reason


def test_a_classifier_says_what_it_says() -> None:
    with line() as on:
        engine = ScriptedEngine([np.array([[0.25, 0.75]], np.float32)])
        on.source.put("v1", engine, task=Task.CLASSIFICATION)
        on.configure(M)
        found = result_of(ask(on, model="m"))
        assert [(c.label, c.confidence) for c in found.classifications] == [
            ("nut", 0.25),
            ("bolt", 0.75),
        ]


def test_detection_areas_are_of_cameras_alone() -> None:
    """They are drawn on the picture of a camera, and this is none, whatever that is called."""
    nowhere = DetectionAreas(exclude=(((0, 0), (1, 0), (1, 1), (0, 1)),))
    with line() as on:
        on.source.put("v1", ScriptedEngine([fomo_map((0, 0, 1, 0.9))]))
        on.configure(M, cameras=(InferenceCamera(id="picture", areas=nowhere),))
        assert on.ask(frame(camera="picture")).detections == ()
        assert len(result_of(ask(on, model="m")).detections) == 1


@pytest.mark.parametrize("both", [{}, {"model": "m", "desired": NEW}])
def test_one_model_is_to_be_named(both: dict[str, Any]) -> None:
    with line() as on:
        reply = ask(on, **both)
        assert not reply.ok
        assert (
            "either the name of a model that is offered (`model`), or one to load" in reply.reason
        )


def test_why_a_model_cannot_look() -> None:
    with line() as on:
        assert ask(on, model="nuts").reason == "no model 'nuts' here; the configuration has: none"
        on.source.put("v1")
        on.configure(DesiredModel(id="m5-nut", path="v1"), DesiredModel(id="gone", path="v9"))
        assert ask(on, model="m5-nuts").reason == (
            "no model 'm5-nuts' here; did you mean 'm5-nut'? the configuration has: gone, m5-nut"
        )
        assert ask(on, model="gone").reason == "model 'gone' cannot be used: v9: no such file"
        assert ask(on, desired=NEW) == Reply(ok=False, reason="v2: no such file")


def test_a_model_that_is_loading_is_said_to_be() -> None:
    with line() as on:
        on.source.put("v1")
        on.source.gate.clear()
        on.configure(M, settle=False)
        assert on.source.waiting.wait(10)
        assert ask(on, model="m").reason == "model 'm' cannot be used: it is loading"
        on.source.gate.set()


@pytest.mark.parametrize("named", [{"model": "m"}, {"desired": NEW}])
@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (b"", "the picture is neither JPEG nor PNG, or broken at its very beginning (nothing)"),
        (b"GIF89a\0\0", "the picture is neither JPEG nor PNG"),
        (png()[:60], "the picture is broken"),
    ],
)
def test_what_is_no_picture_is_refused_and_the_next_one_is_not(
    named: dict[str, Any], picture: bytes, reason: str
) -> None:
    with line() as on:
        on.source.put("v1")
        on.source.put("v2")
        on.configure(M)
        reply = ask(on, picture, **named)
        assert not reply.ok
        assert reason in reply.reason
        assert ask(on, **named).ok
        assert on.ask(frame(1)).error == ""


class Failing(ScriptedEngine):
    """Fails from its second run on: the first is the trial on a blank picture."""

    error: Exception = RejectedError("the run failed")

    def run(self, pixels: NDArray[np.uint8]) -> Any:
        if self.runs:
            raise self.error
        return super().run(pixels)


class Crashing(Failing):
    error = ZeroDivisionError("division by zero")


@pytest.mark.parametrize("named", [{"model": "m"}, {"desired": NEW}])
@pytest.mark.parametrize(
    ("engine", "reason"),
    [(Failing, "the run failed"), (Crashing, "ZeroDivisionError: division by zero")],
)
def test_a_run_that_fails_is_answered_and_ends_nothing(
    named: dict[str, Any],
    engine: type[Failing],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with line() as on:
        on.source.put("v1", engine())
        loaded = on.source.put("v2", engine())
        on.configure(M)
        assert ask(on, **named) == Reply(ok=False, reason=reason)
        assert ("a picture for model" in caplog.text) == (engine is Crashing)
        assert on.status_of("m").errors == 0
        assert loaded.closed == ("desired" in named)
        on.source.put("v3")
        assert ask(on, desired=DesiredModel(id="x", path="v3")).ok


@contextmanager
def busy(on: Line) -> Iterator[None]:
    """Keep the loading thread busy for as long as this is open."""
    on.source.gate.clear()
    first = Asking(on, desired=NEW)
    try:
        assert on.source.waiting.wait(10)
        yield
    finally:
        on.source.gate.set()
    assert first.reply().ok


def test_no_more_wait_than_may_and_frames_go_on() -> None:
    with line() as on:
        on.source.put("v1")
        on.source.put("v2")
        on.configure(M)
        with busy(on):
            waiting = [Asking(on, model="m") for _ in range(MOST_TRIALS)]
            wait_for(lambda: on.service.report().counters["pictures"] == MOST_TRIALS + 1)
            refused = ask(on, model="m")
            assert not refused.ok
            assert refused.details == {BUSY: True}
            assert on.ask(frame(1)).error == ""
        assert all(asking.reply().ok for asking in waiting)
        assert ask(on, model="m").ok


@pytest.mark.parametrize("change", [{"side": 40}, {"resize_mode": ResizeMode.FIT_LONG}])
def test_a_model_that_changes_while_a_picture_is_read_asks_for_it_again(
    change: dict[str, Any],
) -> None:
    class Slow(PillowReader):
        reading, go_on = threading.Event(), threading.Event()

        def read(self, content: bytes, wanted: InputSpec) -> FittedPicture:
            fitted = super().read(content, wanted)
            self.reading.set()
            assert self.go_on.wait(20)
            return fitted

    source = ScriptedSource()
    source.put("v1")
    replies: list[Reply] = []
    woken = threading.Event()
    reader = Slow()
    with Models(source, woken.set) as models:
        pictures = Pictures(models, reader, woken.set, worker="w", now_us=lambda: 0)
        models.configure([M])
        wait_for(models.collect)
        pictures.ask(DetectPicture(model="m", attachment=png()), replies.append)
        assert reader.reading.wait(10)
        source.put("v2", **change)
        models.configure([M.model_copy(update={"path": "v2"})])
        woken.clear()
        reader.go_on.set()
        wait_for(models.collect)  # it loads behind the picture, and is in force before it is run
        pictures.look()
        assert replies == [
            Reply(ok=False, reason="model 'm' changed while the picture was read: send it again")
        ]
        woken.clear()
        pictures.ask(DetectPicture(model="m", attachment=png()), replies.append)
        assert woken.wait(10)
        pictures.look()
        assert replies[1].ok
        models.configure([])
        pictures.ask(DetectPicture(model="m", attachment=png()), replies.append)
        assert "no model 'm' here" in replies[2].reason


def test_who_still_waits_at_the_end_is_told() -> None:
    source = ScriptedSource()
    source.put("v1")
    replies: list[Reply] = []
    woken = threading.Event()
    with Models(source, nothing) as models:
        pictures = Pictures(models, PillowReader(), woken.set, worker="w", now_us=lambda: 0)
        models.configure([M])
        wait_for(models.collect)
        pictures.ask(DetectPicture(model="m", attachment=png()), replies.append)
        assert woken.wait(10)
    pictures.close()
    assert replies == [Reply(ok=False, reason="the inference service stops")]


def test_a_service_that_stops_tells_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last turn was over when the picture was ready."""
    monkeypatch.setattr(Pictures, "look", lambda _self: None)
    with line() as on:
        on.source.put("v1")
        on.configure(M)
        asking = Asking(on, model="m")
        wait_for(lambda: not on.service._pictures._fitted.empty())
    assert asking.reply() == Reply(ok=False, reason="the inference service stops")


def test_one_of_the_workers_that_share_answers() -> None:
    broker = MemoryBroker()
    with MemoryBus(broker) as second_bus, line(broker=broker, share="g", worker="one") as on:
        other_source = ScriptedSource()
        on.source.put("v1")
        other_source.put("v1")
        other = InferenceService(
            second_bus,
            other_source,
            nothing,
            worker="two",
            pictures=PillowReader(),
            share="g",
            clock=Clock(),
        )
        with running(other):
            on.configure(M)
            wait_for(lambda: other.report().configuration_revision == "r1")
            workers = [result_of(ask(on, model="m")).worker for _ in range(4)]
            assert sorted(workers) == ["one", "one", "two", "two"]


def test_the_answer_is_one_line_of_json_that_a_page_can_read() -> None:
    with line() as on:
        on.source.put("v1")
        on.configure(M)
        read = json.loads(bytes(ask(on, model="m").attachment))
        assert read["detections"][0]["box"] == {"x": 32, "y": 16, "width": 16, "height": 16}
        assert "attachment" not in read
