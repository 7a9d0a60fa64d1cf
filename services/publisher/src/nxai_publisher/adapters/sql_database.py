"""The data logger's database as such: tables, address, connections, plain words for failures.

SQLite runs with a write-ahead log. A commit is safe from a crash or kill of this process as soon
as it returns, whatever the durability setting: the log is in the operating system's hands. With
durability `power-loss` it is also on the disk (synchronous=FULL, one fsync a commit); otherwise a
power cut may take the last seconds, and never the rest of the database. PostgreSQL decides by
its own `synchronous_commit`.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from nxai_common.errors import ConfigurationError
from nxai_publisher.core.rows import CONFIDENCE_BINS
from nxai_publisher.ports import StorageUnavailable

Durability = Literal["process-crash", "power-loss"]

BUSY_TIMEOUT_S: Final = 5.0
"""A backup or a dashboard may lock the file for seconds."""
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
RESULT_MINUTES: Final = sa.Table(
    "result_minutes",
    METADATA,
    sa.Column("minute_s", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("results", sa.BigInteger),
    sa.Column("objects", sa.BigInteger),
    sa.Column("uncertain", sa.BigInteger),
    sa.Column("latency_ms_sum", sa.Float(53)),
    sa.Column("latency_ms_max", sa.Float(53)),
    sa.Column("inference_ms_sum", sa.Float(53)),
)
LABEL_MINUTES: Final = sa.Table(
    "label_minutes",
    METADATA,
    sa.Column("minute_s", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, primary_key=True),
    sa.Column("results", sa.BigInteger),
    sa.Column("objects", sa.BigInteger),
    sa.Column("max_objects", sa.BigInteger),
    sa.Column("confidence_sum", sa.Float(53)),
    *(sa.Column(f"confidence_{n}", sa.BigInteger) for n in range(CONFIDENCE_BINS)),
)

_SQLITE_REASONS: Final = {
    "SQLITE_FULL": "the disk is full; make room there",
    "SQLITE_BUSY": "another program holds it locked; close that program",
    "SQLITE_LOCKED": "another program holds it locked; close that program",
    "SQLITE_CORRUPT": "it is damaged; move it away (a new one is made) or restore a backup",
    "SQLITE_NOTADB": "this is not an SQLite database; move it away or set another path",
    "SQLITE_READONLY": "it may not be written; check the owner and rights of file and folder",
    "SQLITE_CANTOPEN": "it cannot be opened; check the folder and its rights",
    "SQLITE_IOERR": "reading or writing the disk failed; check the disk",
}


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


def reader_engine(url: URL) -> Engine:
    """Return an engine that cannot change anything, nor make a database that is not there."""
    if not is_sqlite(url):
        return _postgres_engine(url)
    path = quote(str(Path(url.database or "").resolve()))
    read_only = url.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})
    return sa.create_engine(read_only, connect_args={"timeout": BUSY_TIMEOUT_S})


def _postgres_engine(url: URL) -> Engine:
    return sa.create_engine(
        url,
        pool_size=1,
        connect_args={
            "connect_timeout": 5,
            # A dead network is noticed; otherwise it would hold the results for hours.
            "tcp_user_timeout": 30_000,
            "options": "-c statement_timeout=60000",
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


def _reason(error: Exception) -> str:
    """Say in one line what is wrong and what to do."""
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "sqlite_errorname", "")
    for known, reason in _SQLITE_REASONS.items():
        if code.startswith(known):
            return reason
    first, *_ = str(original).strip().splitlines() or [type(original).__name__]
    return first
