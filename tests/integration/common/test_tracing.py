"""Traces, told to a real OTLP/HTTP server."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import ClassVar

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from nxai_common import tracing
from nxai_common.errors import ConfigurationError
from nxai_common.otlp import Outbox
from nxai_common.settings import ServiceSettings
from nxai_common.spans import NOTHING
from support.broker import free_port
from support.otlp_receiver import OtlpReceiver
from support.waiting import wait_for

PATIENCE_S = 30.0
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


class Settings(ServiceSettings):
    role: ClassVar[str] = "capture"


class OtherSettings(ServiceSettings):
    role: ClassVar[str] = "manager"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as running:
        yield running


def now_us() -> int:
    return time.time_ns() // 1000


def test_off_nothing_is_told_and_nothing_loaded() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, nxai_common.runtime; print('opentelemetry.sdk' in sys.modules)",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\n"
    with tracing.traced(Settings()):
        assert tracing.begin("capture", since_us=now_us(), first="wait") is NOTHING
        assert tracing.go_on("x", f"00-{TRACE}-{SPAN}-01", first="q") is NOTHING
        assert tracing.counters() == {}
    NOTHING.step("any")
    NOTHING.close(camera="front")
    assert NOTHING.traceparent == ""


def test_a_frame_is_told_from_service_to_service(receiver: OtlpReceiver) -> None:
    settings = Settings(otel_endpoint=receiver.url, otel_ratio=1, device="line-3")
    began_us = now_us() - 5_000
    with tracing.traced(settings):
        first = tracing.begin("capture", since_us=began_us, first="wait")
        first.step("resize")
        first.step("publish")
        arrived = time.monotonic() - 60
        second = tracing.go_on("inference", first.traceparent, since=arrived, first="queue")
        second.step("run")
        second.close(model="m5-nut", objects=2)
        first.close(camera="front", published=True)
        assert tracing.TRACEPARENT.fullmatch(first.traceparent)
    spans = {span.name: span for span in receiver.spans}
    assert set(spans) == {"capture", "wait", "resize", "publish", "inference", "queue", "run"}
    assert {span.trace for span in receiver.spans} == {first.traceparent.split("-")[1]}
    assert spans["capture"].parent == ""
    assert spans["capture"].id == first.traceparent.split("-")[2]
    assert spans["inference"].parent == spans["capture"].id
    for step, of in (("wait", "capture"), ("resize", "capture"), ("run", "inference")):
        assert spans[step].parent == spans[of].id
        assert spans[of].begun_ns <= spans[step].begun_ns <= spans[step].ended_ns
        assert spans[step].ended_ns <= spans[of].ended_ns
    assert spans["capture"].kind == "SPAN_KIND_PRODUCER"
    assert spans["inference"].kind == "SPAN_KIND_CONSUMER"
    assert spans["capture"].begun_ns == began_us * 1000
    assert time.time_ns() - spans["queue"].begun_ns >= 60_000_000_000
    assert spans["wait"].ended_ns == spans["resize"].begun_ns
    assert spans["capture"].service == "nxai-capture"
    assert spans["capture"].instance == "line-3/capture"
    assert spans["capture"].told == {"nxai.camera": "front", "nxai.published": True}
    assert spans["inference"].told == {"nxai.model": "m5-nut", "nxai.objects": 2}


def test_nothing_ends_before_it_began_though_the_clock_was_set_back(
    receiver: OtlpReceiver,
) -> None:
    with tracing.traced(Settings(otel_endpoint=receiver.url, otel_ratio=1)):
        steps = tracing.begin("capture", since_us=now_us() + 60_000_000, first="wait")
        steps.step("resize")
        steps.close()
    assert {span.name for span in receiver.spans} == {"capture", "wait", "resize"}
    assert all(span.begun_ns <= span.ended_ns for span in receiver.spans)


def test_one_frame_in_so_many_is_followed(receiver: OtlpReceiver) -> None:
    with tracing.traced(Settings(otel_endpoint=receiver.url, otel_ratio=0.25)):
        begun = [tracing.begin("capture", since_us=1, first="wait") for _ in range(2000)]
    followed = sum(steps is not NOTHING for steps in begun)
    assert 350 < followed < 650  # 500; ten standard deviations
    assert receiver.spans == []  # none of them was closed
    assert tracing.counters() == {}
    assert tracing.begin("capture", since_us=1, first="wait") is NOTHING


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}-00",  # whoever began it does not follow it
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_what_is_no_trace_is_not_followed(receiver: OtlpReceiver, traceparent: str) -> None:
    with tracing.traced(Settings(otel_endpoint=receiver.url)):
        assert tracing.go_on("inference", traceparent, first="queue") is NOTHING


def test_a_service_without_frames_has_nothing_to_tell(receiver: OtlpReceiver) -> None:
    with tracing.traced(OtherSettings(otel_endpoint=receiver.url, otel_ratio=1)):
        assert tracing.begin("x", since_us=1, first="x") is NOTHING


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("localhost:4318", "NXAI_OTEL_ENDPOINT=localhost:4318: not an address; write http://"),
        ("grpc://host:4317", "write http://HOST:4318"),
        ("http://", "not an address"),
        ("http://me:s3cret@host:4318", "OTEL_EXPORTER_OTLP_HEADERS"),
    ],
)
def test_an_address_that_does_not_do_is_said(endpoint: str, reason: str) -> None:
    with (
        pytest.raises(ConfigurationError) as caught,
        tracing.traced(Settings(otel_endpoint=endpoint)),
    ):
        pass
    assert reason in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nxai_common.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with (
        pytest.raises(ConfigurationError, match=r"pip install 'nxai-common\[tracing\]'"),
        tracing.traced(Settings(otel_endpoint="http://127.0.0.1:4318")),
    ):
        pass


def test_a_collector_that_is_away_costs_spans_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with (
        caplog.at_level(logging.INFO),
        tracing.traced(Settings(otel_endpoint=nobody, otel_ratio=1)),
    ):
        for _ in range(3):
            tracing.begin("capture", since_us=now_us(), first="wait").close()
        before = time.monotonic()
        tracing.begin("capture", since_us=now_us(), first="wait").close()
        assert time.monotonic() - before < PATIENCE_S  # it waits for nobody
    said = [r.message for r in caplog.records if "traces" in r.message]
    assert said == [f"traces are not taken at {nobody}/v1/traces: they are dropped, and counted"]


class Gate(SpanExporter):
    """Takes spans as soon as it is let."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.holds = threading.Event()
        self.result = SpanExportResult.SUCCESS
        self.batches: list[int] = []

    def export(self, spans: object) -> SpanExportResult:
        self.holds.set()
        assert self.open.wait(PATIENCE_S)
        self.batches.append(len(spans))  # type: ignore[arg-type]  # a sequence of spans
        return self.result

    def shutdown(self) -> None:
        self.open.set()


def spans(count: int) -> list[ReadableSpan]:
    return [ReadableSpan(f"span {number}") for number in range(count)]


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    gate = Gate()
    outbox = Outbox(gate, "nowhere", waiting=600)
    for span in spans(700):
        outbox.on_end(span)
    assert outbox.dropped == 100
    outbox.start()
    assert gate.holds.wait(PATIENCE_S)
    for span in spans(600):  # one batch is with the exporter: there is room for as many
        outbox.on_end(span)
    assert outbox.dropped == 100 + 88
    gate.open.set()
    outbox.shutdown()
    assert sum(gate.batches) == outbox.sent == 600 + 512
    outbox.on_end(spans(1)[0])
    assert outbox.dropped == 100 + 88 + 1


def test_what_is_not_taken_is_counted_until_it_is_again(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    gate.open.set()
    gate.result = SpanExportResult.FAILURE
    outbox = Outbox(gate, "http://here")
    outbox.start()
    with caplog.at_level(logging.INFO):
        for span in spans(512):
            outbox.on_end(span)
        wait_for(lambda: outbox.dropped == 512, PATIENCE_S)
        gate.result = SpanExportResult.SUCCESS
        for span in spans(3):
            outbox.on_end(span)
        outbox.shutdown()
    assert (outbox.sent, outbox.dropped) == (3, 512)
    assert [r.message for r in caplog.records] == [
        "traces are not taken at http://here: they are dropped, and counted",
        "traces are taken again at http://here",
    ]


def test_an_exporter_that_breaks_costs_its_spans_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Gate):
        def export(self, spans: object) -> SpanExportResult:
            raise RuntimeError(spans)

    outbox = Outbox(Broken(), "http://here")
    outbox.start()
    outbox.on_end(spans(1)[0])
    outbox.shutdown()
    assert outbox.dropped == 1
    assert "are dropped" in caplog.text


def test_one_that_never_began_ends_all_the_same() -> None:
    gate = Gate()
    outbox = Outbox(gate, "http://here")
    outbox.on_end(spans(1)[0])
    outbox.shutdown()
    assert gate.open.is_set()
