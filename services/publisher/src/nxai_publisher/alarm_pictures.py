"""The pictures of alarms: fetched one after the other before the alarms are kept."""

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

from nxai_common.bus.ports import Bus, Delivery
from nxai_common.contracts.alarms import Alarm, AlarmPhase
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import TakeSnapshot
from nxai_common.errors import BrokerUnavailable
from nxai_publisher.core.drafts import Draft, Posted

log = logging.getLogger(__name__)

PATIENCE_S: Final = 2.0
"""Capture keeps a frame for seconds only, and an alarm is to be heard soon."""
WIDTH: Final = 1280
"""Wide enough to see what is there, 100 to 200 kB."""
BOUND: Final = 100
"""Alarms that wait for their pictures; while more do, the oldest go without."""
GOODBYE_S: Final = 3.0

HandOn = Callable[[Posted, Delivery[Message]], bool]


@dataclass(frozen=True, slots=True)
class _Waiting:
    drafts: tuple[Draft, ...]
    key: tuple[object, ...]
    delivery: Delivery[Message]


class AlarmPictures:
    """Works from a thread of its own (context manager); alarms leave in the order they came."""

    def __init__(self, bus: Bus, hand_on: HandOn) -> None:
        """Prepare.

        Args:
            bus: Open; capture answers over it.
            hand_on: Gets the alarms with their pictures; False: it could not take them.
        """
        self._bus = bus
        self._hand_on = hand_on
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        """Bounded by who gives: results that are not acknowledged yet, and rules that hold."""
        self._keys: Counter[tuple[object, ...]] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alarm pictures", daemon=True)
        self.missed = 0
        """Alarms that went without."""
        self.lost = 0
        """Alarms that were not kept: a result that comes again gives none again."""

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hand on what waits, without pictures."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join(GOODBYE_S)

    def holds(self, key: tuple[object, ...]) -> bool:
        """Tell whether anything of this key waits here."""
        with self._lock:
            return self._keys[key] > 0

    def put(
        self, drafts: Sequence[Draft], key: tuple[object, ...], delivery: Delivery[Message]
    ) -> None:
        """Take what is to be kept once it has its pictures."""
        with self._lock:
            self._keys[key] += 1
        self._queue.put(_Waiting(tuple(drafts), key, delivery))

    def _run(self) -> None:
        while (waiting := self._queue.get()) is not None:
            drafts = tuple(replace(one, picture=self._picture(one)) for one in waiting.drafts)
            self._pass_on(replace(waiting, drafts=drafts))

    def _pass_on(self, waiting: _Waiting) -> None:
        if not self._hand_on(Posted(waiting.key, waiting.drafts), waiting.delivery):
            self.lost += len(waiting.drafts)
        with self._lock:
            self._keys[waiting.key] -= 1
            if not self._keys[waiting.key]:
                del self._keys[waiting.key]

    def _picture(self, draft: Draft) -> bytes:
        alarm = draft.message
        if not isinstance(alarm, Alarm) or alarm.alarm is not AlarmPhase.START or not alarm.stream:
            return b""
        if self._closing.is_set():
            reason = "the service stops"
        elif self._queue.qsize() >= BOUND:
            reason = "too many alarms wait"
        else:
            command = TakeSnapshot(
                camera=alarm.camera,
                stream=alarm.stream,
                sequence=alarm.sequence,
                max_width=WIDTH,
            )
            try:
                reply = self._bus.request(command, PATIENCE_S)
            except BrokerUnavailable as error:
                reason = str(error)
            else:
                if reply.ok:
                    return bytes(reply.attachment)
                reason = reply.reason
        self.missed += 1
        log.info("alarm %s goes without a picture: %s", alarm.id, reason)
        return b""
