"""A frame is followed from the camera to the outputs by OpenTelemetry, through real services."""

from pathlib import Path

import pytest

from nxai_common.bus.ports import Subscription
from nxai_common.contracts.configuration import CaptureCamera, DemoSource, DesiredModel
from nxai_common.contracts.frames import Frame
from nxai_common.contracts.results import InferenceResult
from nxai_common.contracts.status import Status
from nxai_common.tracing import TRACEPARENT
from support.otlp_receiver import OtlpReceiver, ToldSpan
from support.stack import Stack
from support.waiting import wait_for

PATIENCE_S = 90.0
CAMERA = CaptureCamera(id="demo", source=DemoSource(), models=("demo-parts",))
MODEL = DesiredModel(id="demo-parts", path="demo-parts")
STEPS = {
    "capture": {"wait", "resize", "publish"},
    "inference": {"queue", "run", "decode", "answer", "publish"},
    "publisher": {"queue", "decide", "emit", "log"},
}


def whole(receiver: OtlpReceiver) -> list[ToldSpan]:
    """Return a trace that has come from all three services."""
    for spans in receiver.traces().values():
        names = {span.name for span in spans}
        if set(STEPS) <= names:
            return spans
    return []


def test_spans_of_all_services_are_one_trace(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        environment = {"NXAI_OTEL_ENDPOINT": receiver.url, "NXAI_OTEL_RATIO": "1"}
        with Stack(tmp_path / "stack", environment=environment) as stack:
            stack.configure([CAMERA], [MODEL])
            spans = wait_for(lambda: whole(receiver), PATIENCE_S, "a trace comes")

            def counted() -> float:
                return stack.status("publisher").counters.get("trace_spans_sent", 0)

            assert wait_for(counted, PATIENCE_S, "what is sent is counted") > 0
    of = {span.name: span for span in spans if span.name in STEPS}
    assert of["capture"].parent == ""
    assert of["inference"].parent == of["capture"].id
    assert of["publisher"].parent == of["inference"].id
    for name, steps in STEPS.items():
        within = [span for span in spans if span.parent == of[name].id and span.name not in STEPS]
        assert {span.name for span in within} == steps
        assert of[name].service == f"nxai-{name}"
        assert all(span.service == of[name].service for span in within)
        assert of[name].told["nxai.camera"] == "demo"
        begun = sorted(within, key=lambda span: span.begun_ns)
        assert begun[0].begun_ns == of[name].begun_ns
        assert begun[-1].ended_ns == of[name].ended_ns
    assert of["capture"].begun_ns < of["inference"].ended_ns <= of["publisher"].ended_ns
    assert of["inference"].told["nxai.model"] == "demo-parts"
    assert of["publisher"].told["nxai.objects"] == of["inference"].told["nxai.objects"]


@pytest.mark.parametrize("ratio", ["0", ""])
def test_off_there_is_nothing_on_the_wire(tmp_path: Path, ratio: str) -> None:
    """`0`: on, and no frame is followed; empty: traces are off."""
    with OtlpReceiver() as receiver:
        environment = {
            "NXAI_OTEL_ENDPOINT": receiver.url if ratio else "",
            "NXAI_OTEL_RATIO": ratio,
        }
        with Stack(tmp_path / "stack", environment=environment) as stack:
            inbox = stack.bus.subscribe(
                Subscription(Frame), Subscription(InferenceResult), volatile=True
            )
            stack.configure([CAMERA], [MODEL])
            seen: set[str] = set()

            def both() -> bool:
                delivery = inbox.receive(1)
                if delivery is not None:
                    message = delivery.message
                    assert b"traceparent" not in message.encode()
                    seen.add(type(message).__name__)
                return seen == {"Frame", "InferenceResult"}

            wait_for(both, PATIENCE_S, "frames and results come")
        assert receiver.asked == 0


def test_a_collector_that_refuses_costs_spans_and_no_frame(tmp_path: Path) -> None:
    with OtlpReceiver(status=400) as receiver:
        environment = {"NXAI_OTEL_ENDPOINT": receiver.url, "NXAI_OTEL_RATIO": "1"}
        with Stack(tmp_path / "stack", environment=environment) as stack:
            stack.configure([CAMERA], [MODEL])

            def dropped() -> Status | None:
                status = stack.status("publisher")
                return status if status.counters.get("trace_spans_dropped") else None

            status = wait_for(dropped, PATIENCE_S, "what is refused is counted")
            assert status is not None
            before = status.counters.get("detections", 0)
            wait_for(
                lambda: stack.status("publisher").counters.get("detections", 0) > before,
                PATIENCE_S,
                "the line goes on",
            )
            assert "traces are not taken at" in stack.processes["publisher"].text()
    assert receiver.spans == []


def test_what_a_followed_frame_carries(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        environment = {"NXAI_OTEL_ENDPOINT": receiver.url, "NXAI_OTEL_RATIO": "1"}
        with Stack(tmp_path / "stack", environment=environment) as stack:
            inbox = stack.bus.subscribe(Subscription(InferenceResult), volatile=True)
            stack.configure([CAMERA], [MODEL])
            delivery = wait_for(lambda: inbox.receive(1), PATIENCE_S, "a result comes")
            assert delivery is not None
            result = delivery.message
            assert isinstance(result, InferenceResult)
            assert TRACEPARENT.fullmatch(result.traceparent)
