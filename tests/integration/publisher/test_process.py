"""The service as a process, over a real broker."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Inbox, Subscription
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import (
    BUSY,
    ChartResults,
    Command,
    ListResults,
    Reply,
    ShowLogger,
)
from nxai_common.contracts.configuration import LoggerOptions
from nxai_common.contracts.outputs import CameraState, Detections, Event, Output
from nxai_common.contracts.status import ServiceState, Status
from support.broker import Broker
from support.publisher import configuration
from support.results import detection, result
from support.waiting import wait_for

KILLS = 4
KEEP = LoggerOptions(keep_days=36_500)


def environment(broker: Broker, folder: Path) -> dict[str, str]:
    return {
        **os.environ,  # noqa: TID251 - a child process needs PATH and the like
        **broker.environment,
        "NXAI_RUN_DIR": str(folder / "run"),
        "NXAI_HEARTBEAT_S": "0.2",
    }


def start(broker: Broker, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "nxai_publisher"], env=environment(broker, folder)
    )


@contextmanager
def process(broker: Broker, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    service = start(broker, folder)
    try:
        yield service
    finally:
        service.send_signal(signal.SIGTERM)
        assert service.wait(20) == 0


@pytest.fixture
def bus(broker: Broker) -> Iterator[MqttBus]:
    with broker.bus("outside") as outside:
        assert outside.wait_connected(10)
        yield outside


class Listener:
    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.received: list[Message] = []

    def of(self, kind: type[Message]) -> list[Message]:
        while (delivery := self.inbox.receive(0.01)) is not None:
            self.received.append(delivery.message)
            delivery.acknowledge()
        return [message for message in self.received if isinstance(message, kind)]

    def has(self, kind: type[Message], count: int) -> bool:
        return len(self.of(kind)) >= count

    def status(self) -> Status | None:
        found = self.of(Status)
        last = found[-1] if found else None
        return last if isinstance(last, Status) else None


@pytest.fixture
def outside(bus: MqttBus) -> Iterator[Listener]:
    kinds = (Output, Detections, CameraState, Event, Status)
    with closing(bus.subscribe(*(Subscription(kind) for kind in kinds))) as inbox:
        yield Listener(inbox)


def stored(folder: Path) -> list[int]:
    path = folder / "run" / "data" / "nxai.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as connection:
        try:
            rows = connection.execute("SELECT sequence FROM results ORDER BY sequence")
            return [row[0] for row in rows]
        except sqlite3.OperationalError:  # the tables are being made
            return []


def _at_least(folder: Path, count: int) -> bool:
    return len(stored(folder)) >= count


def running(outside: Listener, revision: str = "1") -> bool:
    status = outside.status()
    return (
        status is not None
        and status.state is ServiceState.RUNNING
        and status.configuration_revision == revision
    )


def runs_as(outside: Listener, pid: int) -> bool:
    status = outside.status()
    return status is not None and status.pid == pid and running(outside)


def test_results_in_outputs_out_rows_stored(
    broker: Broker, bus: MqttBus, outside: Listener, tmp_path: Path
) -> None:
    bus.publish(configuration(logger=KEEP))
    with process(broker, tmp_path):
        wait_for(lambda: running(outside), 60)
        for number in range(200):
            bus.publish(result(number))
        wait_for(lambda: len(outside.of(Detections)) == 200)
        wait_for(lambda: len(outside.of(Output)) == 200)
        wait_for(lambda: stored(tmp_path) == list(range(200)))
        wait_for(lambda: outside.of(Event))
        bus.publish(configuration("2", logger=KEEP, detections=False))
        wait_for(lambda: running(outside, "2"))
    wait_for(lambda: getattr(outside.status(), "state", None) is ServiceState.STOPPED)


def asked(bus: MqttBus, question: Command) -> Any:
    """Return the answer; ask again when the machine was too busy, as the page does."""

    def looked_into() -> Reply | None:
        reply = bus.request(question, 30)
        return None if reply.details.get(BUSY) else reply

    reply = wait_for(looked_into, 60)
    assert reply is not None
    assert reply.ok, reply.reason
    return json.loads(bytes(reply.attachment))


def test_questions_are_answered_over_the_broker_while_results_come(
    broker: Broker, bus: MqttBus, outside: Listener, tmp_path: Path
) -> None:
    everything: dict[str, Any] = {"since": "2026-11-22T10:00Z", "until": "2026-11-22T11:00Z"}
    bus.publish(configuration(logger=KEEP))
    with process(broker, tmp_path):
        wait_for(lambda: running(outside), 60)
        bus.publish(result(0))
        wait_for(lambda: stored(tmp_path) == [0])
        for first in range(1, 401, 100):
            for number in range(first, first + 100):
                bus.publish(result(number))
            asked(bus, ListResults.model_validate({**everything, "limit": 10}))
            asked(bus, ChartResults.model_validate({**everything, "chart": "counts"}))
        wait_for(lambda: len(stored(tmp_path)) == 401)
        found = asked(bus, ListResults.model_validate({**everything, "limit": 10}))
        assert [one["sequence"] for one in found["results"]] == list(range(400, 390, -1))
        assert asked(bus, ShowLogger())["rows"] == 401
        status = outside.status()
        assert status is not None
        assert {"results_held", "questions_waiting", "log_rows", "log_mb"} <= set(status.gauges)
        wait_for(lambda: outside.has(Detections, 401))


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(
    broker: Broker, bus: MqttBus, outside: Listener, tmp_path: Path
) -> None:
    """What was acknowledged is not at the broker any more, so it must be in the database; the
    rest is delivered again. So in the end every result is there, once."""
    bus.publish(configuration(logger=KEEP))
    sent = 0
    for _ in range(KILLS):
        service = start(broker, tmp_path)
        outside.received.clear()
        wait_for(partial(runs_as, outside, service.pid), 60)
        before = len(stored(tmp_path))
        for number in range(sent, sent + 1500):
            bus.publish(result(number, [detection()] * (number % 3)))
            if number % 250 == 0:  # a sender keeps 1,000 at most
                wait_for(lambda: bus._queue.waiting < 250)
        sent += 1500
        wait_for(partial(_at_least, tmp_path, before + 100))
        service.kill()
        service.wait(10)
    with process(broker, tmp_path):
        wait_for(lambda: len(stored(tmp_path)) == sent, 60)
    assert bus.statistics.dropped == 0
    assert stored(tmp_path) == list(range(sent))
    with closing(sqlite3.connect(tmp_path / "run" / "data" / "nxai.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (total,) = connection.execute("SELECT sum(results) FROM result_minutes").fetchone()
        (objects,) = connection.execute("SELECT sum(objects) FROM label_minutes").fetchone()
    assert total == sent
    assert objects == sum(number % 3 for number in range(sent))


def test_live_outputs_go_on_while_nothing_is_acknowledged(
    broker: Broker, bus: MqttBus, outside: Listener, tmp_path: Path
) -> None:
    """More results than the broker hands out unacknowledged (1,000), with a broken database."""
    blocker = tmp_path / "run" / "data"
    blocker.parent.mkdir()
    blocker.write_text("a file where the folder should be")
    bus.publish(configuration(logger=KEEP))
    with process(broker, tmp_path):
        wait_for(lambda: getattr(outside.status(), "problems", ()), 60)
        wait_for(lambda: "$share/live-" in broker.said, what="the live inbox")
        sent = 0
        for _ in range(5):
            for number in range(sent, sent + 300):
                bus.publish(result(number))
            sent += 300
            wait_for(partial(outside.has, Detections, sent), 20)
        sequences = [m.sequence for m in outside.of(Detections) if isinstance(m, Detections)]
        assert sequences == list(range(1500))
        blocker.unlink()
        wait_for(lambda: len(stored(tmp_path)) == 1500, 60)
        wait_for(lambda: getattr(outside.status(), "problems", None) == ())
        for number in range(1500, 1600):
            bus.publish(result(number))
        wait_for(lambda: len(stored(tmp_path)) == 1600)
        wait_for(lambda: len(outside.of(Detections)) == 1600)


def test_a_run_that_was_killed_in_trouble_leaves_no_second_subscription(
    broker: Broker, bus: MqttBus, outside: Listener, tmp_path: Path
) -> None:
    blocker = tmp_path / "run" / "data"
    blocker.parent.mkdir()
    blocker.write_text("a file where the folder should be")
    bus.publish(configuration(logger=KEEP))
    service = start(broker, tmp_path)
    wait_for(lambda: getattr(outside.status(), "problems", ()))
    wait_for(lambda: subscribed("SUBSCRIBE", broker.said))
    service.kill()
    service.wait(10)
    blocker.unlink()
    said = len(broker.said)
    with process(broker, tmp_path):
        wait_for(lambda: subscribed("UNSUBSCRIBE", broker.said[said:]))
        for number in range(50):
            bus.publish(result(number))
        wait_for(lambda: stored(tmp_path) == list(range(50)))
        wait_for(lambda: len(outside.of(Detections)) == 50)
    sent = [
        line
        for line in broker.said[said:].splitlines()
        if "Sending PUBLISH to nxai-box-publisher " in line and "/result'" in line
    ]
    assert len(sent) == 50


def subscribed(packet: str, said: str) -> bool:
    """Tell whether the broker logged this packet about the live subscription."""
    _, _, after = said.partition(f"Received {packet} from nxai-box-publisher")
    return "$share/live-publisher/" in after


def test_a_wrong_database_address_is_a_configuration_error(broker: Broker, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nxai_publisher"],
        env=environment(broker, tmp_path)
        | {"NXAI_PUBLISHER_DATABASE_URL": "mysql://root:s3cret@db/nxai"},
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert "'mysql' are not supported" in done.stderr
    assert "s3cret" not in done.stderr + done.stdout
