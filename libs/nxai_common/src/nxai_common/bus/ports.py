"""What a service may ask of the bus. Implemented by `MqttBus` and `MemoryBus`.

One promise suite (`tests/contract/test_bus_promises.py`) runs over both.

Promises:

1. `publish` never blocks on the network. While the broker is away, LATEST and STREAM messages
   are dropped and counted; RELIABLE ones wait in a bounded queue and are counted when it
   overflows (the oldest goes); STATE keeps the newest per topic and sends it on reconnect.
2. An inbox hands out messages on the caller's thread, decoded there. STATE and commands come
   before data. RELIABLE and STREAM keep their order. LATEST is one slot per topic (`depth` of
   the message class, where it is not 1), newest wins, topics take turns.
3. A RELIABLE message that was not acknowledged is delivered again after a reconnect or to the
   next process, unless the inbox was opened with `volatile=True`.
4. A payload that breaks its contract is counted, logged once a while and skipped; it never
   reaches the service and never stops the inbox.
5. Who asks for it (`Subscription.cleared`) is told when a retained message is removed while the
   broker is there; everybody else hears nothing of it.
6. What opens closes: `with bus:` connects and says goodbye.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, Generic, Protocol, Self, TypeVar

from nxai_common.contracts.base import Message, Policy
from nxai_common.contracts.commands import Command, Reply

M_co = TypeVar("M_co", bound=Message, covariant=True)


class Delivery(Protocol[M_co]):
    """A message in hand, with the means to answer for it."""

    @property
    def message(self) -> M_co:
        """The decoded message."""
        ...

    @property
    def received_at(self) -> float:
        """`time.monotonic()` at which it came from the network."""
        ...

    @property
    def owed(self) -> bool:
        """Whether the sender keeps the message until it is acknowledged."""
        ...

    def acknowledge(self) -> None:
        """Say that the work is safe. Needed for RELIABLE messages only; harmless otherwise."""
        ...

    def reply(self, reply: Reply) -> None:
        """Answer a command. Does nothing when the sender asked for no answer."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription(Generic[M_co]):
    """Messages of one class, of all or some topics."""

    message: type[M_co]
    levels: Mapping[str, str] = field(default_factory=dict)
    """Fixed topic levels, such as ``{"service": "capture"}``; the others match anything."""
    share: str | None = None
    """Name of a group: the broker gives each message to one member of it (MQTT 5 shared
    subscription). Retained messages are not delivered to shared subscriptions."""
    cleared: bool = False
    """STATE only: deliver a `Cleared` when a retained message is removed."""


class Cleared(Message):
    """A retained message is no more. Made by the bus, never published."""

    policy: ClassVar[Policy] = Policy.STATE

    kind: type[Message]
    levels: dict[str, str]
    """The levels of its topic, by name."""


class Inbox(Protocol):
    """A bounded mailbox of one consumer thread."""

    def receive(self, timeout: float | None = None) -> Delivery[Message] | None:
        """Return the next delivery, or None after `timeout` seconds or when closed."""
        ...

    def receive_many(self, limit: int, timeout: float | None = None) -> list[Delivery[Message]]:
        """Wait as `receive` does for the first, then take what is there, up to `limit`."""
        ...

    def wake(self) -> None:
        """Make a waiting `receive` return None at once (from any thread)."""
        ...

    @property
    def dropped(self) -> int:
        """Messages lost here because this consumer was slow."""
        ...

    @property
    def rejected(self) -> int:
        """Payloads refused because they broke their contract."""
        ...

    def close(self) -> None:
        """Unsubscribe; `receive` returns None from now on."""
        ...


@dataclass(frozen=True, slots=True)
class BusStatistics:
    """Ever-growing counts, and what waits."""

    published: int = 0
    dropped: int = 0
    """Never sent: the broker was away or a bound was reached."""
    received: int = 0
    rejected: int = 0
    reconnects: int = 0
    waiting: int = 0
    """Now: kept to be sent, until the socket takes more or, with every state to be told again, the
    broker is back."""


class Bus(Protocol):
    """Publish and receive typed messages of one device."""

    @property
    def device(self) -> str:
        """Second-level name of all topics."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the broker answers now."""
        ...

    @property
    def statistics(self) -> BusStatistics:
        """Counts since the start, and what waits now."""
        ...

    def publish(self, message: Message) -> bool:
        """Send, or keep to be sent; False when it was dropped at once.

        An older message may go for it: `statistics.dropped` counts both.
        """
        ...

    def together(self) -> AbstractContextManager[None]:
        """Let what this thread publishes inside leave in one write. Keep it short: no I/O."""
        ...

    def clear(self, message: type[Message], **levels: str) -> None:
        """Remove a retained message from the broker."""
        ...

    def subscribe(
        self,
        *subscriptions: Subscription[Message],
        volatile: bool = False,
        bound: int = 10_000,
        aside: bool = False,
    ) -> Inbox:
        """Open an inbox.

        Args:
            subscriptions: What to receive.
            volatile: Receive RELIABLE messages at QoS 0: losing one is fine here.
            bound: STREAM and volatile messages and commands waiting at most; the oldest goes.
            aside: Who waits here leaves the network to others: for rare mail, beside an inbox
                whose messages would else come through one more thread.
        """
        ...

    def request(self, command: Command, timeout: float = 5.0) -> Reply:
        """Send a command and wait for its answer.

        Raises:
            BrokerUnavailable: no answer within `timeout` seconds.
        """
        ...

    def close(self) -> None:
        """Say goodbye."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
