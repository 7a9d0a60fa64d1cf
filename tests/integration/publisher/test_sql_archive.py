"""What is read of the data logger, against a plain look at every result."""

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from nxai_common.contracts.configuration import LoggerOptions
from nxai_publisher.adapters import sql_archive
from nxai_publisher.adapters.sql_archive import SqlArchive
from nxai_publisher.adapters.sql_database import database_url
from nxai_publisher.adapters.sql_logger import SqlLogger
from nxai_publisher.core.charts import Span
from nxai_publisher.core.observation import observe
from nxai_publisher.core.places import Place
from nxai_publisher.core.questions import ResultQuery, fill
from nxai_publisher.core.rows import LoggedResult, Row, logged
from nxai_publisher.ports import QuestionTooLarge, StorageUnavailable
from support.postgres import Postgres
from support.results import SECOND_US, START_US, classified, detection, result

HOUR_US = 3600 * SECOND_US
END_US = START_US + 30 * HOUR_US
LABELS = ("nut", "bolt", "Nut", "b_lt", "%")


def some_results(count: int = 250, seed: int = 1) -> list[LoggedResult]:
    """Return results of three cameras: bursts, gaps, moments shared by many, two models."""
    rng = random.Random(seed)  # noqa: S311 - made-up results, not a secret
    found: dict[tuple[object, ...], LoggedResult] = {}
    at_us = START_US + 7
    for number in range(count):
        at_us += rng.choice((0, 0, 1, SECOND_US // 15, 40 * SECOND_US, 20 * 60 * SECOND_US // 8))
        camera = rng.choice(("back", "front", "side"))
        common: dict[str, Any] = {
            "camera": camera,
            "captured_at_us": at_us,
            "stream": rng.choice(("run-1", "run-2", "Ä")),
            "model_version": "3" if number < count / 2 else "4",
            "uncertain": rng.random() < 0.1,
        }
        if camera == "side":
            nut = rng.random()
            item = classified(number, nut=nut, bolt=1 - nut).model_copy(update=common)
        else:
            labels = [rng.choice(LABELS) for _ in range(rng.choice((0, 0, 1, 2)))]
            if number == count // 3:
                labels.append("rare")
            item = result(
                number,
                [detection(label, round(rng.random(), 2)) for label in labels],
                model=rng.choice(("m5-nut", "m6")),
                **common,
            )
        kept = logged(item, observe(item), 5.0 + number % 10)
        found[kept.key] = kept
    return list(found.values())


@pytest.fixture(scope="module")
def kept() -> list[LoggedResult]:
    return some_results()


@contextmanager
def written(url: URL, results: list[LoggedResult]) -> Iterator[SqlLogger]:
    """A data logger with results that came in batches, out of order, and some of them twice."""
    rng = random.Random(2)  # noqa: S311 - an order, not a secret
    shuffled = rng.sample(results, len(results)) + rng.sample(results, len(results) // 5)
    store = SqlLogger(url)
    store.open()
    try:
        for first in range(0, len(shuffled), 97):
            store.write(shuffled[first : first + 97])
        yield store
    finally:
        store.close()


def identity(row: Row) -> tuple[object, ...]:
    return (row["camera"], row["captured_at_us"], row["model"], row["stream"], row["sequence"])


def in_order(results: list[LoggedResult]) -> list[Row]:
    """Return rows in the order of time, camera, model, stream, sequence (of both databases)."""
    return sorted(
        (one.row for one in results),
        key=lambda row: (
            row["captured_at_us"],
            row["camera"],
            row["model"],
            row["stream"].encode(),
            row["sequence"],
        ),
    )


def pages(archive: SqlArchive, query: ResultQuery, limit: int, *, late: bool = False) -> list[Row]:
    """Return all that is found page by page."""
    found: list[Row] = []
    query = replace(query, limit=limit)
    seen: set[Place] = set()
    while True:
        rows: list[Row] = []

        def render(row: Row, rows: list[Row] = rows) -> bytes:
            rows.append(row)
            return b"x"

        page = fill(archive.walk(query), render, limit=limit, room=10**9, late=lambda: late)
        found += rows[: len(page.pieces)]
        if page.next is None:
            return found
        assert page.next not in seen  # it leads on
        seen.add(page.next)
        query = replace(query, after=page.next)


FILTERS: list[tuple[dict[str, Any], Callable[[LoggedResult], bool]]] = [
    ({}, lambda _: True),
    ({"camera": "front"}, lambda one: one.row["camera"] == "front"),
    ({"camera": "nowhere"}, lambda _: False),
    ({"model": "m6"}, lambda one: one.row["model"] == "m6"),
    ({"label": "nut"}, lambda one: "nut" in one.confidences),
    ({"label": "b_lt"}, lambda one: "b_lt" in one.confidences),
    ({"label": "%"}, lambda one: "%" in one.confidences),
    ({"label": "rare"}, lambda one: "rare" in one.confidences),
    ({"label": "never"}, lambda _: False),
    ({"uncertain": True}, lambda one: one.row["uncertain"] == 1),
    ({"uncertain": False}, lambda one: one.row["uncertain"] == 0),
    ({"with_objects": True}, lambda one: bool(one.confidences)),
    ({"with_objects": False}, lambda one: not one.confidences),
    (
        {"camera": "back", "uncertain": True, "label": "bolt", "model": "m5-nut"},
        lambda one: (
            (one.row["camera"], one.row["uncertain"], one.row["model"]) == ("back", 1, "m5-nut")
            and "bolt" in one.confidences
        ),
    ),
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    kept: list[LoggedResult],
) -> Iterator[URL]:
    if request.param == "sqlite":
        url = database_url(f"sqlite:///{tmp_path_factory.mktemp('full')}/nxai.db")
    else:
        url = database_url(request.getfixturevalue("postgres").create_database())
    with written(url, kept):
        yield url


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(("only", "wanted"), FILTERS, ids=[str(only) for only, _ in FILTERS])
def test_pages_joined_are_all_there_is_in_order_and_once(
    full: URL,
    kept: list[LoggedResult],
    only: dict[str, Any],
    wanted: Callable[[LoggedResult], bool],
    newest_first: bool,
) -> None:
    expected = in_order([one for one in kept if wanted(one)])
    if newest_first:
        expected.reverse()
    query = ResultQuery(0, END_US, newest_first=newest_first, **only)
    with SqlArchive(full) as archive:
        assert pages(archive, query, 10_000) == expected
        found = pages(archive, query, max(1, len(expected) // 9))
        assert [identity(row) for row in found] == [identity(row) for row in expected]


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("number", [3, 4, 11, 13])
def test_pages_that_end_early_lead_on_all_the_same(
    full: URL, kept: list[LoggedResult], number: int, newest_first: bool
) -> None:
    """Time runs out after each thing that was looked at."""
    only, wanted = FILTERS[number]
    expected = in_order([one for one in kept if wanted(one)])
    query = ResultQuery(0, END_US, newest_first=newest_first, **only)
    with SqlArchive(full) as archive:
        found = pages(archive, query, 1000, late=True)
    assert found == (expected[::-1] if newest_first else expected)


def test_an_export_with_a_label_has_every_probability_of_a_classifier(
    full: URL, kept: list[LoggedResult]
) -> None:
    with SqlArchive(full) as archive:
        found = list(archive.results(0, END_US, label="bolt"))
        # Letters of either case are alike to SQLite's LIKE; what prints an export looks closer.
        found = [row for row in found if '"bolt"' in row["detections"] + (row["scores"] or "")]
    expected = [one for one in kept if one.row["scores"] or "bolt" in one.confidences]
    assert found == in_order(expected)
    assert any("bolt" not in one.confidences for one in expected)


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("only", [{}, {"label": "nut"}, {"with_objects": False}])
def test_only_the_time_asked_for(
    full: URL, kept: list[LoggedResult], only: dict[str, Any], newest_first: bool
) -> None:
    times = sorted(one.row["captured_at_us"] for one in kept)
    since_us, until_us = times[70], times[170]
    query = ResultQuery(since_us, until_us, newest_first=newest_first, **only)
    with SqlArchive(full) as archive:
        found = {identity(row) for row in pages(archive, query, 20)}
    shown = {"nut": {one.key for one in kept if "nut" in one.confidences}}
    assert found == {
        identity(one.row)
        for one in kept
        if since_us <= one.row["captured_at_us"] < until_us
        and ("label" not in only or one.key in shown["nut"])
        and ("with_objects" not in only or not one.confidences)
    }


def test_many_results_of_one_moment_are_paged_too(url: URL) -> None:
    """As of a camera whose clock stands still."""
    items = [
        result(n, camera=camera, captured_at_us=START_US)
        for n in range(60)
        for camera in ("back", "front")
    ]
    results = [logged(item, observe(item), 1.0) for item in items]
    with written(url, results), SqlArchive(url) as archive:
        for newest_first in (False, True):
            for label in (None, "nut"):
                query = ResultQuery(0, END_US, newest_first=newest_first, label=label)
                found = pages(archive, query, 7)
                expected = in_order(results)
                assert found == (expected[::-1] if newest_first else expected)


def test_what_is_written_meanwhile_neither_repeats_nor_hides_a_result(sqlite_url: URL) -> None:
    first, second = some_results(300), some_results(300, seed=3)
    with written(sqlite_url, first) as store, SqlArchive(sqlite_url) as archive:
        query = ResultQuery(0, END_US, newest_first=True, limit=50)
        page = fill(archive.walk(query), lambda _: b"x", limit=50, room=10**9, late=lambda: False)
        assert page.next is not None
        known = {one.key for one in first}
        store.write([one for one in second if one.key not in known])
        rest = ResultQuery(0, END_US, newest_first=True, after=page.next)
        found = {identity(row) for row in pages(archive, rest, 40)}
    behind = in_order(first)[::-1][50:]
    assert {identity(row) for row in behind} <= found


def test_sums_that_outlive_their_results_lead_nowhere_wrong(
    url: URL, kept: list[LoggedResult]
) -> None:
    with written(url, kept) as store, SqlArchive(url) as archive:
        size = archive.overview().size_mb
        store.prune(LoggerOptions(keep_days=36_500, keep_mb=max(size * 0.01, 1e-3)), START_US)
        left = {identity(row) for row in archive.results(0, END_US)}
        assert 0 < len(left) < len(kept)
        for label in ("nut", "rare"):
            found = pages(archive, ResultQuery(0, END_US, label=label), 20)
            assert {identity(row) for row in found} == {
                one.key for one in kept if label in one.confidences and one.key in left
            }
        assert archive.overview().rows >= len(left)


def test_an_archive_without_results_has_no_page(url: URL) -> None:
    with written(url, []), SqlArchive(url) as archive:
        everything = ResultQuery(0, END_US)
        for query in (everything, replace(everything, label="nut", camera="front")):
            assert list(archive.walk(query)) == []
        overview = archive.overview()
        assert (overview.rows, overview.oldest_us, overview.newest_us) == (0, None, None)
        assert (overview.cameras, overview.versions, overview.labels) == ((), (), ())


# -- sums ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_s", [60, 300, 900, 3600, 86_400])
def test_sums_of_any_step_agree_with_the_results(
    full: URL, kept: list[LoggedResult], step_s: int
) -> None:
    midnight_s = START_US // SECOND_US // 86_400 * 86_400
    span = Span(midnight_s, midnight_s + 86_400 * 3, step_s)
    seen: dict[tuple[Any, Any, Any], list[Any]] = {}
    for one in kept:
        row = one.row
        at_s = span.start_s + (row["captured_at_us"] // SECOND_US - span.start_s) // step_s * step_s
        seen.setdefault((at_s, row["model"], row["model_version"]), []).append(row)
    with SqlArchive(full) as archive:
        found: dict[tuple[Any, Any, Any], list[Row]] = {}
        for row in archive.result_sums(span, ("model", "model_version")):
            found.setdefault((row["at_s"], row["model"], row["model_version"]), []).append(row)
        labels = archive.label_sums(span, "front", None, "nut")
    assert found.keys() == seen.keys()
    for key, rows in seen.items():
        sums = found[key]
        assert sum(one["results"] for one in sums) == len(rows)
        assert sum(one["uncertain"] for one in sums) == sum(row["uncertain"] for row in rows)
        assert sum(one["latency_ms_sum"] for one in sums) == pytest.approx(
            sum(row["latency_ms"] for row in rows)
        )
        assert max(one["latency_ms_max"] for one in sums) == max(row["latency_ms"] for row in rows)
        if step_s not in (60, 900):
            assert len(sums) == 1
    nuts = [
        len(one.confidences["nut"])
        for one in kept
        if one.row["camera"] == "front" and "nut" in one.confidences
    ]
    assert sum(row["objects"] for row in labels) == sum(nuts)
    assert {(row["camera"], row["label"]) for row in labels} == {("front", "nut")}
    assert max(row["max_objects"] for row in labels) == max(nuts)


@pytest.mark.parametrize("step_s", [61 * 60, 86_400])
def test_confidence_of_a_whole_span_agrees_with_the_results(
    full: URL, kept: list[LoggedResult], step_s: int
) -> None:
    start_s = START_US // SECOND_US
    with SqlArchive(full) as archive:
        rows = archive.confidence_sums(Span(start_s, start_s + step_s, step_s), "back")
    expected: dict[str, list[float]] = {}
    for one in kept:
        at_s = one.row["captured_at_us"] // SECOND_US
        if one.row["camera"] == "back" and at_s < start_s + step_s:
            for label, values in one.confidences.items():
                expected.setdefault(label, []).extend(values)
    assert {row["label"] for row in rows} == set(expected)
    for row in rows:
        found = expected[row["label"]]
        assert row["objects"] == len(found)
        assert row["confidence_sum"] == pytest.approx(sum(found))
        assert row["confidence_9"] == sum(value >= 0.9 for value in found)


def test_an_overview_tells_what_is_stored(full: URL, kept: list[LoggedResult]) -> None:
    with SqlArchive(full) as archive:
        found = archive.overview()
    times = [one.row["captured_at_us"] for one in kept]
    assert found.database == full.get_backend_name()
    assert (found.oldest_us, found.newest_us) == (min(times), max(times))
    assert len(kept) <= found.rows <= len(kept)
    assert found.cameras == ("back", "front", "side")
    assert set(found.versions) == {(one.row["model"], one.row["model_version"]) for one in kept}
    assert set(found.labels) == {label for one in kept for label in one.confidences}
    assert 0 < found.size_mb < 50


# -- limits ----------------------------------------------------------------------------------------


def test_a_question_that_takes_too_long_is_stopped(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums over sums without end, which no index helps with."""
    with written(url, some_results(20)):
        pass
    monkeypatch.setattr(
        sql_archive,
        "_distinct",
        lambda *_: sa.text(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
        ),
    )
    began_at = time.monotonic()
    with (
        SqlArchive(url, limit_s=0.2) as archive,
        pytest.raises(QuestionTooLarge, match=r"stopped after 0.2 s; ask for a shorter time"),
    ):
        archive.overview()
    assert time.monotonic() - began_at < 100  # and not by the test's own end


def test_a_question_under_way_ends_when_the_archive_is_closed(
    sqlite_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    with written(sqlite_url, some_results(20)):
        pass
    archive = SqlArchive(sqlite_url, limit_s=600)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

    def while_it_closes(*_: object) -> sa.TextClause:
        archive._closing = True
        return sa.text(endless)

    monkeypatch.setattr(sql_archive, "_distinct", while_it_closes)
    with pytest.raises(QuestionTooLarge):
        archive.overview()


def test_a_file_that_was_moved_away_is_not_read_on(sqlite_url: URL) -> None:
    path = Path(str(sqlite_url.database))
    with written(sqlite_url, some_results(20)):
        pass
    with SqlArchive(sqlite_url, limit_s=5) as archive:
        assert archive.overview().rows > 0
        for file in path.parent.glob("nxai.db*"):
            file.rename(file.with_name(f"old-{file.name}"))
        with pytest.raises(StorageUnavailable, match="there is no data logger at"):
            archive.overview()
        with written(sqlite_url, []):
            assert archive.overview().rows == 0


def test_tables_of_an_earlier_version_are_named_as_the_reason(url: URL) -> None:
    with written(url, some_results(20)) as store:
        store.migrate("0001", back=True)
        with (
            SqlArchive(url) as archive,
            pytest.raises(StorageUnavailable, match=r"result_quarters.*; the tables are made, and"),
        ):
            archive.overview()


def test_a_postgresql_reader_cannot_write(postgres: Postgres) -> None:
    url = database_url(postgres.create_database())
    with (
        written(url, []),
        SqlArchive(url) as archive,
        archive._engine.connect() as connection,
        pytest.raises(sa.exc.InternalError, match="read-only transaction"),
    ):
        connection.execute(sa.text("DELETE FROM results"))


def test_rows_of_a_page_are_json_as_stored(full: URL) -> None:
    with SqlArchive(full) as archive:
        for row in archive.newest("side", 5):
            assert set(json.loads(row["scores"])) == {"nut", "bolt"}
