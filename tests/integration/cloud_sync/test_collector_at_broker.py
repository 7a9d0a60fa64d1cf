import itertools
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_cloud_sync.core.sample import SampleFilter
from support.broker import Broker
from support.results import SECOND_US, START_US
from support.samples import files_of, jpeg, message, totals_are_true
from support.shared import ROOT
from support.waiting import wait_for

PICTURES = 300
KILLS = 5
PROBES = 100_000
"""Numbers from here on are not of the test."""


@contextmanager
def collector(broker: Broker, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start a collector; it has asked for its subscription then."""
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "support.collecting_process",
            str(folder),
            broker.url,
            broker.username,
            broker.password,
        ],
        cwd=ROOT / "tests",
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "collecting\n"
            yield process
        finally:
            process.kill()


def test_a_collector_that_is_killed_again_and_again_keeps_each_picture_once(
    broker: Broker, tmp_path: Path
) -> None:
    folder = tmp_path / "samples"
    rng = random.Random(5)  # noqa: S311 - the same moments every time
    pause = threading.Event()
    with broker.bus("capture") as bus, ExitStack() as ends:
        process = ends.enter_context(collector(broker, folder))
        probes = itertools.count(PROBES)

        def subscribed() -> bool:
            bus.publish(message(next(probes)))
            return bool(files_of(folder))

        wait_for(subscribed, what="the subscription is in force")
        for kill in range(KILLS):
            first = kill * PICTURES // KILLS
            for number in range(first, first + PICTURES // KILLS):
                assert bus.publish(message(number, "nut"))
            pause.wait(rng.uniform(0.05, 0.4))
            process.kill()
            assert process.wait() == -signal.SIGKILL
            process = ends.enter_context(collector(broker, folder))
        wait_for(lambda: len(kept_in(folder)) >= PICTURES, 60, "all pictures")
        # What is kept and not acknowledged yet would be delivered to the next process.
        process.kill()
    with SqlSamples(folder) as store:
        samples = store.page(SampleFilter(), 10_000, 0).samples
        numbers = {one.id: (one.captured_at_us - START_US) // SECOND_US for one in samples}
        assert sorted(n for n in numbers.values() if n < PROBES) == list(range(PICTURES))
        assert len(set(numbers.values())) == len(numbers)
        assert len(store.kept_lately("front", 10_000)) == len(numbers)
    assert files_of(folder) == {name: jpeg(number) for name, number in numbers.items()}
    totals_are_true(folder)


def kept_in(folder: Path) -> list[int]:
    """Return the numbers of the pictures that have a record, but for probes."""
    with closing(sqlite3.connect(f"file:{folder}/samples.db?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT sequence FROM samples WHERE sequence < ?", (PROBES,))
        return [row[0] for row in rows]
