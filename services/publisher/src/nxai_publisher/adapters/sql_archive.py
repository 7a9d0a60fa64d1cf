"""Reads the data logger: for exports, charts and questions. Never changes it.

Used by several threads: each question opens a connection of its own. One that takes longer than
`limit_s` is stopped: SQLite asks us now and then whether to go on, PostgreSQL looks at its clock.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from nxai_publisher.adapters.sql_database import (
    LABEL_MINUTES,
    LABEL_QUARTERS,
    RESULT_MINUTES,
    RESULT_QUARTERS,
    RESULTS,
    bytes_on_disk,
    cameras_of,
    first_of,
    is_sqlite,
    last_of,
    name_of,
    reader_engine,
    stored_results,
    translated,
)
from nxai_publisher.core.charts import Span
from nxai_publisher.core.places import Place
from nxai_publisher.core.questions import Minutes, ResultQuery, Step, together
from nxai_publisher.core.rows import (
    CONFIDENCE_BINS,
    LARGEST,
    MINUTE_S,
    QUARTER_S,
    Row,
    as_json,
    as_stored,
    labels_shown,
)
from nxai_publisher.ports import Overview, QuestionTooLarge, StorageUnavailable

PAGE_ROWS: Final = 500
"""Rows fetched at once: memory stays constant whatever is exported."""
FEW_ROWS: Final = 20
"""As few as make a question to the database worth it."""
ROWS_AT_ONCE: Final = 1000
"""Results that are looked at between two places where a walk can be left: some milliseconds."""
QUARTERS_AT_ONCE_S: Final = 7 * 86_400
"""Of sums that are looked at for quarters that may hold what is wanted: 672 of each camera."""
INSTRUCTIONS: Final = 20_000
"""Of SQLite's machine between two looks at the clock: a millisecond."""
MOST_NAMES: Final = 1000
"""Labels and versions in an overview; a page that offers more to choose from is of no use."""

_MICROSECONDS: Final = 1_000_000
_TOO_OLD: Final = ("no such table", "no such column", "does not exist")


class SqlArchive:
    """What is stored, in the order of time. Implements the port `Archive`."""

    def __init__(self, url: URL, *, readers: int = 1, limit_s: float | None = None) -> None:
        """Prepare; each query opens a connection of its own.

        Args:
            url: From `sql_database.database_url`.
            readers: Threads that ask at the same time.
            limit_s: Seconds after which a question is stopped; None: it may take its time.
        """
        self._url = url
        self._limit_s = limit_s
        self._closing = False
        self._engine = reader_engine(url, readers=readers, limit_s=limit_s)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect; questions under way are stopped."""
        self._closing = True
        self._engine.dispose()

    # -- results --------------------------------------------------------------------------------

    def newest(self, camera: str, limit: int) -> list[Row]:
        """Return the newest results of a camera, newest first."""
        query = (
            sa.select(RESULTS)
            .where(RESULTS.c.camera == camera)
            .order_by(RESULTS.c.captured_at_us.desc())
            .limit(limit)
        )
        with self._connection() as connection:
            return list(_dicts(connection.execute(query)))

    def results(
        self, since_us: int, until_us: int, camera: str | None = None, label: str | None = None
    ) -> Iterator[Row]:
        """Yield results in the order of time, a few at a time.

        Args:
            since_us: First Unix microsecond.
            until_us: First Unix microsecond after.
            camera: Only of this camera; None: of all.
            label: Only those that have an object of this label, or a score for it.
        """
        query = ResultQuery(since_us, until_us, camera, label=label, scores_too=True)
        for step in self.walk(query):
            if not isinstance(step, Place):
                yield step

    def walk(self, query: ResultQuery) -> Generator[Step]:
        """Yield what a query asks for, in its order, a few at a time.

        Between results come places up to which all was looked at, so that one can stop there
        when nothing was found for long.
        """
        with self._connection() as connection:
            cameras = [query.camera] if query.camera is not None else sorted(cameras_of(connection))
            if not query.selective:
                everything = Minutes(0, query.until_us // _MICROSECONDS + 1, tuple(cameras))
                yield from _rows(connection, query, everything)
                return
            for minutes in _promising(connection, query, cameras):
                yield from _rows(connection, query, minutes)
                edge_s = minutes.start_s if query.newest_first else minutes.end_s
                yield Place(edge_s * _MICROSECONDS)

    # -- sums -----------------------------------------------------------------------------------

    def counts(
        self,
        since_us: int,
        until_us: int,
        camera: str | None = None,
        label: str | None = None,
        model: str | None = None,
    ) -> Generator[Row]:
        """Yield sums per minute, camera, model and label in the order of time."""
        table = LABEL_MINUTES
        query = (
            _of(sa.select(table), table, camera=camera, model=model, label=label)
            .where(
                table.c.minute_s >= since_us // _MICROSECONDS // 60 * 60,
                table.c.minute_s < until_us / _MICROSECONDS,
            )
            .order_by(*table.primary_key.columns)
        )
        with self._connection() as connection:
            chosen = query.execution_options(yield_per=PAGE_ROWS, stream_results=True)
            with connection.execute(chosen) as found:
                yield from _dicts(found)

    def result_sums(
        self, span: Span, by: Sequence[str], camera: str | None = None, model: str | None = None
    ) -> list[Row]:
        """Return sums of results per step (`at_s`) and what else is asked for.

        Args:
            span: The steps, of a minute or more.
            by: Of camera, model, model_version.
            camera: Only of this one.
            model: Only of this one.
        """
        table = RESULT_MINUTES if span.step_s % QUARTER_S else RESULT_QUARTERS
        names = ("results", "uncertain", "latency_ms_sum", "latency_ms_max", "inference_ms_sum")
        return self._sums(table, names, span, by, camera=camera, model=model)

    def label_sums(
        self,
        span: Span,
        camera: str | None = None,
        model: str | None = None,
        label: str | None = None,
    ) -> list[Row]:
        """Return objects per step (`at_s`), camera, model and label."""
        table = LABEL_MINUTES if span.step_s % QUARTER_S else LABEL_QUARTERS
        names, by = ("objects", "max_objects"), ("camera", "model", "label")
        return self._sums(table, names, span, by, camera=camera, model=model, label=label)

    def confidence_sums(
        self,
        span: Span,
        camera: str | None = None,
        model: str | None = None,
        label: str | None = None,
    ) -> list[Row]:
        """Return objects, sum and histogram of the confidence per label over a whole span."""
        table = LABEL_MINUTES if span.step_s % QUARTER_S else LABEL_QUARTERS
        names = ("objects", "confidence_sum", *(f"confidence_{n}" for n in range(CONFIDENCE_BINS)))
        return self._sums(table, names, span, ("label",), camera=camera, model=model, label=label)

    def overview(self) -> Overview:
        """Return what is stored, from sums and keys: quick whatever the number of results."""
        with self._connection() as connection:
            counts = stored_results(connection)
            firsts = [first_of(connection, camera) for camera in counts]
            lasts = [last_of(connection, camera) for camera in counts]
            return Overview(
                database=self._url.get_backend_name(),
                rows=sum(counts.values()),
                oldest_us=min((us for us in firsts if us is not None), default=None),
                newest_us=max((us for us in lasts if us is not None), default=None),
                size_mb=bytes_on_disk(connection, self._url) / 1e6,
                cameras=tuple(counts),
                versions=tuple(
                    (row.model, row.model_version)
                    for row in connection.execute(
                        _distinct(RESULT_QUARTERS.c.model, RESULT_QUARTERS.c.model_version)
                    )
                ),
                labels=tuple(connection.scalars(_distinct(LABEL_QUARTERS.c.label))),
            )

    def _sums(
        self,
        table: sa.Table,
        names: Sequence[str],
        span: Span,
        by: Sequence[str],
        **only: str | None,
    ) -> list[Row]:
        slot = table.columns[0]
        keys = [table.c[name] for name in by]
        if span.step_s in (MINUTE_S, QUARTER_S):
            # The table's own steps: to group them takes longer than to add up the few that match.
            chosen = sa.select(slot.label("at_s"), *keys, *(table.c[name] for name in names))
        else:
            at_s = (
                (slot // span.step_s * span.step_s).label("at_s")
                if span.steps > 1
                else sa.literal(span.start_s).label("at_s")
            )
            numbers = [
                (sa.func.max if name in LARGEST else sa.func.sum)(table.c[name]).label(name)
                for name in names
            ]
            groups = [at_s, *keys] if span.steps > 1 else keys
            chosen = sa.select(at_s, *keys, *numbers).group_by(*groups)
        query = _of(chosen, table, **only).where(slot >= span.start_s, slot < span.end_s)
        with self._connection() as connection:
            return list(_dicts(connection.execute(query)))

    # -- connection -----------------------------------------------------------------------------

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        self._check_file()
        with translated(self._url):
            try:
                with self._engine.connect() as connection:
                    self._bound(connection)
                    yield connection
            except DBAPIError as error:
                if _was_stopped(error):
                    raise QuestionTooLarge(
                        f"stopped after {self._limit_s:g} s; ask for a shorter time, or for one "
                        "camera"
                    ) from error
                said = str(error.orig).partition("\n")[0]
                if any(part in said for part in _TOO_OLD):
                    raise StorageUnavailable(
                        f"{name_of(self._url)}: {said}; the tables are made, and brought up "
                        "to date, when the publisher runs with the data logger switched on"
                    ) from error
                raise

    def _check_file(self) -> None:
        """Refuse what is no file; opening it would say so in fewer words."""
        path = Path(self._url.database or "")
        if not is_sqlite(self._url):
            return
        if not path.exists():
            raise StorageUnavailable(
                f"there is no data logger at {path}: the publisher makes it when the data logger "
                "is switched on, where NXAI_PUBLISHER_DATABASE_URL says"
            )
        if path.is_dir():
            raise StorageUnavailable(
                f"{path} is a folder; name the database file in it, mostly nxai.db"
            )

    def _bound(self, connection: Connection) -> None:
        if self._limit_s is None or not is_sqlite(self._url):
            return
        ends_at = time.monotonic() + self._limit_s
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(
            lambda: self._closing or time.monotonic() > ends_at, INSTRUCTIONS
        )


def _was_stopped(error: DBAPIError) -> bool:
    """Tell whether a statement ended because of our limit."""
    interrupted = getattr(error.orig, "sqlite_errorname", "") == "SQLITE_INTERRUPT"
    return interrupted or getattr(error.orig, "sqlstate", "") == "57014"  # query_canceled


def _rows(connection: Connection, query: ResultQuery, minutes: Minutes) -> Iterator[Row]:
    """Yield the results that are wanted of some minutes, in the order of the query."""
    with ExitStack() as open_streams:
        streams = [
            open_streams.enter_context(closing(_stream(connection, query, minutes, camera)))
            for camera in minutes.cameras
        ]
        for row in merge(
            *streams,
            key=lambda row: (row["captured_at_us"], row["camera"]),
            reverse=query.newest_first,
        ):
            if _wanted(row, query):
                yield row


def _stream(
    connection: Connection, query: ResultQuery, minutes: Minutes, camera: str
) -> Generator[Row]:
    """Yield the results of one camera; of a label more than those that show it."""
    table = RESULTS.c
    since_us = max(query.since_us, minutes.start_s * _MICROSECONDS)
    until_us = min(query.until_us, minutes.end_s * _MICROSECONDS)
    key = (table.captured_at_us, table.model, table.stream, table.sequence)
    chosen = sa.select(RESULTS).where(table.camera == camera)
    after = query.after
    if after is not None:
        place = sa.tuple_(
            *map(sa.literal, (after.at_us, after.model, after.stream, after.sequence))
        )
        # Cameras in the order of Python, whose merge it is; all else in that of the database.
        same_moment = (camera < after.camera) if query.newest_first else (camera > after.camera)
        if query.newest_first:
            until_us = min(until_us, after.at_us + (same_moment or camera == after.camera))
        else:
            since_us = max(since_us, after.at_us + (not same_moment and camera != after.camera))
        if camera == after.camera:
            behind = sa.tuple_(*key) < place if query.newest_first else sa.tuple_(*key) > place
            chosen = chosen.where(behind)
    chosen = chosen.where(table.captured_at_us >= since_us, table.captured_at_us < until_us)
    chosen = chosen.order_by(*(c.desc() for c in key) if query.newest_first else key)
    chosen = _with(chosen, query)
    at_once = PAGE_ROWS
    if query.limit is not None and not query.selective:
        chosen = chosen.limit(query.limit + 1)
        # Mostly each camera gives its share; that of hundreds would be read for nothing.
        at_once = min(PAGE_ROWS, 2 * query.limit // len(minutes.cameras) + FEW_ROWS)
    chosen = chosen.execution_options(yield_per=at_once, stream_results=True)
    with connection.execute(chosen) as found:
        yield from _dicts(found, at_once)


def _dicts(found: "sa.CursorResult[Any]", at_once: int = PAGE_ROWS) -> Iterator[Row]:
    """Yield rows as dictionaries; the database package makes its own at three times the cost."""
    names = tuple(found.keys())
    for some in found.partitions(at_once):
        for row in some:
            yield dict(zip(names, row, strict=True))


def _with(chosen: "sa.Select[Any]", query: ResultQuery) -> "sa.Select[Any]":
    """Leave out most of what a query does not want; `_wanted` looks at the rest."""
    table = RESULTS.c
    if query.model is not None:
        chosen = chosen.where(table.model == query.model)
    if query.uncertain is not None:
        chosen = chosen.where(table.uncertain == int(query.uncertain))
    if query.with_objects is True:
        chosen = chosen.where((table.objects > 0) | table.scores.is_not(None))
    if query.with_objects is False:
        chosen = chosen.where(table.objects == 0)
    if query.label is not None:
        quoted = as_json(query.label)[1:-1]
        chosen = chosen.where(
            table.detections.contains(quoted, autoescape=True)
            | table.scores.contains(quoted, autoescape=True)
        )
    return chosen


def _wanted(row: Row, query: ResultQuery) -> bool:
    """Tell whether a result is wanted, as far as the database could not tell."""
    if query.scores_too or (query.label is None and query.with_objects is None):
        return True
    shown = labels_shown(row)
    return (query.label is None or query.label in shown) and (
        query.with_objects is None or query.with_objects == bool(shown)
    )


def _promising(
    connection: Connection, query: ResultQuery, cameras: Sequence[str]
) -> Iterator[Minutes]:
    """Yield the minutes that may hold what is wanted, by the sums; none that does is left out.

    First the quarters that may, then their minutes: a month is looked through in 20 ms. Minutes
    without cameras tell up to where was looked.
    """
    firsts = [us for us in (first_of(connection, camera) for camera in cameras) if us is not None]
    lasts = [us for us in (last_of(connection, camera) for camera in cameras) if us is not None]
    if not firsts:
        return
    since_us, until_us = max(query.since_us, min(firsts)), min(query.until_us, max(lasts) + 1)
    after = query.after
    if after is not None and query.newest_first:
        until_us = min(until_us, after.at_us + bool(after.camera))
    elif after is not None:
        since_us = max(since_us, after.at_us)
    start_s = since_us // _MICROSECONDS // QUARTER_S * QUARTER_S
    end_s = -(-until_us // _MICROSECONDS // QUARTER_S) * QUARTER_S
    starts = range(start_s, end_s, QUARTERS_AT_ONCE_S)
    for first_s in reversed(starts) if query.newest_first else starts:
        last_s = min(first_s + QUARTERS_AT_ONCE_S, end_s)
        slots = _slots(RESULT_QUARTERS, LABEL_QUARTERS, query, first_s, last_s)
        quarters = sa.select(slots.c.slot).distinct().order_by(_directed(slots.c.slot, query))
        for quarter_s in connection.scalars(quarters).all():
            # No minute that lies behind: a page that was late would lead back to it.
            first_minute_s = max(quarter_s, since_us // _MICROSECONDS // MINUTE_S * MINUTE_S)
            after_s = min(quarter_s + QUARTER_S, -(-until_us // _MICROSECONDS))
            found = _slots(RESULT_MINUTES, LABEL_MINUTES, query, first_minute_s, after_s)
            minutes = sa.select(found).order_by(_directed(found.c.slot, query))
            rows = [(slot, camera, n) for slot, camera, n in connection.execute(minutes)]
            yield from together(rows, ROWS_AT_ONCE, newest_first=query.newest_first)
        yield Minutes(first_s, last_s, ())


def _slots(
    results: sa.Table, labels: sa.Table, query: ResultQuery, start_s: int, end_s: int
) -> sa.Subquery:
    """Return start, camera and results of the sums that may hold what is wanted."""
    slot = results.columns[0]
    chosen = _of(
        sa.select(slot.label("slot"), results.c.camera, results.c.results),
        results,
        camera=query.camera,
        model=query.model,
    ).where(slot >= start_s, slot < end_s)
    if query.uncertain is True:
        chosen = chosen.where(results.c.uncertain > 0)
    if query.uncertain is False:
        chosen = chosen.where(results.c.uncertain < results.c.results)
    if query.with_objects is True:
        chosen = chosen.where(sa.func.coalesce(results.c.shown, 1) > 0)
    if query.with_objects is False:
        chosen = chosen.where(sa.func.coalesce(results.c.shown, 0) < results.c.results)
    if query.label is not None and not query.scores_too:
        chosen = chosen.where(
            sa.exists().where(
                labels.columns[0] == slot,
                labels.c.camera == results.c.camera,
                labels.c.model == results.c.model,
                labels.c.label == as_stored(query.label),
            )
        )
    return chosen.subquery()


def _directed(
    column: "sa.ColumnElement[int]", query: ResultQuery
) -> "sa.ColumnElement[int] | sa.UnaryExpression[int]":
    return column.desc() if query.newest_first else column.asc()


def _of(chosen: "sa.Select[Any]", table: sa.Table, **only: str | None) -> "sa.Select[Any]":
    for name, value in only.items():
        if value is not None:
            wanted = as_stored(value) if name == "label" else value
            chosen = chosen.where(table.c[name] == wanted)
    return chosen


def _distinct(*columns: "sa.ColumnElement[Any]") -> "sa.Select[Any]":
    return sa.select(*columns).distinct().order_by(*columns).limit(MOST_NAMES)
