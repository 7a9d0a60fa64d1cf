"""The shortcuts around paho, byte by byte."""

import pytest
from paho.mqtt.client import MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MessageType, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from nxai_common.bus.lean_paho import Incoming, LeanClient


@pytest.fixture
def client() -> LeanClient:
    made = LeanClient(CallbackAPIVersion.VERSION2, client_id="x", protocol=MQTTv5)
    made.received = []  # type: ignore[attr-defined]  # the test's own list
    made.on_incoming = made.received.append  # type: ignore[attr-defined]  # as above
    return made


def handle(client: LeanClient, header: int, packet: bytes) -> list[Incoming]:
    client._in_packet = {  # type: ignore[typeddict-item]  # the parts that the method reads
        "command": MessageType.PUBLISH | header,
        "packet": bytearray(packet),
    }
    assert client._handle_publish() == MQTTErrorCode.MQTT_ERR_SUCCESS
    received: list[Incoming] = client.received  # type: ignore[attr-defined]  # as above
    return received


def test_a_plain_publish_takes_the_short_way(client: LeanClient) -> None:
    assert handle(client, 0x01, b"\x00\x03a/b\x00payload") == [
        Incoming("a/b", b"payload", qos=0, mid=0, retain=True)
    ]


def test_a_publish_with_an_id(client: LeanClient) -> None:
    assert handle(client, 0x02, b"\x00\x03a/b\x01\x02\x00") == [
        Incoming("a/b", b"", qos=1, mid=0x0102, retain=False)
    ]


@pytest.mark.parametrize("long", [0, 200])
def test_a_publish_with_properties_keeps_them_for_whoever_asks(
    client: LeanClient, long: int
) -> None:
    sent = Properties(PacketTypes.PUBLISH)
    sent.MessageExpiryInterval = 7
    sent.UserProperty = [("id", "x" * long)]
    (message,) = handle(client, 0x00, b"\x00\x03a/b" + sent.pack() + b"payload")
    assert message.payload == b"payload"
    assert message.properties is not None
    assert message.properties.json() == sent.json()


def test_properties_that_cannot_be_read_are_none(client: LeanClient) -> None:
    (message,) = handle(client, 0x00, b"\x00\x03a/b\x02\x7f\x7fpayload")
    assert message.payload == b"payload"
    assert message.properties is None


@pytest.mark.parametrize(
    "packet",
    [
        b"\x00\x03a/b\x05\x02\x00",  # cut off
        b"\x00\x03a/b\xff\xff\xff\xff\x01payload",  # a length without an end
        b"\x00\x03a/b\xff",  # as well
    ],
)
def test_properties_that_do_not_fit_are_for_paho_to_refuse(
    client: LeanClient, packet: bytes
) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever paho makes of it: not ours
        handle(client, 0x00, packet)
    assert client.received == []  # type: ignore[attr-defined]  # the test's own list


def test_a_publish_of_the_second_kind_goes_through_paho(client: LeanClient) -> None:
    sent = Properties(PacketTypes.PUBLISH)
    sent.ResponseTopic = "answers"
    client._in_packet = {  # type: ignore[typeddict-item]  # the parts that the method reads
        "command": MessageType.PUBLISH | 0x04,
        "packet": bytearray(b"\x00\x03a/b\x00\x07" + sent.pack() + b"payload"),
    }
    client._handle_publish()
    assert client.received == []  # type: ignore[attr-defined]  # kept until its release comes
    client._from_paho(client, None, client._in_messages[7])
    (message,) = client.received  # type: ignore[attr-defined]  # the test's own list
    assert message.properties.json() == sent.json()


def test_a_topic_that_is_not_text_goes_through_paho_and_is_its_to_refuse(
    client: LeanClient,
) -> None:
    client.suppress_exceptions = True
    assert handle(client, 0x00, b"\x00\x03\xff\xfe\xfd\x00payload") == []


def told(client: LeanClient, packet: bytes) -> list[tuple[int, str]]:
    """Return what on_publish heard of an acknowledgement."""
    heard: list[tuple[int, str]] = []
    client.on_publish = lambda _client, _data, mid, reason, _properties: heard.append(
        (mid, str(reason))
    )
    client._out_messages[7] = MQTTMessage(7, b"a/b")
    client._in_packet = {  # type: ignore[typeddict-item]  # the parts that the method reads
        "command": MessageType.PUBACK,
        "packet": bytearray(packet),
    }
    assert client._handle_pubackcomp("PUBACK") == MQTTErrorCode.MQTT_ERR_SUCCESS
    return heard


@pytest.mark.parametrize(
    ("packet", "heard"),
    [
        (b"\x00\x07", [(7, "Success")]),
        (b"\x00\x07\x10", [(7, "No matching subscribers")]),
        (b"\x00\x07\x87", [(7, "Not authorized")]),
        (b"\x00\x07\x87\x00", [(7, "Not authorized")]),  # with properties: paho's own way
        (b"\x00\x08", []),  # not one of ours
    ],
)
def test_an_acknowledgement(
    client: LeanClient, packet: bytes, heard: list[tuple[int, str]]
) -> None:
    assert told(client, packet) == heard
