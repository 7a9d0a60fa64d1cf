"""What a trace of a frame is made of, for those who tell of one and those who send it."""

from collections.abc import Mapping
from typing import Final, Protocol

SAMPLED: Final = 0x01
"""Flag of a `traceparent`: the frame is followed."""

Told = str | int | float | bool
"""What a span may say of itself."""


class Steps(Protocol):
    """What a service does with one frame, one step after the other."""

    @property
    def traceparent(self) -> str:
        """For the message that goes on to the next service; empty: this frame is not followed."""
        ...

    def step(self, name: str) -> None:
        """Begin a step; the one before is done."""
        ...

    def close(self, **told: Told) -> None:
        """End; tell what of."""
        ...


class _Nothing:
    """Stands for the steps of all those frames that are not followed."""

    traceparent = ""

    def step(self, name: str) -> None:
        """Return at once."""

    def close(self, **told: Told) -> None:
        """Return at once."""


NOTHING: Final[Steps] = _Nothing()


class Tracer(Protocol):
    """Begins and continues traces, and sends what was told."""

    def begin(self, name: str, since_ns: int, first: str) -> Steps:
        """Begin a trace, or not: `NOTHING`."""
        ...

    def go_on(self, name: str, trace: str, span: str, since_ns: int, first: str) -> Steps:
        """Continue the trace of another process."""
        ...

    @property
    def counters(self) -> Mapping[str, int]:
        """Spans sent and dropped."""
        ...
