"""paho-mqtt with five shortcuts on the path of every frame.

Measured on a two-core box with paho 2.2 and MQTT 5, 27 kB messages: 262 µs of CPU a round trip
for plain paho, of which the larger part is not needed:

* the fixed header is read byte by byte, four system calls a packet: here one `recv` reads ahead;
* every PUBLISH gets a `Properties` object (two dictionaries of 27 entries, 25 µs) even when it
  has no properties: here only when somebody asks for them;
* properties are packed anew for every PUBLISH: here they may come packed;
* a QoS 0 publish builds a future with a condition variable and copies the unsent rest of a
  packet for each partial write: here neither;
* so does every PUBACK, plus a reason code: here each reason is built once.

Only those steps are replaced; connecting, keep-alive, QoS 1 and every other packet are paho's.
The promise suite (tests/contract) and its test against plain paho guard the overridden names,
which are private to paho: `_sock_recv`, `_handle_publish`, `_handle_pubackcomp`, `_packet_queue`,
`_out_messages`.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import MessageType, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

READ_AHEAD: Final = 4096
"""Bytes asked for when a header is expected: many small packets at once, no large copies."""

PUBACK_MID: Final = 2
"""Bytes of a PUBACK that only says which message it means: it was taken."""
PUBACK_REASON: Final = 3
"""Bytes of a PUBACK with a reason and no properties."""

NO_PROPERTIES: Final = b"\x00"
"""As a packet says it."""

_PUBLISH: Final = MessageType.PUBLISH
_NO_PROPERTIES: Final = Properties(PacketTypes.PUBACK)


@lru_cache(maxsize=256)
def _puback_reason(code: int) -> ReasonCode:
    return ReasonCode(PacketTypes.PUBACK, identifier=code)


@dataclass(slots=True)
class Incoming:
    """A received PUBLISH."""

    topic: str
    payload: bytes
    qos: int
    mid: int
    retain: bool
    packed: bytes = NO_PROPERTIES
    """Its properties with their length in front, as they came."""

    @property
    def properties(self) -> Properties | None:
        """Its properties; None when it has none, or some that cannot be read."""
        if self.packed == NO_PROPERTIES:
            return None
        read = Properties(PacketTypes.PUBLISH)
        try:
            read.unpack(self.packed)
        except (MQTTException, LookupError, ValueError, struct.error):
            return None
        return read


class LeanClient(paho.Client):
    """A paho client whose PUBLISH path is short. Set `on_incoming` instead of `on_message`."""

    on_incoming: Callable[[Incoming], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to paho
        super().__init__(*args, **kwargs)
        self._ahead = b""
        self._ahead_at = 0
        self._together: bytearray | None = None
        self._nobody = paho.MQTTMessageInfo(0)
        self.on_message = self._from_paho

    @property
    def has_read_ahead(self) -> bool:
        """Whether bytes that poll() cannot see wait to be parsed."""
        return self._ahead_at < len(self._ahead)

    def forget_read_ahead(self) -> None:
        """Drop the rest of an old connection."""
        self._ahead, self._ahead_at = b"", 0

    def gather(self) -> None:
        """Keep back what is published at QoS 0 from now on."""
        self._together = bytearray()

    def let_go(self) -> None:
        """Send what was kept back, in one write: a system call costs more than a small message."""
        together, self._together = self._together, None
        if together:
            told, self.on_publish = self.on_publish, None
            self._packet_queue(_PUBLISH, together, 0, 0, self._nobody)
            self.on_publish = told

    def publish_once(
        self, topic: str, payload: bytes, *, retain: bool = False, packed: bytes = NO_PROPERTIES
    ) -> None:
        """Send at QoS 0; nobody waits for it. `packed`: properties, their length in front."""
        name = topic.encode()
        length = 2 + len(name) + len(packed) + len(payload)
        packet = bytearray((_PUBLISH | retain,))
        self._pack_remaining_length(packet, length)
        packet += len(name).to_bytes(2, "big")
        packet += name
        packet += packed
        packet += payload
        told, self.on_publish = self.on_publish, None  # its arguments alone take 40 µs to build
        self._packet_queue(_PUBLISH, packet, 0, 0, self._nobody)
        self.on_publish = told

    def give_up(self, mid: int) -> None:
        """Forget a QoS 1 message that was not acknowledged, so that it is not sent again."""
        with self._out_message_mutex:
            self._out_messages.pop(mid, None)

    def _packet_queue(
        self,
        command: int,
        packet: bytes | bytearray,
        mid: int,
        qos: int,
        info: paho.MQTTMessageInfo | None = None,
    ) -> MQTTErrorCode:
        if self._together is not None and command & 0xF0 == _PUBLISH and qos == 0:
            self._together += packet
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        # A slice of a memoryview is free; paho slices at every partial write.
        return super()._packet_queue(command, memoryview(packet), mid, qos, info)  # type: ignore[arg-type]  # a buffer is all that is needed

    def _sock_recv(self, bufsize: int) -> bytes:
        at = self._ahead_at
        if at < len(self._ahead):
            data = self._ahead[at : at + bufsize]
            self._ahead_at = at + len(data)
            return data
        if bufsize >= READ_AHEAD:
            return super()._sock_recv(bufsize)
        ahead = super()._sock_recv(READ_AHEAD)
        self._ahead, self._ahead_at = ahead, min(bufsize, len(ahead))
        return ahead[:bufsize]

    def _handle_publish(self) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        header = self._in_packet["command"]
        qos = (header & 0x06) >> 1
        named = int.from_bytes(packet[:2], "big")
        end = 2 + named
        properties_at = end + 2 * (qos > 0)
        if qos > 1 or not named or len(packet) <= properties_at:
            return super()._handle_publish()
        packed = _packed(packet, properties_at)
        if packed is None:
            return super()._handle_publish()
        try:
            topic = packet[2:end].decode()
        except UnicodeDecodeError:
            return super()._handle_publish()
        self.on_incoming(
            Incoming(
                topic,
                bytes(memoryview(packet)[properties_at + len(packed) :]),
                qos,
                int.from_bytes(packet[end:properties_at], "big"),
                bool(header & 0x01),
                packed,
            )
        )
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if cmd != "PUBACK" or not PUBACK_MID <= len(packet) <= PUBACK_REASON:
            return super()._handle_pubackcomp(cmd)
        mid = int.from_bytes(packet[:PUBACK_MID], "big")
        reason = _puback_reason(packet[PUBACK_MID] if len(packet) == PUBACK_REASON else 0)
        with self._out_message_mutex:
            if mid in self._out_messages:
                return self._do_on_publish(mid, reason, _NO_PROPERTIES)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _from_paho(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.on_incoming(
            Incoming(
                message.topic,
                bytes(message.payload),
                message.qos,
                message.mid,
                message.retain,
                NO_PROPERTIES if message.properties is None else message.properties.pack(),
            )
        )


def _packed(packet: bytes | bytearray, at: int) -> bytes | None:
    """Return the properties that begin at `at`, their length in front; None: they are cut off."""
    length = shift = 0
    for digits in range(1, 5):
        digit = packet[at + digits - 1] if at + digits <= len(packet) else 0x80
        length |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:  # noqa: PLR2004 - the bit that says: more follows
            end = at + digits + length
            return bytes(packet[at:end]) if end <= len(packet) else None
    return None
