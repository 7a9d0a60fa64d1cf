"""What every bus promises (`nxai_common.bus.ports`), held against both of them."""

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from nxai_common.bus.mailbox import Mailbox
from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Cleared, Delivery, Inbox, Subscription
from nxai_common.bus.sending import BACKLOG
from nxai_common.contracts.base import MAX_PAYLOAD_BYTES, Message
from nxai_common.contracts.commands import Reply, TakeSnapshot
from nxai_common.contracts.configuration import CaptureConfiguration
from nxai_common.contracts.frames import Frame, Picture, Preview, Transform
from nxai_common.contracts.models import ModelManifest, Task
from nxai_common.contracts.outputs import Event, EventPhase, Snapshot
from nxai_common.contracts.samples import Sample
from nxai_common.errors import BrokerUnavailable, InvalidPayload
from support.probing import in_force
from support.waiting import wait_for
from support.worlds import DEVICE, MemoryWorld, MqttWorld, open_world

World = MemoryWorld | MqttWorld
Bus = MemoryBus | MqttBus
PATIENCE = 10.0
SILENCE = 0.3
"""Long enough for a message to arrive on the same machine, had it been sent."""


@pytest.fixture(params=["memory", "mqtt"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with open_world(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
def mqtt(tmp_path: Path) -> Iterator[MqttWorld]:
    with open_world("mqtt", tmp_path) as opened:
        assert isinstance(opened, MqttWorld)
        yield opened


def frame(camera: str = "front", sequence: int = 0, size: int = 2) -> Frame:
    return Frame(
        camera=camera,
        input="tiny",
        models=("m",),
        stream="s",
        sequence=sequence,
        captured_at_us=1,
        width=size,
        height=size,
        channels=1,
        source_width=640,
        source_height=480,
        transform=Transform(scale_x=1, scale_y=1),
        attachment=bytes(range(256)) * (size * size // 256) or bytes(size * size),
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
        attachment=b"\xff\xd8 \n jpeg",
    )


def event(number: int) -> Event:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    return Event(
        event=EventPhase.START,
        id=str(number),
        device=DEVICE,
        camera="front",
        model="m",
        label="nut",
        timestamp=now,
        timestamp_ms=0,
        started_at=now,
        duration_s=0,
        count=1,
        max_count=1,
        confidence=1,
    )


def configuration(revision: str) -> CaptureConfiguration:
    return CaptureConfiguration(revision=revision)


def manifest(model: str, name: str = "") -> ModelManifest:
    return ModelManifest(
        model=model,
        name=name,
        task=Task.FOMO,
        labels=("nut",),
        width=96,
        height=96,
        channels=3,
        digest="00",
    )


def take(inbox: Inbox) -> Delivery[Message]:
    delivery = inbox.receive(PATIENCE)
    assert delivery is not None, "nothing came"
    return delivery


def probe(number: int) -> Message:
    return frame("probe", number)


def listen(bus: Bus, *kinds: type[Message], volatile: bool = False, bound: int = 10_000) -> Inbox:
    """Subscribe, and wait until it is in force."""
    inbox = bus.subscribe(
        Subscription(Frame), *(Subscription(kind) for kind in kinds), volatile=volatile, bound=bound
    )
    in_force(bus, inbox, probe)
    return inbox


def test_a_message_arrives_as_it_was_sent(world: World) -> None:
    inbox = listen(world.bus("reader"), Sample, Event, Snapshot)
    sender = world.bus("sender")
    sent: list[Message] = [
        frame(sequence=7, size=16),
        sample(3),
        event(1),
        Snapshot(camera="front", attachment=b"\xff\xd8\x00\n"),
    ]
    for message in sent:
        assert sender.publish(message)
        delivery = take(inbox)
        assert type(delivery.message) is type(message)
        assert delivery.message.encode() == message.encode()
        delivery.acknowledge()


def test_latest_means_the_newest_and_topics_take_turns(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    inbox = listen(reader, Preview)
    before, dropped = reader.statistics.received, inbox.dropped
    for number in range(5):
        for camera in ("front", "back"):
            sender.publish(Preview(camera=camera, attachment=b"%d" % number))
            before += 1  # one by one, so that the sender itself never has to skip any
            wait_for(partial(_has_received, reader, before), PATIENCE, "arrival")
    got = [take(inbox).message for _ in range(2)]
    assert [(m.camera, bytes(m.attachment)) for m in got if isinstance(m, Preview)] == [
        ("front", b"4"),
        ("back", b"4"),
    ]
    assert inbox.receive(SILENCE) is None
    assert inbox.dropped == dropped + 8


def test_frames_that_credits_paid_for_all_wait_up_to_their_depth(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    inbox = listen(reader)
    before = reader.statistics.received
    for sequence in range(Frame.depth + 2):
        for camera in ("front", "back"):
            sender.publish(frame(camera, sequence))
            before += 1
            wait_for(partial(_has_received, reader, before), PATIENCE, "arrival")
    got = [take(inbox).message for _ in range(2 * Frame.depth)]
    assert [(m.camera, m.sequence) for m in got if isinstance(m, Frame)] == [
        (camera, sequence) for sequence in range(2, Frame.depth + 2) for camera in ("front", "back")
    ]
    assert inbox.receive(SILENCE) is None
    assert inbox.dropped == 4


def _has_received(bus: Bus, wanted: int) -> bool:
    _pump(bus)
    with bus._lock:  # a message is counted before it is put into its mailbox
        return bus.statistics.received >= wanted


def _pump(bus: Bus) -> bool:
    """Let the network move while the inbox under test is left alone."""
    if isinstance(bus, MqttBus):
        with_nothing = bus.subscribe(Subscription(ModelManifest, {"model": "nobody"}))
        with_nothing.receive(0.05)
        with_nothing.close()
    return False


def test_a_stream_keeps_its_order_and_loses_the_oldest(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    inbox = reader.subscribe(Subscription(Event), Subscription(Frame), volatile=True, bound=3)
    in_force(reader, inbox, probe)
    for number in range(6):
        sender.publish(event(number))
    wait_for(lambda: _pump(reader) or inbox.dropped == 3, PATIENCE, "three are dropped")
    got = [take(inbox).message for _ in range(3)]
    assert [m.id for m in got if isinstance(m, Event)] == ["3", "4", "5"]


def test_reliable_messages_keep_their_order(world: World) -> None:
    inbox = listen(world.bus("reader"), Sample)
    sender = world.bus("sender")
    for sequence in range(200):
        assert sender.publish(sample(sequence))
    got = []
    for _ in range(200):
        delivery = take(inbox)
        assert delivery.owed
        delivery.acknowledge()
        assert isinstance(delivery.message, Sample)
        got.append(delivery.message.sequence)
    assert got == list(range(200))


def test_what_was_not_acknowledged_comes_again_and_the_rest_does_not(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    inbox = listen(reader, Sample)
    for sequence in range(3):
        sender.publish(sample(sequence))
    for delivery in [take(inbox) for _ in range(3)]:
        assert isinstance(delivery.message, Sample)
        if delivery.message.sequence != 1:
            delivery.acknowledge()
    for _ in range(2):  # of each connection the broker reads one packet at a time
        sender.publish(frame())
        take(inbox)  # one more acknowledgement was read before this came round
    world.go_away()
    world.come_back()
    again = take(inbox)
    assert isinstance(again.message, Sample)
    assert again.message.sequence == 1
    again.acknowledge()
    assert inbox.receive(SILENCE) is None


def test_an_old_acknowledgement_does_not_settle_a_new_delivery(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    inbox = listen(reader, Sample)
    sender.publish(sample(0))
    stale = take(inbox)
    world.go_away()
    world.come_back()
    again = take(inbox)
    assert isinstance(again.message, Sample)
    stale.acknowledge()
    world.go_away()
    world.come_back()
    assert isinstance(take(inbox).message, Sample)


def test_volatile_readers_owe_nothing(world: World) -> None:
    inbox = listen(world.bus("reader"), Sample, volatile=True)
    world.bus("sender").publish(sample(0))
    assert not take(inbox).owed
    world.go_away()
    world.come_back()
    assert inbox.receive(SILENCE) is None


def test_the_next_process_gets_what_the_last_one_did_not_acknowledge(mqtt: MqttWorld) -> None:
    sender = mqtt.bus("sender")
    with mqtt.broker.bus("reader") as first:
        assert first.wait_connected(PATIENCE)
        inbox = listen(first, Sample)
        sender.publish(sample(5))
        take(inbox)
    sender.publish(sample(6))  # while nobody is there
    with mqtt.broker.bus("reader") as second:
        assert second.wait_connected(PATIENCE)
        wait_for(lambda: second.statistics.received >= 2, PATIENCE, "they come before we ask")
        inbox = second.subscribe(Subscription(Sample))
        got = []
        for _ in range(2):
            delivery = take(inbox)
            assert isinstance(delivery.message, Sample)
            got.append(delivery.message.sequence)
            delivery.acknowledge()
    assert got == [5, 6]


def test_state_is_there_for_late_comers_and_the_newest_wins(world: World) -> None:
    sender = world.bus("sender")
    sender.publish(configuration("old"))
    sender.publish(configuration("new"))
    early = listen(sender, CaptureConfiguration)  # behind the probe the retained one has come
    del early
    inbox = world.bus("reader").subscribe(Subscription(CaptureConfiguration))
    message = take(inbox).message
    assert isinstance(message, CaptureConfiguration)
    assert message.revision == "new"


def test_what_is_published_while_somebody_subscribes_comes_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not live and retained: of a broker of its own nobody can hold up the subscribing."""
    broker = MemoryBroker()
    with MemoryBus(broker) as sender, MemoryBus(broker) as reader:
        publishing = threading.Thread(target=sender.publish, args=(configuration("new"),))
        add = reader.router.add

        def slowly(mailbox: Mailbox) -> None:
            add(mailbox)
            publishing.start()
            publishing.join(0.2)

        monkeypatch.setattr(reader.router, "add", slowly)
        inbox = reader.subscribe(Subscription(CaptureConfiguration))
        publishing.join()
        take(inbox)
        assert reader.statistics.received == 1


def test_cleared_state_is_gone(world: World) -> None:
    sender = world.bus("sender")
    sender.publish(manifest("one"))
    sender.publish(manifest("two"))
    sender.clear(ModelManifest, model="one")
    listen(sender)
    inbox = world.bus("reader").subscribe(Subscription(ModelManifest))
    message = take(inbox).message
    assert isinstance(message, ModelManifest)
    assert message.model == "two"
    assert inbox.receive(SILENCE) is None


def test_clearing_is_not_delivered_as_a_message(world: World) -> None:
    reader = world.bus("reader")
    inbox = listen(reader, ModelManifest)
    sender = world.bus("sender")
    sender.publish(manifest("one"))
    take(inbox)
    sender.clear(ModelManifest, model="one")
    sender.publish(manifest("two"))
    message = take(inbox).message
    assert isinstance(message, ModelManifest)
    assert message.model == "two"


def test_who_asks_is_told_of_what_is_cleared(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    inbox = reader.subscribe(Subscription(Frame), Subscription(ModelManifest, cleared=True))
    in_force(sender, inbox, probe)
    sender.publish(manifest("one"))
    assert isinstance(take(inbox).message, ModelManifest)
    sender.clear(ModelManifest, model="one")
    gone = take(inbox).message
    assert isinstance(gone, Cleared)
    assert (gone.kind, gone.levels) == (ModelManifest, {"device": DEVICE, "model": "one"})
    sender.publish(manifest("one", "again"))
    again = take(inbox).message
    assert isinstance(again, ModelManifest)
    assert again.name == "again"


def test_what_is_cleared_under_a_name_that_cannot_be_is_refused(world: World) -> None:
    reader = world.bus("reader")
    inbox = reader.subscribe(Subscription(Frame), Subscription(ModelManifest, cleared=True))
    in_force(reader, inbox, probe)
    world.send_raw(manifest("one").topic(DEVICE).replace("one", "No Such"), b"", qos=1)
    wait_for(lambda: inbox.receive(0.05) or inbox.rejected == 1, PATIENCE, "it is refused")
    assert reader.statistics.rejected == 1


def test_state_and_commands_come_before_data(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    inbox = listen(reader, Sample, ModelManifest, TakeSnapshot)
    before = reader.statistics.received
    sender.publish(frame())
    sender.publish(sample(1))
    sender.publish(TakeSnapshot(camera="front"))
    sender.publish(manifest("one"))
    wait_for(partial(_has_received, reader, before + 4), PATIENCE, "all are here")
    kinds = [type(take(inbox).message) for _ in range(4)]
    assert kinds == [ModelManifest, TakeSnapshot, Sample, Frame]


def test_state_is_told_again_to_a_broker_that_lost_it(world: World) -> None:
    sender = world.bus("sender")
    sender.publish(manifest("one"))
    listen(sender)
    world.go_away()
    sender.publish(manifest("two"))
    world.come_back(empty=True)
    inbox = world.bus("reader").subscribe(Subscription(ModelManifest))
    got = {take(inbox).message.topic(DEVICE) for _ in range(2)}
    assert got == {manifest("one").topic(DEVICE), manifest("two").topic(DEVICE)}


def test_while_the_broker_is_away_each_policy_does_as_it_says(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    inbox = listen(reader, Sample, ModelManifest)
    world.go_away()
    assert not sender.connected
    dropped = sender.statistics.dropped
    assert not sender.publish(frame(sequence=9))
    assert sender.statistics.dropped == dropped + 1
    assert sender.publish(sample(1))
    assert sender.publish(manifest("one", "first"))
    assert sender.publish(manifest("one", "second"))
    world.come_back()
    got: list[Message] = []
    while {type(message) for message in got} != {Sample, ModelManifest}:
        delivery = take(inbox)
        delivery.acknowledge()
        got.append(delivery.message)
    names = {message.name for message in got if isinstance(message, ModelManifest)}
    assert names == {"second"}, "retained, it may come twice: when sent and when we resubscribe"


def test_what_waits_for_an_absent_broker_is_counted_until_it_is_sent(world: World) -> None:
    sender = world.bus("sender")
    sender.publish(manifest("one"))
    wait_for(lambda: sender.statistics.waiting == 0, PATIENCE, "nothing waits")
    world.go_away()
    assert sender.statistics.waiting == 1, "a broker that lost its store is told what is true"
    sender.publish(manifest("one", "second"))
    sender.publish(manifest("two"))
    for number in range(3):
        sender.publish(sample(number))
    sender.publish(frame())
    assert sender.statistics.waiting == 2 + 3, "the newest of each state, and no frame"
    world.come_back()
    wait_for(lambda: sender.statistics.waiting == 0, PATIENCE, "all is sent")


def test_the_queue_for_an_absent_broker_is_bounded_and_loses_the_oldest(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    inbox = listen(reader, Sample)
    world.go_away()
    before = sender.statistics.dropped
    assert all(sender.publish(sample(number)) for number in range(BACKLOG + 5)), "each is kept"
    assert sender.statistics.dropped == before + 5
    world.come_back()
    first = take(inbox)
    assert isinstance(first.message, Sample)
    assert first.message.sequence == 5


def test_a_broken_payload_is_counted_and_never_reaches_the_service(world: World) -> None:
    reader = world.bus("reader")
    inbox = listen(reader, Sample)
    good = sample(1)
    for payload in (b"", b"{", b"\xff\xfe", b'{"schema_version": 2}', b"[]", b"x" * 1000):
        world.send_raw(good.topic(DEVICE), payload, qos=1)
    world.send_raw(frame().topic(DEVICE), frame().encode()[:-1])
    world.send_raw(good.topic(DEVICE), good.encode(), qos=1)
    delivery = take(inbox)
    assert delivery.message == good
    assert delivery.message.encode() == good.encode()
    delivery.acknowledge()
    assert inbox.receive(SILENCE) is None
    assert inbox.rejected == 7
    assert reader.statistics.rejected == 7


def test_who_waits_aside_is_given_mail(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    aside = reader.subscribe(Subscription(Frame), Subscription(Sample), aside=True)
    in_force(sender, aside, probe)
    sender.publish(sample(1))
    assert take(aside).message == sample(1)
    aside.close()
    assert aside.receive() is None


def test_who_waits_aside_reads_the_network_for_nobody(
    mqtt: MqttWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, sender = mqtt.bus("reader"), mqtt.bus("sender")
    aside = reader.subscribe(Subscription(Frame), Subscription(Sample), aside=True)
    in_force(sender, aside, probe)
    rests = threading.Event()
    closing_wait = reader._closing.wait

    def wait(timeout: float | None = None) -> bool:
        rests.set()
        return closing_wait(timeout)

    monkeypatch.setattr(reader._closing, "wait", wait)
    with reader._lead:  # the bus's own thread shall believe that a consumer reads
        reader._led_at = float("inf")
        rests.clear()
        assert rests.wait(PATIENCE)
    got: list[Delivery[Message] | None] = []
    thread = threading.Thread(target=lambda: got.append(aside.receive()))
    thread.start()
    sender.publish(sample(1))
    thread.join(SILENCE)
    assert not got, "nobody reads"
    reader._led_at = 0
    thread.join(PATIENCE)
    assert [delivery is not None and delivery.message for delivery in got] == [sample(1)]


def test_too_large_a_message_is_refused_with_its_size(world: World) -> None:
    sender = world.bus("sender")
    huge = sample(0).model_copy(update={"attachment": bytes(MAX_PAYLOAD_BYTES)})
    with pytest.raises(InvalidPayload, match=r"the bus carries at most 16777216"):
        sender.publish(huge)


def test_a_command_is_answered(world: World) -> None:
    server, asker = world.bus("server"), world.bus("asker")
    inbox = listen(server, TakeSnapshot)

    def serve() -> None:
        delivery = take(inbox)
        assert isinstance(delivery.message, TakeSnapshot)
        delivery.reply(
            Reply(
                ok=True,
                details={"camera": delivery.message.camera},
                attachment=b"\xff\xd8\n\x00",
            )
        )

    thread = threading.Thread(target=serve)
    thread.start()
    reply = asker.request(TakeSnapshot(camera="front"), PATIENCE)
    thread.join()
    assert reply.ok
    assert reply.details == {"camera": "front"}
    assert bytes(reply.attachment) == b"\xff\xd8\n\x00"


def test_an_answer_larger_than_the_bus_carries_becomes_one_that_says_so(world: World) -> None:
    server, asker = world.bus("server"), world.bus("asker")
    inbox = listen(server, TakeSnapshot)

    def serve() -> None:
        take(inbox).reply(Reply(ok=True, attachment=bytes(MAX_PAYLOAD_BYTES)))

    thread = threading.Thread(target=serve)
    thread.start()
    reply = asker.request(TakeSnapshot(camera="front"), PATIENCE)
    thread.join()
    assert not reply.ok
    assert "the bus carries at most 16777216" in reply.reason


def test_a_command_nobody_answers_says_so(world: World) -> None:
    asker = world.bus("asker")
    with pytest.raises(BrokerUnavailable, match=r"no answer to '.*/command/snapshot' within 0.2 s"):
        asker.request(TakeSnapshot(camera="front"), 0.2)


def test_an_answer_nobody_wants_does_no_harm(world: World) -> None:
    server, sender = world.bus("server"), world.bus("sender")
    inbox = listen(server, TakeSnapshot)
    sender.publish(TakeSnapshot(camera="front"))
    take(inbox).reply(Reply(ok=True))
    assert inbox.receive(SILENCE) is None


def test_members_of_a_group_share_the_messages(world: World) -> None:
    sender = world.bus("sender")
    inboxes = [
        world.bus(f"worker-{number}").subscribe(Subscription(Frame, share="workers"))
        for number in range(2)
    ]
    everything = listen(sender)
    per_worker: list[list[int]] = [[], []]
    for sequence in range(20):
        sender.publish(frame(sequence=sequence))
        take(everything)
        wait_for(partial(_have_got, inboxes, per_worker, sequence + 1), PATIENCE, "one has it")
    assert sorted(per_worker[0] + per_worker[1]) == list(range(20))
    assert all(per_worker), "both had work"


def _have_got(inboxes: list[Inbox], per_worker: list[list[int]], wanted: int) -> bool:
    for inbox, got in zip(inboxes, per_worker, strict=True):
        delivery = inbox.receive(0.05)
        message = None if delivery is None else delivery.message
        if isinstance(message, Frame) and message.camera == "front":
            got.append(message.sequence)
    return sum(map(len, per_worker)) >= wanted


def test_two_inboxes_of_one_bus_both_get_it_and_both_must_acknowledge(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    one, two = listen(reader, Sample), listen(reader, Sample)
    sender.publish(sample(1))
    while not isinstance((delivery := take(one)).message, Sample):
        pass  # probes of the second
    delivery.acknowledge()
    assert isinstance(take(two).message, Sample)
    world.go_away()
    world.come_back()
    assert isinstance(take(two).message, Sample), "the second never acknowledged"


def test_receive_many_takes_what_is_there(world: World) -> None:
    inbox = listen(world.bus("reader"), Sample)
    sender = world.bus("sender")
    for sequence in range(10):
        sender.publish(sample(sequence))
    got: list[int] = []
    while len(got) < 10:
        letters = inbox.receive_many(4, PATIENCE)
        assert 1 <= len(letters) <= 4
        for letter in letters:
            letter.acknowledge()
            assert isinstance(letter.message, Sample)
            got.append(letter.message.sequence)
    assert got == list(range(10))


def test_wake_ends_a_wait(world: World) -> None:
    inbox = world.bus("reader").subscribe(Subscription(Sample))
    timer = threading.Timer(0.05, inbox.wake)
    timer.start()
    assert inbox.receive() is None
    timer.join()


def test_closing_ends_a_wait_and_unsubscribes(world: World) -> None:
    reader = world.bus("reader")
    inbox = listen(reader)
    timer = threading.Timer(0.05, inbox.close)
    timer.start()
    assert inbox.receive() is None
    timer.join()
    assert inbox.receive(0) is None
    other = listen(reader, Sample)
    world.bus("sender").publish(sample(1))
    assert isinstance(take(other).message, Sample)
    assert inbox.receive(0) is None


def test_a_wait_without_mail_ends_in_time(world: World) -> None:
    inbox = world.bus("reader").subscribe(Subscription(Sample))
    assert inbox.receive(0.05) is None
    assert inbox.receive(0) is None


def test_the_will_speaks_when_the_process_cannot(mqtt: MqttWorld) -> None:
    inbox = listen(mqtt.bus("reader"), ModelManifest)
    dying = mqtt.broker.bus("dying", will=manifest("last", "words"))
    with dying:
        assert dying.wait_connected(PATIENCE)
        connection = dying._client.socket()  # the cable is pulled
        assert connection is not None
        dying._client.disconnect = lambda *_args, **_kwargs: None  # type: ignore[assignment, method-assign]  # no goodbye
        assert isinstance(connection, socket.socket)
        connection.shutdown(socket.SHUT_RDWR)
        message = take(inbox).message
    assert isinstance(message, ModelManifest)
    assert message.name == "words"


def test_a_wrong_password_is_said_and_publishing_does_not_wait(mqtt: MqttWorld) -> None:
    bus = MqttBus(DEVICE, mqtt.broker.url, "stranger", "nxai", "wrong", None)
    with bus:
        wait_for(lambda: "refused us" in bus.trouble, PATIENCE, "the refusal is told")
        assert "NXAI_BROKER_USERNAME" in bus.trouble
        assert "wrong" not in bus.trouble
        assert not bus.connected
        assert not bus.publish(frame())
        assert bus.publish(sample(1))


def test_a_broker_that_is_not_there_is_said(tmp_path: Path) -> None:
    del tmp_path
    with MqttBus(DEVICE, "mqtt://127.0.0.1:1", "early", None, None, None) as bus:
        wait_for(lambda: "no connection" in bus.trouble, PATIENCE, "it is told")
        assert "mqtt://127.0.0.1:1" in bus.trouble


def test_a_bus_knows_its_device(world: World) -> None:
    assert world.bus("one").device == DEVICE


def test_closing_twice_is_closing(world: World) -> None:
    bus = world.bus("one")
    bus.close()
    bus.close()
    assert not bus.connected


def test_what_is_subscribed_while_the_broker_is_away_comes_later(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    world.go_away()
    inbox = reader.subscribe(Subscription(ModelManifest))
    sender.publish(manifest("one"))
    world.come_back()
    assert isinstance(take(inbox).message, ModelManifest)


def test_what_is_cleared_while_the_broker_is_away_is_gone(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    sender.publish(manifest("one"))
    sender.publish(manifest("two"))
    listen(sender)
    world.go_away()
    sender.clear(ModelManifest, model="one")
    world.come_back()
    listen(sender)
    inbox = reader.subscribe(Subscription(ModelManifest))
    message = take(inbox).message
    assert isinstance(message, ModelManifest)
    assert message.model == "two"


def test_a_group_is_not_told_what_was_retained_before(world: World) -> None:
    reader, sender = world.bus("reader"), world.bus("sender")
    sender.publish(manifest("one"))
    listen(sender)
    alone = reader.subscribe(Subscription(ModelManifest))
    assert isinstance(take(alone).message, ModelManifest)
    group = world.bus("member").subscribe(Subscription(ModelManifest, share="group"))
    assert group.receive(SILENCE) is None


def test_a_bus_opened_before_the_broker_is_there(world: World) -> None:
    world.go_away()
    bus = MemoryBus(world._broker) if isinstance(world, MemoryWorld) else world.broker.bus("early")
    with bus:
        assert not bus.connected
        inbox = bus.subscribe(Subscription(ModelManifest))
        bus.publish(manifest("one"))
        world.come_back()
        assert isinstance(take(inbox).message, ModelManifest)


def test_what_is_published_together_arrives_in_order(world: World) -> None:
    inbox = listen(world.bus("reader"), Event, Sample, Picture)
    sender = world.bus("sender")
    with sender.together():
        for number in range(3):
            sender.publish(Picture(camera="front", attachment=b"%d" % number))
            sender.publish(sample(number))
    with sender.together():
        pass
    pictures, samples = [], []
    for _ in range(6):
        delivery = take(inbox)
        delivery.acknowledge()
        if isinstance(delivery.message, Picture):
            pictures.append(bytes(delivery.message.attachment))
        elif isinstance(delivery.message, Sample):
            samples.append(delivery.message.sequence)
    assert (pictures, samples) == ([b"0", b"1", b"2"], [0, 1, 2])
