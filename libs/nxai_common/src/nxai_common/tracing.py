"""Traces of frames, from camera to output: off unless somebody asks for them.

One frame in a hundred (`NXAI_OTEL_RATIO`) is followed: capture begins a span and writes its W3C
`traceparent` into the frame; inference continues it and writes its own into the result, from which
the publisher goes on. A service says what it does in steps::

    steps = tracing.begin("capture", since_us=picture.captured_at_us, first="wait")
    steps.step("resize")
    ...
    steps.close(camera=camera)

Of a frame that is not followed all of it is `NOTHING`, whose methods return at once. Whoever does
not reach `close` is not told of. OpenTelemetry is loaded only where traces are on.
"""

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from nxai_common.errors import ConfigurationError
from nxai_common.settings import ServiceSettings
from nxai_common.spans import NOTHING, SAMPLED, Steps, Tracer

TRACED: Final = ("capture", "inference", "publisher")
"""Roles through which frames pass; the others have nothing to tell."""

TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
"""Version, trace, span, flags: https://www.w3.org/TR/trace-context/"""

_tracer: Tracer | None = None


def begin(name: str, *, since_us: int, first: str) -> Steps:
    """Begin a trace, of some frames.

    Args:
        name: Of the span.
        since_us: Unix microseconds at which it began.
        first: Name of the step since then.
    """
    if _tracer is None:
        return NOTHING
    return _tracer.begin(name, since_us * 1000, first)


def go_on(name: str, traceparent: str, *, first: str, since: float | None = None) -> Steps:
    """Continue the trace that a message brings, if it does.

    Args:
        name: Of the span.
        traceparent: As the message has it; one that cannot be read is none.
        first: Name of the first step.
        since: `time.monotonic()` at which that began; None: now.
    """
    if _tracer is None or not traceparent:
        return NOTHING
    read = TRACEPARENT.fullmatch(traceparent)
    if read is None or not int(read[3], 16) & SAMPLED:
        return NOTHING
    now_ns = time.time_ns()
    ago_ns = 0 if since is None else int((time.monotonic() - since) * 1e9)
    return _tracer.go_on(name, read[1], read[2], now_ns - max(0, ago_ns), first)


def counters() -> Mapping[str, int]:
    """Return how many spans were sent and dropped; nothing while traces are off."""
    return {} if _tracer is None else _tracer.counters


@contextlib.contextmanager
def traced(settings: ServiceSettings) -> Iterator[None]:
    """Send traces as the settings say, until the end of the block.

    Raises:
        ConfigurationError: what to change.
    """
    global _tracer  # noqa: PLW0603 - as logging: whoever does something tells of it
    if not settings.otel_endpoint or settings.role not in TRACED:
        yield
        return
    endpoint = _checked(settings.otel_endpoint)
    try:
        # Not at the top: 8 MB that a box without traces need not have.
        from nxai_common.otlp import OtlpTracer  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ConfigurationError(
            f"NXAI_OTEL_ENDPOINT is set, and {error.name} is not installed: "
            "pip install 'nxai-common[tracing]', or leave it empty"
        ) from None
    with OtlpTracer(settings, endpoint) as tracer:
        _tracer = tracer
        try:
            yield
        finally:
            _tracer = None


def _checked(endpoint: str) -> str:
    """Return where traces are sent to."""
    if "@" in endpoint:  # looked for first: every other complaint shows the URL
        raise ConfigurationError(
            "NXAI_OTEL_ENDPOINT has a user or password in it, and every error would show it; "
            "set OTEL_EXPORTER_OTLP_HEADERS=authorization=... instead"
        )
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"NXAI_OTEL_ENDPOINT={endpoint}: not an address; write http://HOST:4318 (OTLP over "
            "HTTP, without a path)"
        )
    return f"{endpoint.rstrip('/')}/v1/traces"
