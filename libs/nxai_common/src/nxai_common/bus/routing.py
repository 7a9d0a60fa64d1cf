"""Which mailbox wants which topic."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from nxai_common.bus.mailbox import Mailbox
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.base import Message, Policy
from nxai_common.contracts.commands import Command

CACHED_TOPICS: Final = 4096
"""A box has tens of topics; a flood of made-up ones must not fill the memory."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What the broker is asked for."""

    text: str
    qos: Literal[0, 1]


def filter_of(subscription: Subscription[Message], device: str, *, volatile: bool) -> Filter:
    """Return the MQTT filter of a subscription."""
    kind = subscription.message
    levels = dict(subscription.levels)
    for name in ("service", "name"):  # a Configuration or Command class knows its own
        known = kind.model_fields.get(name)
        if name in kind.template.names and name not in levels and known is not None:
            default = known.get_default()
            if isinstance(default, str):
                levels[name] = default
    text = kind.filter(device, **levels)
    if subscription.share is not None:
        text = f"$share/{subscription.share}/{text}"
    # STATE is asked for at QoS 0: a resumed session first brings up to a window of unacknowledged
    # results, and a retained configuration at QoS 1 would wait behind them. Nothing is lost by
    # it: subscribing again after a break brings what is retained.
    downgraded = kind.policy is Policy.STATE or (volatile and kind.policy is Policy.RELIABLE)
    qos: Literal[0, 1] = 0 if downgraded else kind.policy.qos
    return Filter(text, qos)


class Router:
    """Knows the mailboxes, their filters, and the way from a topic to them."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._entries: list[tuple[Mailbox, type[Message], Filter]] = []
        self._routes: dict[str, tuple[tuple[Mailbox, type[Message]], ...]] = {}

    def add(self, mailbox: Mailbox) -> list[Filter]:
        """Add a mailbox; return its filters."""
        entries = [
            (mailbox, s.message, filter_of(s, self._device, volatile=mailbox.volatile))
            for s in mailbox.subscriptions
        ]
        with self._lock:
            self._entries.extend(entries)
            self._routes.clear()
        return [entry[2] for entry in entries]

    def remove(self, mailbox: Mailbox) -> list[Filter]:
        """Remove a mailbox; return the filters that nobody wants any more."""
        with self._lock:
            gone = {entry[2].text for entry in self._entries if entry[0] is mailbox}
            self._entries = [entry for entry in self._entries if entry[0] is not mailbox]
            kept = {entry[2].text for entry in self._entries}
            self._routes.clear()
        return [Filter(text, 0) for text in sorted(gone - kept)]

    def filters(self) -> list[Filter]:
        """Return every filter once, at the highest quality anyone asked for."""
        with self._lock:
            best: dict[str, Literal[0, 1]] = {}
            for _, _, wanted in self._entries:
                if wanted.qos == 1 or wanted.text not in best:
                    best[wanted.text] = wanted.qos
        return [Filter(text, qos) for text, qos in best.items()]

    def route(self, topic: str) -> tuple[tuple[Mailbox, type[Message]], ...]:
        """Return who wants `topic`, and as which class."""
        found = self._routes.get(topic)
        if found is None:
            with self._lock:
                found = tuple(
                    (mailbox, kind)
                    for mailbox, kind, wanted in self._entries
                    if matches(wanted.text, topic)
                )
                if len(self._routes) >= CACHED_TOPICS:
                    self._routes.clear()
                self._routes[topic] = found
        return found

    def mailboxes(self) -> Iterable[Mailbox]:
        """Return every open mailbox once."""
        with self._lock:
            return list(dict.fromkeys(entry[0] for entry in self._entries))


def matches(text: str, topic: str) -> bool:
    """Tell whether an MQTT filter matches a topic; ``$share/group/`` in front is ignored."""
    levels = text.split("/")
    if levels[0] == "$share":
        levels = levels[2:]
    parts = topic.split("/")
    return len(levels) == len(parts) and all(
        level in ("+", part) for level, part in zip(levels, parts, strict=True)
    )


def wants_answer(kind: type[Message]) -> bool:
    """Tell whether messages of this class may carry a response topic."""
    return issubclass(kind, Command)
