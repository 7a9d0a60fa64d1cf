"""CloudEvents 1.0 over MQTT 5, binary mode: as any other program reads them from a real broker."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from queue import SimpleQueue
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import VariableByteIntegers

from nxai_common.bus.cloud_events import (
    LONGEST_ID,
    Packed,
    attributes_by_name,
    attributes_of,
    attributes_of_will,
    expiry,
    length_of,
)
from nxai_common.bus.lean_paho import Incoming
from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.sending import ENVELOPE_BYTES
from nxai_common.contracts.alarms import Alarm, AlarmPhase
from nxai_common.contracts.base import Message, RawMessage
from nxai_common.contracts.deployments import Deployment, Phase
from nxai_common.contracts.models import ModelManifest
from nxai_common.contracts.outputs import (
    CameraState,
    Detections,
    Event,
    EventPhase,
    Output,
    Snapshot,
)
from nxai_common.contracts.progress import Progress
from nxai_common.contracts.status import ServiceState, Status
from support import golden
from support.broker import Broker
from support.waiting import wait_for

CLASSES = golden.message_classes()
TOLD = [kind for kind in CLASSES if kind.cloud_event is not None]
UNTOLD = [kind for kind in CLASSES if kind.cloud_event is None]
PATIENCE_S = 10.0

Attributes = dict[str, str]


def read(message: Message, device: str = golden.DEVICE) -> Attributes:
    """Return the attributes of a message as a reader without our code unpacks them."""
    topic = message.topic(device)
    packed = Packed(attributes_of(message, topic, message.encode())).pack()
    properties = Incoming(topic, b"", 0, 0, retain=False, packed=packed).properties
    return {} if properties is None else attributes(properties)


def attributes(properties: Any) -> Attributes:
    pairs = getattr(properties, "UserProperty", [])
    assert len({name for name, _ in pairs}) == len(pairs)
    kind = getattr(properties, "ContentType", None)
    return dict(pairs) | ({} if kind is None else {"datacontenttype": kind})


def changed(kind: type[Message], **fields: Any) -> Message:
    return golden.example(kind).model_copy(update=fields)


def test_what_the_world_outside_reads_is_told_and_nothing_else() -> None:
    assert {kind.__name__ for kind in TOLD} == {
        "Alarm",
        "CameraState",
        "Deployment",
        "Detections",
        "Event",
        "ModelManifest",
        "Output",
        "Progress",
        "Status",
    }


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.__name__)
def test_every_attribute_is_as_the_standard_wants_it(kind: type[Message]) -> None:
    message = golden.example(kind)
    told = read(message)
    assert told["specversion"] == "1.0"
    assert re.fullmatch(r"io\.nxai-edge\.[a-z-]+\.v1", told["type"])
    assert told["type"] == kind.cloud_event
    assert told["source"].startswith("/nxai/v1/box/")
    assert f"/{message.topic(golden.DEVICE)}".startswith(told["source"])
    assert told["id"].isprintable()
    assert told["datacontenttype"] == "application/json"
    json.loads(message.encode())  # and so it is
    if "time" in told:
        assert datetime.fromisoformat(told["time"]).tzinfo is not None


@pytest.mark.parametrize("kind", UNTOLD, ids=lambda kind: kind.__name__)
def test_what_stays_in_the_box_costs_nothing(kind: type[Message]) -> None:
    message = golden.example(kind)
    assert attributes_of(message, golden.topic(message), message.encode()) == b""
    assert attributes_by_name(message, golden.topic(message), message.encode()) == {}
    assert attributes_of_will(message, golden.topic(message), "1") == []


def test_types_are_told_apart() -> None:
    assert len({kind.cloud_event for kind in TOLD}) == len(TOLD)


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.__name__)
def test_packed_and_by_name_are_the_same(kind: type[Message]) -> None:
    message = golden.example(kind)
    named = attributes_by_name(message, message.topic(golden.DEVICE), message.encode())
    assert named == read(message)


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.__name__)
def test_a_copy_has_the_same_id(kind: type[Message]) -> None:
    message = golden.example(kind)
    copy = kind.decode(golden.topic(message), message.encode())
    assert read(copy)["id"] == read(message)["id"]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Detections, {"sequence": 1208}),
        (Detections, {"model": "other"}),
        (Detections, {"stream": "other"}),
        (Detections, {"camera": "back"}),
        (CameraState, {"timestamp": golden.AT + timedelta(microseconds=1)}),
        (Event, {"event": EventPhase.START}),
        (Event, {"id": "other"}),
        (Alarm, {"alarm": AlarmPhase.END}),
        (Status, {"at": golden.AT + timedelta(microseconds=1)}),
        (Status, {"pid": 1}),
        (Status, {"state": ServiceState.STOPPED}),
        (ModelManifest, {"model": "other"}),
        (ModelManifest, {"threshold": 0.25}),
        (Deployment, {"model": "other"}),
        (Deployment, {"phase": Phase.RUNNING}),
        (Progress, {"done": 50_000}),
        (Progress, {"job": "other"}),
    ],
)
def test_another_occurrence_has_another_id_or_source(
    kind: type[Message], fields: dict[str, Any]
) -> None:
    one, other = read(golden.example(kind)), read(changed(kind, **fields))
    assert (one["source"], one["id"]) != (other["source"], other["id"])


@pytest.mark.parametrize(
    ("kind", "field", "once", "often"),
    [
        (Event, "event", (EventPhase.START, EventPhase.END), EventPhase.UPDATE),
        (Alarm, "alarm", (AlarmPhase.START, AlarmPhase.END), AlarmPhase.AGAIN),
    ],
)
def test_start_and_end_come_once_and_news_in_between_often(
    kind: type[Message], field: str, once: tuple[str, ...], often: str
) -> None:
    """An end that is told again after a crash may have another time; it is the same end."""
    for phase in once:
        assert (
            read(changed(kind, **{field: phase, "timestamp_ms": 1}))["id"]
            == read(changed(kind, **{field: phase, "timestamp_ms": 2}))["id"]
        )
    assert (
        read(changed(kind, **{field: often, "timestamp_ms": 1}))["id"]
        != read(changed(kind, **{field: often, "timestamp_ms": 2}))["id"]
    )


def test_gathered_results_are_told_by_the_first_and_the_last() -> None:
    example = golden.example(Output)
    assert isinstance(example, Output)
    [entry] = example.entries
    later = entry.model_copy(update={"timestamp": entry.timestamp + 5})
    both = read(changed(Output, entries=(entry, later)))
    assert both["id"] == f"output-m5-nut-{golden.AT_MS}-m5-nut-{golden.AT_MS + 5}"
    assert both["time"] == "2026-03-14T09:26:53.594000Z"
    nothing = read(changed(Output, entries=()))
    assert "time" not in nothing
    assert re.fullmatch(r"output-[0-9a-f]{32}", nothing["id"])


@given(label=st.text(max_size=400))
def test_an_id_of_anything_is_short_and_clean(label: str) -> None:
    """A label with a control character in it would make the broker hang up."""
    told = read(changed(Event, id=f"front-m5-nut-{label}-1"))
    assert told["id"].isascii()
    assert told["id"].isprintable()
    assert len(told["id"]) <= LONGEST_ID + len("event-")


def test_the_longest_names_fit_into_the_envelope() -> None:
    long = "x" * 64
    message = changed(Event, camera=long, model=long, id="y" * LONGEST_ID)
    packed = attributes_of(message, message.topic(long), message.encode())
    assert len(packed) + 20 < ENVELOPE_BYTES  # header, lengths, message id, expiry


@pytest.mark.parametrize("count", [0, 1, 127, 128, 300, 16_383, 16_384, 2_097_152, 268_435_455])
def test_lengths_are_those_of_mqtt(count: int) -> None:
    assert length_of(count) == VariableByteIntegers.encode(count)


def test_expiry_is_in_whole_seconds_and_never_nothing() -> None:
    assert [expiry(s) for s in (0.2, 1.6, 86_400)] == [
        b"\x02\0\0\0\1",
        b"\x02\0\0\0\2",
        b"\x02\0\1\x51\x80",
    ]


# -- on the wire ------------------------------------------------------------------------------


Heard = SimpleQueue[paho.MQTTMessage]


def _subscribe(pattern: str, client: paho.Client, *_told: Any) -> None:
    client.subscribe(pattern, qos=1)


@pytest.fixture
def outside(broker: Broker) -> Iterator[Callable[[str], Heard]]:
    """Return what subscribes with plain paho, as any other program would."""
    clients: list[paho.Client] = []

    def listen(pattern: str) -> Heard:
        heard: Heard = SimpleQueue()
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.username_pw_set(broker.username, broker.password)
        client.on_message = lambda _client, _data, message: heard.put(message)
        ready: SimpleQueue[bool] = SimpleQueue()
        client.on_connect = partial(_subscribe, pattern)
        client.on_subscribe = lambda *_args: ready.put(True)
        client.connect(broker.host, broker.port)
        client.loop_start()
        clients.append(client)
        assert ready.get(timeout=PATIENCE_S)
        return heard

    yield listen
    for client in clients:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.__name__)
def test_another_program_reads_payload_and_attributes(
    kind: type[Message], broker: Broker, outside: Callable[[str], Heard]
) -> None:
    message = golden.example(kind)
    heard = outside("nxai/v1/#")
    with broker.bus("sender") as bus:
        assert bus.wait_connected(PATIENCE_S)
        bus.publish(message)
        came = heard.get(timeout=PATIENCE_S)
    assert came.payload == message.encode()
    assert attributes(came.properties) == read(message)
    left = getattr(came.properties, "MessageExpiryInterval", None)
    assert left == message.expires_after_s


@pytest.mark.parametrize("kind", UNTOLD, ids=lambda kind: kind.__name__)
def test_another_program_reads_no_attributes_of_the_rest(
    kind: type[Message], broker: Broker, outside: Callable[[str], Heard]
) -> None:
    message = golden.example(kind)
    if golden.topic(message).startswith(golden.REPLY_TOPIC):
        return
    heard = outside("nxai/v1/#")
    with broker.bus("sender") as bus:
        assert bus.wait_connected(PATIENCE_S)
        bus.publish(message)
        came = heard.get(timeout=PATIENCE_S)
    assert came.payload == message.encode()
    assert attributes(came.properties) == {}
    assert issubclass(kind, RawMessage) or came.payload.startswith(b"{")


def test_a_state_told_again_after_a_reconnect_is_the_same_event(
    broker: Broker, outside: Callable[[str], Heard]
) -> None:
    message = golden.example(CameraState)
    with broker.bus("sender") as bus:
        assert bus.wait_connected(PATIENCE_S)
        first = outside(message.topic("box"))
        bus.publish(message)
        before = attributes(first.get(timeout=PATIENCE_S).properties)
        broker.kill()
        wait_for(lambda: not bus.connected, PATIENCE_S, "it notices")
        broker.start()
        assert bus.wait_connected(PATIENCE_S)
        again = outside(message.topic("box"))
        assert attributes(again.get(timeout=PATIENCE_S).properties) == before


def test_every_broken_connection_is_an_event_of_its_own(
    broker: Broker, outside: Callable[[str], Heard]
) -> None:
    will = changed(Status, state=ServiceState.OFFLINE, at=datetime.now(UTC))
    told = []
    for _ in range(2):
        heard = outside(will.topic("box"))
        with broker.bus("dying", will=will) as bus:
            assert bus.wait_connected(PATIENCE_S)
            break_off(bus)
            came = heard.get(timeout=PATIENCE_S)
            while came.retain:
                came = heard.get(timeout=PATIENCE_S)
        assert came.payload == will.encode()
        told.append(attributes(came.properties))
    assert told[0]["id"] != told[1]["id"]
    for attribute in ("specversion", "type", "source", "datacontenttype"):
        assert told[0][attribute] == told[1][attribute] == read(will)[attribute]
    assert "time" not in told[0]


def test_a_will_of_something_else_is_no_event(
    broker: Broker, outside: Callable[[str], Heard]
) -> None:
    will = golden.example(Snapshot)
    heard = outside(will.topic("box"))
    with broker.bus("dying", will=will) as bus:
        assert bus.wait_connected(PATIENCE_S)
        break_off(bus)
        came = heard.get(timeout=PATIENCE_S)
    assert came.payload == will.encode()
    assert attributes(came.properties) == {}


def break_off(bus: MqttBus) -> None:
    """Lose the connection without a goodbye."""
    connection = bus._client.socket()
    assert connection is not None
    connection.close()
