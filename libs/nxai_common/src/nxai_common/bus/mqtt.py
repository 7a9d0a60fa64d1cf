"""The bus over MQTT 5: paho-mqtt as the codec, our own loop around it.

paho's own thread costs a socket-pair write, a wake-up and two hand-overs of the GIL per message
sent, and its one message in, one thread switch. Here every call into paho happens under one
lock, sends happen on the thread that publishes, and *the consumer that waits is the network
loop*: `Mailbox.receive` polls the socket itself. A background thread does the same only while no
consumer waits (it also connects, reconnects and keeps the connection alive).

paho quirks this module absorbs:

* TCP_NODELAY is not set (37.7 ms against 5.2 ms latency over three hops at 30 fps);
* its queue for an absent broker is unbounded, and it returns an error for messages that it
  keeps and sends later: nothing is given to paho unless connected, the waiting is done here;
* an exception in a callback would end its thread: callbacks only enqueue;
* message ids start at 1 again in a fresh session: an acknowledgement belongs to its connection.
"""

import contextlib
import logging
import random
import select
import socket
import ssl
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from pydantic import ValidationError

from nxai_common.bus.cloud_events import (
    JSON,
    attributes_of,
    attributes_of_will,
    whole_seconds,
)
from nxai_common.bus.lean_paho import Incoming, LeanClient
from nxai_common.bus.mailbox import Mailbox, Parcel, nothing
from nxai_common.bus.ports import BusStatistics, Inbox, Subscription
from nxai_common.bus.routing import Filter, Router, wants_answer
from nxai_common.bus.sending import Outgoing, SendQueue
from nxai_common.contracts.base import MAX_PAYLOAD_BYTES, Message, Policy, explain, payload_of
from nxai_common.contracts.commands import Command, Reply
from nxai_common.errors import BrokerUnavailable, ConfigurationError, InvalidPayload
from nxai_common.retry import RetryPolicy

log = logging.getLogger(__name__)

KEEPALIVE_S: Final = 15
"""A half-open connection is noticed after 1.5 times this; shorter wakes idle boxes for nothing."""
CONNECT_TIMEOUT_S: Final = 5.0
"""A broker on the box answers in milliseconds, one across a VPN in a second."""
RECONNECT: Final = RetryPolicy(first_s=0.5, factor=2.0, longest_s=5.0)
"""At most 5 s: we promise to be back that soon after the broker is."""
STEADY_S: Final = 10.0
"""A connection that lasted so long was a good one: the next attempt comes at once."""
TAKEN_OVER: Final = 3
"""So many short connections in a row are no accident: two processes share a name."""
LARGEST_PACKET: Final = MAX_PAYLOAD_BYTES + 65_536
"""Topic and properties come on top of the payload."""
SESSION_EXPIRY_S: Final = 3600
"""The broker keeps unacknowledged messages for a restarting process that long. A member of a shared
subscription wants 0: Mosquitto goes on giving a dead member its share while the session lives."""
RECEIVE_MAXIMUM: Final = 1000
"""Unacknowledged RELIABLE messages in our hands: bounds the memory of every inbox."""
ORPHANS: Final = 1000
"""Messages of a resumed session that came before anybody subscribed to them."""
ORPHAN_PATIENCE_S: Final = 10.0
"""Services subscribe within a second of connecting; later nobody will."""
PACKETS_A_TURN: Final = 64
"""Read at most so many packets before looking at the mailbox again."""
LONGEST_POLL_S: Final = 1.0
"""The keepalive thread's rhythm: it must get its turn with paho."""
GRACE_S: Final = 0.05
"""The background thread takes over reading when no consumer did for so long."""
GOODBYE_S: Final = 2.0
"""Time for the last messages and the DISCONNECT to leave."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is, from ``mqtt://host:1883`` or ``mqtts://host:8883``."""

    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read an address.

        Raises:
            ConfigurationError: names what is wrong with the URL.
        """
        if "@" in url:  # looked for first: every other complaint shows the URL
            raise ConfigurationError(
                "the broker's user and password do not belong in its URL; "
                "set NXAI_BROKER_USERNAME and NXAI_BROKER_PASSWORD_FILE"
            )
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigurationError(f"broker {url!r}: {error}") from error
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ConfigurationError(
                f"broker {url!r} is not an address; write mqtt://HOST:1883 or mqtts://HOST:8883"
            )
        tls = parts.scheme == "mqtts"
        return cls(parts.hostname, port or (8883 if tls else 1883), tls)

    def __str__(self) -> str:
        """As a person writes it."""
        return f"mqtt{'s' if self.tls else ''}://{self.host}:{self.port}"


class MqttBus:
    """One connection to the broker (implements the `Bus` port)."""

    def __init__(  # noqa: PLR0913 - who, where, as whom, and what the broker keeps
        self,
        device: str,
        url: str,
        client_id: str,
        username: str | None = None,
        password: str | None = None,
        will: Message | None = None,
        rng: random.Random | None = None,
        *,
        session_expiry_s: int = SESSION_EXPIRY_S,
        receive_maximum: int = RECEIVE_MAXIMUM,
    ) -> None:
        self._device = device
        self._client_id = client_id
        self._session_expiry_s = session_expiry_s
        self._receive_maximum = receive_maximum
        self._address = BrokerAddress.parse(url)
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._router = Router(device)
        self._lock = threading.RLock()
        """Guards paho and everything below."""
        self._lead = threading.Lock()
        """Held by the one thread that reads the network now."""
        self._led_at = 0.0
        self._closing = threading.Event()
        self._connected = threading.Event()
        self._connection = 0
        self._connected_at = 0.0
        self._attempts = 0
        """To connect, since a connection last held."""
        self._short_lived = 0
        """Connections in a row that were lost soon."""
        self._trouble = "not connected yet"
        self._received = 0
        self._forgotten: set[str] = set()
        """Filters to be taken back as soon as there is a connection."""
        self._orphans: deque[tuple[Incoming, int, float]] = deque()
        self._answers: dict[bytes, tuple[threading.Event, list[Reply]]] = {}
        self._answer_topic = f"nxai-replies/{client_id}-{uuid.uuid4().hex[:8]}"
        self._thread = threading.Thread(target=self._look_after, name="bus", daemon=True)
        self._client = self._build_client(client_id, username, password)
        self._will = will
        self._queue = SendQueue(self._client)

    # -- Bus port -------------------------------------------------------------------------

    @property
    def device(self) -> str:
        """Name of the device in all topics."""
        return self._device

    @property
    def connected(self) -> bool:
        """Whether the broker answers now."""
        return self._connected.is_set()

    @property
    def trouble(self) -> str:
        """Why there is no connection, in plain words; empty when there is one."""
        return self._trouble

    @property
    def statistics(self) -> BusStatistics:
        """Counts since the start, and what waits now."""
        with self._lock:
            return BusStatistics(
                published=self._queue.published,
                dropped=self._queue.dropped,
                received=self._received,
                rejected=sum(mailbox.rejected for mailbox in self._router.mailboxes()),
                reconnects=max(0, self._connection - 1),
                waiting=self._queue.unsent + (0 if self.connected else self._queue.states),
            )

    def publish(self, message: Message) -> bool:
        """Send; False when it was dropped at once."""
        topic = message.topic(self._device)
        payload = payload_of(message, topic)
        lasts_s = message.expires_after_s
        expires_at = None if lasts_s is None else time.monotonic() + lasts_s
        return self._send(
            Outgoing(
                topic,
                payload,
                message.policy,
                depth=message.depth,
                attributes=attributes_of(message, topic, payload),
                expires_at=expires_at,
            )
        )

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Let what this thread publishes inside leave in one write."""
        with self._lock:
            self._client.gather()
            try:
                yield
            finally:
                self._client.let_go()
                self._go_on()

    def clear(self, message: type[Message], **levels: str) -> None:
        """Remove a retained message from the broker."""
        self._send(Outgoing(message.template.build(self._device, **levels), b"", Policy.STATE))

    def subscribe(
        self,
        *subscriptions: Subscription[Message],
        volatile: bool = False,
        bound: int = 10_000,
        aside: bool = False,
    ) -> Inbox:
        """Open an inbox."""
        mailbox = Mailbox(subscriptions, self, volatile=volatile, bound=bound, aside=aside)
        with self._lock:  # nothing may come in before the orphans, which are older
            filters = self._router.add(mailbox)
            self._adopt_orphans()
            if self.connected:
                self._ask_for(filters)
                self._go_on()
        return mailbox

    def request(self, command: Command, timeout: float = 5.0) -> Reply:
        """Send a command and wait for its answer."""
        topic = command.topic(self._device)
        properties = Properties(PacketTypes.PUBLISH)
        correlation = uuid.uuid4().bytes
        properties.ResponseTopic = self._answer_topic
        properties.CorrelationData = correlation
        answered = threading.Event()
        replies: list[Reply] = []
        self._answers[correlation] = (answered, replies)
        deadline = time.monotonic() + timeout
        try:
            self._send(Outgoing(topic, payload_of(command, topic), command.policy, properties))
            while not answered.is_set() and (left := deadline - time.monotonic()) > 0:
                if self.connected and self._lead.acquire(blocking=False):
                    try:
                        self._turn(left, answered.is_set)
                    finally:
                        self._lead.release()
                else:
                    answered.wait(min(left, GRACE_S))
        finally:
            del self._answers[correlation]
        if not replies:
            raise BrokerUnavailable(f"no answer to {topic!r} within {timeout:g} s")
        return replies[0]

    def wait_connected(self, timeout: float) -> bool:
        """Wait for the broker; False when it did not come in time."""
        return self._connected.wait(timeout)

    def close(self) -> None:
        """Send what waits (shortly), say goodbye, stop the thread."""
        if self._closing.is_set():
            return
        entered = self._thread.is_alive()  # it ends by itself once `_closing` is set
        deadline = time.monotonic() + GOODBYE_S
        while self.connected and self._queue.unfinished and time.monotonic() < deadline:
            if self._lead.acquire(timeout=GRACE_S):  # pragma: no branch - else another thread reads
                try:
                    self._turn(GRACE_S, lambda: not self._queue.unfinished)
                finally:
                    self._lead.release()
        self._closing.set()
        for mailbox in self._router.mailboxes():
            mailbox.close()
        with self._lock:
            if self.connected:
                self._client.disconnect()
        if entered:
            self._wake()
            self._thread.join(CONNECT_TIMEOUT_S + GOODBYE_S)
            self._wake_reader.close()
            self._wake_writer.close()

    def __enter__(self) -> Self:
        """Connect in the background, and stay connected."""
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say goodbye."""
        self.close()

    # -- Pump port: the consumer that waits reads the network --------------------------------

    def wait_for_mail(self, mailbox: Mailbox, timeout: float | None) -> None:
        """Read the network until `mailbox` has mail, or wait for the thread that does."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not mailbox.has_mail:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            if mailbox.aside:
                with mailbox.condition:
                    if not mailbox.has_mail:  # pragma: no branch - it may just have come
                        mailbox.condition.wait(left)
            elif self.connected and self._lead.acquire(blocking=False):
                try:
                    self._turn(left, lambda: mailbox.has_mail)
                finally:
                    self._lead.release()
            else:
                with mailbox.condition:
                    if not mailbox.has_mail:  # pragma: no branch - it may just have come
                        # Another thread reads; look again soon, it may have stopped doing so.
                        mailbox.condition.wait(GRACE_S if left is None else min(left, GRACE_S))

    def rouse(self) -> None:
        """End the poll that a consumer waits in."""
        self._wake()

    def forget(self, mailbox: Mailbox) -> None:
        """Unsubscribe a closed mailbox."""
        filters = self._router.remove(mailbox)
        with self._lock:
            if not self.connected:
                self._forgotten.update(gone.text for gone in filters)
            elif not self._closing.is_set():
                for gone in filters:
                    self._client.unsubscribe(gone.text)
                self._go_on()

    # -- sending ------------------------------------------------------------------------------

    def _send(self, packet: Outgoing) -> bool:
        with self._lock:
            if not self.connected:
                return self._queue.keep(packet)
            self._queue.put(packet)
            self._go_on()
            return True

    def _go_on(self) -> None:
        """See to what still waits, after anything was given to paho. Lock held.

        Each call into paho writes what it can, of earlier packets too: then the socket is free
        while messages wait here, and nothing else would send them before the next ping.
        """
        self._queue.flush()
        if self._client.want_write():
            self._wake()  # the thread in poll() does not know yet that there is more to write

    # -- the network loop ---------------------------------------------------------------------

    def _look_after(self) -> None:
        """Do not let a fault of ours or paho's end the thread: nobody else would connect again."""
        while not self._closing.is_set():
            try:
                self._keep_alive()
            except Exception:
                log.exception("a fault in the bus; it connects anew")
                connection = self._client.socket()
                if isinstance(connection, socket.socket):
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
                self._attempts += 1
                self._closing.wait(RECONNECT.delay(self._attempts, self._rng))

    def _keep_alive(self) -> None:
        """Connect, reconnect, and read the network while no consumer does."""
        while not self._closing.is_set():
            if self._client.socket() is None:
                self._attempts += 1
                if not self._connect():
                    self._closing.wait(RECONNECT.delay(self._attempts, self._rng))
                    continue
            if time.monotonic() - self._led_at < GRACE_S:
                self._closing.wait(GRACE_S)  # a consumer reads; only look after it
            elif self._lead.acquire(timeout=GRACE_S):
                try:
                    self._turn(GRACE_S, self._closing.is_set)
                finally:
                    self._lead.release()
            with self._lock:
                self._client.loop_misc()
                self._drop_orphans()
            if self._client.socket() is None and not self._closing.is_set():
                self._closing.wait(RECONNECT.delay(max(self._attempts, 1), self._rng))

    def _connect(self) -> bool:
        """Open the connection; the broker's answer arrives later in `_on_connect`."""
        with self._lock:
            self._queue.reconnecting()
            self._declare_will()
        try:
            # Without the lock: this may take seconds and publishers must not wait for it.
            # While there is no connection nobody else touches paho.
            self._client.connect(
                self._address.host,
                self._address.port,
                keepalive=KEEPALIVE_S,
                clean_start=False,
                properties=_connect_properties(self._session_expiry_s, self._receive_maximum),
            )
        except (OSError, ValueError) as error:
            self._complain(f"no connection to the broker at {self._address}: {error}")
            return False
        return True

    def _declare_will(self) -> None:
        """Say what the broker shall tell of us; each connection that breaks is news of its own."""
        will = self._will
        if will is None:
            return
        topic = will.topic(self._device)
        properties = Properties(PacketTypes.WILLMESSAGE)
        if will.expires_after_s is not None:
            properties.MessageExpiryInterval = whole_seconds(will.expires_after_s)
        attributes = attributes_of_will(will, topic, uuid.uuid4().hex)
        if attributes:
            properties.ContentType = JSON
            properties.UserProperty = attributes
        self._client.will_set(
            topic,
            will.encode(),
            qos=will.policy.qos,
            retain=will.policy.retained,
            properties=properties,
        )

    def _turn(self, timeout: float | None, done: Callable[[], bool]) -> None:
        """Read and write the socket until `done()`, `timeout` seconds, or no connection."""
        deadline = None if timeout is None else time.monotonic() + timeout
        poller = select.poll()
        poller.register(self._wake_reader, select.POLLIN)
        registered: int | None = None
        while not done():
            connection = self._client.socket()
            if connection is None:
                return
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            wanted = select.POLLIN | (select.POLLOUT if self._client.want_write() else 0)
            descriptor = connection.fileno()
            if descriptor < 0:  # pragma: no cover - closed by another thread since the line above
                return
            if descriptor != registered:
                poller = select.poll()
                poller.register(self._wake_reader, select.POLLIN)
                registered = descriptor
            poller.register(descriptor, wanted)
            pause_s = LONGEST_POLL_S if left is None else min(left, LONGEST_POLL_S)
            ready = dict(poller.poll(0 if self._client.has_read_ahead else pause_s * 1000))
            self._led_at = time.monotonic()
            if self._wake_reader.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    self._wake_reader.recv(4096)
            events = ready.get(descriptor, 0)
            if self._client.has_read_ahead:
                events |= select.POLLIN
            if events:
                self._serve(connection, events)
            elif not ready:
                with self._lock:
                    self._client.loop_misc()

    def _serve(self, connection: Any, events: int) -> None:  # noqa: ANN401 - paho's socket-like
        with self._lock:
            if events & select.POLLOUT:
                self._client.loop_write()
                self._queue.flush()
            if not events & ~select.POLLOUT:
                return
            for _ in range(PACKETS_A_TURN):
                self._client.loop_read()
                if self._client.socket() is not connection:
                    break
                if not self._client.has_read_ahead and not _readable(connection):
                    break
            self._queue.flush()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already; closed: it is gone
            self._wake_writer.send(b"\0")

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("%s", trouble)
        self._trouble = trouble

    # -- paho's callbacks (lock held; they only enqueue) -----------------------------------------

    def _build_client(
        self, client_id: str, username: str | None, password: str | None
    ) -> LeanClient:
        client = LeanClient(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=paho.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(0)  # the window is kept here
        if username is not None:
            client.username_pw_set(username, password)
        if self._address.tls:
            client.tls_set_context(ssl.create_default_context())
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_incoming = self._on_incoming
        client.on_publish = self._on_publish
        return client

    def _on_socket_open(self, client: paho.Client, _data: Any, connection: Any) -> None:  # noqa: ANN401 - paho's signature
        del client
        self._client.forget_read_ahead()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(
        self,
        client: paho.Client,
        _data: Any,  # noqa: ANN401 - paho's signature
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        del flags
        if reason.is_failure:
            refused = str(reason)
            hint = (
                ": check NXAI_BROKER_USERNAME and the password"
                if refused in ("Not authorized", "Bad user name or password")
                else ""
            )
            self._complain(f"the broker at {self._address} refused us: {refused}{hint}")
            return
        self._connection += 1
        self._connected_at = time.monotonic()
        self._queue.largest = min(
            getattr(properties, "MaximumPacketSize", LARGEST_PACKET), LARGEST_PACKET
        )
        if self._trouble and self._connection > 1:
            log.info("connected to the broker at %s again", self._address)
        self._trouble = ""
        self._connected.set()
        client.subscribe(self._answer_topic, qos=0)
        wanted = self._router.filters()
        for text in self._forgotten - {filter_.text for filter_ in wanted}:
            client.unsubscribe(text)  # else the session would go on bringing it
        self._forgotten.clear()
        self._ask_for(wanted)
        self._queue.connected()

    def _on_disconnect(
        self,
        client: paho.Client,
        _data: Any,  # noqa: ANN401 - paho's signature
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        del client, flags, properties
        with self._lock:  # paho calls this without it when a connection fails at once
            self._lost(reason)

    def _lost(self, reason: ReasonCode) -> None:
        was_connected = self.connected
        self._connected.clear()
        self._queue.interrupted()
        self._orphans.clear()  # the broker sends them again
        if was_connected and not self._closing.is_set():
            soon = time.monotonic() - self._connected_at < STEADY_S
            self._short_lived = self._short_lived + 1 if soon else 0
            if not soon:
                self._attempts = 0
            hint = (
                f" ({self._short_lived} times in a row within seconds: if another process is "
                f"called {self._client_id!r} too, set NXAI_DEVICE or NXAI_INSTANCE)"
                if self._short_lived >= TAKEN_OVER
                else ""
            )
            self._complain(f"lost the connection to the broker at {self._address}: {reason}{hint}")

    def _on_publish(
        self,
        client: paho.Client,
        _data: Any,  # noqa: ANN401 - paho's signature
        mid: int,
        reason: ReasonCode,
        properties: Properties,
    ) -> None:
        del client, properties
        self._queue.taken(mid, reason)

    def _on_incoming(self, message: Incoming) -> None:
        self._received += 1
        if not self._deliver(message):
            if message.qos == 1 and not message.retain:
                self._orphans.append((message, self._connection, time.monotonic()))
                if len(self._orphans) > ORPHANS:
                    oldest, connection, _ = self._orphans.popleft()
                    self._acknowledge(oldest.mid, connection)
            else:
                self._acknowledge_if_needed(message)

    # -- receiving ----------------------------------------------------------------------------

    def _deliver(self, message: Incoming) -> bool:
        """Put a message into every mailbox that wants it; False when none does."""
        topic = message.topic
        if topic == self._answer_topic:
            self._take_answer(message)
            return True
        routes = self._router.route(topic)
        if not routes:
            return False
        received_at = time.monotonic()
        keep = [
            kind.policy is Policy.RELIABLE and message.qos == 1 and not mailbox.volatile
            for mailbox, kind in routes
        ]
        owed = sum(keep)
        settle = (
            _Settlement(owed, partial(self._acknowledge, message.mid, self._connection)).settle
            if owed
            else nothing
        )
        for (mailbox, kind), kept in zip(routes, keep, strict=True):
            if not mailbox.wants(kind, message.payload):
                continue
            respond = partial(self._respond, message) if wants_answer(kind) else None
            mailbox.put(
                Parcel(
                    topic,
                    message.payload,
                    kind,
                    received_at,
                    settle if kept else nothing,
                    respond,
                )
            )
        if not owed:
            self._acknowledge_if_needed(message)
        return True

    def _acknowledge_if_needed(self, message: Incoming) -> None:
        if message.qos == 1:
            self._acknowledge(message.mid, self._connection)

    def _acknowledge(self, mid: int, connection: int) -> None:
        with self._lock:
            if self.connected and connection == self._connection:
                self._client.ack(mid, 1)
                self._go_on()

    def _adopt_orphans(self) -> None:
        for _ in range(len(self._orphans)):
            message, connection, since = self._orphans.popleft()
            if not self._deliver(message):
                self._orphans.append((message, connection, since))

    def _drop_orphans(self) -> None:
        patience_ends = time.monotonic() - ORPHAN_PATIENCE_S
        while self._orphans and self._orphans[0][2] < patience_ends:
            message, connection, _ = self._orphans.popleft()
            log.warning("nobody here wants %s; dropped it", message.topic)
            self._acknowledge(message.mid, connection)

    # -- requests -----------------------------------------------------------------------------

    def _take_answer(self, message: Incoming) -> None:
        correlation = getattr(message.properties, "CorrelationData", None)
        waiting = self._answers.get(bytes(correlation)) if correlation else None
        if waiting is None:
            return  # too late: the asker has gone
        head, _, body = message.payload.partition(b"\n")
        try:
            reply = Reply.model_validate_json(head)
        except ValidationError as error:
            log.warning("an answer that cannot be read: %s", explain(error))
            return
        reply.__dict__["attachment"] = body  # as in Message.decode; a reply's topic is not its own
        waiting[1].append(reply)
        waiting[0].set()

    def _respond(self, request: Incoming, reply: Reply) -> None:
        topic = getattr(request.properties, "ResponseTopic", None)
        if not topic:
            return
        properties = Properties(PacketTypes.PUBLISH)
        correlation = getattr(request.properties, "CorrelationData", None)
        if correlation:
            properties.CorrelationData = correlation
        try:
            payload = payload_of(reply, topic)
        except InvalidPayload as error:
            payload = Reply(ok=False, reason=str(error)).encode()
        self._send(Outgoing(topic, payload, reply.policy, properties))

    def _ask_for(self, filters: list[Filter]) -> None:
        if filters:
            self._client.subscribe(
                [(wanted.text, _subscribe_options(wanted)) for wanted in filters]
            )


class _Settlement:
    """Acknowledges once all mailboxes that got the message have."""

    def __init__(self, owed: int, acknowledge: partial[None]) -> None:
        self._owed = owed
        self._acknowledge = acknowledge
        self._lock = threading.Lock()

    def settle(self) -> None:
        """Count one acknowledgement; pass the last one on."""
        with self._lock:
            self._owed -= 1
            last = self._owed == 0
        if last:
            self._acknowledge()


def _readable(connection: Any) -> bool:  # noqa: ANN401 - paho's socket-like
    """Tell whether there is more to read now (TLS may hold bytes that poll does not see)."""
    if isinstance(connection, ssl.SSLSocket) and connection.pending():
        return True  # pragma: no cover - only when TLS records and packets fall apart just so
    poller = select.poll()
    poller.register(connection, select.POLLIN)
    return bool(poller.poll(0))


def _subscribe_options(wanted: Filter) -> SubscribeOptions:
    # Mosquitto before 2.1 sends retained messages to each new member of a group.
    shared = wanted.text.startswith("$share/")
    return SubscribeOptions(
        qos=wanted.qos,
        retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND
        if shared
        else SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE,
    )


def _connect_properties(session_expiry_s: int, receive_maximum: int) -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = session_expiry_s
    properties.ReceiveMaximum = receive_maximum
    properties.MaximumPacketSize = LARGEST_PACKET
    return properties


def client_id(device: str, instance: str) -> str:
    """Return the client id of a service: stable, so that its session is found again."""
    return f"nxai-{device}-{instance}"
