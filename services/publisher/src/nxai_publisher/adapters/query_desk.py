"""The threads that answer questions to the data logger, so that no live result waits for one.

Few at a time: each keeps a core and the disk busy. What cannot be looked into soon is told so at
once, and the asker may ask again.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from nxai_common.bus.ports import Delivery
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import BUSY, Reply

log = logging.getLogger(__name__)

THREADS: Final = 2
"""A page asks for its list and its charts at the same time; more would take the cores from the
live results."""
MOST_WAITING: Final = 16
"""Two pages that open at once ask less."""
PATIENCE_S: Final = 4.0
"""Who asks waits five seconds (`Bus.request`): what waited this long has an asker no more."""
GOODBYE_S: Final = 5.0


class QueryDesk:
    """Answers from a bounded queue, on threads of its own (context manager)."""

    def __init__(
        self,
        answer: Callable[[Message], Reply],
        clock: Callable[[], float] = time.monotonic,
        *,
        threads: int = THREADS,
        bound: int = MOST_WAITING,
    ) -> None:
        """Prepare; the threads start on entering.

        Args:
            answer: Looks up the answer; called from several threads. Never raises.
            clock: As that of `Delivery.received_at`.
            threads: Questions looked into at the same time.
            bound: Questions that wait at most.
        """
        self._answer = answer
        self._clock = clock
        self._questions: queue.Queue[Delivery[Message] | None] = queue.Queue()
        self._bound = bound
        self._lock = threading.Lock()
        self._waiting = self._answered = self._refused = 0
        self._closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"answers-{number}", daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> Self:
        """Start the threads."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; what still waits is not looked into."""
        self._closing = True
        for _ in self._threads:
            self._questions.put(None)
        for thread in self._threads:
            thread.join(GOODBYE_S)

    def ask(self, delivery: Delivery[Message]) -> None:
        """Take a question; it is answered soon, if only with "busy"."""
        with self._lock:
            full = self._waiting >= self._bound + len(self._threads)
            if not full:
                self._waiting += 1
        if full:
            self._refuse(delivery)
        else:
            self._questions.put(delivery)

    @property
    def waiting(self) -> int:
        """Questions that wait for their turn, or are looked into."""
        return self._waiting

    @property
    def answered(self) -> int:
        """Questions looked into since the start."""
        return self._answered

    @property
    def refused(self) -> int:
        """Questions not looked into, because too many waited."""
        return self._refused

    def _work(self) -> None:
        while (delivery := self._questions.get()) is not None and not self._closing:
            if self._clock() - delivery.received_at > PATIENCE_S:
                self._refuse(delivery)
            else:
                delivery.reply(self._answer(delivery.message))
                with self._lock:
                    self._answered += 1
            with self._lock:
                self._waiting -= 1

    def _refuse(self, delivery: Delivery[Message]) -> None:
        with self._lock:
            self._refused += 1
        reason = f"{self._bound} questions wait already: ask again in some seconds"
        delivery.reply(Reply(ok=False, reason=reason, details={BUSY: True}))
