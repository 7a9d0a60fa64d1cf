"""Reads the data logger: for exports, charts and questions. Never changes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from heapq import merge
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection

from nxai_publisher.adapters.sql_database import (
    LABEL_MINUTES,
    RESULTS,
    cameras_of,
    is_sqlite,
    reader_engine,
    translated,
)
from nxai_publisher.core.rows import Row, as_json, as_stored
from nxai_publisher.ports import StorageUnavailable

PAGE_ROWS: Final = 500
"""Rows fetched at once: memory stays constant whatever is exported."""


class SqlArchive:
    """What is stored, in the order of time."""

    def __init__(self, url: URL) -> None:
        """Prepare; each query opens a connection of its own.

        Raises:
            StorageUnavailable: SQLite, and there is no file, or a folder.
        """
        self._url = url
        if is_sqlite(url) and not Path(url.database or "").exists():
            raise StorageUnavailable(
                f"there is no data logger at {url.database}; has the publisher run here? "
                "--database or NXAI_PUBLISHER_DATABASE_URL say where else to look"
            )
        if is_sqlite(url) and Path(url.database or "").is_dir():
            raise StorageUnavailable(
                f"{url.database} is a folder; name the database file in it, mostly nxai.db"
            )
        self._engine = reader_engine(url)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        self._engine.dispose()

    def newest(self, camera: str, limit: int) -> list[Row]:
        """Return the newest results of a camera, newest first."""
        query = (
            sa.select(RESULTS)
            .where(RESULTS.c.camera == camera)
            .order_by(RESULTS.c.captured_at_us.desc())
            .limit(limit)
        )
        with self._connection() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def results(
        self, since_us: int, until_us: int, camera: str | None = None, label: str | None = None
    ) -> Iterator[Row]:
        """Yield results in the order of time, a few at a time.

        Args:
            since_us: First Unix microsecond.
            until_us: First Unix microsecond after.
            camera: Only of this camera; None: of all.
            label: Leave out most results that do not show this label (not all of them).
        """
        with self._connection() as connection:
            cameras = [camera] if camera is not None else list(cameras_of(connection))
            streams = (_stream(connection, since_us, until_us, name, label) for name in cameras)
            yield from merge(*streams, key=itemgetter("captured_at_us"))

    def counts(
        self, since_us: int, until_us: int, camera: str | None = None, label: str | None = None
    ) -> Iterator[Row]:
        """Yield sums per minute, camera, model and label in the order of time."""
        table = LABEL_MINUTES
        query = (
            sa.select(table)
            .where(
                table.c.minute_s >= since_us // 1_000_000 // 60 * 60,
                table.c.minute_s < until_us / 1_000_000,
            )
            .order_by(*table.primary_key.columns)
        )
        if camera is not None:
            query = query.where(table.c.camera == camera)
        if label is not None:
            query = query.where(table.c.label == as_stored(label))
        with self._connection() as connection:
            rows = connection.execution_options(yield_per=PAGE_ROWS).execute(query)
            for row in rows.mappings():
                yield dict(row)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with translated(self._url), self._engine.connect() as connection:
            yield connection


def _stream(
    connection: Connection, since_us: int, until_us: int, camera: str, label: str | None
) -> Iterator[Row]:
    table = RESULTS
    query = (
        sa.select(table)
        .where(
            table.c.camera == camera,
            table.c.captured_at_us >= since_us,
            table.c.captured_at_us < until_us,
        )
        .order_by(table.c.captured_at_us)
    )
    if label is not None:
        quoted = as_json(label)[1:-1]
        query = query.where(
            table.c.detections.contains(quoted, autoescape=True)
            | table.c.scores.contains(quoted, autoescape=True)
        )
    result = connection.execute(query.execution_options(yield_per=PAGE_ROWS, stream_results=True))
    for row in result.mappings():
        yield dict(row)
