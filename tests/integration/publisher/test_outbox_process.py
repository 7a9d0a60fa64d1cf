"""The service as a process with a destination: killed under load, nothing is lost."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Inbox, Subscription
from nxai_common.contracts.configuration import LoggerOptions
from nxai_common.contracts.status import Status
from support.broker import Broker
from support.outbox import destination
from support.publisher import configuration
from support.receiver import Receiver, Request, Say, receiver
from support.results import result
from support.waiting import wait_for

pytestmark = pytest.mark.integration

KILLS = 3
A_ROUND = 400
CAMERAS = ("front", "back")


@pytest.fixture
def bus(broker: Broker) -> Iterator[MqttBus]:
    with broker.bus("outside") as outside:
        assert outside.wait_connected(10)
        yield outside


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def start(broker: Broker, folder: Path, *words: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,  # noqa: TID251 - a child process needs PATH and the like
        **broker.environment,
        "NXAI_RUN_DIR": str(folder / "run"),
        "NXAI_PUBLISHER_SECRETS_DIR": str(folder / "secrets"),
        "NXAI_HEARTBEAT_S": "0.2",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "nxai_publisher", *words],
        env=environment,
        stdout=subprocess.PIPE if words else None,
    )


def status_of(inbox: Inbox, pid: int) -> Status | None:
    """Return the newest status of a process."""
    found = None
    while (delivery := inbox.receive(0)) is not None:
        if isinstance(delivery.message, Status) and delivery.message.pid == pid:
            found = delivery.message
    return found


def configured(inbox: Inbox, pid: int) -> bool:
    status = status_of(inbox, pid)
    return status is not None and status.configuration_revision == "1"


def moody(seed: int) -> Any:
    """Return answers of a server that is well most of the time."""
    rng = random.Random(seed)  # noqa: S311 - a test

    def answer(_: Request) -> Say:
        match rng.randrange(150):
            case 0:
                return Say(503)
            case 1:
                return Say(429, {"Retry-After": "0"})
            case 2:
                return Say(reset=True)
            case _:
                return Say()

    return answer


@pytest.mark.parametrize("logger", [True, False])
def test_killed_at_random_under_load_every_result_arrives_in_order(
    broker: Broker, bus: MqttBus, server: Receiver, tmp_path: Path, *, logger: bool
) -> None:
    rng = random.Random(5)  # noqa: S311 - a test
    server.answer = moody(7)
    log = LoggerOptions(enabled=logger, keep_days=36_500)
    bus.publish(configuration(logger=log, destinations=(destination(url=server.url),)))
    numbers = 0
    with closing(bus.subscribe(Subscription(Status))) as inbox:
        for _ in range(KILLS):
            service = start(broker, tmp_path)
            wait_for(partial(configured, inbox, service.pid), 60)
            for number in range(numbers, numbers + A_ROUND):
                for camera in CAMERAS:
                    bus.publish(result(number, camera=camera, stream=camera))
                if number % 100 == 0:  # a sender keeps 1,000 at most
                    wait_for(lambda: bus._queue.waiting < 100)
            numbers += A_ROUND
            wait_for(partial(has_more, server, len(server.requests) + rng.randrange(1, 300)), 30)
            service.kill()
            service.wait(10)
        service = start(broker, tmp_path)
        everything = {(camera, n) for camera in CAMERAS for n in range(numbers)}
        wait_for(lambda: taken(server).keys() >= everything, 120)
        service.send_signal(signal.SIGTERM)
        assert service.wait(20) == 0
    assert bus.statistics.dropped == 0
    ids = taken(server)
    assert ids.keys() == everything
    assert all(len(keys) == 1 for keys in ids.values())  # of every copy the same
    assert len({key for keys in ids.values() for key in keys}) == len(everything)
    for camera in CAMERAS:
        first = dict.fromkeys(
            message["sequence"] for message in server.messages if message["camera"] == camera
        )
        assert list(first) == list(range(numbers))


def has_more(server: Receiver, count: int) -> bool:
    return len(server.requests) >= count


def taken(server: Receiver) -> dict[tuple[str, int], set[str]]:
    """Return the ids under which each result came."""
    found: dict[tuple[str, int], set[str]] = {}
    for request in list(server.requests):
        message = orjson.loads(request.body)
        found.setdefault((message["camera"], message["sequence"]), set()).add(request.key)
    return found


def test_what_was_refused_is_printed(
    broker: Broker, bus: MqttBus, server: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("S3CRET-KEY")
    server.answer = lambda request: Say(422, body=request.headers["x-key"].encode())
    shop = destination(url=server.url, headers={"X-Key": "{{ secret.key }}"})
    bus.publish(configuration(logger=LoggerOptions(enabled=False), destinations=(shop,)))
    told: list[Status] = []
    with closing(bus.subscribe(Subscription(Status))) as inbox:
        service = start(broker, tmp_path)
        wait_for(partial(configured, inbox, service.pid), 60)
        bus.publish(result(0))

        def rejected() -> bool:
            status = status_of(inbox, service.pid)
            told.extend([] if status is None else [status])
            return bool(told and told[-1].counters.get("rejected_shop"))

        wait_for(rejected, 30)
        wait_for(lambda: rejected() and told[-1].problems)
        service.send_signal(signal.SIGTERM)
        assert service.wait(20) == 0
    reason = told[-1].problems[0].reason
    assert "HTTP 422 Unprocessable Entity; ***" in reason
    printed = start(broker, tmp_path, "rejected", "--destination", "shop")
    out, _ = printed.communicate(timeout=30)
    (line,) = map(orjson.loads, out.splitlines())
    assert (line["destination"], line["camera"]) == ("shop", "front")
    assert orjson.loads(line["payload"])["sequence"] == 0
    assert b"S3CRET" not in out
    nothing = start(broker, tmp_path, "rejected", "--destination", "other")
    assert nothing.communicate(timeout=30)[0] == b""
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"x" * 5000)
    failed = start(broker, tmp_path, "rejected", "--outbox", str(broken))
    failed.communicate(timeout=30)
    assert failed.returncode == 1
