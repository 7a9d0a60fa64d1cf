"""One camera: its reader, its sender, and what is told about them."""

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from nxai_capture.core.routing import Routes
from nxai_capture.ports import Answer, Clock, OpenSource, ReadCredentials
from nxai_capture.reading import CameraReader
from nxai_capture.sending import FrameSender, ShowPreview
from nxai_capture.stuck import StuckThreads
from nxai_common.bus.ports import Bus
from nxai_common.contracts.commands import Reply, TriggerCamera
from nxai_common.contracts.configuration import CaptureCamera
from nxai_common.contracts.status import CameraStatus, LinkState, Problem
from nxai_common.retry import RetryPolicy

FPS_WINDOW_S: Final = 5.0
"""A heartbeat: long enough for a camera of one picture a second to show 1.0."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every camera works with."""

    bus: Bus
    clock: Clock
    open_source: OpenSource
    read_credentials: ReadCredentials
    retry: RetryPolicy
    mend: RetryPolicy


class RunningCamera:
    """One enabled camera."""

    def __init__(
        self,
        options: CaptureCamera,
        routes: Routes,
        surroundings: Surroundings,
        show_preview: ShowPreview,
        stuck: StuckThreads,
    ) -> None:
        self.options = options
        self.routes = routes
        self._clock = surroundings.clock
        self.sender: Final = FrameSender(
            options,
            routes,
            bus=surroundings.bus,
            clock=surroundings.clock,
            show_preview=show_preview,
        )
        self.reader: Final = CameraReader(
            options,
            open_source=surroundings.open_source,
            read_credentials=surroundings.read_credentials,
            deliver=self.sender.deliver,
            clock=surroundings.clock,
            retry=surroundings.retry,
            mend=surroundings.mend,
            stuck=stuck,
        )
        self._counts: deque[tuple[float, int]] = deque(maxlen=64)

    def start(self, after: "RunningCamera | None" = None) -> None:
        """Begin; `after` the one that had this camera before has let go of it."""
        self.sender.start()
        self.reader.start(None if after is None else after.reader)

    def update(self, options: CaptureCamera, routes: Routes) -> None:
        """Put new options in force without touching the connection."""
        self.sender.update(options, routes)
        self.options = options
        self.routes = routes  # last: `problems` tells what is in force

    def trigger(self, command: TriggerCamera, answer: Answer) -> None:
        """Send one picture to inference now.

        Args:
            command: With the name of a test, or without.
            answer: Called once it is known whether it can be sent; of a test, once it was sent.
        """
        link = self.reader.reading().link
        if link.state in (LinkState.WAITING, LinkState.CONNECTING):
            refusal = f"it gives no pictures now: {link.reason or 'it is being opened'}"
        elif command.test:
            refusal = self.sender.test(command.test, answer)
        else:
            refusal = self.sender.trigger(ended=link.state is LinkState.ENDED)
        if refusal:
            reason = f"no frame of camera {self.options.id!r} can be sent: {refusal}"
            answer(Reply(ok=False, reason=reason))
        elif not command.test:
            answer(Reply(ok=True))

    def supervise(self) -> None:
        """Look after both threads."""
        self.sender.supervise()
        self.reader.supervise()

    @property
    def abandoned(self) -> int:
        """Threads left behind because they hung."""
        return self.reader.reading().abandoned

    def stop(self) -> None:
        """Ask both threads to end; returns at once."""
        self.sender.stop()
        self.reader.stop()

    def join(self, deadline: float) -> None:
        """Wait for both threads to end, until `time.monotonic()` is `deadline`."""
        for part in (self.sender, self.reader):
            part.join(max(0.0, deadline - time.monotonic()))

    def status(self) -> CameraStatus:
        """Return how it goes."""
        reading, sending = self.reader.reading(), self.sender.sending()
        info = reading.info
        return CameraStatus(
            camera=self.options.id,
            state=reading.link.state,
            reason=reading.link.reason,
            since=reading.link.since,
            width=reading.width,
            height=reading.height,
            fps=self._fps(reading.decoded),
            codec="" if info is None else info.codec,
            transport="" if info is None else info.transport,
            last_picture_at=reading.last_picture_at,
            decoded=reading.decoded,
            damaged=reading.losses.damaged,
            replaced=reading.losses.replaced,
            sent=sending.sent,
            dropped=sending.dropped,
            skipped=sending.skipped,
            credits_lost=sending.credits_lost,
            reconnects=reading.reconnects,
            stalls=reading.stalls,
            models=self.options.models,
        )

    def problems(self) -> tuple[Problem, ...]:
        """Return what a person should know."""
        reasons = []
        link = self.reader.reading().link
        if link.reason and link.state in (LinkState.WAITING, LinkState.CONNECTING):
            reasons.append(link.reason)
        if self.routes.waiting_for:
            names = ", ".join(self.routes.waiting_for)
            reasons.append(f"inference does not offer its model {names} (yet): it gets no frame")
        reasons += self.sender.failures()
        return tuple(Problem(about=f"camera {self.options.id}", reason=r) for r in reasons)

    def _fps(self, decoded: int) -> float:
        now = self._clock.monotonic()
        counts = self._counts
        counts.append((now, decoded))
        while len(counts) > 2 and now - counts[1][0] >= FPS_WINDOW_S:  # noqa: PLR2004 - two ends
            counts.popleft()
        since, first = counts[0]
        return round((decoded - first) / (now - since), 2) if now > since else 0.0
