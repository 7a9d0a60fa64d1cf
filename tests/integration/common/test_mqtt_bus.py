"""The MQTT bus in bad company: a broker that stalls, refuses, forgets; TLS; odd answers."""

import json
import logging
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from nxai_common.bus import mqtt
from nxai_common.bus.lean_paho import Incoming
from nxai_common.bus.mailbox import Mailbox
from nxai_common.bus.mqtt import KEEPALIVE_S, MqttBus
from nxai_common.bus.ports import Delivery, Subscription
from nxai_common.bus.routing import Filter
from nxai_common.bus.sending import BACKLOG, SEND_WINDOW
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import Reply, TakeSnapshot
from nxai_common.contracts.configuration import CaptureConfiguration
from nxai_common.contracts.frames import Frame, Picture, Transform
from nxai_common.contracts.outputs import Snapshot
from nxai_common.contracts.samples import Sample
from nxai_common.contracts.status import ServiceState, Status
from nxai_common.errors import BrokerUnavailable
from support.broker import Broker
from support.probing import in_force
from support.waiting import wait_for

PATIENCE = 15.0
SIDE = 640


def frame(camera: str, sequence: int) -> Frame:
    return Frame(
        camera=camera,
        input="big",
        models=("m",),
        stream="s",
        sequence=sequence,
        captured_at_us=1,
        width=SIDE,
        height=SIDE,
        channels=3,
        source_width=SIDE,
        source_height=SIDE,
        transform=Transform(scale_x=1, scale_y=1),
        attachment=bytes(SIDE * SIDE * 3),
    )


def sample(sequence: int) -> Sample:
    return Sample(
        camera="front",
        stream="s",
        sequence=sequence,
        captured_at_us=1,
        width=2,
        height=2,
        model="m",
        reason="test",
    )


def connected(broker: Broker, name: str) -> MqttBus:
    bus = broker.bus(name)
    bus.__enter__()
    assert bus.wait_connected(PATIENCE)
    return bus


def picture(number: int) -> Picture:
    return Picture(camera="probe", attachment=b"%d" % number)


def snapshot(number: int) -> TakeSnapshot:
    return TakeSnapshot(camera=f"probe-{number}")


@pytest.fixture
def bus(broker: Broker) -> Iterator[MqttBus]:
    made = connected(broker, "under-test")
    yield made
    made.close()


@pytest.fixture
def other(broker: Broker) -> Iterator[MqttBus]:
    made = connected(broker, "other")
    yield made
    made.close()


@pytest.fixture
def plain(broker: Broker) -> Iterator[paho.Client]:
    """Any other program."""
    client = other_program(broker)
    yield client
    client.disconnect()
    client.loop_stop()


def other_program(broker: Broker) -> paho.Client:
    """Return a client whose connection the broker has accepted."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.username_pw_set(broker.username, broker.password)
    client.connect(broker.host, broker.port)
    client.loop_start()
    wait_for(client.is_connected, PATIENCE, "the other program is connected")
    return client


def follow(client: paho.Client, topic: str) -> None:
    """Subscribe, and return when it is in force."""
    granted = threading.Event()
    client.on_subscribe = lambda *_: granted.set()

    def asked() -> bool:
        client.subscribe(topic)  # again, should the connection have been made anew meanwhile
        return granted.wait(PATIENCE / 3)

    wait_for(asked, PATIENCE, f"{topic} is subscribed to")


def test_a_stalled_broker_blocks_nobody_and_the_newest_frames_survive(
    broker: Broker, bus: MqttBus, other: MqttBus
) -> None:
    inbox = other.subscribe(Subscription(Frame), Subscription(Picture), bound=BACKLOG * 2)
    in_force(bus, inbox, picture)
    mail = bus.subscribe(Subscription(Sample), Subscription(Picture))
    in_force(other, mail, picture)
    other.publish(sample(1))
    owed = mail.receive(PATIENCE)
    assert owed is not None
    mail.close()
    while inbox.receive(0.1) is not None:
        pass
    before = bus.statistics.dropped
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        for sequence in range(20 + Frame.depth):
            for camera in ("front", "back"):
                bus.publish(frame(camera, sequence))
        for number in range(BACKLOG + 10):
            bus.publish(Picture(camera="front", attachment=b"%d" % number))
        dropped = bus.statistics.dropped - before
        with bus.together():  # nor does this wait for the socket
            bus.publish(frame("front", 19 + Frame.depth + 1))
        owed.acknowledge()  # behind all that: it must not wait for the broker either
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    newest: dict[str, int] = {}
    last_picture = b""

    def all_came() -> bool:
        nonlocal last_picture
        for delivery in inbox.receive_many(1000, 0.1):
            message = delivery.message
            if isinstance(message, Frame):
                newest[message.camera] = message.sequence
            elif isinstance(message, Picture):
                last_picture = bytes(message.attachment)
        return newest == {
            "front": 19 + Frame.depth + 1,
            "back": 19 + Frame.depth,
        } and last_picture == b"%d" % (BACKLOG + 9)

    wait_for(all_came, PATIENCE, "the newest of everything")
    assert dropped >= 10 + 20, "frames that were replaced, and the oldest pictures"


def test_cameras_take_turns_when_a_stalled_broker_goes_on(
    broker: Broker, bus: MqttBus, plain: paho.Client
) -> None:
    came: SimpleQueue[str] = SimpleQueue()
    plain.on_message = lambda _client, _data, message: came.put(message.topic.split("/")[4])
    follow(plain, "nxai/v1/+/cameras/+/frame/+")
    before = bus.statistics
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        for camera in ("front", "back"):
            for sequence in range(40):
                bus.publish(frame(camera, sequence))
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    left = 80 - (bus.statistics.dropped - before.dropped)
    cameras = [came.get(timeout=PATIENCE) for _ in range(left)]
    # From the first of the second camera on both wait, until one has no more.
    both = cameras[cameras.index("back") :]
    turns = min(both.count("front"), both.count("back"))
    assert turns > Frame.depth // 2
    assert both[: 2 * turns] == ["back", "front"] * turns


def test_what_waits_is_sent_when_something_else_empties_the_socket(
    broker: Broker, bus: MqttBus, other: MqttBus
) -> None:
    inbox = other.subscribe(Subscription(Picture), bound=BACKLOG * 2)
    in_force(bus, inbox, picture)
    mail = bus.subscribe(Subscription(Sample))
    in_force(other, mail, sample)
    for sequence in range(200):
        other.publish(sample(sequence))
    owed: list[Delivery[Message]] = []
    while len(owed) < 200:
        came = mail.receive_many(200, PATIENCE)
        assert came, "a sample is missing"
        owed += came

    def acknowledgements_empty_the_socket() -> bool:
        connection = bus._client.socket()
        assert isinstance(connection, socket.socket)
        if select.select([], [connection], [], 0)[1]:  # each shall write something
            owed.pop().acknowledge()
        return not bus._client.want_write()

    os.kill(broker.pid, signal.SIGSTOP)
    try:
        for number in range(30):
            bus.publish(Picture(camera="front", attachment=bytes(SIDE * SIDE) + b"%d" % number))
        assert bus._queue.waiting, "the socket is full"
    finally:
        with bus._lead:  # nobody else writes to the network now
            os.kill(broker.pid, signal.SIGCONT)
            wait_for(acknowledgements_empty_the_socket, PATIENCE)

    def last_came() -> bool:
        delivery = inbox.receive(0.1)
        message = None if delivery is None else delivery.message
        return isinstance(message, Picture) and bytes(message.attachment).endswith(b"\x0029")

    wait_for(last_came, KEEPALIVE_S * 0.6, "the last picture, before the next ping")


def test_reliable_messages_wait_for_the_window_and_all_arrive(bus: MqttBus, other: MqttBus) -> None:
    inbox = other.subscribe(Subscription(Sample), Subscription(Picture))
    in_force(bus, inbox, picture)
    for sequence in range(500):
        assert bus.publish(sample(sequence))
    got: list[int] = []
    while len(got) < 500:
        delivery = inbox.receive(PATIENCE)
        assert delivery is not None
        assert isinstance(delivery.message, Sample)
        got.append(delivery.message.sequence)
        delivery.acknowledge()
    assert got == list(range(500))


def test_no_more_than_the_window_is_sent_before_an_acknowledgement(
    broker: Broker, bus: MqttBus, other: MqttBus
) -> None:
    inbox = other.subscribe(Subscription(Sample), Subscription(Picture))
    in_force(bus, inbox, picture)
    before = bus.statistics.published
    os.kill(broker.pid, signal.SIGSTOP)  # it acknowledges nothing
    try:
        for sequence in range(3 * SEND_WINDOW):
            assert bus.publish(sample(sequence))
        assert bus.statistics.published - before == SEND_WINDOW
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    for _ in range(3 * SEND_WINDOW):
        delivery = inbox.receive(PATIENCE)
        assert delivery is not None
        delivery.acknowledge()


def test_what_is_published_together_leaves_in_one_write(
    bus: MqttBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = bus.subscribe(Subscription(Picture))
    in_force(bus, inbox, picture)  # nothing of the connecting waits to be written any more
    written: list[bytes] = []
    send = bus._client._sock_send

    def send_and_note(packet: bytes) -> int:
        written.append(bytes(packet))
        return send(packet)

    monkeypatch.setattr(bus._client, "_sock_send", send_and_note)
    with bus.together():
        for number in range(3):
            bus.publish(Picture(camera="front", attachment=b"picture %d" % number))
    pictures = [packet.count(b"picture ") for packet in written if b"picture " in packet]
    assert pictures == [3]


def test_small_packets_do_not_wait_for_larger_ones(bus: MqttBus) -> None:
    connection = bus._client.socket()
    assert isinstance(connection, socket.socket)
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_idle_connection_lives_and_a_broker_that_hangs_is_noticed(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "KEEPALIVE_S", 1)  # the broker ends what is silent for 1.5 times this
    with broker.bus("idle") as idle:
        assert idle.wait_connected(PATIENCE)
        wait_for(
            lambda: broker.said.rpartition(" as idle (")[2].count("PINGREQ from idle") >= 3,
            60,
            "three pings over one connection",
        )
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            wait_for(lambda: not idle.connected, PATIENCE, "the silence is noticed")
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        wait_for(lambda: idle.connected, PATIENCE, "it is back")


def status(service: str = "capture") -> Status:
    now = datetime.now(UTC)
    return Status(
        service=service,
        role=service,
        state=ServiceState.RUNNING,
        version="1",
        at=now,
        started_at=now,
        pid=1,
        host="h",
    )


def seconds_left(plain: paho.Client) -> SimpleQueue[tuple[str, int]]:
    """Collect for each status that comes: of whom, and when the broker will forget it."""
    left: SimpleQueue[tuple[str, int]] = SimpleQueue()
    plain.on_message = lambda _client, _data, message: left.put(
        (
            json.loads(message.payload)["service"],
            getattr(message.properties, "MessageExpiryInterval", 0),
        )
    )
    follow(plain, "nxai/v1/+/services/+/status")
    return left


def test_who_waits_for_the_network_is_woken(bus: MqttBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "LONGEST_POLL_S", 3600.0)
    inbox = bus.subscribe(Subscription(Status))
    for _ in range(5):
        timer = threading.Timer(0.05, inbox.wake)
        timer.start()
        assert inbox.receive() is None
        timer.join()


def test_no_more_is_handed_out_than_a_service_wants_to_hold(broker: Broker, other: MqttBus) -> None:
    few = MqttBus("box", broker.url, "few", broker.username, broker.password, receive_maximum=3)
    held: list[Delivery[Message]] = []

    def holds(count: int) -> bool:
        held.extend(inbox.receive_many(10, 0.1))
        return len(held) >= count

    with few:
        assert few.wait_connected(PATIENCE)
        inbox = few.subscribe(Subscription(Sample))
        in_force(other, inbox, sample)
        for sequence in range(1000, 1006):
            other.publish(sample(sequence))
        wait_for(lambda: holds(3))
        assert inbox.receive(0.5) is None
        assert len(held) == 3
        held[0].acknowledge()
        wait_for(lambda: holds(4))


def test_what_expires_says_so_to_the_broker(bus: MqttBus, plain: paho.Client) -> None:
    left = seconds_left(plain)
    bus.publish(status())
    _, left_s = left.get(timeout=PATIENCE)
    assert Status.expires_after_s - 60 <= left_s <= Status.expires_after_s


def test_last_words_expire_too(broker: Broker, plain: paho.Client) -> None:
    left = seconds_left(plain)
    with broker.bus("dying", will=status("dying")) as dying:
        assert dying.wait_connected(PATIENCE)
        connection = dying._client.socket()
        assert isinstance(connection, socket.socket)
        connection.shutdown(socket.SHUT_RDWR)
        who, left_s = left.get(timeout=PATIENCE)
    assert who == "dying"
    assert Status.expires_after_s - 60 <= left_s <= Status.expires_after_s


def test_what_is_told_again_is_as_old_as_it_is(broker: Broker, bus: MqttBus) -> None:
    for service in ("capture", "publisher"):
        bus.publish(status(service))

    def acknowledged() -> bool:
        with bus._lock:  # else paho sends them again as they were
            return not bus._queue.unfinished

    wait_for(acknowledged, PATIENCE, "the broker has both")
    kept = bus._queue._state
    # Time passes: a day less a minute for one, a day for the other.
    kept[status("capture").topic("box")].expires_at = time.monotonic() + 60
    kept[status("publisher").topic("box")].expires_at = time.monotonic()
    broker.stop()
    for store in broker.folder.glob("*.db"):
        store.unlink()
    wait_for(lambda: not bus.connected, PATIENCE, "it is away")
    broker.start()
    wait_for(lambda: bus.connected, PATIENCE, "it is back")
    client = other_program(broker)
    left = seconds_left(client)
    who, left_s = left.get(timeout=PATIENCE)
    assert who == "capture"
    assert 1 <= left_s <= 60
    bus.publish(status("manager"))
    who, _ = left.get(timeout=PATIENCE)
    assert who == "manager", "what was over is not told again"
    assert len(kept) == 2, "nor kept"
    client.disconnect()
    client.loop_stop()


def killed_while_it_hangs(broker: Broker, *doing: Callable[[], object]) -> None:
    """Let the broker hang, do something, kill it, and start it again."""
    os.kill(broker.pid, signal.SIGSTOP)
    first, *then = doing
    first()
    os.kill(broker.pid, signal.SIGKILL)
    broker.stop()
    for step in then:
        step()
    broker.start()


def settled(bus: MqttBus) -> bool:
    """Tell whether there is a connection and nothing left to say."""
    with bus._lock:
        return bus.connected and not bus._queue.unfinished


def retained(broker: Broker, kind: type[Message]) -> list[Message]:
    """Return what somebody who comes late is told."""
    with broker.bus("late") as late:
        assert late.wait_connected(PATIENCE)
        inbox = late.subscribe(Subscription(kind), Subscription(Picture))
        number = 0
        found: list[Message] = []
        while True:  # behind a message of our own there is nothing retained any more
            late.publish(picture(number))
            while (delivery := inbox.receive(0.2)) is not None:
                if isinstance(delivery.message, Picture):
                    return found
                found.append(delivery.message)
            number += 1
            assert number < 50, "nothing comes round"


def test_the_newest_state_is_what_stays_when_the_broker_dies(broker: Broker, bus: MqttBus) -> None:
    bus.publish(CaptureConfiguration(revision="1"))
    killed_while_it_hangs(
        broker,
        # On its way, and never acknowledged: it must not come behind the newer one.
        lambda: (bus.publish(sample(1)), bus.publish(CaptureConfiguration(revision="2"))),
        lambda: wait_for(lambda: not bus.connected, PATIENCE, "the loss is noticed"),
        lambda: bus.publish(CaptureConfiguration(revision="3")),
    )
    wait_for(partial(settled, bus), PATIENCE, "it is told")
    (found,) = retained(broker, CaptureConfiguration)
    assert isinstance(found, CaptureConfiguration)
    assert found.revision == "3"


def test_what_was_cleared_stays_so_when_the_broker_dies(broker: Broker, bus: MqttBus) -> None:
    bus.publish(CaptureConfiguration(revision="1"))
    wait_for(lambda: not bus._queue.unfinished, PATIENCE, "the broker has it")
    broker.stop()  # and it is on the disk
    broker.start()
    wait_for(partial(settled, bus), PATIENCE, "it is back")
    killed_while_it_hangs(
        broker, lambda: bus.clear(CaptureConfiguration, service="capture"), lambda: None
    )
    wait_for(partial(settled, bus), PATIENCE, "it is told")
    assert retained(broker, CaptureConfiguration) == []
    assert not bus._queue._state, "and nothing is left to be cleared"


def test_no_state_is_lost_behind_a_broker_that_hangs(
    broker: Broker, bus: MqttBus, other: MqttBus
) -> None:
    inbox = other.subscribe(Subscription(CaptureConfiguration), Subscription(Picture))
    in_force(bus, inbox, picture)
    dropped = bus.statistics.dropped
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        for number in range(SEND_WINDOW + 1):  # the last one waits beside the configurations
            bus.publish(sample(number))
        for revision in ("1", "2"):
            assert bus.publish(CaptureConfiguration(revision=revision))
        for number in range(BACKLOG + 5):
            bus.publish(sample(number))
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    delivery = inbox.receive(PATIENCE)
    assert delivery is not None
    assert isinstance(delivery.message, CaptureConfiguration)
    assert delivery.message.revision == "2", "the older one of the same topic went for it"
    assert bus.statistics.dropped - dropped == 7, "samples: the configuration takes a place"


def test_more_states_than_may_wait_all_wait(broker: Broker, bus: MqttBus) -> None:
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        for number in range(BACKLOG + SEND_WINDOW + 5):
            bus.publish(status(f"service-{number}"))
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    wait_for(lambda: not bus._queue.unfinished, PATIENCE, "all are sent")
    assert bus.statistics.dropped == 0


def test_what_a_lost_connection_makes_old_is_not_sent_afterwards(
    broker: Broker, bus: MqttBus, other: MqttBus
) -> None:
    inbox = other.subscribe(Subscription(Frame), Subscription(Picture))
    in_force(bus, inbox, picture)
    connection = bus._client.socket()
    assert isinstance(connection, socket.socket)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 262_144)

    waiting: list[int] = []

    def publish() -> None:
        for number in range(Frame.depth):
            bus.publish(frame("front", number))
        bus.publish(Picture(camera="front", attachment=b"old"))

    killed_while_it_hangs(
        broker,
        publish,
        lambda: wait_for(lambda: not bus.connected, PATIENCE, "the loss is noticed"),
        lambda: wait_for(lambda: not other.connected, PATIENCE, "by the other, too"),
        lambda: waiting.append(bus._queue.waiting),
    )
    assert waiting == [0], "the picture, too, is given up"
    for each in (bus, other):
        wait_for(partial(getattr, each, "connected"), PATIENCE, "it is back")
    dropped = bus.statistics.dropped
    came: list[Message] = []
    number = 1000
    while not any(isinstance(message, Picture) for message in came):
        number += 1
        bus.publish(picture(number))
        while (delivery := inbox.receive(0.2)) is not None:
            came.append(delivery.message)
    assert not [message for message in came if isinstance(message, Frame)]
    assert {bytes(m.attachment) for m in came if isinstance(m, Picture)} <= {
        b"%d" % n for n in range(1001, number + 1)
    }
    assert dropped >= Frame.depth // 2, "the socket took the first of them"


def test_a_message_larger_than_the_broker_takes_costs_no_connection(
    broker: Broker, bus: MqttBus, other: MqttBus, caplog: pytest.LogCaptureFixture
) -> None:
    broker.stop()
    configuration = broker.folder / "mosquitto.conf"
    text, found = re.subn("max_packet_size .*", "max_packet_size 100000", configuration.read_text())
    assert found == 1
    configuration.write_text(text)
    for each in (bus, other):
        wait_for(lambda each=each: not each.connected, PATIENCE, "it is away")  # type: ignore[misc]  # bound at once
    broker.start()
    for each in (bus, other):
        wait_for(partial(getattr, each, "connected"), PATIENCE, "it is back")
    inbox = other.subscribe(Subscription(Snapshot), Subscription(Picture))
    in_force(bus, inbox, picture)
    before = bus.statistics
    with caplog.at_level(logging.ERROR):
        bus.publish(Snapshot(camera="front", attachment=bytes(200_000)))
        bus.publish(Picture(camera="front", attachment=bytes(200_000)))
    assert Snapshot(camera="front").topic("box") not in bus._queue._state, "nor told again"
    bus.publish(Snapshot(camera="front", attachment=b"small"))
    delivery = inbox.receive(PATIENCE)
    assert delivery is not None
    assert isinstance(delivery.message, Snapshot)
    assert bytes(delivery.message.attachment) == b"small"
    after = bus.statistics
    assert (after.dropped - before.dropped, after.reconnects) == (2, before.reconnects)
    assert caplog.text.count("raise its max_packet_size") == 1


def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect the numbers of attempts that buses wait for from now on."""
    attempts: list[int] = []

    class Recorded:
        def delay(self, attempt: int, rng: random.Random) -> float:
            del rng
            attempts.append(attempt)
            return 0.05

    monkeypatch.setattr(mqtt, "RECONNECT", Recorded())
    return attempts


def test_after_a_connection_that_held_the_pauses_begin_anew(
    bus: MqttBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "STEADY_S", 0.0)
    attempts = pauses(monkeypatch)
    for number in range(1, 5):
        connection = bus._client.socket()
        assert isinstance(connection, socket.socket)
        connection.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: bus.statistics.reconnects >= number, PATIENCE, "it is back")  # noqa: B023 - looked at here
    assert set(attempts) == {1}
    assert "another process" not in bus.trouble


def test_two_processes_of_one_name_are_told_so_and_take_their_time(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = pauses(monkeypatch)
    with caplog.at_level(logging.WARNING), broker.bus("same"), broker.bus("same"):
        wait_for(lambda: "set NXAI_DEVICE or NXAI_INSTANCE" in caplog.text, PATIENCE, "it is told")
        wait_for(lambda: max(attempts, default=0) >= 4, PATIENCE, "the pauses grow")
    assert "if another process is called 'same' too" in caplog.text


CONNACK = bytes((0x20, 3, 0, 0, 0))


def test_a_connection_that_dies_while_a_state_is_written_and_again_at_once_is_made_anew() -> None:
    """paho tells of the loss within `publish`, and loops over its messages on connecting."""
    hang_up, hung_up, third = threading.Event(), threading.Event(), threading.Event()
    said = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:

        def serve() -> None:
            first, _ = server.accept()
            with first:
                first.recv(4096)
                first.sendall(CONNACK)
                assert hang_up.wait(PATIENCE)
                # A reset, not a proper end: the next write fails.
                first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            hung_up.set()
            second, _ = server.accept()
            with second:
                second.recv(4096)
                second.sendall(CONNACK)
            last, _ = server.accept()
            stack.enter_context(last)
            last.recv(4096)
            last.sendall(CONNACK)
            while b"/service-2/status" not in said:
                said.extend(last.recv(65_536))
            third.set()

        broker = threading.Thread(target=serve, daemon=True)
        broker.start()
        port = server.getsockname()[1]
        with MqttBus("box", f"mqtt://127.0.0.1:{port}", "under-test") as bus:
            assert bus.wait_connected(PATIENCE)
            for number in range(3):
                bus.publish(sample(number))
            wait_for(lambda: not bus._client.want_write(), PATIENCE, "all is written")
            with bus._lead:  # nobody reads, so the next to notice is the one who writes
                hang_up.set()
                assert hung_up.wait(PATIENCE)
                for number in range(3):
                    bus.publish(status(f"service-{number}"))
                assert not bus.connected
                assert not bus._queue._in_flight
            assert third.wait(PATIENCE), "the third connection, and all states on it"
            assert said.count(b"/service-0/status") == 1, "once, however often it was on its way"
            wait_for(lambda: bus.connected, PATIENCE, "it is back")
            broker.join(PATIENCE)


def test_a_fault_in_the_bus_costs_a_connection_not_the_bus(
    bus: MqttBus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faults = iter([True])

    def faulty() -> None:
        if next(faults, False):
            raise RuntimeError("a fault")

    monkeypatch.setattr(bus, "_drop_orphans", faulty)
    wait_for(lambda: bus.statistics.reconnects == 1 and bus.connected, PATIENCE, "it is back")
    assert "a fault in the bus" in caplog.text


def test_a_fault_while_there_is_no_connection_does_not_end_the_bus(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = broker.bus("early")
    connect, faults = bus._connect, iter([True])

    def faulty() -> bool:
        if next(faults, False):
            raise RuntimeError("a fault")
        return connect()

    monkeypatch.setattr(bus, "_connect", faulty)
    with bus:
        assert bus.wait_connected(PATIENCE)


def test_a_loss_is_noted_under_the_lock(bus: MqttBus) -> None:
    """paho tells of a connection that fails at once on a thread that does not hold it."""
    lost = threading.Thread(target=bus._client.on_disconnect, args=(bus._client, None, *[None] * 3))
    with bus._lock:
        lost.start()
        lost.join(0.2)
        assert lost.is_alive()
        assert bus.connected
    lost.join(PATIENCE)
    assert not bus.connected


def test_what_is_given_up_while_the_broker_is_away_is_given_up(
    broker: Broker, bus: MqttBus, other: MqttBus
) -> None:
    unwanted = bus.subscribe(Subscription(Sample), Subscription(Picture))
    in_force(other, unwanted, picture)
    broker.stop()
    wait_for(lambda: not bus.connected, PATIENCE, "it is away")
    unwanted.close()
    inbox = bus.subscribe(Subscription(Picture))
    broker.start()
    in_force(other, inbox, picture)
    before = bus.statistics.received
    other.publish(sample(1))
    other.publish(picture(0))
    assert inbox.receive(PATIENCE) is not None
    assert bus.statistics.received == before + 1, "the sample did not come"


def test_what_the_broker_refuses_is_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Broker(tmp_path) as first:
        first.stop()
        rules = tmp_path / "rules"
        rules.write_text("user nobody\ntopic read #\n")
        rules.chmod(0o644)
        configuration = tmp_path / "mosquitto.conf"
        configuration.write_text(configuration.read_text() + f"\nacl_file {rules}\n")
        first.start()
        bus = connected(first, "refused")
        with caplog.at_level(logging.ERROR):
            bus.publish(sample(1))
            wait_for(lambda: bus.statistics.dropped == 1, PATIENCE, "it is counted")
        assert "refused a message of ours: Not authorized" in caplog.text
        bus.close()


def test_mail_of_an_old_session_that_nobody_wants_is_given_up(
    broker: Broker,
    other: MqttBus,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = connected(broker, "resumed")
    inbox = old.subscribe(Subscription(Sample), Subscription(Picture))
    in_force(other, inbox, picture)
    connection = old._client.socket()
    assert connection is not None
    old._client.disconnect = lambda *_a, **_k: None  # type: ignore[assignment, method-assign]  # it crashes
    old._closing.set()
    assert isinstance(connection, socket.socket)
    connection.shutdown(socket.SHUT_RDWR)
    old._thread.join(PATIENCE)
    connection.close()
    old._wake_reader.close()
    old._wake_writer.close()
    for sequence in range(8):
        other.publish(sample(sequence))
    monkeypatch.setattr(mqtt, "ORPHANS", 5)
    monkeypatch.setattr(mqtt, "ORPHAN_PATIENCE_S", 0.0)
    with caplog.at_level(logging.WARNING):
        resumed = connected(broker, "resumed")

        def given_up() -> bool:
            with resumed._lock:  # a message is counted before it is kept
                return resumed.statistics.received >= 8 and not resumed._orphans

        wait_for(given_up, PATIENCE, "they come and are given up")
    assert "nobody here wants nxai/v1/box/cameras/front/sample" in caplog.text
    wait_for(
        lambda: broker.said.count("Received PUBACK from resumed") >= 8,
        PATIENCE,
        "the broker has read the acknowledgements",
    )
    resumed.close()
    again = connected(broker, "resumed")
    inbox = again.subscribe(Subscription(Sample))
    assert inbox.receive(0.3) is None, "they were acknowledged"
    again.close()


def test_messages_of_other_programs_with_properties_are_read(
    bus: MqttBus, plain: paho.Client
) -> None:
    inbox = bus.subscribe(Subscription(Sample), Subscription(Picture))
    in_force(bus, inbox, picture)
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("trace", "1")
    message = sample(4)
    for qos in (0, 1):
        plain.publish(
            message.topic("box"), message.encode(), qos=qos, properties=properties
        ).wait_for_publish(PATIENCE)
        delivery = inbox.receive(PATIENCE)
        assert delivery is not None
        assert delivery.message == message
        assert delivery.owed is (qos == 1)
        delivery.acknowledge()


def test_an_answer_that_cannot_be_read_is_no_answer(bus: MqttBus, plain: paho.Client) -> None:
    asked = threading.Event()

    def answer(client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        assert message.properties is not None
        properties = Properties(PacketTypes.PUBLISH)
        properties.CorrelationData = getattr(message.properties, "CorrelationData", b"")
        topic = getattr(message.properties, "ResponseTopic", "")
        client.publish(topic, b"{", properties=properties)
        client.publish(topic, b"no correlation")
        asked.set()

    plain.on_message = answer
    done = threading.Event()
    plain.on_subscribe = lambda *_args: done.set()
    plain.subscribe(TakeSnapshot(camera="front").topic("box"))
    assert done.wait(PATIENCE)
    with pytest.raises(BrokerUnavailable, match="no answer"):
        bus.request(TakeSnapshot(camera="front"), 1.0)
    assert asked.wait(PATIENCE)


def test_a_request_without_correlation_data_is_answered(bus: MqttBus, plain: paho.Client) -> None:
    inbox = bus.subscribe(Subscription(TakeSnapshot))
    in_force(bus, inbox, snapshot)
    answers: list[bytes] = []
    plain.on_message = lambda _client, _data, message: answers.append(bytes(message.payload))
    done = threading.Event()
    plain.on_subscribe = lambda *_args: done.set()
    plain.subscribe("my/answers")
    assert done.wait(PATIENCE)
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = "my/answers"
    command = TakeSnapshot(camera="front")
    plain.publish(command.topic("box"), command.encode(), properties=properties)
    delivery = inbox.receive(PATIENCE)
    assert delivery is not None
    delivery.reply(Reply(ok=False, reason="no such camera"))
    wait_for(lambda: answers, PATIENCE, "the answer")
    assert b"no such camera" in answers[0]


def test_two_askers_on_one_bus(bus: MqttBus, other: MqttBus) -> None:
    inbox = other.subscribe(Subscription(TakeSnapshot))
    in_force(bus, inbox, snapshot)

    def serve() -> None:
        for _ in range(2):
            delivery = inbox.receive(PATIENCE)
            assert delivery is not None
            assert isinstance(delivery.message, TakeSnapshot)
            delivery.reply(Reply(ok=True, reason=delivery.message.camera))

    server = threading.Thread(target=serve)
    server.start()
    answers: dict[str, str] = {}

    def ask(camera: str) -> None:
        answers[camera] = bus.request(TakeSnapshot(camera=camera), PATIENCE).reason

    askers = [threading.Thread(target=ask, args=(name,)) for name in ("one", "two")]
    for asker in askers:
        asker.start()
    for thread in (*askers, server):
        thread.join(PATIENCE)
    assert answers == {"one": "one", "two": "two"}


def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    key.chmod(0o644)
    with Broker(tmp_path) as broker:
        broker.stop()
        configuration = tmp_path / "mosquitto.conf"
        configuration.write_text(
            configuration.read_text().replace(
                f"listener {broker.port} 127.0.0.1",
                f"listener {broker.port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}",
            )
        )
        broker.start()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        url = f"mqtts://localhost:{broker.port}"
        with MqttBus("box", url, "tls", broker.username, broker.password) as bus:
            assert bus.wait_connected(PATIENCE), bus.trouble
            inbox = bus.subscribe(Subscription(Frame), Subscription(Sample))
            in_force(bus, inbox, partial(frame, "probe"))
            for sequence in range(20 + Frame.depth):
                bus.publish(sample(sequence))
                bus.publish(frame("front", sequence))
            got: list[int] = []
            while len(got) < 20:
                delivery = inbox.receive(PATIENCE)
                assert delivery is not None
                if isinstance(delivery.message, Sample):
                    got.append(delivery.message.sequence)
                    delivery.acknowledge()
            assert got == list(range(20))


def test_mail_for_somebody_who_may_still_subscribe_is_kept(bus: MqttBus) -> None:
    bus._on_incoming(Incoming(sample(1).topic("box"), sample(1).encode(), 1, 99, retain=False))
    bus.subscribe(Subscription(Picture))
    assert len(bus._orphans) == 1
    inbox = bus.subscribe(Subscription(Sample))
    delivery = inbox.receive(PATIENCE)
    assert delivery is not None
    assert delivery.message == sample(1)
    assert not bus._orphans


def test_what_comes_while_somebody_subscribes_does_not_overtake_what_waited(
    bus: MqttBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def come(sequence: int) -> None:
        with bus._lock:
            found = sample(sequence)
            bus._on_incoming(Incoming(found.topic("box"), found.encode(), 1, 99, retain=False))

    come(1)
    network = threading.Thread(target=come, args=(2,))
    add = bus._router.add

    def add_slowly(mailbox: Mailbox) -> list[Filter]:
        filters = add(mailbox)
        network.start()
        network.join(0.2)  # it must not get in between
        return filters

    monkeypatch.setattr(bus._router, "add", add_slowly)
    inbox = bus.subscribe(Subscription(Sample))
    network.join(PATIENCE)
    got = [inbox.receive(PATIENCE) for _ in range(2)]
    assert [d.message.sequence for d in got if d and isinstance(d.message, Sample)] == [1, 2]


def test_what_is_retained_and_wanted_by_nobody_is_given_up_at_once(bus: MqttBus) -> None:
    for qos in (0, 1):
        bus._on_incoming(Incoming("nxai/v1/box/nonsense", b"", qos, 99, retain=True))
    assert not bus._orphans


def test_a_bus_that_was_never_opened_closes(broker: Broker) -> None:
    bus = broker.bus("never")
    bus.close()
    assert not bus.connected


def test_the_same_trouble_is_logged_once(bus: MqttBus, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            bus._complain("the cable is out")
    assert caplog.text.count("the cable is out") == 1
