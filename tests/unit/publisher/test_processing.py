from collections.abc import Iterator
from typing import Any

import pytest

from nxai_common.contracts.processors import (
    Done,
    ProcessedObject,
    ProcessorManifest,
    ProcessorOptions,
)
from nxai_publisher.core import processing
from nxai_publisher.core.processing import LEFT_ALONE_S, Asked, Processing, processed
from support.results import result

pytestmark = pytest.mark.unit

PLATE = ProcessedObject(label="plate", confidence=0.5, x=0.5, y=0.5, width=0.25, height=0.25)


class Line:
    """A processing with results by number, and a clock in the hand."""

    def __init__(self, *names: str, there: bool = True, **options: Any) -> None:
        self.now = 0.0
        self.processing: Processing[int] = Processing()
        self.processing.configure(
            ProcessorOptions.model_validate({"id": name} | options) for name in names
        )
        for name in names if there else ():
            self.processing.introduce(manifest(name))

    def put(self, number: int, camera: str = "front") -> list[Asked]:
        return list(self.processing.put(result(number, camera=camera), number, self.now))

    def answer(self, asked: Asked, *objects: ProcessedObject) -> list[Asked]:
        done = Done(processor=asked.processor, id=asked.id, objects=objects or None)
        return list(self.processing.answer(done, self.now))

    def pass_time(self, seconds: float) -> list[Asked]:
        self.now += seconds
        return list(self.processing.late(self.now))

    def ready(self) -> list[int]:
        return [token for _, token in self.processing.ready()]

    def problems(self) -> list[str]:
        return [f"{p.about} {p.reason}" for p in self.processing.problems()]


def manifest(name: str, *labels: str) -> ProcessorManifest:
    return ProcessorManifest(processor=name, labels=labels)


def one(asked: list[Asked]) -> Asked:
    (only,) = asked
    return only


def test_without_processors_nothing_has_to_come_here() -> None:
    assert not Line().processing.minds("front")
    assert not Line("plates", enabled=False).processing.minds("front")
    assert not Line("plates", cameras=["back"]).processing.minds("front")
    assert Line("plates", cameras=["back"]).processing.minds("back")


def test_an_answer_replaces_the_objects() -> None:
    line = Line("plates", settings={"country": "NL"})
    asked = one(line.put(7))
    work = asked.work("Front door")
    assert (work.processor, work.camera_name, work.settings) == (
        "plates",
        "Front door",
        {"country": "NL"},
    )
    assert work.model_dump(mode="json")["objects"][0]["label"] == "nut"
    assert line.ready() == []
    line.answer(asked, PLATE)
    ((out, token),) = line.processing.ready()
    assert token == 7
    assert [d.label for d in out.detections] == ["plate"]
    assert out.labels == ("nut", "bolt", "plate")


def test_an_answer_without_objects_leaves_the_result_alone() -> None:
    line = Line("plates")
    line.answer(one(line.put(0)))
    ((out, _),) = line.processing.ready()
    assert out == result(0)


def test_objects_are_of_the_original_picture_and_cut_to_it() -> None:
    over = ProcessedObject(label="nut", x=0.75, y=0.5, width=0.5, height=0.25)
    made = processed(result(), Done(processor="p", id="1", objects=(over,)))
    (found,) = made.detections
    assert (found.box.x, found.box.y, found.box.width, found.box.height) == (480, 240, 160, 120)
    assert found.model_box == (72, 48, 24, 24)
    nothing = processed(result(), Done(processor="p", id="1", objects=()))
    assert nothing.detections == ()


def test_results_of_a_camera_leave_in_order() -> None:
    line = Line("plates")
    first, second = one(line.put(0)), one(line.put(1))
    other = one(line.put(0, "back"))
    line.answer(second)
    assert line.ready() == []
    line.answer(other)
    assert line.ready() == [0]
    line.answer(first)
    assert line.ready() == [0, 1]
    assert line.processing.held == 0


def test_a_second_processor_sees_what_the_first_made() -> None:
    line = Line("plates", "blur")
    second = one(line.answer(one(line.put(0)), PLATE))
    assert second.processor == "blur"
    assert [d.label for d in second.result.detections] == ["plate"]
    assert line.ready() == []
    assert line.answer(second) == []
    assert line.ready() == [0]


def test_one_that_is_late_delays_a_result_by_its_time_out_and_no_more() -> None:
    line = Line("plates", timeout_ms=200)
    line.put(0)
    assert line.processing.deadline == 0.2
    line.pass_time(0.19)
    assert line.ready() == []
    line.pass_time(0.02)
    assert line.ready() == [0]
    assert line.processing.held == 0
    assert line.processing.counts.late == 1


def test_the_next_one_is_asked_when_the_first_is_late() -> None:
    line = Line("plates", "blur", timeout_ms=200)
    line.put(0)
    asked = one(line.pass_time(0.3))
    assert (asked.processor, asked.result) == ("blur", result(0))


def test_an_answer_that_comes_late_or_from_elsewhere_changes_nothing() -> None:
    line = Line("plates")
    asked = one(line.put(0))
    assert line.answer(Asked("blur", asked.id, asked.result, {}), PLATE) == []
    line.pass_time(1)
    line.answer(asked, PLATE)
    assert line.processing.counts.strange == 2
    ((out, _),) = line.processing.ready()
    assert out == result(0)


def crashed(line: Line) -> None:
    for number in range(3):
        line.put(number)
        line.pass_time(1)
    line.ready()


def test_one_that_crashed_costs_three_time_outs_and_is_tried_now_and_then() -> None:
    line = Line("plates")
    crashed(line)
    assert line.problems()[0].startswith("processor plates did not answer within 200 ms, 3 times")
    assert line.put(3) == []
    assert line.ready() == [3]
    line.pass_time(LEFT_ALONE_S[0])
    on_trial = one(line.put(4))
    assert line.put(5) == []  # one finds out
    line.pass_time(1)
    assert line.ready() == [4, 5]
    assert on_trial.processor == "plates"
    line.pass_time(LEFT_ALONE_S[0])
    assert line.put(6) == []  # it is left alone for longer now
    line.pass_time(LEFT_ALONE_S[1])
    line.answer(one(line.put(7)))
    assert line.problems() == []
    assert line.put(8) != []


def test_those_asked_before_it_was_left_alone_do_not_count_again() -> None:
    line = Line("plates")
    crashed(line)
    line.pass_time(LEFT_ALONE_S[0])
    one(line.put(3))
    late = Line("plates")
    for number in range(5):
        late.put(number)
    late.pass_time(1)
    assert late.ready() == [0, 1, 2, 3, 4]
    assert late.processing.counts.late == 5
    late.pass_time(LEFT_ALONE_S[0])  # as long as after three
    one(late.put(9))
    for held in late.processing._lines["front"]:
        assert held.processor


def test_one_asked_before_a_trial_does_not_end_it() -> None:
    line = Line("plates", timeout_ms=5000)
    for number in range(3):
        line.put(number)
    line.pass_time(4)
    early = one(line.put(3))
    line.pass_time(1)  # three are late; the fourth still has time
    line.pass_time(3.9)
    assert line.ready() == [0, 1, 2]
    line.now += 0.05
    line.processing._processors["plates"].until = line.now
    trial = one(line.put(4))
    line.pass_time(0.1)  # now the early one is late
    assert line.ready() == [3]
    assert line.put(5) == []  # the trial goes on
    assert early.id != trial.id
    line.answer(trial)
    assert line.ready() == [4, 5]
    assert line.problems() == []


def test_one_that_starts_anew_gets_another_chance_at_once() -> None:
    line = Line("plates")
    crashed(line)
    line.processing.introduce(manifest("plates"))
    assert line.problems() == []
    assert line.put(3) != []


def test_one_that_is_not_there_is_not_waited_for_and_its_absence_is_told() -> None:
    line = Line("plates", there=False)
    assert line.put(0) == []
    assert line.ready() == [0]
    assert "no manifest of it is on the broker" in line.problems()[0]
    line.processing.introduce(manifest("plates"))
    asked = line.put(1)
    line.processing.dismiss("plates")
    line.processing.introduce(manifest("unknown"))
    line.processing.dismiss("unknown")
    assert line.problems() != []
    line.answer(one(asked))
    assert line.ready() == [1]
    assert Line("plates", there=False, enabled=False).problems() == []


def test_a_new_configuration_keeps_what_is_known_of_a_processor() -> None:
    line = Line("plates")
    crashed(line)
    line.processing.configure([ProcessorOptions(id="plates")])
    assert line.put(3) == []
    line.processing.configure([ProcessorOptions(id="plates", timeout_ms=300)])
    asked = one(line.put(4))
    line.processing.configure([])
    assert line.ready() == [3]
    assert line.processing.minds("front")  # one is still on its way
    line.answer(asked)
    assert line.ready() == [4]
    assert not line.processing.minds("front")


def test_one_that_left_the_configuration_while_it_was_late() -> None:
    line = Line("plates", "blur")
    line.put(0)
    line.processing.configure([])
    line.pass_time(1)
    assert line.ready() == [0]


def test_labels_that_it_may_add_are_told_as_zero() -> None:
    line = Line("plates")
    line.processing.introduce(manifest("plates", "plate", "nut"))
    line.answer(one(line.put(0)))
    ((out, _),) = line.processing.ready()
    assert out.labels == ("nut", "bolt", "plate")


def test_not_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processing, "MOST_HELD", 3)
    line = Line("plates")
    for number in range(5):
        line.put(number)
    assert line.ready() == [0, 1]
    assert line.processing.counts.passed == 2


def test_where_nobody_is_asked_nothing_has_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processing, "MOST_HELD", 1)
    line = Line("plates", there=False)
    for number in range(3):
        line.put(number)
    assert line.processing.counts.passed == 0
    assert line.ready() == [0, 1, 2]


def test_at_the_end_all_leave_as_they_are() -> None:
    line = Line("plates")
    line.put(0)
    line.put(1, "back")
    assert [token for _, token in line.processing.flush()] == [0, 1]
    assert line.processing.held == 0


def test_a_trial_that_had_to_leave_makes_room_for_another() -> None:
    line = Line("plates")
    crashed(line)
    line.pass_time(LEFT_ALONE_S[0])
    one(line.put(3))
    list(line.processing.flush())
    one(line.put(4))


@pytest.mark.parametrize("stream", ["a1b2", "Run_7.é", "x" * 200])
def test_questions_have_names_that_can_be_sent(stream: str) -> None:
    line: Processing[None] = Processing()
    line.configure([ProcessorOptions(id="plates")])
    line.introduce(manifest("plates"))
    asked = [*line.put(result(stream=stream), None, 0), *line.put(result(1), None, 0)]
    assert len({question.work("").id for question in asked}) == 2


def test_everything_comes_out_once_whatever_happens() -> None:
    def numbers() -> Iterator[int]:
        yield from range(40)

    line = Line("plates", "blur", timeout_ms=100)
    out = []
    for number in numbers():
        asked = line.put(number)
        if number % 3:
            for question in asked:
                for after in line.answer(question):
                    if number % 2:
                        line.answer(after)
        line.pass_time(0.04)
        out += line.ready()
    out += [token for _, token in line.processing.flush()]
    assert out == list(numbers())
