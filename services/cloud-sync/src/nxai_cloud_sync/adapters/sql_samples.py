"""Collected pictures: their records in SQLite, the JPEGs in a folder beside it.

A picture is written whole and given its name before its record is committed, and a record is
removed before its picture. So a kill at any moment leaves pictures without a record at worst, and
those are removed when the store is opened the next time.
"""

import contextlib
import fcntl
import json
import logging
import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection, RowMapping

from nxai_cloud_sync.adapters.disk_reserve import DiskReserve
from nxai_cloud_sync.adapters.picture_folder import SHARD_LETTERS, PictureFolder
from nxai_cloud_sync.adapters.sql_database import (
    HELD,
    KEPT,
    SAMPLE_LABELS,
    SAMPLES,
    SENT,
    STORE,
    TOTALS,
    Database,
    DiskFull,
    translated,
)
from nxai_cloud_sync.core.collecting import DAY_S, EARLIEST_US, HASHES, MICROSECONDS, KeptPicture
from nxai_cloud_sync.core.sample import (
    LabelledBox,
    NewSample,
    SampleCounts,
    SampleFilter,
    SamplePage,
    SampleState,
    StoredSample,
    Usage,
    reviewed,
    sample_id,
    shown_labels,
)
from nxai_cloud_sync.core.uploading import FileOutcome
from nxai_cloud_sync.ports import Pruned, StorageUnavailable
from nxai_common.contracts.collecting import MOST_A_DAY, SampleLimits
from nxai_common.errors import RejectedError

log = logging.getLogger(__name__)

SLICE: Final = 200
"""Pictures removed in one go: some 25 ms in the database, 150 ms with files of 200 kB, so that a
new one never waits for long."""
SMALL_SLICE: Final = 20
"""On a full disk, where there is little room to note what is removed."""
MOST_LEFT_OVER: Final = 1000
"""Pictures without a record that are removed when the store is opened. A kill leaves a slice and a
few at most; more mean that the database is an older copy, and a newer one may be put back."""
MEGABYTE: Final = 1_000_000
DAY_US: Final = int(DAY_S) * MICROSECONDS
KEEP_COUNTS_US: Final = 2 * DAY_US
"""How long it is remembered what was kept: quotas look back a day."""
KEEP_SENT_US: Final = 8 * DAY_US
"""How long it is remembered what was sent: the budget is one of a day."""
MOST_SENT: Final = 100_000
"""Requests that are remembered, whatever the clock says: one a second for a day."""

GONE: Final = "its file is gone from the disk"
"""Why a picture failed that somebody deleted by hand."""

REMOVED_FIRST: Final = (
    (SampleState.UPLOADED, False),
    (SampleState.DISCARDED, False),
    (SampleState.FAILED, True),
    (SampleState.NEW, True),
    (SampleState.APPROVED, True),
)
"""What goes first when there is too much, and whether by value; else the oldest first."""
SENDABLE: Final = (SampleState.APPROVED, SampleState.NEW, SampleState.FAILED)


class _Open:
    """An open store: the lock, the database, the folder of its pictures."""

    def __init__(self, folder: Path) -> None:
        with contextlib.ExitStack() as closing:
            with translated(folder):
                folder.mkdir(parents=True, exist_ok=True)
                closing.enter_context(_alone(folder))
            self.database = Database(folder / "samples.db")
            closing.callback(self.database.close)
            with self.database.reading() as connection:
                identity = connection.execute(sa.select(STORE.c.identity)).scalar_one()
            # A database that was made anew must not take the pictures of the one before for
            # pictures without a record.
            self.pictures = PictureFolder(folder / f"pictures-{identity}")
            self.pictures.make()
            for other in folder.glob("pictures-*"):
                if other != self.pictures.root:
                    log.warning("%s holds pictures of another database; they stay there", other)
            self._closing = closing.pop_all()

    def close(self) -> None:
        self._closing.close()


class SqlSamples:
    """Implements the ports `SampleStore` and `SampleIntake` (context manager).

    It is opened by the first call, and again by later ones while it cannot be: what is damaged or
    of a newer version is reported by each call, and left as it is.
    """

    def __init__(
        self, folder: Path, *, wall_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            folder: Of the database and the pictures; made when it is not there.
            wall_us: Unix microseconds.
        """
        self._folder = folder
        self._wall_us = wall_us
        self._reserve = DiskReserve(folder / "samples.reserve")
        self._lock = threading.Lock()
        self._open: _Open | None = None
        self._ended = False

    def __enter__(self) -> Self:
        """Leave the opening to the first call."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close for good: who still works with it is told so."""
        with self._lock:
            self._ended = True
        self.close()

    def close(self) -> None:
        """Let another process have the folder; a later call opens it again."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    # -- keeping ------------------------------------------------------------------------------

    def holds(self, camera: str, stream: str, sequence: int, model: str) -> bool:
        """Return whether a picture was kept before, and is still."""
        with self._opened().database.reading() as connection:
            return _find(connection, camera, stream, sequence, model) is not None

    def add(self, sample: NewSample) -> StoredSample | None:
        """Keep a picture: on the disk when this returns. None: it was kept before already."""
        store = self._opened()
        with store.database.reading() as connection:
            before = _find(connection, sample.camera, sample.stream, sample.sequence, sample.model)
        if before is not None:
            _restore(store, before, sample)
            return None
        row = _row_of(sample)
        store.pictures.put(row["id"], sample.jpeg)
        try:
            with store.database.writing() as connection:
                added = connection.execute(_ADD, row).rowcount == 1
                if added:
                    connection.execute(_NOTE_KEPT, _kept_row(sample))
        except BaseException:
            with contextlib.suppress(StorageUnavailable):
                store.pictures.remove(row["id"])
            raise
        if not added:  # by another thread, in this very moment
            store.pictures.remove(row["id"])
            return None
        return _stored(row)

    def kept_lately(self, camera: str, count: int) -> tuple[KeptPicture, ...]:
        """Return what was kept of a camera last, oldest first; what was removed since, too."""
        table = KEPT.c
        query = (
            sa.select(table.captured_at_us, table.labels, table.hash)
            .where(table.camera == camera)
            .order_by(table.number.desc())
            .limit(count)
        )
        with self._opened().database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return tuple(
            KeptPicture(
                row["captured_at_us"], tuple(json.loads(row["labels"])), row["hash"] % 2**64
            )
            for row in reversed(rows)
        )

    # -- looking ------------------------------------------------------------------------------

    def get(self, sample: str) -> StoredSample | None:
        """Return one picture's record."""
        with self._opened().database.reading() as connection:
            rows = _by_ids(connection, (sample,))
        return _stored(rows[0]) if rows else None

    def page(
        self, wanted: SampleFilter, limit: int, offset: int, *, by_value: bool = False
    ) -> SamplePage:
        """Return a part of the list, newest (or most valuable) first."""
        table = SAMPLE_LABELS if wanted.label else SAMPLES
        chosen = _chosen(table, wanted)
        order = [table.c.captured_at_us.desc(), table.c.number.desc()]
        if by_value:
            order.insert(0, table.c.value.desc())
        numbers = sa.select(table.c.number).where(*chosen).order_by(*order)
        with self._opened().database.reading() as connection:
            total = connection.scalar(sa.select(sa.func.count()).select_from(table).where(*chosen))
            page = connection.scalars(numbers.limit(limit).offset(offset)).all()
            of_page = sa.select(SAMPLES).where(SAMPLES.c.number.in_(_each(page)))
            rows = {row["number"]: row for row in connection.execute(of_page).mappings()}
        return SamplePage(tuple(_stored(rows[number]) for number in page), total or 0)

    def picture(self, sample: StoredSample) -> Path:
        """Return where the JPEG lies."""
        return self._opened().pictures.path(sample.id)

    def usage(self) -> Usage:
        """Return what is held."""
        with self._opened().database.reading() as connection:
            held = sa.select(TOTALS).where(TOTALS.c.pictures > 0)
            rows = connection.execute(held).mappings().all()
            dropped = connection.execute(sa.select(STORE.c.dropped)).scalar_one()
        return Usage(
            pictures=sum(row["pictures"] for row in rows),
            bytes=sum(row["bytes"] for row in rows),
            by_state={row["state"]: row["pictures"] for row in rows},
            dropped=dropped,
        )

    def counts(self, day_us: int, today_us: int, now_us: int) -> SampleCounts:
        """Return how many pictures there are of what."""
        at = KEPT.c.stored_at_us
        lately = (
            sa.select(KEPT.c.camera, _count_of(at >= day_us), _count_of(at >= today_us))
            .where(at >= min(day_us, today_us), at <= now_us)
            .group_by(KEPT.c.camera)
        )
        by_camera: Counter[str] = Counter()
        by_strategy: Counter[str] = Counter()
        with self._opened().database.reading() as connection:
            for row in connection.execute(sa.select(HELD)).mappings():
                by_camera[row["camera"]] += row["pictures"]
                by_strategy[row["strategy"]] += row["pictures"]
            kept = connection.execute(lately).all()
        return SampleCounts(
            by_camera=dict(by_camera),
            by_strategy=dict(by_strategy),
            last_day={camera: count for camera, count, _ in kept if count},
            today={camera: today for camera, _, today in kept if today},
        )

    def database(self) -> Database:
        """Return the database, open: others keep what is theirs in it."""
        return self._opened().database

    # -- a person's decision ------------------------------------------------------------------

    def review(
        self,
        samples: Sequence[str],
        state: SampleState,
        boxes: tuple[LabelledBox, ...] | None = None,
        *,
        confirm_predictions: bool = False,
    ) -> dict[str, str]:
        """Approve, discard or reopen; return why not, for those where it cannot be."""
        wanted = tuple(dict.fromkeys(samples))
        if boxes is not None and len(wanted) > 1:
            return dict.fromkeys(wanted, "the boxes are those of one picture, not of several")
        store = self._opened()
        refused: dict[str, str] = {}
        with store.database.writing() as connection:
            rows = {row["id"]: row for row in _by_ids(connection, wanted)}
            for name in wanted:
                if name not in rows:
                    refused[name] = "there is no such picture"
                elif state is SampleState.APPROVED and not store.pictures.path(name).exists():
                    refused[name] = GONE
                else:
                    before = _stored(rows[name])
                    try:
                        after = reviewed(
                            before, state, boxes, confirm_predictions=confirm_predictions
                        )
                    except RejectedError as error:
                        refused[name] = str(error)
                    else:
                        _decide(connection, after)
        return refused

    # -- uploading ----------------------------------------------------------------------------

    def to_upload(
        self, cameras: Iterable[str], limit: int, *, include_new: bool = False
    ) -> tuple[StoredSample, ...]:
        """Return approved (and new) pictures of cameras, the most valuable first."""
        states = (SampleState.APPROVED, SampleState.NEW) if include_new else (SampleState.APPROVED,)
        of_cameras = SAMPLES.c.camera.in_(_each(list(cameras)))
        first = (SAMPLES.c.value.desc(), SAMPLES.c.captured_at_us.desc(), SAMPLES.c.number.desc())
        found: list[RowMapping] = []
        with self._opened().database.reading() as connection:
            for state in states:
                found += connection.execute(
                    sa.select(SAMPLES)
                    .where(SAMPLES.c.state == state.value, of_cameras)
                    .order_by(*first)
                    .limit(limit)
                ).mappings()
        found.sort(
            key=lambda row: (row["value"], row["captured_at_us"], row["number"]), reverse=True
        )
        return tuple(map(_stored, found[:limit]))

    def begin_upload(self, samples: Sequence[str]) -> frozenset[str]:
        """Note that they are in a request now; return those that may be sent."""
        with self._opened().database.writing() as connection:
            begun = connection.scalars(
                sa.update(SAMPLES)
                .where(
                    SAMPLES.c.id.in_(_each(samples)),
                    SAMPLES.c.state.in_([state.value for state in SENDABLE]),
                )
                .values(
                    state=SampleState.UPLOADING.value,
                    state_before=SAMPLES.c.state,
                    attempts=SAMPLES.c.attempts + 1,
                )
                .returning(SAMPLES.c.id)
            ).all()
        return frozenset(begun)

    def end_upload(self, outcomes: Sequence[FileOutcome], at_us: int) -> None:
        """Note what became of them."""
        by_id = {outcome.sample: outcome for outcome in outcomes}
        column = SAMPLES.c
        known = sa.select(column.number, column.id, column.bytes, column.state).where(
            column.id.in_(_each(tuple(by_id)))
        )
        with self._opened().database.writing() as connection:
            sent = 0
            accepted: list[dict[str, Any]] = []
            refused: list[dict[str, Any]] = []
            for row in connection.execute(known).mappings().all():
                outcome = by_id[row["id"]]
                sent += row["bytes"]
                if outcome.accepted:
                    accepted.append(
                        {
                            "row": row["number"],
                            "id_there": outcome.remote_id,
                            "at_us": at_us,
                            "was_there": int(outcome.duplicate),
                        }
                    )
                elif row["state"] == SampleState.UPLOADING:
                    reason = outcome.reason or "refused without a reason"
                    refused.append({"row": row["number"], "because": reason})
            # One statement for all: compiling one for each takes longer than sending them.
            for update, rows in ((_ACCEPT, accepted), (_REFUSE, refused)):
                if rows:
                    connection.execute(update, rows)
            if sent:
                connection.execute(sa.insert(SENT).values(at_us=at_us, bytes=sent))
                _forget_sent(connection, at_us)

    def release_uploads(self) -> int:
        """Make what was left in `uploading` what it was before; return how many."""
        with self._opened().database.writing() as connection:
            return connection.execute(_RELEASE).rowcount

    def uploaded_bytes_since(self, since_us: int) -> int:
        """Return the bytes of pictures sent since, of removed ones too.

        What was sent in the future, by a clock that has been set back, does not count before then:
        it would use up the budget of many days.
        """
        sent = SENT.c
        query = sa.select(sa.func.sum(sent.bytes)).where(
            sent.at_us >= since_us, sent.at_us <= self._wall_us()
        )
        with self._opened().database.reading() as connection:
            return connection.scalar(query) or 0

    # -- retention ----------------------------------------------------------------------------

    def prune(self, limits: SampleLimits, now_us: int | None) -> Pruned:
        """Remove one slice of what is beyond the limits, what is worth least first."""
        store = self._opened()
        try:
            removed = _remove(store, limits, now_us, SLICE)
        except DiskFull:
            if not self._reserve.give_up():
                raise
            removed = _remove(store, limits, now_us, SMALL_SLICE)
        _remove_files(store, removed.names)
        self._reserve.take()
        return Pruned(len(removed.names), more=removed.more)

    # -- opening ------------------------------------------------------------------------------

    def _opened(self) -> _Open:
        with self._lock:
            if self._open is not None and self._open.database.moved:
                self._open.close()
                self._open = None
                raise StorageUnavailable(
                    f"{self._folder}: the database was moved or deleted; it is opened anew"
                )
            if self._ended:
                raise StorageUnavailable(f"{self._folder}: closed, as the service ends")
            if self._open is None:
                try:
                    self._open = _open(self._folder)
                except DiskFull:
                    if not self._reserve.give_up():
                        raise
                    self._open = _open(self._folder)
                self._reserve.take()
            return self._open


def _restore(store: _Open, before: RowMapping, sample: NewSample) -> None:
    """Put a picture back whose file is gone: its message has come again."""
    if store.pictures.path(before["id"]).exists():
        return
    store.pictures.put(before["id"], sample.jpeg)
    _note_back(store, (before["number"],))


def _open(folder: Path) -> _Open:
    store = _Open(folder)
    try:
        _sweep(store)
        with store.database.writing() as connection:  # what a crash left: no request is under way
            connection.execute(_RELEASE)
    except BaseException:
        store.close()
        raise
    return store


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: another process would take our unfinished pictures for left ones."""
    descriptor = os.open(folder / "samples.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageUnavailable(
                f"{folder}: another process keeps pictures there; end it, or choose another folder"
            ) from error
        yield
    finally:
        os.close(descriptor)


def _sweep(store: _Open) -> None:
    """Remove pictures without a record; note whose picture is gone, or is there again."""
    left_over: list[str] = []
    gone: list[int] = []
    back: list[int] = []
    table = SAMPLES.c
    shard = sa.func.substr(table.id, -SHARD_LETTERS)
    lost = table.state_reason == GONE
    query = sa.select(table.id, table.number, lost.label("lost"), shard.label("shard"))
    seen: set[str] = set()
    with store.database.reading() as connection:
        for name, records in groupby(
            connection.execute(query.order_by(shard)).mappings(), key=lambda row: str(row["shard"])
        ):
            seen.add(name)
            found = store.pictures.in_shard(name)
            known = set()
            for row in records:
                known.add(row["id"])
                if (row["id"] in found) == row["lost"]:
                    (back if row["lost"] else gone).append(row["number"])
            left_over += found - known
    for name in store.pictures.shards() - seen:
        left_over += store.pictures.in_shard(name)
    _remove_left_over(store, left_over)
    _note_gone(store, gone)
    _note_back(store, back)


def _remove_files(store: _Open, names: Sequence[str]) -> None:
    """Delete pictures without a record; those that cannot be are found again at the next start."""
    for name in names:
        try:
            store.pictures.remove(name)
        except StorageUnavailable as error:
            log.warning("a picture that was removed is left on the disk: %s", error)


def _remove_left_over(store: _Open, left_over: Sequence[str]) -> None:
    if len(left_over) > MOST_LEFT_OVER:
        log.warning(
            "%s holds %d pictures without a record: the database may be an older copy; nothing "
            "was deleted. Put the newer one back, or delete %s and the likes of it",
            store.pictures.root,
            len(left_over),
            store.pictures.path(left_over[0]),
        )
        return
    if left_over:
        log.info("%d pictures were left without a record and are removed", len(left_over))
    _remove_files(store, left_over)


def _note_gone(store: _Open, gone: Sequence[int]) -> None:
    """Let pictures fail whose files are gone, unless it does not matter any more."""
    if not gone:
        return
    uploading = SAMPLES.c.state == SampleState.UPLOADING.value
    with store.database.writing() as connection:
        noted = connection.execute(
            sa.update(SAMPLES)
            .where(
                SAMPLES.c.number.in_(_each(gone)),
                sa.or_(uploading, SAMPLES.c.state.in_([state.value for state in SENDABLE])),
            )
            .values(
                state=SampleState.FAILED.value,
                state_before=sa.case((uploading, SAMPLES.c.state_before), else_=SAMPLES.c.state),
                state_reason=GONE,
            )
        ).rowcount
    if noted:
        log.warning("the files of %d pictures are gone from %s", noted, store.pictures.root)


def _note_back(store: _Open, back: Sequence[int]) -> None:
    """Let pictures be what they were whose files were gone."""
    if not back:
        return
    with store.database.writing() as connection:
        connection.execute(
            sa.update(SAMPLES)
            .where(SAMPLES.c.number.in_(_each(back)), SAMPLES.c.state_reason == GONE)
            .values(state=SAMPLES.c.state_before, state_reason="")
        )


# -- queries ----------------------------------------------------------------------------------

_ADD: Final = (
    insert(SAMPLES)
    .on_conflict_do_nothing(index_elements=["stream", "sequence", "camera", "model"])
    .execution_options(preserve_rowcount=True)
)
_NOTE_KEPT: Final = sa.insert(KEPT)
_ACCEPT: Final = (
    sa.update(SAMPLES)
    .where(SAMPLES.c.number == sa.bindparam("row"))
    .values(
        state=SampleState.UPLOADED.value,
        state_reason="",
        remote_id=sa.bindparam("id_there"),
        uploaded_at_us=sa.bindparam("at_us"),
        duplicate=sa.bindparam("was_there"),
    )
)
_RELEASE: Final = (
    sa.update(SAMPLES)
    .where(SAMPLES.c.state == SampleState.UPLOADING.value)
    .values(state=SAMPLES.c.state_before)
)
_REFUSE: Final = (
    sa.update(SAMPLES)
    .where(SAMPLES.c.number == sa.bindparam("row"))
    .values(state=SampleState.FAILED.value, state_reason=sa.bindparam("because"))
)


def _each(values: Sequence[object]) -> sa.Select[Any]:
    """Return the values as a table: as parameters they would be too many for SQLite."""
    return sa.select(sa.func.json_each(json.dumps(list(values))).table_valued("value").c.value)


def _find(
    connection: Connection, camera: str, stream: str, sequence: int, model: str
) -> RowMapping | None:
    table = SAMPLES.c
    query = sa.select(table.number, table.id).where(
        table.stream == stream,
        table.sequence == sequence,
        table.camera == camera,
        table.model == model,
    )
    return connection.execute(query).mappings().first()


def _by_ids(connection: Connection, ids: Sequence[str]) -> Sequence[RowMapping]:
    query = sa.select(SAMPLES).where(SAMPLES.c.id.in_(_each(ids)))
    return connection.execute(query).mappings().all()


def _decide(connection: Connection, after: StoredSample) -> None:
    connection.execute(
        sa.update(SAMPLES)
        .where(SAMPLES.c.id == after.id)
        .values(
            state=after.state.value,
            state_reason=after.state_reason,
            boxes=None if after.boxes is None else _boxes_text(after.boxes),
            shown=_text(shown_labels(after.predictions, after.scores, after.boxes)),
        )
    )


def _chosen(table: sa.Table, wanted: SampleFilter) -> list[sa.ColumnElement[bool]]:
    chosen = [
        table.c[name] == value
        for name in ("state", "camera", "strategy", "label")
        if (value := getattr(wanted, name))
    ]
    if wanted.since is not None:
        chosen.append(table.c.captured_at_us >= _us(wanted.since))
    if wanted.until is not None:
        chosen.append(table.c.captured_at_us < _us(wanted.until))
    return chosen


def _count_of(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((condition, 1), else_=0))


def _us(moment: datetime) -> int:
    """Return Unix microseconds; a moment without an offset is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * MICROSECONDS + since.microseconds


_TO_REMOVE: Final = (
    SAMPLES.c.number,
    SAMPLES.c.id,
    SAMPLES.c.bytes,
    SAMPLES.c.uploaded_at_us,
)


@dataclass(frozen=True, slots=True)
class _Removed:
    names: tuple[str, ...]
    more: bool


def _remove(store: _Open, limits: SampleLimits, now_us: int | None, most: int) -> _Removed:
    """Remove the records of `most` pictures at most that are beyond the limits."""
    with store.database.writing() as connection:
        rows = _too_old(connection, limits, now_us, most) or _too_many(connection, limits, most)
        numbers = _each([row["number"] for row in rows])
        connection.execute(sa.delete(SAMPLES).where(SAMPLES.c.number.in_(numbers)))
        dropped = sum(row["uploaded_at_us"] is None for row in rows)
        if dropped:
            connection.execute(sa.update(STORE).values(dropped=STORE.c.dropped + dropped))
        _forget_kept(connection, now_us, most)
    return _Removed(tuple(row["id"] for row in rows), more=len(rows) == most)


def _too_old(
    connection: Connection, limits: SampleLimits, now_us: int | None, most: int
) -> Sequence[RowMapping]:
    """Return some of what was captured too long ago; a time that cannot be is not judged."""
    if now_us is None:
        return ()
    captured = SAMPLES.c.captured_at_us
    before_us = now_us - int(limits.keep_days * DAY_US)
    query = (
        sa.select(*_TO_REMOVE)
        .where(
            captured >= EARLIEST_US,
            captured < before_us,
            SAMPLES.c.state != SampleState.UPLOADING.value,
        )
        .order_by(captured)
        .limit(most)
    )
    return connection.execute(query).mappings().all()


def _too_many(connection: Connection, limits: SampleLimits, most: int) -> list[RowMapping]:
    """Return some of what is worth least, as far as there is too much."""
    pictures, size = connection.execute(
        sa.select(
            sa.func.coalesce(sa.func.sum(TOTALS.c.pictures), 0),
            sa.func.coalesce(sa.func.sum(TOTALS.c.bytes), 0),
        )
    ).one()
    pictures -= limits.keep_pictures
    size -= limits.keep_mb * MEGABYTE
    chosen: list[RowMapping] = []
    for state, by_value in REMOVED_FIRST:
        if (pictures <= 0 and size <= 0) or len(chosen) == most:
            break
        order = [SAMPLES.c.captured_at_us, SAMPLES.c.number]
        if by_value:
            order.insert(0, SAMPLES.c.value)
        query = sa.select(*_TO_REMOVE).where(SAMPLES.c.state == state.value).order_by(*order)
        for row in connection.execute(query.limit(most - len(chosen))).mappings():
            if pictures <= 0 and size <= 0:
                break
            chosen.append(row)
            pictures -= 1
            size -= row["bytes"]
    return chosen


def _forget_kept(connection: Connection, now_us: int | None, most: int) -> None:
    """Forget what was kept too long ago to count, but for the last of each camera."""
    table = KEPT.c
    camera = connection.scalar(sa.select(sa.func.min(table.camera)))
    while camera is not None:
        numbers = sa.select(table.number).where(table.camera == camera)
        newest = numbers.order_by(table.number.desc())
        # By count, too: what was kept in the future, by a clock that was wrong, never gets old.
        many = connection.scalar(newest.offset(MOST_A_DAY).limit(1))
        enough = connection.scalar(newest.offset(HASHES).limit(1))
        forgotten: list[sa.ColumnElement[bool]] = []
        if many is not None:
            forgotten.append(table.number <= many)
        if enough is not None and now_us is not None:
            old = table.stored_at_us < now_us - KEEP_COUNTS_US
            forgotten.append(sa.and_(table.number <= enough, old))
        if forgotten:
            some = numbers.where(sa.or_(*forgotten)).order_by(table.number).limit(most)
            connection.execute(sa.delete(KEPT).where(table.number.in_(some)))
        camera = connection.scalar(
            sa.select(sa.func.min(table.camera)).where(table.camera > camera)
        )


def _forget_sent(connection: Connection, at_us: int) -> None:
    newest = connection.execute(sa.select(sa.func.max(SENT.c.number))).scalar_one()
    connection.execute(
        sa.delete(SENT).where(
            sa.or_(SENT.c.at_us < at_us - KEEP_SENT_US, SENT.c.number <= newest - MOST_SENT)
        )
    )


# -- rows -------------------------------------------------------------------------------------


def _row_of(sample: NewSample) -> dict[str, Any]:
    return {
        "id": sample_id(sample.camera, sample.captured_at_us, secrets.randbits(32)),
        "camera": sample.camera,
        "stream": sample.stream,
        "sequence": sample.sequence,
        "captured_at_us": sample.captured_at_us,
        "stored_at_us": sample.stored_at_us,
        "width": sample.width,
        "height": sample.height,
        "bytes": len(sample.jpeg),
        "model": sample.model,
        "model_version": sample.model_version,
        "model_digest": sample.model_digest,
        "labels": _text(sample.labels),
        "strategy": sample.strategy,
        "reason": sample.reason,
        "value": sample.value,
        "predictions": _boxes_text(sample.predictions),
        "scores": _text(sample.scores),
        "state": SampleState.NEW.value,
        "state_before": "",
        "state_reason": "",
        "attempts": 0,
        "boxes": None,
        "shown": _text(shown_labels(sample.predictions, sample.scores)),
        "remote_id": None,
        "uploaded_at_us": None,
        "duplicate": 0,
    }


def _kept_row(sample: NewSample) -> dict[str, Any]:
    return {
        "camera": sample.camera,
        "captured_at_us": sample.captured_at_us,
        "stored_at_us": sample.stored_at_us,
        "labels": _text(shown_labels(sample.predictions, sample.scores)),
        "hash": sample.hash - 2**64 if sample.hash >= 2**63 else sample.hash,
    }


def _stored(row: Mapping[str, Any] | RowMapping) -> StoredSample:
    boxes = row["boxes"]
    return StoredSample(
        id=row["id"],
        camera=row["camera"],
        captured_at_us=row["captured_at_us"],
        stored_at_us=row["stored_at_us"],
        width=row["width"],
        height=row["height"],
        bytes=row["bytes"],
        model=row["model"],
        model_version=row["model_version"],
        model_digest=row["model_digest"],
        labels=tuple(json.loads(row["labels"])),
        strategy=row["strategy"],
        reason=row["reason"],
        value=row["value"],
        predictions=_boxes(row["predictions"]),
        scores=tuple((label, score) for label, score in json.loads(row["scores"])),
        state=SampleState(row["state"]),
        state_reason=row["state_reason"],
        attempts=row["attempts"],
        boxes=None if boxes is None else _boxes(boxes),
        remote_id=row["remote_id"],
        uploaded_at_us=row["uploaded_at_us"],
        duplicate=bool(row["duplicate"]),
    )


def _boxes_text(boxes: Sequence[LabelledBox]) -> str:
    return _text([(b.label, b.x, b.y, b.width, b.height, b.confidence) for b in boxes])


def _boxes(text: str) -> tuple[LabelledBox, ...]:
    return tuple(LabelledBox(*box) for box in json.loads(text))


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
