"""The publisher with destinations: what is kept, what is acknowledged, what goes on."""

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Delivery, Subscription
from nxai_common.contracts.alarms import Alarm, AlarmPhase, AlarmRule
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import Reply, TakeSnapshot
from nxai_common.contracts.configuration import EventOptions, LoggerOptions, NxOutputOptions
from nxai_common.contracts.destinations import Content, Destination, OutboxOptions
from nxai_common.contracts.outputs import Detections
from nxai_common.errors import ConfigurationError
from nxai_common.retry import RetryPolicy
from nxai_publisher import alarm_pictures, sending
from nxai_publisher.adapters import group_commit, sqlite_outbox
from nxai_publisher.adapters.group_commit import GroupCommit
from nxai_publisher.adapters.sqlite_outbox import SqliteOutbox
from nxai_publisher.alarm_pictures import AlarmPictures
from nxai_publisher.core.drafts import Draft, Posted
from nxai_publisher.core.entries import Keeping
from nxai_publisher.despatch import Despatch
from nxai_publisher.ports import Outlet
from nxai_publisher.sending import Senders
from support.outbox import destination
from support.publisher import World, configuration, publisher
from support.receiver import Receiver, Say, receiver
from support.results import detection, result
from support.waiting import wait_for

pytestmark = pytest.mark.integration

KEEP = LoggerOptions(keep_days=36_500)
NO_LOG = LoggerOptions(enabled=False)
ALL = ("detections", "nx-output", "events", "alarms", "state")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = RetryPolicy(0.02, 2.0, 0.1, 0.01)
    monkeypatch.setattr(sending, "RETRY", quick)
    monkeypatch.setattr(group_commit, "RETRY", quick)


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def came(server: Receiver, content: str) -> list[Any]:
    return [
        request.json
        for request in list(server.requests)
        if request.headers["x-nxai-content"] == content
    ]


def sent(world: World, count: int, name: str = "shop") -> bool:
    return world.counter(f"sent_{name}") >= count


def problem(world: World) -> str:
    return " ".join(f"{one.about}: {one.reason}" for one in world.report().problems)


def test_everything_that_is_published_can_be_had(server: Receiver, tmp_path: Path) -> None:
    wanted = configuration(
        logger=KEEP,
        events=EventOptions(start_after=2),
        alarms=(AlarmRule(id="many", count=1),),
        destinations=(destination(url=server.url, what=ALL),),
    )
    with publisher(tmp_path, desired=wanted) as world:
        world.send(*(result(n, [detection()]) for n in range(20)))
        wait_for(lambda: len(came(server, "detections")) == 20)
        wait_for(lambda: len(came(server, "nx-output")) == 20)
        wait_for(lambda: came(server, "events") and came(server, "alarms"))
        wait_for(lambda: came(server, "state"))
        mqtt = [message.model_dump(mode="json") for message in world.wait_for(Detections, 20)]
    assert came(server, "detections") == mqtt
    assert next(one["event"] for one in came(server, "events")) == "start"
    # The service has stopped: it said so to those it could still reach, or will after the start.
    keys = [request.key for request in server.requests]
    assert len(keys) == len(set(keys))


def test_nothing_is_kept_for_nobody(tmp_path: Path) -> None:
    with publisher(tmp_path, desired=configuration(logger=KEEP)) as world:
        world.send(result(0))
        wait_for(lambda: world.has_stored(1))
        assert not (tmp_path / "data" / "outbox.db").exists()
        off = destination(enabled=False)
        world.send(configuration("2", logger=KEEP, destinations=(off,)))
        wait_for(lambda: world.report().configuration_revision == "2")
        world.send(result(1))
        wait_for(lambda: world.has_stored(2))
        assert not (tmp_path / "data" / "outbox.db").exists()


def test_only_what_somebody_wants_is_kept(server: Receiver, tmp_path: Path) -> None:
    front = destination(url=server.url, cameras=("front",), only_with_objects=True)
    wanted = configuration(logger=NO_LOG, destinations=(front,))
    with publisher(tmp_path, desired=wanted) as world:
        for number in range(9):
            found = [detection()] * (number % 3)
            world.send(result(number, found), result(number, found, camera="back", stream="b"))
        wait_for(lambda: sent(world, 6))
        assert world.counter("outbox_stored") == 6
    assert {one["count"] for one in server.messages} == {1, 2}


def test_an_output_gathered_over_mqtt_is_kept_result_by_result(
    server: Receiver, tmp_path: Path
) -> None:
    wanted = configuration(
        logger=NO_LOG,
        nx_output=NxOutputOptions(every_s=3600),
        destinations=(destination(url=server.url, what=("nx-output",)),),
    )
    with publisher(tmp_path, desired=wanted) as world:
        world.send(*(result(n) for n in range(10)))
        wait_for(lambda: sent(world, 10))
    assert [len(one) for one in server.messages] == [1] * 10


@pytest.mark.parametrize("logger", [KEEP, NO_LOG])
def test_a_result_is_acknowledged_once_all_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logger: LoggerOptions
) -> None:
    """While the outbox takes nothing, nothing is acknowledged, and live outputs go on."""
    monkeypatch.setattr(sqlite_outbox, "BUSY_TIMEOUT_S", 0.02)
    blocker = tmp_path / "outbox-folder"
    blocker.write_text("a file where the folder should be")
    wanted = configuration(logger=logger, destinations=(destination(),))
    with publisher(tmp_path, desired=wanted, outbox=blocker / "outbox.db") as world:
        wait_for(lambda: "outbox: " in problem(world))
        world.send(*(result(n) for n in range(50)))
        world.wait_for(Detections, 50)
        assert world.counter("outbox_stored") == 0
        assert owed(world) >= 50
        world.broker.stop()
        world.broker.start()  # what was not acknowledged comes again
        wait_for(lambda: world.counter("duplicates") >= 50)
        assert owed(world) >= 50
        blocker.unlink()
        wait_for(lambda: world.counter("outbox_stored") >= 50)
        wait_for(lambda: "outbox: " not in problem(world))
        wait_for(lambda: world.report().gauges["queued_shop"] == 50)
        wait_for(lambda: owed(world) == 0)
        assert len(world.stored()) == (50 if logger.enabled else 0)


def owed(world: World) -> int:
    """Return how many results the broker keeps."""
    return sum(
        packet.topic.endswith("/result")
        for bus in world.broker._buses
        for packet, _, _ in list(bus._unacknowledged.values())
    )


def test_what_the_logger_cannot_take_waits_for_it_alone(server: Receiver, tmp_path: Path) -> None:
    blocker = tmp_path / "data"
    blocker.write_text("a file where the folder should be")
    wanted = configuration(logger=KEEP, destinations=(destination(url=server.url),))
    with publisher(tmp_path, desired=wanted, outbox=tmp_path / "outbox.db") as world:
        wait_for(lambda: "data logger: " in problem(world))
        world.send(*(result(n) for n in range(50)))
        wait_for(lambda: sent(world, 50))
        assert world.stored() == []
        blocker.unlink()
        wait_for(lambda: len(world.stored()) == 50)
    assert [one["sequence"] for one in server.messages] == list(range(50))


def test_a_limit_is_counted_and_told(tmp_path: Path) -> None:
    wanted = configuration(
        logger=NO_LOG, destinations=(destination(),), outbox=OutboxOptions(keep_mb=0.2)
    )
    with publisher(tmp_path, desired=wanted) as world:
        for first in range(0, 3000, 100):
            world.send(*(result(n) for n in range(first, first + 100)))
        wait_for(lambda: world.counter("outbox_stored") == 3000, 60)
        wait_for(lambda: world.counter("dropped_shop") > 0)
        wait_for(
            lambda: world.counter("dropped_shop") + world.report().gauges["queued_shop"] == 3000
        )
        assert "destination shop" in problem(world)


def test_switching_destinations_off_and_on(server: Receiver, tmp_path: Path) -> None:
    shop = destination(url=server.url)

    def configure(world: World, revision: str, **changes: Any) -> None:
        world.send(configuration(revision, logger=NO_LOG, **changes))
        wait_for(lambda: world.report().configuration_revision == revision)

    with publisher(tmp_path, desired=configuration("1", logger=NO_LOG, destinations=(shop,))) as w:
        server.answer = lambda _: Say(503)
        w.send(result(0))
        wait_for(lambda: w.report().gauges["queued_shop"] == 1)
        configure(w, "2")  # it loses what waits
        assert "queued_shop" not in w.report().gauges
        w.send(result(1))
        wait_for(lambda: w.counter("results") == 2)
        wait_for(lambda: w.report().gauges["outbox_entries"] == 0)
        server.answer = lambda _: Say()
        server.requests.clear()
        configure(w, "3", destinations=(shop,))
        wait_for(lambda: w.report().gauges["outbox_held"] == 0)
        w.send(result(2))
        wait_for(lambda: sent(w, 1))
    assert [one["sequence"] for one in server.messages] == [2]


def test_what_a_destination_had_waiting_is_forgotten_even_while_we_are_off(
    server: Receiver, tmp_path: Path
) -> None:
    shop = destination(url=server.url)
    server.answer = lambda _: Say(503)
    with publisher(tmp_path, desired=configuration("1", logger=NO_LOG, destinations=(shop,))) as w:
        w.send(result(0))
        wait_for(lambda: w.report().gauges["queued_shop"] == 1)
    with publisher(tmp_path, desired=configuration("2", logger=NO_LOG)) as w:
        wait_for(lambda: w.report().gauges.get("outbox_entries") == 0)
    server.answer = lambda _: Say()
    server.requests.clear()
    with publisher(tmp_path, desired=configuration("3", logger=NO_LOG, destinations=(shop,))) as w:
        w.send(result(1))
        wait_for(lambda: sent(w, 1))
    assert [one["sequence"] for one in server.messages] == [1]


def test_an_event_that_nobody_says_again_is_lost_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_outbox, "BUSY_TIMEOUT_S", 0.02)
    blocker = tmp_path / "outbox-folder"
    blocker.write_text("in the way")
    wanted = configuration(
        logger=NO_LOG, state_every_s=0.02, destinations=(destination(what=("state",)),)
    )
    with publisher(tmp_path, desired=wanted, outbox=blocker / "x.db", hold=5) as world:
        wait_for(lambda: world.counter("outbox_lost") > 3)
        assert world.report().gauges["outbox_held"] == 5


class Capture:
    """Answers for pictures, as capture does."""

    def __init__(self, world: World, *, ok: bool = True, answers: bool = True) -> None:
        self.asked: list[TakeSnapshot] = []
        self._bus = MemoryBus(world.broker)
        self._ok = ok
        self._answers = answers
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._bus.__enter__()
        self._inbox = self._bus.subscribe(Subscription(TakeSnapshot))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._inbox.close()
        self._bus.close()

    def _run(self) -> None:
        while not self._over.is_set():
            delivery = self._inbox.receive(0.02)
            if delivery is not None and isinstance(delivery.message, TakeSnapshot):
                self.asked.append(delivery.message)
                if self._answers:
                    reason = "" if self._ok else "that frame is gone"
                    delivery.reply(Reply(ok=self._ok, reason=reason, attachment=b"JPEG"))


def alarms(server: Receiver, **fields: Any) -> Any:
    """Return a configuration with a rule, whose alarms go with and without a picture."""
    return configuration(
        logger=NO_LOG,
        alarms=(AlarmRule(id="any", clear_after_s=0),),
        destinations=(
            destination("with", url=f"{server.url}/with", what=("alarms",), picture=True),
            destination("none", url=f"{server.url}/none", what=("alarms", "detections")),
        ),
        **fields,
    )


def of(server: Receiver, path: str) -> list[Any]:
    return [
        request.json
        for request in list(server.requests)
        if request.path == path and request.headers["x-nxai-content"] == "alarms"
    ]


def test_alarms_carry_the_picture_of_their_frame(server: Receiver, tmp_path: Path) -> None:
    with publisher(tmp_path, desired=alarms(server)) as world, Capture(world) as capture:
        world.send(result(7, [detection()]), result(8, []), result(9, [detection()]))
        wait_for(lambda: len(of(server, "/with")) == 3)
        wait_for(lambda: len(of(server, "/none")) == 3)
        assert world.counter("alarm_pictures_missed") == 0
    first, end, second = of(server, "/with")
    assert [first["alarm"], end["alarm"], second["alarm"]] == ["start", "end", "start"]
    assert [one["picture"] for one in (first, end, second)] == ["SlBFRw==", "", "SlBFRw=="]
    assert [one["picture"] for one in of(server, "/none")] == [True, False, True]
    assert [(c.camera, c.stream, c.sequence) for c in capture.asked] == [
        ("front", "run-1", 7),
        ("front", "run-1", 9),
    ]


@pytest.mark.parametrize("trouble", ["refuses", "is silent"])
def test_without_a_picture_an_alarm_goes_all_the_same(
    server: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(alarm_pictures, "PATIENCE_S", 0.1)
    silent = trouble == "is silent"
    with (
        publisher(tmp_path, desired=alarms(server)) as world,
        Capture(world, ok=False, answers=not silent),
    ):
        world.send(result(7, [detection()]))
        wait_for(lambda: of(server, "/with"))
        wait_for(lambda: world.counter("alarm_pictures_missed") == 1)
    assert of(server, "/with")[0]["picture"] == ""


def test_an_alarm_is_owed_while_it_waits_for_its_picture(
    server: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarm_pictures, "PATIENCE_S", 6.0)
    monkeypatch.setattr(alarm_pictures, "GOODBYE_S", 20.0)
    with publisher(tmp_path, desired=alarms(server)) as world:
        with Capture(world, answers=False) as capture:
            world.send(result(7, [detection()]))
            wait_for(lambda: capture.asked)
            wait_for(lambda: world.report().gauges["queued_none"] == 0)
            assert owed(world) == 1
            world.broker.stop()
            world.broker.start()  # it comes again, and gives no alarm again
            wait_for(lambda: world.counter("duplicates") == 1)
            assert owed(world) == 1
        assert of(server, "/with") == []
    # The service has stopped: it was kept without its picture, and is sent after the next start.
    with publisher(tmp_path, desired=alarms(server)) as world:
        wait_for(lambda: [one["alarm"] for one in of(server, "/with")] == ["start", "end"])


class Delivered:
    """A result as the broker delivers it."""

    received_at = 0.0
    owed = True

    def __init__(self) -> None:
        self.message: Message = result(7)
        self.acknowledged = False

    def acknowledge(self) -> None:
        self.acknowledged = True

    def reply(self, reply: Reply) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("order", [("alarms", "detections"), ("detections", "alarms")])
def test_a_result_with_an_alarm_is_acknowledged_once_both_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[Content, Content]
) -> None:
    outbox = SqliteOutbox(tmp_path / "outbox.db", device="box")
    log: GroupCommit[Posted, Keeping] = GroupCommit(outbox)
    offered: dict[str, Delivery[Message]] = {}

    def offer(item: Posted, delivery: Delivery[Message]) -> bool:
        offered[item.drafts[0].content] = delivery
        return True

    def nowhere(_: Destination) -> Outlet:
        raise ConfigurationError("no way there")

    monkeypatch.setattr(log, "offer", offer)
    delivery = Delivered()
    with (
        MemoryBus(MemoryBroker()) as bus,
        Senders(outbox, nowhere) as senders,
        AlarmPictures(bus, offer) as pictures,
    ):
        despatch = Despatch(outbox, log, senders, pictures)
        despatch.configure((destination(what=order, picture=True),), OutboxOptions())
        drafts = [
            Draft(what, delivery.message, "front", "m5", objects=True, at_us=0) for what in order
        ]
        despatch.post(drafts, ("front", 7), delivery)
        wait_for(lambda: len(offered) == 2)
        first, second = (offered[what] for what in order)
        first.acknowledge()
        assert not delivery.acknowledged
        second.acknowledge()
        assert delivery.acknowledged


def test_more_alarms_than_can_wait_go_without(
    server: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarm_pictures, "PATIENCE_S", 0.5)
    monkeypatch.setattr(alarm_pictures, "BOUND", 2)
    with (
        publisher(tmp_path, desired=alarms(server)) as world,
        Capture(world, answers=False),
    ):
        for number in range(0, 20, 2):
            world.send(result(number, [detection()]), result(number + 1, []))
        wait_for(lambda: len(of(server, "/with")) == 20)
        assert world.counter("alarm_pictures_missed") == 10
    assert [one["alarm"] for one in of(server, "/with")] == ["start", "end"] * 10


def alarm(number: int) -> Draft:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    message = Alarm(
        alarm=AlarmPhase.START, id=f"a{number}", rule="any", device="box", camera="front",
        model="m5", timestamp=at, timestamp_ms=0, started_at=at, duration_s=0, count=1,
        stream="run-1", sequence=number,
    )  # fmt: skip
    return Draft("alarms", message, "front", "m5", objects=True, at_us=0)


def test_while_too_many_alarms_wait_the_oldest_go_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm_pictures, "BOUND", 2)
    kept: list[Draft] = []

    def keep(item: Posted, _: Delivery[Message]) -> bool:
        kept.extend(item.drafts)
        return True

    with MemoryBus(MemoryBroker()) as bus:
        monkeypatch.setattr(bus, "request", lambda *_: Reply(ok=True, attachment=b"JPEG"))
        pictures = AlarmPictures(bus, keep)
        for number in range(5):
            pictures.put([alarm(number)], (number,), Delivered())
        assert pictures.holds((4,))
        with pictures:
            wait_for(lambda: len(kept) == 5)
    assert not any(pictures.holds((number,)) for number in range(5))
    assert [one.picture for one in kept] == [b"", b"", b"", b"JPEG", b"JPEG"]
    assert [one.message for one in kept] == [alarm(number).message for number in range(5)]
    assert pictures.missed == 3


def test_when_the_service_stops_nobody_is_asked_for_pictures_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[bytes] = []
    asked = threading.Event()

    def keep(item: Posted, _: Delivery[Message]) -> bool:
        kept.extend(one.picture for one in item.drafts)
        return True

    def ask(*_: object) -> Reply:
        asked.set()
        assert pictures._closing.wait(15)
        return Reply(ok=True, attachment=b"JPEG")

    with MemoryBus(MemoryBroker()) as bus:
        monkeypatch.setattr(bus, "request", ask)
        pictures = AlarmPictures(bus, keep)
        for number in range(3):
            pictures.put([alarm(number)], (number,), Delivered())
        with pictures:
            assert asked.wait(15)
    assert kept == [b"JPEG", b"", b""]


def test_an_alarm_that_is_not_kept_is_lost_and_counted(tmp_path: Path) -> None:
    blocker = tmp_path / "outbox-folder"
    blocker.write_text("in the way")
    shop = destination(what=("alarms",), picture=True)
    rule = AlarmRule(id="any", clear_after_s=60)
    wanted = configuration(logger=NO_LOG, alarms=(rule,), destinations=(shop,))
    with (
        publisher(tmp_path, desired=wanted, outbox=blocker / "x.db", hold=1) as world,
        Capture(world),
    ):
        world.send(result(0, [detection()]))
        wait_for(lambda: world.counter("outbox_lost") == 1)  # the result itself is held
        world.send(configuration("2", logger=NO_LOG, destinations=(shop,)))  # no rule: it ends
        wait_for(lambda: world.counter("outbox_lost") == 2)


def test_the_service_ends_in_seconds_with_a_server_that_hangs(
    server: Receiver, tmp_path: Path
) -> None:
    server.hold.clear()
    wanted = configuration(logger=KEEP, destinations=(destination(url=server.url, timeout_s=300),))
    with closing(world_of(tmp_path, wanted)) as worlds:
        world = next(worlds)
        world.send(*(result(n) for n in range(10)))
        wait_for(lambda: world.report().gauges["queued_shop"] == 10)
    server.hold.set()


def world_of(folder: Path, wanted: Any) -> Any:
    with publisher(folder, desired=wanted) as world:
        yield world
