"""Asking a service for its log."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.contracts.commands import ReadLog
from nxai_common.errors import BrokerUnavailable
from nxai_common.log_answers import log_answered
from nxai_common.logs import RecentLines, Redactor

pytestmark = pytest.mark.unit

PATIENCE_S = 30


def record(message: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("nxai_inference", level, "x.py", 1, message, (), None)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def outside(broker: MemoryBroker) -> Iterator[MemoryBus]:
    with MemoryBus(broker) as bus:
        yield bus


def ask(bus: MemoryBus, command: ReadLog) -> Any:
    reply = bus.request(command, PATIENCE_S)
    assert reply.ok
    return json.loads(bytes(reply.attachment))


def test_each_instance_answers_for_itself_alone(broker: MemoryBroker, outside: MemoryBus) -> None:
    first, second = RecentLines(Redactor(), first=1), RecentLines(Redactor(), first=100)
    with (
        MemoryBus(broker) as one,
        MemoryBus(broker) as two,
        log_answered(one, "inference", first),
        log_answered(two, "inference-2", second),
    ):
        first.handle(record("of the first"))
        second.handle(record("of the second"))
        second.handle(record("worse", logging.ERROR))
        answer = ask(outside, ReadLog(service="inference"))
        assert [line["message"] for line in answer["lines"]] == ["of the first"]
        assert answer["next"] == 1
        command = ReadLog(service="inference-2", after=99, level="warning", limit=1)
        answer = ask(outside, command)
        assert [line["message"] for line in answer["lines"]] == ["worse"]
        assert ask(outside, command.model_copy(update={"after": answer["next"]}))["lines"] == []


def test_who_has_ended_answers_no_more(broker: MemoryBroker, outside: MemoryBus) -> None:
    with MemoryBus(broker) as bus:
        with log_answered(bus, "capture", RecentLines(Redactor())):
            ask(outside, ReadLog(service="capture"))
        with pytest.raises(BrokerUnavailable):
            outside.request(ReadLog(service="capture"), 0.05)


def test_a_bus_that_closes_ends_the_answers(broker: MemoryBroker) -> None:
    bus = MemoryBus(broker)
    with bus, log_answered(bus, "capture", RecentLines(Redactor())):
        bus.close()


def test_asking_for_the_log_is_not_logged(
    broker: MemoryBroker, outside: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = RecentLines(Redactor(), first=1)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [lines])
    monkeypatch.setattr(root, "level", logging.DEBUG)
    with MemoryBus(broker) as bus, log_answered(bus, "capture", lines):
        for _ in range(3):
            assert ask(outside, ReadLog(service="capture"))["next"] == 0
