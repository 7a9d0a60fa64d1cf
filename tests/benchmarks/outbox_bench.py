"""The outbox: results a second in and out, and a backlog that drains while results come.

Against hand-written loops in the same minutes: one that puts JSON into an SQLite table, one that
posts it with http.client. The server counts requests on a process of its own and checks that the
results of each camera come in order. `python -m benchmarks.outbox_bench`, in the folder of the
tests, prints JSON.
"""

import argparse
import http.client
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.line import median, percentile
from benchmarks.live import CAMERAS, PER_S, publisher_process, results_come

from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import Reply
from nxai_common.contracts.configuration import (
    LoggerOptions,
    PublisherCamera,
    PublisherConfiguration,
)
from nxai_common.contracts.destinations import HttpDestination, OutboxOptions
from nxai_common.contracts.outputs import Detections
from nxai_common.contracts.status import ServiceState, Status
from nxai_publisher.adapters.group_commit import GroupCommit
from nxai_publisher.adapters.outlets import outlets
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.adapters.sqlite_outbox import SqliteOutbox
from nxai_publisher.core.detections import detections_of
from nxai_publisher.core.drafts import Draft, Posted
from nxai_publisher.core.entries import Keeping, wanted_by
from nxai_publisher.core.observation import observe
from nxai_publisher.sending import Senders
from support.broker import Broker
from support.results import detection, result
from support.waiting import wait_for

RESULTS: Final = 100_000
"""In the backlog; `--results 1000000` is what the goal is about."""
OFFERED: Final = 20_000
IN_FLIGHT: Final = 1000
KEEPING: Final = Keeping(enabled=True, keep_days=36_500, keep_mb=1e6)
TESTS: Final = Path(__file__).resolve().parent.parent

_SERVER: Final = """
import asyncio, re, sys
SAYS = b"HTTP/1.1 204 No Content\\r\\n\\r\\n"
SEEN = re.compile(rb'"camera":"(\\w+)".{0,200}?"sequence":(\\d+)')
count = wrong = 0
last = {}
class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
    def data_received(self, data):
        global count, wrong
        self.data += data
        while (end := self.data.find(b"\\r\\n\\r\\n")) >= 0:
            head = self.data[:end].lower()
            size = int(head.split(b"content-length:")[1].split(b"\\r\\n")[0])
            if len(self.data) < end + 4 + size:
                return
            body, self.data = self.data[end + 4 : end + 4 + size], self.data[end + 4 + size :]
            for camera, sequence in SEEN.findall(body):
                count += 1
                wrong += int(sequence) < last.get(camera, -1)
                last[camera] = int(sequence)
            self.transport.write(SAYS)
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(count, wrong, flush=True)
asyncio.run(main())
"""
"""Takes whatever is posted; for each line that it reads, says how many results came so far, and
how many of them behind a newer one of their camera."""


class Server:
    """The process that takes what is sent."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._line())
        self.url = f"http://127.0.0.1:{self.port}/results"

    def counts(self) -> tuple[int, int]:
        """Return how many results came, and how many out of order."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        came, wrong = self._line().split()
        return int(came), int(wrong)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def server() -> Iterator[Server]:
    """Run one on a free port."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.communicate()


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


def messages(count: int) -> list[Detections]:
    """Return what four cameras see: 0 to 3 objects in each frame."""
    made = []
    for number in range(count):
        found = [
            detection(
                ("nut", "bolt")[n % 2],
                0.5 + ((number * 7 + n) % 499) / 1000,
                (10.0 * n + number % 97 / 7, 31.0 + number % 89 / 3, 42.7, 40.0 + number % 13),
            )
            for n in range(number % 4)
        ]
        one = result(
            number // len(CAMERAS),
            found,
            camera=CAMERAS[number % len(CAMERAS)],
            captured_at_us=1_795_341_600_000_000 + number * 16_667,
        )
        now_us = one.captured_at_us + 5000 + number % 7001
        made.append(
            detections_of(one, observe(one), device="box", camera_name="Belt 3", now_us=now_us)
        )
    return made


def posted(made: Sequence[Detections]) -> list[Posted]:
    """Return them as they are put into the outbox."""
    now_us = time.time_ns() // 1000
    return [
        Posted(
            (one.camera, one.sequence),
            (Draft("detections", one, one.camera, one.model, one.count > 0, now_us),),
        )
        for one in made
    ]


def into_the_outbox(folder: Path, made: Sequence[Detections]) -> float:
    """Return results a second through group commits, acknowledged."""
    options = HttpDestination(id="away", url="http://127.0.0.1:9/")
    store = SqliteOutbox(folder / "in.db", device="box")
    store.choose(wanted_by((options,)))
    items = posted(made)
    window = threading.Semaphore(IN_FLIGHT)
    delivery = _Counted(window)
    with GroupCommit(store, about="outbox") as log:
        log.configure(KEEPING)
        began = time.perf_counter()
        for item in items:
            window.acquire()
            log.offer(item, delivery)
        for _ in range(IN_FLIGHT):
            window.acquire()
        return len(items) / (time.perf_counter() - began)


def bare_into_a_table(folder: Path, made: Sequence[Detections]) -> float:
    """Return rows a second of a loop written by hand: JSON as it is, a commit for each hundred."""
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE entries (number INTEGER PRIMARY KEY, payload BLOB)")
        began = time.perf_counter()
        for first in range(0, len(made), 100):
            connection.execute("BEGIN")
            for one in made[first : first + 100]:
                payload = one.encode()
                connection.execute("INSERT INTO entries (payload) VALUES (?)", (payload,))
            connection.execute("COMMIT")
        return len(made) / (time.perf_counter() - began)


def out_of_the_outbox(folder: Path, made: Sequence[Detections], **options: Any) -> float:
    """Return results a second from the file to the server."""
    with server() as receiver:
        destination = HttpDestination(id="shop", url=receiver.url, **options)
        path = folder / "out.db"
        path.unlink(missing_ok=True)
        fill(path, destination, made, len(made))
        store = SqliteOutbox(path, device="box")
        store.choose(wanted_by((destination,)))
        with (
            GroupCommit(store, about="outbox", prune_every_s=1.0) as log,
            Senders(store, _open(folder)) as senders,
        ):
            log.configure(KEEPING)
            began = time.perf_counter()
            senders.configure((destination,))
            wait_for(lambda: store.tally("shop").sent == len(made), 300, "all sent")
            seconds = time.perf_counter() - began
        assert receiver.counts() == (len(made), 0)
        return len(made) / seconds


def bare_post(made: Sequence[Detections], together: int) -> float:
    """Return results a second of a loop written by hand with http.client."""
    with (
        server() as receiver,
        closing(http.client.HTTPConnection("127.0.0.1", receiver.port)) as connection,
    ):
        payloads = [one.encode() for one in made]
        began = time.perf_counter()
        for first in range(0, len(payloads), together):
            part = payloads[first : first + together]
            body = part[0] if together == 1 else b"[" + b",".join(part) + b"]"
            connection.request("POST", "/results", body, {"Content-Type": "application/json"})
            connection.getresponse().read()
        return len(payloads) / (time.perf_counter() - began)


def fill(path: Path, destination: HttpDestination, made: Sequence[Detections], count: int) -> float:
    """Put so many results into an outbox that has this destination; return seconds.

    The messages given come again and again, each time under other numbers.
    """
    store = SqliteOutbox(path, device="box")
    store.choose(wanted_by((destination,)))
    store.open()
    began = time.perf_counter()
    rounds = len(made) // len(CAMERAS)
    for first in range(0, count, len(made)):
        shift = first // len(made) * rounds
        part = [
            one.model_copy(update={"sequence": one.sequence + shift})
            for one in made[: count - first]
        ]
        for begin in range(0, len(part), 2000):
            store.write(posted(part[begin : begin + 2000]))
    store.close()
    return time.perf_counter() - began


def backlog(folder: Path, made: Sequence[Detections], count: int) -> dict[str, float]:
    """Return what a backlog takes, how it drains, and what live results feel of it."""
    with server() as receiver:
        destination = HttpDestination(
            id="shop", url=receiver.url, gather="batch", cameras=CAMERAS, batch_size=100
        )
        path = folder / "outbox.db"
        figures = {"queued": float(count), "fill_s": fill(path, destination, made, count)}
        figures["file_mb"] = path.stat().st_size / 1e6
        figures["bytes_a_result"] = path.stat().st_size / count
        os.sync()  # else live results wait for the disk to take what the filling left
        (folder / "broker").mkdir()
        with (
            Broker(folder / "broker") as broker,
            broker.bus("outside") as outside,
            broker.bus("sender") as sender,
        ):
            assert outside.wait_connected(10)
            assert sender.wait_connected(10)
            _configure(outside, destination)
            with (
                publisher_process(broker, folder / "run", NXAI_PUBLISHER_OUTBOX=str(path)),
                closing(_Ear(outside)) as ear,
            ):
                figures |= _drain(ear, sender, receiver, count)
        return figures


def _drain(ear: "_Ear", sender: MqttBus, receiver: Server, count: int) -> dict[str, float]:
    wait_for(lambda: ear.runs("shop"), 60, "a publisher that runs")
    # Whoever gets them takes a lower number than the last one of the backlog for out of order.
    with results_come(sender, first=1_000_000_000) as sent:
        came, _ = receiver.counts()
        began = time.perf_counter()
        ear.hear()
        ear.latencies.clear()
        wait_for(lambda: ear.hear() and receiver.counts()[0] >= count, 3600, "all drained")
        seconds = time.perf_counter() - began
        while_drained = list(ear.latencies)
        ear.latencies.clear()
        wait_for(lambda: ear.hear() >= 5 * PER_S, 60, "five seconds of results")
    wait_for(lambda: receiver.counts()[0] >= count + len(sent), 60, "live ones came, too")
    total, wrong = receiver.counts()
    return {
        "drained_per_s": (count - came) / seconds,
        "out_of_order": wrong,
        "twice": total - count - len(sent),
        "live_results": len(while_drained),
        "live_ms_p50": percentile(while_drained, 50),
        "live_ms_p99": percentile(while_drained, 99),
        "live_ms_p99_after": percentile(ear.latencies, 99),
    }


def _open(folder: Path) -> Any:
    return outlets(
        device="box",
        secrets=SecretsDirectory(folder),
        files=folder,
        durability="process-crash",
    )


def _configure(bus: MqttBus, destination: HttpDestination) -> None:
    bus.publish(
        PublisherConfiguration(
            revision=destination.id,
            cameras=tuple(PublisherCamera(id=name, index=n) for n, name in enumerate(CAMERAS)),
            logger=LoggerOptions(keep_days=36_500),
            destinations=(destination,),
            outbox=OutboxOptions(keep_days=3650, keep_mb=100_000),
        )
    )


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
                    late_s = time.monotonic() - delivery.received_at
                    came_ms = (time.time() - late_s) * 1000
                    self.latencies.append(came_ms - found.timestamp_ms)
        return len(self.latencies)

    def runs(self, revision: str) -> bool:
        """Tell whether a publisher runs with that configuration."""
        self.hear()
        status = self._status
        return (
            status is not None
            and status.state in (ServiceState.RUNNING, ServiceState.DEGRADED)
            and status.configuration_revision == revision
        )

    def close(self) -> None:
        self._inbox.close()


def measure(
    folder: Path | None = None, results: int = RESULTS, offered: int = OFFERED, rounds: int = 3
) -> dict[str, float]:
    """Return all figures."""
    made = messages(offered)
    taken: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        taken.setdefault(name, []).append(value)

    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=folder) as name:
            place = Path(name)
            note("in", into_the_outbox(place, made))
            note("in_bare", bare_into_a_table(place, made))
            note("each", out_of_the_outbox(place, made))
            note("each_bare", bare_post(made, 1))
            note("batch", out_of_the_outbox(place, made, gather="batch"))
            note("batch_bare", bare_post(made, 100))
    figures = {f"{name}_per_s": median(values) for name, values in taken.items()}
    for name in ("in", "each", "batch"):
        pairs = zip(taken[name], taken[f"{name}_bare"], strict=True)
        figures[f"{name}_ratio"] = median([ours / bare for ours, bare in pairs])
    with tempfile.TemporaryDirectory(dir=folder) as name:
        return figures | backlog(Path(name), made, results)


def test_outbox_measures() -> None:
    """The same code on a small backlog: the figures come from `make bench`."""
    figures = measure(results=5000, offered=2000, rounds=1)
    assert figures["in_per_s"] > 0
    assert (figures["out_of_order"], figures["queued"]) == (0, 5000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=int, default=RESULTS)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(json.dumps(measure(results=arguments.results, rounds=arguments.rounds), indent=1))
