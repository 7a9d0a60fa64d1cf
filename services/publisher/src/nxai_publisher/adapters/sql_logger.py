"""Writes the data logger: results with their roll-ups, retention, migrations."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from nxai_common.contracts.configuration import LoggerOptions
from nxai_common.errors import ConfigurationError
from nxai_publisher.adapters.sql_database import (
    LABEL_MINUTES,
    LABEL_QUARTERS,
    RESULT_MINUTES,
    RESULT_QUARTERS,
    RESULTS,
    SUMS,
    Durability,
    bytes_on_disk,
    cameras_of,
    first_of,
    is_sqlite,
    name_of,
    postgres_bytes,
    pragma,
    stored_results,
    translated,
    writer_engine,
)
from nxai_publisher.core.rows import LARGEST, QUARTER_S, LoggedResult, roll_up
from nxai_publisher.ports import Holding, Pruned, StorageUnavailable, Written

log = logging.getLogger(__name__)

SLICE_ROWS: Final = 2000
"""Deleted in one transaction: 10 to 20 ms, so that live results never wait longer for the lock."""
SLICE_S: Final = 60
"""Cameras are pruned in turns of so much of their time, so that the oldest goes first."""
VACUUM_PAGES: Final = 1000
"""Given back to the file system in one step (4 MB, some 10 ms)."""
SPARE_PAGES: Final = 16_384
"""Empty pages that are kept for coming rows (64 MB): giving back what is needed again soon would
only wear the disk."""
ROW_OVERHEAD_BYTES: Final = 100
"""PostgreSQL: tuple header, share of the page, entry in the primary key."""
SAMPLES: Final = 20
SAMPLE_ROWS: Final = 50
"""PostgreSQL: rows of a camera that are measured, spread over days and nights; some 5 ms."""
MEGABYTE: Final = 1_000_000
MIGRATION_LOCK: Final = 7_381_224
"""PostgreSQL advisory lock, any number of our own: processes that start together take turns."""


@dataclass(slots=True)
class _Size:
    """What PostgreSQL's tables hold, while a round of retention brings them down to a limit."""

    limit_bytes: float
    live_bytes: float
    """Of all results and roll-ups."""
    row_bytes: Mapping[str, float]
    """Of one result, by camera: one sees nothing all day, another forty things at once."""


class SqlLogger:
    """SQLite or PostgreSQL behind the port `ResultStore`."""

    def __init__(self, url: URL, *, durability: Durability = "process-crash") -> None:
        """Prepare; nothing is opened yet.

        Args:
            url: From `sql_database.database_url`.
            durability: What a commit must survive (SQLite; see `sql_database`).
        """
        self._url = url
        self._durability = durability
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._insert, self._add = _statements(url)
        self._file: tuple[int, int] | None = None
        """SQLite: which file is open, by device and inode."""
        self._size: _Size | None = None
        """PostgreSQL: as this round of retention sees it; None between rounds."""

    def open(self) -> None:
        """Connect, and bring the tables up to date."""
        self.close()
        self._size = None
        if is_sqlite(self._url):
            _make_folder(Path(self._url.database or ""))
        self._engine = writer_engine(self._url, self._durability)
        with translated(self._url):
            self._connection = self._engine.connect()
        self.migrate("head")
        with translated(self._url):
            self._file = self._file_at_path()

    def write(self, results: Sequence[LoggedResult]) -> Written:
        """Store all in one transaction."""
        with translated(self._url):
            self._check_file()
            if not results or self._write_together(results):
                return Written(len(results), 0)
            return self._write_singly(results)

    def prune(self, options: LoggerOptions, now_us: int) -> Pruned:
        """Delete one slice, oldest first."""
        oldest_kept_us = now_us - int(options.keep_days * 86_400 * 1_000_000)
        with translated(self._url):
            self._check_file()
            with self._transaction() as connection:
                rows = _delete_older(connection, oldest_kept_us)
            if rows:
                self._size = None
                return Pruned(rows, more=True)
            pruned = self._prune_by_size(options.keep_mb * MEGABYTE)
            return pruned if pruned.rows else Pruned(0, more=self._give_back())

    def measure(self) -> Holding:
        """Return how much is stored."""
        with translated(self._url), self._transaction() as connection:
            rows = sum(stored_results(connection).values())
            return Holding(rows, bytes_on_disk(connection, self._url) / MEGABYTE)

    def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        engine, self._engine = self._engine, None
        if connection is not None:
            # A connection in trouble may fail to say goodbye; it is gone either way.
            with contextlib.suppress(SQLAlchemyError):
                connection.close()
        if engine is not None:
            engine.dispose()

    def migrate(self, revision: str, *, back: bool = False) -> None:
        """Bring the tables to a revision.

        Args:
            revision: ``head`` is the newest, ``base`` is none.
            back: It is an earlier one than that of the tables; ``base`` removes them all.

        Raises:
            ConfigurationError: the database is of a newer version of this program.
        """
        connection = self._connected()
        step = command.downgrade if back else command.upgrade
        with translated(self._url), as_file(files("nxai_publisher") / "migrations") as folder:
            config = Config()
            config.set_main_option("script_location", str(folder).replace("%", "%%"))
            config.attributes["connection"] = connection
            try:
                with connection.begin():
                    if not is_sqlite(self._url):
                        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
                    step(config, revision)
            except CommandError as error:
                raise ConfigurationError(
                    f"a newer version of this program wrote the data logger {name_of(self._url)} "
                    f"({error}); install that version, or set NXAI_PUBLISHER_DATABASE_URL"
                ) from error

    # -- writing ------------------------------------------------------------------------------

    def _write_together(self, results: Sequence[LoggedResult]) -> bool:
        """Store a batch of new rows; False, and nothing stored, when some row is not new."""
        rows = [result.row for result in results]
        connection = self._connected()
        try:
            with connection.begin() as transaction:
                if connection.execute(self._insert, rows).rowcount == len(rows):
                    self._add_up(connection, results)
                    return True
                transaction.rollback()
        except (DataError, IntegrityError) as error:
            log.warning("%s refuses a row of a batch: %s", name_of(self._url), error.orig)
        return False

    def _write_singly(self, results: Sequence[LoggedResult]) -> Written:
        """Store what is new of a batch, row by row: the roll-ups must know which rows those are."""
        stored: list[LoggedResult] = []
        refused = 0
        with self._transaction() as connection:
            for result in results:
                try:
                    with connection.begin_nested():
                        if connection.execute(self._insert, [result.row]).rowcount == 1:
                            stored.append(result)
                except (DataError, IntegrityError) as error:
                    refused += 1
                    log.error(  # noqa: TRY400 - what the database said is all there is to know
                        "%s refuses a result for good: %s", name_of(self._url), error.orig
                    )
            if stored:
                self._add_up(connection, stored)
        return Written(len(stored), len(results) - len(stored) - refused, refused)

    def _add_up(self, connection: Connection, results: Sequence[LoggedResult]) -> None:
        sums = roll_up(results)
        for table, rows in (
            (RESULT_MINUTES, list(sums.minutes.values())),
            (RESULT_QUARTERS, sums.quarters()),
            (LABEL_MINUTES, list(sums.labels.values())),
            (LABEL_QUARTERS, sums.label_quarters()),
        ):
            if rows:
                connection.execute(self._add[table.name], rows)

    # -- retention -----------------------------------------------------------------------------

    def _prune_by_size(self, limit_bytes: float) -> Pruned:
        with self._transaction() as connection:
            if self._live_bytes(connection, limit_bytes) <= limit_bytes:
                self._size = None
                return Pruned(0, more=False)
            camera, rows = _delete_oldest(connection)
            if rows == 0:
                self._size = None
            elif self._size is not None:
                self._size.live_bytes -= rows * self._size.row_bytes.get(camera, ROW_OVERHEAD_BYTES)
        return Pruned(rows, more=rows > 0)

    def _live_bytes(self, connection: Connection, limit_bytes: float) -> float:
        if is_sqlite(self._url):
            return _sqlite_bytes(connection)
        # An estimate: made once a round, then counted down; anew when somebody changes the limit.
        if self._size is None or self._size.limit_bytes != limit_bytes:
            self._size = _postgres_size(connection, limit_bytes)
        return self._size.live_bytes

    def _give_back(self) -> bool:
        """Give a slice of empty pages back to the disk; return whether there is more."""
        if not is_sqlite(self._url):
            return False  # PostgreSQL's autovacuum sees to it
        with self._transaction() as connection:
            spare = pragma(connection, "freelist_count") - SPARE_PAGES
            if spare > 0:
                # Each row that is read gives one page back. SQLAlchemy sees no columns and would
                # not read any, so ask the driver.
                with contextlib.closing(connection.connection.cursor()) as cursor:
                    cursor.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
                    cursor.fetchall()
        return spare > VACUUM_PAGES

    # -- connection -----------------------------------------------------------------------------

    def _check_file(self) -> None:
        """Refuse to go on with a file that is no longer at its path.

        SQLite would: what it stores there is lost with the file, or changes one put aside.
        """
        if self._file_at_path() != self._file:
            raise StorageUnavailable(
                f"{name_of(self._url)}: it was moved or deleted; the path is opened anew"
            )

    def _file_at_path(self) -> tuple[int, int] | None:
        if not is_sqlite(self._url):
            return None
        try:
            found = Path(self._url.database or "").stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _connected(self) -> Connection:
        if self._connection is None:
            raise StorageUnavailable(f"{name_of(self._url)} is not open")
        return self._connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        connection = self._connected()
        with connection.begin():
            yield connection


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnavailable(
            f"folder {path.parent} cannot be made: {error.strerror}; check the rights, or set "
            "NXAI_PUBLISHER_DATABASE_URL"
        ) from error


def _statements(url: URL) -> tuple[sa.Executable, dict[str, sa.Executable]]:
    """Return the statements that insert results and that add to each table of sums."""
    insert = sqlite.insert if is_sqlite(url) else postgresql.insert

    def add_to(table: sa.Table) -> sa.Executable:
        statement = insert(table)
        new = statement.excluded
        sums = {
            column.name: sa.case((new[column.name] > column, new[column.name]), else_=column)
            if column.name in LARGEST
            else column + new[column.name]
            for column in table.columns
            if not column.primary_key
        }
        return statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns), set_=sums
        )

    results = insert(RESULTS).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    return results, {table.name: add_to(table) for table in SUMS}


def _delete_older(connection: Connection, before_us: int) -> int:
    """Delete one slice of what is older; return the rows deleted."""
    for camera in cameras_of(connection):
        rows = _delete_slice(connection, camera, before_us)
        if rows:
            return rows
    return _delete_sums(connection, before_us // 1_000_000)


def _delete_oldest(connection: Connection) -> tuple[str, int]:
    """Delete a slice of the camera whose results are the oldest; at last the roll-ups.

    Returns:
        The camera (empty: of the roll-ups), and the rows deleted.
    """
    firsts = [(first_of(connection, camera) or 0, camera) for camera in cameras_of(connection)]
    if firsts:
        oldest_us, camera = min(firsts)
        return camera, _delete_slice(connection, camera, oldest_us + SLICE_S * 1_000_000)
    oldest_s = connection.scalar(sa.select(sa.func.min(RESULT_QUARTERS.c.quarter_s)))
    return "", (0 if oldest_s is None else _delete_sums(connection, oldest_s + QUARTER_S))


def _delete_slice(connection: Connection, camera: str, before_us: int) -> int:
    """Delete about `SLICE_ROWS` of a camera at most, none newer than `before_us`."""
    table = RESULTS
    end_us = connection.scalar(
        sa.select(table.c.captured_at_us)
        .where(table.c.camera == camera, table.c.captured_at_us < before_us)
        .order_by(table.c.captured_at_us)
        .offset(SLICE_ROWS)
        .limit(1)
    )
    of_camera = sa.delete(table).where(table.c.camera == camera)
    if end_us is None:
        return connection.execute(of_camera.where(table.c.captured_at_us < before_us)).rowcount
    # Up to and with that row: rows of one microsecond (a broken clock) go together.
    return connection.execute(of_camera.where(table.c.captured_at_us <= end_us)).rowcount


def _delete_sums(connection: Connection, before_s: int) -> int:
    """Delete an hour's sums that are older; whole quarters, so that all tables tell the same."""
    before_s = before_s // QUARTER_S * QUARTER_S
    firsts = (connection.scalar(sa.select(sa.func.min(table.columns[0]))) for table in SUMS)
    oldest_s = min((int(first) for first in firsts if first is not None), default=before_s)
    end_s = min(before_s, oldest_s // QUARTER_S * QUARTER_S + 3600)
    rows = 0
    if oldest_s < before_s:
        for table in SUMS:
            rows += connection.execute(sa.delete(table).where(table.columns[0] < end_s)).rowcount
    return rows


def _sqlite_bytes(connection: Connection) -> float:
    used = pragma(connection, "page_count") - pragma(connection, "freelist_count")
    return used * pragma(connection, "page_size")


def _postgres_size(connection: Connection, limit_bytes: float) -> _Size:
    """Estimate how many bytes all results and roll-ups take.

    The size of the files does not do: it keeps the room of deleted rows for new ones. Nor do the
    server's statistics: they come late, and an ANALYZE in between counts rows twice. The roll-ups
    are exact, but for the minute that each camera's results begin in.
    """
    counts = stored_results(connection)
    row_bytes = {camera: _row_bytes(connection, camera) for camera in counts}
    results = sum(count * row_bytes[camera] for camera, count in counts.items())
    return _Size(limit_bytes, results + postgres_bytes(connection, SUMS), row_bytes)


def _row_bytes(connection: Connection, camera: str) -> float:
    """Return what a result of a camera takes: the mean of samples from its whole time."""
    mean = connection.scalar(
        sa.text(
            "SELECT avg(pg_column_size(r.*)) FROM"
            " (SELECT min(captured_at_us) AS first, max(captured_at_us) AS last FROM results"
            "  WHERE camera = :camera) AS span,"
            " generate_series(0, :samples - 1) AS n,"
            " LATERAL (SELECT * FROM results WHERE camera = :camera"
            "  AND captured_at_us >= first + (last - first) / :samples * n"
            "  ORDER BY captured_at_us LIMIT :rows) AS r"
        ),
        {"camera": camera, "samples": SAMPLES, "rows": SAMPLE_ROWS},
    )
    return float(mean or 0) + ROW_OVERHEAD_BYTES
