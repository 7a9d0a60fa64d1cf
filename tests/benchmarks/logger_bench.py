"""The data logger: results a second, and questions to ten million rows."""

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa

from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import Reply
from nxai_common.contracts.configuration import LoggerOptions
from nxai_publisher.adapters.group_commit import GroupCommit
from nxai_publisher.adapters.sql_archive import SqlArchive
from nxai_publisher.adapters.sql_database import (
    LABEL_MINUTES,
    RESULT_MINUTES,
    RESULTS,
    database_url,
)
from nxai_publisher.adapters.sql_logger import SqlLogger
from nxai_publisher.core.rows import LoggedResult, roll_up
from support.waiting import wait_for

ROWS = 10_000_000
CAMERAS = 4
FPS = 15
"""Of each camera: ten million results are 46 hours of them."""
LABELS = ("nut", "bolt")
IN_FLIGHT = 20
"""What a broker with default settings hands out before an acknowledgement."""
OFFERED = 30_000
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
REPEATS = 15


class _Counted:
    """A delivery of a broker that waits for acknowledgements."""

    received_at = 0.0
    owed = True

    def __init__(self, window: threading.Semaphore) -> None:
        self.message = Message()
        self._window = window

    def acknowledge(self) -> None:
        self._window.release()

    def reply(self, reply: Reply) -> None:
        del reply


def measure(folder: Path | None = None, rows: int = ROWS) -> dict[str, float]:
    """Return rows a second through the logger, and milliseconds of each question."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        path = Path(made) / "nxai.db"
        url = database_url(f"sqlite:///{path}")
        started = time.perf_counter()
        start_us = time.time_ns() // 1000 - rows * 1_000_000 // (CAMERAS * FPS)
        _fill(SqlLogger(url), rows, start_us)
        os.sync()  # else the first commits wait for the disk to take what the filling left
        fill_s = time.perf_counter() - started
        end_us = start_us + rows * 1_000_000 // (CAMERAS * FPS)
        with SqlArchive(url) as archive:
            newest = [_ms(lambda: archive.newest("camera-2", 200)) for _ in range(REPEATS)]
            hour = [
                _ms(
                    lambda back=back: list(
                        archive.counts(end_us - (back + 1) * HOUR_US, end_us - back * HOUR_US)
                    )
                )
                for back in range(min(REPEATS, (end_us - start_us) // HOUR_US))
            ]
        file_mb = path.stat().st_size / 1e6
        in_flight, cpu_us = _through_the_logger(url, end_us, IN_FLIGHT)
        open_window, open_cpu_us = _through_the_logger(url, end_us + 10**12, 1000)
        return {
            "rows": rows,
            "results_per_s": in_flight,
            "cpu_us_per_result": cpu_us,
            "results_per_s_1000_in_flight": open_window,
            "cpu_us_per_result_1000_in_flight": open_cpu_us,
            "newest_ms": statistics.median(newest),
            "newest_ms_worst": max(newest),
            "counts_ms": statistics.median(hour),
            "counts_ms_worst": max(hour),
            "file_mb": file_mb,
            "fill_rows_per_s": rows / fill_s,
        }


def _through_the_logger(url: sa.URL, start_us: int, in_flight: int) -> tuple[float, float]:
    """Offer results as a broker with a window does; return results a second and CPU of each."""
    window = threading.Semaphore(in_flight)
    results = list(_results(OFFERED, start_us))
    with GroupCommit(SqlLogger(url)) as log:
        log.configure(LoggerOptions(keep_days=36_500, keep_mb=1e8))
        delivery = _Counted(window)
        for first in _results(1, start_us - 10**10):
            window.acquire()
            log.offer(first, delivery)
        wait_for(lambda: log.statistics.stored, 60, "the first commit")
        started, cpu = time.perf_counter(), time.process_time()
        for result in results:
            window.acquire()
            log.offer(result, delivery)
        for _ in range(in_flight):
            window.acquire()
        seconds = time.perf_counter() - started
        return OFFERED / seconds, (time.process_time() - cpu) / OFFERED * 1e6


def _results(count: int, start_us: int) -> Iterator[LoggedResult]:
    """Yield results as a detector of two labels gives them: 0 to 3 objects."""
    texts = [_detections(number) for number in range(64)]
    for number in range(count):
        objects, text, confidences = texts[(number * 7 + number // CAMERAS) % 64]
        camera = number % CAMERAS
        yield LoggedResult(
            {
                "camera": f"camera-{camera}",
                "captured_at_us": start_us + number * 1_000_000 // (CAMERAS * FPS),
                "model": "m5-nut",
                "stream": "0f3a9c1d",
                "sequence": number // CAMERAS,
                "model_version": "3",
                "picture_width": 1280,
                "picture_height": 720,
                "objects": objects,
                "uncertain": int(number % 50 == 0),
                "latency_ms": 12.5,
                "inference_ms": 0.42,
                "detections": text,
                "scores": None,
            },
            confidences,
        )


def _detections(number: int) -> tuple[int, str, dict[str, tuple[float, ...]]]:
    found = [
        (LABELS[n % 2], 0.5 + (number % 40) / 100, 10.5 * n, 31.0 + number, 42.7, 40.0)
        for n in range(number % 4)
    ]
    confidences: dict[str, tuple[float, ...]] = {}
    for item in found:
        confidences[item[0]] = (*confidences.get(item[0], ()), item[1])
    return len(found), orjson.dumps(found).decode(), confidences


def _fill(store: SqlLogger, rows: int, start_us: int) -> None:
    """Write rows quickly, in the order of the primary key: every minute is like the first one."""
    start_us -= start_us % MINUTE_US
    names = [column.name for column in RESULTS.columns]
    insert = f"INSERT INTO results VALUES ({','.join('?' * len(names))})"  # noqa: S608 - a constant
    store.open()
    try:
        connection = store._connected()
        for camera in range(CAMERAS):
            minute = list(_results(60 * FPS * CAMERAS, 0))[camera::CAMERAS]
            one = [tuple(item.row[name] for name in names) for item in minute]
            for hour in range(-(-rows // CAMERAS // len(one) // 60)):
                offsets = [(hour * 60 + n) * MINUTE_US for n in range(60)]
                with connection.begin():
                    connection.exec_driver_sql(
                        insert,
                        [
                            (row[0], start_us + offset + row[1], *row[2:])
                            for offset in offsets
                            for row in one
                        ],
                    )
                    for table, sums in (
                        (RESULT_MINUTES, roll_up(minute).minutes),
                        (LABEL_MINUTES, roll_up(minute).labels),
                    ):
                        connection.execute(
                            sa.insert(table),
                            [
                                {**total, "minute_s": (start_us + offset) // 1_000_000}
                                for offset in offsets
                                for total in sums.values()
                            ],
                        )
    finally:
        store.close()  # the last connection moves the write-ahead log into the file


def _ms(question: Any) -> float:
    started = time.perf_counter()
    assert question()
    return (time.perf_counter() - started) * 1000


def test_logger_measures() -> None:
    """The same code on a small table: the figures come from `make bench`."""
    figures = measure(rows=240_000)
    assert figures["results_per_s"] > 0
    assert figures["rows"] == 240_000
