"""Questions whose answers need the disk or the processor: other threads than the loop's do them."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from nxai_common.contracts.commands import Reply

log = logging.getLogger(__name__)

GOODBYE_S: Final = 5.0
"""An answer that is being worked out at the end is waited for so long."""
ENDS: Final = Reply(ok=False, reason="the service ends; ask again when it is back")


@dataclass(frozen=True, slots=True)
class _Errand:
    work: Callable[[], Reply]
    reply: Callable[[Reply], None]


class Errands:
    """A few threads, and a bounded queue in front of them (context manager)."""

    def __init__(self, name: str, threads: int, longest: int) -> None:
        """Prepare; the threads start on entering.

        Args:
            name: Of the threads.
            threads: How many; with one, errands are done in the order in which they came.
            longest: So many wait at most.
        """
        self._longest = longest
        self._changed = threading.Condition()
        """Guards all below."""
        self._waiting: deque[_Errand] = deque()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> Self:
        """Begin to work."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Answer who waits that there is no answer; wait for what is under way, not for ever."""
        with self._changed:
            self._closing = True
            left = tuple(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for errand in left:
            errand.reply(ENDS)
        for thread in self._threads:
            thread.join(GOODBYE_S)

    def give(self, work: Callable[[], Reply], reply: Callable[[Reply], None]) -> bool:
        """Have an answer worked out and given; False when too many wait, or at the end."""
        with self._changed:
            if self._closing or len(self._waiting) >= self._longest:
                return False
            self._waiting.append(_Errand(work, reply))
            self._changed.notify()
            return True

    def _run(self) -> None:
        while (errand := self._next()) is not None:
            try:
                errand.reply(errand.work())
            except Exception:  # the next one must still be done
                log.exception("an answer could not be given")

    def _next(self) -> _Errand | None:
        """Return the next one, once there is one; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return None if self._closing else self._waiting.popleft()
