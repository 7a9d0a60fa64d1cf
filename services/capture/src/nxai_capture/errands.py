"""What takes seconds and is done for somebody who waits: on threads beside the line.

Each is answered once and in time, even when it hangs in a library where nothing wakes it.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from nxai_capture.core.watchdog import OBEY_S
from nxai_capture.ports import Answer, Clock
from nxai_capture.stuck import StuckThreads
from nxai_common.contracts.commands import BUSY, Reply
from nxai_common.errors import NxaiError

log = logging.getLogger(__name__)

MOST_STUCK: Final = 4
"""Threads left behind that still hang, each with a decoder of some 30 MB at worst."""


class Errand:
    """One piece of work on a thread of its own.

    Args:
        name: Of the thread.
        work: Returns the answer; what it raises becomes one.
        answer: Takes the answer.
        patience_s: After so long it is interrupted.
        too_long: What the answer says then.
        clock: Time.
    """

    def __init__(
        self,
        name: str,
        work: "Work",
        *,
        answer: Answer,
        patience_s: float,
        too_long: str,
        clock: Clock,
    ) -> None:
        self._work = work
        self._answer = answer
        self._clock = clock
        self._too_long = too_long
        self._lock = threading.Lock()
        self._until = clock.monotonic() + patience_s
        self._interrupt: Callable[[], None] | None = None
        self._interrupted = False
        self._answered = False
        self.thread: Final = threading.Thread(target=self._run, name=name, daemon=True)

    def on_interrupt(self, interrupt: Callable[[], None]) -> None:
        """Say what makes the work end soon, from another thread."""
        with self._lock:
            self._interrupt, late = interrupt, self._interrupted
        if late:
            interrupt()

    def interrupt(self) -> None:
        """Ask the work to end; returns at once."""
        with self._lock:
            self._interrupted, interrupt = True, self._interrupt
        if interrupt is not None:
            interrupt()

    def supervise(self) -> bool:
        """Interrupt it when it takes too long, and answer for it when it ignores that.

        Returns:
            Whether to wait for it no longer.
        """
        if not self.thread.is_alive():
            return True
        late_s = self._clock.monotonic() - self._until
        if late_s >= 0 and not self._interrupted:
            self.interrupt()
        if late_s < OBEY_S:
            return False
        self._give(Reply(ok=False, reason=f"{self._too_long}: it hangs"))
        return True

    def _run(self) -> None:
        try:
            reply = self._work(self)
        except NxaiError as error:
            reason = self._too_long if self._interrupted else str(error)
            reply = Reply(ok=False, reason=reason)
        except Exception as error:
            # A library's surprise is an answer too.
            log.exception("%s failed in an unexpected way", self.thread.name)
            reply = Reply(ok=False, reason=f"unexpected {type(error).__name__}; see the log")
        self._give(reply)

    def _give(self, reply: Reply) -> None:
        with self._lock:
            if self._answered:
                return
            self._answered = True
        self._answer(reply)


Work: TypeAlias = Callable[[Errand], Reply]


class Errands:
    """Those of one kind, so many at once.

    Args:
        what: They are, in the plural: `sources are being tried`.
        most: At once; who asks for more is told to wait.
        clock: Time.
    """

    def __init__(self, what: str, most: int, clock: Clock) -> None:
        self._what = what
        self._most = most
        self._clock = clock
        self._running: list[Errand] = []
        self._stuck = StuckThreads()

    def start(self, work: Work, *, answer: Answer, patience_s: float, too_long: str) -> None:
        """Begin one, or answer why not; returns at once."""
        self.supervise()
        if len(self._running) >= self._most:
            reason = f"{self._most} {self._what} already: ask again in some seconds"
            answer(Reply(ok=False, reason=reason, details={BUSY: True}))
            return
        if self._stuck.alive() >= MOST_STUCK:
            reason = f"{MOST_STUCK} earlier ones still hang: restart this service"
            answer(Reply(ok=False, reason=reason))
            return
        errand = Errand(
            self._what,
            work,
            answer=answer,
            patience_s=patience_s,
            too_long=too_long,
            clock=self._clock,
        )
        self._running.append(errand)
        errand.thread.start()

    @property
    def running(self) -> int:
        """How many there are."""
        return len(self._running)

    def supervise(self) -> None:
        """Look after them."""
        for errand in list(self._running):
            if errand.supervise():
                self._running.remove(errand)
                if errand.thread.is_alive():
                    self._stuck.add(errand.thread)

    def close(self) -> None:
        """Ask all to end; returns at once."""
        for errand in self._running:
            errand.interrupt()

    def join(self, deadline: float) -> None:
        """Wait for all to end, until `time.monotonic()` is `deadline`."""
        for errand in self._running:
            errand.thread.join(max(0.0, deadline - time.monotonic()))
