import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlalchemy.engine import URL

from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import Reply
from nxai_common.contracts.configuration import LoggerOptions
from nxai_common.contracts.status import Problem
from nxai_common.retry import RetryPolicy
from nxai_publisher.adapters import group_commit
from nxai_publisher.adapters.group_commit import GroupCommit
from nxai_publisher.adapters.sql_logger import SqlLogger
from nxai_publisher.core.observation import observe
from nxai_publisher.core.rows import LoggedResult, logged
from nxai_publisher.ports import Holding, Pruned, StorageUnavailable, Written
from support.results import SECOND_US, START_US, result
from support.waiting import wait_for

ResultCommit: TypeAlias = GroupCommit[LoggedResult, LoggerOptions]

ON = LoggerOptions(keep_days=36_500)
OFF = LoggerOptions(enabled=False)


class Delivered:
    """A result in hand; remembers what was stored when it was acknowledged."""

    received_at = 0.0

    def __init__(
        self, sequence: int, look: Callable[[], object] = lambda: None, *, owed: bool = True
    ) -> None:
        self.owed = owed
        self.message: Message = result(sequence)
        self.seen_at_acknowledgement: list[object] = []
        self._look = look

    @property
    def acknowledged(self) -> bool:
        return bool(self.seen_at_acknowledgement)

    def acknowledge(self) -> None:
        self.seen_at_acknowledgement.append(self._look())

    def reply(self, reply: Reply) -> None:
        del reply


def kept(sequence: int) -> LoggedResult:
    item = result(sequence)
    return logged(item, observe(item), 1.0)


@pytest.fixture
def path(sqlite_url: URL) -> Path:
    return Path(str(sqlite_url.database))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        group_commit, "RETRY", RetryPolicy(first_s=0.02, longest_s=0.1, floor_s=0.01)
    )
    monkeypatch.setattr("nxai_publisher.adapters.sql_database.BUSY_TIMEOUT_S", 0.02)


@contextmanager
def running(url: URL, options: LoggerOptions = ON, bound: int = 1000) -> Iterator[ResultCommit]:
    with GroupCommit(SqlLogger(url), bound=bound, wall_us=lambda: START_US) as log:
        log.configure(options)
        yield log


def trouble(log: ResultCommit) -> Problem:
    problem = wait_for(lambda: log.problem)
    assert problem is not None
    return problem


def sequences(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT sequence FROM results")]


@contextmanager
def blocked(path: Path) -> Iterator[None]:
    """The database's folder cannot be made: a file is in its place."""
    path.parent.write_text("in the way")
    yield
    path.parent.unlink()


def test_a_result_is_stored_before_it_is_acknowledged(sqlite_url: URL, path: Path) -> None:
    deliveries = [Delivered(n, lambda: sequences(path)) for n in range(50)]
    with running(sqlite_url) as log:
        for number, delivery in enumerate(deliveries):
            assert log.offer(kept(number), delivery)
        wait_for(lambda: all(d.acknowledged for d in deliveries))
        wait_for(lambda: (log.held, log.statistics.stored) == (0, 50))
    for number, delivery in enumerate(deliveries):
        (stored,) = delivery.seen_at_acknowledgement
        assert number in stored  # type: ignore[operator] # a list of sequences


def test_one_result_does_not_wait_for_others(sqlite_url: URL) -> None:
    with running(sqlite_url) as log:
        for number in range(3):
            delivery = Delivered(number)
            log.offer(kept(number), delivery)
            wait_for(partial(getattr, delivery, "acknowledged"))


def test_results_are_held_while_the_database_takes_none(sqlite_url: URL, path: Path) -> None:
    deliveries = [Delivered(n) for n in range(5)]
    with running(sqlite_url, OFF, bound=4) as log:
        with blocked(path):
            log.configure(ON)
            problem = trouble(log)
            assert problem.about == "data logger"
            assert "cannot be made" in problem.reason
            taken = [log.offer(kept(n), d) for n, d in enumerate(deliveries)]
            assert taken == [True, True, True, True, False]
            wait_for(lambda: log.statistics.failures > 3)
            assert not any(d.acknowledged for d in deliveries)
            assert log.held == 4
        wait_for(lambda: all(d.acknowledged for d in deliveries[:4]))
        wait_for(lambda: log.problem is None)
        assert not deliveries[4].acknowledged  # the broker has it still
        assert log.statistics.left_out == 1
    assert sequences(path) == [0, 1, 2, 3]


def test_a_database_locked_for_a_while_delays_and_loses_nothing(
    sqlite_url: URL, path: Path
) -> None:
    first, second = Delivered(0), Delivered(1)
    with running(sqlite_url) as log:
        log.offer(kept(0), first)
        wait_for(lambda: first.acknowledged)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            log.offer(kept(1), second)
            problem = trouble(log)
            assert "another program holds it locked" in problem.reason
            assert not second.acknowledged
            other.execute("ROLLBACK")
        wait_for(lambda: second.acknowledged)
    assert sequences(path) == [0, 1]


def test_a_deleted_file_is_made_anew_and_swallows_nothing(
    sqlite_url: URL, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Delivered(0), Delivered(1)
    with running(sqlite_url) as log:
        log.offer(kept(0), first)
        wait_for(lambda: first.acknowledged)
        for file in path.parent.glob("nxai.db*"):
            file.unlink()
        log.offer(kept(1), second)
        wait_for(lambda: second.acknowledged)
        assert sequences(path) == [1]
        wait_for(lambda: log.problem is None)
    assert f"{path}: it was moved or deleted; the path is opened anew" in caplog.text


def test_what_is_delivered_again_is_acknowledged_by_its_new_delivery(
    sqlite_url: URL, path: Path
) -> None:
    old, new, other = Delivered(0), Delivered(0), Delivered(1)
    with running(sqlite_url, OFF, bound=2) as log:
        with blocked(path):
            log.configure(ON)
            wait_for(lambda: log.problem)
            assert log.offer(kept(0), old)
            assert log.offer(kept(1), other)
            assert log.offer(kept(0), new)
            assert log.held == 2
            # Now the broker keeps the new one; of the old one it need not know any more.
            assert old.acknowledged
            assert not new.acknowledged
        wait_for(lambda: new.acknowledged and other.acknowledged)
        again = Delivered(0)
        log.offer(kept(0), again)
        wait_for(lambda: again.acknowledged)
        wait_for(lambda: log.statistics.duplicates == 1)
    assert sequences(path) == [0, 1]


def test_a_copy_that_is_not_owed_does_not_take_the_place_of_one_that_is(
    sqlite_url: URL, path: Path
) -> None:
    first, copy = Delivered(0), Delivered(0, owed=False)
    early, late = Delivered(1, owed=False), Delivered(1)
    with running(sqlite_url, OFF) as log:
        with blocked(path):
            log.configure(ON)
            wait_for(lambda: log.problem)
            for delivery in (first, copy):
                assert log.offer(kept(0), delivery)
            for delivery in (early, late):
                assert log.offer(kept(1), delivery)
            assert log.held == 2
        wait_for(lambda: first.acknowledged and late.acknowledged)
        assert not copy.acknowledged
    assert sequences(path) == [0, 1]


def test_a_copy_that_comes_during_a_failing_commit_does_not_either(
    sqlite_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, copy = Delivered(0), Delivered(0, owed=False)
    write = SqlLogger.write
    logs: list[ResultCommit] = []

    def fail_once(*_: object) -> Written:
        monkeypatch.setattr(SqlLogger, "write", write)
        logs[0].offer(kept(0), copy)
        raise StorageUnavailable("not now")

    monkeypatch.setattr(SqlLogger, "write", fail_once)
    with running(sqlite_url) as log:
        logs.append(log)
        log.offer(kept(0), first)
        wait_for(lambda: first.acknowledged)
        assert not copy.acknowledged


def test_what_waits_is_stored_when_the_service_stops(sqlite_url: URL, path: Path) -> None:
    deliveries = [Delivered(n) for n in range(200)]
    with running(sqlite_url) as log:
        for number, delivery in enumerate(deliveries):
            log.offer(kept(number), delivery)
    assert all(d.acknowledged for d in deliveries)
    assert len(sequences(path)) == 200


def test_stopping_while_the_database_is_away_acknowledges_nothing(
    sqlite_url: URL, path: Path
) -> None:
    delivery = Delivered(0)
    with blocked(path):
        with running(sqlite_url) as log:
            wait_for(lambda: log.problem)
            log.offer(kept(0), delivery)
        assert not delivery.acknowledged


def test_a_logger_that_is_off_makes_no_database(sqlite_url: URL, path: Path) -> None:
    with running(sqlite_url, OFF) as log:
        assert not path.exists()
        log.configure(ON)
        wait_for(path.exists)


def test_switching_it_off_lets_go_of_what_could_not_be_stored(sqlite_url: URL, path: Path) -> None:
    delivery = Delivered(0)
    with blocked(path), running(sqlite_url) as log:
        wait_for(lambda: log.problem)
        log.offer(kept(0), delivery)
        log.configure(OFF)
        wait_for(lambda: delivery.acknowledged)
        wait_for(lambda: log.problem is None)


def test_retention_follows_the_configuration_at_once(sqlite_url: URL, path: Path) -> None:
    with GroupCommit(SqlLogger(sqlite_url), wall_us=lambda: START_US + 86_410 * SECOND_US) as log:
        log.configure(ON)
        for number in range(200):
            log.offer(kept(number), Delivered(number))
        wait_for(lambda: log.statistics.stored == 200)
        log.configure(LoggerOptions(keep_days=1))
        wait_for(lambda: log.statistics.pruned >= 100)
        wait_for(lambda: sequences(path) == list(range(100, 200)))


def test_retention_goes_on_as_time_passes(
    sqlite_url: URL, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "PRUNE_EVERY_S", 0.02)
    now_us = [START_US]
    with GroupCommit(SqlLogger(sqlite_url), wall_us=lambda: now_us[0]) as log:
        log.configure(LoggerOptions(keep_days=1))
        for number in range(200):
            log.offer(kept(number), Delivered(number))
        wait_for(lambda: log.statistics.stored == 200)
        assert log.statistics.pruned == 0
        now_us[0] += 86_410 * SECOND_US
        wait_for(lambda: sequences(path) == list(range(100, 200)))


def test_nothing_is_deleted_before_somebody_says_how_long_to_keep(
    sqlite_url: URL, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "PRUNE_EVERY_S", 0.01)
    short = LoggerOptions(keep_days=1, keep_mb=1e-6)
    with GroupCommit(
        SqlLogger(sqlite_url), wall_us=lambda: START_US + 2 * 86_400 * SECOND_US
    ) as log:
        log.configure(short, prune=False)
        for number in range(3):  # between two batches is a round of retention
            delivery = Delivered(number)
            log.offer(kept(number), delivery)
            wait_for(partial(getattr, delivery, "acknowledged"))
        assert sequences(path) == [0, 1, 2]
        assert log.statistics.pruned == 0
        log.configure(short)
        wait_for(lambda: sequences(path) == [])


def test_a_fault_of_the_program_is_told_and_ends_the_thread(
    sqlite_url: URL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("threading.excepthook", lambda _: None)
    monkeypatch.setattr(SqlLogger, "write", broken)
    with running(sqlite_url) as log:
        delivery = Delivered(0)
        log.offer(kept(0), delivery)
        problem = trouble(log)
        assert "fault of this program" in problem.reason
        assert not delivery.acknowledged
        assert log.held == 1
    assert "the data logger stopped" in caplog.text


class Numbered:
    """An item whose copies differ."""

    key = ("same",)

    def __init__(self, content: str) -> None:
        self.content = content


class Remembering:
    """A store that fails until it is told not to."""

    def __init__(self) -> None:
        self.works = threading.Event()
        self.written: list[str] = []

    def open(self) -> None:
        if not self.works.is_set():
            raise StorageUnavailable("not now")

    def write(self, items: Sequence[Numbered], /) -> Written:
        self.written += [item.content for item in items]
        return Written(len(items), 0)

    def prune(self, options: LoggerOptions, now_us: int) -> Pruned:
        del options, now_us
        return Pruned(0, more=False)

    def measure(self) -> Holding:
        return Holding(0, 0)

    def close(self) -> None:
        """Nothing to close."""


def test_of_what_comes_again_the_first_counts() -> None:
    """An outbox gets the events of a result with it, and not again when it comes again."""
    store = Remembering()
    first, again = Delivered(0), Delivered(0)
    with GroupCommit(store, about="x") as log:
        log.configure(ON)
        wait_for(lambda: log.problem)
        log.offer(Numbered("with its events"), first)
        log.offer(Numbered("without"), again)
        store.works.set()
        wait_for(lambda: again.acknowledged)
    assert store.written == ["with its events"]
    assert first.acknowledged
