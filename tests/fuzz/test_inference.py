"""Random tensors and random payloads: a result or a named refusal, never a crash."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.contracts import topics
from nxai_common.contracts.collecting import (
    BandStrategy,
    CollectStrategy,
    EntropyStrategy,
    FlickerStrategy,
    LeastConfidenceStrategy,
    MarginStrategy,
    UncertainStrategy,
)
from nxai_common.contracts.configuration import DesiredModel, UncertainRule
from nxai_common.contracts.frames import Frame
from nxai_common.contracts.models import Task, TensorInfo
from nxai_common.contracts.results import InferenceResult
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.core.answer import Answer, timing
from nxai_inference.core.collecting import Collector, Subject
from nxai_inference.core.decoding import decoder_for
from nxai_inference.core.tensors import RawOutput
from support.decoding import manifest
from support.inference import ScriptedEngine, frame, line
from support.waiting import wait_for

pytestmark = pytest.mark.fuzz

SIDE = 32

COLLECTED: st.SearchStrategy[CollectStrategy] = st.one_of(
    st.just(UncertainStrategy()),
    st.floats(0, 1).map(lambda above: LeastConfidenceStrategy(above=above)),
    st.floats(0, 1).map(lambda below: MarginStrategy(below=below)),
    st.floats(0, 1).map(lambda above: EntropyStrategy(above=above)),
    st.floats(0, 0.5, exclude_min=True).map(lambda width: BandStrategy(width=width)),
    st.just(FlickerStrategy()),
)

ANY_FLOAT = st.floats(width=32, allow_nan=True, allow_infinity=True)
SHAPES = st.lists(st.integers(0, 9), max_size=4).map(tuple) | st.sampled_from(
    [(1, 4, 4, 3), (1, 9, 7), (1, 2), (1, 10), (1, 10, 4), (1,)]
)


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...]) -> RawOutput:
    kind = draw(st.sampled_from(["float32", "float32", "int8", "uint8", "float64"]))
    if kind.startswith("float"):
        elements = draw(st.sampled_from([ANY_FLOAT, st.floats(0, 1, width=32)]))
        values: NDArray[Any] = draw(hnp.arrays(np.float32, shape, elements=elements)).astype(kind)
        return RawOutput(TensorInfo(name="o", shape=shape, dtype=kind), values)
    values = draw(hnp.arrays(kind, shape))
    info = TensorInfo(
        name="o",
        shape=shape,
        dtype=kind,
        scale=draw(st.floats(0, 10)),
        zero_point=draw(st.integers(-128, 255)),
    )
    return RawOutput(info, values)


@st.composite
def runs(draw: st.DrawFn) -> tuple[Task, int, list[RawOutput], list[RawOutput]]:
    """Return a task, a number of labels, the outputs promised and the outputs given."""
    task = draw(st.sampled_from(list(Task)))
    labels = draw(st.integers(1, 4))
    count = draw(st.integers(1, 6))
    fitting: dict[Task, list[tuple[int, ...]]] = {
        Task.FOMO: [(1, count, draw(st.integers(1, 6)), labels + 1)],
        Task.YOLOV5: [(1, count, labels + 5)],
        Task.YOLOV5_V5: [(1, count, labels + 5)],
        Task.MOBILENET_SSD: [(1, count), (1, count, 4), (1,), (1, count)],
        Task.CLASSIFICATION: [(1, labels)],
    }
    fits = draw(st.integers(0, 3)) > 0
    shapes = fitting[task] if fits else draw(st.lists(SHAPES, max_size=4))
    promised = [draw(tensors(shape)) for shape in shapes]
    if fits and task is Task.MOBILENET_SSD and draw(st.booleans()):
        numbers = draw(hnp.arrays(np.int8, (1, count), elements=st.integers(0, labels - 1)))
        promised[3] = RawOutput(promised[3].info, numbers)
    kept = draw(st.integers(0, 3)) > 0
    given = promised if kept else [draw(tensors(draw(SHAPES))) for _ in promised]
    return task, labels, promised, given


@settings(max_examples=600)
@given(runs(), st.floats(0, 1), st.lists(COLLECTED, max_size=3))
def test_any_tensors_give_a_sound_result_or_a_refusal(
    run: tuple[Task, int, list[RawOutput], list[RawOutput]],
    threshold: float,
    wanted: list[CollectStrategy],
) -> None:
    task, labels, promised, outputs = run
    about = manifest(task, labels, SIDE, SIDE)
    infos = [output.info for output in promised]
    asked = frame(side=SIDE)
    wish = DesiredModel(
        id="m", path="v1", tensors="never", uncertain=UncertainRule(threshold=threshold)
    )
    try:
        decoder = decoder_for(about, infos)
        with np.errstate(all="ignore"):  # random numbers overflow; the results are checked below
            decoded = decoder.decode(outputs, threshold)
            answer = Answer.build(about, wish, None, infos, "inference", asked)
            result = answer.result(
                asked, outputs, decoded, spent=timing(0, 0, 0), returns_credit=True
            )
    except (ConfigurationError, RejectedError):
        return
    # What goes out can be read again: no NaN, no box outside the picture, labels that exist.
    read = InferenceResult.decode(result.topic("box"), result.encode())
    assert read.detections == result.detections
    for detection in read.detections:
        assert detection.label in about.labels
        x, y, width, height = detection.model_box
        assert min(x, y, width, height) >= 0
    # Whatever is collected, the same is found, and the reason can be read again.
    subject = Subject(decoder, about.labels, threshold, random.Random(1))  # noqa: S311 - no secret
    collecting = answer.collecting(Collector(wanted, subject))
    with np.errstate(all="ignore"):
        told = collecting.result(
            asked, outputs, decoded, spent=timing(0, 0, 0), returns_credit=True
        )
    read = InferenceResult.decode(told.topic("box"), told.encode())
    assert read.collect == told.collect
    assert told.model_copy(update={"collect": None}).encode() == result.encode()


def hostile() -> st.SearchStrategy[bytes]:
    well = frame(side=SIDE).encode()
    cut = st.integers(0, len(well)).map(lambda end: well[:end])
    flipped = st.tuples(st.integers(0, 400), st.integers(0, 255)).map(
        lambda change: well[: change[0]] + bytes([change[1]]) + well[change[0] + 1 :]
    )
    return st.binary(max_size=200) | cut | flipped | st.just(b"{}\n") | st.just(b"null\n" + well)


@settings(max_examples=15)
@given(
    payloads=st.lists(hostile(), min_size=1, max_size=20),
    broken=st.lists(st.booleans(), min_size=1, max_size=6),
)
def test_the_loop_outlives_any_frame_and_any_engine(
    payloads: list[bytes], broken: list[bool]
) -> None:
    turns = iter(broken * 1000)
    good = ScriptedEngine()._outputs

    def react(_pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
        if next(turns):
            raise MemoryError("no room for the tensor")
        return good

    broker = MemoryBroker()
    topic = topics.FRAME.build("box", camera="front", input=f"{SIDE}x{SIDE}")
    with line(broker=broker) as on, MemoryBus(broker) as sender:
        on.source.put("v1", ScriptedEngine(react=react))
        on.configure(DesiredModel(id="m", path="v1"))
        for payload in payloads:
            send_raw(sender, topic, payload)
            # The next one would take its place in the mailbox.
            wait_for(lambda: not on.service._inbox._queues.latest)  # type: ignore[attr-defined] # the mailbox of the bus in memory
        on.send(frame(123_456))
        while (found := on.result()).sequence != 123_456:
            pass
        assert found.returns_credit


def send_raw(bus: MemoryBus, topic: str, payload: bytes) -> None:
    """Publish bytes as a frame, whatever they are."""

    class Raw(Frame):
        def encode(self) -> bytes:
            return payload

        def topic(self, device: str) -> str:
            del device
            return topic

    raw = Raw.model_validate(frame(side=SIDE).model_dump())
    bus.publish(raw)
