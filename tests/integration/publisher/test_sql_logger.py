import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from nxai_common.contracts.configuration import LoggerOptions
from nxai_common.contracts.results import InferenceResult
from nxai_common.errors import ConfigurationError
from nxai_publisher.adapters import sql_logger
from nxai_publisher.adapters.sql_archive import SqlArchive
from nxai_publisher.adapters.sql_database import (
    LABEL_MINUTES,
    METADATA,
    RESULT_MINUTES,
    RESULTS,
    SUMS,
    database_url,
    pragma,
)
from nxai_publisher.adapters.sql_logger import SqlLogger
from nxai_publisher.core.observation import observe
from nxai_publisher.core.rows import LoggedResult, logged, roll_up
from nxai_publisher.ports import StorageUnavailable, Written
from support.postgres import Postgres
from support.results import SECOND_US, START_US, detection, result

DAY_US = 86_400 * SECOND_US
END_US = START_US + 1000 * DAY_US
KEEP_ALL = LoggerOptions(keep_days=36_500, keep_mb=1e6)


@contextmanager
def opened(url: URL) -> Iterator[SqlLogger]:
    store = SqlLogger(url)
    try:
        store.open()
        yield store
    finally:
        store.close()


def kept(*items: InferenceResult) -> list[LoggedResult]:
    return [logged(item, observe(item), 5.0) for item in items]


def many(count: int, first: int = 0, **changes: Any) -> list[LoggedResult]:
    return kept(*(result(first + n, **changes) for n in range(count)))


def stored(url: URL) -> list[int]:
    with SqlArchive(url) as archive:
        return [row["sequence"] for row in archive.results(0, END_US)]


def counts(url: URL) -> dict[tuple[int, str], tuple[int, int, int]]:
    with SqlArchive(url) as archive:
        return {
            (row["minute_s"] - START_US // SECOND_US, row["label"]): (
                row["results"],
                row["objects"],
                row["max_objects"],
            )
            for row in archive.counts(0, END_US)
        }


def scalar(url: URL, query: sa.Select[Any]) -> Any:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        value = connection.scalar(query)
    engine.dispose()
    return value


def test_results_come_back_as_they_were(url: URL) -> None:
    item = result(3, [detection(confidence=0.5)], uncertain=True)
    with opened(url) as store:
        assert store.write(kept(item)) == Written(1, 0)
    with SqlArchive(url) as archive:
        (row,) = archive.results(0, END_US)
    assert row == kept(item)[0].row


def test_nothing_to_write_is_fine(url: URL) -> None:
    with opened(url) as store:
        assert store.write([]) == Written(0, 0)


def test_roll_ups_add_up_over_batches(url: URL) -> None:
    two = [detection(), detection("bolt", 0.3)]
    with opened(url) as store:
        store.write(kept(result(0), result(1, [])))
        store.write(kept(result(2, two), result(3, [detection()] * 3)))
        store.write(kept(result(600)))
    assert counts(url) == {(0, "nut"): (3, 5, 3), (0, "bolt"): (1, 1, 1), (60, "nut"): (1, 1, 1)}
    with SqlArchive(url) as archive:
        nut, *_ = [r for r in archive.counts(0, END_US) if r["label"] == "nut"]
    assert nut["confidence_sum"] == pytest.approx(5 * 0.75)
    assert [nut[f"confidence_{n}"] for n in range(10)] == [0, 0, 0, 0, 0, 0, 0, 5, 0, 0]
    minute = sa.select(RESULT_MINUTES.c.results).order_by(RESULT_MINUTES.c.minute_s)
    assert scalar(url, minute) == 4
    assert scalar(url, sa.select(sa.func.max(RESULT_MINUTES.c.latency_ms_max))) == 5.0


def test_what_is_delivered_again_is_neither_stored_nor_counted_twice(url: URL) -> None:
    with opened(url) as store:
        store.write(many(5))
        assert store.write(many(10)) == Written(5, 5)
        assert store.write(many(10)) == Written(0, 10)
        twice = many(1, 10) * 2
        assert store.write(twice) == Written(1, 1)
    assert stored(url) == list(range(11))
    assert counts(url)[0, "nut"] == (11, 11, 1)
    assert scalar(url, sa.select(RESULT_MINUTES.c.results)) == 11


def test_a_row_that_is_refused_for_good_does_not_stop_the_others(
    url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    bad = kept(result(1))
    bad[0].row["model_version"] = None
    with opened(url) as store:
        assert store.write([*many(1), *bad, *many(1, 2)]) == Written(2, 0, 1)
    assert stored(url) == [0, 2]
    assert "refuses a result for good" in caplog.text


def test_names_of_any_length_are_stored(url: URL) -> None:
    # Of many letters, or PostgreSQL would compress them to fit.
    name = "".join(chr(0x4E00 + n) for n in range(3000))
    items = kept(result(0), result(1, [detection(name)]), result(2, stream=name), result(3))
    with opened(url) as store:
        assert store.write(items) == Written(4, 0)
        assert store.write(items) == Written(0, 4)
    assert stored(url) == [0, 1, 2, 3]
    with SqlArchive(url) as archive:
        assert [row["results"] for row in archive.counts(0, END_US, label=name)] == [1]
        (found,) = archive.results(0, END_US, label=name)
    assert json.loads(found["detections"])[0][0] == name


def test_migrations_lead_to_the_tables_of_the_code_and_back(url: URL) -> None:
    with opened(url) as store:
        engine = sa.create_engine(url)
        inspector = sa.inspect(engine)
        for table in METADATA.sorted_tables:
            columns = {c["name"]: c for c in inspector.get_columns(table.name)}
            assert list(columns) == [c.name for c in table.columns]
            key = inspector.get_pk_constraint(table.name)["constrained_columns"]
            assert key == [c.name for c in table.primary_key.columns]
            for column in table.columns:
                nullable = columns[column.name]["nullable"]
                assert nullable == (column.name in ("scores", "shown")), column
        store.migrate("base", back=True)
        assert sa.inspect(engine).get_table_names() == ["alembic_version"]
        store.migrate("head")
        assert store.write(many(1)) == Written(1, 0)
        engine.dispose()


OLD_MINUTES = (
    "INSERT INTO result_minutes (minute_s, camera, model, results, objects, uncertain,"
    " latency_ms_sum, latency_ms_max, inference_ms_sum)"
    " VALUES ({}, 'front', 'm5-nut', 3, 3, 1, 30.5, 12.5, 2.25)"
)


def table_of(url: URL, name: str) -> list[dict[str, Any]]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(sa.text(f"SELECT * FROM {name} ORDER BY 1, 2, 3, 4")).mappings()  # noqa: S608 - our own tables
        found = [dict(row) for row in rows]
    engine.dispose()
    return found


def test_what_an_earlier_version_stored_is_summed_up_by_quarters_and_versions(url: URL) -> None:
    """Up to the newest version and back, with what was stored in between."""
    sooner_s = START_US // SECOND_US - 86_400
    with opened(url) as store:
        store.write(many(1300) + many(20, 9000, model_version="4"))
        store.write(many(30, 20, camera="back", model_version="7"))
        sums = {name: table_of(url, name) for name in ("label_minutes", "label_quarters")}
        quarters = table_of(url, "result_quarters")
        store.migrate("0001", back=True)
        assert "model_version" not in table_of(url, "result_minutes")[0]
        assert sum(row["results"] for row in table_of(url, "result_minutes")) == 1350
        with store._transaction() as connection:
            # Sums of results that are stored no more.
            connection.execute(sa.text(OLD_MINUTES.format(sooner_s)))
            connection.execute(sa.text(OLD_MINUTES.format(sooner_s + 60)))
        store.migrate("head")
        assert {name: table_of(url, name) for name in sums} == sums
        gone, *kept_ones = table_of(url, "result_quarters")
        assert gone == {
            "quarter_s": sooner_s,
            "camera": "front",
            "model": "m5-nut",
            "model_version": "",
            "results": 6,
            "objects": 6,
            "shown": None,
            "uncertain": 2,
            "latency_ms_sum": 61.0,
            "latency_ms_max": 12.5,
            "inference_ms_sum": 4.5,
        }
        assert [{**row, "shown": None} for row in quarters] == kept_ones
        minutes = table_of(url, "result_minutes")
        assert {(row["camera"], row["model_version"]) for row in minutes} == {
            ("front", ""),
            ("front", "3"),
            ("front", "4"),
            ("back", "7"),
        }
        # It goes on from there, and what is not known does not become known by half.
        store.write(many(10, 30_000) + many(5, 1300))
        minutes = table_of(url, "result_minutes")
        assert minutes[-1]["shown"] == 10
        assert {row["shown"] for row in minutes[:-1]} == {None}
        assert sum(row["results"] for row in minutes) == 1350 + 15 + 6


def test_a_quarter_of_an_earlier_version_counts_for_its_first_version_of_the_model(
    url: URL,
) -> None:
    with opened(url) as store:
        store.write(many(20, model_version="9") + many(15, 20, model_version="10"))
        store.migrate("0001", back=True)
        store.migrate("head")
        found = table_of(url, "result_quarters")
    assert [(row["model_version"], row["results"]) for row in found] == [("9", 35)]


def test_the_sums_agree_with_the_results_however_they_come(url: URL) -> None:
    """Batches that overlap, come twice, and hold the same result twice."""
    results = [
        *many(200),
        *many(200, 5000, detections=[], uncertain=True),
        *many(100, 9000, camera="back", model_version="4"),
        *many(100, 14_000, detections=[detection("nut", 0.3), detection("bolt", 0.9)]),
    ]
    with opened(url) as store:
        for first, last in ((0, 300), (250, 500), (0, 50), (100, 600), (599, 600), (0, 600)):
            store.write(results[first:last] + results[first : first + 3])
    assert len(stored(url)) == 600
    total = roll_up(results)
    for name, expected in (
        ("result_minutes", list(total.minutes.values())),
        ("result_quarters", total.quarters()),
        ("label_minutes", list(total.labels.values())),
        ("label_quarters", total.label_quarters()),
    ):
        found = table_of(url, name)
        keys = list(expected[0])[:4]
        order = sorted(expected, key=lambda row: [row[key] for key in keys])
        assert len(found) == len(order)
        for one, other in zip(found, order, strict=True):
            assert one == pytest.approx(other), name


def test_opening_again_changes_nothing(url: URL) -> None:
    for first in (0, 5):
        with opened(url) as store:
            store.write(many(5, first))
    assert stored(url) == list(range(10))


def test_a_database_of_a_newer_version_is_refused(url: URL) -> None:
    with opened(url):
        pass
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(ConfigurationError, match="newer version") as caught, opened(url):
        pass
    assert "s3cret" not in str(caught.value)


def test_newest_first(url: URL) -> None:
    with opened(url) as store:
        store.write(many(20) + many(5, camera="back"))
    with SqlArchive(url) as archive:
        assert [row["sequence"] for row in archive.newest("front", 3)] == [19, 18, 17]


def test_results_of_all_cameras_come_in_the_order_of_time(url: URL) -> None:
    with opened(url) as store:
        for camera, offset in (("back", 1), ("front", 0), ("side", 2)):
            store.write(many(600, camera=camera, captured_at_us=START_US + offset))
            store.write(
                kept(
                    *(
                        result(
                            n, camera=camera, stream="r2", captured_at_us=START_US + 3 * n + offset
                        )
                        for n in range(600)
                    )
                )
            )
    with SqlArchive(url) as archive:
        times = [row["captured_at_us"] for row in archive.results(0, END_US)]
        assert len(times) == 3600
        assert times == sorted(times)
        some = list(archive.results(START_US + 30, START_US + 60, "side"))
        assert {row["camera"] for row in some} == {"side"}
        assert [row["captured_at_us"] - START_US for row in some] == list(range(32, 60, 3))


def test_a_label_leaves_out_results_without_it_whatever_its_letters(url: URL) -> None:
    labels = ['a"b', "100%", "back\\slash", "a_b", "螺母", "a\tb", "a\nb", "a\x1fb", "a\x7fb"]
    with opened(url) as store:
        for number, label in enumerate(labels):
            store.write(kept(result(number, [detection(label)])))
    with SqlArchive(url) as archive:
        for number, label in enumerate(labels):
            found = [row["sequence"] for row in archive.results(0, END_US, label=label)]
            assert found == [number], label
        assert [r["label"] for r in archive.counts(0, END_US, "front", "100%")] == ["100%"]


# -- retention --------------------------------------------------------------------------------


def prune(store: SqlLogger, options: LoggerOptions, now_us: int) -> list[int]:
    slices = []
    while (step := store.prune(options, now_us)).more:
        slices.append(step.rows)
    return slices


def test_what_is_too_old_goes_slice_by_slice(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_logger, "SLICE_ROWS", 10)
    with opened(url) as store:
        store.write(many(35) + many(15, camera="back"))
        store.write(many(4, 10_000))
        options = KEEP_ALL.model_copy(update={"keep_days": 1.0})
        slices = prune(store, options, START_US + DAY_US + 950 * SECOND_US)
        assert max(slices) <= 11
        assert sum(slices) > 50
        assert stored(url) == [10_000, 10_001, 10_002, 10_003]
        assert set(counts(url)) == {(960, "nut")}
        assert prune(store, options, START_US + DAY_US + 950 * SECOND_US) == []


def test_the_oldest_go_first_when_it_is_too_large(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_logger, "SLICE_ROWS", 100)
    found = [detection(box=(n, n, n, n)) for n in range(20)]
    with opened(url) as store:
        for first in range(0, 3000, 500):
            for camera in ("front", "back"):
                store.write(many(500, first, camera=camera, detections=found))
        slices = prune(store, KEEP_ALL.model_copy(update={"keep_mb": 2.0}), START_US)
    assert len(slices) > 3
    with SqlArchive(url) as archive:
        left = {
            camera: [row["sequence"] for row in archive.results(0, END_US, camera)]
            for camera in ("front", "back")
        }
    for camera, sequences in left.items():
        assert sequences == list(range(sequences[0], 3000)), camera  # only old ones are gone
        assert 500 < sequences[0] < 2900
    # A minute of 600 results is a turn.
    assert abs(left["front"][0] - left["back"][0]) <= 700
    assert counts(url)[0, "nut"][0] == 600  # the counts stay


def test_a_limit_that_is_put_right_stops_the_deleting(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_logger, "SLICE_ROWS", 100)
    tiny = KEEP_ALL.model_copy(update={"keep_mb": 0.001})
    with opened(url) as store:
        store.write(many(1000))
        assert store.prune(tiny, START_US).more
        left = stored(url)
        assert store.prune(KEEP_ALL, START_US).rows == 0
        assert store.prune(tiny, START_US).more
        store.open()
        assert store.prune(KEEP_ALL, START_US).rows == 0
    assert 0 < len(stored(url)) < len(left) < 1000


def test_each_camera_counts_with_the_size_of_its_own_rows(url: URL) -> None:
    """The first in the alphabet sees nothing, and the second nothing in the beginning."""
    found = [detection(box=(n * 1.1, n * 2.3, n * 3.7, n * 4.1)) for n in range(1, 41)]
    with opened(url) as store:
        for first in (0, 2000):
            store.write(many(2000, first, camera="alley", detections=[]))
        store.write(many(1000, camera="belt", detections=[]))
        store.write(many(2000, 1000, camera="belt", detections=found))
        megabytes = _megabytes(url)
        roomy = KEEP_ALL.model_copy(update={"keep_mb": megabytes * 1.4})
        assert prune(store, roomy, START_US) == []
        tight = KEEP_ALL.model_copy(update={"keep_mb": megabytes * 0.7})
        assert sum(prune(store, tight, START_US)) > 0
        # Not far too much either.
        assert len(stored(url)) > 1000


def _megabytes(url: URL) -> float:
    """Return the size of a database that nothing was deleted from."""
    if url.get_backend_name() == "sqlite":
        query = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    else:
        tables = ("results", *(table.name for table in SUMS))
        query = "SELECT " + " + ".join(f"pg_total_relation_size('{name}')" for name in tables)
    return float(scalar(url, sa.text(query))) / 1e6  # type: ignore[arg-type] # one value


def test_rows_of_one_moment_go_together(sqlite_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_logger, "SLICE_ROWS", 10)
    with opened(sqlite_url) as store:
        store.write(many(50, captured_at_us=START_US))
        options = KEEP_ALL.model_copy(update={"keep_days": 1.0})
        assert prune(store, options, START_US + 10 * DAY_US)[0] == 50


def test_sums_of_minutes_and_quarters_grow_old_together(url: URL) -> None:
    with opened(url) as store:
        for hour in range(6):
            store.write(many(10, hour * 36_000))
        for minutes in (59, 61, 74, 76, 200):
            options = KEEP_ALL.model_copy(update={"keep_days": 1.0})
            prune(store, options, START_US + DAY_US + minutes * 60 * SECOND_US)
            tables = ("result_minutes", "result_quarters", "label_minutes", "label_quarters")
            totals = {sum(row["results"] for row in table_of(url, name)) for name in tables}
            assert totals == {10 * sum(hour * 60 >= minutes // 15 * 15 for hour in range(6))}


def test_what_is_stored_is_measured(url: URL) -> None:
    with opened(url) as store:
        assert store.measure().rows == 0
        store.write(many(1000) + many(700, 3, camera="back"))
        found = store.measure()
        assert found.rows == 1700
        assert 0.1 < found.size_mb < 5
        # Sums outlive results: those that are gone are not counted.
        store.prune(KEEP_ALL.model_copy(update={"keep_mb": 0.01}), START_US)
        left = len(stored(url))
        assert 0 < left < 1700
        assert left <= store.measure().rows <= left + 1200


def test_when_no_result_is_left_the_roll_ups_go(url: URL) -> None:
    with opened(url) as store:
        store.write(many(5))
        options = KEEP_ALL.model_copy(update={"keep_mb": 1e-6})
        prune(store, options, START_US)
    assert stored(url) == []
    assert counts(url) == {}


def test_empty_pages_are_given_back_to_the_disk(
    sqlite_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_logger, "SPARE_PAGES", 10)
    monkeypatch.setattr(sql_logger, "VACUUM_PAGES", 50)
    with opened(sqlite_url) as store:
        for first in range(0, 20_000, 2000):
            store.write(many(2000, first))
        options = KEEP_ALL.model_copy(update={"keep_days": 1.0})
        prune(store, options, START_US + 10 * DAY_US)
        with store._transaction() as connection:
            assert pragma(connection, "page_count") < 100
        assert not store.prune(options, START_US + 10 * DAY_US).more


def fill(store: SqlLogger, first: int, progress: list[int]) -> None:
    """Write until it fails; the last of `progress` is where the failed batch began."""
    for number in range(first, 100_000, 100):
        progress.append(number)
        store.write(many(100, number))


# -- faults -------------------------------------------------------------------------------------


def test_a_full_database_says_so_and_works_again_with_room(sqlite_url: URL) -> None:
    """SQLite's own limit on pages is the fault that a full disk causes, at the same place."""
    progress: list[int] = []
    with opened(sqlite_url) as store:
        store.write(many(100))
        connection = store._connected()
        with connection.begin():
            pages = pragma(connection, "page_count")
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 20}")
        with pytest.raises(StorageUnavailable, match=r"disk is full; make room there$") as caught:
            fill(store, 100, progress)
        written = progress[-1]
        assert str(sqlite_url.database) in str(caught.value)
        assert stored(sqlite_url) == list(range(written))  # all of each batch, or nothing
        store.open()
        store.write(many(100, written))
    assert stored(sqlite_url) == list(range(written + 100))
    assert sum(c[0] for c in counts(sqlite_url).values()) == written + 100


def test_a_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system needs the right to mount one")
    try:
        url = database_url(f"sqlite:///{small}/nxai.db")
        progress: list[int] = []
        with opened(url) as store:
            with pytest.raises(StorageUnavailable, match="disk"):
                fill(store, 0, progress)
            written = progress[-1]
            assert written > 0
            bigger = ["mount", "-o", "remount,size=8m", str(small)]
            subprocess.run(bigger, check=True, capture_output=True)
            store.open()
            assert store.write(many(100, written)).stored == 100
        assert stored(url) == list(range(written + 100))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_locked_database_says_so(sqlite_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nxai_publisher.adapters.sql_database.BUSY_TIMEOUT_S", 0.05)
    with opened(sqlite_url) as store:
        store.write(many(1))
        with closing(sqlite3.connect(str(sqlite_url.database), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageUnavailable, match="another program holds it locked"):
                store.write(many(1, 1))
            other.execute("ROLLBACK")
        store.open()
        assert store.write(many(2)) == Written(1, 1)


def test_readers_do_not_hold_up_the_writer(sqlite_url: URL) -> None:
    with opened(sqlite_url) as store:
        store.write(many(2000))
        with SqlArchive(sqlite_url) as archive:
            rows = archive.results(0, END_US)
            assert next(rows)["sequence"] == 0
            store.write(many(2000, 2000))
            assert len(list(rows)) == 1999  # as it was when the reader began


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"\0" * 8192])
def test_a_file_that_is_no_database_says_so(sqlite_url: URL, content: bytes) -> None:
    path = Path(str(sqlite_url.database))
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StorageUnavailable, match="move it away"), opened(sqlite_url):
        pass
    assert path.read_bytes() == content  # nobody's file is overwritten


def test_a_damaged_database_says_so(sqlite_url: URL) -> None:
    with opened(sqlite_url) as store:
        store.write(many(5000))
    path = Path(str(sqlite_url.database))
    content = bytearray(path.read_bytes())
    content[8192:-4096] = b"\xff" * (len(content) - 12288)
    path.write_bytes(content)
    with pytest.raises(StorageUnavailable, match="damaged; move it away"), opened(sqlite_url) as s:
        s.write(many(5000, 5000))


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_was_moved_away_takes_nothing_more(sqlite_url: URL, replaced: bool) -> None:
    path = Path(str(sqlite_url.database))
    moved = path.parent / "moved"
    with opened(sqlite_url) as store:
        store.write(many(3))
        moved.mkdir()
        for file in path.parent.glob("nxai.db*"):
            file.rename(moved / file.name)
        if replaced:
            path.touch()
        with pytest.raises(StorageUnavailable, match="moved or deleted"):
            store.write(many(6))
        # Nor is anything deleted from what somebody put aside.
        with pytest.raises(StorageUnavailable, match="moved or deleted"):
            store.prune(KEEP_ALL.model_copy(update={"keep_mb": 1e-6}), START_US)
        store.open()
        assert store.write(many(6, 3)) == Written(6, 0)
    assert stored(sqlite_url) == [3, 4, 5, 6, 7, 8]
    assert stored(database_url(f"sqlite:///{moved}/nxai.db")) == [0, 1, 2]


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    url = database_url(f"sqlite:///{tmp_path}/file/nxai.db")
    with pytest.raises(StorageUnavailable, match="cannot be made"), opened(url):
        pass


def test_a_server_that_went_away_says_so_and_is_found_again(postgres: Postgres) -> None:
    url = database_url(postgres.create_database())
    with opened(url) as store:
        store.write(many(5))
        postgres.stop()
        try:
            with pytest.raises(StorageUnavailable) as caught:
                store.write(many(10))
            assert "s3cret" not in str(caught.value)
            with pytest.raises(StorageUnavailable, match=f"{postgres.port}"):
                store.open()
        finally:
            postgres.start()
        store.open()
        assert store.write(many(10)) == Written(5, 5)


def test_a_wrong_password_is_not_shown(postgres: Postgres) -> None:
    url = database_url(postgres.create_database()).set(password="wr0ng")
    with pytest.raises(StorageUnavailable, match="password authentication failed") as caught:
        SqlLogger(url).open()
    assert "wr0ng" not in str(caught.value)


def test_a_store_that_is_not_open_says_so(sqlite_url: URL) -> None:
    with pytest.raises(StorageUnavailable, match="is not open"):
        SqlLogger(sqlite_url).write(many(1))


def test_power_loss_durability_syncs_every_commit(sqlite_url: URL) -> None:
    for durability, expected in (("process-crash", 1), ("power-loss", 2)):
        store = SqlLogger(sqlite_url, durability=durability)  # type: ignore[arg-type] # literals
        store.open()
        with store._transaction() as connection:
            assert pragma(connection, "synchronous") == expected
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        store.close()
        assert mode == "wal"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "cannot be read"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("mysql://root:s3cret@host/db", "'mysql' are not supported"),
    ],
)
def test_addresses_that_do_not_do_are_explained(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        database_url(text)
    assert "s3cret" not in str(caught.value)


def test_addresses_as_hosting_services_write_them() -> None:
    url = database_url("postgres://nxai@db.example/nxai")
    assert url.drivername == "postgresql+psycopg"


def test_an_archive_is_not_made_by_reading(tmp_path: Path) -> None:
    url = database_url(f"sqlite:///{tmp_path}/nothing.db")
    with pytest.raises(StorageUnavailable, match="there is no data logger at"):
        list(SqlArchive(url).results(0, END_US))
    assert not (tmp_path / "nothing.db").exists()


def test_the_archive_cannot_write(sqlite_url: URL) -> None:
    with opened(sqlite_url) as store:
        store.write(many(1))
    with (
        SqlArchive(sqlite_url) as archive,
        archive._engine.connect() as connection,
        pytest.raises(sa.exc.OperationalError, match="readonly"),
    ):
        connection.execute(sa.delete(RESULTS))


def test_rows_are_json_that_anybody_can_query(sqlite_url: URL) -> None:
    with opened(sqlite_url) as store:
        store.write(kept(result(0, [detection("nut", 0.5), detection("bolt", 0.6)])))
    with closing(sqlite3.connect(str(sqlite_url.database))) as plain:
        labels = plain.execute(
            "SELECT json_extract(d.value, '$[0]') FROM results, json_each(detections) AS d"
        ).fetchall()
        (text,) = plain.execute("SELECT detections FROM results").fetchone()
    assert labels == [("nut",), ("bolt",)]
    assert len(json.loads(text)) == 2


def test_label_minutes_table_is_small(sqlite_url: URL) -> None:
    with opened(sqlite_url) as store:
        store.write(many(3000))
    assert scalar(sqlite_url, sa.select(sa.func.count()).select_from(LABEL_MINUTES)) == 5
