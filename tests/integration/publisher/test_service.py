import itertools
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.alarms import Alarm, AlarmPhase, AlarmRule
from nxai_common.contracts.base import Policy
from nxai_common.contracts.configuration import (
    EventOptions,
    LoggerOptions,
    NxOutputOptions,
    PublisherCamera,
    PublisherConfiguration,
)
from nxai_common.contracts.outputs import (
    CameraState,
    Detections,
    Event,
    EventPhase,
    Output,
    Rehearsal,
)
from nxai_common.contracts.processors import (
    Done,
    ProcessedObject,
    ProcessorManifest,
    ProcessorOptions,
    Work,
)
from nxai_common.contracts.results import InferenceResult
from nxai_common.retry import RetryPolicy
from nxai_publisher import service
from nxai_publisher.adapters import group_commit
from nxai_publisher.service import Clock
from support.publisher import CAMERAS, World, configuration, publisher
from support.results import START_US, detection, result, with_tensors
from support.waiting import wait_for

NO_LOG = LoggerOptions(enabled=False)
QUICK = EventOptions(start_after=2, end_after_s=0.3, update_every_s=0.1)
KEEP = LoggerOptions(keep_days=36_500)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with publisher(tmp_path, desired=configuration(logger=KEEP)) as running:
        yield running


class Hand:
    """A clock's hand that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now

    def wait_until_seen(self) -> None:
        """Wait until the service has made a whole turn of its loop with the time as it is now."""
        looks = self.looks + 20  # a turn looks a few times
        wait_for(lambda: self.looks >= looks, what="a look at the clock")


def events(world: World) -> list[tuple[EventPhase, str]]:
    return [(event.event, event.label) for event in world.seen(Event)]


def states(world: World, camera: str = "front") -> list[CameraState]:
    return [state for state in world.seen(CameraState) if state.camera == camera]


def retains(world: World, camera: str) -> bool:
    """Tell whether the broker keeps a state of that camera."""
    with world.broker._lock:  # the service writes meanwhile
        return any(topic.endswith(f"{camera}/state") for topic in world.broker._retained)


def test_one_result_becomes_all_outputs_and_a_row(world: World) -> None:
    world.send(result(0, [detection(), detection("bolt")]))
    (found,) = world.wait_for(Detections)
    assert (found.camera_name, found.counts) == ("Front door", {"nut": 1, "bolt": 1})
    (output,) = world.wait_for(Output)
    entry = output.entries[0]
    assert (entry.sourceId, entry.sourceName, entry.deviceId) == ("input-1", "Front door", "box")
    wait_for(lambda: any(state.count == 2 for state in states(world)))
    wait_for(lambda: world.stored() == [("front", 0)])
    assert world.seen(Event) == []


def test_a_result_is_acknowledged_once_it_is_stored(world: World) -> None:
    world.send(*(result(n) for n in range(100)))
    wait_for(lambda: world.counter("log_stored") == 100)
    assert len(world.stored()) == 100
    world.broker.stop()
    world.broker.start()  # what was not acknowledged would come again
    world.send(result(100))
    wait_for(lambda: len(world.stored()) == 101)
    assert world.counter("results") == 101
    assert world.report().problems == ()


def test_a_rule_that_holds_is_an_alarm_until_it_does_not(tmp_path: Path) -> None:
    rules = (
        AlarmRule(id="two", name="Two nuts", count=2, clear_after_s=0.3),
        AlarmRule(id="off", enabled=False),
    )
    with publisher(tmp_path, desired=configuration(alarms=rules, logger=NO_LOG)) as world:
        world.send(result(0), *(result(n, [detection()] * 2) for n in range(1, 4)))
        (start,) = world.wait_for(Alarm)
        assert (start.alarm, start.rule_name, start.camera_name) == (
            AlarmPhase.START,
            "Two nuts",
            "Front door",
        )
        assert (start.count, start.counts, len(start.objects)) == (2, {"nut": 2}, 2)
        assert (start.stream, start.sequence, start.picture) == ("run-1", 1, True)
        wait_for(lambda: states(world)[-1].alarms)
        (held,) = states(world)[-1].alarms
        assert (held.id, held.rule_name, held.started_at) == (
            start.id,
            "Two nuts",
            start.started_at,
        )
        world.send(*(result(n) for n in range(4, 8)))
        _, end = world.wait_for(Alarm, 2)
        assert (end.alarm, end.id, end.count) == (AlarmPhase.END, start.id, 1)
        assert (end.duration_s, end.objects, end.picture) == (0.2, (), False)
        assert world.counter("alarms") == 2
        wait_for(lambda: states(world)[-1].alarms == ())


def test_an_alarm_ends_when_its_camera_falls_silent_or_its_rule_goes(tmp_path: Path) -> None:
    rules = (AlarmRule(id="any"),)
    events_off = EventOptions(enabled=False, end_after_s=0.1)
    desired = configuration(alarms=rules, logger=NO_LOG, events=events_off)
    with publisher(tmp_path, desired=desired, silence_s=0.3) as world:
        world.send(result(0))
        start, end = world.wait_for(Alarm, 2)
        assert (start.alarm, end.alarm) == (AlarmPhase.START, AlarmPhase.END)
        wait_for(lambda: states(world)[-1].alarms == ())
        world.send(result(100))
        world.wait_for(Alarm, 3)
        world.send(configuration("2", logger=NO_LOG, events=events_off))
        assert world.wait_for(Alarm, 4)[-1].alarm is AlarmPhase.END


PLATES = ProcessorManifest(processor="plates", labels=("plate",))
PLATE = ProcessedObject(label="plate", x=0.5, y=0.5, width=0.25, height=0.25)


def test_a_result_goes_out_as_an_external_processor_wants_it(tmp_path: Path) -> None:
    wanted = ProcessorOptions(id="plates", timeout_ms=5000, settings={"country": "NL"})
    with publisher(tmp_path, desired=configuration(processors=(wanted,), logger=KEEP)) as world:
        world.send(PLATES)
        wait_for(lambda: world.report().problems == ())
        world.send(result(0), result(1), result(0, camera="back", test="t1"))
        first, second, tested = world.wait_for(Work, 3)
        assert (first.camera_name, first.settings) == ("Front door", {"country": "NL"})
        assert [item.label for item in first.objects] == ["nut"]
        world.send(Done(processor="plates", id=second.id))
        world.send(Done(processor="plates", id=tested.id, objects=(PLATE,)))
        world.wait_for(Rehearsal)
        assert world.seen(Detections) == []
        world.send(Done(processor="plates", id=first.id, objects=(PLATE,)))
        done, untouched = world.wait_for(Detections, 2)
        assert done.counts == {"nut": 0, "bolt": 0, "plate": 1}
        assert untouched.counts == {"nut": 1, "bolt": 0, "plate": 0}
        wait_for(lambda: world.stored() == [("front", 0), ("front", 1)])
        assert world.counter("processors_answered") == 3


def test_an_external_processor_that_crashed_delays_a_few_results_and_loses_none(
    tmp_path: Path,
) -> None:
    wanted = ProcessorOptions(id="plates", timeout_ms=50)
    with publisher(tmp_path, desired=configuration(processors=(wanted,), logger=KEEP)) as world:
        world.send(PLATES)
        wait_for(lambda: world.report().problems == ())
        for number in range(20):
            world.send(result(number))
            world.wait_for(Detections, number + 1)
        assert world.counter("processors_late") == 3
        (problem,) = world.report().problems
        assert problem.about == "processor plates"
        world.send(result(20, error="broken"), result(21, shadow_of="m5-nut"))
        wait_for(lambda: world.has_stored(20))
        assert [d.sequence for d in world.seen(Detections)] == list(range(20))
        world.bus.clear(ProcessorManifest, processor="plates")
        wait_for(lambda: "no manifest" in world.report().problems[0].reason)


def test_what_waits_for_an_external_processor_goes_out_at_the_end(tmp_path: Path) -> None:
    wanted = ProcessorOptions(id="plates", timeout_ms=5000)
    with publisher(tmp_path, desired=configuration(processors=(wanted,), logger=KEEP)) as world:
        world.send(PLATES)
        wait_for(lambda: world.report().problems == ())
        world.send(*(result(n) for n in range(5)))
        world.wait_for(Work, 5)
    assert [d.sequence for d in world.seen(Detections)] == list(range(5))
    assert len(world.stored()) == 5


def test_each_camera_says_zero_at_the_start(world: World) -> None:
    world.wait_for(CameraState, 2)
    for camera in CAMERAS:
        first = states(world, camera.id)[0]
        assert (first.count, first.camera_name) == (0, camera.name)


def test_an_event_has_one_id_from_start_to_end(tmp_path: Path) -> None:
    with publisher(tmp_path, desired=configuration(events=QUICK, logger=NO_LOG)) as world:
        world.send(*(result(n) for n in range(3)))
        world.send(*(result(n, [detection()] * 2) for n in range(3, 6)))
        wait_for(lambda: any(state.present.get("nut") for state in states(world)))
        world.send(*(result(n, []) for n in range(6, 12)))
        found = world.wait_for(Event, 3)
        assert [event.event for event in found] == ["start", "update", "end"]
        assert len({event.id for event in found}) == 1
        start, update, end = found
        assert (start.camera, start.camera_name, start.model) == ("front", "Front door", "m5-nut")
        assert (update.count, end.count, end.max_count, end.duration_s) == (2, 0, 2, 0.5)
        assert start.started_at == end.started_at
        wait_for(lambda: states(world)[-1].present == {"nut": False, "bolt": False})


def test_events_end_when_the_camera_falls_silent(tmp_path: Path) -> None:
    wanted = configuration(events=QUICK, logger=NO_LOG)
    with publisher(tmp_path, desired=wanted, silence_s=0.2) as world:
        now = [time.monotonic()]  # silence begins when we say so, not when this thread is held up
        world.service._clock = service.Clock(monotonic=lambda: now[0])
        world.send(result(0), result(1))
        wait_for(lambda: events(world) == [("start", "nut")])

        def ended() -> bool:
            now[0] += 1.0  # again, for the event left before the service noted when it was
            return events(world) == [("start", "nut"), ("end", "nut")]

        wait_for(ended)
        wait_for(lambda: states(world)[-1].counts == {"nut": 0, "bolt": 0})
        world.send(result(2), result(3))
        wait_for(lambda: events(world)[2:3] == [("start", "nut")])


def test_a_camera_that_starts_again_with_its_clock_set_back_is_followed_after_a_silence(
    tmp_path: Path,
) -> None:
    wanted = configuration(events=QUICK, logger=NO_LOG)
    with publisher(tmp_path, desired=wanted, silence_s=0.2) as world:
        world.send(result(0))
        world.wait_for(Detections)
        sequence = itertools.count()

        def followed() -> bool:
            number = next(sequence)
            world.send(result(number, stream="run-2", captured_at_us=number))
            return any(found.stream == "run-2" for found in world.seen(Detections))

        wait_for(followed)


def test_a_model_that_is_no_longer_used_leaves_the_state(tmp_path: Path) -> None:
    wanted = configuration(events=QUICK, logger=NO_LOG, state_every_s=0.1)
    with publisher(tmp_path, desired=wanted, silence_s=0.2) as world:
        world.send(result(0))
        wait_for(lambda: any("nut" in state.counts for state in states(world)))
        sequence = itertools.count()

        def only_dogs() -> bool:
            found = [detection("dog")]
            world.send(result(next(sequence), found, model="dogs", labels=("dog",)))
            return states(world)[-1].counts == {"dog": 1}

        wait_for(only_dogs)
        wait_for(lambda: list(world.service._cameras["front"].lanes) == ["dogs"])


def test_a_removed_camera_ends_its_events_and_its_state(world: World) -> None:
    world.send(result(0), result(1))
    wait_for(lambda: events(world) == [("start", "nut")])
    world.send(configuration("2", cameras=CAMERAS[:1], logger=KEEP))
    wait_for(lambda: events(world) == [("start", "nut"), ("end", "nut")])
    wait_for(lambda: world.report().configuration_revision == "2")
    with MemoryBus(world.broker) as late:
        inbox = late.subscribe(Subscription(CameraState))
        delivery = inbox.receive(1)
        assert delivery is not None
        assert delivery.message.model_dump()["camera"] == "back"
        assert inbox.receive(0) is None
    # Results on their way are stored, and bring nothing back to life.
    count = len(world.seen(Detections))
    world.send(result(2))
    wait_for(lambda: ("front", 2) in world.stored())
    assert len(world.seen(Detections)) == count
    assert world.counter("unknown_camera") == 1


def test_the_state_of_a_camera_that_comes_and_goes_later_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REMEMBER_S", 2.0)
    with publisher(tmp_path, desired=configuration(logger=NO_LOG)) as world:
        world.wait_for(CameraState, 2)
        bus = world.service._bus
        assert isinstance(bus, MemoryBus)
        wait_for(lambda: len(list(bus.router.mailboxes())) == 1, what="an end to looking back")
        side = PublisherCamera(id="side", index=2)
        world.send(configuration("2", cameras=(*CAMERAS, side), logger=NO_LOG))
        wait_for(lambda: retains(world, "side"))
        world.send(configuration("3", logger=NO_LOG))
        wait_for(lambda: not retains(world, "side"))
        assert retains(world, "front")


def test_a_disabled_camera_stops_and_can_come_back(world: World) -> None:
    world.send(result(0), result(1))
    wait_for(lambda: events(world) == [("start", "nut")])
    off = tuple(camera.model_copy(update={"enabled": False}) for camera in CAMERAS)
    world.send(configuration("2", cameras=off, logger=KEEP))
    wait_for(lambda: events(world)[1:] == [("end", "nut")])
    wait_for(lambda: states(world)[-1].count == 0)
    world.send(configuration("3", logger=KEEP), result(2))
    wait_for(lambda: [d.sequence for d in world.seen(Detections)] == [0, 1, 2])


def test_outputs_change_while_running(world: World) -> None:
    world.send(result(0))
    world.wait_for(Output)
    wait_for(lambda: world.stored() == [("front", 0)])  # before the logger is off
    world.send(
        configuration(
            "2",
            detections=False,
            nx_output=NxOutputOptions(format="orderedArray", device_id="serial"),
            events=EventOptions(enabled=False),
            cameras=(PublisherCamera(id="front", name="Gate", index=0),),
            logger=NO_LOG,
        )
    )
    wait_for(lambda: world.report().configuration_revision == "2")
    world.send(result(1), result(2), result(3))
    *_, last = world.wait_for(Output, 4)
    entry = last.entries[0]
    assert (entry.outputFormat, entry.deviceId) == ("orderedArray", "serial")
    assert (entry.sourceId, entry.sourceName) == ("input-0", "Gate")
    wait_for(lambda: any(state.present.get("nut") for state in states(world)))
    assert len(world.seen(Detections)) == 1
    assert world.seen(Event) == []
    assert world.stored() == [("front", 0)]
    world.send(configuration("3", nx_output=NxOutputOptions(enabled=False), logger=NO_LOG))
    wait_for(lambda: world.report().configuration_revision == "3")
    world.send(result(4), result(5))
    world.wait_for(Detections, 3)  # the output of one would leave before the detections of the next
    assert len(world.seen(Output)) == 4


def switch(world: World, revision: str, *, on: bool, **changes: Any) -> None:
    """Switch events on or off, and wait until that is in force."""
    options = QUICK.model_copy(update={"enabled": on})
    world.send(configuration(revision, **{"events": options, "logger": NO_LOG, **changes}))
    wait_for(lambda: world.report().configuration_revision == revision)


def test_events_that_are_switched_off_end_and_start_anew(tmp_path: Path) -> None:
    with publisher(tmp_path, desired=configuration(events=QUICK, logger=NO_LOG)) as world:
        world.send(result(0), result(1))
        wait_for(lambda: events(world) == [("start", "nut")])
        switch(world, "2", on=False)
        wait_for(lambda: events(world)[1:] == [("end", "nut")])
        world.send(*(result(n, [detection()] * (n % 3)) for n in range(2, 30)))
        wait_for(lambda: world.counter("results") == 30)
        switch(world, "3", on=True)
        world.send(result(30), result(31))
        wait_for(lambda: len(events(world)) == 3)
        first, end, again = world.seen(Event)
        assert (again.event, first.id == end.id, again.id == end.id) == ("start", True, False)
    assert [event.event for event in world.seen(Event)] == ["start", "end", "start", "end"]


def test_what_came_while_events_were_off_neither_goes_nor_is_told_of(tmp_path: Path) -> None:
    off = QUICK.model_copy(update={"enabled": False})
    with publisher(tmp_path, desired=configuration(events=off, logger=NO_LOG)) as world:
        world.send(result(0), result(1), result(2))
        wait_for(lambda: any(state.present.get("nut") for state in states(world)))
        switch(world, "2", on=True)
        world.send(*(result(n, []) for n in range(3, 20)))
        wait_for(lambda: world.counter("results") == 20)
        wait_for(lambda: states(world)[-1].present == {"nut": False, "bolt": False})
    assert world.seen(Event) == []


def test_a_camera_that_is_removed_with_the_events_ends_its_events(tmp_path: Path) -> None:
    with publisher(tmp_path, desired=configuration(events=QUICK, logger=NO_LOG)) as world:
        world.send(result(0), result(1))
        wait_for(lambda: events(world) == [("start", "nut")])
        switch(world, "2", on=False, cameras=CAMERAS[:1])
        wait_for(lambda: events(world)[1:] == [("end", "nut")])


def test_results_with_an_error_are_counted_and_not_published(world: World) -> None:
    world.send(result(0, [], error="the model is gone"), result(1))
    (found,) = world.wait_for(Detections)
    assert found.sequence == 1
    assert world.counter("errors") == 1
    wait_for(lambda: world.stored() == [("front", 1)])


def test_results_of_a_model_that_is_tried_are_counted_and_nothing_else(tmp_path: Path) -> None:
    """They stand between two of the model in force: what those say is all that anybody sees."""
    with publisher(tmp_path, desired=configuration(events=QUICK, logger=KEEP)) as world:
        tried = {"model": "m5-nut-next", "shadow_of": "m5-nut"}
        world.send(
            result(0, []),
            result(0, [detection("bolt")] * 9, **tried),
            result(0, [], error="the model is gone", **tried),
            result(1, [], labels=("washer",), camera="nowhere", **tried),
            result(1, []),
            result(1, [detection("bolt")] * 9, **tried),
            result(2, [detection()]),
        )
        wait_for(lambda: world.has_stored(3))
        wait_for(lambda: any(state.count for state in states(world)))

        assert world.counter("shadows") == 4
        assert world.counter("results") == 7
        for name in ("errors", "refused", "unknown_camera", "duplicates", "too_large"):
            assert world.counter(name) == 0, name
        assert [found.counts.get("bolt", 0) for found in world.seen(Detections)] == [0, 0, 0]
        assert {found.model for found in world.seen(Detections)} == {"m5-nut"}
        assert len(world.seen(Output)) == 3
        assert world.seen(Event) == []
        assert all(set(state.counts) <= {"nut", "bolt"} for state in states(world))
        assert max(state.count for state in states(world)) == 1
        assert world.stored() == [("front", 0), ("front", 1), ("front", 2)]


def test_a_model_that_is_tried_keeps_no_camera_from_falling_silent(tmp_path: Path) -> None:
    hand = Hand()
    with publisher(
        tmp_path,
        desired=configuration(events=QUICK, logger=NO_LOG),
        clock=Clock(monotonic=hand),
        silence_s=10,
    ) as world:
        world.send(result(0), result(1))
        world.wait_for(Event)
        hand.now += 9
        world.send(result(2, shadow_of="m5-nut"))
        wait_for(lambda: world.counter("shadows") == 1)
        hand.now += 2
        wait_for(lambda: events(world)[-1] == (EventPhase.END, "nut"))


# -- tests of one frame ---------------------------------------------------------------------------


def rehearsed(world: World, count: int = 1) -> list[Rehearsal]:
    return world.wait_for(Rehearsal, count)


def test_of_a_test_is_told_what_would_be_sent_and_nothing_is(tmp_path: Path) -> None:
    """It stands between results that show nothing: an event would begin, a count would jump."""
    with publisher(tmp_path, desired=configuration(events=QUICK, logger=KEEP)) as world:
        world.send(result(0, []))
        tests = [result(n, [detection()] * 5, test="t-7", uncertain=True) for n in range(1, 5)]
        world.send(*tests, result(9, []))
        told = rehearsed(world, 4)
        wait_for(lambda: world.has_stored(2))
        wait_for(lambda: len(world.seen(Output)) == 2)

        assert [one.sequence for one in told] == [1, 2, 3, 4]
        assert {(one.camera, one.model, one.test, one.error) for one in told} == {
            ("front", "m5-nut", "t-7", "")
        }
        flat, output = told[0].messages
        assert (flat.topic, output.topic) == (
            tests[0].topic("box").replace("/result", "/detections"),
            tests[0].topic("box").replace("/result", "/output"),
        )
        assert json.loads(flat.payload)["counts"] == {"nut": 5, "bolt": 0}
        assert json.loads(flat.payload)["camera_name"] == "Front door"
        (entry,) = json.loads(output.payload)
        assert (entry["sourceId"], entry["sourceName"], entry["uncertain"]) == (
            "input-1",
            "Front door",
            1,
        )
        assert [found.sequence for found in world.seen(Detections)] == [0, 9]
        assert world.seen(Event) == []
        assert all(state.count == 0 and state.uncertain == 0 for state in states(world))
        assert world.stored() == [("front", 0), ("front", 9)]
        assert (world.counter("results"), world.counter("tests")) == (2, 4)
        for name in ("duplicates", "overtaken", "errors", "refused", "outputs", "detections"):
            assert world.counter(name) == (2 if name in ("outputs", "detections") else 0), name


def test_what_would_be_sent_is_what_is_sent(world: World) -> None:
    world.send(result(0, test="t"), result(0))
    (told,) = rehearsed(world)
    (output,) = world.wait_for(Output)
    (flat,) = world.seen(Detections)
    assert [one.topic for one in told.messages] == [flat.topic("box"), output.topic("box")]
    assert told.messages[1].payload.encode() == output.encode()
    rehearsed_flat = json.loads(told.messages[0].payload)
    sent_flat = json.loads(flat.encode())
    for found in (rehearsed_flat, sent_flat):
        del found["latency_ms"]
    assert rehearsed_flat == sent_flat


def test_outputs_that_are_switched_off_are_not_rehearsed(tmp_path: Path) -> None:
    wanted = configuration(
        logger=NO_LOG, detections=False, nx_output=NxOutputOptions(format="orderedArray")
    )
    with publisher(tmp_path, desired=wanted) as world:
        world.send(result(0, test="t"))
        (told,) = rehearsed(world)
        (output,) = told.messages
        assert json.loads(output.payload)[0]["outputFormat"] == "orderedArray"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"error": "the model is gone"}, "the model is gone"),
        ({"captured_at_us": 10**20}, "the result would be refused: captured_at_us"),
        ({"camera": "nowhere"}, "has no camera 'nowhere' in its configuration"),
        ({"shadow_of": "m5-nut"}, ""),
    ],
)
def test_when_nothing_would_be_sent_the_reason_is_told(
    world: World, changes: dict[str, Any], error: str
) -> None:
    world.send(result(0, [], test="t", **changes))
    (told,) = rehearsed(world)
    assert error in told.error
    assert (told.messages, told.test) == ((), "t")
    bus = world.service._bus
    assert isinstance(bus, MemoryBus)
    wait_for(lambda: not bus._unacknowledged, what="an acknowledgement")
    for name in ("results", "errors", "refused", "unknown_camera", "shadows"):
        assert world.counter(name) == 0, name


def test_a_test_without_a_configuration_makes_no_camera(tmp_path: Path) -> None:
    with publisher(tmp_path, configuration_wait_s=0.0) as world:
        world.send(result(0, test="t"), result(0, camera="yard"))
        (told,) = rehearsed(world)
        (output,) = world.wait_for(Output)
        assert json.loads(told.messages[1].payload)[0]["sourceId"] == "input-0"
        assert (output.camera, output.entries[0].sourceId) == ("yard", "input-0")
        assert states(world) == []


def test_a_test_that_is_delivered_twice_is_told_once(world: World) -> None:
    world.send(result(0, test="t"), result(0, test="t"), result(0, test="u"), result(1))
    world.wait_for(Detections)
    assert [one.test for one in rehearsed(world, 2)] == ["t", "u"]


def test_tests_keep_no_camera_from_falling_silent(tmp_path: Path) -> None:
    hand = Hand()
    with publisher(
        tmp_path,
        desired=configuration(events=QUICK, logger=NO_LOG),
        clock=Clock(monotonic=hand),
        silence_s=10,
    ) as world:
        world.send(result(0), result(1))
        world.wait_for(Event)
        hand.now += 9
        world.send(result(2, test="t"))
        rehearsed(world)
        hand.now += 2
        wait_for(lambda: events(world)[-1] == (EventPhase.END, "nut"))


def test_a_rehearsal_larger_than_the_bus_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nxai_common.contracts.base.MAX_PAYLOAD_BYTES", 40_000)
    world.send(result(0, [detection(label="x" * 15_000)], test="t"))
    (told,) = rehearsed(world)
    assert (told.messages, told.error) == (
        (),
        "what would be sent is larger than a message can be",
    )


# -- results gathered into one array ---------------------------------------------------------------


def gathering(every_s: float, revision: str = "1", **more: Any) -> PublisherConfiguration:
    nx_output = NxOutputOptions(every_s=every_s)
    return configuration(revision, logger=NO_LOG, nx_output=nx_output, **more)


def arrays(world: World, camera: str = "front") -> list[list[int]]:
    """Return which results each array has, by their number of the tenth of a second."""
    return [
        [(entry.timestamp - START_US // 1000) // 100 for entry in output.entries]
        for output in world.seen(Output)
        if output.camera == camera
    ]


def test_results_of_a_camera_are_gathered_for_so_long(tmp_path: Path) -> None:
    hand = Hand()
    with publisher(
        tmp_path, desired=gathering(30), clock=Clock(monotonic=hand), silence_s=600
    ) as world:
        world.send(*(result(n) for n in range(5)), result(0, camera="back"))
        wait_for(lambda: world.counter("results") == 6)
        hand.now += 29
        hand.wait_until_seen()
        assert world.seen(Output) == []
        world.send(result(5))
        wait_for(lambda: world.counter("results") == 7)
        hand.now += 1.5
        wait_for(lambda: arrays(world))
        assert arrays(world) == [[0, 1, 2, 3, 4, 5]]
        wait_for(lambda: arrays(world, "back") == [[0]])
        world.send(result(6))
        wait_for(lambda: world.counter("results") == 8)
        hand.now += 31
        wait_for(lambda: arrays(world)[1:] == [[6]])
        assert len(world.seen(Detections)) == 8  # those are not gathered


def test_gathered_results_are_field_for_field_those_sent_alone(tmp_path: Path) -> None:
    items = [
        with_tensors(result(n, [detection()] * n, uncertain=n == 1), out=[[n, 0.5, n / 7]])
        for n in range(3)
    ]
    (tmp_path / "one").mkdir()
    (tmp_path / "all").mkdir()
    with publisher(tmp_path / "one", desired=gathering(0)) as world:
        world.send(*items)
        alone = [json.loads(output.encode()) for output in world.wait_for(Output, 3)]
    with publisher(tmp_path / "all", desired=gathering(600)) as world:
        world.send(*items)
        wait_for(lambda: world.counter("results") == 3)
    (together,) = [one for one in world.received if isinstance(one, Output)]  # at the shutdown
    assert json.loads(together.encode()) == [entry for (entry,) in alone]


def test_a_new_configuration_sends_what_was_gathered(tmp_path: Path) -> None:
    with publisher(tmp_path, desired=gathering(600)) as world:
        world.send(result(0), result(1))
        wait_for(lambda: world.counter("results") == 2)
        world.send(gathering(600, "2"))
        wait_for(lambda: arrays(world) == [[0, 1]])
        world.send(result(2), result(3))
        wait_for(lambda: world.counter("results") == 4)
        world.send(gathering(0, "3"), result(4))
        wait_for(lambda: arrays(world) == [[0, 1], [2, 3], [4]])


def test_a_camera_that_is_removed_sends_what_was_gathered(tmp_path: Path) -> None:
    with publisher(tmp_path, desired=gathering(600)) as world:
        world.send(result(0))
        wait_for(lambda: world.counter("results") == 1)
        world.send(gathering(600, "2", cameras=CAMERAS[:1]))
        wait_for(lambda: arrays(world) == [[0]])


def test_a_camera_that_falls_silent_sends_what_was_gathered(tmp_path: Path) -> None:
    hand = Hand()
    with publisher(
        tmp_path, desired=gathering(600), clock=Clock(monotonic=hand), silence_s=10
    ) as world:
        world.send(result(0), result(1), result(0, model="other"))
        wait_for(lambda: world.counter("results") == 3)
        hand.now += 9
        world.send(result(2, model="other"))
        wait_for(lambda: world.counter("results") == 4)
        hand.now += 5
        hand.wait_until_seen()
        assert arrays(world) == []  # the other model still looks
        hand.now += 6
        wait_for(lambda: arrays(world) == [[0, 1, 0, 2]])


def test_what_is_gathered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nxai_publisher.core.gathering.MOST_ENTRIES", 3)
    with publisher(tmp_path, desired=gathering(600)) as world:
        world.send(*(result(n) for n in range(7)))
        wait_for(lambda: arrays(world) == [[0, 1, 2], [3, 4, 5]])


def test_impossible_results_are_refused_and_the_next_goes_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.send(*(result(n, captured_at_us=10**20) for n in range(3)), result(9))
    (found,) = world.wait_for(Detections)
    assert found.sequence == 9
    assert world.counter("refused") == 3
    assert caplog.text.count("refused result") == 1  # not one line each


@pytest.mark.parametrize(
    ("options", "unwanted"),
    [
        (KEEP, result(0, [], error="the model is gone")),
        (KEEP, result(0, captured_at_us=10**20)),
        (KEEP, result(0, shadow_of="m5-nut")),
        (NO_LOG, result(0)),
    ],
)
def test_what_is_not_stored_is_not_delivered_again(
    tmp_path: Path, options: LoggerOptions, unwanted: InferenceResult
) -> None:
    with publisher(tmp_path, desired=configuration(logger=options)) as world:
        bus = world.service._bus
        assert isinstance(bus, MemoryBus)
        world.send(unwanted)
        wait_for(lambda: world.counter("results") == 1)
        wait_for(lambda: not bus._unacknowledged, what="an acknowledgement")


def test_a_result_of_a_sender_who_wants_no_acknowledgement_is_published_and_stored(
    world: World,
) -> None:
    found = result(0)
    world.broker.send_raw(found.topic("box"), found.encode(), Policy.STREAM)
    world.wait_for(Detections)
    wait_for(lambda: world.stored() == [("front", 0)])


def test_what_is_delivered_again_is_published_once(world: World) -> None:
    world.send(result(0), result(0), result(1))
    wait_for(lambda: [d.sequence for d in world.seen(Detections)] == [0, 1])
    wait_for(lambda: world.counter("log_stored") == 2)
    assert world.counter("duplicates") == 1


def test_an_overtaken_result_is_published_but_does_not_turn_back_the_state(tmp_path: Path) -> None:
    quick = configuration(logger=NO_LOG, state_every_s=0.3)
    with publisher(tmp_path, desired=quick) as world:
        world.send(result(2, [detection()] * 3), result(1, []))
        wait_for(lambda: world.counter("overtaken") == 1)
        assert [d.sequence for d in world.seen(Detections)] == [2, 1]
        told = len(states(world))
        wait_for(lambda: len(states(world)) >= told + 2, what="two more states")
        assert states(world)[-1].count == 3


def test_an_output_larger_than_the_bus_is_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nxai_common.contracts.base.MAX_PAYLOAD_BYTES", 40_000)
    world.send(result(0, [detection(label="x" * 25_000)]))
    wait_for(lambda: world.counter("too_large") >= 1)
    monkeypatch.undo()
    world.send(result(1))
    world.wait_for(Detections)


def test_without_a_configuration_cameras_go_by_their_ids(tmp_path: Path) -> None:
    with publisher(tmp_path, configuration_wait_s=0.0) as world:
        world.send(result(0), result(0, camera="yard"))
        wait_for(lambda: len(world.seen(Output)) == 2)
        entries = [
            (o.camera, o.entries[0].sourceId, o.entries[0].sourceName) for o in world.seen(Output)
        ]
        assert sorted(entries) == [("front", "input-0", ""), ("yard", "input-1", "")]
        # When it comes, it is in force.
        world.send(configuration())
        wait_for(lambda: world.report().configuration_revision == "1")
        world.send(result(1), result(1, camera="yard"))
        wait_for(lambda: world.counter("unknown_camera") == 1)
        assert [d.camera_name for d in world.wait_for(Detections, 3)][-1] == "Front door"


def test_results_wait_for_the_configuration_after_the_start(tmp_path: Path) -> None:
    with publisher(tmp_path, configuration_wait_s=30.0) as world:
        world.send(result(0))
        assert world.seen(Detections) == []
        world.send(configuration())
        (found,) = world.wait_for(Detections)
        assert found.camera_name == "Front door"


def test_without_a_configuration_nothing_stored_is_deleted(tmp_path: Path) -> None:
    with publisher(tmp_path, configuration_wait_s=0.0) as world:
        for number in range(3):  # between two of them is a round of retention
            world.send(result(number, captured_at_us=number))
            wait_for(partial(world.has_stored, number + 1))
        assert world.stored() == [("front", 0), ("front", 1), ("front", 2)]
        world.send(configuration(logger=LoggerOptions(keep_days=1)))
        wait_for(lambda: world.stored() == [])


def test_the_wait_for_the_configuration_begins_when_the_broker_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    time = Hand()
    broker = MemoryBroker()
    broker.stop()
    with publisher(tmp_path, broker, clock=Clock(monotonic=time)) as world:
        time.now += 1000.0
        time.wait_until_seen()
        world.send(configuration(), result(0))
        broker.start()
        (found,) = world.wait_for(Detections)
        assert found.camera_name == "Front door"
        assert "no configuration yet" not in caplog.text


def left_behind(camera: str) -> CameraState:
    return CameraState.model_validate(
        {
            "timestamp": "2026-11-22T09:00:00Z",
            "timestamp_ms": 0,
            "device": "box",
            "camera": camera,
            "count": 3,
            "counts": {"person": 3},
            "present": {"person": True},
        }
    )


def test_states_of_an_earlier_run_that_come_late_are_cleared_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REMEMBER_S", 60.0)
    with publisher(tmp_path, desired=configuration(logger=NO_LOG)) as world:
        world.send(left_behind("gone"), left_behind("front"))
        wait_for(lambda: not retains(world, "gone"))
        assert retains(world, "front")


def test_states_of_an_earlier_run_are_read_back(tmp_path: Path) -> None:
    broker = MemoryBroker()
    with MemoryBus(broker) as before:
        for camera in ("front", "gone"):
            before.publish(left_behind(camera))
    with publisher(tmp_path, broker, configuration(logger=NO_LOG)) as world:
        wait_for(
            lambda: any(
                (state.counts, state.present) == ({"person": 0}, {"person": False})
                for state in states(world)
            )
        )
        wait_for(lambda: not retains(world, "gone"))
        assert retains(world, "front")


def test_states_of_an_earlier_run_are_read_when_the_broker_comes_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REMEMBER_S", 500.0)
    time = Hand()
    broker = MemoryBroker()
    with MemoryBus(broker) as before:
        before.publish(left_behind("gone"))
    broker.stop()
    with publisher(tmp_path, broker, clock=Clock(monotonic=time)) as world:
        time.now += 1000.0
        time.wait_until_seen()
        world.send(configuration(logger=NO_LOG))
        broker.start()

        def cleared() -> bool:
            time.now += 0.2
            return not any(topic.endswith("gone/state") for topic in broker._retained)

        wait_for(cleared)


@pytest.mark.parametrize("late", [False, True])
def test_a_camera_that_is_disabled_now_shows_nothing_of_an_earlier_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    monkeypatch.setattr(service, "REMEMBER_S", 60.0)
    back, front = CAMERAS
    cameras = (back, front.model_copy(update={"enabled": False}))
    broker = MemoryBroker()
    with MemoryBus(broker) as before:
        if not late:
            before.publish(left_behind("front"))
        wanted = configuration(cameras=cameras, logger=NO_LOG, state_every_s=0.2)
        with publisher(tmp_path, broker, wanted) as world:
            if late:
                before.publish(left_behind("front"))
            wait_for(lambda: states(world)[-1:] and states(world)[-1].count == 0)
            zero = states(world)[-1]
            assert (zero.counts, zero.present) == ({"person": 0}, {"person": False})
            assert zero.camera_name == "Front door"
            others = len(states(world, "back"))
            wait_for(lambda: len(states(world, "back")) >= others + 3)
            zeros = [state for state in states(world) if state.count == 0]
            assert len(zeros) == 1  # not again and again


def test_the_state_of_a_camera_that_was_disabled_before_it_is_removed_is_cleared(
    tmp_path: Path,
) -> None:
    back, front = CAMERAS
    time = Hand()
    wanted = configuration(logger=NO_LOG)
    with publisher(tmp_path, desired=wanted, clock=Clock(monotonic=time)) as world:
        time.now += service.REMEMBER_S + 1.0
        bus = world.service._bus
        assert isinstance(bus, MemoryBus)
        wait_for(lambda: len(list(bus.router.mailboxes())) == 1, what="an end to looking back")
        off = (back, front.model_copy(update={"enabled": False}))
        world.send(configuration("2", cameras=off, logger=NO_LOG))
        wait_for(lambda: world.report().configuration_revision == "2")
        assert any(topic.endswith("front/state") for topic in world.broker._retained)
        world.send(configuration("3", cameras=(back,), logger=NO_LOG))
        wait_for(lambda: not any(topic.endswith("front/state") for topic in world.broker._retained))


def test_events_end_and_states_are_zero_when_the_service_stops(tmp_path: Path) -> None:
    with publisher(tmp_path, desired=configuration(logger=KEEP)) as world:
        world.send(result(0), result(1))
        wait_for(lambda: events(world) == [("start", "nut")])
    assert [event.event for event in world.received if isinstance(event, Event)][-1] == "end"
    last = [s for s in world.received if isinstance(s, CameraState) and s.camera == "front"][-1]
    assert (last.counts, last.present) == (
        {"nut": 0, "bolt": 0},
        {"nut": False, "bolt": False},
    )


def test_live_outputs_go_on_while_the_database_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        group_commit, "RETRY", RetryPolicy(first_s=0.02, longest_s=0.1, floor_s=0.01)
    )
    blocker = tmp_path / "data"
    blocker.write_text("a file where the folder should be")
    with publisher(tmp_path, desired=configuration(logger=KEEP, events=QUICK)) as world:
        wait_for(lambda: world.report().problems)
        world.send(*(result(n) for n in range(50)))
        # Of each frame the detections leave first.
        wait_for(lambda: len(world.seen(Output)) == 50)
        assert [d.sequence for d in world.seen(Detections)] == list(range(50))
        wait_for(lambda: events(world)[:1] == [("start", "nut")])
        wait_for(lambda: world.report().gauges["results_held"] == 50)
        (problem,) = world.report().problems
        assert "cannot be made" in problem.reason
        blocker.unlink()
        wait_for(lambda: len(world.stored()) == 50)
        wait_for(lambda: world.report().problems == ())
        world.send(*(result(n) for n in range(50, 100)))
        wait_for(lambda: len(world.stored()) == 100)
        assert [d.sequence for d in world.seen(Detections)] == list(range(100))
        assert world.report().gauges["results_held"] == 0


def test_payload_of_output_is_a_bare_array(world: World) -> None:
    world.send(result(0))
    (output,) = world.wait_for(Output)
    (entry,) = json.loads(output.encode())
    assert entry["timestamp"] == START_US // 1000
