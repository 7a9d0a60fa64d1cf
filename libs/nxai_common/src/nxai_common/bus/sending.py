"""What waits to be sent over one MQTT connection: bounded, by the policy of each message."""

import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from nxai_common.bus.cloud_events import Packed, expiry
from nxai_common.bus.lean_paho import NO_PROPERTIES, LeanClient
from nxai_common.contracts.base import MAX_PAYLOAD_BYTES, Policy

log = logging.getLogger(__name__)

SEND_WINDOW: Final = 20
"""Unacknowledged RELIABLE messages on their way: Mosquitto's own default limit."""
BACKLOG: Final = 1000
"""RELIABLE and STREAM messages waiting to be sent: half a minute of one 30 fps camera."""


ENVELOPE_BYTES: Final = 1024
"""Room for what MQTT puts around a payload: header, lengths, properties (some 600 bytes at most,
with the longest names)."""
COMPLAIN_EVERY_S: Final = 60.0
"""A camera would say the same thirty times a second."""


@dataclass(slots=True)
class Outgoing:
    """A message as the broker gets it."""

    topic: str
    payload: bytes
    policy: Policy
    properties: Properties | None = None
    depth: int = 1
    attributes: bytes = b""
    """Packed properties besides, see `cloud_events`."""
    expires_at: float | None = None
    """On the clock of `time.monotonic`: told again after a reconnect, a state is no younger."""

    def expired(self, now: float) -> bool:
        """Tell whether the broker would have dropped it by now."""
        return self.expires_at is not None and self.expires_at <= now


class SendQueue:
    """Hands messages to paho as far as the socket and the window allow.

    Not safe for threads: the bus calls everything here under its lock.
    """

    def __init__(self, client: LeanClient) -> None:
        self._client = client
        self._waiting: deque[Outgoing] = deque()
        """Every message but LATEST, in order."""
        self._unsent_latest: dict[str, deque[Outgoing]] = {}
        self._state: dict[str, Outgoing] = {}
        """The newest of each topic; one without a payload until the broker has cleared it."""
        self._in_flight: dict[int, Outgoing] = {}
        self._stale: set[int] = set()
        """States that paho would send again behind newer ones."""
        self._complained_at = float("-inf")
        self.largest = MAX_PAYLOAD_BYTES + ENVELOPE_BYTES
        """Bytes of a message that this broker takes at most."""
        self.published = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Messages in order that are not with paho yet."""
        return len(self._waiting)

    @property
    def unsent(self) -> int:
        """Messages that are not with paho yet."""
        return self.waiting + sum(map(len, self._unsent_latest.values()))

    @property
    def states(self) -> int:
        """States that the broker is told on the next connection."""
        return len(self._state)

    @property
    def unfinished(self) -> bool:
        """Whether something in order is still to be sent, written or acknowledged."""
        return bool(self._waiting or self._in_flight or self._client.want_write())

    def keep(self, packet: Outgoing) -> bool:
        """Do what the policy says while there is no connection; False when it is dropped."""
        if packet.policy is Policy.STATE:
            self._state[packet.topic] = packet
            return True  # all of `_state` is sent on connecting
        if packet.policy is Policy.RELIABLE:
            self._waiting.append(packet)
            self._bound_waiting()
            return True
        self.dropped += 1
        return False

    def put(self, packet: Outgoing) -> None:
        """Send, or keep until there is room; the oldest goes where there is too little."""
        if packet.policy is Policy.LATEST:
            self._put_latest(packet)
            return
        if packet.policy is Policy.STATE:
            older = self._state.get(packet.topic)
            if older is not None and self._waiting:
                self._waiting = deque(p for p in self._waiting if p is not older)
            self._state[packet.topic] = packet
        self._waiting.append(packet)
        self.flush()  # first: what the socket takes now need not be dropped
        self._bound_waiting()

    def flush(self) -> None:
        """Hand over what waits, as far as the socket and the window allow."""
        while self._waiting and self._may_write:
            if self._waiting[0].policy.qos == 1 and len(self._in_flight) >= SEND_WINDOW:
                break
            self._hand_over(self._waiting.popleft())
        while self._unsent_latest and self._may_write:
            topic = next(iter(self._unsent_latest))
            unsent = self._unsent_latest.pop(topic)
            self._hand_over(unsent.popleft())
            if unsent:
                self._unsent_latest[topic] = unsent  # to the end of the line: topics take turns

    def interrupted(self) -> None:
        """Give up what a lost connection makes old; paho sends the RELIABLE in flight again."""
        self._stale.update(
            mid for mid, packet in self._in_flight.items() if packet.policy is Policy.STATE
        )
        self._in_flight.clear()
        kept = deque(p for p in self._waiting if p.policy is Policy.RELIABLE)
        streamed = sum(p.policy is Policy.STREAM for p in self._waiting)
        self.dropped += streamed + sum(map(len, self._unsent_latest.values()))
        self._waiting = kept
        self._unsent_latest.clear()

    def reconnecting(self) -> None:
        """Take old states from paho (`interrupted` may be called in a loop of paho's over them)."""
        for mid in self._stale:
            self._client.give_up(mid)
        self._stale.clear()

    def connected(self) -> None:
        """Tell a broker that may have lost its store what is true; then all that waits."""
        now = time.monotonic()
        self._state = {topic: p for topic, p in self._state.items() if not p.expired(now)}
        self._waiting.extendleft(reversed(self._state.values()))
        self.flush()

    def taken(self, mid: int, reason: ReasonCode) -> None:
        """Note what the broker says to a message that it acknowledges."""
        packet = self._in_flight.pop(mid, None)
        if packet is None:
            return
        if reason.is_failure:
            log.error("the broker refused a message of ours: %s", reason)
            self.dropped += 1
        elif not packet.payload and self._state.get(packet.topic) is packet:
            del self._state[packet.topic]  # cleared for good

    @property
    def _may_write(self) -> bool:
        """Whether the socket takes more. It may be lost within any call into paho."""
        return self._client.socket() is not None and not self._client.want_write()

    def _put_latest(self, packet: Outgoing) -> None:
        if not self._unsent_latest and self._may_write:
            self._hand_over(packet)
            return
        # The broker is slow: the newest of each topic wait, older ones are skipped.
        waiting = self._unsent_latest.setdefault(packet.topic, deque())
        waiting.append(packet)
        if len(waiting) > packet.depth:
            waiting.popleft()
            self.dropped += 1

    def _bound_waiting(self) -> None:
        for _ in range(len(self._waiting) - BACKLOG):
            # Not a state: there are few topics, and nobody would tell it again.
            oldest = next(
                (n for n, p in enumerate(self._waiting) if p.policy is not Policy.STATE), None
            )
            if oldest is None:
                return
            del self._waiting[oldest]
            self.dropped += 1

    def _hand_over(self, packet: Outgoing) -> None:
        size = len(packet.topic) + len(packet.payload) + ENVELOPE_BYTES
        if size > self.largest:
            self._refuse(packet, size)
            return
        self.published += 1
        reliable = packet.policy.qos == 1
        properties: Properties | Packed | None = packet.properties
        if packet.expires_at is not None:
            left_s = packet.expires_at - time.monotonic()
            properties = Packed(expiry(left_s), packet.attributes)
        elif packet.attributes:
            properties = Packed(packet.attributes)
        if not reliable and not isinstance(properties, Properties):
            packed = NO_PROPERTIES if properties is None else properties.pack()
            self._client.publish_once(
                packet.topic, packet.payload, retain=packet.policy.retained, packed=packed
            )
            return
        info = self._client.publish(
            packet.topic,
            packet.payload,
            qos=packet.policy.qos,
            retain=packet.policy.retained,
            properties=properties,  # type: ignore[arg-type]  # paho asks it for `pack` alone
        )
        if not reliable:
            return
        self._in_flight[info.mid] = packet
        if self._client.socket() is None:
            self.interrupted()  # it was, within `publish`, and did not know of this one yet

    def _refuse(self, packet: Outgoing, size: int) -> None:
        """Drop what would make the broker hang up, again on each reconnect."""
        self.dropped += 1
        if self._state.get(packet.topic) is packet:
            del self._state[packet.topic]
        now = time.monotonic()
        if now - self._complained_at >= COMPLAIN_EVERY_S:
            self._complained_at = now
            log.error(
                "a message for %s has %d bytes, this broker takes at most %d: "
                "raise its max_packet_size",
                packet.topic,
                size,
                self.largest,
            )
