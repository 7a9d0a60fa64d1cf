"""One delivery that several must have before the broker may forget it."""

import threading
from collections.abc import Iterator

from nxai_common.bus.ports import Delivery
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import Reply


def parts_of(delivery: Delivery[Message], count: int) -> Iterator[Delivery[Message]]:
    """Return so many deliveries of the same message; it is acknowledged once all of them are."""
    if count == 0:
        delivery.acknowledge()
        return iter(())
    if count == 1:
        return iter((delivery,))
    joint = _Joint(delivery, count)
    return iter([_Part(joint) for _ in range(count)])


class _Joint:
    def __init__(self, delivery: Delivery[Message], count: int) -> None:
        self.delivery = delivery
        self._missing = count
        self._lock = threading.Lock()

    def settle(self) -> None:
        with self._lock:
            self._missing -= 1
            last = self._missing == 0
        if last:
            self.delivery.acknowledge()


class _Part:
    def __init__(self, joint: _Joint) -> None:
        self._joint: _Joint | None = joint
        self._delivery = joint.delivery

    @property
    def message(self) -> Message:
        return self._delivery.message

    @property
    def received_at(self) -> float:
        return self._delivery.received_at

    @property
    def owed(self) -> bool:
        return self._delivery.owed

    def acknowledge(self) -> None:
        """Count once, however often it is said."""
        joint, self._joint = self._joint, None
        if joint is not None:
            joint.settle()

    def reply(self, reply: Reply) -> None:
        self._delivery.reply(reply)


class Nobody:
    """The delivery of what no broker waits for."""

    received_at = 0.0
    owed = False

    def __init__(self, message: Message) -> None:
        self.message = message

    def acknowledge(self) -> None:
        """Do nothing."""

    def reply(self, reply: Reply) -> None:
        """Do nothing."""
