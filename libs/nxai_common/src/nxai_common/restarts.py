"""Answers `RestartService`, for every service alike and beside whatever it does."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Final

from nxai_common.bus.ports import Bus, Inbox, Subscription
from nxai_common.contracts.commands import Reply, RestartService

log = logging.getLogger(__name__)

WAITING: Final = 2
"""Who asks more often gets what he wants with the first."""


@contextlib.contextmanager
def restart_answered(bus: Bus, instance: str, end: Callable[[], None]) -> Iterator[threading.Event]:
    """Let whoever asks for it end the service, so that its supervisor starts it anew.

    Args:
        bus: Open, or about to be.
        instance: Name of the service.
        end: Ends the service.

    Yields:
        Set when somebody asked.
    """
    inbox = bus.subscribe(
        Subscription(RestartService, {"service": instance, "name": "restart"}),
        bound=WAITING,
        aside=True,
    )
    asked = threading.Event()
    thread = threading.Thread(target=_wait, args=(inbox, asked, end), name="restart", daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        inbox.close()
        thread.join()


def _wait(inbox: Inbox, asked: threading.Event, end: Callable[[], None]) -> None:
    while (delivery := inbox.receive()) is not None:
        if isinstance(delivery.message, RestartService):
            log.info("somebody asked for a restart")
            delivery.reply(Reply(ok=True))
            asked.set()
            end()
