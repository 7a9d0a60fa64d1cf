"""Alarms and processors reach who looks, also who comes later."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.contracts.alarms import Alarm, AlarmPhase
from nxai_common.contracts.processors import ProcessorManifest
from nxai_manager.web.hub import Hub, Kind, Told, Viewer
from support import golden
from support.waiting import wait_for

pytestmark = pytest.mark.unit


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    with MemoryBus(MemoryBroker()) as made:
        yield made


@pytest.fixture
def hub(bus: MemoryBus) -> Iterator[Hub]:
    with Hub(bus) as made:
        yield made


def alarm(number: int, phase: AlarmPhase = AlarmPhase.START) -> Alarm:
    example = golden.example(Alarm)
    assert isinstance(example, Alarm)
    return example.model_copy(update={"id": f"a{number}", "alarm": phase})


def heard(hub: Hub, kind: Kind, count: int) -> list[Told]:
    """Return what somebody is told who begins to look now."""

    async def look() -> list[Told]:
        hub.attach(asyncio.get_running_loop())
        viewer = Viewer()
        hub.join(viewer)
        try:
            async with asyncio.timeout(20):
                hub.listen(viewer, [kind])
                return [await viewer.next() for _ in range(count)]
        finally:
            hub.leave(viewer)
            hub.detach()

    return asyncio.run(look())


def known(hub: Hub, kind: Kind) -> list[str]:
    return list(hub._known[kind])


def test_who_comes_later_hears_how_each_alarm_stands(bus: MemoryBus, hub: Hub) -> None:
    for message in (alarm(1), alarm(2), alarm(1, AlarmPhase.AGAIN), alarm(2, AlarmPhase.END)):
        bus.publish(message)
    last = alarm(3)
    bus.publish(last)
    wait_for(lambda: known(hub, Kind.ALARMS) == ["a1", "a2", "a3"], what="all were read")
    said = [json.loads(told.payload) for told in heard(hub, Kind.ALARMS, 3)]
    assert [(one["type"], one["data"]["id"], one["data"]["alarm"]) for one in said] == [
        ("alarm", "a1", "again"),
        ("alarm", "a2", "end"),
        ("alarm", "a3", "start"),
    ]


def test_an_alarm_that_is_over_is_forgotten_before_one_that_holds(
    bus: MemoryBus, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nxai_manager.web.hub.MOST", {Kind.ALARMS: 2})
    for message in (alarm(1), alarm(2), alarm(2, AlarmPhase.END), alarm(3)):
        bus.publish(message)
    wait_for(lambda: "a3" in known(hub, Kind.ALARMS), what="the last was read")
    assert known(hub, Kind.ALARMS) == ["a1", "a3"]
    bus.publish(alarm(4))
    wait_for(lambda: "a4" in known(hub, Kind.ALARMS), what="one more was read")
    assert known(hub, Kind.ALARMS) == ["a3", "a4"]


def test_each_step_of_an_alarm_is_told_in_its_order() -> None:
    viewer = Viewer()
    viewer.kinds = frozenset({Kind.ALARMS})

    async def scene() -> list[str]:
        for number in range(3):
            viewer.offer(Told(Kind.ALARMS, "a1", str(number)), 0.0)
        return [str((await viewer.next()).payload) for _ in range(3)]

    assert asyncio.run(scene()) == ["0", "1", "2"]


def test_a_processor_that_went_is_gone(bus: MemoryBus, hub: Hub) -> None:
    manifest = golden.example(ProcessorManifest)
    assert isinstance(manifest, ProcessorManifest)
    bus.publish(manifest)
    wait_for(lambda: known(hub, Kind.PROCESSORS) == [manifest.processor], what="it was read")
    (told,) = heard(hub, Kind.PROCESSORS, 1)
    assert json.loads(told.payload)["data"]["processor"] == manifest.processor
    bus.clear(ProcessorManifest, processor=manifest.processor)
    wait_for(lambda: known(hub, Kind.PROCESSORS) == [], what="it is forgotten")
