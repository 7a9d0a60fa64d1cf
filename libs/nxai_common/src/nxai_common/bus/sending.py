"""What waits to be sent over one MQTT connection: bounded, by the policy of each message."""

import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from nxai_common.bus.lean_paho import LeanClient
from nxai_common.contracts.base import Policy

log = logging.getLogger(__name__)

SEND_WINDOW: Final = 20
"""Unacknowledged RELIABLE messages on their way: Mosquitto's own default limit."""
BACKLOG: Final = 1000
"""RELIABLE and STREAM messages waiting to be sent: half a minute of one 30 fps camera."""


@dataclass(slots=True)
class Outgoing:
    """A message as the broker gets it."""

    topic: str
    payload: bytes
    policy: Policy
    properties: Properties | None = None
    depth: int = 1
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
        self._unsent_latest: dict[str, deque[Outgoing]] = {}
        self._state: dict[str, Outgoing] = {}
        self._in_flight: set[int] = set()
        self.published = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Messages in order that are not with paho yet."""
        return len(self._waiting)

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
            return self._bound_waiting()
        self.dropped += 1
        return False

    def put(self, packet: Outgoing) -> bool:
        """Send, or keep until there is room; False when a message was dropped for it."""
        if packet.policy is Policy.LATEST:
            return self._put_latest(packet)
        if packet.policy is Policy.STATE:
            self._state[packet.topic] = packet
        self._waiting.append(packet)
        self.flush()  # first: what the socket takes now need not be dropped
        return self._bound_waiting()

    def flush(self) -> None:
        """Hand over what waits, as far as the socket and the window allow."""
        while self._waiting and not self._client.want_write():
            if self._waiting[0].policy.qos == 1 and len(self._in_flight) >= SEND_WINDOW:
                break
            self._hand_over(self._waiting.popleft())
        while self._unsent_latest and not self._client.want_write():
            topic = next(iter(self._unsent_latest))
            unsent = self._unsent_latest.pop(topic)
            self._hand_over(unsent.popleft())
            if unsent:
                self._unsent_latest[topic] = unsent  # to the end of the line: topics take turns

    def say_again(self) -> None:
        """Tell a broker that may have lost its store what is true; then all that waits."""
        now = time.monotonic()
        for packet in list(self._state.values()):
            if not packet.expired(now):
                self._hand_over(packet)
            if not packet.payload or packet.expired(now):
                del self._state[packet.topic]
        self.flush()

    def interrupted(self) -> None:
        """Forget what was on its way: paho sends it again by itself after reconnecting."""
        self._in_flight.clear()

    def taken(self, mid: int, reason: ReasonCode) -> None:
        """Note what the broker says to a RELIABLE message."""
        if mid in self._in_flight:
            self._in_flight.discard(mid)
            if reason.is_failure:
                log.error("the broker refused a message of ours: %s", reason)
                self.dropped += 1

    def _put_latest(self, packet: Outgoing) -> bool:
        if not self._unsent_latest and not self._client.want_write():
            self._hand_over(packet)
            return True
        # The broker is slow: the newest of each topic wait, older ones are skipped.
        waiting = self._unsent_latest.setdefault(packet.topic, deque())
        waiting.append(packet)
        if len(waiting) <= packet.depth:
            return True
        waiting.popleft()
        self.dropped += 1
        return False

    def _bound_waiting(self) -> bool:
        lost = max(0, len(self._waiting) - BACKLOG)
        for _ in range(lost):
            self._waiting.popleft()
        self.dropped += lost
        return lost == 0

    def _hand_over(self, packet: Outgoing) -> None:
        self.published += 1
        reliable = packet.policy.qos == 1
        properties = packet.properties
        if packet.expires_at is not None:
            properties = expiring(PacketTypes.PUBLISH, packet.expires_at - time.monotonic())
        if not reliable and properties is None:
            self._client.publish_once(packet.topic, packet.payload, retain=packet.policy.retained)
            return
        info = self._client.publish(
            packet.topic,
            packet.payload,
            qos=packet.policy.qos,
            retain=packet.policy.retained,
            properties=properties,
        )
        if reliable:
            self._in_flight.add(info.mid)


def expiring(packet_type: int, after_s: float) -> Properties:
    """Return the properties of a message or a will that the broker forgets after so long."""
    properties = Properties(packet_type)
    # MQTT takes whole seconds, and 0 as "never to be delivered late".
    properties.MessageExpiryInterval = max(1, round(after_s))
    return properties
