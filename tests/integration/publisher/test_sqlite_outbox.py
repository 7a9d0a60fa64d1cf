"""The outbox in its file: places, counts, limits, and what breaks."""

import random
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from nxai_publisher.adapters import sqlite_outbox
from nxai_publisher.adapters.sqlite_outbox import SqliteOutbox, refused_in
from nxai_publisher.core.drafts import Posted
from nxai_publisher.core.entries import Entry, Keeping, Refused, wanted_by
from nxai_publisher.ports import StorageUnavailable, Written
from support.outbox import KEEP, destination, opened, posted, taken
from support.results import detection
from support.samples import small_disk
from support.waiting import wait_for

pytestmark = pytest.mark.integration

DAY_US = 86_400_000_000
SHOP = destination("shop")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "outbox.db"


@pytest.fixture
def outbox(path: Path) -> Iterator[SqliteOutbox]:
    with opened(path, SHOP) as store:
        yield store


def sequences(entries: list[Entry]) -> list[int]:
    return [orjson.loads(entry.payload)["sequence"] for entry in entries]


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM entries").fetchone()
        return int(count)


def prune_all(outbox: SqliteOutbox, keep: Keeping = KEEP, now_us: int = 0) -> None:
    while outbox.prune(keep, now_us).more:
        pass


def fill(outbox: SqliteOutbox, progress: list[int]) -> None:
    """Write until it fails; the last of `progress` is where the failed batch began."""
    for first in range(0, 100_000, 100):
        progress.append(first)
        outbox.write([posted(n) for n in range(first, first + 100)])


def test_what_is_stored_comes_out_as_it_was(outbox: SqliteOutbox) -> None:
    item = posted(7, [detection(), detection("bolt")])
    assert outbox.write([item]) == Written(1, 0)
    (entry,) = taken(outbox)
    (draft,) = item.drafts
    assert entry.payload == draft.message.encode()
    assert (entry.content, entry.camera, entry.model) == ("detections", "front", "m5-nut")
    assert (entry.at_us, entry.id) == (draft.at_us, "detections-run-1-7-m5-nut")
    assert entry.size < len(entry.payload) / 3


def test_an_nx_output_is_told_by_its_frame(path: Path) -> None:
    with opened(path, destination(what=("nx-output",))) as outbox:
        outbox.write([posted(7, what=("nx-output",)), posted(8, what=("nx-output",))])
        assert [entry.id for entry in taken(outbox)] == [
            "output-run-1-7-m5-nut",
            "output-run-1-8-m5-nut",
        ]


def test_each_destination_gets_what_it_wants_in_order(path: Path) -> None:
    back = destination("back", cameras=("back",))
    shows = destination("shows", only_with_objects=True)
    with opened(path, SHOP, back, shows) as outbox:
        outbox.write(
            [posted(n, [detection()] * (n % 3), camera=("front", "back")[n % 2]) for n in range(12)]
        )
        assert sequences(taken(outbox, limit=5)) == list(range(12))
        assert sequences(taken(outbox, "back")) == list(range(1, 12, 2))
        assert sequences(taken(outbox, "shows")) == [n for n in range(12) if n % 3]
        prune_all(outbox)
        assert outbox.measure().rows == 0


def test_a_message_is_there_once_for_all(path: Path) -> None:
    with opened(path, *(destination(f"d{n}") for n in range(5))) as outbox:
        outbox.write([posted(n) for n in range(10)])
        assert rows(path) == 10


def pictured(number: int, size: int) -> Posted:
    """Return what has a picture of so many bytes."""
    item = posted(number)
    return Posted(item.key, tuple(replace(one, picture=b"x" * size) for one in item.drafts))


def test_bytes_that_wait_count_pictures_too(path: Path) -> None:
    with opened(path, SHOP) as outbox:
        outbox.write([pictured(0, 100_000), posted(1)])
        stored = outbox.tally("shop").queued_bytes
    with opened(path, SHOP) as outbox:
        assert outbox.tally("shop").queued_bytes == stored
        first, second = outbox.fetch("shop", 9, holding=False)
        assert first.size > 100_000
        assert first.size + second.size == stored
        outbox.done("shop", [first], holding=True)
        assert outbox.tally("shop").queued_bytes == second.size


def test_a_place_is_found_again(path: Path) -> None:
    with opened(path, SHOP) as outbox:
        outbox.write([posted(n) for n in range(10)])
        found = outbox.fetch("shop", 6, holding=False)
        outbox.done("shop", found[:4], holding=True)
    with opened(path, SHOP) as outbox:
        assert outbox.tally("shop").queued == 6
        assert sequences(taken(outbox)) == [4, 5, 6, 7, 8, 9]


def test_a_new_destination_begins_with_what_comes_next(path: Path) -> None:
    with opened(path, SHOP) as outbox:
        outbox.write([posted(0)])
        outbox.choose(wanted_by((SHOP, destination("late"))))
        outbox.prune(KEEP, 0)
        outbox.write([posted(1)])
        assert sequences(taken(outbox, "late")) == [1]
        assert sequences(taken(outbox)) == [0, 1]


def test_one_that_was_removed_has_lost_its_place(path: Path) -> None:
    other = destination("other")
    with opened(path, SHOP, other) as outbox:
        outbox.write([posted(0)])
        outbox.choose(wanted_by((other,)))
        outbox.write([posted(1)])
        assert outbox.fetch("shop", 9, holding=False) == []
        assert outbox.tally("shop").queued == 0
        outbox.choose(wanted_by((other, SHOP)))
        outbox.write([posted(2)])
        assert sequences(taken(outbox)) == [2]
    with opened(path, other) as outbox:
        assert sequences(taken(outbox, "other")) == [0, 1, 2]
    with opened(path, SHOP, other) as outbox:  # it was not wanted in the run before
        outbox.write([posted(3)])
        assert sequences(taken(outbox)) == [3]


def test_what_it_wants_may_change(path: Path) -> None:
    with opened(path, SHOP) as outbox:
        outbox.write([posted(n, camera=("front", "back")[n % 2]) for n in range(6)])
        assert outbox.tally("shop").queued == 6
        outbox.choose(wanted_by((destination("shop", cameras=("back",)),)))
        outbox.prune(KEEP, 0)
        assert outbox.tally("shop").queued == 3
        assert sequences(taken(outbox)) == [1, 3, 5]


def test_nobody_is_left_nothing_is_left(path: Path) -> None:
    with opened(path, SHOP) as outbox:
        outbox.write([posted(n) for n in range(5000)])
        outbox.choose(())
        prune_all(outbox)
        assert rows(path) == 0
        assert outbox.measure().rows == 0


def test_what_comes_again_is_stored_once(path: Path) -> None:
    with opened(path, SHOP) as outbox:
        assert outbox.write([posted(0), posted(1), posted(1)]) == Written(2, 1)
        assert outbox.write([posted(1), posted(2)]) == Written(1, 1)
    with opened(path, SHOP) as outbox:  # delivered again after a kill
        assert outbox.write([posted(2), posted(3)]).duplicates == 1
        assert sequences(taken(outbox)) == [0, 1, 2, 3]


def test_it_remembers_no_more_than_it_must(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_outbox, "RECENT", 10)
    with opened(path, SHOP) as outbox:
        for first in range(0, 100, 5):
            outbox.write([posted(n) for n in range(first, first + 5)])
        assert len(outbox._recent) == 10
    with opened(path, SHOP) as outbox:  # after a restart, too, the oldest is forgotten first
        outbox.write([posted(100)])
        assert outbox.write([posted(99)]).duplicates == 1


def test_what_is_not_sent_is_put_back(outbox: SqliteOutbox) -> None:
    outbox.write([posted(n) for n in range(5)])
    found = outbox.fetch("shop", 3, holding=False)
    assert sequences(outbox.fetch("shop", 3, holding=True)) == [3, 4]
    outbox.done("shop", found[:1], holding=True)
    outbox.put_back("shop", found[1:])
    assert outbox.tally("shop").queued == 4
    assert sequences(taken(outbox)) == [1, 2, 3, 4]


def test_nothing_is_done_for_a_destination_that_is_not_there(outbox: SqliteOutbox) -> None:
    outbox.write([posted(0)])
    (entry,) = outbox.fetch("shop", 1, holding=False)
    outbox.done("nobody", [entry], holding=False)
    outbox.put_back("nobody", [entry])
    assert outbox.tally("nobody").sent == 0
    assert outbox.tally("shop").queued == 1


# -- limits -----------------------------------------------------------------------------------


def test_the_oldest_goes_by_age_and_is_counted_for_each(path: Path) -> None:
    odd = destination("odd", cameras=("back",))
    with opened(path, SHOP, odd) as outbox:
        outbox.write(
            [posted(n, at_us=n * DAY_US, camera=("front", "back")[n % 2]) for n in range(1, 11)]
        )
        sent = outbox.fetch("shop", 2, holding=False)
        outbox.done("shop", sent, holding=False)
        keep = Keeping(enabled=True, keep_days=4, keep_mb=1000)
        prune_all(outbox, keep, now_us=10 * DAY_US)
        assert rows(path) == 5  # of days 6 to 10
        tally = outbox.tally("shop")
        assert (tally.sent, tally.dropped, tally.queued) == (2, 3, 5)
        assert outbox.tally("odd").dropped == 3
        assert sequences(taken(outbox)) == [6, 7, 8, 9, 10]
        assert sequences(taken(outbox, "odd")) == [7, 9]


def test_all_may_be_too_old(path: Path) -> None:
    with opened(path, SHOP) as outbox:
        outbox.write([posted(n, at_us=0) for n in range(4500)])
        prune_all(outbox, Keeping(enabled=True, keep_days=1, keep_mb=1000), now_us=2 * DAY_US)
        assert outbox.tally("shop").dropped == 4500
        outbox.write([posted(9999)])
        assert sequences(taken(outbox)) == [9999]


def test_the_oldest_goes_by_size_and_not_more_than_must(path: Path) -> None:
    keep = Keeping(enabled=True, keep_days=36_500, keep_mb=0.5)
    with opened(path, SHOP) as outbox:
        for first in range(0, 6000, 500):
            outbox.write([posted(n) for n in range(first, first + 500)])
        prune_all(outbox, keep)
        tally = outbox.tally("shop")
        assert tally.dropped > 0
        assert tally.dropped + tally.queued == 6000
        assert rows(path) == tally.queued
        left = sequences(taken(outbox))
        assert left == list(range(tally.dropped, 6000))
        with closing(sqlite3.connect(path)) as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        used_mb = (pages - free) * 4096 / 1e6
        assert 0.4 < used_mb <= 0.5


def test_what_a_sender_has_in_hand_is_dropped_only_if_it_fails(path: Path) -> None:
    keep = Keeping(enabled=True, keep_days=1, keep_mb=1000)
    with opened(path, SHOP) as outbox:
        outbox.write([posted(n, at_us=0) for n in range(10)])
        hand = outbox.fetch("shop", 4, holding=False)
        prune_all(outbox, keep, now_us=2 * DAY_US)
        assert outbox.tally("shop").dropped == 6
        outbox.done("shop", hand[:1], holding=True)
        outbox.put_back("shop", hand[1:])
        tally = outbox.tally("shop")
        assert (tally.sent, tally.dropped, tally.queued, tally.queued_bytes) == (1, 9, 0, 0)
        assert taken(outbox) == []


def failing_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let one step of a transaction fail, as on a full disk."""
    works = getattr(SqliteOutbox, name)

    def fail(*_: object) -> None:
        monkeypatch.setattr(SqliteOutbox, name, works)
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(SqliteOutbox, name, fail)


def test_what_could_not_be_deleted_is_not_dropped(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path, SHOP) as outbox:
        outbox.write([posted(n, at_us=0) for n in range(10)])
        hand = outbox.fetch("shop", 4, holding=False)
        failing_once(monkeypatch, "_delete")
        with pytest.raises(StorageUnavailable, match="full"):
            outbox.prune(Keeping(enabled=True, keep_days=1, keep_mb=1000), now_us=2 * DAY_US)
        outbox.open()
        outbox.put_back("shop", hand)
        tally = outbox.tally("shop")
        assert (tally.dropped, tally.queued) == (0, 10)
        assert sequences(taken(outbox)) == list(range(10))


class AtRandom:
    """Results come, are sent, fail, are refused; limits are reached."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - a test
        self.number = 0
        self.wanted = {"shop": 0, "back": 0}
        self.seen: dict[str, list[int]] = {"shop": [], "back": []}
        self.hands: dict[str, list[Entry]] = {"shop": [], "back": []}

    def step(self, outbox: SqliteOutbox) -> None:
        steps = (self.store, self.store, self.fetch, self.deliver, self.reach_a_limit)
        self.rng.choice(steps)(outbox)

    def store(self, outbox: SqliteOutbox) -> None:
        numbers = range(self.number, self.number + self.rng.randrange(1, 40))
        self.number = numbers.stop
        outbox.write([posted(n, at_us=n * 1000, camera=("front", "back")[n % 2]) for n in numbers])
        self.wanted["shop"] += len(numbers)
        self.wanted["back"] += sum(n % 2 for n in numbers)

    def fetch(self, outbox: SqliteOutbox) -> None:
        for name, hand in self.hands.items():
            hand.extend(outbox.fetch(name, self.rng.randrange(1, 20), holding=bool(hand)))

    def deliver(self, outbox: SqliteOutbox) -> None:
        for name, hand in self.hands.items():
            if self.rng.random() < 0.3:
                outbox.put_back(name, hand)
                hand.clear()
            elif hand:
                group = hand[: self.rng.randrange(1, len(hand) + 1)]
                del hand[: len(group)]
                refused = [Refused(one, "no") for one in group[: self.rng.randrange(2)]]
                outbox.done(name, group, refused, holding=bool(hand))
                self.seen[name] += sequences(group)

    def reach_a_limit(self, outbox: SqliteOutbox) -> None:
        days = self.rng.randrange(50_000, 500_000) / DAY_US
        outbox.prune(Keeping(enabled=True, keep_days=days, keep_mb=1000), self.number * 1000)

    def stop(self, outbox: SqliteOutbox) -> None:
        for name, hand in self.hands.items():
            outbox.put_back(name, hand)
            hand.clear()


@pytest.mark.parametrize("seed", range(5))
def test_every_entry_is_counted_once_whatever_happens(path: Path, seed: int) -> None:
    world = AtRandom(seed)
    counted = {"shop": 0, "back": 0}
    for _ in range(4):
        with opened(path, SHOP, destination("back", cameras=("back",))) as outbox:
            for _ in range(60):
                world.step(outbox)
            world.stop(outbox)
            for name, numbers in world.seen.items():
                tally = outbox.tally(name)
                counted[name] += tally.sent + tally.refused + tally.dropped
                assert counted[name] + tally.queued == world.wanted[name]
                assert numbers == sorted(set(numbers))


# -- refused ----------------------------------------------------------------------------------


def test_what_was_refused_can_be_looked_at(outbox: SqliteOutbox, path: Path) -> None:
    outbox.write([posted(n) for n in range(3)])
    found = outbox.fetch("shop", 9, holding=False)
    outbox.done("shop", found, [Refused(found[1], "HTTP 422")], holding=False, now_us=99)
    outbox.prune(KEEP, 0)
    (refused,) = refused_in(path)
    assert orjson.loads(refused.pop("payload"))["sequence"] == 1
    assert refused == {
        "destination": "shop",
        "at_us": 99,
        "reason": "HTTP 422",
        "content": "detections",
        "camera": "front",
        "model": "m5-nut",
        "said_at_us": found[1].at_us,
        "id": found[1].id,
    }
    tally = outbox.tally("shop")
    assert (tally.sent, tally.refused) == (2, 1)


def test_of_the_refused_the_newest_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_outbox, "MOST_REFUSED", 5)
    with opened(path, SHOP) as outbox:
        for first in range(0, 12, 3):
            outbox.write([posted(n) for n in range(first, first + 3)])
            found = outbox.fetch("shop", 9, holding=False)
            outbox.done("shop", found, [Refused(one, "no") for one in found], holding=False)
            outbox.prune(KEEP, 0)
    kept = [orjson.loads(one["payload"])["sequence"] for one in refused_in(path)]
    assert kept == [7, 8, 9, 10, 11]


def test_of_a_large_one_only_the_reason_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_outbox, "LARGEST_REFUSED", 10)
    with opened(path, SHOP) as outbox:
        outbox.write([posted(0)])
        found = outbox.fetch("shop", 9, holding=False)
        outbox.done("shop", found, [Refused(found[0], "HTTP 413")], holding=False)
    (refused,) = refused_in(path)
    assert (refused["reason"], refused["payload"]) == ("HTTP 413", "")


def test_no_file_no_refusals(tmp_path: Path) -> None:
    assert list(refused_in(tmp_path / "none.db")) == []
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database" * 1000)
    with pytest.raises(StorageUnavailable, match="not an SQLite database"):
        list(refused_in(broken))


# -- what breaks ------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"\0" * 8192])
def test_a_file_that_is_no_outbox_says_so_and_stays(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StorageUnavailable, match="move it away"), opened(path, SHOP):
        pass
    assert path.read_bytes() == content


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    with opened(path, SHOP):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(StorageUnavailable, match="a newer version"), opened(path, SHOP):
        pass


def test_a_locked_file_says_so_and_nothing_is_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_outbox, "BUSY_TIMEOUT_S", 0.05)
    with opened(path, SHOP) as outbox:
        outbox.write([posted(0)])
        (entry,) = outbox.fetch("shop", 9, holding=False)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageUnavailable, match="another program holds it locked"):
                outbox.write([posted(1)])
            outbox.done("shop", [entry], [Refused(entry, "no")], holding=False)
            with pytest.raises(StorageUnavailable, match="locked"):
                outbox.prune(KEEP, 0)
            other.execute("ROLLBACK")
        outbox.open()
        assert outbox.write([posted(1)]).stored == 1
        assert sequences(taken(outbox)) == [1]  # the place moved while it was locked
    assert len(list(refused_in(path))) == 1


def test_a_place_is_written_down_at_the_end_though_the_last_batch_failed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path, SHOP) as outbox:
        outbox.write([posted(n) for n in range(5)])
        found = outbox.fetch("shop", 3, holding=False)
        outbox.done("shop", found, [Refused(found[2], "no")], holding=False)
        monkeypatch.setattr(sqlite_outbox, "_INSERT", "INSERT INTO nothing VALUES (?)")
        with pytest.raises(StorageUnavailable):
            outbox.write([posted(5)])
    monkeypatch.undo()
    with opened(path, SHOP) as outbox:
        assert sequences(taken(outbox)) == [3, 4]
    assert len(list(refused_in(path))) == 1


def test_the_journal_is_cut_after_a_large_batch(path: Path, outbox: SqliteOutbox) -> None:
    journal = Path(f"{path}-wal")
    outbox.write([pictured(0, 20_000_000)])
    assert journal.stat().st_size > 20_000_000
    on_disk = path.stat().st_size + journal.stat().st_size
    assert outbox.measure().size_mb == pytest.approx(on_disk / 1e6)
    outbox.write([posted(1)])
    assert journal.stat().st_size <= sqlite_outbox.JOURNAL_LIMIT_BYTES


def test_a_file_that_is_gone_is_made_anew(path: Path, outbox: SqliteOutbox) -> None:
    outbox.write([posted(n) for n in range(10)])
    hand = outbox.fetch("shop", 5, holding=False)
    for file in path.parent.iterdir():
        file.unlink()
    with pytest.raises(StorageUnavailable, match="moved or deleted; the path is opened anew"):
        outbox.write([posted(10)])
    outbox.open()
    outbox.write([posted(10), posted(11)])
    outbox.done("shop", hand, holding=False)  # of the file that is gone: it says nothing here
    outbox.put_back("shop", hand)
    assert outbox.tally("shop").queued == 2
    assert sequences(taken(outbox)) == [10, 11]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with (
        pytest.raises(StorageUnavailable, match="check the folder"),
        opened(tmp_path / "data" / "outbox.db", SHOP),
    ):
        pass


def test_an_entry_that_is_damaged_says_so(path: Path, outbox: SqliteOutbox) -> None:
    outbox.write([posted(0)])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entries SET payload = x'0102'")
    with pytest.raises(StorageUnavailable, match="entry 1 for shop cannot be read"):
        outbox.fetch("shop", 1, holding=False)


def test_a_closed_one_is_told(path: Path) -> None:
    outbox = SqliteOutbox(path, device="box")
    assert not outbox.exists
    outbox.close()
    assert outbox.fetch("shop", 1, holding=False) == []
    with pytest.raises(StorageUnavailable, match="is not open"):
        outbox.measure()


def test_a_full_disk_stores_all_of_a_batch_or_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "1m") as disk:
        path = disk.path / "outbox.db"
        with opened(path, SHOP) as outbox:
            progress: list[int] = []
            with pytest.raises(StorageUnavailable, match="disk"):
                fill(outbox, progress)
            written = progress[-1]
            assert written > 0
            disk.resize("8m")
            outbox.open()
            outbox.write([posted(n) for n in range(written, written + 100)])
            assert sequences(taken(outbox)) == list(range(written + 100))


def test_a_power_cut_is_survived_where_it_shall(path: Path) -> None:
    for durability, expected in (("process-crash", 1), ("power-loss", 2)):
        with opened(path, SHOP, durability=durability) as outbox:
            (found,) = outbox._connected().execute("PRAGMA synchronous").fetchone()
            assert found == expected


def test_pages_go_back_to_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_outbox, "SPARE_PAGES", 10)
    monkeypatch.setattr(sqlite_outbox, "VACUUM_PAGES", 20)
    with opened(path, SHOP) as outbox:
        outbox.write([posted(n) for n in range(3000)])
        before = outbox.measure().size_mb
        taken(outbox)
        prune_all(outbox)
        prune_all(outbox)  # the next round
    # The last connection has moved the write-ahead log into the file.
    assert path.stat().st_size < before * 1e6 / 4


def test_who_waits_is_woken_by_what_comes(outbox: SqliteOutbox) -> None:
    woken = threading.Event()

    def wait() -> None:
        outbox.wait("shop", 60, bool)
        woken.set()

    for rouse in (lambda: outbox.write([posted(0)]), outbox.rouse):
        woken.clear()
        thread = threading.Thread(target=wait)
        thread.start()
        wait_for(lambda: outbox._more._waiters)  # type: ignore[attr-defined] # a condition's own
        rouse()
        assert woken.wait(10)
        thread.join()
        taken(outbox)
    outbox.write([posted(1)])
    outbox.wait("shop", 60, bool)  # there is something: at once


def test_the_file_can_be_read_with_any_tool(path: Path, outbox: SqliteOutbox) -> None:
    outbox.write([posted(0)])
    done = subprocess.run(
        ["python3", "-c",
         ("import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("
         "'SELECT content, camera, id FROM entries').fetchall())"), str(path)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "[('detections', 'front', 'detections-run-1-0-m5-nut')]\n"
