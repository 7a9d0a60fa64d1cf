"""One connection to the broker that Home Assistant listens to: what is to be there gets there.

The broker may be away, lose its store, or know of entities that are no more: on each connection it
is asked first what it keeps of this box.
"""

import logging
import random
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from nxai_common.bus.outside import LastWord, OutsideBroker, Receipt, Received
from nxai_common.contracts import topics
from nxai_common.errors import BrokerUnavailable, RejectedError
from nxai_publisher.core.home_assistant.discovery import (
    NOTHING,
    Announcement,
    Payload,
    Wanted,
    applied,
    next_round,
    read,
)
from nxai_publisher.core.home_assistant.states import OFFLINE, Shown
from nxai_publisher.core.home_assistant.things import HEARTBEAT_S

log = logging.getLogger(__name__)

READ_BACK_S: Final = 5.0
"""Brokers send what they keep within a second; one across the internet with many entities, later.
Zigbee2MQTT waits as long."""
PAUSE_S: Final = 3.0
"""Between two rounds of discovery. Home Assistant needs a moment to forget an entity, or makes a
second one of it; and while it sets one up it drops news of those behind it."""
SETTLE_S: Final = 1.0
"""Models, cameras and settings change together: one message for all of it."""
GAP_S: Final = 0.5
"""At least so long between two states of one thing: Home Assistant writes each to its database."""
BIRTH_S: Final = (0.5, 5.0)
"""After Home Assistant was started: all devices together would be too much for it."""
STATES_AFTER_S: Final = 2.0
"""Discovery first; an entity that is not there yet misses its state."""
REFUSED_S: Final = 60.0
"""What a broker refuses is tried again: somebody may have changed its rules."""
LAST_WORD_S: Final = 2.0
"""A broker that is there answers in less."""
RECEIPTS: Final = 1000
"""Each message of a box with ten cameras, in the form of one an entity."""
ORDERS: Final = 32
"""More than a person presses before the first is done."""


_NOT_ALLOWED: Final = (
    "; let the publisher's account write there (docs/guides/home-assistant.md), or set "
    "outputs.home_assistant.mode to off"
)


@dataclass(frozen=True, slots=True)
class HomeBroker:
    """Which broker, and as whom."""

    url: str
    username: str
    password: str
    certificate: Literal["verify", "any"] = "verify"
    authority: str = ""

    def __repr__(self) -> str:
        """Without the password."""
        return f"HomeBroker({self.url!r}, {self.username!r})"


@dataclass(frozen=True, slots=True)
class _Sent:
    payload: bytes
    at: float


class HomeLink:
    """What one broker is told. Times are seconds of one monotonic clock."""

    def __init__(self, device: str, broker: HomeBroker, prefix: str, rng: random.Random) -> None:
        """Connect in the background.

        Raises:
            ConfigurationError: of the broker's address or the authority's file.
        """
        self.broker: Final = broker
        self._device = device
        self._rng = rng
        self._online = topics.HOME_BOX_AVAILABILITY.build(device)
        self._announced = topics.HOME_BOX_ANNOUNCED.build(device)
        self._prefix = prefix
        self._outside = OutsideBroker(
            broker.url,
            f"nxai-{device}-home-assistant",
            broker.username,
            broker.password,
            certificate=broker.certificate,
            authority=broker.authority,
            last_word=LastWord(self._online, OFFLINE),
            rng=rng,
        )
        for filter_ in (
            topics.HOME_BOX_SET.filter(device),
            topics.HOME_CAMERA_SET.filter(device),
        ):
            self._outside.subscribe(filter_, 1)
        self._births: tuple[str, ...] = ()
        self._connection = 0
        self._reading_until: float | None = None
        self._published: dict[str, dict[str, Payload]] = {prefix: {}}
        """Discovery messages on the broker, by prefix."""
        self._noted: bytes | None = None
        """Which prefixes the broker remembers that there are messages below."""
        self._kept: dict[str, bytes] = {}
        """Other topics of ours that the broker keeps, as it said."""
        self._sent: dict[str, _Sent] = {}
        self._wanted: Wanted | None = None
        self._changed_at = 0.0
        self._not_before = 0.0
        self._settled = False
        self._again_at: float | None = None
        self._states_at: float | None = None
        self._orders: deque[Received] = deque()
        self._receipts: deque[tuple[str, Receipt]] = deque()
        self._refused: dict[str, str] = {}
        self.published = 0
        self.dropped = 0
        """Orders that came while too many waited, or that a broker had kept."""
        self._listen_for_birth()
        self._outside.__enter__()

    # -- looking --------------------------------------------------------------------------------

    @property
    def prefix(self) -> str:
        """As it is set in Home Assistant."""
        return self._prefix

    @property
    def connected(self) -> bool:
        """Whether the broker answers now."""
        return self._outside.connected

    @property
    def problem(self) -> str:
        """What is wrong, in plain words; empty: nothing."""
        if self._outside.problem:
            return self._outside.problem
        for topic, reason in self._refused.items():
            hint = _NOT_ALLOWED if "Not authorized" in reason else ""
            return f"{reason} ({topic}){hint}"
        return ""

    @property
    def tidy(self) -> bool:
        """Whether nothing of this box is left on the broker."""
        return (
            self.connected
            and self._reading_until is None
            and self._settled
            and not (self._sent or self._kept or self._receipts)
        )

    # -- telling --------------------------------------------------------------------------------

    def turn(
        self, now: float, prefix: str, wanted: Wanted | None, states: dict[str, Shown]
    ) -> None:
        """Do what is due.

        Args:
            now: On the clock.
            prefix: As it is set in Home Assistant.
            wanted: All that shall be announced; None: nobody knows yet.
            states: What shall be on which topic.
        """
        self._change_prefix(now, prefix)
        if self.connected and self._outside.connections != self._connection:
            self._begin(now)
        self._receive(now)
        self._look_at_receipts(now)
        if not self.connected or self._outside.connections != self._connection:
            return
        if self._reading_until is not None and now >= self._reading_until:
            self._end_reading()
        if self._reading_until is None and wanted is not None:
            self._announce(now, wanted)
        self._announce_again(now)
        self._show(now, states)

    def tell(self, topic: str, payload: bytes) -> bool:
        """Tell what happened; False: nobody is there to hear it."""
        if not self.connected:
            return False
        self._send(topic, payload, retain=False)
        return True

    def orders(self) -> list[Received]:
        """Return what was asked for since the last call."""
        orders = list(self._orders)
        self._orders.clear()
        return orders

    def close(self, *, goodbye: bool) -> None:
        """Leave; `goodbye`: the box is not there any more."""
        if goodbye and self.connected:
            self._send(self._online, OFFLINE, retain=True)
            _, receipt = self._receipts[-1]
            try:
                receipt.wait(LAST_WORD_S)
            except (BrokerUnavailable, RejectedError) as error:
                log.info("could not say goodbye to Home Assistant: %s", error)
        self._outside.close()

    def _send(self, topic: str, payload: bytes, *, retain: bool) -> None:
        receipt = self._outside.publish(topic, payload, qos=1, retain=retain)
        self._receipts.append((topic, receipt))
        if len(self._receipts) > RECEIPTS:
            self._receipts.popleft()
        self.published += 1

    def _look_at_receipts(self, now: float) -> None:
        for _ in range(len(self._receipts)):
            topic, receipt = self._receipts.popleft()
            try:
                receipt.wait(0)
            except BrokerUnavailable:
                # Not yet; or never, and then all is told anew on the next connection.
                if self.connected and self._outside.connections == self._connection:
                    self._receipts.append((topic, receipt))
            except RejectedError as error:
                self._refuse(topic, str(error), now)
            else:
                self._refused.pop(topic, None)

    def _refuse(self, topic: str, reason: str, now: float) -> None:
        if topic not in self._refused:
            log.warning("Home Assistant: %s (%s)", reason, topic)
        self._refused[topic] = reason
        for published in self._published.values():
            if published.pop(topic, None) is not None:
                self._not_before = now + REFUSED_S

    # -- what the broker keeps ------------------------------------------------------------------

    def _change_prefix(self, now: float, prefix: str) -> None:
        if prefix == self._prefix:
            return
        self._prefix = prefix
        self._published.setdefault(prefix, {})
        self._not_before = now
        self._refused.clear()
        self._listen_for_birth()
        if self._connection:
            self._read_back(now)

    def _listen_for_birth(self) -> None:
        births = topics.births(self._prefix)
        for topic in self._births:
            if topic not in births:
                self._outside.unsubscribe(topic)
        for topic in births:
            if topic not in self._births:
                self._outside.subscribe(topic)
        self._births = births

    def _begin(self, now: float) -> None:
        """Begin anew: nobody knows what the broker still has."""
        self._connection = self._outside.connections
        self._published = {prefix: {} for prefix in self._published}
        self._noted = None
        self._kept.clear()
        self._sent.clear()
        self._receipts.clear()
        self._refused.clear()
        self._read_back(now)

    def _read_back(self, now: float) -> None:
        self._settled = False
        self._reading_until = now + READ_BACK_S
        for filter_ in self._own_topics():
            self._outside.subscribe(filter_)

    def _end_reading(self) -> None:
        self._reading_until = None
        for filter_ in self._own_topics():
            self._outside.unsubscribe(filter_)

    def _own_topics(self) -> list[str]:
        device = self._device
        return [
            self._announced,
            topics.HOME_CAMERA_AVAILABILITY.filter(device),
            topics.HOME_CAMERA_STATE.filter(device),
            topics.HOME_CAMERA_PICTURE.filter(device),
            *(topics.discovery_filter(prefix, device) for prefix in self._published),
        ]

    def _receive(self, now: float) -> None:
        while (received := self._outside.receive(0)) is not None:
            if received.topic in self._births:
                if received.payload == b"online" and not received.retained:
                    self._again_at = now + self._rng.uniform(*BIRTH_S)
            elif received.topic.endswith("/set"):
                self._take_order(received)
            elif received.retained and received.payload and self._reading_until is not None:
                self._take_note(received, now)

    def _take_order(self, received: Received) -> None:
        # One that the broker kept would be carried out on each connection.
        if received.retained or len(self._orders) >= ORDERS:
            self.dropped += 1
        else:
            self._orders.append(received)

    def _take_note(self, received: Received, now: float) -> None:
        for prefix, published in self._published.items():
            if topics.is_discovery(received.topic, prefix, self._device):
                published[received.topic] = read(received.payload)
                return
        if received.topic != self._announced:
            self._kept[received.topic] = received.payload
            return
        self._noted = received.payload
        noted = read(received.payload).get("prefixes")
        for prefix in noted if isinstance(noted, list) else []:
            # Left by an earlier run with another setting.
            if isinstance(prefix, str) and prefix not in self._published:
                self._published[prefix] = {}
                self._outside.subscribe(topics.discovery_filter(prefix, self._device))
                self._reading_until = now + READ_BACK_S

    # -- announcing -----------------------------------------------------------------------------

    def _announce(self, now: float, wanted: Wanted) -> None:
        if wanted != self._wanted:
            self._wanted, self._changed_at, self._settled = wanted, now, False
        if now < max(self._not_before, self._changed_at + SETTLE_S):
            return
        self._note_prefixes(wanted)
        for prefix, published in list(self._published.items()):
            of_prefix = wanted if prefix == self._prefix else NOTHING
            steps = next_round(published, of_prefix)
            for step in steps:
                self._send(step.topic, step.encode(), retain=True)
            self._published[prefix] = applied(published, steps)
            if steps:
                self._not_before = now + PAUSE_S
            elif not published and prefix != self._prefix:
                del self._published[prefix]
        self._settled = now >= self._not_before

    def _note_prefixes(self, wanted: Wanted) -> None:
        """Let the broker remember where our messages are, before they are there."""
        prefixes = [
            prefix
            for prefix, published in self._published.items()
            if published or (prefix == self._prefix and wanted.payloads)
        ]
        noted = Announcement(self._announced, {"prefixes": prefixes} if prefixes else None)
        if noted.encode() != (self._noted or b""):
            self._noted = noted.encode()
            self._send(self._announced, self._noted, retain=True)

    def _announce_again(self, now: float) -> None:
        """Answer Home Assistant, which was started."""
        if self._again_at is not None and now >= self._again_at:
            self._again_at = None
            self._states_at = now + STATES_AFTER_S
            for topic, payload in self._published[self._prefix].items():
                self._send(topic, Announcement(topic, payload).encode(), retain=True)
        if self._states_at is not None and now >= self._states_at:
            self._states_at = None
            for topic, sent in self._sent.items():
                self._sent[topic] = _Sent(sent.payload, float("-inf"))

    # -- states ---------------------------------------------------------------------------------

    def _show(self, now: float, states: dict[str, Shown]) -> None:
        for topic, shown in states.items():
            kept = self._kept.pop(topic, None)
            if shown.is_picture and self._reading_until is not None and kept is None:
                continue  # the broker may have it
            if shown.is_picture and kept == shown.payload:
                self._sent[topic] = _Sent(kept, now)
            if self._due(self._sent.get(topic), shown, now):
                self._send(topic, shown.payload, retain=True)
                self._sent[topic] = _Sent(shown.payload, now)
        if self._reading_until is None and self._settled:
            for topic in [t for t in (*self._sent, *self._kept) if t not in states]:
                self._send(topic, b"", retain=True)
                self._sent.pop(topic, None)
                self._kept.pop(topic, None)

    def _due(self, sent: _Sent | None, shown: Shown, now: float) -> bool:
        if sent is None:
            return True
        if sent.payload != shown.payload:
            return now - sent.at >= GAP_S
        return not shown.is_picture and now - sent.at >= HEARTBEAT_S
