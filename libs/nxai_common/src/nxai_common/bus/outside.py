"""Another broker than the one of this box: raw topics and bytes, MQTT 5 or 3.1.1.

Nothing is kept for a broker that is away: who publishes learns what became of each message, and
sends it again when it must not be lost. A new connection is a new session.
"""

import logging
import queue
import random
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from nxai_common.bus.mqtt import BrokerAddress
from nxai_common.errors import BrokerUnavailable, ConfigurationError, RejectedError
from nxai_common.logs import redact
from nxai_common.retry import RetryPolicy

log = logging.getLogger(__name__)

KEEPALIVE_S: Final = 30
"""A broken connection is noticed after 1.5 times this; brokers far away are pinged rarely."""
CONNECT_TIMEOUT_S: Final = 10.0
"""For a broker across the internet."""
RECONNECT: Final = RetryPolicy(first_s=0.5, factor=2.0, longest_s=30.0)
STEADY_S: Final = 10.0
"""A connection that lasted so long was a good one: the next attempt comes soon."""
IN_FLIGHT: Final = 20
"""Unacknowledged at a time: what small brokers take."""
LOOK_EVERY_S: Final = 1.0
"""At a connection, besides being told: should paho's thread end without a word."""
GOODBYE_S: Final = 2.0
"""For the DISCONNECT to leave."""
ENVELOPE_BYTES: Final = 1024
"""Around a payload: header, lengths, properties."""

Version = Literal["5", "3.1.1"]


@dataclass(frozen=True, slots=True)
class Received:
    """What came on a topic that was asked for."""

    topic: str
    payload: bytes
    retained: bool
    """It was said before we asked."""


@dataclass(frozen=True, slots=True)
class LastWord:
    """What the broker says when the connection breaks."""

    topic: str
    payload: bytes
    qos: Literal[0, 1] = 1
    retain: bool = True


class Receipt:
    """What becomes of a message."""

    def __init__(self) -> None:
        self._settled = threading.Event()
        self._error: BrokerUnavailable | RejectedError | None = None

    def wait(self, timeout: float) -> None:
        """Return once the broker has it (QoS 0: once it left).

        Raises:
            BrokerUnavailable: nobody knows whether it has.
            RejectedError: it says that it will not take it.
        """
        if not self._settled.wait(timeout):
            raise BrokerUnavailable(f"no acknowledgement within {timeout:g} s")
        if self._error is not None:
            raise self._error

    def settle(self, error: BrokerUnavailable | RejectedError | None = None) -> None:
        """Say what became of it."""
        self._error = error
        self._settled.set()


@dataclass(slots=True)
class _Link:
    """One connection; each has its own numbers for messages."""

    client: paho.Client
    version: Version
    over: threading.Event = field(default_factory=threading.Event)
    heard: bool = False
    """Whether the broker answered at all."""
    accepted_at: float | None = None
    waiting: dict[int, Receipt] = field(default_factory=dict)
    early: dict[int, ReasonCode] = field(default_factory=dict)
    """Acknowledged before the sender could note the number."""
    largest: int | None = None


class OutsideBroker:
    """Stays connected to a broker from a thread of its own (context manager)."""

    def __init__(  # noqa: PLR0913 - who, where, as whom, and whom to trust
        self,
        url: str,
        client_id: str,
        username: str = "",
        password: str = "",
        *,
        certificate: Literal["verify", "any"] = "verify",
        authority: str = "",
        last_word: LastWord | None = None,
        bound: int = 1000,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare; it connects once entered.

        Args:
            url: ``mqtt://HOST:PORT`` or ``mqtts://HOST:PORT``.
            client_id: Name at the broker; another client of that name is hung up on.
            username: Empty: none.
            password: Of that user.
            certificate: any: do not check the broker's.
            authority: File (PEM) with the certificate of who signed it; empty: as the system says.
            last_word: What the broker says when we are gone.
            bound: Received messages that wait at most; the oldest goes.
            rng: For the jitter of retries.

        Raises:
            ConfigurationError: the URL is none, or the authority's file cannot be read.
        """
        if "@" in url:  # looked for first: every other complaint shows the URL
            raise ConfigurationError("user and password do not belong in the URL of a broker")
        self._address = BrokerAddress.parse(url)
        self._client_id = client_id
        self._username = username
        self._password = password
        self._context = _context(certificate, authority) if self._address.tls else None
        self._last_word = last_word
        self._bound = bound
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._lock = threading.Lock()
        """Never held while paho is called: it calls back under locks of its own."""
        self._link: _Link | None = None
        self._filters: dict[str, int] = {}
        self._received: queue.Queue[Received | None] = queue.Queue()
        self._version: Version = "5"
        self._closing = threading.Event()
        self._connected = threading.Event()
        self._connections = 0
        self._problem = f"{self._address}: not connected yet"
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="outside broker", daemon=True)

    def __enter__(self) -> Self:
        """Connect in the background, and stay connected."""
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

    def close(self) -> None:
        """Say goodbye; what was not acknowledged fails."""
        self._closing.set()
        link = self._link
        if link is not None:
            link.client.disconnect()
        self._received.put(None)
        self._thread.join(GOODBYE_S)

    @property
    def connected(self) -> bool:
        """Whether the broker answers now."""
        return self._connected.is_set()

    @property
    def connections(self) -> int:
        """So many there were: when it grows, what the broker knew may be lost."""
        return self._connections

    @property
    def problem(self) -> str:
        """Why there is no connection, in plain words; empty when there is one."""
        return "" if self.connected else self._problem

    @property
    def dropped(self) -> int:
        """Received messages that nobody took in time."""
        return self._dropped

    def wait_connected(self, timeout: float) -> bool:
        """Wait for the broker; False when it did not come in time."""
        return self._connected.wait(timeout)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: Literal[0, 1] = 1,
        retain: bool = False,
        properties: Sequence[tuple[str, str]] = (),
    ) -> Receipt:
        """Send; the receipt says what became of it.

        Args:
            topic: Where to.
            payload: As it travels.
            qos: 1: the broker acknowledges it.
            retain: Whether the broker keeps it for who comes later.
            properties: User properties (left out in 3.1.1).
        """
        receipt = Receipt()
        link = self._link
        if link is None or not self.connected:
            receipt.settle(BrokerUnavailable(self._problem))
            return receipt
        size = len(topic.encode()) + len(payload) + ENVELOPE_BYTES
        if link.largest is not None and size > link.largest:
            receipt.settle(
                RejectedError(
                    f"{self._address}: a message of {size} bytes is larger than the "
                    f"{link.largest} that it takes"
                )
            )
            return receipt
        info = link.client.publish(
            topic, payload, qos, retain, _user_properties(properties, link.version)
        )
        with self._lock:
            if info.mid in link.early:
                self._settle(receipt, link.early.pop(info.mid))
            elif link.over.is_set() or info.rc is MQTTErrorCode.MQTT_ERR_NO_CONN:
                receipt.settle(BrokerUnavailable(self._problem))
            else:
                link.waiting[info.mid] = receipt
        return receipt

    def subscribe(self, filter_: str, qos: Literal[0, 1] = 0) -> None:
        """Ask for topics, now and on each connection to come."""
        with self._lock:
            self._filters[filter_] = qos
            link = self._link
        if link is not None and self.connected:
            link.client.subscribe(filter_, qos)

    def unsubscribe(self, filter_: str) -> None:
        """Ask for topics no longer; what is on its way may still come."""
        with self._lock:
            self._filters.pop(filter_, None)
            link = self._link
        if link is not None and self.connected:
            link.client.unsubscribe(filter_)

    def receive(self, timeout: float | None = None) -> Received | None:
        """Return the next message that came, or None after `timeout` seconds or when closed."""
        try:
            return self._received.get(timeout=timeout)
        except queue.Empty:
            return None

    # -- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        attempts = 0
        while not self._closing.is_set():
            attempts += 1
            link = self._open()
            if link is not None:
                steady = self._attend(link)
                attempts = 0 if steady else attempts
                if not link.heard and self._change_version(link):
                    continue
            self._closing.wait(RECONNECT.delay(max(attempts, 1), self._rng))

    def _open(self) -> _Link | None:
        link = _Link(self._build(), self._version)
        self._bind(link)
        try:
            link.client.connect(self._address.host, self._address.port, KEEPALIVE_S)
        except (OSError, ValueError) as error:
            self._complain(f"{self._address}: {_reason(error)}")
            return None
        with self._lock:
            self._link = link
        link.client.loop_start()
        return link

    def _attend(self, link: _Link) -> bool:
        """Wait for the end of a connection; return whether it was a good one."""
        while not self._closing.is_set() and not link.over.wait(LOOK_EVERY_S):
            if link.client.socket() is None:  # pragma: no cover - paho tells of every end known
                self._on_end(link, "the connection ended")
        if self._closing.is_set():
            link.client.disconnect()
        link.client.loop_stop()
        _unbind(link.client)
        with self._lock:
            self._link = None
        at = link.accepted_at
        return at is not None and time.monotonic() - at >= STEADY_S

    def _change_version(self, link: _Link) -> bool:
        """Speak the other version the next time; tell whether that shall be at once."""
        first = link.version == "5"
        self._version = "3.1.1" if first else "5"
        return first

    def _build(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=MQTTProtocolVersion.MQTTv5
            if self._version == "5"
            else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(IN_FLIGHT)
        if self._username:
            client.username_pw_set(self._username, self._password)
        if self._context is not None:
            client.tls_set_context(self._context)
        word = self._last_word
        if word is not None:
            client.will_set(word.topic, word.payload, word.qos, word.retain)
        return client

    # -- paho's callbacks, on paho's thread ------------------------------------------------------

    def _bind(self, link: _Link) -> None:
        def on_connect(
            client: paho.Client,
            _data: Any,  # noqa: ANN401 - paho's signature
            _flags: paho.ConnectFlags,
            reason: ReasonCode,
            properties: Properties | None,
        ) -> None:
            self._on_connect(link, client, reason, properties)

        def on_disconnect(
            _client: paho.Client,
            _data: Any,  # noqa: ANN401 - paho's signature
            _flags: paho.DisconnectFlags,
            reason: ReasonCode,
            _properties: Properties | None,
        ) -> None:
            self._on_end(link, str(reason))

        def on_publish(
            _client: paho.Client,
            _data: Any,  # noqa: ANN401 - paho's signature
            mid: int,
            reason: ReasonCode,
            _properties: Properties,
        ) -> None:
            with self._lock:
                receipt = link.waiting.pop(mid, None)
                if receipt is None:
                    link.early[mid] = reason
                else:
                    self._settle(receipt, reason)

        def on_message(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:  # noqa: ANN401 - paho's signature
            self._received.put(Received(message.topic, bytes(message.payload), message.retain))
            if self._received.qsize() > self._bound and self.receive(0) is not None:
                self._dropped += 1

        link.client.on_connect = on_connect
        link.client.on_disconnect = on_disconnect
        link.client.on_publish = on_publish
        link.client.on_message = on_message

    def _on_connect(
        self, link: _Link, client: paho.Client, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            refused = str(reason)
            # A broker of before 2019 says so, or nothing at all.
            link.heard = refused != "Unsupported protocol version"
            hint = (
                "; check user and password"
                if refused in ("Not authorized", "Bad user name or password")
                else ""
            )
            self._complain(f"{self._address}: it refused us: {refused}{hint}")
            return
        link.heard = True
        link.accepted_at = time.monotonic()
        link.largest = getattr(properties, "MaximumPacketSize", None)
        with self._lock:
            filters = list(self._filters.items())
        if filters:
            client.subscribe(filters)
        if self._connections:
            log.info("connected to %s again", self._address)
        self._connections += 1
        self._problem = ""
        self._connected.set()

    def _on_end(self, link: _Link, reason: str) -> None:
        if self.connected and not self._closing.is_set():
            self._complain(f"{self._address}: lost the connection: {reason}")
        elif not link.heard:
            self._complain(f"{self._address}: it hung up without an answer; is it a broker?")
        self._connected.clear()
        with self._lock:
            link.over.set()
            lost, link.waiting = link.waiting, {}
        for receipt in lost.values():
            receipt.settle(BrokerUnavailable(self._problem))

    def _settle(self, receipt: Receipt, reason: ReasonCode) -> None:
        receipt.settle(
            RejectedError(f"{self._address}: it refused the message: {reason}")
            if reason.is_failure
            else None
        )

    def _complain(self, problem: str) -> None:
        problem = redact(problem)
        if problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem


def _context(certificate: Literal["verify", "any"], authority: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authority or None)
    except OSError as error:  # an SSLError is one
        reason = error.strerror if error.errno and not isinstance(error, ssl.SSLError) else ""
        raise ConfigurationError(
            f"the authority's certificate {authority!r} cannot be read: "
            f"{reason or 'it holds no certificate (PEM)'}"
        ) from error
    if certificate == "any":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = _TlsSocket
    return context


def _unbind(client: paho.Client) -> None:
    """Take back its callbacks, which hold it: its sockets are closed once nobody does."""
    client.on_connect = client.on_disconnect = client.on_publish = client.on_message = None


class _TlsSocket(ssl.SSLSocket):
    """Closed when the handshake fails: paho leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _user_properties(pairs: Sequence[tuple[str, str]], version: Version) -> Properties | None:
    if not pairs or version != "5":
        return None
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = list(pairs)
    return properties


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}); name its authority, or "
            "set certificate to any"
        )
    if isinstance(error, TimeoutError):
        return "no answer; check address, port and firewall"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; check address and port"
    return str(error)
