"""The bus in memory: a broker and buses for tests and for everything in one process.

Keeps the same promises as `MqttBus` (tests/contract/test_bus_promises.py) and moves the very
same bytes, so that a message that cannot be encoded fails here too.
"""

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

from nxai_common.bus.mailbox import Mailbox, Parcel, nothing
from nxai_common.bus.ports import BusStatistics, Inbox, Subscription
from nxai_common.bus.routing import Router, wants_answer
from nxai_common.contracts.base import Message, Policy, payload_of
from nxai_common.contracts.commands import Command, Reply
from nxai_common.errors import BrokerUnavailable, InvalidPayload

RELIABLE_BACKLOG: Final = 1000
"""RELIABLE messages kept while the broker is away: half a minute of one 30 fps camera."""


@dataclass(slots=True)
class _Packet:
    topic: str
    payload: bytes
    policy: Policy
    respond: Callable[[Reply], None] | None = None


_Member = tuple["MemoryBus", Mailbox, type[Message]]


class MemoryBroker:
    """Keeps retained messages and hands packets to the buses that are connected."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._buses: list[MemoryBus] = []
        self._retained: dict[str, _Packet] = {}
        self._turns: dict[str, itertools.count[int]] = {}
        self.up = True

    def attach(self, bus: "MemoryBus") -> None:
        """Let a bus take part."""
        with self._lock:
            self._buses.append(bus)

    def detach(self, bus: "MemoryBus") -> None:
        """Forget a bus."""
        with self._lock:
            self._buses.remove(bus)

    def stop(self) -> None:
        """Be away, as a broker that was killed."""
        with self._lock:
            self.up = False

    def start(self, *, empty: bool = False) -> None:
        """Come back; `empty`: without any retained message, as after a lost disk."""
        with self._lock:
            self.up = True
            if empty:
                self._retained.clear()
            buses = list(self._buses)
        for bus in buses:
            bus.reconnected()

    def send(self, packet: _Packet) -> None:
        """Give a packet to everyone who wants it; one member of each shared group gets it."""
        with self._lock:
            if packet.policy.retained:
                if packet.payload:
                    self._retained[packet.topic] = packet
                else:
                    self._retained.pop(packet.topic, None)
            groups: dict[str, list[_Member]] = {}
            for bus in self._buses:
                for mailbox, kind in bus.router.route(packet.topic):
                    share = next(
                        (s.share for s in mailbox.subscriptions if s.message is kind), None
                    )
                    group = f"only {id(mailbox)}" if share is None else f"share {share}"
                    groups.setdefault(group, []).append((bus, mailbox, kind))
            for group, members in groups.items():
                bus, mailbox, kind = self._next_of(group, members)
                bus.deliver(packet, mailbox, kind)  # in here: packets keep their order

    def _next_of(self, group: str, members: list[_Member]) -> _Member:
        if len(members) == 1:
            return members[0]
        return members[next(self._turns.setdefault(group, itertools.count())) % len(members)]

    def send_raw(self, topic: str, payload: bytes, policy: Policy) -> None:
        """Send bytes of any sender, as an outside program could."""
        self.send(_Packet(topic, payload, policy))

    def admit(self, bus: "MemoryBus", mailbox: Mailbox) -> None:
        """Let a bus deliver into a new mailbox, what is retained first.

        In one step, as a broker does: what is published meanwhile comes once, not retained and
        live.
        """
        with self._lock:
            bus.router.add(mailbox)
            if bus.connected:
                self.retained_for(bus, mailbox)

    def retained_for(self, bus: "MemoryBus", mailbox: Mailbox) -> None:
        """Deliver what is retained to a mailbox (never to a shared subscription)."""
        with self._lock:
            for packet in self._retained.values():
                for wanting, kind in bus.router.route(packet.topic):
                    shared = any(s.share for s in mailbox.subscriptions if s.message is kind)
                    if wanting is mailbox and not shared:
                        bus.deliver(packet, mailbox, kind)


class MemoryBus:
    """One connection to a `MemoryBroker` (implements the `Bus` port)."""

    def __init__(self, broker: MemoryBroker, device: str = "box") -> None:
        self._broker = broker
        self._device = device
        self._lock = threading.RLock()
        self.router: Final = Router(device)
        self._statistics = BusStatistics()
        self._backlog: deque[_Packet] = deque()
        self._state: dict[str, _Packet] = {}
        self._unacknowledged: dict[int, tuple[_Packet, Mailbox, type[Message]]] = {}
        self._ids = itertools.count()
        self._open = False

    @property
    def device(self) -> str:
        """Name of the device in all topics."""
        return self._device

    @property
    def connected(self) -> bool:
        """Whether the broker answers now."""
        return self._open and self._broker.up

    @property
    def statistics(self) -> BusStatistics:
        """Counts since the start, and what waits now."""
        with self._lock:
            rejected = sum(mailbox.rejected for mailbox in self.router.mailboxes())
            waiting = 0 if self.connected else len(self._backlog) + len(self._state)
            return replace(self._statistics, rejected=rejected, waiting=waiting)

    def publish(self, message: Message) -> bool:
        """Send; False when it was dropped at once."""
        topic = message.topic(self._device)
        return self._send(_Packet(topic, payload_of(message, topic), message.policy))

    def together(self) -> AbstractContextManager[None]:
        """Let what this thread publishes inside leave in one write: here there is none to save."""
        return nullcontext()

    def clear(self, message: type[Message], **levels: str) -> None:
        """Remove a retained message from the broker."""
        self._send(_Packet(message.template.build(self._device, **levels), b"", Policy.STATE))

    def subscribe(
        self,
        *subscriptions: Subscription[Message],
        volatile: bool = False,
        bound: int = 10_000,
        aside: bool = False,
    ) -> Inbox:
        """Open an inbox."""
        mailbox = Mailbox(subscriptions, self, volatile=volatile, bound=bound, aside=aside)
        self._broker.admit(self, mailbox)
        return mailbox

    def request(self, command: Command, timeout: float = 5.0) -> Reply:
        """Send a command and wait for its answer."""
        answered = threading.Event()
        replies: list[Reply] = []

        topic = command.topic(self._device)

        def respond(reply: Reply) -> None:
            try:
                payload_of(reply, topic)
            except InvalidPayload as error:
                reply = Reply(ok=False, reason=str(error))
            replies.append(reply)
            answered.set()

        self._send(_Packet(topic, payload_of(command, topic), command.policy, respond))
        if not answered.wait(timeout):
            raise BrokerUnavailable(f"no answer to {topic!r} within {timeout:g} s")
        return replies[0]

    def close(self) -> None:
        """Say goodbye."""
        if self._open:
            self._open = False
            for mailbox in self.router.mailboxes():
                mailbox.close()
            self._broker.detach(self)

    def __enter__(self) -> Self:
        """Connect."""
        self._open = True
        self._broker.attach(self)
        if self._broker.up:
            self.reconnected()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say goodbye."""
        self.close()

    # -- called by the broker and by mailboxes --------------------------------------------

    def deliver(self, packet: _Packet, mailbox: Mailbox, kind: type[Message]) -> None:
        """Put a packet into one of our mailboxes."""
        if not mailbox.wants(kind, packet.payload):
            return
        acknowledge = nothing
        with self._lock:
            self._statistics = replace(self._statistics, received=self._statistics.received + 1)
            if packet.policy is Policy.RELIABLE and not mailbox.volatile:
                number = next(self._ids)
                self._unacknowledged[number] = (packet, mailbox, kind)
                acknowledge = lambda: self._settle(number)  # noqa: E731 - a one-line closure
        respond = packet.respond if wants_answer(kind) else None
        mailbox.put(
            Parcel(packet.topic, packet.payload, kind, time.monotonic(), acknowledge, respond)
        )

    def reconnected(self) -> None:
        """Send what waited, then hear again what was never acknowledged."""
        with self._lock:
            waiting = [*self._state.values(), *self._backlog]
            self._state = {t: packet for t, packet in self._state.items() if packet.payload}
            self._backlog.clear()
            again = list(self._unacknowledged.values())
            self._unacknowledged.clear()
            self._statistics = replace(self._statistics, reconnects=self._statistics.reconnects + 1)
        for packet in waiting:
            self._broker.send(packet)
        for mailbox in self.router.mailboxes():
            self._broker.retained_for(self, mailbox)
        for packet, mailbox, kind in again:
            self.deliver(packet, mailbox, kind)

    def wait_for_mail(self, mailbox: Mailbox, timeout: float | None) -> None:
        """Wait until `mailbox` has mail."""
        with mailbox.condition:
            if not mailbox.has_mail:
                mailbox.condition.wait(timeout)

    def rouse(self) -> None:
        """Do nothing: consumers wait for their mailbox's condition alone."""

    def forget(self, mailbox: Mailbox) -> None:
        """Unsubscribe a closed mailbox."""
        self.router.remove(mailbox)

    def _settle(self, number: int) -> None:
        with self._lock:
            self._unacknowledged.pop(number, None)

    def _send(self, packet: _Packet) -> bool:
        with self._lock:
            if packet.policy is Policy.STATE:
                self._state[packet.topic] = packet
                if not packet.payload and self.connected:
                    del self._state[packet.topic]
            if not self.connected:
                return self._keep(packet)
            self._statistics = replace(self._statistics, published=self._statistics.published + 1)
        self._broker.send(packet)
        return True

    def _keep(self, packet: _Packet) -> bool:
        if packet.policy is Policy.STATE:
            return True
        if packet.policy is Policy.RELIABLE:
            self._backlog.append(packet)
            if len(self._backlog) <= RELIABLE_BACKLOG:
                return True
            self._backlog.popleft()
        self._statistics = replace(self._statistics, dropped=self._statistics.dropped + 1)
        return packet.policy is Policy.RELIABLE
