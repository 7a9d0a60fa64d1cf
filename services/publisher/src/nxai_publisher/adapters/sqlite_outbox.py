"""The outbox: one SQLite file, each message in it once, one place in it for each destination.

Written to by one thread, read by those that send; a lock keeps them apart, for milliseconds.
Places move in memory and are written down with the next batch, or within a second: after a kill
some entries are sent once more.
"""

import contextlib
import logging
import sqlite3
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from nxai_common.bus.cloud_events import attributes_by_name
from nxai_common.contracts.destinations import Content
from nxai_publisher.adapters.sqlite_reasons import sqlite_reason
from nxai_publisher.core.drafts import Draft, Posted
from nxai_publisher.core.entries import OF_FRAMES, Entry, Keeping, Refused, Wanted
from nxai_publisher.core.packing import pack, unpack
from nxai_publisher.core.queues import Queue, Tally, finished
from nxai_publisher.ports import Holding, Pruned, StorageUnavailable, Written

log = logging.getLogger(__name__)

BUSY_TIMEOUT_S: Final = 5.0
"""Somebody may look into the file with another program."""
SLICE: Final = 2000
"""Entries deleted in one transaction, or looked through for one destination: some 10 ms."""
MOST_REFUSED: Final = 1000
"""Kept to be looked at; the oldest goes."""
LARGEST_REFUSED: Final = 100_000
"""Bytes of such a one, packed; of a larger one only the reason is kept."""
RECENT: Final = 4096
"""Entries that are remembered, so that what the broker delivers again is not stored again: more
than it hands out unacknowledged."""
VACUUM_PAGES: Final = 1000
"""Given back to the file system in one step (4 MB, some 10 ms)."""
SPARE_PAGES: Final = 4096
"""Empty pages kept for coming entries (16 MB)."""
JOURNAL_LIMIT_BYTES: Final = 16_000_000
"""The write-ahead log is cut to this."""
MEGABYTE: Final = 1_000_000
DAY_US: Final = 86_400_000_000
VERSION: Final = 1
"""Of the tables (`user_version`)."""

_TABLES: Final = """
CREATE TABLE edition (id TEXT NOT NULL);
CREATE TABLE entries (
    number INTEGER PRIMARY KEY, content TEXT NOT NULL, camera TEXT NOT NULL, model TEXT NOT NULL,
    at_us INTEGER NOT NULL, id TEXT NOT NULL, objects INTEGER NOT NULL, payload BLOB NOT NULL,
    picture BLOB
);
CREATE TABLE destinations (id TEXT PRIMARY KEY, cursor INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE refused (
    number INTEGER PRIMARY KEY, destination TEXT NOT NULL, at_us INTEGER NOT NULL,
    reason TEXT NOT NULL, content TEXT NOT NULL, camera TEXT NOT NULL, model TEXT NOT NULL,
    said_at_us INTEGER NOT NULL, id TEXT NOT NULL, payload BLOB NOT NULL
);
"""

_Row = tuple[int, Content, str, str, int, str, bool, bytes, bytes | None]
_INSERT: Final = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SIZE: Final = "length(payload) + coalesce(length(picture), 0)"


class SqliteOutbox:
    """Implements the ports `Store` (for the thread that writes) and `Outbox` (for senders)."""

    def __init__(
        self,
        path: Path,
        *,
        device: str,
        durability: Literal["process-crash", "power-loss"] = "process-crash",
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            path: Of the file.
            device: Name of the box in the topics.
            durability: What a commit must survive.
        """
        self._path = path
        self._device = device
        self._durability = durability
        self._lock = threading.RLock()
        self._more = threading.Condition(self._lock)
        """Told when there is something new to fetch."""
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        """Which file is open, by device and inode."""
        self._edition_id = ""
        self._edition = 0
        self._wanted: tuple[Wanted, ...] = ()
        self._queues: dict[str, Queue] = {}
        self._places: dict[str, int] = {}
        """As they are written down."""
        self._refusals: deque[tuple[Any, ...]] = deque(maxlen=MOST_REFUSED)
        """Not written down yet."""
        self._recent: dict[tuple[str, str], None] = {}
        self._end = 0
        self._rows = 0
        self._dropped_to = 0

    # -- the thread that writes -----------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether there is such a file: of a destination that was removed, perhaps."""
        return self._path.exists()

    def choose(self, wanted: Sequence[Wanted]) -> None:
        """Say who wants what from now on; takes effect with the next write."""
        with self._lock:
            self._wanted = tuple(wanted)

    def open(self) -> None:
        """Open the file, or make it."""
        self.close()
        with self._lock, self._translated():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self._path,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
            self._connection = connection
            synchronous = "FULL" if self._durability == "power-loss" else "NORMAL"
            for pragma in (
                "auto_vacuum=INCREMENTAL",  # takes effect in a new, empty file only
                "journal_mode=WAL",
                f"synchronous={synchronous}",
                f"journal_size_limit={JOURNAL_LIMIT_BYTES}",
            ):
                connection.execute(f"PRAGMA {pragma}")
            with self._transaction() as transaction:
                self._take_up(transaction)
            self._file = self._file_at_path()
            self._more.notify_all()

    def write(self, items: Sequence[Posted], /) -> Written:
        """Store all in one transaction."""
        drafts = [draft for item in items for draft in item.drafts]
        rows = [self._row(draft) for draft in drafts]
        with self._lock, self._translated():
            self._check_file()
            new = list(self._new(rows))
            with self._transaction() as transaction:
                self._settle(transaction)
                self._note(transaction)
                transaction.executemany(_INSERT, new)
            self._count_in(new)
            self._more.notify_all()
        return Written(len(new), len(drafts) - len(new))

    def prune(self, options: Keeping, now_us: int) -> Pruned:
        """Write places down; delete a slice of what all have got, or of what is too much."""
        with self._lock, self._translated():
            self._check_file()
            with self._transaction() as transaction:
                self._settle(transaction)
                self._note(transaction)
                first = _one(transaction, "SELECT min(number) FROM entries")
                if first is None:
                    return Pruned(0, more=self._give_back(transaction))
                slice_end = first + SLICE - 1
                floor = min(finished(self._queues.values(), self._end), slice_end)
                if floor >= first:
                    return Pruned(self._delete(transaction, floor), more=floor == slice_end)
                too_old = self._too_old(transaction, first, slice_end, options, now_us)
                too_much = self._too_much(transaction, first, slice_end, options)
                last = max(too_old, too_much)
                if last < first:
                    return Pruned(0, more=self._give_back(transaction))
                unsent = self._unsent(transaction, last)
                rows = self._delete(transaction, last)
            self._drop(unsent, last)
            return Pruned(rows, more=True)

    def measure(self) -> Holding:
        """Return how much lies here."""
        with self._lock, self._translated():
            connection = self._connected()
            pages = _pragma(connection, "page_count") * _pragma(connection, "page_size")
            journal = Path(f"{self._path}-wal")
            size = pages + (journal.stat().st_size if journal.exists() else 0)
            return Holding(self._rows, size / MEGABYTE)

    def close(self) -> None:
        """Write places down, and close the file."""
        with self._lock:
            if self._connection is None:
                return
            # A file in trouble cannot be written to; it is closed either way.
            with contextlib.suppress(sqlite3.Error, OSError, StorageUnavailable):
                self._check_file()
                with self._transaction() as transaction:
                    self._note(transaction)
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    # -- those that send ------------------------------------------------------------------------

    def fetch(self, destination: str, limit: int, *, holding: bool) -> list[Entry]:
        """Return the next entries for a destination, oldest first; empty: none for now."""
        with self._lock, self._translated():
            queue, connection = self._queues.get(destination), self._connection
            if queue is None or connection is None or queue.fetched >= self._end:
                return []
            upto = min(self._end, queue.fetched + SLICE)
            condition, values = _condition(queue.wanted)
            rows = connection.execute(
                "SELECT number, content, camera, model, at_us, id, payload, picture FROM entries"  # noqa: S608 - no value in it
                f" WHERE number > ? AND number <= ? AND {condition} ORDER BY number LIMIT ?",
                (queue.fetched, upto, *values, limit),
            ).fetchall()
            if len(rows) == limit:
                upto = rows[-1][0]
            queue.fetch(upto, holding=holding or bool(rows))
            return [self._entry(row, destination) for row in rows]

    def done(
        self,
        destination: str,
        entries: Sequence[Entry],
        refused: Sequence[Refused] = (),
        *,
        holding: bool,
        now_us: int = 0,
    ) -> None:
        """Say that entries were sent, but for those refused.

        Args:
            destination: Of whom.
            entries: In order, from the first that was fetched.
            refused: Those of them that it will never take.
            holding: Whether the sender has more of what it fetched.
            now_us: Unix microseconds.
        """
        with self._lock:
            queue = self._queues.get(destination)
            if queue is None or (entries and entries[0].edition != self._edition):
                return
            queue.done(entries, len(refused), holding=holding)
            for one in refused:
                self._refusals.append(_refusal(destination, one, now_us))

    def put_back(self, destination: str, entries: Sequence[Entry]) -> None:
        """Say that entries, and whatever else was fetched, could not be sent."""
        with self._lock:
            queue = self._queues.get(destination)
            if queue is None or (entries and entries[0].edition != self._edition):
                return
            queue.put_back(entries, self._dropped_to)

    def wait(self, destination: str, timeout: float, unless: Callable[[], bool]) -> None:
        """Return when there may be something to fetch; see `ports.Outbox`."""
        with self._lock:
            queue = self._queues.get(destination)
            nothing = queue is None or queue.fetched >= self._end
            if nothing and not unless():  # in here: a `rouse` that comes later is heard
                self._more.wait(timeout)

    def rouse(self) -> None:
        """Let whoever waits look again."""
        with self._lock:
            self._more.notify_all()

    def tally(self, destination: str) -> Tally:
        """Return the counts of a destination."""
        with self._lock:
            queue = self._queues.get(destination)
            return Tally() if queue is None else queue.tally

    # -- places -----------------------------------------------------------------------------------

    def _take_up(self, transaction: sqlite3.Connection) -> None:
        """Make the tables, or find out what is in them."""
        version = _pragma(transaction, "user_version")
        if version > VERSION:
            raise StorageUnavailable(
                f"{self._path}: a newer version of this program wrote it; install that version, "
                "or set NXAI_PUBLISHER_OUTBOX"
            )
        if version == 0:
            for statement in _TABLES.split(";"):
                transaction.execute(statement)
            transaction.execute("INSERT INTO edition VALUES (?)", (uuid.uuid4().hex,))
            transaction.execute(f"PRAGMA user_version={VERSION}")
        (edition,) = transaction.execute("SELECT id FROM edition").fetchone()
        self._places = dict(transaction.execute("SELECT id, cursor FROM destinations").fetchall())
        highest = _one(transaction, "SELECT max(number) FROM entries") or 0
        self._end = max(highest, *self._places.values(), 0)
        self._rows = _one(transaction, "SELECT count(*) FROM entries") or 0
        if edition != self._edition_id:
            self._edition_id = edition
            self._edition += 1
            self._queues.clear()
            self._dropped_to = 0
            rows = transaction.execute(
                "SELECT camera, id FROM entries ORDER BY number DESC LIMIT ?", (RECENT,)
            ).fetchall()
            self._recent = dict.fromkeys(reversed(rows))
        for queue in self._queues.values():  # of the same file, as they are in memory
            queue.cursor = min(queue.cursor, self._end)
            queue.fetched = min(queue.fetched, self._end)
            self._recount(transaction, queue)
        self._settle(transaction)

    def _settle(self, transaction: sqlite3.Connection) -> None:
        """Give each destination that is new a place, and take it from those that are gone."""
        for one in self._wanted:
            queue = self._queues.get(one.destination)
            if queue is None:
                cursor = self._places.get(one.destination, self._end)
                queue = self._queues[one.destination] = Queue(one, cursor, cursor)
                self._recount(transaction, queue)
            elif queue.wanted != one:
                queue.wanted = one
                self._recount(transaction, queue)
        names = {one.destination for one in self._wanted}
        for name in {*self._queues, *self._places} - names:
            self._queues.pop(name, None)
            self._places.pop(name, None)
            transaction.execute("DELETE FROM destinations WHERE id = ?", (name,))

    def _note(self, transaction: sqlite3.Connection) -> None:
        """Write down places that have moved, and what was refused."""
        moved = {
            name: queue.cursor
            for name, queue in self._queues.items()
            if self._places.get(name) != queue.cursor
        }
        if moved:
            transaction.executemany(
                "INSERT OR REPLACE INTO destinations VALUES (?, ?)", list(moved.items())
            )
            self._places |= moved
        if self._refusals:
            transaction.executemany(
                "INSERT INTO refused (destination, at_us, reason, content, camera, model,"
                " said_at_us, id, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                list(self._refusals),
            )
            transaction.execute(
                "DELETE FROM refused WHERE number <= (SELECT max(number) FROM refused) - ?",
                (MOST_REFUSED,),
            )
            self._noted = len(self._refusals)

    def _recount(self, transaction: sqlite3.Connection, queue: Queue) -> None:
        queue.recount(*self._waiting(transaction, queue, queue.cursor, self._end))

    def _waiting(
        self, transaction: sqlite3.Connection, queue: Queue, after: int, last: int
    ) -> tuple[int, int]:
        """Count what a destination wants between two numbers: entries and bytes."""
        condition, values = _condition(queue.wanted)
        count, size = transaction.execute(
            f"SELECT count(*), coalesce(sum({_SIZE}), 0) FROM entries"  # noqa: S608 - no value in it
            f" WHERE number > ? AND number <= ? AND {condition}",
            (after, last, *values),
        ).fetchone()
        return int(count), int(size)

    # -- entries ----------------------------------------------------------------------------------

    def _row(self, draft: Draft) -> _Row:
        payload = draft.message.encode()
        if draft.frame:
            name = f"output-{draft.frame}"
        else:
            name = attributes_by_name(draft.message, "", payload)["id"]
        return (
            0,
            draft.content,
            draft.camera,
            draft.model,
            draft.at_us,
            name,
            draft.objects,
            pack(payload),
            draft.picture or None,
        )

    def _new(self, rows: Sequence[_Row]) -> Iterator[_Row]:
        """Yield, numbered, what is not here yet."""
        number = self._end
        here: set[tuple[str, str]] = set()
        for row in rows:
            key = (row[2], row[5])
            if key not in self._recent and key not in here:
                here.add(key)
                number += 1
                yield (number, *row[1:])

    def _count_in(self, rows: Sequence[_Row]) -> None:
        """Take note of what was stored."""
        for number, content, camera, _model, _at_us, name, objects, payload, picture in rows:
            size = len(payload) + len(picture or b"")
            self._end = number
            self._recent[camera, name] = None
            for queue in self._queues.values():
                if queue.wanted.wants(content, camera, objects=objects):
                    queue.stored(number, size)
        self._rows += len(rows)
        for key in list(self._recent)[: max(0, len(self._recent) - RECENT)]:
            del self._recent[key]

    def _entry(self, row: tuple[Any, ...], destination: str) -> Entry:
        number, content, camera, model, at_us, name, packed, picture = row
        try:
            payload = unpack(packed)
        except ValueError as error:
            raise StorageUnavailable(
                f"{self._path}: entry {number} for {destination} cannot be read: {error}; "
                "move the file away (a new one is made)"
            ) from error
        picture = picture or b""
        size = len(packed) + len(picture)
        return Entry(
            number, content, camera, model, at_us, name, payload, size, picture, self._edition
        )

    # -- limits -----------------------------------------------------------------------------------

    def _too_old(
        self,
        transaction: sqlite3.Connection,
        first: int,
        slice_end: int,
        options: Keeping,
        now_us: int,
    ) -> int:
        """Return the last number of those at the beginning that are too old; less: none is."""
        young = _one(
            transaction,
            "SELECT min(number) FROM entries WHERE number BETWEEN ? AND ? AND at_us >= ?",
            (first, slice_end, now_us - int(options.keep_days * DAY_US)),
        )
        return min(slice_end, self._end) if young is None else young - 1

    def _too_much(
        self, transaction: sqlite3.Connection, first: int, slice_end: int, options: Keeping
    ) -> int:
        """Return the last number that has to go for the rest to fit; less: all fits."""
        pages = _pragma(transaction, "page_count") - _pragma(transaction, "freelist_count")
        used = pages * _pragma(transaction, "page_size")
        above = used - options.keep_mb * MEGABYTE
        if above <= 0:
            return first - 1
        share = above / used  # of all entries; those at the beginning are like the others
        return min(slice_end, self._end, first + max(0, int(share * self._rows)))

    def _unsent(self, transaction: sqlite3.Connection, last: int) -> dict[str, tuple[int, int]]:
        """Return for each destination how many entries and bytes go before they were sent.

        What its sender has in hand may still arrive; `put_back` counts it otherwise.
        """
        return {
            name: self._waiting(transaction, queue, queue.fetched, last)
            for name, queue in self._queues.items()
        }

    def _drop(self, unsent: dict[str, tuple[int, int]], last: int) -> None:
        """Count what went before it was sent, now that it is gone for good."""
        for name, (count, size) in unsent.items():
            queue = self._queues[name]
            if count:
                queue.drop(count, size)
                log.warning("%d entries for destination %s went unsent: too many", count, name)
            queue.fetch(last, holding=queue.fetched > queue.cursor)
        self._dropped_to = last

    def _delete(self, transaction: sqlite3.Connection, last: int) -> int:
        rows = transaction.execute("DELETE FROM entries WHERE number <= ?", (last,)).rowcount
        self._rows -= rows
        return rows

    def _give_back(self, transaction: sqlite3.Connection) -> bool:
        """Give a slice of empty pages back to the disk; return whether there is more."""
        spare = _pragma(transaction, "freelist_count") - SPARE_PAGES
        if spare > 0:
            transaction.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        return spare > VACUUM_PAGES

    # -- connection -------------------------------------------------------------------------------

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageUnavailable(f"{self._path} is not open")
        return self._connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connected()
        self._noted = 0
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            self._places = {}  # whatever it was, write them down again
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        for _ in range(self._noted):
            self._refusals.popleft()

    def _check_file(self) -> None:
        """Refuse to go on with a file that is no longer at its path."""
        if self._file_at_path() != self._file:
            raise StorageUnavailable(
                f"{self._path}: it was moved or deleted; the path is opened anew"
            )

    def _file_at_path(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn failures of the file into StorageUnavailable, in plain words."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageUnavailable(f"{self._path}: {_reason(error)}") from error


def refused_in(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what destinations have refused, oldest first.

    Raises:
        StorageUnavailable: the file cannot be read.
    """
    if not path.exists():
        return
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
        ) as connection:
            for row in connection.execute(
                "SELECT destination, at_us, reason, content, camera, model, said_at_us, id,"
                " payload FROM refused ORDER BY number"
            ):
                names = ("destination", "at_us", "reason", "content", "camera", "model")
                yield dict(zip((*names, "said_at_us", "id"), row[:8], strict=True)) | {
                    "payload": unpack(row[8]).decode() if row[8] else ""
                }
    except (sqlite3.Error, ValueError) as error:
        raise StorageUnavailable(f"{path}: {_reason(error)}") from error


def _condition(wanted: Wanted) -> tuple[str, list[object]]:
    """Return `Wanted.wants` as SQL."""
    parts = [f"content IN ({_marks(wanted.contents)})"]
    values: list[object] = [*sorted(wanted.contents)]
    if wanted.cameras:
        parts.append(f"camera IN ({_marks(wanted.cameras)})")
        values += sorted(wanted.cameras)
    if wanted.only_with_objects:
        parts.append(f"(objects OR content NOT IN ({_marks(OF_FRAMES)}))")
        values += sorted(OF_FRAMES)
    return " AND ".join(parts), values


def _marks(values: frozenset[Any]) -> str:
    return ",".join("?" * len(values))


def _refusal(destination: str, refused: Refused, now_us: int) -> tuple[Any, ...]:
    entry = refused.entry
    packed = pack(entry.payload)
    return (
        destination,
        now_us,
        refused.reason,
        entry.content,
        entry.camera,
        entry.model,
        entry.at_us,
        entry.id,
        packed if len(packed) <= LARGEST_REFUSED else b"",
    )


def _one(connection: sqlite3.Connection, query: str, values: Sequence[object] = ()) -> int | None:
    (found,) = connection.execute(query, values).fetchone()
    return None if found is None else int(found)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}; check the folder and its rights"
    return sqlite_reason(error) or str(error)
