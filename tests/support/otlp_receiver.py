"""A collector of traces: a real OTLP/HTTP server that keeps what it is sent."""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True, slots=True)
class ToldSpan:
    """A span as it came."""

    service: str
    instance: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    begun_ns: int
    ended_ns: int
    told: dict[str, str | int | float | bool]


class OtlpReceiver(ThreadingHTTPServer):
    """Takes spans at `/v1/traces`; `status` other than 200 refuses them."""

    daemon_threads = True

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.asked = 0
        self.spans: list[ToldSpan] = []
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """For `NXAI_OTEL_ENDPOINT`."""
        return f"http://127.0.0.1:{self.server_port}"

    def traces(self) -> dict[str, list[ToldSpan]]:
        """Return the spans that came so far, by trace."""
        found: dict[str, list[ToldSpan]] = {}
        for span in list(self.spans):
            found.setdefault(span.trace, []).append(span)
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: OtlpReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        fits = self.path == "/v1/traces" and (
            self.headers["Content-Type"] == "application/x-protobuf"
        )
        status = self.server.status if fits else 404
        if status == 200:
            self.server.spans.extend(_read(ExportTraceServiceRequest.FromString(body)))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_args: object) -> None:
        pass


def _read(request: ExportTraceServiceRequest) -> list[ToldSpan]:
    found = []
    for resource in request.resource_spans:
        of = {a.key: a.value.string_value for a in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                told = {
                    a.key: getattr(a.value, a.value.WhichOneof("value") or "string_value")
                    for a in span.attributes
                }
                found.append(
                    ToldSpan(
                        of["service.name"],
                        of["service.instance.id"],
                        span.name,
                        Span.SpanKind.Name(span.kind),
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        told,
                    )
                )
    return found
