"""The data logger's database as such: tables, address, connections, plain words for failures.

SQLite runs with a write-ahead log. A commit is safe from a crash or kill of this process as soon
as it returns, whatever the durability setting: the log is in the operating system's hands. With
durability `power-loss` it is also on the disk (synchronous=FULL, one fsync a commit); otherwise a
power cut may take the last seconds, and never the rest of the database. PostgreSQL decides by
its own `synchronous_commit`.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from nxai_common.errors import ConfigurationError
from nxai_publisher.adapters.sqlite_reasons import sqlite_reason
from nxai_publisher.core.rows import CONFIDENCE_BINS, QUARTER_S
from nxai_publisher.ports import StorageUnavailable

Durability = Literal["process-crash", "power-loss"]

BUSY_TIMEOUT_S: Final = 5.0
"""A backup or a dashboard may lock the file for seconds."""
STATEMENT_LIMIT_S: Final = 60.0
"""PostgreSQL: a statement that takes longer hangs."""
JOURNAL_LIMIT_BYTES: Final = 64_000_000
"""The write-ahead log is cut to this after a long reader let it grow."""

METADATA: Final = sa.MetaData()
RESULTS: Final = sa.Table(
    "results",
    METADATA,
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("captured_at_us", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("model_version", sa.Text),
    sa.Column("picture_width", sa.BigInteger),
    sa.Column("picture_height", sa.BigInteger),
    sa.Column("objects", sa.Integer),
    sa.Column("uncertain", sa.SmallInteger),
    sa.Column("latency_ms", sa.Float(53)),
    sa.Column("inference_ms", sa.Float(53)),
    sa.Column("detections", sa.Text),
    sa.Column("scores", sa.Text, nullable=True),
)


def _result_sums(name: str, slot: str) -> sa.Table:
    return sa.Table(
        name,
        METADATA,
        sa.Column(slot, sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("camera", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("model_version", sa.Text, primary_key=True),
        sa.Column("results", sa.BigInteger),
        sa.Column("objects", sa.BigInteger),
        # Results that show something. Null: not known, of a time before this was counted.
        sa.Column("shown", sa.BigInteger, nullable=True),
        sa.Column("uncertain", sa.BigInteger),
        sa.Column("latency_ms_sum", sa.Float(53)),
        sa.Column("latency_ms_max", sa.Float(53)),
        sa.Column("inference_ms_sum", sa.Float(53)),
    )


def _label_sums(name: str, slot: str) -> sa.Table:
    return sa.Table(
        name,
        METADATA,
        sa.Column(slot, sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("camera", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("results", sa.BigInteger),
        sa.Column("objects", sa.BigInteger),
        sa.Column("max_objects", sa.BigInteger),
        sa.Column("confidence_sum", sa.Float(53)),
        *(sa.Column(f"confidence_{n}", sa.BigInteger) for n in range(CONFIDENCE_BINS)),
    )


RESULT_MINUTES: Final = _result_sums("result_minutes", "minute_s")
RESULT_QUARTERS: Final = _result_sums("result_quarters", "quarter_s")
LABEL_MINUTES: Final = _label_sums("label_minutes", "minute_s")
LABEL_QUARTERS: Final = _label_sums("label_quarters", "quarter_s")
SUMS: Final = (RESULT_MINUTES, RESULT_QUARTERS, LABEL_MINUTES, LABEL_QUARTERS)


def database_url(text: str) -> URL:
    """Return the address of a database that `SqlLogger` can use.

    Raises:
        ConfigurationError: names what is wrong; never shows a password.
    """
    known = "write sqlite:////path/to/nxai.db or postgresql://USER@HOST/DATABASE"
    try:
        url = make_url(text)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"the database URL cannot be read; {known}") from None
    if backend == "postgres":  # as many hosting services write it
        backend = "postgresql"
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ConfigurationError(f"the database URL names no file; {known}")
        return url.set(drivername="sqlite+pysqlite")
    if backend != "postgresql":
        raise ConfigurationError(f"databases of kind {backend!r} are not supported; {known}")
    url = url.set(drivername="postgresql+psycopg")
    try:
        url.get_dialect().import_dbapi()
    except (ImportError, NoSuchModuleError):
        raise ConfigurationError(
            "PostgreSQL needs its driver: pip install 'nxai-publisher[postgres]'"
        ) from None
    return url


def name_of(url: URL) -> str:
    """Return the database as one may show it: without a password."""
    if is_sqlite(url):
        return str(url.database)
    return url.render_as_string(hide_password=True)


def is_sqlite(url: URL) -> bool:
    """Return whether the database is a file."""
    return url.get_backend_name() == "sqlite"


def writer_engine(url: URL, durability: Durability) -> Engine:
    """Return an engine for the one thread that writes."""
    if not is_sqlite(url):
        return _postgres_engine(url)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, pool_size=1)
    synchronous = "FULL" if durability == "power-loss" else "NORMAL"

    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DB-API connection
        connection.isolation_level = None  # we begin ourselves, see below
        cursor = connection.cursor()
        for pragma in (
            "auto_vacuum=INCREMENTAL",  # takes effect in a new, empty file only
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            f"journal_size_limit={JOURNAL_LIMIT_BYTES}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begin(connection: Connection) -> None:
        # The driver would begin at the first write only, and not at all before CREATE TABLE;
        # IMMEDIATE takes the write lock now, where waiting for it is safe from a deadlock.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    sa.event.listen(engine, "connect", prepare)
    sa.event.listen(engine, "begin", begin)
    return engine


def reader_engine(url: URL, *, readers: int = 1, limit_s: float | None = None) -> Engine:
    """Return an engine that cannot change anything, nor make a database that is not there.

    Args:
        url: Of the database.
        readers: Threads that read at the same time.
        limit_s: PostgreSQL stops a statement that takes longer; see `sql_archive` for SQLite.
    """
    if not is_sqlite(url):
        return _postgres_engine(url, readers, limit_s or STATEMENT_LIMIT_S, read_only=True)
    path = quote(str(Path(url.database or "").resolve()))
    read_only = url.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})
    # No pool: opening a file takes a millisecond, and a connection that is kept would go on
    # reading a file that was moved away.
    return sa.create_engine(
        read_only, connect_args={"timeout": BUSY_TIMEOUT_S}, poolclass=sa.pool.NullPool
    )


def _postgres_engine(
    url: URL,
    connections: int = 1,
    limit_s: float = STATEMENT_LIMIT_S,
    *,
    read_only: bool = False,
) -> Engine:
    options = f"-c statement_timeout={limit_s * 1000:.0f}"
    if read_only:
        options += " -c default_transaction_read_only=on"
    return sa.create_engine(
        url,
        pool_size=connections,
        # A connection that the server closed while it lay in the pool is no fault to be told.
        pool_pre_ping=read_only,
        connect_args={
            "connect_timeout": 5,
            # A dead network is noticed; otherwise it would hold the results for hours.
            "tcp_user_timeout": 30_000,
            "options": options,
        },
    )


@contextlib.contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn failures of the database into StorageUnavailable, in plain words."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise StorageUnavailable(f"{name_of(url)}: {_reason(error)}") from error


def cameras_of(connection: Connection) -> Iterator[str]:
    """Yield the cameras that have results (one index seek each; DISTINCT would read it all)."""
    camera = connection.scalar(sa.select(sa.func.min(RESULTS.c.camera)))
    while camera is not None:
        yield camera
        camera = connection.scalar(
            sa.select(sa.func.min(RESULTS.c.camera)).where(RESULTS.c.camera > camera)
        )


def first_of(connection: Connection, camera: str) -> int | None:
    """Return when the oldest stored result of a camera was captured, in Unix microseconds."""
    return _extreme(connection, sa.func.min(RESULTS.c.captured_at_us), camera)


def last_of(connection: Connection, camera: str) -> int | None:
    """Return when the newest stored result of a camera was captured, in Unix microseconds."""
    return _extreme(connection, sa.func.max(RESULTS.c.captured_at_us), camera)


def _extreme(connection: Connection, which: "sa.ColumnElement[int]", camera: str) -> int | None:
    found = connection.scalar(sa.select(which).where(RESULTS.c.camera == camera))
    return None if found is None else int(found)


def stored_results(connection: Connection) -> dict[str, int]:
    """Count the results of each camera by the sums; at most a minute's too many of each.

    Sums outlive the results where there is not room for both. Retention takes the oldest results
    of all cameras first, so whatever is younger than the oldest one is all there.
    """
    cameras = dict.fromkeys(cameras_of(connection), 0)
    oldest_us = min((first_of(connection, camera) or 0 for camera in cameras), default=0)
    first_s = oldest_us // 60_000_000 * 60
    whole_s = -(-first_s // QUARTER_S) * QUARTER_S
    minutes, quarters = RESULT_MINUTES.c, RESULT_QUARTERS.c
    for sums, when in (
        (minutes, (minutes.minute_s >= first_s) & (minutes.minute_s < whole_s)),
        (quarters, quarters.quarter_s >= whole_s),
    ):
        chosen = sa.select(sums.camera, sa.func.sum(sums.results)).where(when)
        for camera, results in connection.execute(chosen.group_by(sums.camera)):
            if camera in cameras:
                cameras[camera] += int(results)
    return cameras


def bytes_on_disk(connection: Connection, url: URL) -> float:
    """Return the room that the data logger takes: with what waits to be used again."""
    if not is_sqlite(url):
        return postgres_bytes(connection, (RESULTS, *SUMS))
    log = Path(f"{url.database}-wal")
    waiting = log.stat().st_size if log.exists() else 0
    return float(pragma(connection, "page_count") * pragma(connection, "page_size") + waiting)


def postgres_bytes(connection: Connection, tables: Iterable[sa.Table]) -> float:
    """Return the size of tables and their indexes."""
    sizes = [sa.func.pg_total_relation_size(table.name) for table in tables]
    return float(sum(connection.execute(sa.select(*sizes)).one()))


def pragma(connection: Connection, name: str) -> int:
    """Return a number that SQLite knows of itself."""
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def _reason(error: Exception) -> str:
    """Say in one line what is wrong and what to do."""
    original = error.orig if isinstance(error, DBAPIError) else error
    reason = sqlite_reason(original)
    if reason:
        return reason
    first, *_ = str(original).strip().splitlines() or [type(original).__name__]
    return first
