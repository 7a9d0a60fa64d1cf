"""The mailbox behind every inbox: where the policy of each message class is kept.

The network side only calls `Mailbox.put`; everything that can fail (decoding above all)
happens in `receive`, on the consumer's own thread.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from nxai_common.bus.ports import Cleared, Delivery, Subscription
from nxai_common.contracts.base import Message, Policy
from nxai_common.contracts.commands import Command, Reply
from nxai_common.errors import InvalidPayload

log = logging.getLogger(__name__)

LOG_REJECTED_EVERY_S: Final = 10.0
"""A broken sender at 30 messages a second must not fill the disk with log lines."""


def nothing() -> None:
    """Acknowledge a message that needs no acknowledgement."""


@dataclass(slots=True)
class Parcel:
    """An undecoded message as it came from the network."""

    topic: str
    payload: bytes
    kind: type[Message]
    received_at: float
    acknowledge: Callable[[], None] = nothing
    respond: Callable[[Reply], None] | None = None


@dataclass(slots=True)
class Letter:
    """A decoded message in hand (the `Delivery` of both buses)."""

    message: Message
    received_at: float
    _acknowledge: Callable[[], None]
    _respond: Callable[[Reply], None] | None

    @property
    def owed(self) -> bool:
        """Whether the sender keeps the message until it is acknowledged."""
        return self._acknowledge is not nothing

    def acknowledge(self) -> None:
        """Say that the work is safe."""
        self._acknowledge()

    def reply(self, reply: Reply) -> None:
        """Answer a command."""
        if self._respond is not None:
            self._respond(reply)


class Pump(Protocol):
    """Moves messages from the network into mailboxes while a consumer waits."""

    def wait_for_mail(self, mailbox: "Mailbox", timeout: float | None) -> None:
        """Return when `mailbox` may have mail, was woken or closed, or `timeout` s are over."""
        ...

    def rouse(self) -> None:
        """Let whoever waits for mail look whether it was woken."""
        ...

    def forget(self, mailbox: "Mailbox") -> None:
        """Unsubscribe a closed mailbox."""
        ...


@dataclass(slots=True)
class _Queues:
    """Mail by urgency. Invariants are kept by `Mailbox` under its lock."""

    state: dict[str, Parcel] = field(default_factory=dict)
    commands: deque[Parcel] = field(default_factory=deque)
    ordered: deque[Parcel] = field(default_factory=deque)
    droppable: int = 0
    """How many of `ordered` may be dropped (STREAM, or RELIABLE read as volatile)."""
    latest: dict[str, deque[Parcel]] = field(default_factory=dict)
    """By topic, at most `Message.depth` each; the topic of the next turn is first."""


class Mailbox:
    """A bounded inbox of one consumer thread (implements the `Inbox` port)."""

    def __init__(
        self,
        subscriptions: tuple[Subscription[Message], ...],
        pump: Pump,
        *,
        volatile: bool,
        bound: int,
        aside: bool = False,
    ) -> None:
        self.subscriptions: Final = subscriptions
        self.volatile: Final = volatile
        self.aside: Final = aside
        self._cleared = frozenset(s.message for s in subscriptions if s.cleared)
        self._pump = pump
        self._bound = bound
        self._queues = _Queues()
        self.condition: Final = threading.Condition(threading.Lock())
        self._closed = False
        self._woken = False
        self._dropped = 0
        self._rejected = 0
        self._rejected_logged_at = float("-inf")

    # -- network side -------------------------------------------------------------------

    def wants(self, kind: type[Message], payload: bytes) -> bool:
        """Tell whether a message is mail, or only the removal of one that nobody asked for."""
        return bool(payload) or kind.policy is not Policy.STATE or kind in self._cleared

    def put(self, parcel: Parcel) -> None:
        """Take a parcel from the network; never blocks, never raises."""
        with self.condition:
            if self._closed:
                return
            policy = parcel.kind.policy
            queues = self._queues
            if policy is Policy.STATE:
                queues.state.pop(parcel.topic, None)  # the newest goes to the end of the line
                queues.state[parcel.topic] = parcel
            elif policy is Policy.LATEST:
                waiting = queues.latest.setdefault(parcel.topic, deque())
                waiting.append(parcel)  # the topic keeps its place: topics take turns
                if len(waiting) > parcel.kind.depth:
                    waiting.popleft()
                    self._dropped += 1
            elif issubclass(parcel.kind, Command):
                queues.commands.append(parcel)
                if len(queues.commands) > self._bound:
                    queues.commands.popleft()
                    self._dropped += 1
            else:
                self._put_ordered(parcel, droppable=policy is Policy.STREAM or self.volatile)
            self.condition.notify()

    def _put_ordered(self, parcel: Parcel, *, droppable: bool) -> None:
        queues = self._queues
        queues.ordered.append(parcel)
        if not droppable:
            return  # bounded by the broker: no more than our receive maximum unacknowledged
        queues.droppable += 1
        if queues.droppable > self._bound:
            oldest = next(
                index
                for index, old in enumerate(queues.ordered)
                if old.kind.policy is Policy.STREAM or self.volatile
            )
            del queues.ordered[oldest]
            queues.droppable -= 1
            self._dropped += 1

    # -- consumer side ------------------------------------------------------------------

    def receive(self, timeout: float | None = None) -> Delivery[Message] | None:
        """Return the next delivery, or None after `timeout` seconds, when woken or closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            parcel = self._take()
            if parcel is not None:
                letter = self._open(parcel)
                if letter is not None:
                    return letter
                continue
            if self._closed or self._take_wake():
                return None
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return None
            self._pump.wait_for_mail(self, remaining)

    def receive_many(self, limit: int, timeout: float | None = None) -> list[Delivery[Message]]:
        """Wait for the first as `receive` does, then take what is there, up to `limit`."""
        letters: list[Delivery[Message]] = []
        first = self.receive(timeout)
        if first is not None:
            letters.append(first)
            while len(letters) < limit and (parcel := self._take()) is not None:
                letter = self._open(parcel)
                if letter is not None:
                    letters.append(letter)
        return letters

    @property
    def has_mail(self) -> bool:
        """Whether a waiting consumer should look now. Call with `condition` held, or as a hint."""
        queues = self._queues
        return (
            bool(queues.state or queues.commands or queues.ordered or queues.latest)
            or self._woken
            or self._closed
        )

    def wake(self) -> None:
        """Make a waiting `receive` return None at once (from any thread)."""
        with self.condition:
            self._woken = True
            self.condition.notify()
        self._pump.rouse()

    @property
    def dropped(self) -> int:
        """Messages lost here because this consumer was slow."""
        return self._dropped

    @property
    def rejected(self) -> int:
        """Payloads refused because they broke their contract."""
        return self._rejected

    def close(self) -> None:
        """Unsubscribe. What was not acknowledged will be delivered again to the next process."""
        with self.condition:
            self._closed = True
            self._queues = _Queues()
            self.condition.notify()
        self._pump.forget(self)

    def _take(self) -> Parcel | None:
        with self.condition:
            queues = self._queues
            if queues.state:
                return queues.state.pop(next(iter(queues.state)))
            if queues.commands:
                return queues.commands.popleft()
            if queues.ordered:
                parcel = queues.ordered.popleft()
                if parcel.kind.policy is Policy.STREAM or self.volatile:
                    queues.droppable -= 1
                return parcel
            if queues.latest:
                topic = next(iter(queues.latest))
                waiting = queues.latest.pop(topic)
                parcel = waiting.popleft()
                if waiting:
                    queues.latest[topic] = waiting  # to the end of the line
                return parcel
            return None

    def _take_wake(self) -> bool:
        with self.condition:
            woken, self._woken = self._woken, False
            return woken

    def _open(self, parcel: Parcel) -> Letter | None:
        try:
            message = _decode(parcel)
        except InvalidPayload as error:
            self._rejected += 1
            now = time.monotonic()
            if now - self._rejected_logged_at >= LOG_REJECTED_EVERY_S:
                self._rejected_logged_at = now
                log.warning("refused a message: %s (%d refused so far)", error, self._rejected)
            parcel.acknowledge()  # it would be just as broken the next time
            return None
        return Letter(message, parcel.received_at, parcel.acknowledge, parcel.respond)


def _decode(parcel: Parcel) -> Message:
    if parcel.payload or parcel.kind.policy is not Policy.STATE:
        return parcel.kind.decode(parcel.topic, parcel.payload)
    levels = parcel.kind.template.parse(parcel.topic)
    if levels is None:
        raise InvalidPayload(f"{parcel.topic!r} is not a topic of {parcel.kind.__name__}")
    return Cleared(kind=parcel.kind, levels=levels)
