"""The database of pictures and jobs as such: tables, connections, plain words for failures.

SQLite with a write-ahead log and synchronous=FULL: a commit is on the disk when it returns. Several
threads read at once; one at a time writes, and has the lock from the first statement on, where
waiting for it is safe from a deadlock.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from nxai_cloud_sync.ports import StorageUnavailable

BUSY_TIMEOUT_S: Final = 5.0
"""A backup may lock the file for seconds."""
JOURNAL_LIMIT_BYTES: Final = 16_000_000
"""The write-ahead log is cut to this after a long reader let it grow."""

METADATA: Final = sa.MetaData()
STORE: Final = sa.Table(
    "store",
    METADATA,
    sa.Column("identity", sa.Text, primary_key=True),
    sa.Column("dropped", sa.BigInteger),
)
SAMPLES: Final = sa.Table(
    "samples",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.Text),
    sa.Column("camera", sa.Text),
    sa.Column("stream", sa.Text),
    sa.Column("sequence", sa.BigInteger),
    sa.Column("captured_at_us", sa.BigInteger),
    sa.Column("stored_at_us", sa.BigInteger),
    sa.Column("width", sa.BigInteger),
    sa.Column("height", sa.BigInteger),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("model", sa.Text),
    sa.Column("model_version", sa.Text),
    sa.Column("model_digest", sa.Text),
    sa.Column("labels", sa.Text),
    sa.Column("strategy", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("value", sa.Float(53)),
    sa.Column("predictions", sa.Text),
    sa.Column("scores", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("state_before", sa.Text),
    sa.Column("state_reason", sa.Text),
    sa.Column("attempts", sa.Integer),
    sa.Column("boxes", sa.Text, nullable=True),
    sa.Column("shown", sa.Text),
    sa.Column("remote_id", sa.BigInteger, nullable=True),
    sa.Column("uploaded_at_us", sa.BigInteger, nullable=True),
    sa.Column("duplicate", sa.SmallInteger),
)
SAMPLE_LABELS: Final = sa.Table(
    "sample_labels",
    METADATA,
    sa.Column("label", sa.Text, primary_key=True),
    sa.Column("captured_at_us", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("value", sa.Float(53)),
    sa.Column("camera", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("strategy", sa.Text),
)
"""Kept by triggers."""
TOTALS: Final = sa.Table(
    "totals",
    METADATA,
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("pictures", sa.BigInteger),
    sa.Column("bytes", sa.BigInteger),
)
"""Kept by triggers."""
KEPT: Final = sa.Table(
    "kept",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("camera", sa.Text),
    sa.Column("captured_at_us", sa.BigInteger),
    sa.Column("stored_at_us", sa.BigInteger),
    sa.Column("labels", sa.Text),
    sa.Column("hash", sa.BigInteger),
)
"""What was kept lately, removed pictures too: quotas and near duplicates are counted by it."""
SENT: Final = sa.Table(
    "sent",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at_us", sa.BigInteger),
    sa.Column("bytes", sa.BigInteger),
)
"""What went up lately, one row a request."""
HELD: Final = sa.Table(
    "held",
    METADATA,
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("strategy", sa.Text, primary_key=True),
    sa.Column("pictures", sa.BigInteger),
)
"""How many pictures there are of what; kept by triggers."""
JOBS: Final = sa.Table(
    "jobs",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("job", sa.Text),
    sa.Column("command", sa.Text),
    sa.Column("what", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("text", sa.Text),
    sa.Column("done", sa.BigInteger),
    sa.Column("total", sa.BigInteger),
    sa.Column("started_at_us", sa.BigInteger),
    sa.Column("at_us", sa.BigInteger),
    sa.Column("ended_at_us", sa.BigInteger, nullable=True),
    sa.Column("details", sa.Text),
)
"""What people and the box itself started lately."""

_LOCKED: Final = "another program holds it locked; close that program"
_FULL: Final = "the disk is full; make room there"
_READ_ONLY: Final = "it may not be written; check the owner and rights, and the disk"
_SQLITE_REASONS: Final = {
    "SQLITE_FULL": _FULL,
    "SQLITE_IOERR_SHMSIZE": _FULL,
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_CORRUPT": "it is damaged; move it away (a new one is made) or restore a backup",
    "SQLITE_NOTADB": "this is not an SQLite database; move it away (a new one is made)",
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_CANTOPEN": "it cannot be opened; check the folder and its rights",
    "SQLITE_IOERR": "reading or writing the disk failed; check the disk, and whether it is full",
}
_OS_REASONS: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "the disk quota of this user is used up; make room there",
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EIO: "reading or writing the disk failed; check the disk",
}


class DiskFull(StorageUnavailable):
    """There is no room on the disk."""


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn failures of a database, a file or a folder into StorageUnavailable, in plain words."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        reason = _reason(error)
        kind = DiskFull if reason == _FULL else StorageUnavailable
        raise kind(f"{path}: {reason}") from error


def _reason(error: Exception) -> str:
    """Say in one line what is wrong and what to do."""
    if isinstance(error, OSError):
        return _OS_REASONS.get(error.errno or 0) or error.strerror or type(error).__name__
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "sqlite_errorname", "")
    for known, reason in _SQLITE_REASONS.items():
        if code.startswith(known):
            return reason
    first, *_ = str(original).strip().splitlines() or [type(original).__name__]
    return first


class Database:
    """One open SQLite file, brought up to date; safe from several threads."""

    def __init__(self, path: Path) -> None:
        """Connect, and bring the tables up to date.

        Raises:
            StorageUnavailable: not now, or it was written by a newer version of this program.
        """
        self._path = path
        self._engine = _engine(path)
        self._writing = threading.Lock()
        self._file: tuple[int, int] | None = None
        """Which file is open, by device and inode."""
        try:
            self.migrate("head")
            self._file = self._file_at_path()
        except BaseException:
            self.close()
            raise

    @property
    def moved(self) -> bool:
        """Whether the open file is no longer at its path.

        SQLite would go on with it: what is stored there is lost with the file, or changes one that
        was put aside.
        """
        return self._file_at_path() != self._file

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """See the database as it is now, whatever is written meanwhile."""
        with translated(self._path), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Change it: all of it is on the disk afterwards, or nothing when it raises."""
        with (
            self._writing,
            translated(self._path),
            self._engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    def migrate(self, revision: str) -> None:
        """Bring the tables to a revision; ``base`` removes them, ``head`` is the newest.

        Raises:
            StorageUnavailable: a newer version of this program wrote it, or as always.
        """
        step = command.downgrade if revision == "base" else command.upgrade
        with (
            as_file(files("nxai_cloud_sync") / "migrations") as folder,
            self.writing() as connection,
        ):
            config = Config()
            config.set_main_option("script_location", str(folder).replace("%", "%%"))
            config.attributes["connection"] = connection
            try:
                step(config, revision)
            except CommandError as error:
                raise StorageUnavailable(
                    f"{self._path}: a newer version of this program wrote it ({error}); install "
                    "that version, or move the file away (a new one is made)"
                ) from error

    def close(self) -> None:
        """Disconnect."""
        self._engine.dispose()

    def _file_at_path(self) -> tuple[int, int] | None:
        with translated(self._path):
            try:
                found = self._path.stat()
            except FileNotFoundError:
                return None
        return found.st_dev, found.st_ino


def _engine(path: Path) -> Engine:
    url = sa.URL.create("sqlite+pysqlite", database=os.fspath(path))
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DB-API connection
        connection.isolation_level = None  # we begin ourselves, see below
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"journal_size_limit={JOURNAL_LIMIT_BYTES}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begin(connection: Connection) -> None:
        # The driver would begin at the first write only, and not at all before CREATE TABLE.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    sa.event.listen(engine, "connect", prepare)
    sa.event.listen(engine, "begin", begin)
    return engine
