"""Threads that feed destinations from the outbox, one each: a slow one holds up no other."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from nxai_common.contracts.destinations import Destination
from nxai_common.contracts.status import Problem
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_common.logs import redact
from nxai_common.retry import RetryPolicy
from nxai_publisher.core.entries import Entry, Refused
from nxai_publisher.ports import (
    DestinationUnavailable,
    EntriesRefused,
    Outbox,
    Outlet,
    StorageUnavailable,
)

log = logging.getLogger(__name__)

AHEAD: Final = 200
"""Entries fetched at a time, at least: one look into the outbox costs as much as ten of them."""
LOOK_EVERY_S: Final = 5.0
"""Into the outbox, besides being told of news."""
RETRY: Final = RetryPolicy(first_s=0.5, factor=2.0, longest_s=60.0)
"""A destination is fed again within a minute of being well, and hears of us no more often."""
REFUSAL_TOLD_S: Final = 600.0
"""A refusal stays in the status for so long."""
GOODBYE_S: Final = 3.0
"""For all senders together to end what they are at."""
PACE: Final = 0.25
"""While much waits, a sender rests so long for each second of the processor's time that it took:
results that come meanwhile need it more."""
REST_S: Final = 0.005
"""Rests are taken together: a shorter one is not worth waking up from."""

Open = Callable[[Destination], Outlet]


class Senders:
    """All of them (context manager)."""

    def __init__(
        self,
        outbox: Outbox,
        open_outlet: Open,
        *,
        rng: random.Random | None = None,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """Prepare; nobody is fed yet.

        Args:
            outbox: What waits.
            open_outlet: Returns the way to a destination. Raises ConfigurationError or
                RejectedError when there is none, and DestinationUnavailable when not now.
            rng: For the jitter of retries.
            wall_us: Unix microseconds.
        """
        self._outbox = outbox
        self._open = open_outlet
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._wall_us = wall_us
        self._senders: dict[str, Sender] = {}
        self._leaving: list[Sender] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all; one that hangs is left behind, and what it did not send stays."""
        self.configure(())
        deadline = time.monotonic() + GOODBYE_S
        for sender in self._leaving:
            sender.join(max(0.0, deadline - time.monotonic()))

    def configure(self, destinations: Sequence[Destination]) -> None:
        """Feed these from now on."""
        wanted = {one.id: one for one in destinations if one.enabled}
        before, after = self._senders, dict[str, Sender]()
        for name, options in wanted.items():
            old = before.get(name)
            if old is not None and old.options == options:
                after[name] = old
                continue
            new = Sender(options, self._outbox, self._open, self._rng, self._wall_us, before=old)
            after[name] = new
        self._senders = after  # replaced, not changed: another thread may be reading it
        for name, old in before.items():
            if after.get(name) is not old:
                old.stop()
                self._leaving.append(old)
        for new in after.values():
            new.start()
        self._leaving = [sender for sender in self._leaving if sender.alive]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Which destinations get nothing now, or refused something, and why."""
        found = ((name, sender.problem) for name, sender in self._senders.items())
        return tuple(Problem(about=f"destination {name}", reason=why) for name, why in found if why)

    @property
    def counters(self) -> dict[str, int | float]:
        """Counts since the start, of each destination."""
        counts: dict[str, int | float] = {}
        for name, sender in self._senders.items():
            tally = self._outbox.tally(name)
            counts[f"sent_{name}"] = tally.sent
            counts[f"rejected_{name}"] = tally.refused
            counts[f"dropped_{name}"] = tally.dropped
            counts[f"failed_{name}"] = sender.failures
        return counts

    @property
    def gauges(self) -> dict[str, int | float]:
        """What waits for each destination."""
        gauges: dict[str, int | float] = {}
        now_us = self._wall_us()
        for name, sender in self._senders.items():
            tally = self._outbox.tally(name)
            gauges[f"queued_{name}"] = tally.queued
            gauges[f"queued_kb_{name}"] = round(tally.queued_bytes / 1000, 1)
            oldest_us = sender.oldest_us if tally.queued else None
            age_s = 0.0 if oldest_us is None else max(0, now_us - oldest_us) / 1_000_000
            gauges[f"oldest_s_{name}"] = round(age_s, 1)
        return gauges


class Sender:
    """Feeds one destination."""

    def __init__(
        self,
        options: Destination,
        outbox: Outbox,
        open_outlet: Open,
        rng: random.Random,
        wall_us: Callable[[], int],
        *,
        before: "Sender | None" = None,
    ) -> None:
        self.options = options
        self._outbox = outbox
        self._open = open_outlet
        self._rng = rng
        self._wall_us = wall_us
        self._before = before
        self._stop = threading.Event()
        self._outlet: Outlet | None = None
        self._waiting: list[Entry] = []
        self._first_since = 0.0
        self._attempts = 0
        self._trouble = ""
        self._refusal = ""
        self._refused_at = float("-inf")
        self._worked_s = 0.0
        self.failures = 0
        self.oldest_us: int | None = None
        """When the oldest was said that it has not got, as far as is known."""
        name = f"destination {options.id}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def problem(self) -> str:
        """What a person should know; empty: all is well."""
        if self._trouble:
            return self._trouble
        recent = time.monotonic() - self._refused_at < REFUSAL_TOLD_S
        return self._refusal if recent else ""

    @property
    def alive(self) -> bool:
        """Whether it has still to end."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin, once the one before has ended; harmless when it runs."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Let it end soon."""
        self._stop.set()
        self._outbox.rouse()
        outlet = self._outlet
        if outlet is not None:
            outlet.interrupt()

    def join(self, timeout: float) -> None:
        """Wait for its end."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        if self._before is not None:
            self._before.join(self.options_timeout_s)
            self._before = None
        try:
            while not self._stop.is_set():
                self._turn()
        except BaseException:
            self._trouble = "stopped by a fault of this program; see its log"
            log.exception("destination %s: the sender stopped", self.options.id)
            raise
        finally:
            self._outbox.put_back(self.options.id, self._waiting)
            self._hang_up()

    @property
    def options_timeout_s(self) -> float:
        """How long the one before may take to end."""
        return getattr(self.options, "timeout_s", 0.0) + GOODBYE_S

    def _turn(self) -> None:
        """Send one group, or wait for it."""
        try:
            outlet = self._outlet
            if outlet is None:
                outlet = self._outlet = self._open(self.options)
            self._fill(outlet)
            waited_s = time.monotonic() - self._first_since
            count = outlet.grouping.take(self._waiting, self._wall_us(), waited_s)
            if count:
                self._deliver(outlet, self._waiting[:count])
                self._rest()
            else:
                self._linger(outlet, waited_s)
        except DestinationUnavailable as error:
            self._fail(str(error), error.retry_after_s)
        except (ConfigurationError, RejectedError) as error:  # of opening
            self._fail(str(error), None)
        except StorageUnavailable:
            # The outbox's own thread says why in the status.
            self._outbox.put_back(self.options.id, self._waiting)
            self._waiting.clear()
            self._stop.wait(RETRY.delay(1, self._rng))

    def _fill(self, outlet: Outlet) -> None:
        most = outlet.grouping.most
        if len(self._waiting) >= most:
            return
        holding = bool(self._waiting)
        limit = max(AHEAD, most) - len(self._waiting)
        self._waiting += self._outbox.fetch(self.options.id, limit, holding=holding)
        if not holding:
            self._look_at_first()

    def _linger(self, outlet: Outlet, waited_s: float) -> None:
        pause_s = LOOK_EVERY_S
        if self._waiting:
            pause_s = min(pause_s, outlet.grouping.pause_s(waited_s))
        self._outbox.wait(self.options.id, pause_s, self._stop.is_set)

    def _deliver(self, outlet: Outlet, group: Sequence[Entry]) -> None:
        """Hand over a group; halve one that is refused, so that one bad entry costs no other."""
        try:
            refused = outlet.send(group)
        except EntriesRefused as error:
            if len(group) > 1:
                half = len(group) // 2
                self._deliver(outlet, group[:half])
                self._deliver(outlet, group[half:])
                return
            refused = [Refused(group[0], str(error))]
        self._settle(group, refused)

    def _settle(self, group: Sequence[Entry], refused: Sequence[Refused]) -> None:
        del self._waiting[: len(group)]
        if self._trouble:
            log.info("destination %s takes results again", self.options.id)
        self._trouble = ""
        self._attempts = 0
        for one in refused[:1]:
            self._refuse(redact(one.reason))
        told = [Refused(one.entry, redact(one.reason)) for one in refused]
        self._outbox.done(
            self.options.id, group, told, holding=bool(self._waiting), now_us=self._wall_us()
        )
        self._look_at_first()

    def _refuse(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._refused_at >= REFUSAL_TOLD_S:
            # Told as it was the first time: the status is not to change with every result.
            self._refusal = (
                f"it refuses results for good: {reason}; `nxai-publisher rejected` lists them"
            )
            log.warning("destination %s: %s", self.options.id, self._refusal)
        self._refused_at = now

    def _look_at_first(self) -> None:
        first_us = self._waiting[0].at_us if self._waiting else None
        self.oldest_us = first_us
        self._first_since = time.monotonic()

    def _fail(self, reason: str, retry_after_s: float | None) -> None:
        self._outbox.put_back(self.options.id, self._waiting)
        self._waiting.clear()
        if self._stop.is_set():
            return
        self._attempts += 1
        reason = redact(reason)
        if reason != self._trouble:
            log.warning("destination %s gets nothing: %s", self.options.id, reason)
        self._trouble = reason
        self.failures += 1
        self._hang_up()
        delay_s = RETRY.delay(self._attempts, self._rng)
        self._stop.wait(max(delay_s, retry_after_s or 0.0))

    def _rest(self) -> None:
        """Leave the processor to live results while much waits."""
        if not self._waiting:
            self._worked_s = time.thread_time()
            return
        rest_s = (time.thread_time() - self._worked_s) * PACE
        if rest_s >= REST_S:
            self._stop.wait(rest_s)
            self._worked_s = time.thread_time()

    def _hang_up(self) -> None:
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            with suppress(DestinationUnavailable):
                outlet.close()
