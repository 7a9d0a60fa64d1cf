"""Jobs in the database of the pictures: what was asked for, and what came of it."""

import json
import threading
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection, RowMapping

from nxai_cloud_sync.adapters.sql_database import JOBS, Database
from nxai_cloud_sync.core.job_record import BROKEN_OFF, JobRecord
from nxai_common.contracts.progress import JobState

KEPT: Final = 500
"""Jobs of each command: looks for a new model, of which there are hundreds a day, do not drive out
the uploads of last month."""
LONGEST_TEXT: Final = 2000
"""Characters of what a job says at its end."""

ENDED: Final = tuple(state.value for state in JobState if state.ended)


class SqlJobs:
    """Implements the port `JobHistory`; safe from several threads."""

    def __init__(self, database: Callable[[], Database]) -> None:
        """Prepare.

        Args:
            database: Returns it open; raises StorageUnavailable when it cannot be.
        """
        self._open = database
        self._lock = threading.Lock()
        self._taken_over = False

    def keep(self, record: JobRecord) -> None:
        """Write a job down, or what became of it: on the disk when this returns."""
        row = _row_of(record)
        with self._database().writing() as connection:
            added = insert(JOBS).values(row)
            changed = {name: added.excluded[name] for name in row if name != "job"}
            connection.execute(added.on_conflict_do_update(index_elements=["job"], set_=changed))
            _forget_old(connection, record.command)

    def forget(self, job: str) -> None:
        """Remove a job that nobody will look for."""
        with self._database().writing() as connection:
            connection.execute(sa.delete(JOBS).where(JOBS.c.job == job))

    def newest(self, command: str, limit: int) -> tuple[JobRecord, ...]:
        """Return the jobs of a command (empty: of all) that were written down last."""
        query = sa.select(JOBS).order_by(JOBS.c.number.desc()).limit(limit)
        if command:
            query = query.where(JOBS.c.command == command)
        with self._database().reading() as connection:
            return tuple(map(_record, connection.execute(query).mappings()))

    def _database(self) -> Database:
        """Return the database, in which no job of an earlier process seems to be under way."""
        database = self._open()
        with self._lock:
            if not self._taken_over:
                with database.writing() as connection:
                    connection.execute(_BREAK_OFF)
                self._taken_over = True
        return database


_BREAK_OFF: Final = (
    sa.update(JOBS)
    .where(JOBS.c.state.not_in(ENDED))
    .values(state=JobState.FAILED.value, text=BROKEN_OFF)
)


def _forget_old(connection: Connection, command: str) -> None:
    table = JOBS.c
    numbers = sa.select(table.number).where(table.command == command)
    newest = numbers.order_by(table.number.desc())
    last = connection.scalar(newest.offset(KEPT).limit(1))
    if last is not None:
        connection.execute(sa.delete(JOBS).where(table.command == command, table.number <= last))


def _row_of(record: JobRecord) -> dict[str, Any]:
    return {
        "job": record.job,
        "command": record.command,
        "what": record.what,
        "state": record.state.value,
        "text": record.text[:LONGEST_TEXT],
        "done": record.done,
        "total": record.total,
        "started_at_us": record.started_at_us,
        "at_us": record.at_us,
        "ended_at_us": record.ended_at_us,
        "details": json.dumps(dict(record.details), separators=(",", ":"), ensure_ascii=False),
    }


def _record(row: RowMapping) -> JobRecord:
    return JobRecord(
        job=row["job"],
        command=row["command"],
        what=row["what"],
        state=JobState(row["state"]),
        text=row["text"],
        done=row["done"],
        total=row["total"],
        started_at_us=row["started_at_us"],
        at_us=row["at_us"],
        ended_at_us=row["ended_at_us"],
        details=json.loads(row["details"]),
    )
