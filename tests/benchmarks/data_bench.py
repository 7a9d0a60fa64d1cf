"""The Data page: every view of it over ten million results, as the page asks for them.

Four cameras at one result a second for 30 days make 10.4 million rows, and more minutes to sum up
than the same rows at a higher rate. Nights are quiet, one label is rare, one in fifty results is
doubtful, and the model changed its version half-way. The file is written in bulk (about two
minutes, 2.5 GB); then the publisher runs as a process of its own on a real Mosquitto, results come
in at 60 a second, and each question is asked again and again, moved a little in time, one at a
time, as a person's page does. Times are those of the asker: encoding, broker, publisher, decoding.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
from benchmarks.line import percentile
from benchmarks.live import CAMERAS, PER_S, publisher_process, results_come

from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.commands import (
    ChartResults,
    Command,
    ExportResults,
    ListResults,
    ShowLogger,
)
from nxai_common.contracts.configuration import (
    LoggerOptions,
    PublisherCamera,
    PublisherConfiguration,
)
from nxai_common.contracts.outputs import Detections
from nxai_common.contracts.status import ServiceState, Status
from nxai_publisher.adapters.sql_database import RESULTS, SUMS, database_url
from nxai_publisher.adapters.sql_logger import SqlLogger
from nxai_publisher.core.rows import LoggedResult, roll_up
from support.broker import Broker
from support.waiting import wait_for

DAYS: Final = 30
LABELS: Final = ("nut", "bolt", "washer", "screw")
RARE: Final = "ring"
RARE_MINUTES: Final = (700, 21_000, 40_000)
"""Minutes of the month in which one camera saw the rare label, once each."""
REPEATS: Final = 15
GOAL_MS: Final = 300.0
PATIENCE_S: Final = 10.0

Ask = Callable[[datetime, datetime], Command]


@dataclass(frozen=True)
class View:
    """A question of the page, and the times it is asked for."""

    name: str
    ask: Ask
    hours: tuple[float, ...]


HOUR, DAY, WEEK, MONTH = 1.0, 24.0, 168.0, 24.0 * DAYS
ALL: Final = (HOUR, DAY, WEEK, MONTH)


def views() -> list[View]:
    """Return what the page asks for."""

    def listed(**only: Any) -> Ask:
        return lambda since, until: ListResults(since=since, until=until, **only)

    def chart(name: Any, **only: Any) -> Ask:
        return lambda since, until: ChartResults(since=since, until=until, chart=name, **only)

    def export(**only: Any) -> Ask:
        return lambda since, until: ExportResults(since=since, until=until, **only)

    return [
        View("results, newest 100", listed(), ALL),
        View("results, oldest 100", listed(newest_first=False), ALL),
        View("results, newest 1000", listed(limit=1000), (MONTH,)),
        View("results of a camera", listed(camera="gate"), ALL),
        View("results of a model", listed(model="m5"), (MONTH,)),
        View("results with a label", listed(label="nut"), ALL),
        View("results with a rare label", listed(label=RARE), ALL),
        View("results with a label never seen", listed(label="unicorn"), (MONTH,)),
        View("doubtful results", listed(uncertain=True), ALL),
        View("doubtful results with a label", listed(uncertain=True, label="bolt"), (MONTH,)),
        View("results with objects", listed(with_objects=True), ALL),
        View("results without objects", listed(with_objects=False, newest_first=False), ALL),
        View("chart of counts", chart("counts"), ALL),
        View("chart of counts, 2000 points", chart("counts", points=2000), ALL),
        View(
            "chart of counts, a camera and label", chart("counts", camera="gate", label="nut"), ALL
        ),
        View("chart of confidence", chart("confidence"), ALL),
        View("chart of latency", chart("latency"), ALL),
        View("chart of certainty", chart("certainty"), ALL),
        View("what is stored", lambda _since, _until: ShowLogger(), (MONTH,)),
        View("export of results, 1000 a part", export(limit=1000), (MONTH,)),
        View("export of counts, 5000 a part", export(what="counts"), (MONTH,)),
    ]


def measure(folder: Path, days: float = DAYS, repeats: int = REPEATS) -> dict[str, float]:
    """Return milliseconds of each view (p50 and p95), and what the writing felt of it."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        run = Path(made)
        database = run / "nxai.db"
        until_s = int(time.time()) // 900 * 900
        began = time.perf_counter()
        rows = fill(database, until_s - int(days * 86_400), int(days * 1440))
        os.sync()  # else the first questions wait for the disk to take what the filling left
        figures = {"rows": rows, "fill_s": time.perf_counter() - began}
        figures["file_mb"] = database.stat().st_size / 1e6
        (run / "broker").mkdir()
        address = f"sqlite:///{database}"
        with (
            Broker(run / "broker") as broker,
            publisher_process(broker, run / "run", NXAI_PUBLISHER_DATABASE_URL=address),
        ):
            figures |= _ask_all(broker, datetime.fromtimestamp(until_s, UTC), repeats)
        return figures


def _ask_all(broker: Broker, end: datetime, repeats: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    with broker.bus("page") as page, broker.bus("sender") as sender:
        assert page.wait_connected(10)
        assert sender.wait_connected(10)
        page.publish(
            PublisherConfiguration(
                revision="bench",
                cameras=tuple(
                    PublisherCamera(id=name, index=number) for number, name in enumerate(CAMERAS)
                ),
                logger=LoggerOptions(keep_days=36_500, keep_mb=1e8),
            )
        )
        with closing(_Ear(page)) as ear:
            wait_for(lambda: ear.runs, 60, "a publisher that runs")
            with results_come(sender) as sent:
                wait_for(lambda: ear.hear() >= 10 * PER_S, 60, "ten seconds of results")
                figures["live_ms_p95_alone"] = percentile(ear.latencies, 95)
                ear.latencies.clear()
                figures |= _ask_each(page, ear, end, repeats)
                figures["live_ms_p95_while_asked"] = percentile(ear.latencies, 95)
            wait_for(lambda: ear.stored == len(sent), 30, f"{len(sent)} live results in the log")
            figures["live_results"] = len(sent)
    return figures


def _ask_each(page: MqttBus, ear: "_Ear", end: datetime, repeats: int) -> dict[str, float]:
    """Return p50 and p95 of each view and range, and the worst of them."""
    figures: dict[str, float] = {}
    for view in views():
        for hours in view.hours:
            took = [_ask(page, view, end - timedelta(minutes=7 * n), hours) for n in range(repeats)]
            ear.hear()
            for percent in (50, 95):
                figures[f"{view.name}, {hours:g} h: p{percent}"] = percentile(took, percent)
    worst = max(value for name, value in figures.items() if name.endswith("p95"))
    return {**figures, "worst_p95_ms": worst}


def _ask(page: MqttBus, view: View, end: datetime, hours: float) -> float:
    """Return milliseconds from the question to its answer."""
    question = view.ask(end - timedelta(hours=hours), end)
    began = time.perf_counter()
    reply = page.request(question, PATIENCE_S)
    took_ms = (time.perf_counter() - began) * 1000
    assert reply.ok, f"{view.name}: {reply.reason}"
    return took_ms


class _Ear:
    """Hears what the publisher says of itself and of live results."""

    def __init__(self, bus: MqttBus) -> None:
        self._inbox = bus.subscribe(Subscription(Detections), Subscription(Status))
        self._status: Status | None = None
        self.latencies: list[float] = []

    def hear(self) -> int:
        """Take what came; return the number of live results heard since they were cleared."""
        while (delivery := self._inbox.receive(0)) is not None:
            match delivery.message:
                case Status() as status:
                    self._status = status
                case Detections() as found:
                    self.latencies.append(found.latency_ms)
        return len(self.latencies)

    @property
    def runs(self) -> bool:
        self.hear()
        status = self._status
        return status is not None and status.state is ServiceState.RUNNING

    @property
    def stored(self) -> float:
        self.hear()
        return 0 if self._status is None else self._status.counters.get("log_stored", 0)

    def close(self) -> None:
        self._inbox.close()


# -- ten million rows -------------------------------------------------------------------------


def fill(path: Path, start_s: int, minutes: int) -> int:
    """Write a month of results and their sums in bulk; return the number of results.

    Minutes are copies of a few, made once; each camera is written from its first to its last, in
    the order of the primary key.
    """
    store = SqlLogger(database_url(f"sqlite:///{path}"))
    store.open()
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous=OFF")
        for camera in CAMERAS:
            kinds = {
                (kind, version): _minute(camera, kind, version)
                for kind in ("busy", "calm", "quiet", "doubtful", "rare")
                for version in ("3", "4")
            }
            for first in range(0, minutes, 360):
                some = [
                    (kinds[_kind(camera, n), "3" if n < minutes / 2 else "4"], start_s + n * 60)
                    for n in range(first, min(first + 360, minutes))
                ]
                database.execute("BEGIN")
                _insert(
                    database,
                    RESULTS.name,
                    (
                        (row[0], row[1] + at_s * 1_000_000, *row[2:])
                        for minute, at_s in some
                        for row in minute.rows
                    ),
                )
                for table, rows in (("result_minutes", 0), ("label_minutes", 1)):
                    _insert(
                        database,
                        table,
                        ((at_s, *row[1:]) for minute, at_s in some for row in minute.sums[rows]),
                    )
                database.execute("COMMIT")
        _sum_up(database)
    return minutes * 60 * len(CAMERAS)


@dataclass(frozen=True)
class _Minute:
    rows: list[tuple[Any, ...]]
    sums: tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]


def _kind(camera: str, minute: int) -> str:
    """Return what a camera sees in a minute: much by day, little by night, now and then more."""
    if camera == "gate" and minute in RARE_MINUTES:
        return "rare"
    spread = (minute * 7919 + CAMERAS.index(camera) * 104_729) % 100
    if spread < 10:
        return "doubtful"
    if minute // 60 % 24 < 6:
        return "quiet"
    return "busy" if spread < 60 else "calm"


def _minute(camera: str, kind: str, version: str) -> _Minute:
    results = [_result(camera, kind, version, second) for second in range(60)]
    sums = roll_up(results)
    return _Minute(
        [tuple(one.row[column.name] for column in RESULTS.columns) for one in results],
        (
            [tuple(row.values()) for row in sums.minutes.values()],
            [tuple(row.values()) for row in sums.labels.values()],
        ),
    )


def _result(camera: str, kind: str, version: str, second: int) -> LoggedResult:
    count = {"quiet": 0, "calm": int(second % 10 == 0)}.get(kind, second % 4)
    found = [_object(LABELS[(second + n) % len(LABELS)], second * 7 + n) for n in range(count)]
    if kind == "rare" and second == 30:
        found.append(_object(RARE, 16))
    confidences: dict[str, tuple[float, ...]] = {}
    for label, confidence, *_ in found:
        confidences[label] = (*confidences.get(label, ()), confidence)
    return LoggedResult(
        {
            "camera": camera,
            "captured_at_us": second * 1_000_000 + 1000 * CAMERAS.index(camera),
            "model": "m5",
            "stream": "0f3a9c1d",
            "sequence": second,
            "model_version": version,
            "picture_width": 1280,
            "picture_height": 720,
            "objects": len(found),
            "uncertain": int(kind == "doubtful" and second % 5 == 0),
            "latency_ms": 12.5 + second % 7,
            "inference_ms": 0.42,
            "detections": orjson.dumps(found).decode(),
            "scores": None,
        },
        confidences,
    )


def _object(label: str, number: int) -> tuple[Any, ...]:
    return label, 0.5 + number % 50 / 100, 10.5 * (number % 60), 31.0, 42.7, 40.0


def _insert(database: sqlite3.Connection, table: str, rows: Any) -> None:
    columns = next(len(known.columns) for known in (RESULTS, *SUMS) if known.name == table)
    marks = ",".join("?" * columns)
    database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608 - our tables


def _sum_up(database: sqlite3.Connection) -> None:
    """Make the quarters of the minutes."""
    for table in SUMS:
        if not table.name.endswith("_quarters"):
            continue
        keys = ", ".join(column.name for column in list(table.primary_key.columns)[1:])
        numbers = ", ".join(
            f"{'MAX' if 'max' in column.name else 'SUM'}({column.name})"
            for column in table.columns
            if not column.primary_key
        )
        database.execute(
            f"INSERT INTO {table.name} SELECT minute_s / 900 * 900 AS at, {keys}, {numbers}"  # noqa: S608 - our tables
            f" FROM {table.name.replace('quarters', 'minutes')} GROUP BY at, {keys}"
        )


def test_data_page_measures(tmp_path: Path) -> None:
    """The same code on an hour of results: the figures come from `make bench`."""
    figures = measure(tmp_path, days=1 / 12, repeats=1)
    assert figures["rows"] == 120 * 60 * len(CAMERAS)
    assert figures["worst_p95_ms"] > 0
