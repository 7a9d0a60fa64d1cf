"""A thread that takes all that waits, stores it in one transaction, then acknowledges.

The data logger has one, and so has the outbox. While its database takes nothing, results are held
unacknowledged (a bounded number) and tried again with back-off; whatever else the service does
goes on.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from nxai_common.bus.ports import Delivery
from nxai_common.contracts.base import Message
from nxai_common.contracts.status import Problem
from nxai_common.errors import ConfigurationError
from nxai_common.retry import RetryPolicy
from nxai_publisher.ports import (
    Holding,
    Keyed,
    LogStatistics,
    Pruned,
    StorageUnavailable,
    Store,
    Switch,
)

log = logging.getLogger(__name__)

LINGER_S: Final = 0.02
"""Wait so long for more before a commit: at 600 results a second 12 share one, and a commit costs
as much as writing ten rows."""
ENOUGH: Final = 16
"""Do not wait when so many are here: a broker may hand out only 20 before an acknowledgement."""
LARGEST_BATCH: Final = 2000
"""One transaction after an outage; more would hold the write lock for too long."""
PRUNE_EVERY_S: Final = 60.0
"""Between two rounds of retention. A minute's rows are nothing against a day or 2 GB."""
RETRY: Final = RetryPolicy(first_s=0.5, factor=2.0, longest_s=30.0)
"""A full disk or an absent server is back within half a minute of being well again."""
GOODBYE_S: Final = 10.0
"""For the last commit when the service stops."""


Item = TypeVar("Item", bound=Keyed)
Options = TypeVar("Options", bound=Switch)


@dataclass(slots=True)
class _Held(Generic[Item]):
    item: Item
    delivery: Delivery[Message]


class GroupCommit(Generic[Item, Options]):
    """Hands items to a `Store` from one thread of its own (context manager).

    The store is opened when the configuration says that it is wanted, and not before.
    """

    def __init__(
        self,
        store: Store[Item, Options],
        *,
        about: str = "data logger",
        bound: int = 10_000,
        prune_every_s: float | None = None,
        rng: random.Random | None = None,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """Prepare; the thread starts on entering.

        Args:
            store: Where items go; written to by our thread alone.
            about: What it is, for people.
            bound: Items held at most.
            prune_every_s: Between two rounds of retention; None: as for the data logger.
            rng: For the jitter of retries.
            wall_us: Unix microseconds.
        """
        self._store = store
        self._about = about
        self._options: Options | None = None
        self._bound = bound
        self._prune_every_s = prune_every_s
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._wall_us = wall_us
        self._waiting: dict[tuple[object, ...], _Held[Item]] = {}
        """In order of arrival, each item once."""
        self._condition = threading.Condition()
        self._closing = False
        self._problem: Problem | None = None
        self._attempts = 0
        self._statistics = LogStatistics()
        self._holding: Holding | None = None
        self._may_prune = False
        self._prune_at = 0.0
        self._thread = threading.Thread(target=self._run, name=about, daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Store what waits (one attempt), and stop."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(GOODBYE_S)

    def offer(self, item: Item, delivery: Delivery[Message], /) -> bool:
        """Take an item; it is acknowledged once it is stored. False when too many are held."""
        key = item.key
        with self._condition:
            if len(self._waiting) >= self._bound and key not in self._waiting:
                self._statistics = replace(self._statistics, left_out=self._statistics.left_out + 1)
                return False
            _hold(self._waiting, _Held(item, delivery))
            count = len(self._waiting)
            if count in (1, ENOUGH):  # the thread waits for the first, or lingers for a group
                self._condition.notify()
        return True

    def configure(self, options: Options, *, prune: bool = True) -> None:
        """Change retention, start or stop storing."""
        with self._condition:
            self._options = options
            self._may_prune = prune
            self._prune_at = 0.0
            self._condition.notify()

    @property
    def problem(self) -> Problem | None:
        """Why nothing is stored now, if so."""
        return self._problem

    @property
    def held(self) -> int:
        """Items that wait to be stored."""
        return len(self._waiting)

    @property
    def enabled(self) -> bool:
        """Whether anything is to be stored."""
        return self._options is not None and self._options.enabled

    @property
    def holding(self) -> Holding | None:
        """How much is stored, as it was after the last round of retention."""
        return self._holding

    @property
    def statistics(self) -> LogStatistics:
        """Counts since the start."""
        return self._statistics

    # -- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wanted():
                try:
                    self._store.open()
                    self._work()
                except (StorageUnavailable, ConfigurationError) as error:
                    # Also a ConfigurationError: live outputs are worth more than an exit code,
                    # and a person may put the right database in place.
                    self._fail(error)
                    self._pause(RETRY.delay(self._attempts, self._rng))
        except BaseException:
            self._problem = Problem(
                about=self._about, reason="stopped by a fault of this program; see its log"
            )
            log.exception("the %s stopped", self._about)
            raise
        finally:
            self._store.close()

    def _wanted(self) -> bool:
        """Wait until there is a reason to open the store; False when it is time to end."""
        with self._condition:
            while not self._closing and not self.enabled and not self._waiting:
                self._condition.wait()
            if self._closing:
                # After a failure there is no time for another try: the broker keeps the results.
                return bool(self._waiting) and self._problem is None
            if self.enabled or self._problem is None:
                return True
            given_up, self._waiting = self._waiting, {}
        # It failed and was switched off: nobody wants what could not be stored.
        for held in given_up.values():
            held.delivery.acknowledge()
        self._problem = None
        return self._wanted()

    def _work(self) -> None:
        """Store batch after batch until closed."""
        while True:
            batch = self._take_batch()
            if batch:
                self._write(batch)
            if self._problem is not None:
                log.info("the %s works again; %d results waited", self._about, len(batch))
                self._problem = None
                self._attempts = 0
            if not batch and self._closing:
                return
            if time.monotonic() >= self._prune_at:
                self._prune()

    def _take_batch(self) -> list[_Held[Item]]:
        with self._condition:
            if not self._waiting and not self._closing and self._problem is None:
                self._condition.wait(max(0.0, self._prune_at - time.monotonic()))
            if 0 < len(self._waiting) < ENOUGH and not self._closing:
                self._condition.wait(LINGER_S)
            keys = [key for key, _ in zip(self._waiting, range(LARGEST_BATCH), strict=False)]
            return [self._waiting.pop(key) for key in keys]

    def _write(self, batch: list[_Held[Item]]) -> None:
        try:
            written = self._store.write([held.item for held in batch])
        except BaseException:
            self._put_back(batch)
            raise
        for held in batch:
            held.delivery.acknowledge()
        counts = self._statistics
        self._count(
            stored=counts.stored + written.stored,
            duplicates=counts.duplicates + written.duplicates,
            refused=counts.refused + written.refused,
        )

    def _put_back(self, batch: list[_Held[Item]]) -> None:
        with self._condition:
            newer = self._waiting
            self._waiting = {held.item.key: held for held in batch}
            for held in newer.values():
                _hold(self._waiting, held)

    def _prune(self) -> None:
        """Delete one slice; the next comes after the results that wait, or in a minute."""
        with self._condition:
            options = self._options
            may_prune = self._may_prune
        pruned = Pruned(0, more=False)
        if may_prune and options is not None:
            pruned = self._store.prune(options, self._wall_us())
        self._count(pruned=self._statistics.pruned + pruned.rows)
        if not pruned.more:
            self._holding = self._store.measure()
        with self._condition:
            if not pruned.more and options is self._options:
                every_s = PRUNE_EVERY_S if self._prune_every_s is None else self._prune_every_s
                self._prune_at = time.monotonic() + every_s

    def _fail(self, error: Exception) -> None:
        self._attempts += 1
        self._count(failures=self._statistics.failures + 1)
        reason = str(error)
        if self._problem is None or self._problem.reason != reason:
            log.warning("the %s stores nothing: %s", self._about, reason)
        self._problem = Problem(about=self._about, reason=reason)

    def _pause(self, seconds: float) -> None:
        """Wait before the next try, or until the options change."""
        deadline = time.monotonic() + seconds
        with self._condition:
            before = self._options
            while (
                not self._closing
                and self._options is before
                and (left := deadline - time.monotonic()) > 0
            ):
                self._condition.wait(left)

    def _count(self, **changes: int) -> None:
        with self._condition:
            self._statistics = replace(self._statistics, **changes)


def _hold(waiting: dict[tuple[object, ...], _Held[Item]], new: _Held[Item]) -> None:
    """Keep one delivery of each item: the newest of those that the broker waits for.

    Of the item itself the first counts: what comes again gives no events, which it did before.
    """
    old = waiting.get(new.item.key)
    if old is None or new.delivery.owed:
        waiting[new.item.key] = new if old is None else _Held(old.item, new.delivery)
        if old is not None:
            # The broker keeps the newer one. After a reconnect this says nothing; within one
            # connection (sent twice) it would wait for both.
            old.delivery.acknowledge()
