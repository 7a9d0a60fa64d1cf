"""Spans by OpenTelemetry, sent as OTLP over HTTP (the one user of its SDK).

Sending is a thread's affair: a bounded number of spans wait for it, and those that find no room,
or nobody who takes them, are counted and gone. The line never waits.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from nxai_common.settings import ServiceSettings
from nxai_common.spans import NOTHING, SAMPLED, Steps, Told

log = logging.getLogger(__name__)

WAITING: Final = 2048
"""Spans; a frame has some fifteen in all services. At 4 kB each, no more than 8 MB."""
BATCH: Final = 512
EVERY_S: Final = 2.0
"""Between two sendings. Who looks at traces does so after the fact."""
PATIENCE_S: Final = 5.0
"""With a collector that does not answer; meanwhile spans wait, and then are dropped."""
GOODBYE_S: Final = 3.0
"""For what still waits when the service ends: less than a supervisor's patience."""


class OtlpTracer:
    """Begins and continues traces, and sends them (implements `nxai_common.spans.Tracer`)."""

    def __init__(
        self, settings: ServiceSettings, endpoint: str, rng: random.Random | None = None
    ) -> None:
        # It would say the same with every batch; we say it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._ratio = settings.otel_ratio
        self._rng = rng or random.Random()  # noqa: S311 - which frames are followed is no secret
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=PATIENCE_S)
        self._outbox = Outbox(exporter, endpoint)
        provider = TracerProvider(
            sampler=ALWAYS_ON,  # what is followed was decided before there is a span
            resource=Resource.create(
                {
                    "service.name": f"nxai-{settings.role}",
                    "service.instance.id": f"{settings.device}/{settings.instance}",
                    "nxai.device": settings.device,
                }
            ),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._outbox)
        self._provider = provider
        self._tracer = provider.get_tracer("nxai")

    def begin(self, name: str, since_ns: int, first: str) -> Steps:
        """Begin a trace, of one frame in so many."""
        if self._rng.random() >= self._ratio:
            return NOTHING
        span = self._tracer.start_span(name, Context(), kind=SpanKind.PRODUCER, start_time=since_ns)
        return SpanSteps(self._tracer, span, since_ns, first)

    def go_on(self, name: str, trace: str, span: str, since_ns: int, first: str) -> Steps:
        """Continue the trace of another process."""
        parent = SpanContext(
            int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(SAMPLED)
        )
        if not parent.is_valid:
            return NOTHING  # all zeros
        context = set_span_in_context(NonRecordingSpan(parent), Context())
        begun = self._tracer.start_span(name, context, kind=SpanKind.CONSUMER, start_time=since_ns)
        return SpanSteps(self._tracer, begun, since_ns, first)

    @property
    def counters(self) -> Mapping[str, int]:
        """Spans sent and dropped."""
        return {"trace_spans_sent": self._outbox.sent, "trace_spans_dropped": self._outbox.dropped}

    def __enter__(self) -> Self:
        """Begin to send."""
        self._outbox.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send what waits, shortly, and end."""
        self._provider.shutdown()


class SpanSteps:
    """The steps of one frame that is followed (implements `nxai_common.spans.Steps`)."""

    def __init__(self, tracer: Tracer, span: Span, since_ns: int, first: str) -> None:
        self._tracer = tracer
        self._span = span
        self._begun = [(first, since_ns)]
        context = span.get_span_context()
        self.traceparent: Final = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def step(self, name: str) -> None:
        """Begin a step; the one before is done."""
        self._begun.append((name, time.time_ns()))

    def close(self, **told: Told) -> None:
        """End; tell what of."""
        # A clock that is set back must not make a span end before it began.
        end_ns = max(time.time_ns(), *(at for _, at in self._begun))
        context = set_span_in_context(self._span, Context())
        ends = [*(at for _, at in self._begun[1:]), end_ns]
        for (name, begun_ns), ended_ns in zip(self._begun, ends, strict=True):
            step = self._tracer.start_span(name, context, start_time=begun_ns)
            step.end(max(begun_ns, ended_ns))
        self._span.set_attributes({f"nxai.{name}": value for name, value in told.items()})
        self._span.end(end_ns)


class Outbox(SpanProcessor):
    """Spans on their way: bounded, sent by a thread of its own, what is dropped is counted."""

    def __init__(self, exporter: SpanExporter, endpoint: str, waiting: int = WAITING) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._bound = waiting
        self._waiting: deque[ReadableSpan] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._failing = False
        self._thread = threading.Thread(target=self._send_all, name="traces", daemon=True)
        self.sent = 0
        self.dropped = 0

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that ended; drop it when there is no room."""
        with self._changed:
            if self._ending or len(self._waiting) >= self._bound:
                self.dropped += 1
                return
            self._waiting.append(span)
            if len(self._waiting) >= BATCH:
                self._changed.notify()

    def shutdown(self) -> None:
        """Send what waits, if it can be done soon."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(GOODBYE_S)
        self._exporter.shutdown()  # ends the waiting of a try that is under way
        if self._thread.is_alive():
            self._thread.join(GOODBYE_S)

    def _send_all(self) -> None:
        while True:
            with self._changed:
                if not self._ending and len(self._waiting) < BATCH:
                    self._changed.wait(EVERY_S)
                ending = self._ending
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if batch:
                self._send(batch)
            elif ending:
                return

    def _send(self, batch: list[ReadableSpan]) -> None:
        try:
            taken = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 - whatever a library makes of it, the spans are lost
            log.debug("traces: %s", error)
            taken = False
        with self._changed:
            if taken:
                self.sent += len(batch)
            else:
                self.dropped += len(batch)
        if taken == self._failing:
            self._failing = not taken
            if taken:
                log.info("traces are taken again at %s", self._endpoint)
            else:
                log.warning(
                    "traces are not taken at %s: they are dropped, and counted", self._endpoint
                )
