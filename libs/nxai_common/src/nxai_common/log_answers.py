"""Answers `ReadLog`, for every service alike and beside whatever it does."""

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Final

from nxai_common.bus.ports import Bus, Inbox, Subscription
from nxai_common.contracts.commands import ReadLog, Reply
from nxai_common.logs import RecentLines

WAITING: Final = 20
"""Questions that may wait; who asks faster than that is not a person."""


@contextlib.contextmanager
def log_answered(bus: Bus, instance: str, lines: RecentLines) -> Iterator[None]:
    """Answer questions for the log of a service, on a thread of its own.

    Nothing in here logs: an answer would else be the next line to ask for.

    Args:
        bus: Open, or about to be.
        instance: Name of the service.
        lines: What it logs.
    """
    wanted = Subscription(ReadLog, {"service": instance})
    inbox = bus.subscribe(wanted, bound=WAITING, aside=True)
    thread = threading.Thread(target=_answer_all, args=(inbox, lines), name="log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        inbox.close()
        thread.join()


def _answer_all(inbox: Inbox, lines: RecentLines) -> None:
    while (delivery := inbox.receive()) is not None:
        command = delivery.message
        if isinstance(command, ReadLog):
            recent = lines.read(command.after, command.level, command.limit)
            written = json.dumps({"lines": recent.lines, "next": recent.next})
            delivery.reply(Reply(ok=True, attachment=written.encode()))
