"""Waiting until a subscription is in force at the broker."""

from collections.abc import Callable

from nxai_common.bus.ports import Bus, Inbox
from nxai_common.contracts.base import Message
from support.waiting import wait_for


def in_force(sender: Bus, inbox: Inbox, probe: Callable[[int], Message]) -> None:
    """Return when a subscription is in force and no probe is on its way any more.

    Args:
        sender: Whose messages the test is about.
        inbox: Subscribed to the probes, too.
        probe: Makes a message that differs for each number. Probes of one topic come in order, so
            behind the newest there is none that could be taken for the test's own.
    """
    number = 0

    def comes_round() -> bool:
        nonlocal number
        number += 1
        newest = probe(number).encode()
        sender.publish(probe(number))
        while (delivery := inbox.receive(0.2)) is not None:
            delivery.acknowledge()
            if delivery.message.encode() == newest:
                return True
        return False

    wait_for(comes_round, 15, "the subscription is in force")
