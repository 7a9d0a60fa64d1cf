"""Who looks gets what is new, and nobody holds up anybody."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.commands import WatchCamera
from nxai_common.contracts.frames import Preview
from nxai_common.contracts.models import ModelManifest
from nxai_common.contracts.outputs import Detections, Event, Output
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.contracts.status import Status
from nxai_manager.web.hub import QUEUE, Hub, Kind, Told, Viewer
from support import golden
from support.waiting import wait_for

pytestmark = pytest.mark.unit
AT = datetime(2026, 3, 14, tzinfo=UTC)


class World:
    """A box on a bus in memory, and the hub of its manager."""

    def __init__(self) -> None:
        broker = MemoryBroker()
        self.box = MemoryBus(broker)
        self.bus = MemoryBus(broker)
        self.hub = Hub(self.bus)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    with made.box, made.bus, made.hub:
        yield made


def look(world: World, scene: Callable[[Viewer], Awaitable[None]]) -> None:
    """Play a scene with one viewer in an event loop."""

    async def play() -> None:
        world.hub.attach(asyncio.get_running_loop())
        viewer = Viewer()
        world.hub.join(viewer)
        try:
            async with asyncio.timeout(20):
                await scene(viewer)
        finally:
            world.hub.leave(viewer)
            world.hub.detach()

    asyncio.run(play())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a thread changes it
            await asyncio.sleep(0.01)


def text(told: Told) -> dict[str, Any]:
    assert isinstance(told.payload, str)
    said: dict[str, Any] = json.loads(told.payload)
    return said


def detections(sequence: int, camera: str = "front") -> Detections:
    example = golden.example(Detections)
    assert isinstance(example, Detections)
    return example.model_copy(update={"sequence": sequence, "camera": camera})


def event(number: int) -> Event:
    example = golden.example(Event)
    assert isinstance(example, Event)
    return example.model_copy(update={"id": f"e{number}"})


def test_who_begins_to_listen_is_told_what_holds(world: World) -> None:
    status = golden.example(Status)
    world.box.publish(status)
    wait_for(lambda: "capture" in world.hub.statuses(), what="the status came")

    async def scene(viewer: Viewer) -> None:
        world.hub.listen(viewer, [Kind.STATUS])
        said = text(await viewer.next())
        assert said["type"] == "status"
        assert said["data"]["service"] == "capture"

    look(world, scene)


def test_names_that_come_and_go_do_not_fill_the_memory(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nxai_manager.web.hub.MOST_KNOWN", 3)
    status = golden.example(Status)
    for name in ("stays", "a1", "a2", "stays", "a3", "a4"):
        world.box.publish(status.model_copy(update={"service": name}))
    wait_for(lambda: "a4" in world.hub.statuses(), what="the last status came")
    assert set(world.hub.statuses()) == {"stays", "a3", "a4"}


def test_settings_are_told_to_who_listens_and_to_who_comes_later(world: World) -> None:
    async def scene(viewer: Viewer) -> None:
        world.hub.listen(viewer, [Kind.SETTINGS])
        assert text(await viewer.next()) == {"type": "settings", "data": {}}
        world.hub.tell_settings('{"revision":"r2"}')
        assert text(await viewer.next())["data"] == {"revision": "r2"}
        late = Viewer()
        world.hub.join(late)
        world.hub.listen(late, [Kind.SETTINGS])
        assert text(await late.next())["data"] == {"revision": "r2"}

    look(world, scene)


def test_removed_model_is_gone(world: World) -> None:
    manifest = golden.example(ModelManifest)
    assert isinstance(manifest, ModelManifest)
    world.box.publish(manifest)
    wait_for(lambda: "m5-nut" in world.hub.manifests(), what="the manifest came")

    async def scene(viewer: Viewer) -> None:
        world.hub.listen(viewer, [Kind.MODELS])
        assert text(await viewer.next())["data"]["model"] == "m5-nut"
        world.box.clear(ModelManifest, model="m5-nut")
        assert text(await viewer.next()) == {"type": "model", "gone": "m5-nut"}
        assert world.hub.manifests() == {}

    look(world, scene)


def test_detections_are_read_only_while_somebody_listens(world: World) -> None:
    async def scene(viewer: Viewer) -> None:
        world.hub.listen(viewer, [Kind.DETECTIONS])
        # The subscription is made on another thread; what is sent before it is nobody's.
        first = asyncio.create_task(viewer.next())
        sequence = 0
        while not first.done():
            world.box.publish(detections(sequence := sequence + 1))
            await asyncio.sleep(0.02)
        assert text(first.result())["data"]["camera"] == "front"
        world.hub.listen(viewer, [])
        received = world.bus.statistics.received

        async def send() -> bool:
            nonlocal received
            before, received = received, world.bus.statistics.received
            world.box.publish(detections(9))
            await asyncio.sleep(0.02)
            return world.bus.statistics.received == before

        quiet = 0
        while quiet < 5:
            quiet = quiet + 1 if await send() else 0

    look(world, scene)


def test_models_of_one_camera_do_not_replace_each_other(world: World) -> None:
    async def scene(viewer: Viewer) -> None:
        world.hub.listen(viewer, [Kind.DETECTIONS])
        first = asyncio.create_task(viewer.next())
        while not first.done():  # until the subscription is there
            world.box.publish(detections(1))
            await asyncio.sleep(0.02)
        received = world.bus.statistics.received
        world.box.publish(detections(2))
        world.box.publish(detections(2).model_copy(update={"model": "m5-washer"}))
        # Nobody takes anything meanwhile: a slow viewer.
        await until(lambda: world.bus.statistics.received >= received + 2)
        heard: set[str] = set()
        while heard != {"m5-nut", "m5-washer"}:
            data = text(await viewer.next())["data"]
            heard |= {data["model"]} if data["sequence"] == 2 else set()

    look(world, scene)


def test_pictures_are_asked_for_and_carry_their_camera(world: World) -> None:
    asked = world.box.subscribe(Subscription(WatchCamera, {"service": "capture"}))

    async def scene(viewer: Viewer) -> None:
        world.hub.watch(viewer, ["front"], fps=10, width=320)
        delivery = await asyncio.to_thread(asked.receive, 5)
        assert delivery is not None
        command = delivery.message
        assert isinstance(command, WatchCamera)
        assert (command.camera, command.fps, command.max_width) == ("front", 10, 320)
        seen = asyncio.create_task(viewer.next())
        while not seen.done():
            world.box.publish(Preview(camera="front", attachment=golden.JPEG))
            world.box.publish(Preview(camera="back", attachment=b"not asked for"))
            await asyncio.sleep(0.02)
        payload = seen.result().payload
        assert payload == b"\x05front" + golden.JPEG

    look(world, scene)


def test_capture_is_asked_for_the_most_that_anybody_wants(world: World) -> None:
    asked = world.box.subscribe(Subscription(WatchCamera, {"service": "capture"}))

    async def scene(viewer: Viewer) -> None:
        other = Viewer()
        world.hub.join(other)
        world.hub.watch(viewer, ["front"], fps=2, width=1280)
        world.hub.watch(other, ["front", "back"], fps=10, width=320)
        world.hub.renew()
        wanted = set()
        while (delivery := await asyncio.to_thread(asked.receive, 0.3)) is not None:
            command = delivery.message
            assert isinstance(command, WatchCamera)
            wanted.add((command.camera, command.fps, command.max_width))
        assert ("front", 10, 1280) in wanted
        assert ("back", 10, 320) in wanted
        world.hub.leave(other)
        world.hub.renew()
        delivery = await asyncio.to_thread(asked.receive, 5)
        assert delivery is not None
        assert isinstance(delivery.message, WatchCamera)
        assert (delivery.message.camera, delivery.message.fps) == ("front", 2)

    look(world, scene)


def test_slow_viewer_gets_the_newest_and_counts_what_it_missed() -> None:
    async def scene() -> None:
        viewer = Viewer()
        viewer.kinds = frozenset({Kind.DETECTIONS})
        for number in range(5):
            viewer.offer(Told(Kind.DETECTIONS, "front", f'{{"n":{number}}}'), 0.0)
        viewer.offer(Told(Kind.DETECTIONS, "back", '{"n":7}'), 0.0)
        assert text(await viewer.next()) == {"n": 4}
        assert text(await viewer.next()) == {"n": 7}
        assert viewer.skipped == 4

    asyncio.run(scene())


def test_events_keep_their_order_and_what_does_not_fit_is_counted() -> None:
    async def scene() -> None:
        viewer = Viewer()
        viewer.kinds = frozenset({Kind.EVENTS})
        for number in range(QUEUE + 3):
            viewer.offer(Told(Kind.EVENTS, "front", f'{{"n":{number}}}'), 0.0)
        assert viewer.dropped == 3
        assert [text(await viewer.next())["n"] for _ in range(2)] == [3, 4]

    asyncio.run(scene())


def test_what_is_not_listened_to_is_not_offered() -> None:
    async def scene() -> None:
        viewer = Viewer()
        viewer.kinds = frozenset({Kind.EVENTS})
        viewer.offer(Told(Kind.STATUS, "capture", "{}"), 0.0)
        viewer.offer(Told(None, "front", b"x"), 0.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await viewer.next()

    asyncio.run(scene())


@pytest.mark.parametrize(("came", "wanted", "least", "most"), [(30, 10, 9, 11), (15, 10, 7, 11)])
def test_viewer_gets_about_the_rate_it_asked_for(
    came: int, wanted: int, least: int, most: int
) -> None:
    async def scene() -> None:
        viewer = Viewer()
        viewer.cameras, viewer.fps = frozenset({"front"}), wanted
        taken = 0
        for number in range(came * 4):
            viewer.offer(Told(None, "front", b"x"), 100 + number / came)
            with pytest.MonkeyPatch.context():
                if viewer._newest:
                    await viewer.next()
                    taken += 1
        assert least * 4 <= taken <= most * 4

    asyncio.run(scene())


def test_last_events_are_kept_for_who_comes_later(world: World) -> None:
    for number in range(3):
        world.box.publish(event(number))
    wait_for(lambda: len(world.hub.events()) == 3, what="the events came")

    async def scene(viewer: Viewer) -> None:
        world.hub.listen(viewer, [Kind.EVENTS])
        assert [text(await viewer.next())["data"]["id"] for _ in range(3)] == ["e0", "e1", "e2"]

    look(world, scene)


def test_newest_step_of_each_job_is_told(world: World) -> None:
    def step(job: str, done: int) -> Progress:
        return Progress(
            service="cloud-sync", job=job, command="pull", state=JobState.RUNNING, done=done, at=AT
        )

    for job, done in (("a", 1), ("b", 1), ("a", 2)):
        world.box.publish(step(job, done))

    async def scene(viewer: Viewer) -> None:
        await until(lambda: len(world.hub._known[Kind.PROGRESS]) == 2)
        world.hub.listen(viewer, [Kind.PROGRESS])
        told = [text(await viewer.next())["data"] for _ in range(2)]
        assert {(t["job"], t["done"]) for t in told} >= {("b", 1)}

    look(world, scene)


def test_output_is_told_letter_for_letter(world: World) -> None:
    output = golden.example(Output)

    async def scene(viewer: Viewer) -> None:
        world.hub.listen(viewer, [Kind.OUTPUT])
        told = asyncio.create_task(viewer.next())
        while not told.done():
            world.box.publish(output)
            await asyncio.sleep(0.02)
        said = text(told.result())["data"]
        assert said == {"camera": "front", "output": json.loads(output.encode())}

    look(world, scene)


def test_who_hears_is_called_until_it_does_not_any_more(world: World) -> None:
    heard: list[str] = []
    with world.hub.hearing(lambda message: heard.append(type(message).__name__)):
        world.box.publish(event(1))
        wait_for(lambda: heard == ["Event"], what="the event was heard")
    world.box.publish(event(2))
    wait_for(lambda: len(world.hub.events()) == 2, what="the second event came")
    assert heard == ["Event"]
