"""Senders with a real outbox and a real server: order, patience, refusals, and a quick end."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nxai_common.contracts.destinations import Destination
from nxai_common.retry import RetryPolicy
from nxai_publisher import sending
from nxai_publisher.adapters.outlets import outlets
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.adapters.sqlite_outbox import SqliteOutbox, refused_in
from nxai_publisher.core.entries import Entry, Refused, wanted_by
from nxai_publisher.core.groups import Grouping
from nxai_publisher.joint import Nobody
from nxai_publisher.ports import DestinationUnavailable, Outbox, StorageUnavailable
from nxai_publisher.sending import Senders
from support.outbox import KEEP, destination, fed, opened, posted, taken
from support.raw_server import raw_server
from support.receiver import Receiver, Request, Say, receiver
from support.waiting import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "RETRY", RetryPolicy(0.02, 2.0, 0.1, 0.01))


class World:
    """An outbox with destinations."""

    def __init__(self, folder: Path, stack: ExitStack, *destinations: Destination) -> None:
        self.path = folder / "outbox.db"
        open_outlet = outlets(
            device="box",
            secrets=SecretsDirectory(folder / "secrets"),
            files=folder / "files",
            durability="process-crash",
        )
        self.log, self.senders, self.outbox = stack.enter_context(
            fed(self.path, open_outlet, *destinations)
        )
        # They begin with what comes next.
        wait_for(lambda: len(self.outbox._queues) == len(destinations))

    def store(self, *numbers: int, **changes: Any) -> None:
        for number in numbers:
            item = posted(number, **changes)
            assert self.log.offer(item, Nobody(item.drafts[0].message))

    def has(self, name: str, value: float) -> bool:
        return self.senders.counters[name] == value

    def problem(self) -> str:
        return " ".join(problem.reason for problem in self.senders.problems)


@contextmanager
def running(folder: Path, *destinations: Destination) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(folder, stack, *destinations)


def sequences(server: Receiver) -> list[int]:
    return [message["sequence"] for message in server.messages]


def test_all_is_sent_in_order(server: Receiver, tmp_path: Path) -> None:
    with running(tmp_path, destination(url=server.url)) as world:
        world.store(*range(500))
        wait_for(lambda: world.has("sent_shop", 500))
        assert sequences(server) == list(range(500))
        assert world.senders.problems == ()
        wait_for(lambda: world.outbox.measure().rows == 0)
        assert world.senders.gauges == {
            "queued_shop": 0,
            "queued_kb_shop": 0.0,
            "oldest_s_shop": 0.0,
        }


def test_a_server_that_is_away_gets_all_of_it_later(server: Receiver, tmp_path: Path) -> None:
    server.stop()
    with running(tmp_path, destination(url=server.url)) as world:
        world.store(*range(100))
        wait_for(lambda: world.senders.counters["failed_shop"] > 3)
        assert "nothing listens there" in world.problem()
        gauges = world.senders.gauges
        assert gauges["queued_shop"] == 100
        assert gauges["queued_kb_shop"] > 10
        wait_for(lambda: world.senders.gauges["oldest_s_shop"] > 0.1)
        server.start()
        wait_for(lambda: world.has("sent_shop", 100))
        assert sequences(server) == list(range(100))
        wait_for(lambda: world.problem() == "")


def test_it_goes_on_where_it_was_after_a_restart(server: Receiver, tmp_path: Path) -> None:
    shop = destination(url=server.url)
    with running(tmp_path, shop) as world:
        world.store(*range(50))
        wait_for(lambda: world.has("sent_shop", 50))
        server.stop()
        world.store(*range(50, 100))
        wait_for(lambda: world.senders.gauges["queued_shop"] == 50)
    server.start()
    with running(tmp_path, shop) as world:
        wait_for(lambda: world.has("sent_shop", 50))
    assert sequences(server) == list(range(100))


def test_one_that_hangs_holds_up_no_other(server: Receiver, tmp_path: Path) -> None:
    def hang(connection: socket.socket, over: threading.Event) -> None:
        del connection
        over.wait(60)

    with raw_server(hang) as (host, port):
        hanging = destination("hanging", url=f"http://{host}:{port}", timeout_s=300)
        with running(tmp_path, hanging, destination(url=server.url)) as world:
            world.store(*range(200))
            wait_for(lambda: world.has("sent_shop", 200))
            assert world.has("sent_hanging", 0)
            began = time.monotonic()
        assert time.monotonic() - began < 8  # nor the end of the service


def test_a_time_out_is_a_failure_and_all_comes_again(server: Receiver, tmp_path: Path) -> None:
    server.hold.clear()
    with running(tmp_path, destination(url=server.url, timeout_s=0.2)) as world:
        world.store(0)
        wait_for(lambda: world.senders.counters["failed_shop"] >= 1)
        assert "no answer in time" in world.problem()
        server.hold.set()
        wait_for(lambda: world.has("sent_shop", 1))
    assert set(sequences(server)) == {0}
    assert len({request.key for request in server.requests}) == 1


@pytest.mark.parametrize("status", [429, 503, 500, 401, 404])
def test_what_may_pass_is_sent_again(server: Receiver, tmp_path: Path, status: int) -> None:
    rng = random.Random(1)  # noqa: S311 - a test
    server.answer = lambda _: Say(status if rng.random() < 0.3 else 204)
    with running(tmp_path, destination(url=server.url)) as world:
        world.store(*range(60))
        wait_for(lambda: world.has("sent_shop", 60))
        assert world.senders.counters["failed_shop"] > 5
        assert world.has("rejected_shop", 0)
    keys = [request.key for request in server.requests]
    assert list(dict.fromkeys(sequences(server))) == list(range(60))
    assert len(set(keys)) == 60
    assert len(keys) > 60


def test_a_server_that_dies_after_it_took_it_gets_it_again_with_the_same_id(
    server: Receiver, tmp_path: Path
) -> None:
    seen: set[str] = set()

    def first_time(request: Request) -> Say:
        fresh = request.key not in seen
        seen.add(request.key)
        return Say(reset=fresh)

    server.answer = first_time
    with running(tmp_path, destination(url=server.url)) as world:
        world.store(*range(20))
        wait_for(lambda: world.has("sent_shop", 20))
    counts = [sum(r.key == key for r in server.requests) for key in seen]
    assert len(seen) == 20
    assert set(counts) == {2}
    assert list(dict.fromkeys(sequences(server))) == list(range(20))


def test_a_server_is_asked_no_earlier_than_it_says(server: Receiver, tmp_path: Path) -> None:
    came: list[float] = []

    def not_now(_: Request) -> Say:
        came.append(time.monotonic())
        return Say(503, {"Retry-After": "1"}) if len(came) == 1 else Say()

    server.answer = not_now
    with running(tmp_path, destination(url=server.url)) as world:
        world.store(0)
        wait_for(lambda: world.has("sent_shop", 1))
    first, second = came
    assert second - first >= 1.0


def test_what_is_refused_is_put_aside_and_the_rest_goes_on(
    server: Receiver, tmp_path: Path
) -> None:
    server.answer = lambda request: Say(422 if request.json["sequence"] % 10 == 3 else 204)
    with running(tmp_path, destination(url=server.url)) as world:
        world.store(*range(50))
        wait_for(lambda: world.has("sent_shop", 45) and world.has("rejected_shop", 5))
        assert "it refuses results for good" in world.problem()
        assert "`nxai-publisher rejected` lists them" in world.problem()
        wait_for(lambda: len(list(refused_in(world.path))) == 5)
    reasons = {one["reason"] for one in refused_in(tmp_path / "outbox.db")}
    assert reasons == {f"{server.url}: HTTP 422 Unprocessable Entity"}


def test_a_refusal_is_told_for_a_while(
    server: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "REFUSAL_TOLD_S", 0.3)
    server.answer = lambda _: Say(400)
    with running(tmp_path, destination(url=server.url)) as world:
        world.store(0)
        wait_for(lambda: "refuses" in world.problem())
        wait_for(lambda: world.problem() == "")


def test_one_bad_result_of_an_array_costs_no_other(server: Receiver, tmp_path: Path) -> None:
    bad = {7, 8, 31}
    server.answer = lambda request: Say(
        400 if any(one["sequence"] in bad for one in request.json) else 204
    )
    server.hold.clear()
    with running(tmp_path, destination(url=server.url, gather="batch", batch_size=40)) as world:
        world.store(*range(41))
        wait_for(lambda: world.senders.gauges["queued_shop"] == 41)
        server.hold.set()
        wait_for(lambda: world.has("sent_shop", 38) and world.has("rejected_shop", 3))
    taken = [
        one["sequence"]
        for request in server.requests
        for one in request.json
        if server.answer(request).status == 204
    ]
    assert taken == [n for n in range(41) if n not in bad]


def test_gathered_by_time(server: Receiver, tmp_path: Path) -> None:
    options: dict[str, Any] = {"gather": "interval", "interval_s": 0.2, "batch_size": 1000}
    with running(tmp_path, destination(url=server.url, **options)) as world:
        for number in range(30):
            world.store(number, at_us=1_000_000 + number * 50_000)
        wait_for(lambda: world.has("sent_shop", 30))
    assert [[one["sequence"] for one in sent] for sent in server.messages] == [
        *([first, first + 1, first + 2, first + 3] for first in range(0, 28, 4)),
        [28, 29],
    ]


def test_one_of_each_camera(server: Receiver, tmp_path: Path) -> None:
    options: dict[str, Any] = {"gather": "loop", "interval_s": 60}
    with running(tmp_path, destination(url=server.url, **options)) as world:
        for number in range(20):
            for camera in ("a", "b", "c"):
                world.store(number, camera=camera)
        wait_for(lambda: world.has("sent_shop", 60))
    assert [[one["camera"] for one in sent] for sent in server.messages] == [["a", "b", "c"]] * 20


def test_destinations_come_change_and_go_while_it_runs(server: Receiver, tmp_path: Path) -> None:
    first, second = destination("a", url=f"{server.url}/a"), destination("b", url=f"{server.url}/b")

    def configure(world: World, *wanted: Destination) -> None:
        world.outbox.choose(wanted_by(wanted))
        world.outbox.prune(KEEP, 0)
        world.senders.configure(wanted)

    with running(tmp_path, first) as world:
        world.store(0)
        wait_for(lambda: world.has("sent_a", 1))
        kept = world.senders._senders["a"]
        configure(world, first, second)
        assert world.senders._senders["a"] is kept
        world.store(1)
        wait_for(lambda: world.has("sent_a", 2) and world.has("sent_b", 1))
        changed = destination("a", url=f"{server.url}/changed")
        configure(world, changed)
        world.store(2)
        wait_for(lambda: world.has("sent_a", 3))
        assert "sent_b" not in world.senders.counters
        wait_for(lambda: not kept.alive)
    assert [(r.path, r.json["sequence"]) for r in server.requests if r.path != "/b"] == [
        ("/a", 0),
        ("/a", 1),
        ("/changed", 2),
    ]
    assert [r.json["sequence"] for r in server.requests if r.path == "/b"] == [1]


def test_a_template_that_is_none_is_a_problem_and_loses_nothing(
    server: Receiver, tmp_path: Path
) -> None:
    with running(tmp_path, destination(url=server.url, body="{{ camera")) as world:
        world.store(0)
        wait_for(lambda: "the body, line 1" in world.problem())
        wait_for(lambda: world.senders.gauges["queued_shop"] == 1)


def test_a_secret_that_is_missing_is_waited_for(server: Receiver, tmp_path: Path) -> None:
    options: dict[str, Any] = {"headers": {"X-Key": "{{ secret.key }}"}}
    with running(tmp_path, destination(url=server.url, **options)) as world:
        world.store(0)
        wait_for(lambda: "there is no secret 'key'" in world.problem())
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / "key").write_text("S3CRET")
        wait_for(lambda: world.has("sent_shop", 1))
    assert server.requests[0].headers["x-key"] == "S3CRET"


def test_an_outbox_in_trouble_is_waited_for(
    server: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = threading.Event()
    fetch = SqliteOutbox.fetch

    def sometimes(outbox: SqliteOutbox, *arguments: Any, **named: Any) -> Any:
        if not failing.is_set():
            failing.set()
            raise StorageUnavailable("not now")
        return fetch(outbox, *arguments, **named)

    monkeypatch.setattr(SqliteOutbox, "fetch", sometimes)
    with running(tmp_path, destination(url=server.url)) as world:
        world.store(0)
        wait_for(lambda: world.has("sent_shop", 1))


def test_a_fault_of_the_program_is_told(
    server: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("threading.excepthook", lambda _: None)
    monkeypatch.setattr("nxai_publisher.adapters.http_destination.HttpOutlet.send", broken)
    with running(tmp_path, destination(url=server.url)) as world:
        world.store(0)
        wait_for(lambda: "fault of this program" in world.problem())
        assert world.senders.gauges["queued_shop"] == 1
    assert "the sender stopped" in caplog.text


def test_one_that_was_never_started_is_stopped(tmp_path: Path) -> None:
    outbox = SqliteOutbox(tmp_path / "outbox.db", device="box")
    rng = random.Random(1)  # noqa: S311 - a test
    sender = sending.Sender(destination(), outbox, partial(pytest.fail, "never"), rng, lambda: 0)
    sender.stop()
    sender.join(1)
    with Senders(outbox, partial(pytest.fail, "never")) as senders:
        assert senders.problems == ()


# -- turn by turn -----------------------------------------------------------------------------


class Way:
    """An outlet that does as it is told, send by send."""

    def __init__(self, *outcomes: Exception | None, grouping: Grouping | None = None) -> None:
        self.grouping = grouping or Grouping()
        self.outcomes = list(outcomes)
        self.got: list[int] = []
        self.closed = 0
        self.then: Callable[[], object] = lambda: None
        """Called by each `send`."""

    def send(self, entries: Sequence[Entry], /) -> Sequence[Refused]:
        self.then()
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        self.got += [entry.number for entry in entries]
        return ()

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


class Rests(threading.Event):
    """Notes how long a sender would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.noted.append(timeout)
        return self.is_set()


class Unlucky(random.Random):
    """The longest of each wait."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def sender_of(outbox: Outbox, way: Way) -> tuple[sending.Sender, Rests]:
    sender = sending.Sender(destination(), outbox, lambda _: way, Unlucky(), lambda: 0)
    rests = Rests()
    sender._stop = rests
    return sender, rests


def test_patience_grows_until_it_is_well_and_never_below_what_the_server_asks(
    tmp_path: Path,
) -> None:
    away = [DestinationUnavailable("away", after_s) for after_s in (None, None, 0.0, None, 7.0)]
    way = Way(*away, None, DestinationUnavailable("away"))
    with opened(tmp_path / "outbox.db", destination()) as outbox:
        sender, rests = sender_of(outbox, way)
        outbox.write([posted(0)])
        for _ in range(6):
            sender._turn()
        outbox.write([posted(1)])
        sender._turn()
    assert rests.noted == [0.02, 0.04, 0.08, 0.1, 7.0, 0.02]
    assert way.closed == sender.failures == 6  # each try begins with a new connection


def test_what_it_has_in_hand_is_there_after_a_kill(tmp_path: Path) -> None:
    with opened(tmp_path / "outbox.db", destination()) as outbox:
        outbox.write([posted(n) for n in range(5)])
        sender, _ = sender_of(outbox, Way())
        sender._turn()
        sender._turn()
    with opened(tmp_path / "outbox.db", destination()) as outbox:
        assert [entry.number for entry in taken(outbox)] == [3, 4, 5]


def test_what_it_has_in_hand_is_there_for_the_next_one(tmp_path: Path) -> None:
    way = Way()
    with opened(tmp_path / "outbox.db", destination()) as outbox:
        outbox.write([posted(n) for n in range(5)])
        sender, _ = sender_of(outbox, way)
        way.then = sender.stop
        sender._run()
        assert way.got == [1]
        assert way.closed == 1
        assert [entry.number for entry in taken(outbox)] == [2, 3, 4, 5]


def test_what_it_has_in_hand_is_there_after_trouble_with_the_outbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **_named: object) -> None:
        raise StorageUnavailable("not now")

    monkeypatch.setattr(SqliteOutbox, "wait", lambda *_: None)
    way = Way(grouping=Grouping("batch", 10, 60))
    with opened(tmp_path / "outbox.db", destination()) as outbox:
        outbox.write([posted(n) for n in range(5)])
        sender, _ = sender_of(outbox, way)
        sender._turn()  # it waits for more
        with monkeypatch.context() as trouble:
            trouble.setattr(SqliteOutbox, "fetch", broken)
            sender._turn()
        outbox.write([posted(n) for n in range(5, 10)])
        sender._turn()
    assert way.got == list(range(1, 11))


def test_who_stops_it_just_before_it_waits_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = SqliteOutbox.wait

    def stopped_before(outbox: SqliteOutbox, *arguments: Any) -> None:
        sender.stop()
        wait(outbox, *arguments)

    monkeypatch.setattr(sending, "LOOK_EVERY_S", 60.0)
    monkeypatch.setattr(SqliteOutbox, "wait", stopped_before)
    with opened(tmp_path / "outbox.db", destination()) as outbox:
        sender, _ = sender_of(outbox, Way())
        thread = threading.Thread(target=sender._run)
        thread.start()
        thread.join(10)
        ended = not thread.is_alive()
        outbox.rouse()
        thread.join()
    assert ended


def test_while_much_waits_it_rests(tmp_path: Path) -> None:
    with opened(tmp_path / "outbox.db", destination()) as outbox:
        outbox.write([posted(n) for n in range(2)])
        sender, rests = sender_of(outbox, Way())
        sender._worked_s = time.thread_time() - 4.0
        sender._turn()
        (rest_s,) = rests.noted
        assert rest_s is not None
        assert rest_s >= 4.0 * sending.PACE
        sender._turn()  # nothing waits any more
        assert len(rests.noted) == 1


def test_how_long_the_oldest_has_waited(tmp_path: Path) -> None:
    with opened(tmp_path / "outbox.db", destination()) as outbox:
        outbox.write([posted(n, at_us=1000 + n) for n in range(2)])
        sender, _ = sender_of(outbox, Way())
        sender._turn()
        assert sender.oldest_us == 1001
        sender._turn()
        assert sender.oldest_us is None


def test_one_begins_when_the_one_before_has_ended(tmp_path: Path) -> None:
    order: list[str] = []
    outbox = SqliteOutbox(tmp_path / "outbox.db", device="box")

    class Before(sending.Sender):
        def join(self, timeout: float) -> None:
            order.append(f"joined within {timeout:g} s")

    def open_outlet(_: Destination) -> Way:
        order.append("opened")
        sender.stop()
        return Way()

    options = destination(timeout_s=20)
    before = Before(options, outbox, open_outlet, Unlucky(), lambda: 0)
    sender = sending.Sender(options, outbox, open_outlet, Unlucky(), lambda: 0, before=before)
    sender._run()
    assert order == [f"joined within {20 + sending.GOODBYE_S:g} s", "opened"]


@pytest.mark.parametrize("status", [401, 400])
def test_a_secret_that_a_server_repeats_is_told_to_nobody(
    server: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("S3CRET-of-the-shop")
    repeated = ("x-key", "authorization")
    server.answer = lambda request: Say(
        status, body="; ".join(request.headers[name] for name in repeated).encode()
    )
    options: dict[str, Any] = {
        "headers": {"X-Key": "{{ secret.key }}"},
        "username": "shop",
        "password_secret": "key",
    }
    with running(tmp_path, destination(url=server.url, **options)) as world:
        world.store(0)
        wait_for(world.problem)
        assert "; ***; Basic ***" in world.problem()
        if status == 400:
            wait_for(lambda: list(refused_in(world.path)))
        assert "S3CRET" not in world.problem() + caplog.text + str(list(refused_in(world.path)))
